/* Words a person typed: which known one was meant. */
#pragma once

#include <stddef.h>

/*
 * The candidate nearest to `word` by insertions, deletions, changes and swaps of letters, or NULL when
 * none is near (more than a third of the word wrong). Words of more than 64 bytes are near to none.
 */
const char *word_nearest(const char *word, const char *const *candidates, size_t n_candidates);
