/*
 * A corpus made here, encrypted in every way that has been published and altered in every way that is harmless,
 * under many seeds. Prints what was found and what was wrongly suspected.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bzlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <iconv.h>
#include <lzma.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#include "base/buffer.h"
#include "base/io.h"
#include "detect/ransom/content.h"
#include "detect/ransom/lineage.h"
#include "detect/ransom/note.h"
#include "detect/ransom/overlap.h"
#include "detect/ransom/spelling.h"

#define ROOM ((size_t)64 << 20)

static uint64_t state = 1;
static unsigned n_seeds = 2; /* HINOMI_SEEDS; the more, the longer */

static uint64_t any(uint64_t below) {
        return overlap_random(&state) % below;
}

static void put(struct buffer *out, const void *data, size_t size) {
        assert_int_equal(buffer_append(out, data, size), 0);
}

static void put_string(struct buffer *out, const char *text) {
        put(out, text, strlen(text));
}

static void put_number(struct buffer *out, uint64_t value, unsigned n, bool is_big) {
        for (unsigned i = 0; i < n; i++) {
                unsigned char byte = (unsigned char)(value >> 8 * (is_big ? n - 1 - i : i));
                put(out, &byte, 1);
        }
}

static void put_random(struct buffer *out, size_t size) {
        for (size_t i = 0; i < size; i++) {
                unsigned char byte = (unsigned char)overlap_random(&state);
                put(out, &byte, 1);
        }
}

static struct view view_of(const struct buffer *buffer) {
        return (struct view){(const unsigned char *)buffer->data, buffer->size};
}

/* --- files of every kind --- */

static const char *const vocabulary[] = {
        "invoice", "the",        "customer", "and",    "delivery", "of",     "a",     "to",    "ordered",
        "on",      "2026-11-23", "Tokyo",    "in",     "amount",   "total",  "1,980", "is",    "with",
        "from",    "account",    "for",      "please", "confirm",  "that",   "your",  "staff", "meeting",
        "at",      "14:30",      "we",       "agreed", "by",       "quarter"};

static void put_words(struct buffer *out, size_t size) {
        for (size_t end = out->size + size; out->size < end;) {
                put_string(out, vocabulary[any(ARRAY_SIZE(vocabulary))]);
                put_string(out, any(11) ? " " : ".\n");
        }
}

static void make_text(struct buffer *out, size_t size) {
        put_words(out, size);
}

static void make_table(struct buffer *out, size_t size) {
        char line[96];
        while (out->size < size) {
                snprintf(line, sizeof(line), "%u,%u,\"%s\",%u.%02u,2026-%02u-%02u\n", (unsigned)any(100000),
                         (unsigned)any(9999), vocabulary[any(ARRAY_SIZE(vocabulary))], (unsigned)any(5000),
                         (unsigned)any(100), (unsigned)any(12) + 1, (unsigned)any(28) + 1);
                put_string(out, line);
        }
}

static void make_japanese(struct buffer *out, size_t size) {
        static const char *const parts[] = {"請求書", "のご確認", "をお願い", "いたします",
                                            "。\n",   "株式会社", "東京都",   "在庫",
                                            "注文",   "は",       "が",       "、"};
        while (out->size < size)
                put_string(out, parts[any(ARRAY_SIZE(parts))]);
}

static void make_json(struct buffer *out, size_t size) {
        char line[128];
        put_string(out, "[\n");
        while (out->size < size) {
                snprintf(line, sizeof(line),
                         "  {\"id\": %u, \"name\": \"%s\", \"price\": %u, \"key\": \"%08x\"},\n",
                         (unsigned)any(100000), vocabulary[any(ARRAY_SIZE(vocabulary))], (unsigned)any(9999),
                         (unsigned)overlap_random(&state));
                put_string(out, line);
        }
        put_string(out, "  {}\n]\n");
}

static void put_deflated(struct buffer *out, const void *data, size_t size, int bits, int level) {
        z_stream z = {0};
        unsigned char *packed = malloc(size + 4096);
        assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (void *)(uintptr_t)data;
        z.avail_in = (uInt)size;
        z.next_out = packed;
        z.avail_out = (uInt)size + 4096;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        put(out, packed, z.total_out);
        deflateEnd(&z);
        free(packed);
}

static void pack_gzip(struct buffer *out, struct view data) {
        put_deflated(out, data.data, data.size, 15 + 16, 1 + (int)any(9));
}

static void pack_xz(struct buffer *out, struct view data) {
        size_t n = 0, room = lzma_stream_buffer_bound(data.size);
        unsigned char *packed = malloc(room);
        assert_int_equal(
                lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, data.data, data.size, packed, &n, room),
                LZMA_OK);
        put(out, packed, n);
        free(packed);
}

static void pack_zstd(struct buffer *out, struct view data) {
        size_t room = ZSTD_compressBound(data.size);
        unsigned char *packed = malloc(room);
        size_t n = ZSTD_compress(packed, room, data.data, data.size, 1 + (int)any(5));
        assert_false(ZSTD_isError(n));
        put(out, packed, n);
        free(packed);
}

static void pack_bzip2(struct buffer *out, struct view data) {
        unsigned n = (unsigned)(data.size + data.size / 50 + 1000);
        char *packed = malloc(n);
        assert_int_equal(BZ2_bzBuffToBuffCompress(packed, &n, (char *)(uintptr_t)data.data,
                                                  (unsigned)data.size, 5, 0, 0),
                         BZ_OK);
        put(out, packed, n);
        free(packed);
}

static void make_packed(struct buffer *out, size_t size, void (*pack)(struct buffer *, struct view)) {
        struct buffer inside;
        buffer_init(&inside, ROOM);
        make_table(&inside, size * 3);
        pack(out, view_of(&inside));
        buffer_deinit(&inside);
}

static void make_gzip(struct buffer *out, size_t size) {
        make_packed(out, size, pack_gzip);
}

static void make_xz(struct buffer *out, size_t size) {
        make_packed(out, size, pack_xz);
}

static void make_zstd(struct buffer *out, size_t size) {
        make_packed(out, size, pack_zstd);
}

static void make_bzip2(struct buffer *out, size_t size) {
        make_packed(out, size, pack_bzip2);
}

static void pack_zlib(struct buffer *out, struct view data) {
        put_deflated(out, data.data, data.size, 15, 1);
}

static void make_git_object(struct buffer *out, size_t size) {
        make_packed(out, size, pack_zlib);
}

static void put_zip_entry(struct buffer *out, struct buffer *directory, struct view data) {
        struct buffer packed;
        size_t at = out->size;
        buffer_init(&packed, ROOM);
        put_deflated(&packed, data.data, data.size, -15, 6);
        for (unsigned is_entry = 0; is_entry < 2; is_entry++) {
                struct buffer *to = is_entry ? directory : out;
                put_string(to, is_entry ? "PK\1\2" : "PK\3\4");
                put_number(to, 20, is_entry ? 4 : 2, false);
                put_number(to, 0, 2, false);
                put_number(to, 8, 2, false);
                put_number(to, 0, 4, false);
                put_number(to, crc32(0, data.data, (uInt)data.size), 4, false);
                put_number(to, packed.size, 4, false);
                put_number(to, data.size, 4, false);
                put_number(to, 8, 4, false);
                if (is_entry) {
                        put_number(to, 0, 8, false);
                        put_number(to, 0, 2, false);
                        put_number(to, at, 4, false);
                }
                put_string(to, "document");
        }
        put(out, packed.data, packed.size);
        buffer_deinit(&packed);
}

static void make_zip(struct buffer *out, size_t size) {
        struct buffer inside, directory;
        buffer_init(&inside, ROOM);
        buffer_init(&directory, ROOM);
        for (unsigned i = 0; i < 4; i++) {
                buffer_clear(&inside);
                make_table(&inside, size * 3 / 4);
                put_zip_entry(out, &directory, view_of(&inside));
        }
        size_t at = out->size;
        put(out, directory.data, directory.size);
        put(out, "PK\5\6\0\0\0\0", 8);
        put_number(out, 4, 2, false);
        put_number(out, 4, 2, false);
        put_number(out, directory.size, 4, false);
        put_number(out, at, 4, false);
        put_number(out, 0, 2, false);
        buffer_deinit(&inside);
        buffer_deinit(&directory);
}

static void put_chunk(struct buffer *out, const char *kind, struct view data) {
        put_number(out, data.size, 4, true);
        size_t from = out->size;
        put_string(out, kind);
        put(out, data.data, data.size);
        put_number(out, crc32(0, (unsigned char *)out->data + from, (uInt)(data.size + 4)), 4, true);
}

static void make_png(struct buffer *out, size_t size) {
        struct buffer pixels, packed;
        buffer_init(&pixels, ROOM);
        buffer_init(&packed, ROOM);
        for (size_t i = 0; i < size * 2; i++)
                put_number(&pixels, (i / 97 + any(9)) & 255, 1, true);
        put_deflated(&packed, pixels.data, pixels.size, 15, 6);
        put(out, "\x89PNG\r\n\x1a\n", 8);
        put_chunk(out, "IHDR", (struct view){(const unsigned char *)"\0\0\1\0\0\0\1\0\10\2\0\0\0", 13});
        for (size_t at = 0; at < packed.size; at += 8192)
                put_chunk(out, "IDAT", view_head(view_from(view_of(&packed), at), 8192));
        put_chunk(out, "IEND", (struct view){(const unsigned char *)"", 0});
        buffer_deinit(&pixels);
        buffer_deinit(&packed);
}

/* What frames a JPEG, and coded data that follows the rule; not a picture. */
static void make_jpeg(struct buffer *out, size_t size) {
        put(out, "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xdb\0\x43\0", 25);
        for (unsigned i = 0; i < 64; i++)
                put_number(out, 3 + i / 2 + any(3), 1, true);
        put(out, "\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0", 14);
        while (out->size < size) {
                unsigned char byte = (unsigned char)overlap_random(&state);
                put(out, &byte, 1);
                if (byte == 0xff)
                        put(out, "", 1);
        }
        put(out, "\0\xff\xd9", 3);
}

static void make_pdf(struct buffer *out, size_t size) {
        char line[128];
        struct buffer inside, packed;
        buffer_init(&inside, ROOM);
        buffer_init(&packed, ROOM);
        put_string(out, "%PDF-1.5\n%\xe2\xe3\xcf\xd3\n");
        for (unsigned i = 1; out->size < size; i++) {
                buffer_clear(&inside);
                buffer_clear(&packed);
                put_words(&inside, 6000);
                put_deflated(&packed, inside.data, inside.size, 15, 6);
                snprintf(line, sizeof(line), "%u 0 obj\n<< /Length %zu /Filter /FlateDecode >>\nstream\n", i,
                         packed.size);
                put_string(out, line);
                put(out, packed.data, packed.size);
                put_string(out, "\nendstream\nendobj\n");
        }
        put_string(out, "xref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 1 >>\nstartxref\n9\n%%EOF\n");
        buffer_deinit(&inside);
        buffer_deinit(&packed);
}

static void run_sql(sqlite3 *db, const char *sql) {
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3 *sqlite_from(const struct buffer *file) {
        sqlite3 *db;
        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        if (file) {
                unsigned char *copy = sqlite3_malloc64(file->size);
                memcpy(copy, file->data, file->size);
                sqlite3_deserialize(db, "main", copy, (sqlite3_int64)file->size, (sqlite3_int64)file->size,
                                    SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE);
        }
        return db;
}

static void put_sqlite(struct buffer *out, sqlite3 *db) {
        sqlite3_int64 size;
        unsigned char *data = sqlite3_serialize(db, "main", &size, 0);
        put(out, data, (size_t)size);
        sqlite3_free(data);
        sqlite3_close(db);
}

static void insert_rows(sqlite3 *db, size_t n, bool has_blobs) {
        char sql[256];
        run_sql(db, "BEGIN");
        for (size_t i = 0; i < n; i++) {
                snprintf(sql, sizeof(sql), "INSERT INTO t VALUES(%u, '%s %s %s', %s)", (unsigned)any(100000),
                         vocabulary[any(20)], vocabulary[any(20)], vocabulary[any(20)],
                         has_blobs ? "randomblob(900)" : "NULL");
                run_sql(db, sql);
        }
        run_sql(db, "COMMIT");
}

static void make_sqlite(struct buffer *out, size_t size) {
        sqlite3 *db = sqlite_from(NULL);
        run_sql(db, "CREATE TABLE t(a INTEGER, b TEXT, c BLOB); CREATE INDEX i ON t(b)");
        insert_rows(db, size / 40 + 300, false);
        put_sqlite(out, db);
}

static void make_postgres(struct buffer *out, size_t size) {
        struct buffer rows;
        buffer_init(&rows, ROOM);
        for (unsigned i = 0; out->size < size || i < 2; i++) {
                buffer_clear(&rows);
                put_words(&rows, 7900);
                put_number(out, overlap_random(&state), 8, false);
                put_number(out, any(65536), 2, false);
                put_number(out, 0, 2, false);
                put_number(out, 224, 2, false);
                put_number(out, 8192 - rows.size, 2, false);
                put_number(out, 8192, 2, false);
                put_number(out, 0x2004, 2, false);
                put_number(out, 0, 4, false);
                for (size_t j = 24; j < 8192 - rows.size; j += 4)
                        put_number(out, j < 224 ? 0x80009000u + j * 40 : 0,
                                   j + 4 > 8192 - rows.size ? 8192 - rows.size - j : 4, false);
                put(out, rows.data, rows.size);
        }
        buffer_deinit(&rows);
}

static void put_file(struct buffer *out, const char *path, size_t most) {
        struct buffer file;
        buffer_init(&file, ROOM);
        assert_int_equal(io_read_file(AT_FDCWD, path, &file), 0);
        put(out, file.data, file.size < most ? file.size : most);
        buffer_deinit(&file);
}

/* This program itself; the size is its own. */
static void make_program(struct buffer *out, size_t size) {
        (void)size;
        put_file(out, "/proc/self/exe", (size_t)300 << 10);
}

static void make_tar(struct buffer *out, size_t size) {
        static const char zeros[512];
        while (out->size < size) {
                char header[512] = "directory/file";
                struct buffer inside;
                unsigned sum = 8 * ' ';
                buffer_init(&inside, ROOM);
                put_words(&inside, 1 + any(20000));
                snprintf(header + 124, 12, "%011zo", inside.size);
                memcpy(header + 257, "ustar\00000", 8);
                for (size_t i = 0; i < sizeof(header); i++)
                        sum += (unsigned char)header[i];
                snprintf(header + 148, 8, "%06o", sum);
                put(out, header, sizeof(header));
                put(out, inside.data, inside.size);
                put(out, zeros, (512 - inside.size % 512) % 512);
                buffer_deinit(&inside);
        }
        put(out, zeros, 512);
        put(out, zeros, 512);
}

static void put_base64(struct buffer *out, struct view data, size_t width) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t column = 0;
        for (size_t i = 0; i < data.size; i += 3) {
                unsigned value = 0;
                for (size_t j = 0; j < 3; j++)
                        value = value << 8 | (i + j < data.size ? data.data[i + j] : 0);
                for (unsigned j = 0; j < 4; j++) {
                        put(out, i + j > data.size ? "=" : &digits[value >> (18 - 6 * j) & 63], 1);
                        if (++column % width == 0)
                                put_string(out, "\n");
                }
        }
}

static void make_mail(struct buffer *out, size_t size) {
        struct buffer picture;
        buffer_init(&picture, ROOM);
        put_string(out, "From: a@example.jp\nSubject: report\n\n");
        put_words(out, size / 4);
        put_string(out, "\n--part\nContent-Transfer-Encoding: base64\n\n");
        make_jpeg(&picture, size / 2);
        put_base64(out, view_of(&picture), 76);
        put_string(out, "\n--part--\n");
        buffer_deinit(&picture);
}

/* Of no type that is known, and not even: fonts, catalogues, objects of applications. */
static void make_opaque(struct buffer *out, size_t size) {
        put(out, "\x94\x12\xde\0", 4);
        while (out->size < size) {
                put_number(out, any(300), 4, false);
                put_string(out, vocabulary[any(ARRAY_SIZE(vocabulary))]);
        }
}

static const struct kind {
        const char *name;
        void (*make)(struct buffer *out, size_t size);
} kinds[] = {
        {"text", make_text},
        {"table", make_table},
        {"japanese", make_japanese},
        {"json", make_json},
        {"gzip", make_gzip},
        {"xz", make_xz},
        {"zstd", make_zstd},
        {"bzip2", make_bzip2},
        {"zip", make_zip},
        {"png", make_png},
        {"jpeg", make_jpeg},
        {"pdf", make_pdf},
        {"sqlite", make_sqlite},
        {"postgres", make_postgres},
        {"program", make_program},
        {"tar", make_tar},
        {"mail", make_mail},
        {"opaque", make_opaque},
        {"git object", make_git_object},
};

/* --- what attackers do --- */

static void encrypt(struct buffer *file, size_t from, size_t size) {
        for (size_t i = from; i < file->size && i - from < size; i++)
                file->data[i] ^= (char)overlap_random(&state);
}

static void attack_whole(struct buffer *file) {
        encrypt(file, 0, file->size);
}

static void attack_head(struct buffer *file) {
        encrypt(file, 0, 4096);
}

static void attack_with_trailer(struct buffer *file) {
        encrypt(file, 0, file->size);
        put_random(file, any(2) ? 32 : 534);
}

static void stripes(struct buffer *file, size_t from, size_t on, size_t off) {
        for (size_t at = from; at < file->size; at += on + off)
                encrypt(file, at, on);
}

static void attack_skip_step(struct buffer *file) {
        stripes(file, 0, 4096, 12288);
}

static void attack_64_of_192(struct buffer *file) {
        stripes(file, 0, 64, 128);
}

static void attack_percent(struct buffer *file) {
        encrypt(file, 0, file->size / 5);
}

static void attack_two_spots(struct buffer *file) {
        encrypt(file, file->size / 8, file->size / 10);
        encrypt(file, file->size / 2, file->size / 10);
}

static void attack_every_other_16(struct buffer *file) {
        stripes(file, 512, 16, 16);
}

static void attack_4_percent_at_once(struct buffer *file) {
        encrypt(file, 512 + any(file->size * 9 / 10 - 512), file->size / 25 + 64);
}

static void attack_4_percent_spread(struct buffer *file) {
        stripes(file, 512, 512, 12800);
}

static void attack_rewritten(struct buffer *file) {
        size_t size = file->size;
        buffer_clear(file);
        put_random(file, size);
}

static void attack_magic_kept(struct buffer *file) {
        encrypt(file, 16, file->size);
}

static void attack_gzip_header(struct buffer *file) {
        size_t size = file->size;
        buffer_clear(file);
        put(file, "\x1f\x8b\x08\0\0\0\0\0\0\3", 10);
        put_random(file, size);
}

static void attack_gzip_of_ciphertext(struct buffer *file) {
        struct buffer inside;
        buffer_init(&inside, ROOM);
        put_random(&inside, file->size);
        buffer_clear(file);
        pack_gzip(file, view_of(&inside));
        buffer_deinit(&inside);
}

static void attack_base64(struct buffer *file) {
        struct buffer inside;
        buffer_init(&inside, ROOM);
        put_random(&inside, file->size);
        buffer_clear(file);
        put_base64(file, view_of(&inside), any(2) ? 76 : 1 << 30);
        buffer_deinit(&inside);
}

static void attack_hex(struct buffer *file) {
        size_t size = file->size;
        buffer_clear(file);
        for (size_t i = 0; i < size * 2; i++)
                put(file, &"0123456789abcdef"[any(16)], 1);
}

static void attack_ascii85(struct buffer *file) {
        size_t size = file->size;
        buffer_clear(file);
        for (size_t i = 0; i < size; i += 4) {
                uint64_t value = overlap_random(&state) >> 32;
                for (unsigned j = 0, unit = 52200625; j < 5; j++, unit /= 85) {
                        char digit = (char)('!' + value / unit % 85);
                        put(file, &digit, 1);
                }
        }
}

static void attack_zeros(struct buffer *file) {
        memset(file->data, 0, file->size);
}

static void attack_one_value(struct buffer *file) {
        memset(file->data, 0x55, file->size);
}

static const struct attack {
        const char *name;
        void (*run)(struct buffer *file);
} attacks[] = {
        {"P1 whole", attack_whole},
        {"P2 head 4 KB", attack_head},
        {"P3 whole, trailer", attack_with_trailer},
        {"P4 skip-step 1/4", attack_skip_step},
        {"P4 64 of 192", attack_64_of_192},
        {"P4 first 20 %", attack_percent},
        {"P4 two spots", attack_two_spots},
        {"P5 every other 16", attack_every_other_16},
        {"P5 4 % at once", attack_4_percent_at_once},
        {"P5 4 % spread", attack_4_percent_spread},
        {"P9 rewritten", attack_rewritten},
        {"P22 magic kept", attack_magic_kept},
        {"P22 gzip header", attack_gzip_header},
        {"P22 gzip inside", attack_gzip_of_ciphertext},
        {"P22 base64", attack_base64},
        {"P22 hex", attack_hex},
        {"P22 ascii85", attack_ascii85},
        {"P23 zeros", attack_zeros},
        {"P23 one value", attack_one_value},
};

/* --- what users do --- */

static void replace_bytes(struct buffer *file, size_t at, size_t size, const char *text) {
        struct buffer out;
        buffer_init(&out, ROOM);
        put(&out, file->data, at);
        put_string(&out, text);
        put(&out, file->data + at + size, file->size - at - size);
        buffer_clear(file);
        put(file, out.data, out.size);
        buffer_deinit(&out);
}

static void edit_some(struct buffer *file, const struct kind *kind) {
        (void)kind;
        for (unsigned i = 0; i < 5; i++)
                replace_bytes(file, any(file->size - 40), any(30), vocabulary[any(ARRAY_SIZE(vocabulary))]);
}

static void edit_append(struct buffer *file, const struct kind *kind) {
        (void)kind;
        put_words(file, 500);
}

static void edit_cut(struct buffer *file, const struct kind *kind) {
        (void)kind;
        file->size -= any(file->size / 2);
}

static void edit_empty(struct buffer *file, const struct kind *kind) {
        (void)kind;
        buffer_clear(file);
}

/* sed over a tree, a formatter: each line changes. */
static void edit_lines(struct buffer *file, const struct kind *kind) {
        struct buffer out;
        (void)kind;
        buffer_init(&out, ROOM);
        for (size_t i = 0; i < file->size; i++) {
                put(&out, file->data + i, 1);
                if (file->data[i] == '\n')
                        put_string(&out, "\t");
        }
        buffer_clear(file);
        put(file, out.data, out.size);
        buffer_deinit(&out);
}

static void edit_anew(struct buffer *file, const struct kind *kind) {
        size_t size = file->size;
        buffer_clear(file);
        kind->make(file, size * (80 + any(40)) / 100);
}

static void convert(struct buffer *file, const char *from, const char *to) {
        iconv_t converter = iconv_open(to, from);
        char *in = file->data, *out = malloc(file->size * 4 + 16), *at = out;
        size_t in_left = file->size, out_left = file->size * 4 + 16;
        assert_true(converter != (iconv_t)-1);
        iconv(converter, &in, &in_left, &at, &out_left);
        iconv_close(converter);
        buffer_clear(file);
        put(file, out, (size_t)(at - out));
        free(out);
}

static void edit_to_utf16(struct buffer *file, const struct kind *kind) {
        (void)kind;
        convert(file, "UTF-8", "UTF-16");
}

static void edit_to_shift_jis(struct buffer *file, const struct kind *kind) {
        (void)kind;
        convert(file, "UTF-8", "SHIFT_JIS//IGNORE");
}

static void packed_by(struct buffer *file, void (*pack)(struct buffer *, struct view)) {
        struct buffer out;
        buffer_init(&out, ROOM);
        pack(&out, view_of(file));
        buffer_clear(file);
        put(file, out.data, out.size);
        buffer_deinit(&out);
}

static void edit_pack(struct buffer *file, const struct kind *kind) {
        static void (*const packs[])(struct buffer *, struct view) = {pack_gzip, pack_xz, pack_zstd,
                                                                      pack_bzip2};
        (void)kind;
        packed_by(file, packs[any(ARRAY_SIZE(packs))]);
}

static void edit_zip(struct buffer *file, const struct kind *kind) {
        struct buffer out, directory;
        (void)kind;
        buffer_init(&out, ROOM);
        buffer_init(&directory, ROOM);
        put_zip_entry(&out, &directory, view_of(file));
        size_t at = out.size;
        put(&out, directory.data, directory.size);
        put(&out, "PK\5\6\0\0\0\0\1\0\1\0", 12);
        put_number(&out, directory.size, 4, false);
        put_number(&out, at, 4, false);
        put_number(&out, 0, 2, false);
        buffer_clear(file);
        put(file, out.data, out.size);
        buffer_deinit(&out);
        buffer_deinit(&directory);
}

static void edit_sqlite(struct buffer *file, const struct kind *kind) {
        sqlite3 *db = sqlite_from(file);
        (void)kind;
        run_sql(db, "DELETE FROM t WHERE a % 7 = 3; UPDATE t SET b = b || ' paid' WHERE a % 5 = 1");
        insert_rows(db, 50, any(2));
        if (any(2))
                run_sql(db, "VACUUM");
        buffer_clear(file);
        put_sqlite(file, db);
}

static void edit_pages(struct buffer *file, const struct kind *kind) {
        (void)kind;
        for (unsigned i = 0; i < 4; i++) {
                size_t page = any(file->size / 8192) * 8192;
                struct buffer row;
                buffer_init(&row, ROOM);
                put_words(&row, 3000);
                memcpy(file->data + page + 4096, row.data, 3000);
                file->data[page + 1]++;
                buffer_deinit(&row);
        }
}

static void edit_program(struct buffer *file, const struct kind *kind) {
        (void)kind;
        buffer_clear(file);
        put_file(file, "/bin/bash", (size_t)3 << 20);
}

#define KINDS_TEXT "text table japanese json"

static const struct edit {
        const char *name, *kinds; /* NULL: all */
        void (*run)(struct buffer *file, const struct kind *kind);
} edits[] = {
        {"some words", KINDS_TEXT " mail opaque", edit_some},
        {"appended", KINDS_TEXT " mail opaque gzip jpeg program", edit_append},
        {"cut off", KINDS_TEXT " mail opaque", edit_cut},
        {"emptied", NULL, edit_empty},
        {"every line", KINDS_TEXT " mail", edit_lines},
        {"another version", NULL, edit_anew},
        {"to UTF-16", KINDS_TEXT, edit_to_utf16},
        {"to Shift JIS", KINDS_TEXT, edit_to_shift_jis},
        {"packed in place", NULL, edit_pack},
        {"zipped in place", NULL, edit_zip},
        {"rows", "sqlite", edit_sqlite},
        {"pages", "postgres", edit_pages},
        {"upgrade", "program", edit_program},
};

static bool is_for(const struct edit *edit, const struct kind *kind) {
        const char *found = edit->kinds ? strstr(edit->kinds, kind->name) : NULL;
        return !edit->kinds || found;
}

/* --- the comparison --- */

static uint64_t spent_ns;
static unsigned n_compared;

static struct ransom_content content_of(const struct buffer *file) {
        return (struct ransom_content){view_of(file), file->size, file->size};
}

static struct ransom_signs compare(const struct buffer *before, const struct buffer *after) {
        struct ransom_request request = {.after = content_of(after), .seed = overlap_random(&state)};
        struct ransom_signs signs;
        struct timespec begin, end;
        if (before) {
                request.has_before = true;
                request.before = content_of(before);
        }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        ransom_compare(&request, &signs);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        spent_ns += (uint64_t)(end.tv_sec - begin.tv_sec) * NS_PER_S + (uint64_t)end.tv_nsec -
                    (uint64_t)begin.tv_nsec;
        n_compared++;
        return signs;
}

static void begin_pair(const struct kind *kind, unsigned seed, struct buffer *before, struct buffer *after) {
        static const size_t sizes[] = {1500, 6000, 24000, 90000, 300000};
        state = seed * 1000003 + (uint64_t)(kind - kinds);
        buffer_init(before, ROOM);
        buffer_init(after, ROOM);
        kind->make(before, sizes[seed % ARRAY_SIZE(sizes)]);
        put(after, before->data, before->size);
}

static void complain(const char *what, const char *name, unsigned seed, const struct ransom_signs *signs) {
        print_message("# %s: %s, seed %u: %u (%u permille, %s)\n", what, name, seed, signs->suspicion,
                      signs->changed_permille, signs->n_reasons ? signs->reasons[0] : "no reason");
}

static void report_cost(void) {
        print_message("# %u comparisons, %.0f us each\n", n_compared, (double)spent_ns / 1e3 / n_compared);
        spent_ns = n_compared = 0;
}

static unsigned n_attacked;

static unsigned missed_by(const struct attack *attack) {
        unsigned n = 0, n_clear = 0, n_missed = 0;
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                for (unsigned seed = 0; seed < n_seeds; seed++) {
                        struct buffer before, after;
                        begin_pair(&kinds[k], seed, &before, &after);
                        attack->run(&after);
                        struct ransom_signs signs = compare(&before, &after);
                        n++;
                        n_clear += signs.suspicion >= RANSOM_CLEAR;
                        if (signs.suspicion < RANSOM_LIKELY) {
                                n_missed++;
                                complain(attack->name, kinds[k].name, seed, &signs);
                        }
                        buffer_deinit(&before);
                        buffer_deinit(&after);
                }
        print_message("# %-20s %u of %u found, %u clearly\n", attack->name, n - n_missed, n, n_clear);
        n_attacked += n;
        return n_missed;
}

static void every_way_of_encrypting_is_seen(void **unused) {
        unsigned n_missed = 0;
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(attacks); i++)
                n_missed += missed_by(&attacks[i]);
        report_cost();
        /* what is left: a few hundred bytes where a page or a stream without checksum shows nothing */
        assert_true(n_missed * 200 <= n_attacked);
}

static void no_way_of_working_is_suspected(void **unused) {
        unsigned n = 0, n_odd = 0, n_wrong = 0;
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(edits); i++)
                for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                        for (unsigned seed = 0; is_for(&edits[i], &kinds[k]) && seed < n_seeds; seed++) {
                                struct buffer before, after;
                                begin_pair(&kinds[k], seed, &before, &after);
                                edits[i].run(&after, &kinds[k]);
                                struct ransom_signs signs = compare(&before, &after);
                                n++;
                                n_odd += signs.suspicion >= RANSOM_POSSIBLE;
                                n_wrong += signs.suspicion >= RANSOM_LIKELY;
                                if (signs.suspicion >= RANSOM_POSSIBLE)
                                        complain(edits[i].name, kinds[k].name, seed, &signs);
                                buffer_deinit(&before);
                                buffer_deinit(&after);
                        }
        print_message("# %u harmless changes: %u odd, %u wrongly taken for lost\n", n, n_odd, n_wrong);
        report_cost();
        assert_true(n >= 80 * n_seeds);
        assert_int_equal(n_wrong, 0);
}

/* A locker goes through a mixed tree: how many files until the verdict? */
static void a_mixed_tree_takes_three_files(void **unused) {
        unsigned most = 0;
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(attacks); i++)
                for (unsigned seed = 0; seed < n_seeds; seed++) {
                        struct ransom_case ransom;
                        unsigned n = 0;
                        ransom_case_init(&ransom);
                        do {
                                struct ransom_sign sign = {.kind = RANSOM_ALTERED, .examined = true};
                                struct buffer before, after;
                                begin_pair(&kinds[(seed * 7 + n * 5) % ARRAY_SIZE(kinds)], seed + n, &before,
                                           &after);
                                attacks[i].run(&after);
                                sign.content = compare(&before, &after);
                                sign.path = sign.directory = ++n;
                                sign.time_ns = n * 60 * NS_PER_S;
                                buffer_deinit(&before);
                                buffer_deinit(&after);
                                if (ransom_case_add(&ransom, &sign) == RANSOM_ATTACK)
                                        break;
                        } while (n < 20);
                        most = n > most ? n : most;
                }
        print_message("# at most %u files until the verdict\n", most);
        assert_true(most <= 5);
}

static void created_files_are_told_apart(void **unused) {
        (void)unused;
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                for (unsigned seed = 0; seed < n_seeds; seed++) {
                        struct buffer before, after;
                        begin_pair(&kinds[k], seed, &before, &after);
                        struct ransom_signs signs = compare(NULL, &before);
                        if (signs.suspicion)
                                complain("created", kinds[k].name, seed, &signs);
                        assert_int_equal(signs.suspicion, 0);
                        edit_pack(&after, &kinds[k]);
                        signs = compare(NULL, &after);
                        assert_int_equal(signs.suspicion, 0);
                        attack_rewritten(&after);
                        signs = compare(NULL, &after);
                        assert_true(signs.random && signs.suspicion >= RANSOM_POSSIBLE);
                        attack_gzip_of_ciphertext(&after);
                        signs = compare(NULL, &after);
                        assert_true(signs.random && signs.suspicion >= RANSOM_POSSIBLE);
                        attack_base64(&after);
                        signs = compare(NULL, &after);
                        assert_true(signs.encoded_random);
                        buffer_deinit(&before);
                        buffer_deinit(&after);
                }
}

/* By 7-Zip, four files of two bytes; with a password, and without. The coders stand in a packed header. */
static void an_archive_with_a_password_is_told_apart(void **unused) {
        static const unsigned char locked[] = {
                0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c, 0x00, 0x04, 0xee, 0xf0, 0xfb, 0xc2, 0x98, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x87, 0xce,
                0xdf, 0xbc, 0xaf, 0x13, 0x16, 0x85, 0x92, 0xcd, 0x6e, 0xbf, 0x39, 0x1a, 0x4d, 0xe5, 0xc6,
                0xa0, 0xa4, 0x07, 0x00, 0x00, 0x81, 0x33, 0x07, 0xae, 0x0f, 0xce, 0xf2, 0xb2, 0x0c, 0x07,
                0xb0, 0xc3, 0xda, 0xf7, 0x5f, 0x45, 0x8a, 0x98, 0x48, 0x4a, 0xf8, 0x20, 0x9e, 0x50, 0x92,
                0xc6, 0x6d, 0x9e, 0xd3, 0xf1, 0xab, 0x7b, 0xb5, 0x3e, 0x1d, 0xd0, 0x55, 0x56, 0x41, 0xfa,
                0x39, 0x34, 0xcf, 0xd3, 0xe2, 0xef, 0xd2, 0x6d, 0x88, 0xbc, 0x7e, 0x8b, 0xac, 0x90, 0x63,
                0x5d, 0xcf, 0x29, 0x1e, 0x7e, 0xfa, 0xf5, 0x3d, 0xd6, 0x3f, 0x0c, 0x76, 0x8b, 0x7f, 0x11,
                0xc4, 0x6c, 0x91, 0xad, 0x1d, 0x7f, 0x73, 0x62, 0x8b, 0xd7, 0x1b, 0xec, 0xea, 0xfa, 0x04,
                0x86, 0xc5, 0x13, 0x37, 0x1f, 0x5a, 0x8a, 0x3c, 0xf7, 0x26, 0x85, 0xd9, 0x07, 0xb0, 0x8b,
                0x5e, 0x50, 0x93, 0x80, 0xe8, 0x9b, 0x81, 0x34, 0x0a, 0xc9, 0xa7, 0x8a, 0x4a, 0x65, 0xd2,
                0x7d, 0x6f, 0xa4, 0x20, 0xe3, 0x2a, 0xcc, 0x49, 0x4d, 0x7c, 0xef, 0x9e, 0x87, 0xbe, 0xab,
                0xd9, 0x00, 0x00, 0x00, 0x17, 0x06, 0x10, 0x01, 0x09, 0x80, 0x88, 0x00, 0x07, 0x0b, 0x01,
                0x00, 0x01, 0x23, 0x03, 0x01, 0x01, 0x05, 0x5d, 0x00, 0x10, 0x00, 0x00, 0x0c, 0x80, 0xce,
                0x0a, 0x01, 0xa8, 0xcc, 0x0a, 0xa4, 0x00, 0x00};
        static const unsigned char open[] = {
                0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c, 0x00, 0x04, 0x51, 0xf3, 0x0b, 0x39, 0x78, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x7d, 0xb0,
                0xf2, 0x85, 0x01, 0x00, 0x07, 0x31, 0x0a, 0x32, 0x0a, 0x33, 0x0a, 0x34, 0x0a, 0x00, 0x00,
                0x00, 0x81, 0x33, 0x07, 0xae, 0x0f, 0xce, 0x9c, 0x06, 0xc5, 0x09, 0x2a, 0xae, 0xd3, 0xaa,
                0x85, 0x26, 0x28, 0x13, 0x18, 0xbb, 0x03, 0x59, 0xa8, 0x4c, 0xc1, 0x4e, 0x5f, 0x9b, 0x8b,
                0xa4, 0xc3, 0x57, 0x67, 0x71, 0x75, 0x3d, 0x9d, 0xd1, 0xdf, 0x92, 0x59, 0x47, 0x7f, 0xea,
                0x04, 0xcd, 0xf0, 0x49, 0x06, 0x9f, 0x14, 0x2d, 0x70, 0x1b, 0x17, 0xe8, 0xa4, 0xe0, 0x41,
                0x57, 0x88, 0xd8, 0xb1, 0x02, 0xfc, 0x43, 0x6b, 0x9b, 0x3b, 0xd4, 0xd7, 0xe6, 0x32, 0x95,
                0x6b, 0x3e, 0xda, 0x51, 0x30, 0x55, 0x19, 0xf0, 0xe4, 0x95, 0xe8, 0x6e, 0xf0, 0xf0, 0x21,
                0xf3, 0x32, 0xca, 0x04, 0xf7, 0x35, 0x12, 0xe7, 0xbf, 0x85, 0x8e, 0x62, 0x55, 0x9c, 0xb0,
                0x00, 0x00, 0x17, 0x06, 0x0c, 0x01, 0x09, 0x6c, 0x00, 0x07, 0x0b, 0x01, 0x00, 0x01, 0x23,
                0x03, 0x01, 0x01, 0x05, 0x5d, 0x00, 0x10, 0x00, 0x00, 0x0c, 0x80, 0xae, 0x0a, 0x01, 0x3d,
                0xb0, 0xdd, 0x9f, 0x00, 0x00};
        struct buffer file;
        (void)unused;
        buffer_init(&file, ROOM);
        put(&file, locked, sizeof(locked));
        struct ransom_signs signs = compare(NULL, &file);
        assert_true(signs.random && signs.suspicion >= RANSOM_POSSIBLE);
        buffer_clear(&file);
        put(&file, open, sizeof(open));
        signs = compare(NULL, &file);
        assert_int_equal(signs.suspicion, 0);
        buffer_deinit(&file);
}

static void notes_are_read(void **unused) {
        static const char *const notes[] = {
                "All of YOUR FILES have been\nencrypted.\nTo decrypt them install Tor Browser and open "
                "http://abcdefghij.onion\nDo not rename them.",
                "お客様のファイルは暗号化されました。復号するには下記までご連絡ください。支払いはビットコイン"
                "のみです。",
                "Ihre Dateien wurden verschlüsselt. Zum Entschlüsseln zahlen Sie 0.5 Bitcoin.",
                "Ваши файлы зашифрованы. Чтобы расшифровать их, свяжитесь с нами.",
                "Vos fichiers ont été chiffrés. Pour les récupérer, contactez x@proton.me",
        };
        static const char *const others[] = {
                "To restore your files from the backup, contact us by mail.",
                "Release notes: private keys are encrypted with a passphrase; wallet files moved.",
                "暗号化されたバックアップを復元する手順",
                "",
        };
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(notes); i++)
                assert_true(note_parts((struct view){(const unsigned char *)notes[i], strlen(notes[i])}) >=
                            3);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                assert_int_equal(
                        note_parts((struct view){(const unsigned char *)others[i], strlen(others[i])}), 0);
}

static void letters_are_decoded(void **unused) {
        unsigned char out[64];
        (void)unused;
        assert_int_equal(
                spelling_base64((struct view){(const unsigned char *)"aGlub21p\n", 9}, out, sizeof(out)), 6);
        assert_memory_equal(out, "hinomi", 6);
        assert_int_equal(spelling_hex((struct view){(const unsigned char *)"68 69 6E", 8}, out, sizeof(out)),
                         3);
        assert_memory_equal(out, "hin", 3);
        assert_int_equal(
                spelling_ascii85((struct view){(const unsigned char *)"<~9jqo^~>", 9}, out, sizeof(out)), 4);
        assert_memory_equal(out, "Man ", 4);
        assert_int_equal(spelling_hex((struct view){(const unsigned char *)"xyz", 3}, out, sizeof(out)), 0);
}

static void samples_lie_in_order_within_the_file(void **unused) {
        static const uint64_t sizes[] = {0,
                                         RANSOM_HEAD_BYTES,
                                         RANSOM_HEAD_BYTES + 1,
                                         RANSOM_HEAD_BYTES + 40000,
                                         (uint64_t)12 << 20,
                                         (uint64_t)12345 << 20};
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                uint64_t places[RANSOM_SAMPLES_MAX], end = RANSOM_HEAD_BYTES;
                size_t n;
                ransom_places(sizes[i], 7, places, &n);
                for (size_t j = 0; j < n; j++) {
                        assert_true(places[j] >= end && places[j] + RANSOM_SAMPLE_BYTES <= sizes[i]);
                        end = places[j] + RANSOM_SAMPLE_BYTES;
                }
                assert_int_equal(n, sizes[i] < RANSOM_HEAD_BYTES + 16384 ? 0
                                    : sizes[i] < (uint64_t)12 << 20      ? 2
                                                                         : RANSOM_SAMPLES_MAX);
        }
}

int main(void) {
        const char *seeds = getenv("HINOMI_SEEDS");
        n_seeds = seeds ? (unsigned)atoi(seeds) : n_seeds;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_way_of_encrypting_is_seen),
                cmocka_unit_test(no_way_of_working_is_suspected),
                cmocka_unit_test(a_mixed_tree_takes_three_files),
                cmocka_unit_test(created_files_are_told_apart),
                cmocka_unit_test(an_archive_with_a_password_is_told_apart),
                cmocka_unit_test(notes_are_read),
                cmocka_unit_test(letters_are_decoded),
                cmocka_unit_test(samples_lie_in_order_within_the_file),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
