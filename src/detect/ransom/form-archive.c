/* Archives and documents: ZIP (office documents, too), 7z, tar, PDF, ELF. */
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>

#include "detect/ransom/form.h"

/* --- ZIP: APPNOTE.TXT 4.3 --- */

#define ZIP_LOCAL_SIZE  30
#define ZIP_ENTRY_SIZE  46
#define ZIP_END_SIZE    22
#define ZIP_COMMENT_MAX 65535
#define ZIP_LOCKED      1
#define ZIP_STORED      0
#define ZIP_DEFLATED    8
#define ZIP_UNKNOWN     UINT32_MAX /* the sizes stand in a zip64 field */

static size_t find_zip_end(struct view file) {
        size_t least =
                file.size > ZIP_END_SIZE + ZIP_COMMENT_MAX ? file.size - ZIP_END_SIZE - ZIP_COMMENT_MAX : 0;
        for (size_t at = file.size; at-- > least;)
                if (file.size - at >= ZIP_END_SIZE && !memcmp(file.data + at, "PK\5\6", 4))
                        return at;
        return SIZE_MAX;
}

/* The entry's bytes against its checksum. */
static bool is_zip_content(const struct form_file *file, struct view entry, struct view data,
                           struct form_check *check) {
        uint64_t method = form_little(entry, 10, 2), crc = form_little(entry, 16, 4);
        struct unpacked unpacked;
        if (check->unpacked >= FORM_UNPACK_MAX)
                return true;
        if (method == ZIP_STORED) {
                check->unpacked += data.size;
                return crc32(0, data.data, (uInt)data.size) == crc;
        }
        if (method != ZIP_DEFLATED)
                return true;
        if (!form_unpack(file, PACKING_DEFLATE, data, false, check, &unpacked))
                return false;
        return unpacked.size >= UNPACK_BYTES_MAX || unpacked.size == 0 || unpacked.crc32 == crc;
}

static bool is_zip_entry(const struct form_file *file, struct view entry, struct form_check *check) {
        uint64_t packed = form_little(entry, 20, 4), at = form_little(entry, 42, 4);
        struct view local = view_from(file->head, (size_t)at);
        if (form_little(entry, 8, 2) & ZIP_LOCKED)
                check->is_locked = true;
        if (at == ZIP_UNKNOWN || packed == ZIP_UNKNOWN)
                return true;
        if (!view_starts(local, "PK\3\4") || local.size < ZIP_LOCAL_SIZE)
                return false;
        struct view data = view_from(local, ZIP_LOCAL_SIZE + (size_t)form_little(local, 26, 2) +
                                                    (size_t)form_little(local, 28, 2));
        if (data.size < packed)
                return false;
        return check->is_locked || is_zip_content(file, entry, view_head(data, (size_t)packed), check);
}

void form_check_zip(const struct form_file *file, struct form_check *check) {
        if (form_is_cut(file)) {
                check->is_locked = form_little(file->head, 6, 2) & ZIP_LOCKED;
                form_count(check, form_little(file->head, 26, 2) < 4096);
                return;
        }
        size_t end = find_zip_end(file->head);
        if (end == SIZE_MAX) {
                form_count(check, false);
                return;
        }
        uint64_t n = form_little(file->head, end + 10, 2);
        struct view entries = view_from(file->head, (size_t)form_little(file->head, end + 16, 4));
        form_count(check, true);
        check->is_summed = true;
        for (uint64_t i = 0; i < n && i < FORM_PARTS_MAX; i++) {
                bool is_there = entries.size >= ZIP_ENTRY_SIZE && view_starts(entries, "PK\1\2");
                form_count(check, is_there && is_zip_entry(file, entries, check));
                if (!is_there)
                        return;
                entries = view_from(entries, ZIP_ENTRY_SIZE + (size_t)form_little(entries, 28, 2) +
                                                     (size_t)form_little(entries, 30, 2) +
                                                     (size_t)form_little(entries, 32, 2));
        }
}

/* --- 7z: 7zFormat.txt. Its own headers only; which of its coders encrypts stands in the last, often packed. --- */

#define SEVENZIP_HEAD_SIZE  32
#define SEVENZIP_HEADER_MAX ((size_t)1 << 20)
#define SEVENZIP_AES        "\x06\xf1\x07\x01"

enum { SEVENZIP_PACK_INFO = 0x06, SEVENZIP_SIZE = 0x09, SEVENZIP_PACKED_HEADER = 0x17 };

/* The first byte's leading ones say how many bytes follow; its other bits are the highest. */
static uint64_t take_number(struct view *view) {
        unsigned char first = view->size ? view->data[0] : 0;
        unsigned n = 0;
        while (n < 8 && first & 0x80 >> n)
                n++;
        uint64_t high = n < 7 ? first & (0x7fu >> n) : 0, value = form_little(*view, 1, n);
        *view = view_from(*view, 1 + n);
        return n < 8 ? value | high << 8 * n : value;
}

static bool has_aes(struct view header) {
        return memmem(header.data, header.size, SEVENZIP_AES, 4) != NULL;
}

static bool unpack_lzma(struct view packed, const unsigned char *properties, struct view *ret_header) {
        static unsigned char out[SEVENZIP_HEADER_MAX]; /* one thread */
        lzma_filter filters[] = {{.id = LZMA_FILTER_LZMA1}, {.id = LZMA_VLI_UNKNOWN}};
        lzma_stream stream = LZMA_STREAM_INIT;
        if (lzma_properties_decode(&filters[0], NULL, properties, 5) != LZMA_OK)
                return false;
        lzma_options_lzma *options = filters[0].options;
        if (options->dict_size > sizeof(out))
                options->dict_size = sizeof(out);
        if (lzma_raw_decoder(&stream, filters) == LZMA_OK) {
                stream.next_in = packed.data;
                stream.avail_in = packed.size;
                stream.next_out = out;
                stream.avail_out = sizeof(out);
                if (lzma_code(&stream, LZMA_RUN) == LZMA_PROG_ERROR)
                        stream.avail_out = sizeof(out);
        }
        *ret_header = (struct view){out, sizeof(out) - stream.avail_out};
        if (!stream.next_out)
                ret_header->size = 0;
        lzma_end(&stream);
        free(options);
        return ret_header->size > 0;
}

/* Of one stream packed by LZMA, which is what 7-Zip writes. */
static bool is_7z_locked(struct view file, struct view header) {
        static const unsigned char lzma[] = {0x23, 0x03, 0x01, 0x01, 0x05};
        if (has_aes(header))
                return true;
        if (header.size < 4 || header.data[0] != SEVENZIP_PACKED_HEADER ||
            header.data[1] != SEVENZIP_PACK_INFO)
                return false;
        struct view at = view_from(header, 2), inner;
        uint64_t offset = take_number(&at), n_streams = take_number(&at);
        if (n_streams != 1 || !at.size || at.data[0] != SEVENZIP_SIZE)
                return false;
        at = view_from(at, 1);
        uint64_t size = take_number(&at);
        const unsigned char *coder = memmem(at.data, at.size, lzma, sizeof(lzma));
        if (!coder || at.size - (size_t)(coder - at.data) < sizeof(lzma) + 5 || offset > file.size ||
            size > SEVENZIP_HEADER_MAX)
                return false;
        struct view packed = view_head(view_from(file, SEVENZIP_HEAD_SIZE + (size_t)offset), (size_t)size);
        return unpack_lzma(packed, coder + sizeof(lzma), &inner) && has_aes(inner);
}

void form_check_7z(const struct form_file *file, struct form_check *check) {
        struct view head = file->head;
        bool is_start =
                head.size >= SEVENZIP_HEAD_SIZE && crc32(0, head.data + 12, 20) == form_little(head, 8, 4);
        form_count(check, is_start);
        if (!is_start || form_is_cut(file))
                return;
        uint64_t offset = form_little(head, 12, 8), size = form_little(head, 20, 8);
        if (offset > head.size - SEVENZIP_HEAD_SIZE || size > head.size - SEVENZIP_HEAD_SIZE - offset) {
                form_count(check, false);
                return;
        }
        struct view next = {head.data + SEVENZIP_HEAD_SIZE + offset, (size_t)size};
        form_count(check, crc32(0, next.data, (uInt)next.size) == form_little(head, 28, 4));
        check->is_locked = is_7z_locked(head, next);
}

/* --- tar: POSIX ustar --- */

#define TAR_BLOCK 512

static bool is_tar_header(struct view block) {
        unsigned sum = 0;
        for (size_t i = 0; i < TAR_BLOCK; i++)
                sum += i >= 148 && i < 156 ? ' ' : block.data[i];
        char text[9] = {0};
        memcpy(text, block.data + 148, 8);
        return strtoul(text, NULL, 8) == sum;
}

void form_check_tar(const struct form_file *file, struct form_check *check) {
        struct view at = file->head;
        while (at.size >= TAR_BLOCK && check->good + check->bad < FORM_PARTS_MAX) {
                if (!at.data[0])
                        return;
                bool is_header = is_tar_header(at);
                form_count(check, is_header);
                if (!is_header)
                        return;
                char text[13] = {0};
                memcpy(text, at.data + 124, 12);
                size_t size = text[0] & 0x80 ? 0 : strtoul(text, NULL, 8);
                if (size > at.size - TAR_BLOCK)
                        return;
                at = view_from(at, TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK);
        }
}

/* --- PDF --- */

#define PDF_TAIL        4096
#define PDF_DICTIONARY  1024
#define PDF_STREAMS_MAX 4096

static bool is_flate(struct view file, size_t stream) {
        size_t from = stream > PDF_DICTIONARY ? stream - PDF_DICTIONARY : 0;
        struct view before = {file.data + from, stream - from};
        size_t object = 0, flate = SIZE_MAX;
        for (size_t at = 0; (at = view_find(before, at, " obj", 4)) != SIZE_MAX; at++)
                object = at;
        flate = view_find(before, object, "FlateDecode", 11);
        return flate != SIZE_MAX && view_find(before, flate, "endstream", 9) == SIZE_MAX &&
               view_find(before, object, "ASCII85", 7) == SIZE_MAX &&
               view_find(before, object, "ASCIIHex", 8) == SIZE_MAX;
}

static void check_pdf_streams(const struct form_file *file, struct form_check *check) {
        struct view head = file->head;
        unsigned n = 0;
        for (size_t at = 0; (at = view_find(head, at, "stream", 6)) != SIZE_MAX; at += 6) {
                struct view data = view_from(head, at + 6);
                if (n++ >= PDF_STREAMS_MAX || check->unpacked >= FORM_UNPACK_MAX)
                        return;
                if ((at >= 3 && !memcmp(head.data + at - 3, "end", 3)) || !is_flate(head, at))
                        continue;
                data = view_from(data, view_starts(data, "\r\n") ? 2 : 1);
                struct unpacked unpacked;
                form_count(check, form_unpack(file, PACKING_ZLIB, data, form_is_cut(file), check, &unpacked));
                at += unpacked.n_used;
        }
}

void form_check_pdf(const struct form_file *file, struct form_check *check) {
        struct view head = file->head;
        struct view tail = view_from(head, head.size > PDF_TAIL ? head.size - PDF_TAIL : 0);
        if (!form_is_cut(file))
                form_count(check, view_find(tail, 0, "%%EOF", 5) != SIZE_MAX &&
                                          view_find(tail, 0, "startxref", 9) != SIZE_MAX);
        check->is_locked = view_find(head, 0, "/Encrypt ", 9) != SIZE_MAX;
        if (!check->is_locked)
                check_pdf_streams(file, check);
        check->is_even = false; /* images in it are */
}

/* --- ELF: elf(5), 64 bit; of others the magic alone is known --- */

#define ELF_64_LITTLE                                                                                        \
        "\x7f"                                                                                               \
        "ELF\2\1"
#define ELF_SECTION 64
#define ELF_NOBITS  8

void form_check_elf(const struct form_file *file, struct form_check *check) {
        struct view head = file->head;
        if (!view_starts(head, ELF_64_LITTLE))
                return;
        uint64_t at = form_little(head, 40, 8), n = form_little(head, 60, 2),
                 names = form_little(head, 62, 2);
        if (at == 0 || n == 0)
                return; /* no section table: nothing to go by */
        bool fits = at < file->size_bytes && n * ELF_SECTION <= file->size_bytes - at && names < n &&
                    form_little(head, 58, 2) == ELF_SECTION;
        form_count(check, fits);
        for (uint64_t i = 0; fits && i < n && at + (i + 1) * ELF_SECTION <= head.size; i++) {
                struct view section = view_from(head, (size_t)(at + i * ELF_SECTION));
                uint64_t offset = form_little(section, 24, 8), size = form_little(section, 32, 8);
                bool is_empty = form_little(section, 4, 4) == ELF_NOBITS;
                form_count(check,
                           is_empty || (offset <= file->size_bytes && size <= file->size_bytes - offset));
        }
}
