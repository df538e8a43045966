#include "base/digest.h"

#include <openssl/evp.h>

#define DIGEST_READ_BYTES ((size_t)128 << 10)

struct digester {
        EVP_MD *algorithm;
        EVP_MD_CTX *context;
        unsigned char *block;
        const atomic_bool *stop;
};

struct digester *digester_new(void) {
        struct digester *digester = calloc(1, sizeof(*digester));
        if (!digester)
                return NULL;
        digester->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        digester->context = EVP_MD_CTX_new();
        if (!digester->algorithm || !digester->context)
                return digester_free(digester);
        return digester;
}

struct digester *digester_free(struct digester *digester) {
        if (digester) {
                EVP_MD_CTX_free(digester->context);
                EVP_MD_free(digester->algorithm);
                free(digester->block);
                free(digester);
        }
        return NULL;
}

void digester_set_stop(struct digester *digester, const atomic_bool *stop) {
        digester->stop = stop;
}

int digester_begin(struct digester *digester) {
        return EVP_DigestInit_ex2(digester->context, digester->algorithm, NULL) == 1 ? 0 : -EIO;
}

int digester_update(struct digester *digester, const void *data, size_t size) {
        return EVP_DigestUpdate(digester->context, data, size) == 1 ? 0 : -EIO;
}

int digester_end(struct digester *digester, struct digest *ret_digest) {
        struct digest digest;
        if (EVP_DigestFinal_ex(digester->context, digest.bytes, NULL) != 1)
                return -EIO;
        *ret_digest = digest;
        return 0;
}

int digest_bytes(const void *data, size_t size, struct digest *ret_digest) {
        struct digest digest;
        size_t length = sizeof(digest.bytes);
        if (EVP_Q_digest(NULL, "SHA256", NULL, data, size, digest.bytes, &length) != 1)
                return -EIO;
        *ret_digest = digest;
        return 0;
}

int digester_file(struct digester *digester, int fd, struct digest *ret_digest, uint64_t *ret_size_bytes) {
        if (!digester->block && !(digester->block = malloc(DIGEST_READ_BYTES)))
                return -ENOMEM;
        int r = digester_begin(digester);
        uint64_t offset = 0;
        while (r == 0) {
                if (digester->stop && atomic_load(digester->stop))
                        return -ECANCELED;
                ssize_t n = pread(fd, digester->block, DIGEST_READ_BYTES, (off_t)offset);
                if (n == 0)
                        break;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                r = digester_update(digester, digester->block, (size_t)n);
                offset += (uint64_t)n;
        }
        if (r == 0)
                r = digester_end(digester, ret_digest);
        if (r == 0 && ret_size_bytes)
                *ret_size_bytes = offset;
        return r;
}

void digest_format(const struct digest *digest, char ret_hex[static DIGEST_HEX_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        for (size_t i = 0; i < DIGEST_BYTES; i++) {
                ret_hex[2 * i] = digits[digest->bytes[i] >> 4];
                ret_hex[2 * i + 1] = digits[digest->bytes[i] & 15];
        }
        ret_hex[2 * DIGEST_BYTES] = '\0';
}

static int nibble(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

int digest_parse(const char *hex, struct digest *ret_digest) {
        struct digest digest;
        if (strlen(hex) != 2 * DIGEST_BYTES)
                return -EINVAL;
        for (size_t i = 0; i < DIGEST_BYTES; i++) {
                int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
                if (high < 0 || low < 0)
                        return -EINVAL;
                digest.bytes[i] = (uint8_t)(high << 4 | low);
        }
        *ret_digest = digest;
        return 0;
}
