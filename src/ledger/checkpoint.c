#include "ledger/checkpoint.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "ledger/format.h"

#define DASH           "\xe2\x80\x94 " /* em dash and blank: how a signature line begins */
#define SIGNATURES_MAX 64

static int dated_text(struct buffer *buffer, uint64_t time_s, const char *text, size_t size) {
        int r = buffer_format(buffer, "cosignature/v1\ntime %" PRIu64 "\n", time_s);
        return r < 0 ? r : buffer_append(buffer, text, size);
}

static int signature_append(struct buffer *note, const char *name, const uint8_t *signature, size_t size) {
        int r = buffer_format(note, DASH "%s ", name);
        if (r == 0)
                r = base64_append(note, signature, size);
        return r < 0 ? r : buffer_append(note, "\n", 1);
}

static int body_format(struct buffer *body, const char *origin, uint64_t size, const struct digest *root) {
        int r = buffer_format(body, "%s\n%" PRIu64 "\n", origin, size);
        if (r == 0)
                r = base64_append(body, root->bytes, DIGEST_BYTES);
        return r < 0 ? r : buffer_append(body, "\n", 1);
}

int checkpoint_sign(const struct signing_key *key, uint64_t size, const struct digest *root, uint64_t time_s,
                    struct buffer *note) {
        const struct verifier_key *verifier = signing_key_verifier(key);
        _cleanup_(buffer_deinit) struct buffer body = {0}, dated = {0};
        int r = body_format(&body, verifier->name, size, root);
        if (r == 0)
                r = dated_text(&dated, time_s, body.data, body.size);
        if (r < 0)
                return r;

        uint8_t plain_signature[4 + KEY_SIGNATURE_BYTES], dated_signature[4 + 8 + KEY_SIGNATURE_BYTES];
        put_u32(plain_signature, verifier_key_id(verifier, KEY_TYPE_NOTE));
        put_u32(dated_signature, verifier_key_id(verifier, KEY_TYPE_TIMED));
        put_u64(dated_signature + 4, time_s);
        r = signing_key_sign(key, body.data, body.size, plain_signature + 4);
        if (r == 0)
                r = signing_key_sign(key, dated.data, dated.size, dated_signature + 12);
        if (r == 0)
                r = buffer_append(note, body.data, body.size);
        if (r == 0)
                r = buffer_append(note, "\n", 1);
        if (r == 0)
                r = signature_append(note, verifier->name, plain_signature, sizeof(plain_signature));
        return r < 0 ? r : signature_append(note, verifier->name, dated_signature, sizeof(dated_signature));
}

/* Splits off a line without its newline; false when there is no newline. */
static bool line_next(const char **text, const char *end, const char **ret_line, size_t *ret_size) {
        const char *newline = memchr(*text, '\n', (size_t)(end - *text));
        if (!newline)
                return false;
        *ret_line = *text;
        *ret_size = (size_t)(newline - *text);
        *text = newline + 1;
        return true;
}

static int body_parse(const char *text, const char *end, struct checkpoint *ret_checkpoint) {
        const char *line;
        size_t size;
        struct checkpoint c = {0};
        if (!line_next(&text, end, &line, &size) || !key_name_valid(line, size))
                return -EBADMSG;
        memcpy(c.origin, line, size);
        if (!line_next(&text, end, &line, &size) || decimal_parse(line, size, &c.size) < 0)
                return -EBADMSG;
        if (!line_next(&text, end, &line, &size) ||
            base64_decode(line, size, c.root.bytes, DIGEST_BYTES) != DIGEST_BYTES)
                return -EBADMSG;
        while (text < end)
                if (!line_next(&text, end, &line, &size) || size == 0)
                        return -EBADMSG;
        *ret_checkpoint = c;
        return 0;
}

/* One signature line, checked if it is of this key. Returns 1 (good), 0 (of another key), or an error. */
static int signature_check(const char *line, size_t size, const char *body, size_t body_bytes,
                           const struct verifier_key *key, uint64_t *time_s) {
        const size_t dash = sizeof(DASH) - 1, name_size = strlen(key->name);
        if (size < dash || memcmp(line, DASH, dash))
                return -EBADMSG;
        line += dash;
        size -= dash;
        const char *blank = memchr(line, ' ', size);
        if (!blank || blank == line)
                return -EBADMSG;
        if ((size_t)(blank - line) != name_size || memcmp(line, key->name, name_size))
                return 0;

        uint8_t signature[4 + 8 + KEY_SIGNATURE_BYTES];
        ssize_t n = base64_decode(blank + 1, size - name_size - 1, signature, sizeof(signature));
        if (n < 4)
                return 0;
        uint32_t id = get_u32(signature);
        int r;
        if (id == verifier_key_id(key, KEY_TYPE_NOTE)) {
                if (n != 4 + KEY_SIGNATURE_BYTES)
                        return -EKEYREJECTED;
                r = verifier_key_check(key, body, body_bytes, signature + 4);
                return r < 0 ? r : 1;
        }
        if (id != verifier_key_id(key, KEY_TYPE_TIMED))
                return 0;
        if (n != sizeof(signature))
                return -EKEYREJECTED;
        _cleanup_(buffer_deinit) struct buffer dated = {0};
        r = dated_text(&dated, get_u64(signature + 4), body, body_bytes);
        if (r == 0)
                r = verifier_key_check(key, dated.data, dated.size, signature + 12);
        if (r == 0)
                *time_s = get_u64(signature + 4);
        return r;
}

static bool note_text_valid(const char *note, size_t size) {
        if (size == 0 || size > CHECKPOINT_BYTES_MAX || note[size - 1] != '\n' || !text_is_utf8(note, size))
                return false;
        for (size_t i = 0; i < size; i++)
                if ((unsigned char)note[i] < ' ' && note[i] != '\n')
                        return false;
        return true;
}

int checkpoint_open(const char *note, size_t size, const struct verifier_key *key,
                    struct checkpoint *ret_checkpoint) {
        if (!note_text_valid(note, size))
                return -EBADMSG;
        const char *split = memmem(note, size, "\n\n", 2), *end = note + size;
        if (!split)
                return -EBADMSG;
        size_t body_bytes = (size_t)(split + 1 - note);
        struct checkpoint checkpoint;
        if (body_parse(note, note + body_bytes, &checkpoint) < 0)
                return -EBADMSG;

        const char *text = split + 2, *line;
        size_t line_bytes;
        bool signed_by_key = false;
        for (int n = 0; text < end; n++) {
                if (n == SIGNATURES_MAX || !line_next(&text, end, &line, &line_bytes))
                        return -EBADMSG;
                int r = signature_check(line, line_bytes, note, body_bytes, key, &checkpoint.time_s);
                if (r < 0)
                        return r;
                signed_by_key |= r > 0;
        }
        if (!signed_by_key || strcmp(checkpoint.origin, key->name))
                return -ENOKEY;
        *ret_checkpoint = checkpoint;
        return 0;
}
