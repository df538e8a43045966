/*
 * What of a file was overwritten where it stood, and how that looks: blocks at random, of each the runs of
 * changed bytes alone. Private to content.c.
 */
#pragma once

#include "detect/view.h"

#define OVERLAP_BLOCK 4096

struct overlap {
        uint64_t n_bytes;     /* both have */
        uint64_t n_changed;   /* of those; an estimate where blocks were picked */
        unsigned n_looked;    /* groups of changed bytes that were looked at and were not one value before */
        unsigned n_even;      /* … that are even now */
        unsigned n_gained;    /* … and were not before */
        unsigned n_eased;     /* … that were even before and are not now, nor one value */
        unsigned n_letters;   /* … that are even letters now */
        unsigned n_spelled;   /* … and were not before */
        unsigned n_constant;  /* … that are one value now */
        unsigned n_text_lost; /* … that were text, and are no more */
        unsigned n_filled;    /* even groups where one value stood before */
        unsigned n_few;       /* changed bytes that were too few for a look */
        unsigned n_resumed;   /* places where what stood there goes on behind what was changed */
};

void overlap_measure(struct view before, struct view after, uint64_t seed, struct overlap *ret_overlap);

/* The same looks at one file alone, as if all of it had been written; n_gained stays 0. */
void overlap_survey(struct view file, uint64_t seed, struct overlap *ret_overlap);

/* splitmix64: where to look, not a secret in itself. */
uint64_t overlap_random(uint64_t *state);
