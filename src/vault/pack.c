#include "vault/pack.h"

#include <endian.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vault/checksum.h"

#define SCAN_BYTES ((size_t)64 << 10)

static const char magic[8] = "hnmobj1\n";

static void put64(uint8_t *p, uint64_t value) {
        value = htole64(value);
        memcpy(p, &value, sizeof(value));
}

static void put32(uint8_t *p, uint32_t value) {
        value = htole32(value);
        memcpy(p, &value, sizeof(value));
}

static uint64_t get64(const uint8_t *p) {
        uint64_t value;
        memcpy(&value, p, sizeof(value));
        return le64toh(value);
}

static uint32_t get32(const uint8_t *p) {
        uint32_t value;
        memcpy(&value, p, sizeof(value));
        return le32toh(value);
}

void record_encode(const struct record *record, uint8_t ret_bytes[static RECORD_BYTES]) {
        memset(ret_bytes, 0, RECORD_BYTES);
        memcpy(ret_bytes, magic, sizeof(magic));
        memcpy(ret_bytes + 8, record->digest.bytes, DIGEST_BYTES);
        put64(ret_bytes + 40, record->raw_bytes);
        put64(ret_bytes + 48, record->stored_bytes);
        put64(ret_bytes + 56, record->time_ns);
        ret_bytes[64] = (uint8_t)record->codec;
        put32(ret_bytes + 68, record->checksum);
        put32(ret_bytes + 76, checksum_update(0, ret_bytes, 76));
}

int record_decode(const uint8_t bytes[static RECORD_BYTES], struct record *ret_record) {
        if (memcmp(bytes, magic, sizeof(magic)) || get32(bytes + 76) != checksum_update(0, bytes, 76))
                return -EBADMSG;
        struct record record = {
                .raw_bytes = get64(bytes + 40),
                .stored_bytes = get64(bytes + 48),
                .time_ns = get64(bytes + 56),
                .codec = bytes[64],
                .checksum = get32(bytes + 68),
        };
        memcpy(record.digest.bytes, bytes + 8, DIGEST_BYTES);
        if (digest_is_zero(&record.digest)) /* means "no content" everywhere else */
                return -EBADMSG;
        if (record.codec > CODEC_ZSTD || record.raw_bytes > PACK_OBJECT_BYTES_MAX ||
            record.stored_bytes > record.raw_bytes)
                return -EBADMSG;
        if (record.codec == CODEC_RAW && record.stored_bytes != record.raw_bytes)
                return -EBADMSG;
        *ret_record = record;
        return 0;
}

/* Is the payload all there, as it was written? 1, 0 or -EIO. */
static int check_payload(int fd, uint64_t offset, const struct record *record, uint8_t *block) {
        uint32_t checksum = 0;
        for (uint64_t done = 0; done < record->stored_bytes;) {
                uint64_t left = record->stored_bytes - done;
                ssize_t n = io_pread_full(fd, block, left < SCAN_BYTES ? (size_t)left : SCAN_BYTES,
                                          offset + RECORD_BYTES + done);
                if (n < 0)
                        return -EIO;
                if (n == 0)
                        return 0;
                checksum = checksum_update(checksum, block, (size_t)n);
                done += (uint64_t)n;
        }
        return checksum == record->checksum;
}

/* The next place from `offset` on where the magic stands, or the end of what was read. */
static int skip_damage(int fd, uint64_t *offset, uint8_t *block) {
        for (;;) {
                ssize_t n = io_pread_full(fd, block, SCAN_BYTES, *offset);
                if (n < 0)
                        return -EIO;
                uint8_t *at = memmem(block, (size_t)n, magic, sizeof(magic));
                if (at) {
                        *offset += (uint64_t)(at - block);
                        return 0;
                }
                if ((size_t)n < SCAN_BYTES) {
                        *offset += (uint64_t)n;
                        return 0;
                }
                *offset += SCAN_BYTES - sizeof(magic) + 1;
        }
}

int pack_scan(int fd, uint64_t from, pack_visit visit, void *userdata, uint64_t *ret_end) {
        _cleanup_(freep) uint8_t *block = malloc(SCAN_BYTES);
        uint64_t end = from;
        int r = block ? 0 : -ENOMEM;
        for (uint64_t offset = from; r == 0;) {
                uint8_t header[RECORD_BYTES];
                struct record record;
                ssize_t n = io_pread_full(fd, header, sizeof(header), offset);
                if (n < RECORD_BYTES) {
                        r = n < 0 ? -EIO : 0;
                        break;
                }
                int whole = record_decode(header, &record) == 0;
                if (whole)
                        whole = check_payload(fd, offset, &record, block);
                if (whole < 0)
                        return whole;
                if (!whole) {
                        offset++;
                        r = skip_damage(fd, &offset, block);
                        continue;
                }
                r = visit(&record, offset, userdata);
                offset += RECORD_BYTES + record.stored_bytes;
                end = offset;
        }
        if (r == 0)
                *ret_end = end;
        return r;
}
