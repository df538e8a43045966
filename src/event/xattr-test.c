#include "event/xattr.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include <cmocka.h>

static int file_new(void) {
        char path[] = "/var/tmp/xattr-test-XXXXXX"; /* a tmpfs had no user.* before 6.6 */
        int fd = mkostemp(path, O_CLOEXEC);
        assert_true(fd >= 0);
        unlink(path);
        if (fsetxattr(fd, "user.probe", "", 0, 0) < 0) {
                close(fd);
                skip();
        }
        fremovexattr(fd, "user.probe");
        return fd;
}

static void same_attributes_same_bytes_in_any_order(void **state) {
        (void)state;
        _cleanup_(fd_closep) int a = file_new();
        _cleanup_(fd_closep) int b = file_new();
        fsetxattr(a, "user.one", "1", 1, 0);
        fsetxattr(a, "user.two", "22", 2, 0);
        fsetxattr(b, "user.two", "22", 2, 0);
        fsetxattr(b, "user.one", "1", 1, 0);
        _cleanup_(buffer_deinit) struct buffer x, y;
        buffer_init(&x, 0);
        buffer_init(&y, 0);
        assert_int_equal(xattr_read(a, &x), 0);
        assert_int_equal(xattr_read(b, &y), 0);
        assert_int_equal(x.size, 4 + 8 + 4 + 1 + 4 + 8 + 4 + 2);
        assert_int_equal(x.size, y.size);
        assert_memory_equal(x.data, y.data, x.size);
        assert_memory_equal(x.data, "\x08\0\0\0user.one\x01\0\0\0001\x08\0\0\0user.two\x02\0\0\00022",
                            x.size);
}

static void none_is_zero(void **state) {
        (void)state;
        _cleanup_(fd_closep) int fd = file_new();
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, 0);
        assert_int_equal(xattr_read(fd, &bytes), 0);
        struct digest digest;
        assert_int_equal(xattr_digest(bytes.data, bytes.size, &digest), 0);
        assert_true(digest_is_zero(&digest));
}

static void writing_makes_exactly_these(void **state) {
        (void)state;
        _cleanup_(fd_closep) int from = file_new();
        _cleanup_(fd_closep) int to = file_new();
        fsetxattr(from, "user.kept", "new", 3, 0);
        fsetxattr(to, "user.kept", "old", 3, 0);
        fsetxattr(to, "user.planted", "x", 1, 0);
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, 0);
        assert_int_equal(xattr_read(from, &bytes), 0);
        assert_int_equal(xattr_write(to, bytes.data, bytes.size), 0);
        char value[16];
        assert_int_equal(fgetxattr(to, "user.kept", value, sizeof(value)), 3);
        assert_memory_equal(value, "new", 3);
        assert_int_equal(fgetxattr(to, "user.planted", value, sizeof(value)), -1);
        assert_int_equal(xattr_write(to, NULL, 0), 0);
        assert_int_equal(fgetxattr(to, "user.kept", value, sizeof(value)), -1);
}

static void what_is_not_canonical_changes_nothing(void **state) {
        (void)state;
        _cleanup_(fd_closep) int fd = file_new();
        fsetxattr(fd, "user.kept", "old", 3, 0);
        static const struct {
                const char *bytes;
                size_t size;
        } bad[] = {
                {"\x08", 1},
                {"\x08\0\0\0user.o", 10},
                {"\x08\0\0\0user.one\xff\xff\xff\xff", 16},
                {"\0\0\0\0\0\0\0\0", 8},
                {"\x0b\0\0\0trusted.one\0\0\0\0", 19},
                {"\x06\0\0\0user.b\0\0\0\0\x06\0\0\0user.a\0\0\0\0", 28},
                {"\x06\0\0\0user.a\0\0\0\0\x06\0\0\0user.a\0\0\0\0", 28},
        };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(xattr_write(fd, bad[i].bytes, bad[i].size), -EBADMSG);
        char value[16];
        assert_int_equal(fgetxattr(fd, "user.kept", value, sizeof(value)), 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(same_attributes_same_bytes_in_any_order),
                cmocka_unit_test(none_is_zero),
                cmocka_unit_test(writing_makes_exactly_these),
                cmocka_unit_test(what_is_not_canonical_changes_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
