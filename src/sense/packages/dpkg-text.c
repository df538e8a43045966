#include "sense/packages/dpkg-text.h"

#include <string.h>

#include "base/cleanup.h"

enum { HEX_SIZE = 2 * DPKG_MD5_BYTES };

bool dpkg_next_line(const char *text, size_t size, size_t *offset, const char **ret_line, size_t *ret_size) {
        if (*offset >= size)
                return false;
        const char *line = text + *offset;
        const char *end = memchr(line, '\n', size - *offset);
        *ret_line = line;
        *ret_size = end ? (size_t)(end - line) : size - *offset;
        *offset += *ret_size + 1;
        return true;
}

static bool equal(const char *data, size_t size, const char *string) {
        return strlen(string) == size && !memcmp(data, string, size);
}

/*
 * Finds `needle` where it ends a line and `before` bytes stand between it and the line's start. Searches
 * the bytes rather than line by line: a list may have 100,000 lines.
 */
static const char *find_at_line(const char *text, size_t size, const char *needle, size_t before) {
        size_t length = strlen(needle);
        if (!size || !length)
                return NULL;
        for (size_t offset = 0; offset < size;) {
                const char *found = memmem(text + offset, size - offset, needle, length);
                if (!found)
                        return NULL;
                size_t at = (size_t)(found - text);
                bool starts = at >= before && (at == before || text[at - before - 1] == '\n');
                bool ends = at + length == size || text[at + length] == '\n';
                if (starts && ends)
                        return found;
                offset = at + 1;
        }
        return NULL;
}

static bool parse_md5(const char *hex, uint8_t ret_md5[DPKG_MD5_BYTES]) {
        uint8_t md5[DPKG_MD5_BYTES] = {0};
        for (size_t i = 0; i < HEX_SIZE; i++) {
                static const char digits[] = "0123456789abcdef";
                const char *digit = hex[i] ? strchr(digits, hex[i]) : NULL;
                if (!digit)
                        return false;
                md5[i / 2] = (uint8_t)(md5[i / 2] << 4 | (digit - digits));
        }
        memcpy(ret_md5, md5, sizeof(md5));
        return true;
}

bool dpkg_list_has(const char *text, size_t size, const char *path) {
        return find_at_line(text, size, path, 0) != NULL;
}

bool dpkg_sums_find(const char *text, size_t size, const char *path, uint8_t ret_md5[DPKG_MD5_BYTES]) {
        if (path[0] != '/')
                return false;
        const char *found = find_at_line(text, size, path + 1, HEX_SIZE + 2);
        return found && found[-1] == ' ' && found[-2] == ' ' && parse_md5(found - HEX_SIZE - 2, ret_md5);
}

/* The value of a one-line field, or NULL. */
static const char *field(const char *stanza, size_t size, const char *name, size_t *ret_size) {
        size_t offset = 0, length;
        const char *line;
        while (dpkg_next_line(stanza, size, &offset, &line, &length))
                if (length > strlen(name) + 1 && !memcmp(line, name, strlen(name)) &&
                    line[strlen(name)] == ':') {
                        size_t skip = strlen(name) + 1;
                        while (skip < length && line[skip] == ' ')
                                skip++;
                        *ret_size = length - skip;
                        return line + skip;
                }
        return NULL;
}

/* The stanza of a package: from its Package line to the blank line. */
static const char *find_stanza(const char *text, size_t size, const char *package, size_t *ret_size) {
        char name[192], heading[sizeof(name) + 16] = "Package: ";
        size_t length = strcspn(package, ":");
        const char *architecture = package[length] ? package + length + 1 : NULL;
        if (!length || length >= sizeof(name))
                return NULL;
        memcpy(heading + 9, package, length);
        heading[9 + length] = '\0';

        while (size) {
                const char *found = find_at_line(text, size, heading, 0);
                if (!found)
                        return NULL;
                size_t left = size - (size_t)(found - text);
                const char *end = memmem(found, left, "\n\n", 2);
                size_t stanza_size = end ? (size_t)(end - found) + 1 : left;
                size_t value_size;
                const char *value =
                        architecture ? field(found, stanza_size, "Architecture", &value_size) : NULL;
                if (!architecture || (value && equal(value, value_size, architecture))) {
                        *ret_size = stanza_size;
                        return found;
                }
                text = found + stanza_size;
                size = left - stanza_size;
        }
        return NULL;
}

/* " /etc/x <md5>[ obsolete]": the path may hold blanks, so the sum is what follows it. */
static bool parse_conffile(const char *line, size_t size, const char *path, uint8_t ret_md5[DPKG_MD5_BYTES]) {
        size_t length = strlen(path);
        if (size < 1 + length + 1 + HEX_SIZE || memcmp(line + 1, path, length) || line[1 + length] != ' ')
                return false;
        size_t after = 1 + length + 1 + HEX_SIZE;
        return (after == size || line[after] == ' ') && parse_md5(line + 1 + length + 1, ret_md5);
}

bool dpkg_conffile_find(const char *text, size_t size, const char *package, const char *path,
                        uint8_t ret_md5[DPKG_MD5_BYTES]) {
        size_t stanza_size, offset = 0, length;
        const char *stanza = find_stanza(text, size, package, &stanza_size);
        const char *line;
        bool inside = false;
        while (stanza && dpkg_next_line(stanza, stanza_size, &offset, &line, &length)) {
                if (length && line[0] == ' ') {
                        if (inside && parse_conffile(line, length, path, ret_md5))
                                return true;
                } else
                        inside = equal(line, length, "Conffiles:");
        }
        return false;
}

enum dpkg_diversion_kind dpkg_diversion_find(const char *text, size_t size, const char *path,
                                             struct dpkg_diversion *ret_diversion) {
        size_t offset = 0, from_size, to_size, by_size;
        const char *from, *to, *by;
        while (dpkg_next_line(text, size, &offset, &from, &from_size) &&
               dpkg_next_line(text, size, &offset, &to, &to_size) &&
               dpkg_next_line(text, size, &offset, &by, &by_size)) {
                bool away = equal(from, from_size, path);
                if (!away && !equal(to, to_size, path))
                        continue;
                *ret_diversion = away ? (struct dpkg_diversion){to, to_size, by, by_size}
                                      : (struct dpkg_diversion){from, from_size, by, by_size};
                return away ? DPKG_DIVERTED_AWAY : DPKG_DIVERTED_HERE;
        }
        return DPKG_NOT_DIVERTED;
}
