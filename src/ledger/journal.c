#include "ledger/journal.h"

#include <stdbool.h>
#include <string.h>

#include "base/io.h"
#include "ledger/format.h"

#define HEADER_MAGIC "hinomi-journal 1"
#define FIXED_BYTES  112

static const uint8_t record_magic[8] = {0x00, 0xff, 'h', 'n', 'm', 'j', 'r', '1'};

int journal_record_encode(struct digester *digester, struct journal_record *record, struct buffer *buffer) {
        uint8_t fixed[FIXED_BYTES] = {0};
        memcpy(fixed, record_magic, 8);
        put_u64(fixed + 8, record->sequence);
        put_u64(fixed + 16, record->first_index);
        put_u64(fixed + 24, record->time_ns);
        put_u32(fixed + 32, record->n_entries);
        put_u32(fixed + 36, (uint32_t)record->entries_bytes);
        put_u32(fixed + 40, (uint32_t)record->note_bytes);
        memcpy(fixed + 48, record->root_before.bytes, DIGEST_BYTES);
        memcpy(fixed + 80, record->previous.bytes, DIGEST_BYTES);

        size_t start = buffer->size;
        int r = buffer_reserve(buffer, journal_record_bytes(record));
        if (r < 0)
                return r;
        buffer_append(buffer, fixed, sizeof(fixed));
        buffer_append(buffer, record->entries, record->entries_bytes);
        buffer_append(buffer, record->note, record->note_bytes);
        r = digester_begin(digester);
        if (r == 0)
                r = digester_update(digester, buffer->data + start, buffer->size - start);
        if (r == 0)
                r = digester_end(digester, &record->digest);
        return r < 0 ? r : buffer_append(buffer, record->digest.bytes, DIGEST_BYTES);
}

int journal_record_decode(struct digester *digester, const char *data, size_t size,
                          struct journal_record *ret_record) {
        const uint8_t *p = (const uint8_t *)data;
        if (size < JOURNAL_RECORD_EXTRA || memcmp(p, record_magic, 8))
                return 0;
        struct journal_record record = {
                .sequence = get_u64(p + 8),
                .first_index = get_u64(p + 16),
                .time_ns = get_u64(p + 24),
                .n_entries = get_u32(p + 32),
                .entries = data + FIXED_BYTES,
                .entries_bytes = get_u32(p + 36),
                .note_bytes = get_u32(p + 40),
        };
        if (record.entries_bytes > size || record.note_bytes > size || journal_record_bytes(&record) > size)
                return 0;
        record.note = record.entries + record.entries_bytes;
        memcpy(record.root_before.bytes, p + 48, DIGEST_BYTES);
        memcpy(record.previous.bytes, p + 80, DIGEST_BYTES);
        size_t hashed = journal_record_bytes(&record) - DIGEST_BYTES;
        if (digester_begin(digester) < 0 || digester_update(digester, data, hashed) < 0 ||
            digester_end(digester, &record.digest) < 0 ||
            memcmp(record.digest.bytes, data + hashed, DIGEST_BYTES))
                return 0;
        *ret_record = record;
        return 1;
}

int journal_header_encode(struct buffer *buffer, const char *identity, size_t identity_bytes) {
        if (identity_bytes > JOURNAL_HEADER_BYTES - 20)
                return -EFBIG;
        char header[JOURNAL_HEADER_BYTES] = HEADER_MAGIC;
        put_u32((uint8_t *)header + 16, (uint32_t)identity_bytes);
        memcpy(header + 20, identity, identity_bytes);
        return buffer_append(buffer, header, sizeof(header));
}

void journal_image_deinit(struct journal_image *image) {
        free(STEAL(image->bytes));
}

/* Walks one area: its first and last record and their bytes. False: there is none. */
static bool area_scan(struct digester *digester, struct journal_image *image, unsigned area) {
        const char *data = image->bytes + journal_area_offset(area);
        struct journal_record record;
        size_t used = 0;
        if (!journal_record_decode(digester, data, JOURNAL_AREA_BYTES, &record))
                return false;
        image->area = area;
        image->first = record;
        do {
                used += journal_record_bytes(&record);
                image->last = record;
        } while (journal_record_decode(digester, data + used, JOURNAL_AREA_BYTES - used, &record) &&
                 digest_equal(&record.previous, &image->last.digest) &&
                 record.sequence == image->last.sequence + 1);
        image->used_bytes = used;
        return true;
}

int journal_load(int fd, struct digester *digester, struct journal_image *ret_image) {
        _cleanup_(journal_image_deinit) struct journal_image a = {.bytes = malloc(JOURNAL_BYTES)};
        if (!a.bytes)
                return -ENOMEM;
        ssize_t n = io_pread_full(fd, a.bytes, JOURNAL_BYTES, 0);
        if (n < 0)
                return (int)n;
        size_t identity_bytes = (size_t)n == JOURNAL_BYTES ? get_u32((uint8_t *)a.bytes + 16) : SIZE_MAX;
        if (identity_bytes > JOURNAL_HEADER_BYTES - 20 || memcmp(a.bytes, HEADER_MAGIC, 16))
                return -EBADMSG;
        a.identity = a.bytes + 20;
        a.identity_bytes = identity_bytes;

        struct journal_image b = a;
        bool in_a = area_scan(digester, &a, 0), in_b = area_scan(digester, &b, 1);
        *ret_image = in_b && (!in_a || b.first.sequence > a.first.sequence) ? b : a;
        a.bytes = NULL;
        return in_a || in_b;
}

int journal_next(const struct journal_image *image, struct digester *digester, size_t *offset,
                 struct journal_record *ret_record) {
        if (*offset >= image->used_bytes)
                return 0;
        const char *data = image->bytes + journal_area_offset(image->area);
        if (!journal_record_decode(digester, data + *offset, image->used_bytes - *offset, ret_record))
                return 0;
        *offset += journal_record_bytes(ret_record);
        return 1;
}
