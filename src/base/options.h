/*
 * Options as rows of a table. A row makes the parser, the default, the help, the man page and
 * the commented default file; there is no option outside a table.
 *
 * Every value is one uint64_t: bytes, nanoseconds, a count, 0 or 1, or the index of a choice.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum option_type {
        OPTION_BYTES,    /* "10 GiB"; K, M, G, T, P as KiB … PiB; no unit: bytes */
        OPTION_DURATION, /* "10 min": ms, s, min, h, d; the unit is required; nanoseconds */
        OPTION_COUNT,    /* a whole number */
        OPTION_BOOLEAN,  /* yes, no, true, false */
        OPTION_CHOICE,   /* one of the words in `range` */
};

struct option_row {
        const char *name; /* "vault.budget" */
        enum option_type type;
        size_t offset;         /* of its uint64_t in the struct of values */
        const char *otherwise; /* default, as text */
        const char *range;     /* "64 MiB .. 1 PiB", or "error|warning|info|debug"; "" */
        const char *text;      /* msgid: what it is, and what follows from more or less of it */
};

#define OPTION_TEXT_SIZE 32

/* 0, -EINVAL (not such a value), or -ERANGE (outside the row's range). `ret_value` is untouched on failure.
 */
int option_parse(const struct option_row *row, const char *text, uint64_t *ret_value);

/* The value as a person writes it, in the largest unit that loses nothing. */
void option_format(const struct option_row *row, uint64_t value, char ret_text[static OPTION_TEXT_SIZE]);

/* Writes every row's default into the struct of values. A default that does not parse is our bug: abort. */
void options_set_defaults(const struct option_row *rows, size_t n_rows, void *values);

const char *option_type_name(enum option_type type);

/* What would have been right, in the reader's language: "a size such as 10 GiB, from 64 MiB to 1 PiB". Owned.
 */
char *option_expected(const struct option_row *row);

/* "10 min" to nanoseconds, "10 GiB" to bytes. 0 or -EINVAL. */
int duration_parse(const char *text, uint64_t *ret_ns);
int size_parse(const char *text, uint64_t *ret_bytes);
