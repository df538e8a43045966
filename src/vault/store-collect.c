/*
 * Room: what the caller chooses goes (vault/retention.h). In a pack it only becomes dead space, so packs
 * with much of it are repacked: what lives is appended to the last pack, synced and indexed, and then
 * the old pack is removed. After a crash in between both copies are there, which costs room and nothing else.
 */
#include <string.h>

#include "base/cleanup.h"
#include "vault/store-private.h"

#define MOSTLY_DEAD      0.5
#define REPACKED_AT_ONCE 4 /* packs with something alive in them, when nothing is short of room */

struct candidates {
        struct index_entry *items;
        size_t n, capacity;
};

static int collect_candidate(const struct index_entry *entry, void *userdata) {
        struct candidates *candidates = userdata;
        if (candidates->n == candidates->capacity) {
                size_t capacity = candidates->capacity ? 2 * candidates->capacity : 1024;
                struct index_entry *items = reallocarray(candidates->items, capacity, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                candidates->items = items;
                candidates->capacity = capacity;
        }
        candidates->items[candidates->n++] = *entry;
        return 0;
}

static void candidates_deinit(struct candidates *candidates) {
        free(candidates->items);
}

struct objects {
        struct store_object *items;
        size_t n, capacity;
};

static void objects_deinit(struct objects *objects) {
        free(objects->items);
}

static uint64_t dead_bytes(const struct store *store) {
        uint64_t dead = 0;
        for (size_t i = 0; i < store->n_packs; i++)
                dead += store->packs[i].end - store->packs[i].live_bytes;
        return dead;
}

/* How much has to go; 0: budget and reserve hold. */
static uint64_t missing_bytes(struct store *store, uint64_t wanted) {
        uint64_t refused = store->refused_bytes;
        store->free_bytes = 0; /* ask the file system again */
        uint64_t stored = store_stored_bytes(store), budget = store->options.budget_bytes;
        uint64_t missing = budget && stored + wanted > budget ? stored + wanted - budget : 0;
        if (store_reserve(store, missing ? 0 : wanted) < 0) {
                uint64_t need = wanted + store->options.reserve_bytes;
                uint64_t short_of = need > store->free_bytes ? need - store->free_bytes : 0;
                missing = missing > short_of ? missing : short_of;
        }
        store->refused_bytes = refused;
        return missing;
}

static int evict(struct store *store, const struct index_entry *entry) {
        int r = index_remove(&store->index, &entry->digest);
        if (r < 0)
                return r;
        struct pack *pack = packs_find(store, entry->pack);
        if (pack)
                pack->live_bytes -= RECORD_BYTES + entry->stored_bytes;
        else
                store->large_bytes -= entry->stored_bytes;
        store->n_objects--;
        store->raw_bytes -= entry->raw_bytes;
        return 0;
}

static int list_object(const struct index_entry *entry, void *userdata) {
        struct objects *objects = userdata;
        if (objects->n == objects->capacity)
                return -EOVERFLOW;
        objects->items[objects->n++] = (struct store_object){
                .digest = entry->digest,
                .stored_bytes = entry->stored_bytes + (entry->pack ? RECORD_BYTES : 0),
                .time_ns = entry->time_ns,
        };
        return 0;
}

/* Takes what was chosen out of the index; the caller rolls back. Says what has a file of its own. */
static int evict_chosen(struct store *store, const struct store_object *objects, size_t n,
                        struct candidates *large) {
        for (size_t i = 0; i < n; i++) {
                struct index_entry entry;
                int r = index_find(&store->index, &objects[i].digest, &entry);
                if (r == 0)
                        r = evict(store, &entry);
                if (r == 0 && !entry.pack)
                        r = collect_candidate(&entry, large);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int evict_durably(struct store *store, const struct store_object *objects, size_t n) {
        _cleanup_(candidates_deinit) struct candidates large = {.n = 0};
        int r = index_begin(&store->index);
        if (r < 0)
                return r;
        r = evict_chosen(store, objects, n, &large);
        if (r == 0)
                r = index_commit(&store->index);
        if (r < 0) {
                index_rollback(&store->index);
                return store_recount(store) ?: r;
        }
        for (size_t i = 0; r == 0 && i < large.n; i++)
                r = large_remove(store, &large.items[i]);
        return r;
}

static int evict_what_is_chosen(struct store *store, uint64_t missing, store_choose choose, void *userdata) {
        _cleanup_(objects_deinit) struct objects objects = {.capacity = store->n_objects + 1};
        objects.items = calloc(objects.capacity, sizeof(*objects.items));
        int r = objects.items ? index_each(&store->index, INDEX_BY_TIME, list_object, &objects) : -ENOMEM;
        if (r < 0)
                return r;
        ssize_t n = choose(objects.items, objects.n, missing, userdata);
        return n <= 0 ? (int)n : evict_durably(store, objects.items, (size_t)n);
}

struct repack {
        struct store *store;
        struct candidates *candidates;
        uint32_t number;
};

static int collect_in_pack(const struct index_entry *entry, void *userdata) {
        struct repack *repack = userdata;
        return entry->pack == repack->number ? collect_candidate(entry, repack->candidates) : 0;
}

/* Moves one record as it is; a damaged one is left out of the new pack, and out of the index. */
static int move_object(struct store *store, struct store_worker *worker, const struct index_entry *entry) {
        struct index_entry moved = *entry;
        int r = store_read_small(store, worker, entry);
        if (r == -EBADMSG)
                return index_remove(&store->index, &entry->digest);
        if (r == 0 && index_is_full(&store->index))
                r = store_flush(store);
        if (r == 0)
                r = packs_append(store, &moved, worker->stored);
        return r < 0 ? r : index_add(&store->index, &moved);
}

static int repack(struct store *store, uint32_t number) {
        _cleanup_(candidates_deinit) struct candidates live = {.n = 0};
        struct repack collect = {.store = store, .candidates = &live, .number = number};
        int r = index_each(&store->index, INDEX_BY_DIGEST, collect_in_pack, &collect);
        if (r == 0 && number == store->packs[store->n_packs - 1].number)
                r = packs_rotate(store);
        struct store_worker *worker = worker_take(store);
        if (!worker)
                r = -ENOMEM;
        for (size_t i = 0; r == 0 && i < live.n; i++)
                r = move_object(store, worker, &live.items[i]);
        worker_give(store, worker);
        if (r == 0)
                r = store_flush(store);
        if (r == 0)
                r = index_forget_pack(&store->index, number);
        /* What moved is on disk by the flush; without this a power cut would cost a rebuild of the index. */
        if (r == 0)
                r = index_sync(&store->index);
        return r < 0 ? r : packs_remove(store, number);
}

/* The pack with the largest dead part of more than that, if there is any. */
static struct pack *most_dead(struct store *store, double most_share) {
        struct pack *most = NULL;
        for (size_t i = 0; i < store->n_packs; i++) {
                struct pack *pack = &store->packs[i];
                double share = pack->end ? 1 - (double)pack->live_bytes / (double)pack->end : 0;
                if (share > most_share) {
                        most = pack;
                        most_share = share;
                }
        }
        return most;
}

static int repack_counted(struct store *store, uint32_t number) {
        int r = repack(store, number);
        if (r < 0)
                store_recount(store);
        return r;
}

static int repack_until_fits(struct store *store, uint64_t wanted) {
        int r = 0;
        while (r == 0 && missing_bytes(store, wanted)) {
                struct pack *pack = most_dead(store, 0);
                r = pack ? repack_counted(store, pack->number) : -ENOSPC;
        }
        return r;
}

/* 1: there are more. */
static int repack_mostly_dead(struct store *store) {
        struct pack *pack;
        for (size_t n = 0; (pack = most_dead(store, MOSTLY_DEAD));) {
                n += pack->live_bytes > 0;
                if (n > REPACKED_AT_ONCE)
                        return 1;
                int r = repack_counted(store, pack->number);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int collect(struct store *store, uint64_t wanted, store_choose choose, void *userdata) {
        int r = store_flush(store);
        if (r < 0)
                return r;
        uint64_t missing = missing_bytes(store, wanted), dead = dead_bytes(store);
        if (!missing && wanted >= store->refused_bytes)
                store->refused_bytes = 0;
        /* Some more than needed, or every next put would come back here. */
        uint64_t must_go = missing ? missing + store->options.budget_bytes / 20 : 0;
        r = evict_what_is_chosen(store, must_go > dead ? must_go - dead : 0, choose, userdata);
        if (r == 0 && missing)
                r = repack_until_fits(store, wanted);
        if (r == 0 && missing)
                store->refused_bytes = 0;
        return r < 0 ? r : repack_mostly_dead(store);
}

int store_collect(struct store *store, uint64_t wanted_bytes, store_choose choose, void *userdata) {
        if (store->read_only)
                return -EROFS;
        pthread_mutex_lock(&store->mutex);
        int r = collect(store, wanted_bytes, choose, userdata);
        pthread_mutex_unlock(&store->mutex);
        return r;
}

int store_verify(struct store *store, void (*report)(const struct digest *digest, int error, void *userdata),
                 void *userdata) {
        _cleanup_(candidates_deinit) struct candidates all = {.n = 0};
        pthread_mutex_lock(&store->mutex);
        int r = store->read_only ? 0 : store_flush(store);
        if (r == 0)
                r = index_each(&store->index, INDEX_BY_DIGEST, collect_candidate, &all);
        pthread_mutex_unlock(&store->mutex);
        struct store_worker *worker = r == 0 ? worker_take(store) : NULL;
        if (!worker)
                return r < 0 ? r : -ENOMEM;
        int n_damaged = 0;
        for (size_t i = 0; i < all.n; i++) {
                int error = all.items[i].pack ? store_read_small(store, worker, &all.items[i])
                                              : large_get(store, worker, &all.items[i], -1);
                if (error == 0)
                        continue;
                n_damaged++;
                if (report)
                        report(&all.items[i].digest, error, userdata);
        }
        worker_give(store, worker);
        return n_damaged;
}
