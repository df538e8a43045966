/*
 * A pack: small objects one after the other, each describing itself, so that the index can be
 * rebuilt from the packs alone and a torn end is recognised.
 *
 *   record, little-endian, RECORD_BYTES, followed by stored_bytes of payload
 *      0  8  magic "hnmobj1\n"
 *      8 32  SHA-256 of the content
 *     40  8  raw_bytes
 *     48  8  stored_bytes
 *     56  8  time_ns      when it was put
 *     64  1  codec        0 as is, 1 zstd
 *     65  3  zero
 *     68  4  CRC-32C of the payload
 *     72  4  zero
 *     76  4  CRC-32C of the 76 bytes before
 *
 * What lies between records (a damaged stretch) is skipped to the next record that is whole.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"

#define RECORD_BYTES 80

/* Larger objects do not go into packs, so a record that says so is damaged. */
#define PACK_OBJECT_BYTES_MAX ((uint64_t)1 << 20)

enum codec {
        CODEC_RAW,
        CODEC_ZSTD,
};

struct record {
        struct digest digest;
        uint64_t raw_bytes;
        uint64_t stored_bytes;
        uint64_t time_ns;
        uint32_t checksum; /* of the payload */
        enum codec codec;
};

void record_encode(const struct record *record, uint8_t ret_bytes[static RECORD_BYTES]);
/* Returns 0 or -EBADMSG. */
int record_decode(const uint8_t bytes[static RECORD_BYTES], struct record *ret_record);

/*
 * Calls `visit` with each whole record from offset `from` on and the offset of its header. A negative
 * return ends the scan. `ret_end` is the end of the last whole record (or `from`).
 * Returns 0, -ENOMEM, -EIO or what visit returned.
 */
typedef int (*pack_visit)(const struct record *record, uint64_t offset, void *userdata);
int pack_scan(int fd, uint64_t from, pack_visit visit, void *userdata, uint64_t *ret_end);
