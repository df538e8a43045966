/*
 * SHA-256 (FIPS 180-4) through OpenSSL's EVP, with the context kept for re-use
 * (fetching the algorithm for each file would cost more than hashing it).
 * A digester belongs to one thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

#define DIGEST_BYTES    32
#define DIGEST_HEX_SIZE (2 * DIGEST_BYTES + 1)

struct digest {
        uint8_t bytes[DIGEST_BYTES];
};

struct digester;

struct digester *digester_new(void);
struct digester *digester_free(struct digester *digester);
DEFINE_CLEANUP(struct digester *, digester_free);

/* digester_file() ends with -ECANCELED once `*stop` is set, by whatever thread. NULL: it never does. */
void digester_set_stop(struct digester *digester, const atomic_bool *stop);

/* begin, update any number of times, end. Each returns 0 or -EIO. */
int digester_begin(struct digester *digester);
int digester_update(struct digester *digester, const void *data, size_t size);
int digester_end(struct digester *digester, struct digest *ret_digest);

/* One call for bytes at hand. */
int digest_bytes(const void *data, size_t size, struct digest *ret_digest);

/*
 * Hashes a regular file from its start to its end by pread(2); the offset of
 * `fd` does not move. Returns 0, -EIO or read's negative errno.
 */
int digester_file(struct digester *digester, int fd, struct digest *ret_digest, uint64_t *ret_size_bytes);

void digest_format(const struct digest *digest, char ret_hex[static DIGEST_HEX_SIZE]);
int digest_parse(const char *hex, struct digest *ret_digest);

static inline bool digest_equal(const struct digest *a, const struct digest *b) {
        return !memcmp(a->bytes, b->bytes, DIGEST_BYTES);
}

static inline bool digest_is_zero(const struct digest *digest) {
        static const struct digest zero;
        return digest_equal(digest, &zero);
}
