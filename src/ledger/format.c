#include "ledger/format.h"

#include <stdio.h>
#include <string.h>

int decimal_parse(const char *text, size_t size, uint64_t *ret_value) {
        uint64_t value = 0;
        if (size == 0 || size > 20 || (size > 1 && text[0] == '0'))
                return -EINVAL;
        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
                    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
                        return -EINVAL;
        }
        *ret_value = value;
        return 0;
}

static size_t index_format(uint64_t index, char *text, size_t size) {
        size_t n = 0;
        if (index >= 1000) {
                uint64_t above = index / 1000;
                char parts[8][4];
                size_t n_parts = 0;
                for (; above; above /= 1000)
                        snprintf(parts[n_parts++], sizeof(parts[0]), "%03u", (unsigned)(above % 1000));
                while (n_parts)
                        n += (size_t)snprintf(text + n, size - n, "x%s/", parts[--n_parts]);
        }
        return n + (size_t)snprintf(text + n, size - n, "%03u", (unsigned)(index % 1000));
}

void tile_path_format(int level, uint64_t index, unsigned width, char ret_path[static TILE_PATH_SIZE]) {
        size_t n = level == TILE_ENTRIES ? (size_t)snprintf(ret_path, TILE_PATH_SIZE, "tile/entries/")
                                         : (size_t)snprintf(ret_path, TILE_PATH_SIZE, "tile/%d/", level);
        n += index_format(index, ret_path + n, TILE_PATH_SIZE - n);
        if (width != TILE_WIDTH)
                snprintf(ret_path + n, TILE_PATH_SIZE - n, ".p/%u", width);
}

/* Reads the loosest superset; tile_path_parse() then demands that formatting gives the same text. */
static int index_scan(const char **text, uint64_t *ret_index) {
        uint64_t index = 0;
        const char *p = *text;
        for (;;) {
                bool more = *p == 'x';
                if (more)
                        p++;
                for (int i = 0; i < 3; i++, p++) {
                        if (*p < '0' || *p > '9')
                                return -EINVAL;
                        if (__builtin_mul_overflow(index, UINT64_C(10), &index) ||
                            __builtin_add_overflow(index, (uint64_t)(*p - '0'), &index))
                                return -EINVAL;
                }
                if (!more)
                        break;
                if (*p++ != '/')
                        return -EINVAL;
        }
        *text = p;
        *ret_index = index;
        return 0;
}

int tile_path_parse(const char *path, int *ret_level, uint64_t *ret_index, unsigned *ret_width) {
        int level = TILE_ENTRIES;
        uint64_t index, width = TILE_WIDTH;
        const char *p = path;
        if (!strncmp(p, "tile/entries/", 13))
                p += 13;
        else if (!strncmp(p, "tile/", 5) && p[5] >= '0' && p[5] < '0' + (int)TILE_LEVELS && p[6] == '/') {
                level = p[5] - '0';
                p += 7;
        } else
                return -EINVAL;

        if (index_scan(&p, &index) < 0)
                return -EINVAL;
        if (!strncmp(p, ".p/", 3)) {
                if (decimal_parse(p + 3, strlen(p + 3), &width) < 0 || width < 1 || width >= TILE_WIDTH)
                        return -EINVAL;
        } else if (*p)
                return -EINVAL;

        char again[TILE_PATH_SIZE];
        tile_path_format(level, index, (unsigned)width, again);
        if (strcmp(again, path))
                return -EINVAL;
        *ret_level = level;
        *ret_index = index;
        *ret_width = (unsigned)width;
        return 0;
}

unsigned tile_width(uint64_t size, int level, uint64_t index) {
        uint64_t hashes = tile_level_size(size, level == TILE_ENTRIES ? 0 : (unsigned)level);
        if (index < hashes / TILE_WIDTH)
                return TILE_WIDTH;
        return index == hashes / TILE_WIDTH ? (unsigned)(hashes % TILE_WIDTH) : 0;
}

int bundle_append(struct buffer *bundle, const void *entry, size_t size) {
        if (size == 0 || size > LEDGER_ENTRY_BYTES_MAX)
                return -EMSGSIZE;
        int r = buffer_reserve(bundle, 2 + size);
        if (r < 0)
                return r;
        const uint8_t length[2] = {(uint8_t)(size >> 8), (uint8_t)size};
        buffer_append(bundle, length, sizeof(length));
        return buffer_append(bundle, entry, size);
}

int bundle_next(const char *bundle, size_t bundle_bytes, size_t *offset, const char **ret_entry,
                size_t *ret_size) {
        if (*offset == bundle_bytes)
                return 0;
        if (bundle_bytes - *offset < 2)
                return -EBADMSG;
        const uint8_t *p = (const uint8_t *)bundle + *offset;
        size_t size = (size_t)p[0] << 8 | p[1];
        if (bundle_bytes - *offset - 2 < size)
                return -EBADMSG;
        *ret_entry = bundle + *offset + 2;
        *ret_size = size;
        *offset += 2 + size;
        return 1;
}
