/*
 * Finding out what is there when the store is opened. The packs and large objects are the truth:
 * - what was appended after the last flush of the index is entered now;
 * - a torn end of the last pack is cut off, as are files that do not hold what their name says;
 * - an index that is missing, damaged, or knows of more than there is, is made again.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "vault/store-private.h"

static void remove_index(struct store *store) {
        index_close(&store->index);
        unlinkat(store->vault_fd, "index.sqlite", 0);
        unlinkat(store->vault_fd, "index.sqlite-wal", 0);
        unlinkat(store->vault_fd, "index.sqlite-shm", 0);
}

struct scan {
        struct store *store;
        struct pack *pack;
};

static int enter_record(const struct record *record, uint64_t offset, void *userdata) {
        struct scan *scan = userdata;
        struct index_entry entry = {
                .digest = record->digest,
                .pack = scan->pack->number,
                .offset = offset,
                .stored_bytes = record->stored_bytes,
                .raw_bytes = record->raw_bytes,
                .time_ns = record->time_ns,
                .codec = record->codec,
        };
        int r = index_is_full(&scan->store->index) ? index_flush(&scan->store->index, NULL, 0, false) : 0;
        return r < 0 ? r : index_add(&scan->store->index, &entry);
}

/* Enters what lies behind the part of a pack that is indexed. -ESTALE: the index knows of more than there is.
 */
static int recover_pack(struct store *store, struct pack *pack) {
        uint64_t indexed = 0, end = 0;
        int r = index_pack_end(&store->index, pack->number, &indexed);
        if (r < 0 || indexed == pack->end)
                return r;
        if (indexed > pack->end)
                return -ESTALE;
        _cleanup_(fd_closep) int fd = packs_open(store, pack->number, store->read_only ? O_RDONLY : O_RDWR);
        if (fd < 0)
                return fd;
        struct scan scan = {.store = store, .pack = pack};
        r = pack_scan(fd, indexed, enter_record, &scan, &end);
        if (r < 0)
                return r;
        if (!store->read_only && end < pack->end && ftruncate(fd, (off_t)end) < 0)
                return -errno;
        pack->end = end;
        pack->synced = indexed; /* nobody knows about the rest */
        return 0;
}

/* A large object that the index does not know is entered when it is whole, and removed when not. */
static int recover_large(const struct index_entry *found, void *userdata) {
        struct store *store = userdata;
        struct index_entry entry;
        int r = index_find(&store->index, &found->digest, &entry);
        if (r != -ENOENT)
                return r;
        struct store_worker *worker = worker_take(store);
        entry = *found;
        r = worker ? large_measure(store, worker, &entry) : -ENOMEM;
        worker_give(store, worker);
        if (r == -EBADMSG)
                return store->read_only ? 0 : large_remove(store, found);
        if (r == 0 && index_is_full(&store->index))
                r = index_flush(&store->index, NULL, 0, false);
        return r < 0 ? r : index_add(&store->index, &entry);
}

/* Sums up by pack; -ESTALE when the index names a pack that is not there. */
static int sum_pack(const struct index_entry *sum, void *userdata) {
        struct store *store = userdata;
        struct pack *pack = packs_find(store, sum->pack);
        uint64_t n_objects = sum->offset;
        if (sum->pack && !pack)
                return -ESTALE;
        store->n_objects += n_objects;
        store->raw_bytes += sum->raw_bytes;
        if (pack)
                pack->live_bytes = sum->stored_bytes + n_objects * RECORD_BYTES;
        else
                store->large_bytes += sum->stored_bytes;
        return 0;
}

int store_recount(struct store *store) {
        store->n_objects = store->raw_bytes = store->large_bytes = 0;
        for (size_t i = 0; i < store->n_packs; i++)
                store->packs[i].live_bytes = 0;
        return index_each(&store->index, INDEX_PACKS, sum_pack, store);
}

static int recover_all(struct store *store) {
        int r = packs_list(store);
        if (r == 0)
                r = index_forget_unsynced(&store->index);
        for (size_t i = 0; r == 0 && i < store->n_packs; i++)
                r = recover_pack(store, &store->packs[i]);
        if (r == 0)
                r = large_each(store, recover_large, store);
        if (r == 0)
                r = store_flush(store);
        return r < 0 ? r : store_recount(store);
}

/* To be made again: damage, disagreement with the packs, or a first start. */
static bool is_unusable(int r) {
        return r == -EBADMSG || r == -ESTALE || r == -ENOENT;
}

static int recover_for_writing(struct store *store) {
        int r = index_open(store->index_path, false, &store->index);
        if (r == 0)
                r = recover_all(store);
        if (!is_unusable(r))
                return r;
        remove_index(store);
        store->rebuilt = true;
        r = index_open(store->index_path, false, &store->index);
        return r < 0 ? r : recover_all(store);
}

/* Nothing may be written: what is not indexed yet is indexed in memory, with everything else. */
int store_recover(struct store *store) {
        if (!store->read_only)
                return recover_for_writing(store);
        int r = index_open(store->index_path, true, &store->index);
        if (r == 0)
                r = packs_list(store);
        if (r == 0)
                r = store_recount(store);
        if (!is_unusable(r) && r != -EROFS && r != -EIO)
                return r;
        index_close(&store->index);
        store->rebuilt = true;
        r = index_open(NULL, false, &store->index);
        return r < 0 ? r : recover_all(store);
}
