/*
 * Near misses that are none: PEM and MIME (wrapped base64 has '=' only at its very end), lists of file hashes
 * (a name follows), access logs (lengths differ), tables of numbers (few distinct digits).
 */
#include "detect/tamper/records.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "detect/tamper/literal.h"

#define RECORDS_MIN    3
#define WORD_BYTES_MIN 32
#define PREFIX_MAX     24 /* a time or a number before the word */
#define TAIL_LINES     64 /* how many of the last lines are looked at */

struct line {
        size_t size;   /* of the whole line */
        size_t prefix; /* before the word */
        bool padded;   /* the word ends in '=' */
};

static double entropy(struct view view) {
        unsigned counts[256] = {0};
        double bits = 0;
        for (size_t i = 0; i < view.size; i++)
                counts[view.data[i]]++;
        for (size_t i = 0; i < 256; i++)
                if (counts[i])
                        bits -= counts[i] * log2((double)counts[i] / (double)view.size);
        return view.size ? bits / (double)view.size : 0;
}

static bool is_hex(struct view word) {
        for (size_t i = 0; i < word.size; i++)
                if (!isxdigit(word.data[i]))
                        return false;
        return word.size > 0;
}

/* Random base64 of 32 characters has about 4.5 bits a character, hexadecimal 3.5; prose and paths less. */
static bool is_cipher_word(struct view word) {
        bool digit = false, upper = false, lower = false;
        for (size_t i = 0; i < word.size; i++) {
                digit |= isdigit(word.data[i]) != 0;
                upper |= isupper(word.data[i]) != 0;
                lower |= islower(word.data[i]) != 0;
        }
        if (is_hex(word))
                return digit && (upper || lower) && entropy(word) > 3.1;
        return digit && upper && lower && literal_is_base64(word) && entropy(word) > 4.1;
}

static bool read_line(struct view text, struct line *ret_line) {
        while (text.size && (text.data[text.size - 1] == '\r' || text.data[text.size - 1] == ' '))
                text.size--;
        size_t prefix = text.size;
        while (prefix && !strchr(" \t|,;:]", text.data[prefix - 1]))
                prefix--;
        struct view word = view_from(text, prefix);
        if (prefix > PREFIX_MAX || word.size < WORD_BYTES_MIN)
                return false;
        for (size_t i = 0; i < prefix; i++)
                if (isalpha(text.data[i]) && text.data[i] != 'T' && text.data[i] != 'Z')
                        return false;
        if (!is_cipher_word(word))
                return false;
        *ret_line =
                (struct line){.size = text.size, .prefix = prefix, .padded = word.data[word.size - 1] == '='};
        return true;
}

/* The last lines, newest first, as long as they are records of one size. */
static unsigned count_lines(struct view after, struct view *ret_last) {
        unsigned n = 0, padded = 0;
        struct line first = {0}, line;
        size_t end = after.size;
        while (end && after.data[end - 1] == '\n')
                end--;
        while (end && n < TAIL_LINES) {
                const unsigned char *newline = memrchr(after.data, '\n', end);
                size_t start = newline ? (size_t)(newline - after.data) + 1 : 0;
                struct view text = {after.data + start, end - start};
                if (!read_line(text, &line) ||
                    (n && (line.size != first.size || line.prefix != first.prefix)))
                        break;
                if (n++ == 0) {
                        first = line;
                        *ret_last = text;
                }
                padded += line.padded;
                end = start ? start - 1 : 0;
        }
        /* wrapped base64: full lines without padding, of a width that tools use */
        size_t width = first.size - first.prefix;
        bool wrapped =
                !first.prefix && (width == 60 || width == 64 || width == 70 || width == 72 || width == 76);
        return wrapped && padded * 2 < n ? 0 : n;
}

/* RSA and AES blocks without any separator: both file and addition are multiples of the block. */
static bool is_block_addition(struct view before, struct view added) {
        static const size_t blocks[] = {512, 384, 256, 128};
        if (!before.size || !added.size)
                return false;
        for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
                size_t block = blocks[i];
                if (added.size % block || before.size % block ||
                    (before.size + added.size) / block < RECORDS_MIN || added.size > 16 * block)
                        continue;
                struct view last = {added.data + added.size - block, block};
                struct view earlier = {before.data, block};
                double least = block >= 256 ? 6.9 : 6.2;
                if (entropy(last) > least && entropy(earlier) > least)
                        return true;
        }
        return false;
}

void records_assay(struct view before, struct view after, struct evidences *evidences) {
        bool appended =
                before.size && after.size > before.size && !memcmp(before.data, after.data, before.size);
        struct view last = {0};
        char detail[64];
        unsigned n = count_lines(after, &last);
        if (n >= RECORDS_MIN && (!before.size || appended)) {
                int size = snprintf(detail, sizeof(detail), "%u × %zu", n, last.size);
                evidence_add(evidences, INDICATOR_RECORDS, detail, (size_t)size);
        } else if (appended && is_block_addition(before, view_from(after, before.size))) {
                int size = snprintf(detail, sizeof(detail), "%zu", after.size - before.size);
                evidence_add(evidences, INDICATOR_RECORDS, detail, (size_t)size);
        }
}
