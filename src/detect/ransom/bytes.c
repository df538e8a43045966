#include "detect/ransom/bytes.h"

#include <math.h>

#define DEVIATIONS     5.0 /* of chi-squared: ciphertext fails once in a million looks */
#define LETTERS_MIN    16
#define LETTERS_MAX    94
#define PER_LETTER_MIN 4 /* fewer of each prove nothing */

static double chi_squared(const unsigned *counts, const bool *used, size_t n, unsigned n_values) {
        double expected = (double)n / n_values, sum = 0;
        for (unsigned i = 0; i < 256; i++)
                if (!used || used[i])
                        sum += (counts[i] - expected) * (counts[i] - expected);
        return sum / expected;
}

static bool is_plausible(double chi, unsigned n_values) {
        double degrees = n_values - 1;
        return chi < degrees + DEVIATIONS * sqrt(2 * degrees);
}

/* A few bytes can be even by their chi-squared and still be letters: half of ciphertext has the high bit. */
static bool has_half(size_t some, size_t n) {
        double off = (double)some - (double)n / 2;
        return off * off < DEVIATIONS * DEVIATIONS * (double)n / 4;
}

static bool is_even(const unsigned *counts, size_t n) {
        size_t high = 0, odd = 0;
        for (unsigned i = 0; i < 256; i++) {
                high += i >= 128 ? counts[i] : 0;
                odd += i & 1 ? counts[i] : 0;
        }
        return has_half(high, n) && has_half(odd, n) && is_plausible(chi_squared(counts, NULL, n, 256), 256);
}

/* Line ends and padding belong to no alphabet. A letter that hardly occurs is a stray one, such as a tag's. */
static bool is_spelled(const unsigned *counts, size_t n) {
        bool used[256] = {false};
        unsigned n_letters = 0;
        size_t n_spelled = 0;
        for (unsigned i = 0x21; i < 0x7f; i++) {
                if (i == '=' || (size_t)counts[i] * 400 < n)
                        continue;
                used[i] = true;
                n_letters++;
                n_spelled += counts[i];
        }
        return n_letters >= LETTERS_MIN && n_letters <= LETTERS_MAX &&
               n_spelled >= (size_t)n_letters * PER_LETTER_MIN && n_spelled * 10 >= n * 9 &&
               is_plausible(chi_squared(counts, used, n_spelled, n_letters), n_letters);
}

static bool is_text(const unsigned *counts, size_t n) {
        size_t controls = counts[0x7f];
        for (unsigned i = 1; i < 0x20; i++)
                controls += memchr("\t\n\r\f\x1b\b", (int)i, 6) ? 0 : counts[i];
        return !counts[0] && controls * 50 <= n;
}

struct look bytes_look(struct view view) {
        unsigned counts[256] = {0}, most = 0;
        for (size_t i = 0; i < view.size; i++)
                counts[view.data[i]]++;
        for (unsigned i = 0; i < 256; i++)
                most = counts[i] > most ? counts[i] : most;
        bool is_enough = view.size >= LOOK_BYTES_MIN;
        return (struct look){
                .n = view.size,
                .is_even = is_enough && is_even(counts, view.size),
                .is_spelled = is_enough && is_spelled(counts, view.size),
                .is_text = is_text(counts, view.size),
                .is_constant = view.size > 0 && (size_t)most * 50 >= view.size * 49,
        };
}
