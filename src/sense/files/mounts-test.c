/* mountinfo, as the kernel writes it and as an attacker names his mount points. */
#include "sense/files/mounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

static struct mounts decode(const char *text) {
        struct mounts mounts = {0};
        assert_int_equal(mounts_decode(text, strlen(text), &mounts), 0);
        return mounts;
}

static void fields_are_found_behind_optional_ones(void **state) {
        (void)state;
        struct mounts mounts =
                decode("36 35 98:0 /sub /mnt/two rw,noatime master:1 shared:7 - ext3 /dev/root rw\n"
                       "37 36 0:44 / /run rw - tmpfs none rw\n");
        assert_int_equal(mounts.n, 2);
        assert_int_equal(mounts.items[0].id, 36);
        assert_int_equal(mounts.items[0].device, makedev(98, 0));
        assert_string_equal(mounts.items[0].root, "/sub");
        assert_string_equal(mounts.items[0].point, "/mnt/two");
        assert_string_equal(mounts.items[0].type, "ext3");
        assert_string_equal(mounts.items[0].source, "/dev/root");
        assert_ptr_equal(mounts_find(&mounts, 37), &mounts.items[1]);
        assert_null(mounts_find(&mounts, 38));
        mounts_deinit(&mounts);
}

static void escaped_names_are_raw_again(void **state) {
        (void)state;
        struct mounts mounts = decode("1 1 8:1 / /a\\040b\\012c\\134d\\04 rw - ext4 /dev/x rw\n");
        assert_string_equal(mounts.items[0].point, "/a b\nc\\d\\04");
        mounts_deinit(&mounts);
}

static void what_is_no_mount_is_passed_over(void **state) {
        (void)state;
        struct mounts mounts = decode("\n\nnonsense\n1 2 3\n1 1 8:1 / / rw shared:1 ext4 /dev/x rw\n"
                                      "x 1 8:1 / / rw - ext4 /dev/x rw\n1 1 8-1 / / rw - ext4 /dev/x rw\n"
                                      "1 1 8:1 / / rw - ext4\n5 1 8:1 / /ok rw - ext4 /dev/x rw");
        assert_int_equal(mounts.n, 1);
        assert_string_equal(mounts.items[0].point, "/ok");
        mounts_deinit(&mounts);
}

static void our_own_can_be_read(void **state) {
        (void)state;
        struct mounts mounts = {0};
        assert_int_equal(mounts_read(&mounts), 0);
        assert_true(mounts.n > 0);
        mounts_deinit(&mounts);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(fields_are_found_behind_optional_ones),
                cmocka_unit_test(escaped_names_are_raw_again),
                cmocka_unit_test(what_is_no_mount_is_passed_over),
                cmocka_unit_test(our_own_can_be_read),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
