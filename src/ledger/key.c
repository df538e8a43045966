#include "ledger/key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "ledger/format.h"

struct signing_key {
        struct verifier_key verifier;
        uint8_t seed[KEY_BYTES];
        EVP_PKEY *pair;
};

bool key_name_valid(const char *name, size_t size) {
        if (size == 0 || size >= KEY_NAME_SIZE)
                return false;
        for (size_t i = 0; i < size; i++)
                if (name[i] <= ' ' || name[i] == '+' || name[i] == 0x7f)
                        return false;
        return true;
}

int base64_append(struct buffer *buffer, const void *data, size_t size) {
        size_t text_size = (size + 2) / 3 * 4;
        int r = buffer_reserve(buffer, text_size + 1);
        if (r < 0)
                return r;
        buffer->size +=
                (size_t)EVP_EncodeBlock((unsigned char *)buffer->data + buffer->size, data, (int)size);
        return 0;
}

static int base64_value(char c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t base64_decode(const char *text, size_t size, void *ret_data, size_t capacity) {
        if (size % 4)
                return -EINVAL;
        size_t padding = size && text[size - 1] == '=' ? 1 + (size_t)(text[size - 2] == '=') : 0;
        size_t bytes = size / 4 * 3 - padding;
        if (bytes > capacity)
                return -EINVAL;
        uint8_t *out = ret_data;
        uint32_t bits = 0;
        for (size_t i = 0, n = 0; i < size; i++) {
                int value = i < size - padding ? base64_value(text[i]) : 0;
                if (value < 0)
                        return -EINVAL;
                bits = bits << 6 | (uint32_t)value;
                if (i % 4 != 3)
                        continue;
                for (int shift = 16; shift >= 0; shift -= 8) {
                        uint8_t byte = (uint8_t)(bits >> shift);
                        if (n < bytes)
                                out[n++] = byte;
                        else if (byte)
                                return -EINVAL; /* bits behind the last byte */
                }
                bits = 0;
        }
        return (ssize_t)bytes;
}

int signing_key_new(const char *name, const uint8_t seed[static KEY_BYTES], struct signing_key **ret_key) {
        if (!key_name_valid(name, strlen(name)))
                return -EINVAL;
        _cleanup_(signing_key_freep) struct signing_key *key = calloc(1, sizeof(*key));
        if (!key)
                return -ENOMEM;
        snprintf(key->verifier.name, sizeof(key->verifier.name), "%s", name);
        memcpy(key->seed, seed, KEY_BYTES);
        key->pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, KEY_BYTES);
        size_t size = KEY_BYTES;
        if (!key->pair || EVP_PKEY_get_raw_public_key(key->pair, key->verifier.public_key, &size) != 1)
                return -EIO;
        *ret_key = STEAL(key);
        return 0;
}

struct signing_key *signing_key_free(struct signing_key *key) {
        if (key) {
                EVP_PKEY_free(key->pair);
                OPENSSL_cleanse(key->seed, sizeof(key->seed));
                free(key);
        }
        return NULL;
}

const struct verifier_key *signing_key_verifier(const struct signing_key *key) {
        return &key->verifier;
}

static void md_context_freep(EVP_MD_CTX **context) {
        EVP_MD_CTX_free(*context);
}

static void pkey_freep(EVP_PKEY **pkey) {
        EVP_PKEY_free(*pkey);
}

int signing_key_sign(const struct signing_key *key, const void *data, size_t size,
                     uint8_t ret_signature[static KEY_SIGNATURE_BYTES]) {
        _cleanup_(md_context_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
        size_t signature_bytes = KEY_SIGNATURE_BYTES;
        if (!context || EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) != 1 ||
            EVP_DigestSign(context, ret_signature, &signature_bytes, data, size) != 1)
                return -EIO;
        return 0;
}

int verifier_key_check(const struct verifier_key *key, const void *data, size_t size,
                       const uint8_t signature[static KEY_SIGNATURE_BYTES]) {
        _cleanup_(md_context_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
        _cleanup_(pkey_freep) EVP_PKEY *pkey =
                EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->public_key, KEY_BYTES);
        if (!context || !pkey || EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) != 1)
                return -EIO;
        return EVP_DigestVerify(context, signature, KEY_SIGNATURE_BYTES, data, size) == 1 ? 0 : -EKEYREJECTED;
}

uint32_t verifier_key_id(const struct verifier_key *key, uint8_t type) {
        uint8_t text[KEY_NAME_SIZE + 2 + KEY_BYTES];
        size_t n = strlen(key->name);
        memcpy(text, key->name, n);
        text[n++] = '\n';
        text[n++] = type;
        memcpy(text + n, key->public_key, KEY_BYTES);
        struct digest digest = {0};
        digest_bytes(text, n + KEY_BYTES, &digest);
        return get_u32(digest.bytes);
}

static int key_format(struct buffer *buffer, const char *prefix, const struct verifier_key *verifier,
                      const uint8_t key[static KEY_BYTES]) {
        uint8_t typed[1 + KEY_BYTES] = {KEY_TYPE_NOTE};
        memcpy(typed + 1, key, KEY_BYTES);
        int r = buffer_format(buffer, "%s%s+%08x+", prefix, verifier->name,
                              verifier_key_id(verifier, KEY_TYPE_NOTE));
        if (r == 0)
                r = base64_append(buffer, typed, sizeof(typed));
        OPENSSL_cleanse(typed, sizeof(typed));
        return r;
}

int signing_key_format(const struct signing_key *key, struct buffer *buffer) {
        return key_format(buffer, "PRIVATE+KEY+", &key->verifier, key->seed);
}

int verifier_key_format(const struct verifier_key *key, struct buffer *buffer) {
        return key_format(buffer, "", key, key->public_key);
}

/* NAME+ID+BASE64, split; the id is checked by the caller, who knows the public half. */
static int key_parse(const char *text, size_t size, char ret_name[static KEY_NAME_SIZE], uint32_t *ret_id,
                     uint8_t ret_key[static KEY_BYTES]) {
        if (size && text[size - 1] == '\n')
                size--;
        const char *plus = memchr(text, '+', size);
        if (!plus || !key_name_valid(text, (size_t)(plus - text)))
                return -EINVAL;
        const char *id = plus + 1, *end = text + size;
        if (end - id < 9 || id[8] != '+')
                return -EINVAL;
        uint32_t value = 0;
        for (int i = 0; i < 8; i++) {
                const char *digit = strchr("0123456789abcdef", id[i]);
                if (!digit || !id[i])
                        return -EINVAL;
                value = value << 4 | (uint32_t)(digit - "0123456789abcdef");
        }
        uint8_t typed[1 + KEY_BYTES];
        if (base64_decode(id + 9, (size_t)(end - id - 9), typed, sizeof(typed)) != sizeof(typed) ||
            typed[0] != KEY_TYPE_NOTE)
                return -EINVAL;
        memcpy(ret_name, text, (size_t)(plus - text));
        ret_name[plus - text] = '\0';
        memcpy(ret_key, typed + 1, KEY_BYTES);
        *ret_id = value;
        OPENSSL_cleanse(typed, sizeof(typed));
        return 0;
}

int signing_key_parse(const char *text, size_t size, struct signing_key **ret_key) {
        static const char prefix[] = "PRIVATE+KEY+";
        char name[KEY_NAME_SIZE];
        uint8_t seed[KEY_BYTES];
        uint32_t id;
        if (size < sizeof(prefix) - 1 || memcmp(text, prefix, sizeof(prefix) - 1) ||
            key_parse(text + sizeof(prefix) - 1, size - (sizeof(prefix) - 1), name, &id, seed) < 0)
                return -EINVAL;
        _cleanup_(signing_key_freep) struct signing_key *key = NULL;
        int r = signing_key_new(name, seed, &key);
        OPENSSL_cleanse(seed, sizeof(seed));
        if (r < 0)
                return r;
        if (verifier_key_id(&key->verifier, KEY_TYPE_NOTE) != id)
                return -EINVAL;
        *ret_key = STEAL(key);
        return 0;
}

int verifier_key_parse(const char *text, size_t size, struct verifier_key *ret_key) {
        struct verifier_key key = {0};
        uint32_t id;
        if (key_parse(text, size, key.name, &id, key.public_key) < 0 ||
            verifier_key_id(&key, KEY_TYPE_NOTE) != id)
                return -EINVAL;
        *ret_key = key;
        return 0;
}
