/*
 * Seals: what an intruder cannot rewrite even with every key that is on the machine when he arrives.
 *
 * Each seal says "at this time the log had this size and root, and the next seal will be of this key", signed
 * by a key that is destroyed as it is made. The chain begins at the public key in STATE/ledger/seal.pub.
 * Whoever kept that file elsewhere can tell that no entry older than the last seal
 * before the intrusion was altered or taken out, even if the log's own key was stolen.
 *
 *   STATE/ledger/seals      records of 184 bytes, numbers big-endian:
 *     0 u64 epoch   8 u64 size   16 u64 time in seconds   24 root[32]   56 log[32]   88 next public key[32]
 *     120 signature[64] over "hinomi-seal/v1\n" and the 120 bytes before
 *     (`log` is the SHA-256 of the log's verifier key text)
 *   STATE/keys/seal.key     "hinomi-seal-key\n", u64 epoch, seed[32], then the last seal (zeros at epoch 0)
 *
 * A seal is in its place before seal.key is replaced, as a whole; so its copy of the last seal also tells that `seals` was cut off.
 *
 * Limits: entries younger than the last seal (made with the first commit, then at most once a minute) are
 * protected only by what was sent off the machine. A destroyed seed is overwritten in place as far as the
 * file system and the medium do so. Somebody who holds a copy of the whole of STATE/keys from an earlier
 * day can set everything back to that day; only a checkpoint kept elsewhere (verify --against) shows it.
 */
#pragma once

#include "base/digest.h"
#include "ledger/key.h"
#include "ledger/world.h"

#define SEALS_NAME          "seals"
#define SEAL_KEY_NAME       "seal.key"
#define SEAL_BYTES          184
#define SEAL_KEY_FILE_BYTES (16 + 8 + KEY_BYTES + SEAL_BYTES)

struct seal {
        uint64_t epoch;
        uint64_t size;
        uint64_t time_s;
        struct digest root;
        struct digest log;
        uint8_t next_public_key[KEY_BYTES];
        uint8_t signature[KEY_SIGNATURE_BYTES];
};

void seal_encode(const struct seal *seal, uint8_t ret_bytes[static SEAL_BYTES]);
void seal_decode(const uint8_t bytes[static SEAL_BYTES], struct seal *ret_seal);

/* Returns 0, -EKEYREJECTED, or -EIO. */
int seal_check(const struct seal *seal, const struct verifier_key *key);

/* The key file. seal_key_decode() returns 0 or -EBADMSG; at epoch 0 the seal is all zeros. */
struct seal_key {
        uint64_t epoch;
        uint8_t seed[KEY_BYTES];
        struct seal last;
};

int seal_key_decode(const void *bytes, size_t size, struct seal_key *ret_key);
void seal_key_encode(const struct seal_key *key, uint8_t ret_bytes[static SEAL_KEY_FILE_BYTES]);
void seal_key_erase(struct seal_key *key);

/*
 * Signs the next seal (epoch, log, next key filled in here) with `key` and replaces `key` by its
 * successor, in memory alone.
 */
int seal_key_advance(struct seal_key *key, const struct ledger_world *world, struct seal *seal);

/* Writes STATE/keys/seal.key, durable, and overwrites the file it takes the place of. */
int seal_key_store(const struct seal_key *key, const struct ledger_world *world, int keys_fd);

/* The public half of the present key, under the chain's name. */
int seal_key_public(const struct seal_key *key, uint8_t ret_public_key[static KEY_BYTES]);
