#include "detect/ransom/spelling.h"

#include <ctype.h>

#include "base/cleanup.h"
#include "detect/ransom/bytes.h"
#include "detect/ransom/form.h"

static int digit_base64(unsigned char c) {
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *at = c ? strchr(alphabet, c) : NULL;
        return at ? (int)(at - alphabet) : c == '-' ? 62 : c == '_' ? 63 : -1;
}

static int digit_hex(unsigned char c) {
        return c >= '0' && c <= '9' ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

/* Digits of `bits` each, most significant first. Stops at padding; 0 at what is no digit. */
static size_t decode(struct view text, int (*digit)(unsigned char), unsigned bits, unsigned char *out,
                     size_t out_size) {
        uint32_t value = 0;
        unsigned n_bits = 0;
        size_t n = 0;
        for (size_t i = 0; i < text.size && n < out_size && text.data[i] != '='; i++) {
                if (isspace(text.data[i]))
                        continue;
                int d = digit(text.data[i]);
                if (d < 0)
                        return 0;
                value = value << bits | (uint32_t)d;
                n_bits += bits;
                if (n_bits >= 8)
                        out[n++] = (unsigned char)(value >> (n_bits -= 8));
        }
        return n;
}

size_t spelling_base64(struct view text, unsigned char *out, size_t out_size) {
        return decode(text, digit_base64, 6, out, out_size);
}

size_t spelling_hex(struct view text, unsigned char *out, size_t out_size) {
        return decode(text, digit_hex, 4, out, out_size);
}

size_t spelling_ascii85(struct view text, unsigned char *out, size_t out_size) {
        if (view_starts(text, "<~"))
                text = view_from(text, 2);
        uint64_t value = 0;
        unsigned n_digits = 0;
        size_t n = 0;
        for (size_t i = 0; i < text.size && n + 4 <= out_size && text.data[i] != '~'; i++) {
                unsigned char c = text.data[i];
                if (isspace(c))
                        continue;
                if (c == 'z' && n_digits == 0) {
                        memset(out + n, 0, 4);
                        n += 4;
                        continue;
                }
                if (c < '!' || c > 'u')
                        return 0;
                value = value * 85 + (c - '!');
                if (++n_digits < 5)
                        continue;
                for (int shift = 24; shift >= 0; shift -= 8)
                        out[n++] = (unsigned char)(value >> shift);
                value = n_digits = 0;
        }
        return n;
}

/* A line of its own before the letters: -----BEGIN …-----, data:…;base64, */
static struct view without_heading(struct view text) {
        if (view_starts(text, "-----BEGIN ") || view_starts(text, "begin-base64 ")) {
                size_t end = view_find(text, 0, "\n", 1);
                text = end == SIZE_MAX ? text : view_from(text, end + 1);
        }
        size_t comma = view_find(view_head(text, 128), 0, ";base64,", 8);
        return comma == SIZE_MAX ? text : view_from(text, comma + 8);
}

bool spelling_is_typed(struct view text) {
        static size_t (*const spellings[])(struct view, unsigned char *,
                                           size_t) = {spelling_hex, spelling_base64, spelling_ascii85};
        unsigned char out[SPELLING_BYTES_MAX];
        text = view_head(without_heading(text), SPELLING_BYTES_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
                size_t size = spellings[i](text, out, sizeof(out));
                struct view decoded = {out, size};
                if (size < LOOK_BYTES_MIN)
                        continue;
                return form_of(decoded) || !bytes_look(view_head(decoded, 4096)).is_even;
        }
        return false;
}
