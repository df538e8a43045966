/*
 * Where each object of the store lies. Made from the packs and the large objects and no more than a
 * memory of them: a lost or damaged index is made again.
 *
 * New entries wait in memory (`pending`) and are written in one sorted batch, because digests are spread
 * over the whole table. The caller locks, and syncs the packs before it flushes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "vault/database.h"
#include "vault/pack.h"

#define INDEX_PENDING_MAX 32768 /* about 3 MiB */

struct index_entry {
        struct digest digest;
        uint64_t offset; /* of the record in its pack */
        uint64_t stored_bytes;
        uint64_t raw_bytes;
        uint64_t time_ns;
        uint32_t pack; /* 0: a large object */
        enum codec codec;
};

struct index {
        struct database database;
        unsigned n_misses; /* look-ups that ended in the table for nothing */
        uint64_t *filter; /* Bloom filter of what is flushed, made when there are many of those; NULL: none */
        uint64_t filter_mask; /* number of its bits - 1 */
        unsigned n_flushes;
        bool spilled; /* the last flush entered what may not be on disk, behind the ends of packs */
        struct index_entry *pending;
        size_t n_pending;
        uint32_t *slots; /* open addressing: 1 + number in pending */
};

/* `path` NULL: in memory. -EBADMSG: to be made again. */
int index_open(const char *path, bool read_only, struct index *ret_index);
void index_close(struct index *index);

/* 0, -ENOENT, or a negative errno. */
int index_find(struct index *index, const struct digest *digest, struct index_entry *ret_entry);
/* Only among what is pending: enough when nothing was flushed since index_find(). */
int index_find_pending(struct index *index, const struct digest *digest, struct index_entry *ret_entry);
/* Gives back the memory of the filter. */
void index_trim(struct index *index);

static inline bool index_is_full(const struct index *index) {
        return index->n_pending >= INDEX_PENDING_MAX;
}
/* Adds to what is pending; -ENOBUFS: flush first. An entry that is there is replaced by the flush. */
int index_add(struct index *index, const struct index_entry *entry);
/* One transaction: what is pending, and how far each pack is indexed and on disk; `synced`: all of it is. */
struct index_pack {
        uint32_t pack;
        uint64_t end;
};
int index_flush(struct index *index, const struct index_pack *packs, size_t n_packs, bool synced);
/* How far a pack is indexed; 0: not at all. */
int index_pack_end(struct index *index, uint32_t pack, uint64_t *ret_end);

/* These write at once; begin and commit around many. Nothing may be pending. */
int index_begin(struct index *index);
int index_commit(struct index *index);
void index_rollback(struct index *index);
/* What was committed reaches the disk. */
int index_sync(struct index *index);
int index_remove(struct index *index, const struct digest *digest);
/* After a crash: forgets what a flush entered that was not synced. */
int index_forget_unsynced(struct index *index);
int index_forget_pack(struct index *index, uint32_t pack);

enum index_order {
        INDEX_BY_TIME,
        INDEX_BY_DIGEST,
        INDEX_PACKS, /* one entry a pack: its number, stored_bytes summed with headers, offset = indexed end
                      */
};
/* Visits everything that is flushed; a visit must not change the index. */
typedef int (*index_visit)(const struct index_entry *entry, void *userdata);
int index_each(struct index *index, enum index_order order, index_visit visit, void *userdata);
