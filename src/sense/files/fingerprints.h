/*
 * Has this object been seen inside a tree? A set of 32-bit fingerprints of file keys (notice.h): 4 bytes
 * and some room a file. "No" is certain; "yes" is wrong about once in 2^32 / n, and is looked into by the caller.
 * Past FINGERPRINTS_MAX the answer is always yes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FINGERPRINTS_MAX ((size_t)8 << 20)

struct fingerprints {
        uint32_t *slots; /* 0: empty */
        size_t n_slots;  /* a power of two, or 0 */
        size_t n;
        bool is_full;
};

void fingerprints_add(struct fingerprints *set, uint64_t hash);
bool fingerprints_has(const struct fingerprints *set, uint64_t hash);
void fingerprints_deinit(struct fingerprints *set);
