#include "ledger/verify.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "ledger/tree.h"
#include "ledger/verify-host.h"

#define LIVE_TRIES       200
#define LIVE_PAUSE_NS    10000000
#define PROGRESS_BUNDLES 16

/* What grows while entries are checked one by one. */
struct stream {
        struct frontier frontier;
        struct digest hashes[TILE_LEVELS][TILE_WIDTH]; /* of the tile not yet complete at each level */
        unsigned counts[TILE_LEVELS];
        uint64_t last_time_ns;
        size_t next_mark;
        uint64_t last_mark; /* size up to which all marks agreed */
};

struct verify {
        const struct ledger_verify_options *options;
        struct ledger_report *report;
        struct host host;
        struct verifier_key key;
        struct buffer identity;
        struct marks marks;
        struct stream stream;
        struct buffer note;
        struct buffer bundle;
        struct buffer tile;
};

const char *ledger_problem_name(enum ledger_problem problem) {
        static const char *const names[LEDGER_PROBLEMS] = {
                [LEDGER_SOUND] = "sound",
                [LEDGER_NOT_FOUND] = "not_found",
                [LEDGER_KEY] = "key",
                [LEDGER_KEY_OTHER] = "key_other",
                [LEDGER_CHECKPOINT] = "checkpoint",
                [LEDGER_SIGNATURE] = "signature",
                [LEDGER_CHECKPOINT_TIME] = "checkpoint_time",
                [LEDGER_CUT] = "cut",
                [LEDGER_SURPLUS] = "surplus",
                [LEDGER_HASH] = "hash",
                [LEDGER_RANGE] = "range",
                [LEDGER_TILE] = "tile",
                [LEDGER_JSON] = "json",
                [LEDGER_TIME] = "time",
                [LEDGER_ROOT] = "root",
                [LEDGER_ROLLBACK] = "rollback",
                [LEDGER_SEALS] = "seals",
                [LEDGER_SEALED] = "sealed",
                [LEDGER_KEYS_MISSING] = "keys_missing",
                [LEDGER_AGAINST_KEY] = "against_key",
                [LEDGER_AGAINST_SHORT] = "against_short",
                [LEDGER_AGAINST_OTHER] = "against_other",
                [LEDGER_SET_ASIDE] = "set_aside",
        };
        return problem < LEDGER_PROBLEMS ? names[problem] : NULL;
}

static bool failed(const struct verify *verify) {
        return verify->report->problem != LEDGER_SOUND;
}

static int problem(struct verify *verify, enum ledger_problem what, uint64_t index, uint64_t other) {
        return report_problem(verify->report, what, index, other, NULL);
}

static int key_check(struct verify *verify) {
        int r = io_read_file(verify->host.directory_fd, "key.pub", &verify->identity);
        size_t line = verify->identity.size;
        if (r == 0)
                r = io_read_file(verify->host.directory_fd, "seal.pub", &verify->identity);
        if (r < 0 && r != -ENOENT)
                return r;
        const char *text = verify->identity.data;
        if (r < 0 || line == 0 || text[line - 1] != '\n' ||
            verifier_key_parse(text, line - 1, &verify->key) < 0)
                return problem(verify, LEDGER_KEY, 0, 0);
        const struct verifier_key *expected = verify->options->key;
        if (expected && (strcmp(expected->name, verify->key.name) ||
                         memcmp(expected->public_key, verify->key.public_key, KEY_BYTES)))
                return problem(verify, LEDGER_KEY_OTHER, 0, 0);
        const struct host *host = &verify->host;
        if (host->has_journal && (host->journal.identity_bytes != verify->identity.size ||
                                  memcmp(host->journal.identity, text, verify->identity.size)))
                return problem(verify, LEDGER_KEY_OTHER, 0, 0);
        return 0;
}

static int checkpoint_read(struct verify *verify) {
        struct checkpoint *checkpoint = &verify->report->checkpoint;
        uint64_t before = checkpoint->size;
        buffer_clear(&verify->note);
        int r = io_read_file(verify->host.directory_fd, "checkpoint", &verify->note);
        if (r == -ENOENT || r == -EFBIG)
                return problem(verify, LEDGER_CHECKPOINT, 0, 0);
        if (r < 0)
                return r;
        r = checkpoint_open(verify->note.data, verify->note.size, &verify->key, checkpoint);
        if (r == -EBADMSG)
                return problem(verify, LEDGER_CHECKPOINT, 0, 0);
        if (r == -ENOKEY || r == -EKEYREJECTED)
                return problem(verify, LEDGER_SIGNATURE, 0, 0);
        if (r == 0 && checkpoint->size < before)
                return problem(verify, LEDGER_ROLLBACK, checkpoint->size, before);
        return r;
}

static int against_check(struct verify *verify) {
        const struct ledger_verify_options *options = verify->options;
        struct checkpoint kept;
        if (!options->against)
                return 0;
        if (checkpoint_open(options->against, options->against_bytes, &verify->key, &kept) < 0)
                return problem(verify, LEDGER_AGAINST_KEY, 0, 0);
        if (kept.size > verify->report->checkpoint.size)
                return problem(verify, LEDGER_AGAINST_SHORT, verify->report->checkpoint.size, kept.size);
        const struct mark mark = {kept.size, kept.root, MARK_AGAINST};
        return marks_add(&verify->marks, &mark);
}

/* RFC 3339 in UTC, as this project writes it. */
static int entry_time(const char *entry, size_t size, uint64_t *ret_time_ns) {
        json_t *json = json_loadb(entry, size, JSON_REJECT_DUPLICATES, NULL);
        const char *text = json_string_value(json_object_get(json, "time"));
        size_t n = text ? strlen(text) : 0;
        int r = n > 19 && text[10] == 'T' && text[n - 1] == 'Z' ? clock_parse(text, ret_time_ns) : -EINVAL;
        json_decref(json);
        return r;
}

/* Compares with whatever is known of the log at this size. */
static int marks_check(struct verify *verify) {
        static const enum ledger_problem kinds[] = {[MARK_JOURNAL] = LEDGER_RANGE,
                                                    [MARK_SEAL] = LEDGER_SEALED,
                                                    [MARK_AGAINST] = LEDGER_AGAINST_OTHER};
        struct stream *stream = &verify->stream;
        uint64_t size = stream->frontier.size;
        for (; stream->next_mark < verify->marks.n; stream->next_mark++) {
                const struct mark *mark = &verify->marks.items[stream->next_mark];
                if (mark->size > size)
                        return 0;
                struct digest root;
                int r = frontier_root(verify->host.digester, &stream->frontier, &root);
                if (r < 0)
                        return r;
                if (!digest_equal(&root, &mark->root)) {
                        uint64_t last = mark->source == MARK_AGAINST ? size : size - 1;
                        return problem(verify, kinds[mark->source], stream->last_mark, last);
                }
                stream->last_mark = size;
        }
        return 0;
}

/* Demands of a hash tile that it is what was computed from below. */
static int tile_compare(struct verify *verify, unsigned level, uint64_t index, unsigned width,
                        const struct buffer *tile) {
        char path[TILE_PATH_SIZE];
        uint64_t first = index << (8 * (level + 1));
        tile_path_format((int)level, index, width, path);
        if (tile->size < width * DIGEST_BYTES)
                return report_problem(verify->report, LEDGER_TILE, first, 0, path);
        if (tile->size > width * DIGEST_BYTES)
                return report_problem(verify->report, LEDGER_SURPLUS, first, 0, path);
        for (unsigned i = 0; i < width; i++) {
                const struct digest *hash = &verify->stream.hashes[level][i];
                if (!memcmp(tile->data + i * DIGEST_BYTES, hash->bytes, DIGEST_BYTES))
                        continue;
                uint64_t from = first + ((uint64_t)i << (8 * level));
                return problem(verify, LEDGER_RANGE, from, from + (UINT64_C(1) << (8 * level)) - 1);
        }
        return 0;
}

/* A missing file reads as an empty one: what should have been in it is then missed. */
static int file_load(const struct verify *verify, int level, uint64_t index, unsigned width,
                     struct buffer *file) {
        char path[TILE_PATH_SIZE];
        tile_path_format(level, index, width, path);
        buffer_clear(file);
        int r = io_read_file(verify->host.directory_fd, path, file);
        if (r == -EFBIG)
                return 0; /* as long as may be: found to be too long */
        return r == -ENOENT || r == -EISDIR || r == -ELOOP ? 0 : r;
}

/* One entry: its hash as the tile has it, then its form, then its place in time, then the marks. */
static int entry_check(struct verify *verify, const char *entry, size_t size, const struct buffer *tile) {
        struct stream *stream = &verify->stream;
        uint64_t index = stream->frontier.size, time_ns = 0;
        size_t offset = stream->counts[0] * DIGEST_BYTES;
        struct digest leaf;
        int r = tree_leaf_hash(verify->host.digester, entry, size, &leaf);
        if (r == 0)
                r = frontier_add(verify->host.digester, &stream->frontier, &leaf);
        if (r < 0)
                return r;
        stream->hashes[0][stream->counts[0]++] = leaf;
        if (offset + DIGEST_BYTES <= tile->size && memcmp(tile->data + offset, leaf.bytes, DIGEST_BYTES))
                return problem(verify, LEDGER_HASH, index, 0);
        if (entry_time(entry, size, &time_ns) < 0)
                return problem(verify, LEDGER_JSON, index, 0);
        if (time_ns < stream->last_time_ns)
                return problem(verify, LEDGER_TIME, index, 0);
        stream->last_time_ns = time_ns;
        return marks_check(verify);
}

static int bundle_check(struct verify *verify, uint64_t index, unsigned width, const struct buffer *bundle,
                        const struct buffer *tile) {
        size_t offset = 0, size;
        const char *entry;
        for (unsigned n = 0; n < width; n++) {
                uint64_t first_missing = index * TILE_WIDTH + n;
                if (!bundle->size || bundle_next(bundle->data, bundle->size, &offset, &entry, &size) <= 0)
                        return problem(verify, LEDGER_CUT, first_missing, verify->report->checkpoint.size);
                int r = entry_check(verify, entry, size, tile);
                if (r < 0 || failed(verify))
                        return r;
        }
        if (offset != bundle->size) {
                char path[TILE_PATH_SIZE];
                tile_path_format(TILE_ENTRIES, index, width, path);
                return report_problem(verify->report, LEDGER_SURPLUS, index * TILE_WIDTH + width, 0, path);
        }
        return tile_compare(verify, 0, index, width, tile);
}

/* A tile is complete: its hash is the next one of the tile above, which may be complete in turn. */
static int levels_carry(struct verify *verify) {
        struct stream *stream = &verify->stream;
        for (unsigned level = 0; level + 1 < TILE_LEVELS && stream->counts[level] == TILE_WIDTH; level++) {
                struct digest *above = &stream->hashes[level + 1][stream->counts[level + 1]];
                int r = tree_range_hash(verify->host.digester, stream->hashes[level], TILE_WIDTH, above);
                if (r < 0)
                        return r;
                stream->counts[level] = 0;
                if (++stream->counts[level + 1] != TILE_WIDTH)
                        return 0;
                uint64_t index = tile_level_size(stream->frontier.size, level + 1) / TILE_WIDTH - 1;
                r = file_load(verify, (int)level + 1, index, TILE_WIDTH, &verify->tile);
                if (r == 0)
                        r = tile_compare(verify, level + 1, index, TILE_WIDTH, &verify->tile);
                if (r < 0 || failed(verify))
                        return r;
        }
        return 0;
}

static int full_bundles_check(struct verify *verify) {
        const struct ledger_verify_options *options = verify->options;
        uint64_t size = verify->report->checkpoint.size;
        for (uint64_t index = 0; index < size / TILE_WIDTH; index++) {
                int r = file_load(verify, TILE_ENTRIES, index, TILE_WIDTH, &verify->bundle);
                if (r == 0)
                        r = file_load(verify, 0, index, TILE_WIDTH, &verify->tile);
                if (r == 0)
                        r = bundle_check(verify, index, TILE_WIDTH, &verify->bundle, &verify->tile);
                if (r == 0 && !failed(verify))
                        r = levels_carry(verify);
                if (r < 0 || failed(verify))
                        return r;
                if (options->progress && index % PROGRESS_BUNDLES == 0)
                        options->progress(options->userdata, index * TILE_WIDTH, size);
        }
        return 0;
}

/* The tail is read in one go before anything is checked: a writer removes partial files. */
struct tail {
        struct buffer bundle;
        struct buffer tiles[TILE_LEVELS];
};

static void tail_deinit(struct tail *tail) {
        buffer_deinit(&tail->bundle);
        for (unsigned level = 0; level < TILE_LEVELS; level++)
                buffer_deinit(&tail->tiles[level]);
}

static unsigned tail_width(uint64_t size, unsigned level) {
        return (unsigned)(tile_level_size(size, level) % TILE_WIDTH);
}

/* Returns 1, 0 (a file is missing), or an error. */
static int tail_load(const struct verify *verify, struct tail *tail) {
        uint64_t size = verify->report->checkpoint.size;
        bool whole = true;
        buffer_clear(&tail->bundle);
        if (tail_width(size, 0)) {
                int r = file_load(verify, TILE_ENTRIES, size / TILE_WIDTH, tail_width(size, 0),
                                  &tail->bundle);
                if (r < 0)
                        return r;
                whole = tail->bundle.size > 0;
        }
        for (unsigned level = 0; level < TILE_LEVELS; level++) {
                unsigned width = tail_width(size, level);
                uint64_t index = tile_level_size(size, level) / TILE_WIDTH;
                buffer_clear(&tail->tiles[level]);
                int r = width ? file_load(verify, (int)level, index, width, &tail->tiles[level]) : 0;
                if (r < 0)
                        return r;
                whole &= !width || tail->tiles[level].size > 0;
        }
        return whole;
}

/* A writer at work may be between two steps: look again for a while. */
static bool again(const struct verify *verify, unsigned *tries) {
        if (++*tries > LIVE_TRIES || !host_live(&verify->host))
                return false;
        verify->report->notes |= LEDGER_NOTE_LIVE;
        nanosleep(&(struct timespec){.tv_nsec = LIVE_PAUSE_NS}, NULL);
        return true;
}

static int tail_begin(struct verify *verify, struct tail *tail) {
        unsigned tries = 0;
        int r;
        do {
                r = checkpoint_read(verify);
                if (r == 0 && !failed(verify))
                        r = tail_load(verify, tail);
        } while (r == 0 && !failed(verify) && again(verify, &tries));
        return r < 0 ? r : 0;
}

static int tail_check(struct verify *verify, const struct tail *tail) {
        uint64_t size = verify->report->checkpoint.size;
        int r = 0;
        if (tail_width(size, 0))
                r = bundle_check(verify, size / TILE_WIDTH, tail_width(size, 0), &tail->bundle,
                                 &tail->tiles[0]);
        for (unsigned level = 1; r == 0 && !failed(verify) && level < TILE_LEVELS; level++)
                if (tail_width(size, level))
                        r = tile_compare(verify, level, tile_level_size(size, level) / TILE_WIDTH,
                                         tail_width(size, level), &tail->tiles[level]);
        return r;
}

static int root_check(struct verify *verify) {
        const struct checkpoint *checkpoint = &verify->report->checkpoint;
        struct digest root;
        int r = frontier_root(verify->host.digester, &verify->stream.frontier, &root);
        if (r < 0)
                return r;
        if (!digest_equal(&root, &checkpoint->root)) {
                uint64_t from = verify->stream.last_mark, to = checkpoint->size;
                return problem(verify, from + 1 < to ? LEDGER_ROOT : LEDGER_HASH, from, to ? to - 1 : 0);
        }
        if (checkpoint->time_s < verify->stream.last_time_ns / NS_PER_S)
                problem(verify, LEDGER_CHECKPOINT_TIME, 0, 0);
        return 0;
}

/* What the journal's last record says of the log. Returns 1, or 0: no journal to ask. */
static int journal_last(struct verify *verify, struct checkpoint *ret_checkpoint) {
        int r = host_journal_load(&verify->host, NULL, verify->report);
        if (r < 0 || !verify->host.has_journal)
                return r;
        const struct journal_record *last = &verify->host.journal.last;
        if (checkpoint_open(last->note, last->note_bytes, &verify->key, ret_checkpoint) < 0)
                return report_problem(verify->report, LEDGER_KEYS_MISSING, 0, 0, "keys/" JOURNAL_NAME);
        return 1;
}

/* The checkpoint that stands there now is the one of the last commit. */
static int rollback_look(struct verify *verify) {
        struct checkpoint checked = verify->report->checkpoint, last;
        int r = checkpoint_read(verify);
        struct checkpoint now = verify->report->checkpoint;
        verify->report->checkpoint = checked;
        if (r == 0 && !failed(verify))
                r = journal_last(verify, &last);
        if (r <= 0 || failed(verify))
                return r < 0 ? r : 0;
        if (now.size > last.size)
                return report_problem(verify->report, LEDGER_KEYS_MISSING, 0, 0, "keys/" JOURNAL_NAME);
        if (now.size < last.size || now.time_s < last.time_s)
                return problem(verify, LEDGER_ROLLBACK, now.size, last.size);
        return digest_equal(&now.root, &last.root) ? 0 : problem(verify, LEDGER_ROOT, 0, now.size);
}

static int surplus_look(struct verify *verify) {
        char path[TILE_PATH_SIZE * 2];
        uint64_t extent;
        struct checkpoint checked = verify->report->checkpoint;
        int r = host_extent(&verify->host, &extent, path);
        if (r == 0)
                r = checkpoint_read(verify);
        uint64_t size = verify->report->checkpoint.size;
        verify->report->checkpoint = checked;
        if (r == 0 && extent > size)
                report_problem(verify->report, LEDGER_SURPLUS, size, extent, path);
        return r;
}

/* Repeats a look while a writer may explain what it found. */
static int look(struct verify *verify, int (*once)(struct verify *)) {
        struct ledger_report before = *verify->report;
        unsigned tries = 0;
        for (;;) {
                int r = once(verify);
                if (r < 0 || !failed(verify) || !again(verify, &tries))
                        return r;
                before.notes |= verify->report->notes;
                *verify->report = before;
        }
}

static int seals_look(struct verify *verify) {
        verify->marks.n = 0;
        return host_seals_check(&verify->host, verify->identity.data, verify->identity.size, &verify->marks,
                                verify->report);
}

/* Seals that are missing are best explained by a log that was set back, if it was. */
static int rollback_prefer(struct verify *verify) {
        struct ledger_report seals = *verify->report;
        verify->report->problem = LEDGER_SOUND;
        int r = look(verify, rollback_look);
        if (verify->report->problem != LEDGER_ROLLBACK)
                *verify->report = seals;
        return r;
}

/* Seals before the checkpoint: a writer seals only what it has published. */
static int begin(struct verify *verify, struct tail *tail) {
        int r = host_journal_load(&verify->host, NULL, verify->report);
        if (r == 0 && !failed(verify))
                r = key_check(verify);
        if (r == 0 && !failed(verify))
                r = look(verify, seals_look);
        if (r == 0 && verify->report->problem == LEDGER_SEALS)
                r = rollback_prefer(verify);
        if (r == 0 && !failed(verify))
                r = host_journal_load(&verify->host, &verify->marks, verify->report);
        if (r == 0 && !failed(verify))
                r = tail_begin(verify, tail);
        if (r == 0 && !failed(verify))
                r = against_check(verify);
        if (r < 0 || failed(verify))
                return r;
        marks_sort(&verify->marks);
        r = marks_check(verify); /* those of the empty log */
        const struct mark *last = verify->marks.n ? &verify->marks.items[verify->marks.n - 1] : NULL;
        if (last && last->source == MARK_SEAL && last->size > verify->report->checkpoint.size)
                problem(verify, LEDGER_ROLLBACK, verify->report->checkpoint.size, last->size);
        return r;
}

static int run(struct verify *verify) {
        _cleanup_(tail_deinit) struct tail tail = {0};
        int r = begin(verify, &tail);
        if (r == 0 && !failed(verify))
                r = full_bundles_check(verify);
        if (r == 0 && !failed(verify))
                r = tail_check(verify, &tail);
        verify->report->entries = verify->stream.frontier.size;
        verify->report->last_time_ns = verify->stream.last_time_ns;
        if (r == 0 && !failed(verify))
                r = root_check(verify);
        if (r == 0 && !failed(verify))
                r = look(verify, rollback_look);
        if (r == 0 && !failed(verify))
                r = look(verify, surplus_look);
        return r < 0 ? r : host_set_aside_check(&verify->host, verify->report);
}

static void verify_deinit(struct verify *verify) {
        host_deinit(&verify->host);
        marks_deinit(&verify->marks);
        buffer_deinit(&verify->identity);
        buffer_deinit(&verify->note);
        buffer_deinit(&verify->bundle);
        buffer_deinit(&verify->tile);
}

static void verify_freep(struct verify **verify) {
        if (*verify) {
                verify_deinit(*verify);
                free(*verify);
        }
}

int ledger_verify(const struct ledger_verify_options *options, struct ledger_report *ret_report) {
        _cleanup_(verify_freep) struct verify *verify = calloc(1, sizeof(*verify));
        struct ledger_report report = {.problem = LEDGER_SOUND};
        if (!verify)
                return -ENOMEM;
        verify->options = options;
        verify->report = &report;
        verify->host.directory_fd = verify->host.keys_fd = verify->host.journal_fd = -EBADF;
        buffer_init(&verify->note, CHECKPOINT_BYTES_MAX + 8192);
        buffer_init(&verify->bundle, BUNDLE_BYTES_MAX + 8192);
        buffer_init(&verify->tile, TILE_BYTES + 8192);
        int r = host_open(&verify->host, options->path, options->expect_keys, &report);
        if (r == 0 && !failed(verify))
                r = run(verify);
        if (r < 0)
                return r;
        *ret_report = report;
        return 0;
}
