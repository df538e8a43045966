/*
 * Ed25519 keys (RFC 8032) and how C2SP signed-note names them.
 *
 *   verifier key  NAME+ID+BASE64(0x01 PUBLIC)              published
 *   signer key    PRIVATE+KEY+NAME+ID+BASE64(0x01 SEED)    STATE/keys/ledger.key, mode 0400
 *
 * ID is the first four bytes of SHA-256(NAME "\n" TYPE PUBLIC) as eight hex digits. The same
 * pair makes two kinds of signatures, told apart by TYPE: over the note as it is, and over the
 * note with a time before it (c2sp.org/tlog-cosignature). Texts are parsed as hostile.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define KEY_NAME_SIZE       128
#define KEY_BYTES           32
#define KEY_SIGNATURE_BYTES 64
#define KEY_TYPE_NOTE       0x01
#define KEY_TYPE_TIMED      0x04

struct verifier_key {
        char name[KEY_NAME_SIZE];
        uint8_t public_key[KEY_BYTES];
};

struct signing_key;

/* Makes the pair of a seed of KEY_BYTES. Returns 0, -EINVAL (name), -ENOMEM or -EIO. */
int signing_key_new(const char *name, const uint8_t seed[static KEY_BYTES], struct signing_key **ret_key);
struct signing_key *signing_key_free(struct signing_key *key);
DEFINE_CLEANUP(struct signing_key *, signing_key_free);

const struct verifier_key *signing_key_verifier(const struct signing_key *key);
int signing_key_sign(const struct signing_key *key, const void *data, size_t size,
                     uint8_t ret_signature[static KEY_SIGNATURE_BYTES]);

/* Text of the pair, without a newline. The parsers take one optional newline at the end; -EINVAL otherwise.
 */
int signing_key_format(const struct signing_key *key, struct buffer *buffer);
int signing_key_parse(const char *text, size_t size, struct signing_key **ret_key);
int verifier_key_format(const struct verifier_key *key, struct buffer *buffer);
int verifier_key_parse(const char *text, size_t size, struct verifier_key *ret_key);

uint32_t verifier_key_id(const struct verifier_key *key, uint8_t type);

/* Returns 0, -EKEYREJECTED (the signature is not of this key over this data), or -EIO. */
int verifier_key_check(const struct verifier_key *key, const void *data, size_t size,
                       const uint8_t signature[static KEY_SIGNATURE_BYTES]);

/* A name the formats can carry: not empty, no blanks, no plus sign, no control characters. */
bool key_name_valid(const char *name, size_t size);

/* RFC 4648 base64 with padding; decoding takes nothing else. base64_decode returns the bytes or -EINVAL. */
int base64_append(struct buffer *buffer, const void *data, size_t size);
ssize_t base64_decode(const char *text, size_t size, void *ret_data, size_t capacity);
