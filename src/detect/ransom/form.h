/*
 * What a file is and whether it still holds together: by its magic number, and by what its type has further in.
 * One row a type. The checks count parts that hold and parts that do not, so that a file that was odd before is
 * not blamed on who wrote to it. Input is what an attacker wrote; time is linear in it, and what a check unpacks is
 * bounded by FORM_UNPACK_MAX.
 */
#pragma once

#include "detect/ransom/unpack.h"

#define FORM_UNPACK_MAX ((uint64_t)16 << 20) /* bytes in and out of what is unpacked */
#define FORM_PARTS_MAX  4096

/* The beginning of a file, all of it where `head.size` is `size_bytes`. */
struct form_file {
        struct view head;
        uint64_t size_bytes;
        struct view original; /* what stood there before, and may have been packed into it; empty: nothing */
        uint64_t original_bytes;
};

struct form_check {
        unsigned good, bad;
        bool is_locked;    /* it opens with a password */
        bool is_decoded;   /* `original` came out of it */
        bool is_summed;    /* checksums cover all of it */
        bool is_even;      /* packed: what came out is as even as ciphertext and of no known type */
        uint64_t unpacked; /* bytes in and out so far */
};

enum form_sort {
        FORM_TEXT,
        FORM_PACKED,   /* even by nature, and what is in it can be looked at */
        FORM_MEDIA,    /* even by nature; its payload cannot be verified in full */
        FORM_DATABASE, /* pages, written in place */
        FORM_IMAGE,    /* of a disk: anything may stand in it, written in place */
        FORM_OTHER,
};

struct form {
        const char *name;
        enum form_sort sort;
        void (*check)(const struct form_file *file,
                      struct form_check *check); /* NULL: only its magic is known */
        bool (*is)(struct view head);            /* or by magic */
        size_t offset, n_magic;
        const char *magic;
};

/* NULL: none that is known. Text is one. */
const struct form *form_of(struct view head);

/* Counts what holds. `check` is zeroed first. */
void form_examine(const struct form *form, const struct form_file *file, struct form_check *ret_check);

/* --- the checks, by file --- */
void form_check_packed(const struct form_file *file, struct form_check *check);
void form_check_zip(const struct form_file *file, struct form_check *check);
void form_check_7z(const struct form_file *file, struct form_check *check);
void form_check_tar(const struct form_file *file, struct form_check *check);
void form_check_pdf(const struct form_file *file, struct form_check *check);
void form_check_elf(const struct form_file *file, struct form_check *check);

void form_check_png(const struct form_file *file, struct form_check *check);
void form_check_jpeg(const struct form_file *file, struct form_check *check);
void form_check_gif(const struct form_file *file, struct form_check *check);
void form_check_riff(const struct form_file *file, struct form_check *check);
void form_check_boxes(const struct form_file *file, struct form_check *check);
void form_check_ogg(const struct form_file *file, struct form_check *check);

bool form_is_postgres(struct view head);
bool form_is_innodb(struct view head);
void form_check_sqlite(const struct form_file *file, struct form_check *check);
void form_check_postgres(const struct form_file *file, struct form_check *check);
void form_check_innodb(const struct form_file *file, struct form_check *check);

/* --- what they share --- */

static inline bool form_is_cut(const struct form_file *file) {
        return file->head.size < file->size_bytes;
}

static inline void form_count(struct form_check *check, bool holds) {
        check->good += holds;
        check->bad += !holds;
}

/* 0 past the end. */
static inline uint64_t form_little(struct view view, size_t at, unsigned n) {
        uint64_t value = 0;
        for (unsigned i = 0; at < view.size && n <= view.size - at && i < n; i++)
                value |= (uint64_t)view.data[at + i] << (8 * i);
        return value;
}

static inline uint64_t form_big(struct view view, size_t at, unsigned n) {
        uint64_t value = 0;
        for (unsigned i = 0; at < view.size && n <= view.size - at && i < n; i++)
                value = value << 8 | view.data[at + i];
        return value;
}

/* Unpacks one part within what is left of the bound; false: it is broken. */
bool form_unpack(const struct form_file *file, enum packing packing, struct view packed, bool is_cut,
                 struct form_check *check, struct unpacked *ret_unpacked);
