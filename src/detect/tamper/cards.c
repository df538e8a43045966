#include "detect/tamper/cards.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/cleanup.h"
#include "detect/tamper/literal.h"

#define DIGITS_MIN 13
#define DIGITS_MAX 19
#define COUNT_MAX  5000 /* numbers looked at */

struct issuer {
        unsigned first, last; /* first six digits */
        unsigned lengths;     /* bit n: n digits */
};

#define LENGTH(n)  (1u << (n))
#define UP_FROM_16 (LENGTH(16) | LENGTH(17) | LENGTH(18) | LENGTH(19))

static const struct issuer issuers[] = {
        {400000, 499999, LENGTH(13) | LENGTH(16) | LENGTH(19)}, /* Visa */
        {510000, 559999, LENGTH(16)},                           /* Mastercard */
        {222100, 272099, LENGTH(16)},                           /* Mastercard */
        {340000, 349999, LENGTH(15)},                           /* American Express */
        {370000, 379999, LENGTH(15)},                           /* American Express */
        {352800, 358999, UP_FROM_16},                           /* JCB */
        {300000, 305999, LENGTH(14) | LENGTH(16)},              /* Diners Club */
        {360000, 369999, LENGTH(14) | LENGTH(16)},              /* Diners Club */
        {380000, 399999, LENGTH(14) | LENGTH(16)},              /* Diners Club */
        {601100, 601199, UP_FROM_16},                           /* Discover */
        {644000, 659999, UP_FROM_16},                           /* Discover */
        {620000, 629999, UP_FROM_16},                           /* UnionPay */
};

struct number {
        char digits[DIGITS_MAX + 1];
        size_t n_digits;
        size_t size; /* bytes in the text */
};

static bool is_digit(struct view view, size_t at) {
        return at < view.size && isdigit(view.data[at]);
}

static bool starts_apart(struct view view, size_t at) {
        if (at == 0)
                return true;
        unsigned char c = view.data[at - 1];
        if (isalnum(c) || c == '_' || c == '+')
                return false;
        return !((c == '.' || c == '-' || c == ',') && at > 1 && isdigit(view.data[at - 2]));
}

static bool ends_apart(struct view view, size_t at) {
        if (at >= view.size)
                return true;
        unsigned char c = view.data[at];
        if (isalnum(c) || c == '_')
                return false;
        return !((c == '.' || c == '-') && is_digit(view, at + 1));
}

static bool read_plain(struct view view, size_t at, struct number *number) {
        while (is_digit(view, at + number->n_digits)) {
                if (number->n_digits == DIGITS_MAX)
                        return false;
                number->digits[number->n_digits] = (char)view.data[at + number->n_digits];
                number->n_digits++;
        }
        number->size = number->n_digits;
        return number->n_digits >= DIGITS_MIN;
}

static bool read_groups(struct view view, size_t at, const unsigned char *groups, struct number *number) {
        size_t p = at;
        unsigned char separator = 0;
        number->n_digits = 0;
        for (size_t g = 0; groups[g]; g++) {
                if (g > 0) {
                        unsigned char c = p < view.size ? view.data[p] : 0;
                        if ((c != ' ' && c != '-') || (separator && c != separator))
                                return false;
                        separator = c;
                        p++;
                }
                for (size_t i = 0; i < groups[g]; i++, p++) {
                        if (!is_digit(view, p))
                                return false;
                        number->digits[number->n_digits++] = (char)view.data[p];
                }
        }
        number->size = p - at;
        return !is_digit(view, p) && !(p < view.size && view.data[p] == separator && is_digit(view, p + 1));
}

static bool has_issuer(const struct number *number) {
        unsigned head = 0;
        for (size_t i = 0; i < 6; i++)
                head = head * 10 + (unsigned)(number->digits[i] - '0');
        for (size_t i = 0; i < ARRAY_SIZE(issuers); i++)
                if (head >= issuers[i].first && head <= issuers[i].last &&
                    (issuers[i].lengths & LENGTH(number->n_digits)))
                        return true;
        return false;
}

static bool passes_luhn(const struct number *number) {
        unsigned sum = 0;
        for (size_t i = 0; i < number->n_digits; i++) {
                unsigned digit = (unsigned)(number->digits[number->n_digits - 1 - i] - '0');
                sum += i & 1 ? digit * 2 - (digit > 4 ? 9 : 0) : digit;
        }
        return sum % 10 == 0;
}

/* A number of a card's shape and issuer, whether or not its check digit fits. */
static bool read_number(struct view view, size_t at, struct number *ret_number) {
        static const unsigned char groupings[][6] = {{4, 4, 4, 4}, {4, 6, 5}, {4, 6, 4}, {4, 4, 4, 4, 3}};
        if (!is_digit(view, at) || !strchr("23456", view.data[at]) || !starts_apart(view, at))
                return false;
        struct number number = {0};
        bool found = read_plain(view, at, &number);
        for (size_t i = 0; !found && i < ARRAY_SIZE(groupings); i++)
                found = read_groups(view, at, groupings[i], &number);
        if (!found || !ends_apart(view, at + number.size) || !has_issuer(&number))
                return false;
        *ret_number = number;
        return true;
}

size_t card_at(struct view view, size_t at) {
        struct number number;
        return read_number(view, at, &number) && passes_luhn(&number) ? number.size : 0;
}

/* --- what stands beside a number --- */

static bool has_word(struct view around) {
        static const char *const words[] = {"cvv",
                                            "cvc",
                                            "cvn",
                                            "card",
                                            "expir",
                                            "exp_",
                                            "holder",
                                            "security",
                                            "cc_",
                                            "ccn",
                                            "pan",
                                            "visa",
                                            "\xe3\x82\xab\xe3\x83\xbc\xe3\x83\x89"};
        char lower[224];
        size_t size = around.size < sizeof(lower) - 1 ? around.size : sizeof(lower) - 1;
        for (size_t i = 0; i < size; i++)
                lower[i] = (char)(around.data[i] ? tolower(around.data[i]) : ' ');
        lower[size] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strstr(lower, words[i]))
                        return true;
        return false;
}

/* MM/YY, MM-YYYY, MM|YY…; also with the security code right behind. */
static bool is_expiry(struct view view, size_t at) {
        if (at + 5 > view.size || (at && isdigit(view.data[at - 1])))
                return false;
        unsigned char a = view.data[at], b = view.data[at + 1], separator = view.data[at + 2];
        bool month = (a == '0' && b >= '1' && b <= '9') || (a == '1' && b >= '0' && b <= '2');
        if (!month || !strchr("/-|,;:\t ", separator) || !separator)
                return false;
        size_t year = at + 3;
        if (year + 4 <= view.size && view.data[year] == '2' && view.data[year + 1] == '0')
                year += 2;
        return is_digit(view, year) && is_digit(view, year + 1) && view.data[year] >= '2' &&
               view.data[year] <= '4' && !is_digit(view, year + 2);
}

static bool has_company(struct view view, size_t at, size_t size) {
        size_t from = at > 80 ? at - 80 : 0, to = at + size + 80 < view.size ? at + size + 80 : view.size;
        if (has_word((struct view){view.data + from, at - from}) ||
            has_word((struct view){view.data + at + size, to - at - size}))
                return true;
        for (size_t i = at + size; i < to; i++)
                if (is_expiry(view, i))
                        return true;
        for (size_t i = from; i < at; i++)
                if (is_expiry(view, i))
                        return true;
        return false;
}

/* --- counting --- */

struct tally {
        unsigned strong, weak, misses;
};

static void count_cards(struct view view, struct tally *tally) {
        struct number number;
        for (size_t i = 0; i < view.size && tally->strong + tally->weak + tally->misses < COUNT_MAX; i++) {
                if (!isdigit(view.data[i]) || !read_number(view, i, &number))
                        continue;
                if (!passes_luhn(&number))
                        tally->misses++;
                else if (has_company(view, i, number.size))
                        tally->strong++;
                else
                        tally->weak++;
                i += number.size;
        }
}

static void count_encoded_lines(struct view view, struct tally *tally) {
        unsigned char decoded[3072];
        for (size_t start = 0; start < view.size;) {
                const unsigned char *end = memchr(view.data + start, '\n', view.size - start);
                size_t size = (end ? (size_t)(end - view.data) : view.size) - start;
                struct view line = {view.data + start, size};
                start += size + 1;
                while (line.size && isspace(line.data[line.size - 1]))
                        line.size--;
                size_t n = line.size >= 20 && line.size <= 4096
                                   ? literal_decode_any(line, decoded, sizeof(decoded))
                                   : 0;
                if (n)
                        count_cards((struct view){decoded, n}, tally);
        }
}

void cards_assay(struct view view, struct evidences *evidences) {
        struct tally tally = {0};
        count_cards(view, &tally);
        count_encoded_lines(view, &tally);
        unsigned found = tally.strong;
        if (tally.strong || (tally.weak >= 3 && tally.weak > tally.misses))
                found += tally.weak;
        if (!found)
                return;
        char detail[48];
        int n = snprintf(detail, sizeof(detail), "%u", found);
        evidence_add(evidences, INDICATOR_CARDS, detail, (size_t)n);
        evidences->of[INDICATOR_CARDS].count = found;
}
