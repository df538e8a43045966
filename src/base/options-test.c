#include "base/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/words.h"

static const struct option_row size_row = {"vault.budget", OPTION_BYTES, 0, "10 GiB", "64 MiB .. 1 PiB", ""};
static const struct option_row time_row = {"sweep.interval", OPTION_DURATION, 0, "10 min", "10 s .. 7 d", ""};
static const struct option_row free_row = {"x", OPTION_BYTES, 0, "0", "", ""};
static const struct option_row bool_row = {"b", OPTION_BOOLEAN, 0, "yes", "", ""};
static const struct option_row word_row = {"w", OPTION_CHOICE, 0, "info", "error|warning|info", ""};

static void expect(const struct option_row *row, const char *text, int result, uint64_t wanted) {
        uint64_t value = 12345;
        assert_int_equal(option_parse(row, text, &value), result);
        assert_int_equal(value, result < 0 ? 12345 : wanted);
}

static void test_parse(void **state) {
        (void)state;
        expect(&size_row, "10 GiB", 0, UINT64_C(10) << 30);
        expect(&size_row, "10G", 0, UINT64_C(10) << 30);
        expect(&size_row, "1 GB", 0, 1000000000);
        expect(&size_row, "67108864", 0, 67108864);
        expect(&size_row, "67108863", -ERANGE, 0);
        expect(&size_row, "1 PiB", 0, UINT64_C(1) << 50);
        expect(&size_row, "1025 TiB", -ERANGE, 0);
        static const char *const no_size[] = {"",
                                              " 1 GiB",
                                              "-1",
                                              "+1",
                                              "1  GiB",
                                              "1 GiB ",
                                              "1.5 GiB",
                                              "GiB",
                                              "0x10",
                                              "20000 PiB",
                                              "99999999999999999999"};
        for (size_t i = 0; i < ARRAY_SIZE(no_size); i++)
                expect(&size_row, no_size[i], -EINVAL, 0);
        expect(&free_row, "0", 0, 0);
        expect(&time_row, "10 min", 0, UINT64_C(600000000000));
        expect(&time_row, "10000 ms", 0, UINT64_C(10000000000));
        expect(&time_row, "10", -EINVAL, 0);
        expect(&time_row, "8 d", -ERANGE, 0);
        expect(&bool_row, "yes", 0, 1);
        expect(&bool_row, "false", 0, 0);
        expect(&bool_row, "1", -EINVAL, 0);
        expect(&word_row, "error", 0, 0);
        expect(&word_row, "info", 0, 2);
        expect(&word_row, "inf", -EINVAL, 0);
        expect(&word_row, "", -EINVAL, 0);
        expect(&word_row, "error|warning", -EINVAL, 0);
}

static void expect_text(const struct option_row *row, uint64_t value, const char *wanted) {
        char text[OPTION_TEXT_SIZE];
        option_format(row, value, text);
        assert_string_equal(text, wanted);
}

static void test_format(void **state) {
        (void)state;
        expect_text(&size_row, UINT64_C(10) << 30, "10 GiB");
        expect_text(&size_row, 1000, "1000");
        expect_text(&size_row, 0, "0");
        expect_text(&time_row, UINT64_C(90000000000), "90 s");
        expect_text(&time_row, 0, "0 s");
        expect_text(&bool_row, 1, "yes");
        expect_text(&word_row, 1, "warning");
        expect_text(&word_row, 9, "info");
}

static void test_expected(void **state) {
        (void)state;
        _cleanup_(freep) char *size = option_expected(&size_row), *word = option_expected(&word_row);
        assert_string_equal(size, "a size such as 10 GiB, from 64 MiB to 1 PiB");
        assert_string_equal(word, "one of error|warning|info");
}

static void test_nearest(void **state) {
        (void)state;
        static const char *const words[] = {"findings", "status", "show", "diff", "drill"};
        assert_string_equal(word_nearest("finding", words, 5), "findings");
        assert_string_equal(word_nearest("stauts", words, 5), "status");
        assert_string_equal(word_nearest("dril", words, 5), "drill");
        assert_null(word_nearest("x", words, 5));
        assert_null(word_nearest("", words, 5));
        assert_null(word_nearest("resume", words, 5));
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_format),
                                           cmocka_unit_test(test_expected), cmocka_unit_test(test_nearest)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
