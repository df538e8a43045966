#include "detect/ransom/form.h"

#include "base/cleanup.h"
#include "detect/ransom/bytes.h"

#define TEXT_HEAD_BYTES 8192

static bool is_text(struct view head) {
        struct view start = view_head(head, TEXT_HEAD_BYTES);
        return view_starts(head, "\xff\xfe") || view_starts(head, "\xfe\xff") ||
               (start.size > 0 && bytes_look(start).is_text);
}

static bool is_bzip2(struct view head) {
        return packing_of(head) == PACKING_BZIP2;
}

/* Two bytes are no magic number, but what follows is checked: git's objects. */
static bool is_zlib(struct view head) {
        return packing_of(head) == PACKING_ZLIB;
}

#define MAGIC(name, sort, check, offset, magic)                                                              \
        { name, sort, check, NULL, offset, sizeof(magic) - 1, magic }

static const struct form forms[] = {
        MAGIC("PDF", FORM_OTHER, form_check_pdf, 0, "%PDF-"),
        MAGIC("ZIP", FORM_PACKED, form_check_zip, 0, "PK\3\4"),
        MAGIC("ZIP", FORM_PACKED, form_check_zip, 0, "PK\5\6"),
        MAGIC("JPEG", FORM_MEDIA, form_check_jpeg, 0, "\xff\xd8\xff"),
        MAGIC("PNG", FORM_PACKED, form_check_png, 0, "\x89PNG\r\n\x1a\n"),
        MAGIC("GIF", FORM_MEDIA, form_check_gif, 0, "GIF8"),
        MAGIC("gzip", FORM_PACKED, form_check_packed, 0, "\x1f\x8b\x08"),
        MAGIC("xz", FORM_PACKED, form_check_packed, 0,
              "\xfd"
              "7zXZ\0"),
        MAGIC("Zstandard", FORM_PACKED, form_check_packed, 0, "\x28\xb5\x2f\xfd"),
        {"bzip2", FORM_PACKED, form_check_packed, is_bzip2, 0, 0, NULL},
        MAGIC("7z", FORM_MEDIA, form_check_7z, 0, "7z\xbc\xaf\x27\x1c"),
        MAGIC("RAR", FORM_MEDIA, NULL, 0, "Rar!\x1a\7"),
        MAGIC("LZ4", FORM_MEDIA, NULL, 0, "\x04\x22\x4d\x18"),
        MAGIC("SQLite", FORM_DATABASE, form_check_sqlite, 0, "SQLite format 3\0"),
        MAGIC("ELF", FORM_OTHER, form_check_elf, 0,
              "\x7f"
              "ELF"),
        MAGIC("OLE", FORM_OTHER, NULL, 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        MAGIC("RIFF", FORM_MEDIA, form_check_riff, 0, "RIFF"),
        MAGIC("MP4", FORM_MEDIA, form_check_boxes, 4, "ftyp"),
        MAGIC("Ogg", FORM_MEDIA, form_check_ogg, 0, "OggS"),
        MAGIC("FLAC", FORM_MEDIA, NULL, 0, "fLaC"),
        MAGIC("MP3", FORM_MEDIA, NULL, 0, "ID3"),
        MAGIC("Matroska", FORM_MEDIA, NULL, 0, "\x1a\x45\xdf\xa3"),
        MAGIC("TIFF", FORM_MEDIA, NULL, 0, "II*\0"),
        MAGIC("TIFF", FORM_MEDIA, NULL, 0, "MM\0*"),
        MAGIC("WOFF", FORM_MEDIA, NULL, 0, "wOF"),
        MAGIC("git pack", FORM_MEDIA, NULL, 0, "PACK\0\0\0"),
        MAGIC("qcow2", FORM_IMAGE, NULL, 0, "QFI\xfb"),
        MAGIC("VMDK", FORM_IMAGE, NULL, 0, "KDMV"),
        MAGIC("VHDX", FORM_IMAGE, NULL, 0, "vhdxfile"),
        MAGIC("VHD", FORM_IMAGE, NULL, 0, "conectix"),
        MAGIC("VDI", FORM_IMAGE, NULL, 64, "\x7f\x10\xda\xbe"),
        MAGIC("LUKS", FORM_IMAGE, NULL, 0, "LUKS\xba\xbe"),
        MAGIC("tar", FORM_OTHER, form_check_tar, 257, "ustar"),
        MAGIC("disk", FORM_IMAGE, NULL, 510, "\x55\xaa"),
        MAGIC("ext4", FORM_IMAGE, NULL, 1080, "\x53\xef"),
        {"InnoDB", FORM_DATABASE, form_check_innodb, form_is_innodb, 0, 0, NULL},
        {"PostgreSQL", FORM_DATABASE, form_check_postgres, form_is_postgres, 0, 0, NULL},
        {"text", FORM_TEXT, NULL, is_text, 0, 0, NULL},
        {"zlib", FORM_PACKED, form_check_packed, is_zlib, 0, 0, NULL},
};

const struct form *form_of(struct view head) {
        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                const struct form *form = &forms[i];
                struct view at = view_from(head, form->offset);
                if (form->magic ? at.size >= form->n_magic && !memcmp(at.data, form->magic, form->n_magic)
                                : form->is(head))
                        return form;
        }
        return NULL;
}

void form_examine(const struct form *form, const struct form_file *file, struct form_check *ret_check) {
        *ret_check = (struct form_check){0};
        if (form && form->check)
                form->check(file, ret_check);
}

/* What was packed may itself be ciphertext. */
static bool is_even_inside(const unsigned char *head, size_t n) {
        struct view inside = {head, n};
        return bytes_look(view_head(inside, 4096)).is_even && !form_of(inside);
}

bool form_unpack(const struct form_file *file, enum packing packing, struct view packed, bool is_cut,
                 struct form_check *check, struct unpacked *ret_unpacked) {
        static unsigned char head[UNPACK_HEAD_BYTES]; /* one thread */
        struct unpack_task task = {.packing = packing,
                                   .packed = packed,
                                   .is_cut = is_cut,
                                   .expected = file->original,
                                   .expected_bytes = file->original_bytes,
                                   .head = head};
        *ret_unpacked = (struct unpacked){0};
        if (check->unpacked >= FORM_UNPACK_MAX)
                return true;
        if (unpack(&task, ret_unpacked) < 0)
                return true; /* no memory is nobody's fault */
        check->unpacked += ret_unpacked->size + ret_unpacked->n_used;
        check->is_decoded = check->is_decoded || ret_unpacked->is_equal;
        check->is_even =
                check->is_even || (ret_unpacked->is_sound && is_even_inside(head, ret_unpacked->n_head));
        return ret_unpacked->is_sound;
}

void form_check_packed(const struct form_file *file, struct form_check *check) {
        struct unpacked unpacked;
        enum packing packing = packing_of(file->head);
        /* a frame of Zstandard may carry none: RFC 8878, 3.1.1.1 */
        check->is_summed = packing != PACKING_ZSTD || (form_little(file->head, 4, 1) & 4);
        form_count(check, form_unpack(file, packing, file->head, form_is_cut(file), check, &unpacked));
}
