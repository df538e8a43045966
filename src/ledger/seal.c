#include "ledger/seal.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>

#include "ledger/format.h"

#define KEY_MAGIC      "hinomi-seal-key\n"
#define SEAL_CONTEXT   "hinomi-seal/v1\n"
#define CONTEXT_BYTES  (sizeof(SEAL_CONTEXT) - 1)
#define SEAL_SIGNED    (SEAL_BYTES - KEY_SIGNATURE_BYTES)
#define SEAL_KEY_LABEL "seal" /* only the key's bytes matter here */

void seal_encode(const struct seal *seal, uint8_t ret_bytes[static SEAL_BYTES]) {
        put_u64(ret_bytes, seal->epoch);
        put_u64(ret_bytes + 8, seal->size);
        put_u64(ret_bytes + 16, seal->time_s);
        memcpy(ret_bytes + 24, seal->root.bytes, DIGEST_BYTES);
        memcpy(ret_bytes + 56, seal->log.bytes, DIGEST_BYTES);
        memcpy(ret_bytes + 88, seal->next_public_key, KEY_BYTES);
        memcpy(ret_bytes + SEAL_SIGNED, seal->signature, KEY_SIGNATURE_BYTES);
}

void seal_decode(const uint8_t bytes[static SEAL_BYTES], struct seal *ret_seal) {
        ret_seal->epoch = get_u64(bytes);
        ret_seal->size = get_u64(bytes + 8);
        ret_seal->time_s = get_u64(bytes + 16);
        memcpy(ret_seal->root.bytes, bytes + 24, DIGEST_BYTES);
        memcpy(ret_seal->log.bytes, bytes + 56, DIGEST_BYTES);
        memcpy(ret_seal->next_public_key, bytes + 88, KEY_BYTES);
        memcpy(ret_seal->signature, bytes + SEAL_SIGNED, KEY_SIGNATURE_BYTES);
}

static void seal_text(const struct seal *seal, uint8_t ret_text[static CONTEXT_BYTES + SEAL_SIGNED]) {
        uint8_t bytes[SEAL_BYTES];
        seal_encode(seal, bytes);
        memcpy(ret_text, SEAL_CONTEXT, CONTEXT_BYTES);
        memcpy(ret_text + CONTEXT_BYTES, bytes, SEAL_SIGNED);
}

int seal_check(const struct seal *seal, const struct verifier_key *key) {
        uint8_t text[CONTEXT_BYTES + SEAL_SIGNED];
        seal_text(seal, text);
        return verifier_key_check(key, text, sizeof(text), seal->signature);
}

int seal_key_decode(const void *bytes, size_t size, struct seal_key *ret_key) {
        const uint8_t *p = bytes;
        if (size != SEAL_KEY_FILE_BYTES || memcmp(p, KEY_MAGIC, 16))
                return -EBADMSG;
        ret_key->epoch = get_u64(p + 16);
        memcpy(ret_key->seed, p + 24, KEY_BYTES);
        seal_decode(p + 24 + KEY_BYTES, &ret_key->last);
        return 0;
}

void seal_key_encode(const struct seal_key *key, uint8_t ret_bytes[static SEAL_KEY_FILE_BYTES]) {
        memcpy(ret_bytes, KEY_MAGIC, 16);
        put_u64(ret_bytes + 16, key->epoch);
        memcpy(ret_bytes + 24, key->seed, KEY_BYTES);
        seal_encode(&key->last, ret_bytes + 24 + KEY_BYTES);
}

void seal_key_erase(struct seal_key *key) {
        OPENSSL_cleanse(key, sizeof(*key));
}

int seal_key_public(const struct seal_key *key, uint8_t ret_public_key[static KEY_BYTES]) {
        _cleanup_(signing_key_freep) struct signing_key *pair = NULL;
        int r = signing_key_new(SEAL_KEY_LABEL, key->seed, &pair);
        if (r == 0)
                memcpy(ret_public_key, signing_key_verifier(pair)->public_key, KEY_BYTES);
        return r;
}

int seal_key_advance(struct seal_key *key, const struct ledger_world *world, struct seal *seal) {
        struct seal_key next = {.epoch = key->epoch + 1};
        uint8_t text[CONTEXT_BYTES + SEAL_SIGNED];
        _cleanup_(signing_key_freep) struct signing_key *pair = NULL;
        seal->epoch = key->epoch;
        int r = world->random(world->userdata, next.seed, sizeof(next.seed));
        if (r == 0)
                r = seal_key_public(&next, seal->next_public_key);
        if (r == 0)
                r = signing_key_new(SEAL_KEY_LABEL, key->seed, &pair);
        if (r == 0) {
                seal_text(seal, text);
                r = signing_key_sign(pair, text, sizeof(text), seal->signature);
        }
        if (r == 0) {
                next.last = *seal;
                *key = next;
        }
        seal_key_erase(&next);
        return r;
}

int seal_key_store(const struct seal_key *key, const struct ledger_world *world, int keys_fd) {
        _cleanup_(fd_closep) int old_fd = openat(keys_fd, SEAL_KEY_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        uint8_t bytes[SEAL_KEY_FILE_BYTES];
        seal_key_encode(key, bytes);
        const struct iovec content = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        int r = world_replace_file(world, keys_fd, SEAL_KEY_NAME, &content, 0600);
        OPENSSL_cleanse(bytes, sizeof(bytes));
        if (r == 0 && old_fd >= 0) {
                /* the name is gone for good; what lay there is worth an attempt, not an error */
                const uint8_t zeros[SEAL_KEY_FILE_BYTES] = {0};
                if (world->pwrite(world->userdata, old_fd, zeros, sizeof(zeros), 0) == 0)
                        world->sync(world->userdata, old_fd, 1);
        }
        return r;
}
