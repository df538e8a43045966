/* Names and bytes of the public files, with the examples of tlog-tiles itself. */
#include "ledger/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void paths_are_those_of_the_specification(void **state) {
        (void)state;
        static const struct {
                int level;
                uint64_t index;
                unsigned width;
                const char *path;
        } rows[] = {
                {0, 0, 256, "tile/0/000"},
                {0, 999, 256, "tile/0/999"},
                {1, 1000, 256, "tile/1/x001/000"},
                {0, 1234067, 256, "tile/0/x001/x234/067"},
                {2, 1234067, 17, "tile/2/x001/x234/067.p/17"},
                {TILE_ENTRIES, 0, 1, "tile/entries/000.p/1"},
                {TILE_ENTRIES, 1000000, 255, "tile/entries/x001/x000/000.p/255"},
                {0, UINT64_MAX, 255, "tile/0/x018/x446/x744/x073/x709/x551/615.p/255"},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char path[TILE_PATH_SIZE];
                int level;
                uint64_t index;
                unsigned width;
                tile_path_format(rows[i].level, rows[i].index, rows[i].width, path);
                assert_string_equal(path, rows[i].path);
                assert_int_equal(tile_path_parse(path, &level, &index, &width), 0);
                assert_int_equal(level, rows[i].level);
                assert_int_equal(index, rows[i].index);
                assert_int_equal(width, rows[i].width);
        }
}

static void other_spellings_are_refused(void **state) {
        (void)state;
        static const char *const paths[] = {
                "",
                "tile",
                "tile/0",
                "tile/0/",
                "tile/8/000",
                "tile/00/000",
                "tile/0/0",
                "tile/0/0000",
                "tile/0/x000/000", /* needless zeroes */
                "tile/0/001/000",  /* no x */
                "tile/0/x001",
                "tile/0/000.p",
                "tile/0/000.p/",
                "tile/0/000.p/0",
                "tile/0/000.p/256",
                "tile/0/000.p/01",
                "tile/0/000.p/1/",
                "tile/0/000 ",
                "tile/entries/x999/x999/x999/x999/x999/x999/x999/999",
                "Tile/0/000",
                "tile/data/000",
        };
        int level;
        uint64_t index;
        unsigned width;
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                assert_int_equal(tile_path_parse(paths[i], &level, &index, &width), -EINVAL);
}

/* "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial …" */
static void widths_are_those_of_the_specification(void **state) {
        (void)state;
        assert_int_equal(tile_width(70000, 0, 272), 256);
        assert_int_equal(tile_width(70000, 0, 273), 112);
        assert_int_equal(tile_width(70000, 0, 274), 0);
        assert_int_equal(tile_width(70000, 1, 0), 256);
        assert_int_equal(tile_width(70000, 1, 1), 17);
        assert_int_equal(tile_width(70000, 2, 0), 1);
        assert_int_equal(tile_width(70000, 3, 0), 0);
        assert_int_equal(tile_width(70000, TILE_ENTRIES, 273), 112);
        assert_int_equal(tile_width(256, 0, 0), 256);
        assert_int_equal(tile_width(256, 1, 0), 1);
        assert_int_equal(tile_width(0, 0, 0), 0);
}

static void bundles_give_back_what_was_put_in(void **state) {
        (void)state;
        _cleanup_(buffer_deinit) struct buffer bundle = {0};
        static char large[LEDGER_ENTRY_BYTES_MAX + 1];
        const char *entry;
        size_t offset = 0, size;
        assert_int_equal(bundle_append(&bundle, "a", 1), 0);
        assert_int_equal(bundle_append(&bundle, large, LEDGER_ENTRY_BYTES_MAX), 0);
        assert_int_equal(bundle_append(&bundle, large, LEDGER_ENTRY_BYTES_MAX + 1), -EMSGSIZE);
        assert_int_equal(bundle_append(&bundle, large, 0), -EMSGSIZE);
        assert_memory_equal(bundle.data, "\0\1a\xff\xff", 5);
        assert_int_equal(bundle_next(bundle.data, bundle.size, &offset, &entry, &size), 1);
        assert_int_equal(size, 1);
        assert_int_equal(bundle_next(bundle.data, bundle.size, &offset, &entry, &size), 1);
        assert_int_equal(size, LEDGER_ENTRY_BYTES_MAX);
        assert_int_equal(bundle_next(bundle.data, bundle.size, &offset, &entry, &size), 0);
        for (size_t cut = 4; cut < 100; cut++) {
                offset = 3;
                assert_int_equal(bundle_next(bundle.data, cut, &offset, &entry, &size), -EBADMSG);
                assert_int_equal(offset, 3);
        }
}

static void decimals_have_one_spelling(void **state) {
        (void)state;
        uint64_t value;
        assert_int_equal(decimal_parse("18446744073709551615", 20, &value), 0);
        assert_true(value == UINT64_MAX);
        static const char *const texts[] = {
                "", "00", "01", "+1", "-1", " 1", "1 ", "0x1", "18446744073709551616"};
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_int_equal(decimal_parse(texts[i], strlen(texts[i]), &value), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(paths_are_those_of_the_specification),
                cmocka_unit_test(other_spellings_are_refused),
                cmocka_unit_test(widths_are_those_of_the_specification),
                cmocka_unit_test(bundles_give_back_what_was_put_in),
                cmocka_unit_test(decimals_have_one_spelling),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
