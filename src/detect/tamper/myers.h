/* The shortest edit between two sequences of numbers. Private to diff.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Sets a_changed[i] and b_changed[j] (zeroed by the caller) where an element is not common. Returns 0 or
 * -ENOMEM. Time O((n + m) × most_cost), memory O(n + m).
 */
int myers_compare(const uint32_t *a, size_t n, const uint32_t *b, size_t m, int most_cost, bool *a_changed,
                  bool *b_changed);
