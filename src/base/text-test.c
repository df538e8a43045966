#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef int (*transform)(struct buffer *buffer, const char *data, size_t size);

static void expect(transform function, const char *data, size_t size, const char *wanted) {
        struct buffer buffer;
        buffer_init(&buffer, 0);
        assert_int_equal(function(&buffer, data, size), 0);
        assert_string_equal(buffer.data, wanted);
        buffer_deinit(&buffer);
}

#define EXPECT(function, text, wanted) expect(function, text, sizeof(text) - 1, wanted)

static void test_escape(void **state) {
        (void)state;
        EXPECT(text_escape, "", "");
        EXPECT(text_escape, "shop/\xe5\xba\x97.php", "shop/\xe5\xba\x97.php");
        EXPECT(text_escape, "a\nhinomi: all is well", "a\\nhinomi: all is well");
        EXPECT(text_escape, "\x1b[2J\a\r\t\x7f", "\\x1b[2J\\x07\\r\\t\\x7f");
        EXPECT(text_escape, "a\\nb", "a\\\\nb");
        EXPECT(text_escape, "\xe2\x80\xaegpj.php", "\\u{202e}gpj.php");
        EXPECT(text_escape, "\xff\xc0\xaf\xed\xa0\x80", "\\xff\\xc0\\xaf\\xed\\xa0\\x80");
        EXPECT(text_escape,
               "\xc2\x9b"
               "31m",
               "\\u{009b}31m");
        EXPECT(text_escape, "a\0b", "a\\x00b");
        EXPECT(text_escape, "\xf0\x9f", "\\xf0\\x9f");
}

static void test_escape_lines(void **state) {
        (void)state;
        EXPECT(text_escape_lines, "+a\n\tb\\n\r\x1b", "+a\n\tb\\n\\r\\x1b");
}

static void test_round_trip(void **state) {
        (void)state;
        EXPECT(text_to_utf8, "a\xff\\b\n", "a\\xff\\\\b\n");
        EXPECT(text_from_utf8, "a\\xff\\\\b\n", "a\xff\\b\n");
        char every[255];
        for (size_t i = 0; i < sizeof(every); i++)
                every[i] = (char)(i + 1);
        struct buffer text, back;
        buffer_init(&text, 0);
        buffer_init(&back, 0);
        assert_int_equal(text_to_utf8(&text, every, sizeof(every)), 0);
        assert_true(text_is_utf8(text.data, text.size));
        assert_int_equal(text_from_utf8(&back, text.data, text.size), 0);
        assert_int_equal(back.size, sizeof(every));
        assert_memory_equal(back.data, every, sizeof(every));
        buffer_deinit(&text);
        buffer_deinit(&back);
}

static void test_from_utf8_refuses(void **state) {
        (void)state;
        static const char *const bad[] = {"\\", "a\\n", "\\x", "\\xf", "\\xFF", "\\x00", "\\u{202e}"};
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct buffer buffer;
                buffer_init(&buffer, 0);
                assert_int_equal(text_from_utf8(&buffer, bad[i], strlen(bad[i])), -EINVAL);
                buffer_deinit(&buffer);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_escape_lines),
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_from_utf8_refuses),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
