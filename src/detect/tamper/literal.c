#include "detect/tamper/literal.h"

#include <ctype.h>

static int hex_value(unsigned char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

/* Reads up to `most` hexadecimal digits; returns how many. */
static size_t read_hex(struct view view, size_t at, size_t most, unsigned *ret_value) {
        size_t n = 0;
        unsigned value = 0;
        for (; n < most && at + n < view.size && hex_value(view.data[at + n]) >= 0; n++)
                value = value << 4 | (unsigned)hex_value(view.data[at + n]);
        *ret_value = value;
        return n;
}

/* One numeric escape behind the backslash at `at`; returns its length without the backslash, or 0. */
static size_t read_escape(struct view view, size_t at, unsigned *ret_value) {
        size_t n = 0;
        unsigned char c = view.data[at];
        if (c == 'x' && read_hex(view, at + 1, 2, ret_value) == 2)
                return 3;
        if (c == 'u' && read_hex(view, at + 1, 4, ret_value) == 4)
                return 5;
        if (c == 'u' && at + 1 < view.size && view.data[at + 1] == '{') {
                n = read_hex(view, at + 2, 6, ret_value);
                return n && at + 2 + n < view.size && view.data[at + 2 + n] == '}' ? n + 3 : 0;
        }
        *ret_value = 0;
        for (; n < 3 && at + n < view.size && view.data[at + n] >= '0' && view.data[at + n] <= '7'; n++)
                *ret_value = *ret_value << 3 | (unsigned)(view.data[at + n] - '0');
        return n >= 2 ? n : 0;
}

static bool is_printable(unsigned value) {
        return value >= 0x20 && value < 0x7f;
}

size_t literal_unescape(struct view literal, unsigned char *out, size_t out_size, unsigned *ret_escapes,
                        unsigned *ret_others) {
        size_t n = 0;
        *ret_escapes = *ret_others = 0;
        for (size_t i = 0; i < literal.size && n < out_size; i++) {
                if (literal.data[i] != '\\' || i + 1 == literal.size) {
                        out[n++] = literal.data[i];
                        continue;
                }
                unsigned value;
                size_t size = read_escape(literal, ++i, &value);
                if (!size) {
                        out[n++] = literal.data[i];
                        continue;
                }
                i += size - 1;
                out[n++] = value < 0x100 ? (unsigned char)value : '?';
                if (is_printable(value))
                        ++*ret_escapes;
                else
                        ++*ret_others;
        }
        return n;
}

bool literal_is_readable(struct view text) {
        for (size_t i = 0; i < text.size; i++)
                if (!is_printable(text.data[i]) && !isspace(text.data[i]))
                        return false;
        return text.size > 0;
}

static int base64_value(unsigned char c) {
        return c >= 'A' && c <= 'Z'   ? c - 'A'
               : c >= 'a' && c <= 'z' ? c - 'a' + 26
               : c >= '0' && c <= '9' ? c - '0' + 52
               : c == '+' || c == '-' ? 62
               : c == '/' || c == '_' ? 63
                                      : -1;
}

bool literal_is_base64(struct view literal) {
        size_t size = literal.size;
        while (size && literal.size - size < 2 && literal.data[size - 1] == '=')
                size--;
        if (size < 8 || size % 4 == 1)
                return false;
        for (size_t i = 0; i < size; i++)
                if (base64_value(literal.data[i]) < 0)
                        return false;
        return true;
}

size_t literal_decode_base64(struct view literal, unsigned char *out, size_t out_size) {
        if (!literal_is_base64(literal))
                return 0;
        size_t n = 0;
        unsigned bits = 0, value = 0;
        for (size_t i = 0; i < literal.size && literal.data[i] != '=' && n < out_size; i++) {
                value = value << 6 | (unsigned)base64_value(literal.data[i]);
                bits += 6;
                if (bits >= 8) {
                        bits -= 8;
                        out[n++] = (unsigned char)(value >> bits);
                }
        }
        return literal_is_readable((struct view){out, n}) ? n : 0;
}

size_t literal_decode_hex(struct view literal, unsigned char *out, size_t out_size) {
        size_t n = 0;
        if (literal.size < 8 || literal.size % 2)
                return 0;
        for (size_t i = 0; i < literal.size && n < out_size; i += 2) {
                unsigned value;
                if (read_hex(literal, i, 2, &value) != 2)
                        return 0;
                out[n++] = (unsigned char)value;
        }
        return literal_is_readable((struct view){out, n}) ? n : 0;
}

size_t literal_decode_percent(struct view literal, unsigned char *out, size_t out_size) {
        size_t n = 0, decoded = 0;
        for (size_t i = 0; i < literal.size && n < out_size; i++) {
                unsigned value;
                if (literal.data[i] == '%' && read_hex(literal, i + 1, 2, &value) == 2) {
                        out[n++] = (unsigned char)value;
                        i += 2;
                        decoded++;
                } else {
                        out[n++] = literal.data[i];
                }
        }
        return decoded && literal_is_readable((struct view){out, n}) ? n : 0;
}

size_t literal_decode_any(struct view literal, unsigned char *out, size_t out_size) {
        size_t n = literal_decode_hex(literal, out, out_size);
        return n ? n : literal_decode_base64(literal, out, out_size);
}
