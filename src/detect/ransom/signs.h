/*
 * What the comparison of one file's approved content with its new content said: the answer of the assayer to
 * "compare", and what a case is judged by. Plain data; travels as JSON.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/cleanup.h"

#define RANSOM_REASONS_MAX 8
#define RANSOM_REASON_SIZE 160

struct ransom_signs {
        unsigned changed_permille; /* of the approved content; an estimate past a few hundred KiB */
        bool random;               /* what is new is as even as ciphertext, and no known form explains it */
        bool type_lost;            /* began like a known type, or was text, and no longer is */
        bool decodes;              /* the new content is the old one, compressed */
        bool structure_lost;       /* what the type has further in no longer holds */
        bool wiped;                /* overwritten with one value, or emptied */
        bool encoded_random;       /* as `random`, written as base64, hexadecimal or the like */
        bool note;                 /* a text that demands a ransom */
        unsigned suspicion;        /* 0 to 100; from RANSOM_CLEAR on the file is as good as lost */
        unsigned n_reasons;
        char reasons[RANSOM_REASONS_MAX][RANSOM_REASON_SIZE]; /* "msgid: numbers", as in a finding */
};

#define RANSOM_CLEAR    70
#define RANSOM_LIKELY   40
#define RANSOM_POSSIBLE 20

/* `format` makes what stands behind the colon; NULL: nothing does. Past RANSOM_REASONS_MAX nothing is added. */
void ransom_signs_say(struct ransom_signs *signs, const char *reason, const char *format, ...) _printf_(3, 4);

/* New reference; NULL: out of memory. */
json_t *ransom_signs_encode(const struct ransom_signs *signs);

/* Returns 0 or -EBADMSG. What comes from the assayer is not trusted to be in its range. */
int ransom_signs_decode(const json_t *json, struct ransom_signs *ret_signs);
