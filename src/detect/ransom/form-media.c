/* Images, sound and films: what frames their payload, and PNG's checksums. */
#include <ctype.h>
#include <zlib.h>

#include "detect/ransom/form.h"

/* --- PNG: W3C PNG 5 --- */

void form_check_png(const struct form_file *file, struct form_check *check) {
        struct view at = view_from(file->head, 8);
        check->is_summed = true;
        while (check->good < FORM_PARTS_MAX) {
                uint64_t size = form_big(at, 0, 4);
                if (at.size < 12 || size > at.size - 12) {
                        if (!form_is_cut(file))
                                form_count(check, false);
                        return;
                }
                bool holds = crc32(0, at.data + 4, (uInt)size + 4) == form_big(at, 8 + (size_t)size, 4);
                form_count(check, holds);
                if (!holds || !memcmp(at.data + 4, "IEND", 4))
                        return;
                at = view_from(at, (size_t)size + 12);
        }
}

/* --- JPEG: ITU T.81 B. In the coded data an 0xff is followed by 0 or a marker; in ciphertext by anything. --- */

enum { JPEG_TEM = 0x01, JPEG_RST0 = 0xd0, JPEG_SOI = 0xd8, JPEG_EOI = 0xd9, JPEG_SOS = 0xda };

static bool is_restart(unsigned char marker) {
        return marker >= JPEG_RST0 && marker < JPEG_SOI;
}

/* Offset of the next marker that ends coded data, or the size. Counts what may not stand there. */
static size_t skip_scan(struct view file, size_t at, struct form_check *check) {
        while (at + 1 < file.size) {
                const unsigned char *found = memchr(file.data + at, 0xff, file.size - at - 1);
                if (!found)
                        return file.size;
                at = (size_t)(found - file.data);
                unsigned char next = file.data[at + 1];
                if (next == 0 || is_restart(next)) {
                        check->good += check->good < FORM_PARTS_MAX;
                        at += 2;
                } else if (next == 0xff) {
                        at++;
                } else if (next < 0xc0 || next == JPEG_SOI) {
                        check->bad++;
                        at += 2;
                } else {
                        return at;
                }
        }
        return file.size;
}

void form_check_jpeg(const struct form_file *file, struct form_check *check) {
        struct view head = file->head;
        size_t at = 2;
        while (at + 4 <= head.size) {
                if (head.data[at] != 0xff || head.data[at + 1] < 0xc0) {
                        form_count(check, false);
                        return;
                }
                unsigned char marker = head.data[at + 1];
                if (marker == JPEG_EOI || marker == 0xff) {
                        at += marker == 0xff ? 1 : head.size;
                        continue;
                }
                at += 2 + (size_t)form_big(head, at + 2, 2);
                form_count(check, at <= head.size || form_is_cut(file));
                if (marker == JPEG_SOS)
                        at = skip_scan(head, at, check);
        }
        if (!form_is_cut(file) && at < head.size + 2 &&
            !(at + 2 == head.size && head.data[at + 1] == JPEG_EOI))
                form_count(check, false);
}

/* --- GIF: GIF89a --- */

static size_t skip_blocks(struct view file, size_t at) {
        while (at < file.size && file.data[at])
                at += 1 + (size_t)file.data[at];
        return at + 1;
}

static size_t color_table(unsigned char flags) {
        return flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0;
}

void form_check_gif(const struct form_file *file, struct form_check *check) {
        struct view head = file->head;
        if (head.size < 13)
                return;
        size_t at = 13 + color_table(head.data[10]);
        while (at < head.size && check->good < FORM_PARTS_MAX) {
                unsigned char kind = head.data[at];
                if (kind == ';') {
                        form_count(check, true);
                        return;
                }
                if (kind != '!' && kind != ',')
                        break;
                form_count(check, true);
                if (kind == ',' && at + 9 < head.size)
                        at += 10 + color_table(head.data[at + 9]) + 1;
                else
                        at += 2;
                at = skip_blocks(head, at);
        }
        if (!form_is_cut(file) || at < head.size)
                form_count(check, false);
}

/* --- RIFF (WebP, WAV, AVI) and the boxes of ISO 14496-12 (MP4, HEIC, AVIF) --- */

static bool is_tag(struct view at) {
        for (size_t i = 0; i < 4; i++)
                if (at.size < 4 || (!isprint(at.data[i]) && at.data[i] != 0xa9))
                        return false;
        return true;
}

void form_check_riff(const struct form_file *file, struct form_check *check) {
        uint64_t at = 12;
        form_count(check, form_little(file->head, 4, 4) <= file->size_bytes);
        while (at + 8 <= file->head.size && check->good < FORM_PARTS_MAX) {
                struct view chunk = view_from(file->head, (size_t)at);
                uint64_t size = form_little(chunk, 4, 4);
                bool holds = is_tag(chunk) && at + size <= file->size_bytes + 8;
                form_count(check, holds);
                if (!holds)
                        return;
                at += 8 + size + (size & 1);
        }
}

void form_check_boxes(const struct form_file *file, struct form_check *check) {
        uint64_t at = 0;
        while (at + 8 <= file->head.size && check->good < FORM_PARTS_MAX) {
                struct view box = view_from(file->head, (size_t)at);
                uint64_t size = form_big(box, 0, 4);
                if (size == 1)
                        size = form_big(box, 8, 8);
                else if (size == 0)
                        size = file->size_bytes - at;
                bool holds = is_tag(view_from(box, 4)) && size >= 8 && size <= file->size_bytes - at;
                form_count(check, holds);
                if (!holds)
                        return;
                at += size;
        }
}

/* --- Ogg: RFC 3533. A page carries a checksum with CRC-32 of its own, not reflected. --- */

#define OGG_PAGE 27

static uint32_t ogg_crc(struct view page) {
        static uint32_t table[256];
        for (uint32_t i = 0; !table[1] && i < 256; i++)
                for (uint32_t bit = 0, c = i << 24; bit < 8; bit++)
                        table[i] = c = c << 1 ^ (c & 0x80000000u ? 0x04c11db7u : 0);
        uint32_t crc = 0;
        for (size_t i = 0; i < page.size; i++)
                crc = crc << 8 ^ table[crc >> 24 ^ (i >= 22 && i < 26 ? 0 : page.data[i])];
        return crc;
}

void form_check_ogg(const struct form_file *file, struct form_check *check) {
        struct view at = file->head;
        while (at.size >= OGG_PAGE && check->good < FORM_PARTS_MAX) {
                size_t n_segments = at.data[26], size = OGG_PAGE + n_segments;
                for (size_t i = 0; i < n_segments && OGG_PAGE + i < at.size; i++)
                        size += at.data[OGG_PAGE + i];
                if (size > at.size && form_is_cut(file))
                        return;
                bool holds = view_starts(at, "OggS") && size <= at.size &&
                             ogg_crc(view_head(at, size)) == form_little(at, 22, 4);
                form_count(check, holds);
                if (!holds)
                        return;
                at = view_from(at, size);
        }
}
