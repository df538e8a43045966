/* Card numbers and records of equal size: what counts, and what only looks like it. */
#include "detect/tamper/cards.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "detect/tamper/records.h"

static struct view view_of(const char *text) {
        return (struct view){(const unsigned char *)text, strlen(text)};
}

static void one_card(void **state _unused_) {
        static const struct {
                const char *text;
                size_t at, size;
        } rows[] = {
                {"4111111111111111", 0, 16},
                {"n 4111 1111 1111 1111.", 2, 19},
                {"4111-1111-1111-1111", 0, 19},
                {"5555555555554444", 0, 16},
                {"2223003122003222", 0, 16},
                {"378282246310005", 0, 15},
                {"3782 822463 10005", 0, 17},
                {"3530111333300000", 0, 16},
                {"30569309025904", 0, 14},
                {"3056 930902 5904", 0, 16},
                {"6011111111111117", 0, 16},
                {"6212345678901232", 0, 16},
                /* near misses */
                {"4111111111111112", 0, 0},     /* check digit */
                {"4111 1111-1111 1111", 0, 0},  /* mixed separators */
                {"4111  1111 1111 1111", 0, 0}, /* two blanks */
                {"41111111111111111", 0, 0},    /* too long for its issuer */
                {"a4111111111111111", 1, 0},    /* in an identifier */
                {"4111111111111111a", 0, 0},
                {"0.4111111111111111", 2, 0}, /* decimal places */
                {"14111111111111111", 1, 0},  /* in a longer number */
                {"+4111111111111111", 1, 0},  /* telephone */
                {"1669185000000", 0, 0},      /* milliseconds */
                {"20221123041500", 0, 0},     /* date and time */
                {"9999999999999995", 0, 0},   /* no issuer */
                {"0000000000000000", 0, 0},
                {"1234-4111-1111-1111-1111", 5, 0},
        };
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
                if (card_at(view_of(rows[i].text), rows[i].at) != rows[i].size)
                        fail_msg("%s", rows[i].text);
}

static unsigned cards_in(const char *text) {
        struct evidences evidences = {0};
        cards_assay(view_of(text), &evidences);
        return evidences.of[INDICATOR_CARDS].count;
}

static void cards_in_data(void **state _unused_) {
        assert_int_equal(cards_in("4111111111111111|12|27|123\n"), 1);
        assert_int_equal(cards_in("4111111111111111 09/28\n"), 1);
        assert_int_equal(cards_in("{\"cardno\":\"4111111111111111\"}"), 1);
        assert_int_equal(cards_in("4111111111111111\n5555555555554444\n378282246310005\n"), 3);
        /* base64 of "4111111111111111|12/27|123|TARO" and hexadecimal of the same */
        assert_int_equal(cards_in("NDExMTExMTExMTExMTExMXwxMi8yN3wxMjN8VEFSTw==\n"), 1);
        assert_int_equal(cards_in("343131313131313131313131313131317c31322f32377c3132337c5441524f\n"), 1);
        assert_int_equal(cards_in("\xe3\x82\xab\xe3\x83\xbc\xe3\x83\x89: 4111111111111111\n"), 1);
}

static void other_numbers_in_data(void **state _unused_) {
        /* one lonely number that happens to pass: an order number in ten does */
        assert_int_equal(cards_in("order 4111111111111111 shipped\n"), 0);
        /* serial numbers of which a tenth pass */
        _cleanup_(buffer_deinit) struct buffer serials = {0};
        for (unsigned i = 0; i < 100; i++)
                buffer_format(&serials, "45000000000%05u\n", i);
        assert_int_equal(cards_in(serials.data), 0);
        assert_int_equal(cards_in("2026-11-23 04:15:00 1669185000000 090-1234-5678 0312345678\n"), 0);
        assert_int_equal(cards_in(""), 0);
        assert_int_equal(cards_in("AAAA\nBBBB\n"), 0);
}

static unsigned records_in(const char *before, const char *after) {
        struct evidences evidences = {0};
        records_assay(view_of(before), view_of(after), &evidences);
        return evidences.of[INDICATOR_RECORDS].count;
}

#define A "q83vEiNFZ4mrze8SI0VniavN7xIjRWeJq83vEiNFZ4k="
#define B "9xK2pQm7Zt1LwYb5cVn8RsD3gHj6Uo4EaXiTfBzPqMk="
#define C "Lk7Jh2Gf9Ds4Aq1Wz6Xe3Cr8Vt5By0NuMiPoKlJhGfE="

static void records_of_one_size(void **state _unused_) {
        assert_int_equal(records_in("", A "\n" B "\n" C "\n"), 1);
        assert_int_equal(records_in(A "\n" B "\n", A "\n" B "\n" C "\n"), 1);
        assert_int_equal(records_in("", "1700000001 " A "\n1700000002 " B "\n1700000003 " C "\n"), 1);
        assert_int_equal(records_in("",
                                    "0123456789abcdef0123456789abcde1f0\n0f23456789abc7ef0123456789abcdef1a\n"
                                    "a123456789abcdef0123456789ab3def99\n"),
                         1);
}

static void other_lines(void **state _unused_) {
        assert_int_equal(records_in("", A "\n" B "\n"), 0);            /* two are not a habit */
        assert_int_equal(records_in("", A "\n" B "\n" C "AAAA\n"), 0); /* sizes differ */
        assert_int_equal(records_in(B "\n", A "\n" B "\n" C "\n"), 0); /* rewritten, not appended */
        assert_int_equal(records_in("", "a.txt " A "\nb.txt " B "\nc.txt " C "\n"),
                         0); /* a list with names */
        /* sha256sum: the name follows */
        assert_int_equal(records_in("", A "  a\n" B "  b\n" C "  c\n"), 0);
        assert_int_equal(records_in("",
                                    "the quick brown fox jumps over it\nthe quick brown fox jumps over us\n"
                                    "the quick brown fox jumps over me\n"),
                         0);
        /* wrapped base64 of 64 columns, as in PEM */
#define W(x) x "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\n"
        assert_int_equal(records_in("", W("x1") W("Y2") W("z3")), 0);
        /* paths */
        assert_int_equal(
                records_in(
                        "",
                        "/var/www/html/upload/save_image/0001.jpg\n/var/www/html/upload/save_image/0002.jpg\n"
                        "/var/www/html/upload/save_image/0003.jpg\n"),
                0);
}

static void blocks_without_lines(void **state _unused_) {
        unsigned char data[1024], text[1024];
        unsigned seed = 1;
        for (size_t i = 0; i < sizeof(data); i++) {
                seed = seed * 1103515245 + 12345;
                data[i] = (unsigned char)(seed >> 16);
                text[i] = (unsigned char)('a' + i % 26);
        }
        struct evidences evidences = {0};
        records_assay((struct view){data, 512}, (struct view){data, 768}, &evidences);
        assert_int_equal(evidences.of[INDICATOR_RECORDS].count, 1);
        evidences = (struct evidences){0};
        records_assay((struct view){data, 512}, (struct view){data, 700}, &evidences);
        records_assay((struct view){text, 512}, (struct view){text, 768}, &evidences);
        assert_int_equal(evidences.of[INDICATOR_RECORDS].count, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_card),
                cmocka_unit_test(cards_in_data),
                cmocka_unit_test(other_numbers_in_data),
                cmocka_unit_test(records_of_one_size),
                cmocka_unit_test(other_lines),
                cmocka_unit_test(blocks_without_lines),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
