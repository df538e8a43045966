#include "cli/output.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "event/finding.h"
#include "event/json.h"

typedef void (*printer)(FILE *file, const json_t *finding, bool colour);

static char *print(printer function, const json_t *finding, bool colour) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        assert_non_null(file);
        function(file, finding, colour);
        fclose(file);
        return text;
}

static json_t *load(const char *text) {
        json_error_t error;
        json_t *object = json_loads(text, 0, &error);
        if (!object)
                fail_msg("%s at %d", error.text, error.position);
        return object;
}

static const char sample[] =
        "{\"severity_id\":5,\"severity\":\"Critical\",\"activity_id\":1,\"metadata\":{\"sequence\":41},"
        "\"finding_info\":{\"uid\":\"hnm-1\",\"title\":\"A web shell was planted\",\"types\":[\"web_shell\"],"
        "\"created_time\":1795406706000},\"attacks\":[{\"technique\":{\"uid\":\"T1505.003\"}}],"
        "\"evidences\":[{\"file\":{\"path\":\"/srv/shop/"
        "a.php\",\"size\":2048,\"hashes\":[{\"value\":\"ab\"}]},"
        "\"actor\":{\"process\":{\"pid\":9,\"cmd_line\":\"curl -o "
        "a.php\",\"file\":{\"path\":\"/usr/bin/curl\"},"
        "\"user\":{\"uid\":\"33\",\"name\":\"www-data\"},"
        "\"parent_process\":{\"pid\":8,\"file\":{\"path\":\"/usr/bin/"
        "dash\"},\"user\":{\"uid\":\"33\",\"name\":\"www-"
        "data\"},"
        "\"parent_process\":{\"pid\":7,\"file\":{\"path\":\"/usr/sbin/"
        "php-fpm8.2\"},\"user\":{\"uid\":\"33\",\"name\":"
        "\"www-data\"},"
        "\"parent_process\":{\"pid\":6,\"file\":{\"path\":\"/usr/sbin/"
        "php-fpm8.2\"},\"user\":{\"uid\":\"0\",\"name\":"
        "\"root\"},"
        "\"parent_process\":{\"pid\":1,\"file\":{\"path\":\"/usr/lib/systemd/"
        "systemd\"},\"user\":{\"uid\":\"0\",\"name\":\"root\"}}}}}}},"
        "\"data\":{\"kind\":\"created\",\"reasons\":[\"This program runs whatever a visitor sends to it\"],"
        "\"diff\":\"--- /dev/null\\n+++ a.php\\n@@ -0,0 +1 @@\\n+<?php\\n\"}}],"
        "\"unmapped\":{\"tree\":\"/srv/"
        "shop\",\"n_files\":3,\"actions\":[{\"name\":\"restore\",\"result\":\"done\","
        "\"verified\":true,\"sequence\":42,\"file\":{\"path\":\"/srv/shop/a.php\"},\"undo\":\"hinomi approve "
        "hnm-1\"}]}}";

static void test_page(void **state) {
        (void)state;
        json_t *finding = load(sample);
        _cleanup_(freep) char *text = print(finding_print, finding, false);
        json_decref(finding);
        assert_string_equal(text, "CRITICAL  2026-11-23 04:05:06  A web shell was planted\n"
                                  "  ID        hnm-1  (ledger entry 41)\n"
                                  "  Tree      /srv/shop\n"
                                  "  File      /srv/shop/a.php\n"
                                  "            created, 2.0 KiB\n"
                                  "  Who       php-fpm8.2 (www-data) → dash → curl\n"
                                  "            pid 9: curl -o a.php\n"
                                  "            … and 2 more files\n"
                                  "  Why       This program runs whatever a visitor sends to it\n"
                                  "  Diff      /srv/shop/a.php\n"
                                  "            --- /dev/null\n"
                                  "            +++ a.php\n"
                                  "            @@ -0,0 +1 @@\n"
                                  "            +<?php\n"
                                  "  Done      put back, verified, ledger entry 42: /srv/shop/a.php\n"
                                  "  Undo      hinomi approve hnm-1\n"
                                  "\n");
}

#define BY(pid, name)            "\"actor\":{\"process\":{\"pid\":" pid ",\"file\":{\"path\":\"/bin/" name "\"}}}"
#define FILE_BY(path, pid, name) "{\"file\":{\"path\":\"" path "\"}," BY(pid, name) "}"

/* Each process once, below the files it changed. */
static void test_grouped(void **state) {
        (void)state;
        json_t *finding = load("{\"evidences\":[" FILE_BY("/a", "5", "cp") "," FILE_BY(
                "/b", "5", "cp") "," FILE_BY("/c", "6", "mv") ",{\"file\":{\"path\":\"/d\"}}]}");
        _cleanup_(freep) char *text = print(finding_print, finding, false);
        json_decref(finding);
        const char *wanted = "  File      /a\n            changed\n"
                             "  File      /b\n            changed\n"
                             "  Who       cp\n            pid 5\n"
                             "  File      /c\n            changed\n"
                             "  Who       mv\n            pid 6\n"
                             "  File      /d\n            changed\n"
                             "  Who       unknown: nobody was seen doing it\n";
        if (!strstr(text, wanted))
                fail_msg("%s", text);
}

/* Every string an attacker can reach, with all that could forge a line, a colour or a direction. */
static const char hostile[] =
        "{\"severity_id\":99,\"finding_info\":{\"uid\":\"HH\",\"title\":\"HH\",\"created_time\":1},"
        "\"attacks\":[{\"technique\":{\"uid\":\"HH\"}}],"
        "\"evidences\":[{\"file\":{\"path\":\"HH\",\"size\":-5,\"hashes\":[{\"value\":\"HH\"}]},"
        "\"actor\":{\"process\":{\"pid\":9,\"cmd_line\":\"HH\",\"file\":{\"path\":\"HH\"},\"user\":{\"name\":"
        "\"HH\"},"
        "\"parent_process\":{\"cmd_line\":\"HH\"}}},"
        "\"data\":{\"kind\":\"HH\",\"reasons\":[\"HH\",5],\"diff\":\"HH\"}}],"
        "\"unmapped\":{\"tree\":\"HH\",\"n_files\":1,\"actions\":[{\"name\":\"HH\",\"result\":\"failed\","
        "\"detail\":\"HH\",\"file\":{\"path\":\"HH\"},\"undo\":\"HH\"}]}}";

static const char evil[] = "\\nCRITICAL forged\\r\\u001b[31m\\u202e\\u2028\\u0085\\\\x0a\\\\x1b[2J";

static char *fill(const char *template, const char *value) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        for (const char *p = template; *p; p++)
                if (p[0] == 'H' && p[1] == 'H') {
                        fputs(value, file);
                        p++;
                } else {
                        fputc(*p, file);
                }
        fclose(file);
        return text;
}

static void check_lines(const char *text) {
        for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
                bool first = line == text, indented = !strncmp(line, "  ", 2), empty = *line == '\n';
                if (!first && !indented && !empty)
                        fail_msg("forged line: %.40s", line);
        }
        for (const unsigned char *p = (const unsigned char *)text; *p; p++)
                if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
                        fail_msg("control character 0x%02x", *p);
        assert_null(strstr(text, "\u202e"));
        assert_null(strstr(text, "\u2028"));
        assert_null(strstr(text, "\xc2\x85"));
}

static void test_hostile(void **state) {
        (void)state;
        _cleanup_(freep) char *filled = fill(hostile, evil);
        json_t *finding = load(filled);
        _cleanup_(freep) char *brief = print(finding_print, finding, false);
        _cleanup_(freep) char *full = print(finding_print_full, finding, false);
        check_lines(brief);
        check_lines(full);
        json_decref(finding);
}

/* Members missing, of the wrong type, or empty: a page all the same. */
static void test_malformed(void **state) {
        (void)state;
        static const char *const findings[] = {
                "{}",
                "{\"evidences\":5,\"finding_info\":[],\"unmapped\":{\"actions\":{}}}",
                "{\"evidences\":[5,{},{\"file\":{\"path\":\"\"}},{\"file\":{\"path\":\"/"
                "\"},\"actor\":{\"process\":{}}}]}",
                "{\"finding_info\":{\"title\":\"\",\"uid\":5},\"unmapped\":{\"actions\":[5,{}],\"n_files\":-"
                "4}}",
        };
        for (size_t i = 0; i < ARRAY_SIZE(findings); i++) {
                json_t *finding = load(findings[i]);
                _cleanup_(freep) char *text = print(finding_print_full, finding, false);
                check_lines(text);
                json_decref(finding);
        }
}

static char *wrapped(const char *text, int indent) {
        char *result = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&result, &size);
        output_wrap(file, text, indent);
        fclose(file);
        return result;
}

static void test_columns(void **state) {
        (void)state;
        assert_int_equal(text_columns("abc"), 3);
        assert_int_equal(text_columns("火の見"), 6);
        assert_int_equal(text_columns("e\u0301"), 1);
        assert_int_equal(text_columns("\xff"), 1);

        _cleanup_(freep) char *english = wrapped("eeeeeeeeee dddddddddd ccccccccccc bbbbbbbbbb", 59);
        assert_string_equal(english,
                            "eeeeeeeeee dddddddddd\n"
                            "                                                           ccccccccccc\n"
                            "                                                           bbbbbbbbbb\n");
        /* A closing mark does not begin a line. */
        _cleanup_(freep) char *japanese = wrapped("あいうえおかきくけこ。さ", 60);
        assert_string_equal(japanese, "あいうえおかきくけ\n"
                                      "                                                            こ。さ\n");
}

static void expect_size(uint64_t bytes, const char *wanted) {
        char text[OUTPUT_TIME_SIZE];
        output_size(bytes, text);
        assert_string_equal(text, wanted);
}

static void test_sizes(void **state) {
        (void)state;
        expect_size(0, "0 B");
        expect_size(1023, "1023 B");
        expect_size(1536, "1.5 KiB");
        expect_size(UINT64_C(10) << 30, "10 GiB");
        expect_size(UINT64_MAX, "16384 PiB");
}

static void test_translate(void **state) {
        (void)state;
        static const char *const texts[] = {"", ": x", "no such message: 5", "A web shell was planted"};
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_(freep) char *text = output_translate(texts[i]);
                assert_string_equal(text, texts[i]);
        }
}

static void test_diff(void **state) {
        (void)state;
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        diff_print(file, "-a\n+b\x1b[1m\n+c\n+d", 2, 3, true);
        fclose(file);
        assert_string_equal(
                text, "  \033[31m-a\033[0m\n  \033[32m+b\\x1b[1m\033[0m\n  \033[32m+c\033[0m\n  … (more)\n");
        free(text);
}

int main(void) {
        setenv("TZ", "UTC", 1);
        setlocale(LC_ALL, "C.UTF-8");
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_page),      cmocka_unit_test(test_grouped),
                cmocka_unit_test(test_hostile),   cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_columns),   cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_translate), cmocka_unit_test(test_diff),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
