/*
 * Compressed forms, undone in bounded time and memory, to see what is in them: gzip, zlib, xz, Zstandard, bzip2,
 * raw deflate (zip). The input is whatever an attacker wrote. What comes out is not kept but looked at: compared
 * with what is expected, its head kept and its checksum taken by the format's own.
 */
#pragma once

#include "detect/view.h"

#define UNPACK_HEAD_BYTES ((size_t)64 << 10)
#define UNPACK_BYTES_MAX  ((uint64_t)8 << 20) /* comes out at most; what is longer counts as cut off */
#define UNPACK_MEMORY_MAX ((uint64_t)80 << 20)

enum packing {
        PACKING_NONE,
        PACKING_GZIP,
        PACKING_ZLIB,
        PACKING_DEFLATE, /* raw; no magic, never found by packing_of() */
        PACKING_XZ,
        PACKING_ZSTD,
        PACKING_BZIP2,
};

struct unpacked {
        bool is_sound; /* it decoded, checksums included, to its end or to where the input or the bound cut it */
        bool is_whole; /* to its end, and no input was left over */
        bool is_equal; /* what came out is `expected`: all of it, or as far as both go where either was cut */
        uint64_t size; /* bytes that came out */
        size_t n_head; /* bytes in `head` */
        uint32_t crc32; /* of what came out */
        size_t n_used;  /* bytes of input taken */
};

/* By its first bytes. */
enum packing packing_of(struct view view);

struct unpack_task {
        enum packing packing;
        struct view packed;
        bool is_cut;             /* `packed` is only the beginning */
        struct view expected;    /* the beginning of what may come out */
        uint64_t expected_bytes; /* of the whole of it */
        unsigned char *head;     /* NULL or UNPACK_HEAD_BYTES */
};

/* Returns 0 or -ENOMEM; what does not decode is an outcome. */
int unpack(const struct unpack_task *task, struct unpacked *ret_unpacked);
