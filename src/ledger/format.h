/*
 * What the ledger's public files look like (C2SP tlog-tiles): names and bytes, no disk.
 *
 *   tile/<L>/<N>[.p/<W>]         W hashes of 32 bytes; 256 when there is no .p/<W>
 *   tile/entries/<N>[.p/<W>]     W times: big-endian u16 length, entry
 *
 * <N> is written in path elements of three digits, all but the last behind an x:
 * 1234067 is x001/x234/067. Level L, tile N, hash i is the RFC 6962 hash of the
 * entries [(256 N + i) 256^L, (256 N + i + 1) 256^L).
 * Shared by writer, reader and verifier; they share nothing else.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"

#define LEDGER_ENTRY_BYTES_MAX 65535

#define TILE_WIDTH     256u
#define TILE_LEVELS    8u /* 256^8 entries: as many as 64 bits count */
#define TILE_ENTRIES   (-1)
#define TILE_BYTES     ((size_t)TILE_WIDTH * DIGEST_BYTES)
#define TILE_PATH_SIZE 64

#define BUNDLE_BYTES_MAX ((size_t)TILE_WIDTH * (2 + LEDGER_ENTRY_BYTES_MAX))

/* Path below the log's directory. `level` is TILE_ENTRIES for an entry bundle; `width` 256 is the full tile.
 */
void tile_path_format(int level, uint64_t index, unsigned width, char ret_path[static TILE_PATH_SIZE]);

/* Accepts exactly what tile_path_format() writes. Returns 0 or -EINVAL. */
int tile_path_parse(const char *path, int *ret_level, uint64_t *ret_index, unsigned *ret_width);

/* How many hashes tile (level, index) has in a tree of `size` entries: 0 (no such tile) to 256. */
unsigned tile_width(uint64_t size, int level, uint64_t index);

/* How many hashes a level has altogether in a tree of `size` entries. */
static inline uint64_t tile_level_size(uint64_t size, unsigned level) {
        return level < TILE_LEVELS ? size >> (8 * level) : 0;
}

/* Appends one entry to a bundle. Returns 0, -EMSGSIZE for an entry of no or too many bytes, or
 * -ENOMEM/-EFBIG.
 */
int bundle_append(struct buffer *bundle, const void *entry, size_t size);

/*
 * The entry at `*offset`, which moves behind it. Returns 1, 0 at the end of the bundle, or -EBADMSG
 * when the bundle ends within an entry.
 */
int bundle_next(const char *bundle, size_t bundle_bytes, size_t *offset, const char **ret_entry,
                size_t *ret_size);

/* Numbers on disk are big-endian. */
static inline void put_u64(uint8_t *p, uint64_t value) {
        for (int i = 7; i >= 0; i--, value >>= 8)
                p[i] = (uint8_t)value;
}

static inline uint64_t get_u64(const uint8_t *p) {
        uint64_t value = 0;
        for (int i = 0; i < 8; i++)
                value = value << 8 | p[i];
        return value;
}

static inline void put_u32(uint8_t *p, uint32_t value) {
        for (int i = 3; i >= 0; i--, value >>= 8)
                p[i] = (uint8_t)value;
}

static inline uint32_t get_u32(const uint8_t *p) {
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Decimal without sign or leading zeroes, as the formats ask. Returns 0 or -EINVAL. */
int decimal_parse(const char *text, size_t size, uint64_t *ret_value);
