/*
 * What the files of the store share.
 *
 *   store.c          open, close, put, get
 *   store-open.c     finding out what is there: recovery and rebuild
 *   store-collect.c  budget: eviction and repacking
 *   packs.c          the directory of packs; large.c: objects that have a file of their own
 *
 * One mutex guards everything in struct store but the pool of workers, which has its own. Reading,
 * hashing and compressing happen outside both.
 */
#pragma once

#include <pthread.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "vault/index.h"
#include "vault/store.h"

#define PACK_BYTES_MAX ((uint64_t)32 << 20) /* a pack is closed past this; repacking needs so much room */
#define LEVEL          1

/* Buffers and contexts for one put or get at a time. */
struct store_worker {
        struct store_worker *next;
        struct digester *digester;
        ZSTD_CCtx *compress;
        ZSTD_DCtx *decompress;
        uint8_t *raw;    /* PACK_OBJECT_BYTES_MAX + 1 */
        uint8_t *stored; /* RECORD_BYTES, then ZSTD_compressBound of that */
};

struct pack {
        uint32_t number;
        unsigned n_writing;  /* threads that write what they reserved */
        int fd;              /* open while it is written to; else -EBADF */
        uint64_t end;        /* size of the file, what is reserved included */
        uint64_t synced;     /* on disk up to here for sure */
        uint64_t started;    /* written back up to here, or about to be */
        uint64_t live_bytes; /* records that the index names */
};

/* A record that is being written, on the stack of who writes it. */
struct writing {
        struct writing *next;
        struct digest digest;
};

struct store {
        pthread_mutex_t mutex;
        struct store_options options;
        bool read_only;
        int vault_fd, packs_fd, large_fd;
        int lock_fd;
        struct index index;
        char *index_path;

        struct pack *packs; /* by number, ascending; the last one is appended to */
        size_t n_packs;
        bool any_new_pack;  /* whose name is not synced */
        unsigned n_writing; /* in all packs */
        bool draining;      /* somebody waits for that to be none: no new reservations */
        struct writing *writing;
        pthread_cond_t written;

        uint64_t n_objects, raw_bytes, large_bytes;
        uint64_t free_bytes, checked_bytes; /* of the file system; written since that was asked */
        uint64_t checked_ns;
        uint64_t refused_bytes; /* smallest put that found no room since one as large did; 0: none */
        bool rebuilt;

        pthread_mutex_t pool_mutex;
        struct store_worker *pool;
};

struct store_worker *worker_take(struct store *store);
void worker_give(struct store *store, struct store_worker *worker);
struct store_worker *worker_free(struct store_worker *worker);

/* Is there room for so many bytes more? 0 or -ENOSPC (and notes it). */
int store_reserve(struct store *store, uint64_t bytes);
uint64_t store_stored_bytes(const struct store *store);
/*
 * Flushes what is pending in the index after syncing what it names. Locked; the mutex may be released meanwhile.
 * store_spill() does not sync: what lies behind the synced part of its pack is read again after a crash.
 */
int store_flush(struct store *store);
int store_spill(struct store *store);
/* Adds an object that lies there now. Locked. */
int store_enter(struct store *store, const struct index_entry *entry);
uint64_t store_now_ns(void);

/* packs.c; locked */
int packs_list(struct store *store);
void packs_close(struct store *store);
struct pack *packs_find(struct store *store, uint32_t number);
int packs_open(const struct store *store, uint32_t number, int flags);
/* Room for a record at the end of the last pack: fills in the entry's place and says where to write to. */
int packs_reserve(struct store *store, struct index_entry *entry, int *ret_fd);
/* Writes a whole record, header first. Needs no lock. */
int packs_write(int fd, const struct index_entry *entry, const uint8_t *record);
/* Ends what packs_reserve() began; `result` is that of packs_write(). */
void packs_finish(struct store *store, const struct index_entry *entry, int result);
/* All three, locked. */
int packs_append(struct store *store, struct index_entry *entry, const uint8_t *record);
/* Waits until nothing is being written. */
void packs_drain(struct store *store);
/* Makes the header before the payload at record + RECORD_BYTES. Needs no lock. */
void packs_encode(const struct index_entry *entry, uint8_t *record);
int packs_sync(struct store *store);
int packs_remove(struct store *store, uint32_t number);
int packs_rotate(struct store *store);

/* large.c; not locked */
int large_put(struct store *store, struct store_worker *worker, int fd, struct digest *ret_digest,
              uint64_t *ret_size_bytes);
/* Checks the whole object, then writes it to `fd` (-1: only checks). */
int large_get(struct store *store, struct store_worker *worker, const struct index_entry *entry, int fd);
/* Checks an object of which only digest, codec and stored_bytes are known, and fills in raw_bytes. */
int large_measure(struct store *store, struct store_worker *worker, struct index_entry *entry);
int large_sync(struct store *store, const struct index_entry *entry);
int large_remove(struct store *store, const struct index_entry *entry);
/* Every large object that lies there: digest, codec, stored_bytes, time_ns. */
int large_each(struct store *store, index_visit visit, void *userdata);

/* Damage, unless it was memory that was missing: that must not cost an object. */
int zstd_errno(size_t code);

/* store-open.c */
int store_recover(struct store *store);
/* Sums up anew from the index. Locked. */
int store_recount(struct store *store);

/* The content of an object in a pack, checked, in worker->raw. */
int store_read_small(struct store *store, struct store_worker *worker, const struct index_entry *entry);
