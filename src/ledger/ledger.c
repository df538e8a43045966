#include "ledger/ledger.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "ledger/checkpoint.h"
#include "ledger/writer.h"

int ledger_open(const char *state, const struct clock *clock, const struct ledger_world *world,
                struct ledger **ret_ledger) {
        _cleanup_(ledger_closep) struct ledger *ledger = calloc(1, sizeof(*ledger));
        if (!ledger)
                return -ENOMEM;
        ledger->world = world ? world : &ledger_world_system;
        ledger->directory_fd = ledger->keys_fd = ledger->journal_fd = ledger->seals_fd = -EBADF;
        edge_init(&ledger->edge);
        buffer_init(&ledger->batch.entries, LEDGER_BATCH_BYTES_MAX + 1);
        ledger->digester = digester_new();
        ledger->batch.leaves = calloc(LEDGER_BATCH_ENTRIES_MAX, sizeof(*ledger->batch.leaves));
        if (!ledger->digester || !ledger->batch.leaves)
                return -ENOMEM;
        int r = writer_create(ledger, state);
        if (r < 0)
                return r;
        publisher_init(&ledger->publisher, ledger->world, ledger->directory_fd);
        r = writer_recover(ledger, clock);
        if (r < 0)
                return r;
        *ret_ledger = STEAL(ledger);
        return 0;
}

struct ledger *ledger_close(struct ledger *ledger) {
        if (!ledger)
                return NULL;
        publisher_deinit(&ledger->publisher);
        edge_deinit(&ledger->edge);
        buffer_deinit(&ledger->batch.entries);
        buffer_deinit(&ledger->note);
        buffer_deinit(&ledger->identity_text);
        buffer_deinit(&ledger->record);
        free(ledger->batch.leaves);
        seal_key_erase(&ledger->seal_key);
        signing_key_free(ledger->key);
        digester_free(ledger->digester);
        fd_closep(&ledger->seals_fd);
        fd_closep(&ledger->journal_fd);
        fd_closep(&ledger->keys_fd);
        fd_closep(&ledger->directory_fd);
        free(ledger);
        return NULL;
}

uint64_t ledger_size(const struct ledger *ledger) {
        return ledger->edge.frontier.size;
}

uint64_t ledger_recovered(const struct ledger *ledger) {
        return ledger->recovered;
}

uint64_t ledger_time(struct ledger *ledger) {
        return stamp_next(&ledger->stamp);
}

int64_t ledger_clock_step(struct ledger *ledger) {
        return stamp_step(&ledger->stamp);
}

int ledger_add(struct ledger *ledger, const void *entry, size_t size, uint64_t *ret_index) {
        if (ledger->batch.count == LEDGER_BATCH_ENTRIES_MAX)
                return -ENOBUFS;
        int r = tree_leaf_hash(ledger->digester, entry, size, &ledger->batch.leaves[ledger->batch.count]);
        if (r == 0)
                r = bundle_append(&ledger->batch.entries, entry, size);
        if (r < 0)
                return r == -EFBIG ? -ENOBUFS : r;
        *ret_index = ledger_size(ledger) + ledger->batch.count++;
        return 0;
}

/* The checkpoint of the log with the batch in it. */
static int batch_sign(struct ledger *ledger, uint64_t time_ns, struct buffer *note) {
        struct frontier frontier = ledger->edge.frontier;
        struct digest root;
        for (uint32_t i = 0; i < ledger->batch.count; i++) {
                int r = frontier_add(ledger->digester, &frontier, &ledger->batch.leaves[i]);
                if (r < 0)
                        return r;
        }
        int r = frontier_root(ledger->digester, &frontier, &root);
        return r < 0 ? r : checkpoint_sign(ledger->key, frontier.size, &root, time_ns / NS_PER_S, note);
}

static int publish(struct ledger *ledger) {
        int r = publisher_publish(&ledger->publisher, &ledger->edge, ledger->note.data, ledger->note.size);
        if (r == 0)
                ledger->publisher.recovering = false;
        return r;
}

int ledger_settle(struct ledger *ledger) {
        int r = publish(ledger);
        return r < 0 ? r : publisher_settle(&ledger->publisher);
}

/* Puts one record where the journal goes on, or at the start of the other area once all is settled. */
static int journal_append(struct ledger *ledger, struct journal_record *record) {
        unsigned area = ledger->journal.area;
        size_t offset = ledger->journal.used_bytes;
        if (offset + journal_record_bytes(record) > JOURNAL_AREA_BYTES) {
                int r = ledger_settle(ledger);
                if (r < 0)
                        return r;
                area = !area;
                offset = 0;
        }
        record->sequence = ledger->journal.sequence + 1;
        record->previous = offset ? ledger->journal.last : (struct digest){0};
        buffer_clear(&ledger->record);
        int r = journal_record_encode(ledger->digester, record, &ledger->record);
        if (r == 0)
                r = ledger->world->pwrite(ledger->world->userdata, ledger->journal_fd, ledger->record.data,
                                          ledger->record.size, journal_area_offset(area) + offset);
        if (r == 0)
                r = ledger->world->sync(ledger->world->userdata, ledger->journal_fd, 1);
        if (r < 0)
                return r;
        if (offset == 0)
                ledger->publisher.base_size = record->first_index;
        ledger->journal.sequence = record->sequence;
        ledger->journal.last = record->digest;
        ledger->journal.area = area;
        ledger->journal.used_bytes = offset + journal_record_bytes(record);
        return 0;
}

/* The batch is durable: memory follows. */
static int batch_absorb(struct ledger *ledger) {
        size_t offset = 0, size;
        const char *entry;
        while (bundle_next(ledger->batch.entries.data, ledger->batch.entries.size, &offset, &entry, &size) >
               0) {
                int r = edge_add(&ledger->edge, ledger->digester, entry, size, publisher_take,
                                 &ledger->publisher);
                if (r < 0)
                        return r;
        }
        buffer_clear(&ledger->batch.entries);
        ledger->batch.count = 0;
        return 0;
}

int ledger_commit(struct ledger *ledger) {
        if (ledger->broken)
                return -ENOTRECOVERABLE;
        _cleanup_(buffer_deinit) struct buffer note = {0};
        struct journal_record record = {
                .first_index = ledger_size(ledger),
                .time_ns = ledger_time(ledger),
                .n_entries = ledger->batch.count,
                .entries = ledger->batch.entries.data,
                .entries_bytes = ledger->batch.entries.size,
        };
        int r = frontier_root(ledger->digester, &ledger->edge.frontier, &record.root_before);
        if (r == 0)
                r = batch_sign(ledger, record.time_ns, &note);
        if (r < 0)
                return r;
        record.note = note.data;
        record.note_bytes = note.size;
        r = journal_append(ledger, &record);
        if (r < 0)
                return r;

        buffer_deinit(&ledger->note);
        ledger->note = note;
        note = (struct buffer){0};
        if (batch_absorb(ledger) < 0) {
                ledger->broken = true;
                return LEDGER_UNPUBLISHED;
        }
        return publish(ledger) < 0 ? LEDGER_UNPUBLISHED : 0;
}

/* The journal under its name is the one that is open. */
static bool journal_in_place(const struct ledger *ledger) {
        struct stat named, open;
        return fstatat(ledger->keys_fd, JOURNAL_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
               fstat(ledger->journal_fd, &open) == 0 && named.st_dev == open.st_dev &&
               named.st_ino == open.st_ino && open.st_size == (off_t)JOURNAL_BYTES;
}

/* A journal that begins where the log is, all before being settled. */
static int journal_renew(struct ledger *ledger) {
        int r = ledger_settle(ledger);
        if (r == 0)
                r = writer_journal_create(ledger);
        if (r < 0)
                return r;
        ledger->journal.area = 0;
        ledger->journal.used_bytes = 0;
        r = ledger_commit(ledger);
        return r < 0 ? r : 0;
}

int ledger_repair(struct ledger *ledger) {
        if (ledger->broken)
                return -ENOTRECOVERABLE;
        bool journal = journal_in_place(ledger);
        bool files =
                publisher_intact(&ledger->publisher, &ledger->edge, ledger->note.data, ledger->note.size);
        int r = 0;
        if (!files) {
                ledger->publisher.recovering = true;
                r = publish(ledger);
        }
        if (r == 0 && !journal)
                r = journal_renew(ledger);
        return r < 0 ? r : !files || !journal;
}

/* In its place before the key that made it is destroyed; what a failed attempt left there is overwritten. */
static int seal_write(struct ledger *ledger, const struct seal *seal) {
        uint8_t bytes[SEAL_BYTES];
        seal_encode(seal, bytes);
        int r = ledger->world->pwrite(ledger->world->userdata, ledger->seals_fd, bytes, sizeof(bytes),
                                      seal->epoch * SEAL_BYTES);
        return r < 0 ? r : ledger->world->sync(ledger->world->userdata, ledger->seals_fd, 0);
}

/* After a failure to replace it: the key file is still the one in memory. */
static bool seal_key_stands(const struct ledger *ledger) {
        _cleanup_(buffer_deinit) struct buffer bytes = {0};
        struct seal_key key;
        bool stands = io_read_file(ledger->keys_fd, SEAL_KEY_NAME, &bytes) == 0 &&
                      seal_key_decode(bytes.data, bytes.size, &key) == 0 &&
                      key.epoch == ledger->seal_key.epoch;
        if (bytes.data)
                explicit_bzero(bytes.data, bytes.size);
        seal_key_erase(&key);
        return stands;
}

int ledger_seal(struct ledger *ledger, bool force) {
        uint64_t size = ledger_size(ledger);
        if (ledger->broken)
                return -ENOTRECOVERABLE;
        if (!force && ledger->sealed_size == size)
                return 0;
        struct seal seal = {
                .size = size,
                .time_s = ledger_time(ledger) / NS_PER_S,
                .log = ledger->identity,
        };
        struct seal_key key = ledger->seal_key;
        int r = frontier_root(ledger->digester, &ledger->edge.frontier, &seal.root);
        if (r == 0)
                r = seal_key_advance(&key, ledger->world, &seal);
        if (r == 0)
                r = seal_write(ledger, &seal);
        if (r == 0)
                r = seal_key_store(&key, ledger->world, ledger->keys_fd);
        if (r < 0 && !seal_key_stands(ledger))
                ledger->broken = true;
        if (r == 0) {
                ledger->seal_key = key;
                ledger->sealed_size = size;
        }
        seal_key_erase(&key);
        return r < 0 ? r : 1;
}
