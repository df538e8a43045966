#include "ledger/prove.h"

#include <inttypes.h>
#include <string.h>

#include "ledger/log.h"

#define FIRST_LINE "c2sp.org/tlog-proof@v1"

void proof_init(struct proof *proof) {
        proof->index = 0;
        proof->n_path = 0;
        proof->checkpoint = (struct checkpoint){0};
        buffer_init(&proof->entry, LEDGER_ENTRY_BYTES_MAX + 16);
        buffer_init(&proof->note, CHECKPOINT_BYTES_MAX);
}

void proof_deinit(struct proof *proof) {
        buffer_deinit(&proof->entry);
        buffer_deinit(&proof->note);
}

static int proof_read(struct log *log, struct reader *reader, struct proof *proof) {
        _cleanup_(buffer_deinit) struct buffer bundle;
        buffer_init(&bundle, BUNDLE_BYTES_MAX + 8192);
        const char *entry;
        size_t size;
        reader_init(reader, log->directory_fd, log->checkpoint.size, reader->digester);
        int r = reader_entry(reader, proof->index, &bundle, &entry, &size);
        if (r == 0)
                r = tree_inclusion_path(reader->digester, reader_lookup, reader, proof->index,
                                        log->checkpoint.size, proof->path, &proof->n_path);
        if (r < 0)
                return r;
        buffer_clear(&proof->entry);
        buffer_clear(&proof->note);
        r = buffer_append(&proof->entry, entry, size);
        return r < 0 ? r : buffer_append(&proof->note, log->note.data, log->note.size);
}

int proof_make(const char *path, uint64_t index, struct proof *ret_proof, struct verifier_key *ret_key) {
        _cleanup_(log_close) struct log log;
        _cleanup_(freep) struct reader *reader = malloc(sizeof(*reader));
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        int r = log_open(&log, path);
        if (r < 0)
                return r;
        if (!reader || !digester)
                return -ENOMEM;
        ret_proof->index = index;
        ret_proof->checkpoint = log.checkpoint;
        if (index >= log.checkpoint.size)
                return -ERANGE;
        reader->digester = digester;
        unsigned tries = 0;
        do {
                r = proof_read(&log, reader, ret_proof);
                if (r != -ENOENT)
                        break;
                r = log_grown(&log, &tries);
        } while (r > 0);
        if (r < 0)
                return r == -ENOENT || r == -EINVAL ? -EBADMSG : r;
        *ret_key = log.key;
        return r > 0 ? -EBADMSG : proof_check(ret_proof, &log.key);
}

int proof_format(const struct proof *proof, struct buffer *text) {
        int r = buffer_append_string(text, FIRST_LINE "\nextra ");
        if (r == 0)
                r = base64_append(text, proof->entry.data, proof->entry.size);
        if (r == 0)
                r = buffer_format(text, "\nindex %" PRIu64 "\n", proof->index);
        for (size_t i = 0; r == 0 && i < proof->n_path; i++) {
                r = base64_append(text, proof->path[i].bytes, DIGEST_BYTES);
                if (r == 0)
                        r = buffer_append(text, "\n", 1);
        }
        if (r == 0)
                r = buffer_append(text, "\n", 1);
        return r < 0 ? r : buffer_append(text, proof->note.data, proof->note.size);
}

/* The rest of a line that begins with `word`, or NULL; `*text` moves behind the line. */
static const char *line_take(const char **text, const char *end, const char *word, size_t *ret_size) {
        size_t n = strlen(word);
        const char *newline = memchr(*text, '\n', (size_t)(end - *text));
        if (!newline || (size_t)(newline - *text) < n || memcmp(*text, word, n))
                return NULL;
        const char *rest = *text + n;
        *ret_size = (size_t)(newline - rest);
        *text = newline + 1;
        return rest;
}

static int entry_parse(const char *text, size_t size, struct buffer *entry) {
        if (size / 4 * 3 > LEDGER_ENTRY_BYTES_MAX + 3)
                return -EBADMSG;
        int r = buffer_reserve(entry, size / 4 * 3 + 3);
        if (r < 0)
                return r;
        ssize_t n = base64_decode(text, size, entry->data, entry->capacity - 1);
        if (n < 1 || n > LEDGER_ENTRY_BYTES_MAX)
                return -EBADMSG;
        entry->size = (size_t)n;
        entry->data[n] = '\0';
        return 0;
}

int proof_parse(const char *text, size_t size, struct proof *ret_proof) {
        const char *end = text + size, *line;
        size_t n;
        if (size > PROOF_BYTES_MAX || !line_take(&text, end, FIRST_LINE, &n) || n)
                return -EBADMSG;
        line = line_take(&text, end, "extra ", &n);
        int r = line ? entry_parse(line, n, &ret_proof->entry) : -EBADMSG;
        if (r < 0)
                return r;
        line = line_take(&text, end, "index ", &n);
        if (!line || decimal_parse(line, n, &ret_proof->index) < 0)
                return -EBADMSG;
        ret_proof->n_path = 0;
        for (;;) {
                line = line_take(&text, end, "", &n);
                if (!line)
                        return -EBADMSG;
                if (n == 0)
                        break;
                if (ret_proof->n_path == TREE_DEPTH_MAX ||
                    base64_decode(line, n, ret_proof->path[ret_proof->n_path].bytes, DIGEST_BYTES) !=
                            DIGEST_BYTES)
                        return -EBADMSG;
                ret_proof->n_path++;
        }
        buffer_clear(&ret_proof->note);
        r = buffer_append(&ret_proof->note, text, (size_t)(end - text));
        return r == -EFBIG ? -EBADMSG : r;
}

int proof_check(struct proof *proof, const struct verifier_key *key) {
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        struct digest leaf;
        if (!digester)
                return -ENOMEM;
        int r = checkpoint_open(proof->note.data ?: "", proof->note.size, key, &proof->checkpoint);
        if (r == 0)
                r = tree_leaf_hash(digester, proof->entry.data, proof->entry.size, &leaf);
        return r < 0 ? r
                     : tree_inclusion_check(digester, proof->index, proof->checkpoint.size, &leaf,
                                            proof->path, proof->n_path, &proof->checkpoint.root);
}
