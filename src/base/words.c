#include "base/words.h"

#include <string.h>

#define WORD_BYTES_MAX 64

static size_t least(size_t a, size_t b) {
        return a < b ? a : b;
}

/* Optimal string alignment distance, three rows at a time. */
static size_t distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b);
        size_t rows[3][WORD_BYTES_MAX + 1];
        size_t *before = rows[0], *last = rows[1], *row = rows[2];
        for (size_t j = 0; j <= m; j++)
                last[j] = j;
        for (size_t i = 1; i <= n; i++) {
                row[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        size_t cost = a[i - 1] != b[j - 1];
                        row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + cost);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                row[j] = least(row[j], before[j - 2] + 1);
                }
                size_t *spare = before;
                before = last;
                last = row;
                row = spare;
        }
        return last[m];
}

const char *word_nearest(const char *word, const char *const *candidates, size_t n_candidates) {
        size_t length = strlen(word);
        if (!length || length > WORD_BYTES_MAX)
                return NULL;
        const char *nearest = NULL;
        size_t best = (length + 2) / 3 + 1;
        for (size_t i = 0; i < n_candidates; i++) {
                if (strlen(candidates[i]) > WORD_BYTES_MAX)
                        continue;
                size_t d = distance(word, candidates[i]);
                if (d < best) {
                        best = d;
                        nearest = candidates[i];
                }
        }
        return nearest;
}
