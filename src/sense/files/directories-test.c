/* The memory of directories: what is asked for stays, what is not goes, and never more than the bound. */
#include "sense/files/directories.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct directory *put(struct directories *directories, uint64_t key, const char *path) {
        return directories_put(directories, (const uint8_t *)&key, sizeof(key), 3, path);
}

static struct directory *find(struct directories *directories, uint64_t key) {
        return directories_find(directories, (const uint8_t *)&key, sizeof(key));
}

static void inside_and_outside_are_told_apart(void **state) {
        (void)state;
        _cleanup_(directories_freep) struct directories *directories = directories_new();
        assert_non_null(put(directories, 1, "/srv/shop"));
        assert_non_null(put(directories, 2, NULL));
        assert_string_equal(find(directories, 1)->path, "/srv/shop");
        assert_int_equal(find(directories, 1)->tree, 3);
        assert_null(find(directories, 2)->path);
        assert_int_equal(find(directories, 2)->tree, DIRECTORY_OUTSIDE);
        assert_null(find(directories, 3));
        assert_non_null(put(directories, 1, NULL));
        assert_null(find(directories, 1)->path);
        assert_int_equal(directories_count(directories), 2);
        directories_forget_all(directories);
        assert_null(find(directories, 1));
}

static void what_is_asked_for_stays(void **state) {
        (void)state;
        _cleanup_(directories_freep) struct directories *directories = directories_new();
        assert_non_null(put(directories, UINT64_MAX, "/kept"));
        for (uint64_t i = 0; i < 3 * DIRECTORIES_MAX; i++) {
                assert_non_null(put(directories, i, i % 2 ? "/p" : NULL));
                assert_non_null(find(directories, UINT64_MAX));
        }
        assert_int_equal(directories_count(directories), DIRECTORIES_MAX);
        assert_null(find(directories, 0));
        assert_string_equal(find(directories, UINT64_MAX)->path, "/kept");
        assert_non_null(find(directories, 3 * DIRECTORIES_MAX - 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(inside_and_outside_are_told_apart),
                cmocka_unit_test(what_is_asked_for_stays),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
