/*
 * The content-addressed store: bytes kept by their SHA-256.
 *
 *   STATE/vault/packs/NNNNNNNN.pack   small objects, appended; one writer
 *   STATE/vault/large/ab/<digest>.raw large objects, one file each: reflinked where the file system can,
 *   STATE/vault/large/ab/<digest>.zst …or a zstd frame
 *   STATE/vault/index.sqlite          digest -> where it lies; rebuilt from the packs when lost or corrupt
 *
 * One process (the sentry) writes; within it every function is thread-safe. Objects
 * are compressed with zstd unless that gains nothing. What is read back is checked
 * against its digest: -EBADMSG is a damaged object, never silently wrong content.
 * The budget counts bytes on disk; see store_collect().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/digest.h"

/* Most that an object can need on disk. */
#define STORE_BYTES_FOR(raw_bytes) ((raw_bytes) + (raw_bytes) / 128 + 128)

struct store;

struct store_options {
        uint64_t budget_bytes;  /* 0: no bound */
        uint64_t reserve_bytes; /* free space always left on the file system */
};

struct store_usage {
        uint64_t n_objects;
        uint64_t stored_bytes; /* on disk */
        uint64_t raw_bytes;    /* as restored */
        uint64_t budget_bytes;
        uint64_t free_bytes; /* of the file system */
        bool full;           /* a put was refused for want of room, and there still is none */
        bool rebuilt;        /* the index was missing or damaged when the store was opened, and made again */
};

/* Creates what is missing. -EWOULDBLOCK: another process has it open for writing. */
int store_open(const char *state, const struct store_options *options, struct store **ret_store);
/* For reading only, without a lock: `restore --dry-run`, verify. */
int store_open_readonly(const char *state, struct store **ret_store);
struct store *store_close(struct store *store);
DEFINE_CLEANUP(struct store *, store_close);

/*
 * Keeps the content of a regular file read by pread(2) from `fd`; already kept content
 * costs a hash and nothing on disk. -ENOSPC: budget or disk; the vault is unchanged.
 * `ret_size_bytes` may be NULL. Durable after store_sync().
 */
int store_put_file(struct store *store, int fd, struct digest *ret_digest, uint64_t *ret_size_bytes);
int store_put_bytes(struct store *store, const void *data, size_t size, struct digest *ret_digest);
int store_sync(struct store *store);

/* Gives back the memory that puts and gets keep for the next one. */
void store_trim(struct store *store);

bool store_has(struct store *store, const struct digest *digest);

/* Writes the object to `fd` from its offset 0. -ENOENT, -EBADMSG, or write's errno. */
int store_get_file(struct store *store, const struct digest *digest, int fd);
int store_get_bytes(struct store *store, const struct digest *digest, struct buffer *buffer);

int store_usage(struct store *store, struct store_usage *ret_usage);

struct store_object {
        struct digest digest;
        uint64_t stored_bytes; /* that go with it */
        uint64_t time_ns;      /* when it was put */
        uint64_t rank;         /* for `choose` to sort by */
};

/*
 * Moves those of the objects that shall go to the front and returns how many, or a negative errno: then
 * nothing goes. `missing_bytes` have to go for the room that is wanted; 0: there is room. Is shown
 * all objects, oldest first, also what was put and is not approved yet. Must not call the store.
 */
typedef ssize_t (*store_choose)(struct store_object *objects, size_t n, uint64_t missing_bytes,
                                void *userdata);
/*
 * Removes what `choose` says, and gives the space back to the file system: until the budget and the
 * reserve hold with `wanted_bytes` to spare, and then some packs that are mostly dead space. Returns 0, 1 when
 * there are more of those (call again when there is time), or -ENOSPC when too little was chosen.
 */
int store_collect(struct store *store, uint64_t wanted_bytes, store_choose choose, void *userdata);

/* Reads every object back; calls `report` for each damaged one. Returns the number of those or an errno. */
int store_verify(struct store *store, void (*report)(const struct digest *digest, int error, void *userdata),
                 void *userdata);
