/*
 * Opening again after whatever happened. The journal's area says where it began (all before is durable in
 * the public files) and what came after; the public files are brought up to its last record.
 *
 * What only tampering explains gives -EBADMSG: files at the area's beginning that do not have its root, a
 * checkpoint or a seal newer than the journal, a journal of other keys.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "ledger/checkpoint.h"
#include "ledger/writer.h"

static int identity_check(struct ledger *ledger, const struct journal_image *image) {
        _cleanup_(buffer_deinit) struct buffer line = {0};
        int r = verifier_key_format(signing_key_verifier(ledger->key), &line);
        if (r < 0)
                return r;
        r = digest_bytes(line.data, line.size, &ledger->identity);
        if (r == 0)
                r = buffer_append(&line, "\n", 1);
        if (r < 0)
                return r;
        if (image->identity_bytes < line.size || memcmp(image->identity, line.data, line.size))
                return -EBADMSG;
        r = buffer_append(&ledger->identity_text, image->identity, image->identity_bytes);
        return r < 0 ? r : writer_identity_publish(ledger, image->identity, image->identity_bytes);
}

/* The state at the beginning of the journal's area, from the public files. */
static int base_load(struct ledger *ledger, const struct journal_image *image) {
        _cleanup_(freep) struct reader *reader = malloc(sizeof(*reader));
        struct digest root;
        if (!reader)
                return -ENOMEM;
        reader_init(reader, ledger->directory_fd, image->first.first_index, ledger->digester);
        int r = edge_load(&ledger->edge, reader);
        if (r == 0)
                r = frontier_root(ledger->digester, &ledger->edge.frontier, &root);
        if (r == 0 && !digest_equal(&root, &image->first.root_before))
                r = -EBADMSG;
        ledger->publisher.base_size = image->first.first_index;
        return r;
}

static int record_replay(struct ledger *ledger, const struct journal_record *record) {
        size_t offset = 0, size;
        const char *entry;
        int r;
        if (record->first_index != ledger->edge.frontier.size)
                return -EBADMSG;
        for (uint32_t i = 0; i < record->n_entries; i++) {
                if (bundle_next(record->entries, record->entries_bytes, &offset, &entry, &size) <= 0)
                        return -EBADMSG;
                r = edge_add(&ledger->edge, ledger->digester, entry, size, publisher_take,
                             &ledger->publisher);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int records_replay(struct ledger *ledger, const struct journal_image *image) {
        struct journal_record record;
        size_t offset = 0;
        while (journal_next(image, ledger->digester, &offset, &record) > 0) {
                int r = record_replay(ledger, &record);
                if (r < 0)
                        return r;
        }
        struct checkpoint checkpoint;
        struct digest root;
        int r = frontier_root(ledger->digester, &ledger->edge.frontier, &root);
        if (r < 0)
                return r;
        if (checkpoint_open(image->last.note, image->last.note_bytes, signing_key_verifier(ledger->key),
                            &checkpoint) < 0 ||
            checkpoint.size != ledger->edge.frontier.size || !digest_equal(&checkpoint.root, &root))
                return -EBADMSG;
        buffer_clear(&ledger->note);
        return buffer_append(&ledger->note, image->last.note, image->last.note_bytes);
}

/* Compares with the checkpoint that is published. One that cannot be read is as good as none: a crash. */
static int published_compare(struct ledger *ledger) {
        _cleanup_(buffer_deinit) struct buffer note = {0};
        struct checkpoint checkpoint = {0};
        uint64_t size = ledger->edge.frontier.size;
        if (io_read_file(ledger->directory_fd, "checkpoint", &note) == 0)
                checkpoint_open(note.data, note.size, signing_key_verifier(ledger->key), &checkpoint);
        if (checkpoint.size > size)
                return -EBADMSG;
        ledger->recovered = size - checkpoint.size;
        return 0;
}

static int seals_write(struct ledger *ledger, const void *bytes, size_t size, uint64_t offset) {
        int r = ledger->world->pwrite(ledger->world->userdata, ledger->seals_fd, bytes, size, offset);
        return r < 0 ? r : ledger->world->sync(ledger->world->userdata, ledger->seals_fd, 0);
}

/* The chain as the key file knows it. Only its last seal may be missing in the public file. */
static int seals_recover(struct ledger *ledger) {
        const struct seal_key *key = &ledger->seal_key;
        if (key->epoch &&
            (key->last.size > ledger->edge.frontier.size ||
             !digest_equal(&key->last.log, &ledger->identity) || key->last.epoch != key->epoch - 1))
                return -EBADMSG;
        ledger->sealed_size = key->epoch ? key->last.size : 0;
        ledger->seals_fd = ledger->world->open(ledger->world->userdata, ledger->directory_fd, SEALS_NAME,
                                               O_RDWR | O_CREAT, 0640);
        if (ledger->seals_fd < 0)
                return ledger->seals_fd;
        uint8_t expected[SEAL_BYTES], found[SEAL_BYTES];
        struct stat status;
        if (fstat(ledger->seals_fd, &status) < 0)
                return -errno;
        uint64_t size = (uint64_t)status.st_size, end = key->epoch * SEAL_BYTES;
        if (key->epoch) {
                uint64_t before = end - SEAL_BYTES;
                seal_encode(&key->last, expected);
                ssize_t n = io_pread_full(ledger->seals_fd, found, sizeof(found), before);
                if (n != SEAL_BYTES || memcmp(expected, found, SEAL_BYTES))
                        return size < before || n < 0
                                       ? -EBADMSG
                                       : seals_write(ledger, expected, sizeof(expected), before);
        }
        /* a seal whose key was not replaced any more: the next one takes its place */
        if (size <= end)
                return 0;
        return ledger->world->truncate(ledger->world->userdata, ledger->seals_fd, end);
}

static int journal_recover(struct ledger *ledger, const struct journal_image *image) {
        ledger->journal.sequence = image->last.sequence;
        ledger->journal.last = image->last.digest;
        ledger->journal.area = image->area;
        ledger->journal.used_bytes = image->used_bytes;
        ledger->publisher.recovering = true;
        int r = base_load(ledger, image);
        if (r == 0)
                r = records_replay(ledger, image);
        if (r == 0)
                r = published_compare(ledger);
        if (r == 0)
                r = seals_recover(ledger);
        if (r < 0)
                return r;
        r = publisher_publish(&ledger->publisher, &ledger->edge, ledger->note.data, ledger->note.size);
        ledger->publisher.recovering = r < 0;
        return 0; /* a full disk now: the next commit tries again */
}

/* A log without its first record yet: made just now, or a crash followed. */
static int first_commit(struct ledger *ledger) {
        int r = published_compare(ledger);
        if (r == 0)
                r = seals_recover(ledger);
        return r < 0 ? r : ledger_commit(ledger);
}

int writer_recover(struct ledger *ledger, const struct clock *clock) {
        _cleanup_(journal_image_deinit) struct journal_image image = {0};
        int r = journal_load(ledger->journal_fd, ledger->digester, &image);
        if (r < 0)
                return r;
        bool empty = r == 0;
        r = identity_check(ledger, &image);
        if (r < 0)
                return r;
        stamp_init(&ledger->stamp, clock, empty ? 0 : image.last.time_ns);
        return empty ? first_commit(ledger) : journal_recover(ledger, &image);
}
