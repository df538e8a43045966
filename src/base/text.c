#include "base/text.h"

#include <string.h>

size_t text_utf8_next(const char *data, size_t size, unsigned *ret_code) {
        const unsigned char *p = (const unsigned char *)data;
        if (!size)
                return 0;
        unsigned code = p[0];
        size_t length = code < 0x80 ? 1 : code >= 0xf0 ? 4 : code >= 0xe0 ? 3 : code >= 0xc2 ? 2 : 0;
        static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};

        if (!length || length > size || code > 0xf4)
                return 0;
        if (length > 1)
                code &= 0x7fu >> length;
        for (size_t i = 1; i < length; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                code = code << 6 | (p[i] & 0x3fu);
        }
        if (code < least[length > 1 ? length : 0] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
                return 0;
        if (ret_code)
                *ret_code = code;
        return length;
}

bool text_is_utf8(const char *data, size_t size) {
        while (size) {
                size_t n = text_utf8_next(data, size, NULL);
                if (!n)
                        return false;
                data += n;
                size -= n;
        }
        return true;
}

/* Unicode 15: format characters that move, hide or turn the text around them. */
static bool is_deceptive(unsigned code) {
        return (code >= 0x80 && code <= 0x9f) || code == 0xad || code == 0x61c ||
               (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
               (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
               (code >= 0xe0000 && code <= 0xe007f);
}

static int escape_control(struct buffer *buffer, unsigned char c) {
        switch (c) {
        case '\n':
                return buffer_append_string(buffer, "\\n");
        case '\t':
                return buffer_append_string(buffer, "\\t");
        case '\r':
                return buffer_append_string(buffer, "\\r");
        case '\\':
                return buffer_append_string(buffer, "\\\\");
        default:
                return buffer_format(buffer, "\\x%02x", c);
        }
}

static int escape(struct buffer *buffer, const char *data, size_t size, bool keep_lines) {
        while (size) {
                unsigned code = 0;
                size_t n = text_utf8_next(data, size, &code);
                int r;
                if (n == 0)
                        r = buffer_format(buffer, "\\x%02x", (unsigned char)*data);
                else if (keep_lines && (code == '\n' || code == '\t' || code == '\\'))
                        r = buffer_append(buffer, data, 1);
                else if (n == 1 && (code < 0x20 || code == 0x7f || code == '\\'))
                        r = escape_control(buffer, (unsigned char)code);
                else if (is_deceptive(code))
                        r = buffer_format(buffer, "\\u{%04x}", code);
                else
                        r = buffer_append(buffer, data, n);
                if (r < 0)
                        return r;
                n = n ?: 1;
                data += n;
                size -= n;
        }
        return buffer_reserve(buffer, 0);
}

int text_escape(struct buffer *buffer, const char *data, size_t size) {
        return escape(buffer, data, size, false);
}

int text_escape_lines(struct buffer *buffer, const char *data, size_t size) {
        return escape(buffer, data, size, true);
}

int text_to_utf8(struct buffer *buffer, const char *data, size_t size) {
        while (size) {
                size_t n = text_utf8_next(data, size, NULL);
                int r = n == 0          ? buffer_format(buffer, "\\x%02x", (unsigned char)*data)
                        : *data == '\\' ? buffer_append_string(buffer, "\\\\")
                                        : buffer_append(buffer, data, n);
                if (r < 0)
                        return r;
                n = n ?: 1;
                data += n;
                size -= n;
        }
        return buffer_reserve(buffer, 0);
}

static int hex_digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int text_from_utf8(struct buffer *buffer, const char *data, size_t size) {
        for (size_t i = 0; i < size;) {
                char byte = data[i];
                size_t n = 1;
                if (byte == '\\' && i + 1 < size && data[i + 1] == '\\') {
                        n = 2;
                } else if (byte == '\\') {
                        if (i + 3 >= size || data[i + 1] != 'x' || hex_digit(data[i + 2]) < 0 ||
                            hex_digit(data[i + 3]) < 0)
                                return -EINVAL;
                        byte = (char)(hex_digit(data[i + 2]) << 4 | hex_digit(data[i + 3]));
                        n = 4;
                }
                if (!byte)
                        return -EINVAL;
                int r = buffer_append(buffer, &byte, 1);
                if (r < 0)
                        return r;
                i += n;
        }
        return buffer_reserve(buffer, 0);
}
