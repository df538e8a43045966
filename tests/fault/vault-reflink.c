/*
 * A vault beside the guarded files on a file system that shares blocks (XFS, in an image file): large
 * objects cost next to nothing, and what happens to the original does not happen to them. Needs root.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cmocka.h>

#include "base/io.h"
#include "vault/store.h"

#define SIZE ((size_t)20000000)

static char root[64], mountpoint[80];
static bool mounted;

static int run(const char *format, ...) _printf_(1, 2);
static int run(const char *format, ...) {
        char command[512];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(command, sizeof(command), format, arguments);
        va_end(arguments);
        return system(command);
}

static int mount_new(void **state) {
        (void)state;
        snprintf(root, sizeof(root), "/var/tmp/vault-reflink-XXXXXX");
        if (!mkdtemp(root))
                return -1;
        snprintf(mountpoint, sizeof(mountpoint), "%s/mount", root);
        mounted = mkdir(mountpoint, 0700) == 0 && run("truncate -s 400M %s/image", root) == 0 &&
                  run("mkfs.xfs -q -m reflink=1 %s/image 2>%s/log", root, root) == 0 &&
                  run("mount -o loop %s/image %s 2>>%s/log", root, mountpoint, root) == 0;
        return 0;
}

static int mount_free(void **state) {
        (void)state;
        if (mounted && run("umount -l %s", mountpoint) /* a failed test leaves files open */)
                return -1;
        return run("rm -rf -- %s", root);
}

static uint64_t free_bytes(void) {
        struct statvfs fs;
        assert_int_equal(statvfs(mountpoint, &fs), 0);
        return (uint64_t)fs.f_bfree * fs.f_frsize;
}

static void large_objects_share_blocks_and_nothing_else(void **state) {
        (void)state;
        if (!mounted)
                skip();
        char path[128];
        _cleanup_(freep) char *data = malloc(SIZE), *again = malloc(SIZE);
        assert_true(data && again);
        for (size_t i = 0; i < SIZE; i++)
                data[i] = (char)(i * 2654435761u >> 13);
        snprintf(path, sizeof(path), "%s/original", mountpoint);
        _cleanup_(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(io_pwrite_all(fd, data, SIZE, 0), 0);
        assert_int_equal(fsync(fd), 0);

        _cleanup_(store_closep) struct store *store = NULL;
        struct digest digest, expected;
        assert_int_equal(store_open(mountpoint, NULL, &store), 0);
        uint64_t before = free_bytes();
        assert_int_equal(store_put_file(store, fd, &digest, NULL), 0);
        assert_int_equal(store_sync(store), 0);
        assert_true(before - free_bytes() < SIZE / 10);
        digest_bytes(data, SIZE, &expected);
        assert_true(digest_equal(&digest, &expected));

        assert_int_equal(io_pwrite_all(fd, "tampered", 8, 12345), 0);
        assert_int_equal(fsync(fd), 0);
        before = free_bytes();
        _cleanup_(fd_closep) int out = open(mountpoint, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        assert_int_equal(store_get_file(store, &digest, out), 0);
        assert_int_equal(fsync(out), 0);
        assert_true(before - free_bytes() < SIZE / 10); /* restored by sharing, too */
        assert_int_equal(io_pread_full(out, again, SIZE, 0), SIZE);
        assert_memory_equal(again, data, SIZE);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(large_objects_share_blocks_and_nothing_else, mount_new,
                                                mount_free),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
