/*
 * Restoring on real mounts, in a mount namespace of its own: full and read-only file systems, things mounted inside
 * what is to go, owners, set-uid, capabilities, ACLs, devices, an overlay. Needs root.
 */
#include "respond/restore/restore.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "base/io.h"
#include "event/xattr.h"
#include "respond/restore/look.h"

static char folder[] = "/var/tmp/restore-real-XXXXXX";
static struct store *store;
static struct restore_context context;
static const struct node nothing = NODE_INIT;

static int group_setup(void **state) {
        (void)state;
        if (geteuid() != 0)
                return 0;
        assert_int_equal(unshare(CLONE_NEWNS), 0);
        assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        assert_non_null(mkdtemp(folder));
        assert_int_equal(chdir(folder), 0);
        assert_int_equal(mkdir("state", 0700), 0);
        assert_int_equal(mkdir("tree", 0755), 0);
        return store_open("state", &(struct store_options){0}, &store);
}

static int group_teardown(void **state) {
        (void)state;
        store_close(store);
        umount2("over", MNT_DETACH);
        assert_int_equal(chdir("/"), 0);
        char command[128];
        snprintf(command, sizeof(command), "rm -rf --one-file-system %s", folder);
        return geteuid() == 0 ? system(command) : 0;
}

static void mount_tree(const char *type, const char *options) {
        if (geteuid() != 0)
                skip();
        if (mount(type, "tree", type, 0, options) < 0)
                skip();
        context = (struct restore_context){.tree_fd = restore_open_tree("tree"), .store = store};
        assert_true(context.tree_fd >= 0);
}

static int unmount_tree(void **state) {
        (void)state;
        if (context.tree_fd > 0)
                close(context.tree_fd);
        context.tree_fd = -1;
        umount2("tree", MNT_DETACH);
        return 0;
}

static void put(const char *path, const char *text) {
        _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
}

static struct node approve(const char *path) {
        struct node node;
        _cleanup_(fd_closep) int fd = look_open_path(context.tree_fd, path);
        assert_int_equal(look_node(fd, true, &node), 0);
        struct digest digest;
        if (S_ISREG(node.mode)) {
                _cleanup_(fd_closep) int content = look_reopen(fd, O_RDONLY);
                assert_int_equal(store_put_file(store, content, &digest, NULL), 0);
        }
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, 0);
        assert_int_equal(xattr_read(fd, &bytes), 0);
        if (bytes.size)
                assert_int_equal(store_put_bytes(store, bytes.data, bytes.size, &digest), 0);
        return node;
}

static struct restore_result restore(const char *path, const struct node *approved) {
        struct restore_result result;
        assert_int_equal(restore_node(&context, &(struct restore_request){.path = path, .approved = approved},
                                      &result),
                         0);
        if (result.state != RESTORE_FAILED && !result.verified)
                print_error("%s: %s\n", path, result.detail);
        return result;
}

static void assert_content(const char *path, const char *text) {
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        assert_int_equal(io_read_file(AT_FDCWD, path, &buffer), 0);
        assert_int_equal(buffer.size, strlen(text));
        assert_string_equal(buffer.data, text);
}

static void a_full_disk_keeps_what_stands_there(void **state) {
        (void)state;
        mount_tree("tmpfs", "size=256k");
        static char big[150000];
        memset(big, 'b', sizeof(big) - 1);
        put("tree/a", big);
        struct node approved = approve("a");
        memset(big, 'c', sizeof(big) - 1);
        put("tree/a", big);
        struct restore_result result = restore("a", &approved);
        assert_int_equal(result.state, RESTORE_FAILED);
        assert_int_equal(result.error, -ENOSPC);
        assert_non_null(strstr(result.detail, "disk is full"));
        assert_content("tree/a", big);
        restore_result_deinit(&result);
}

static void a_read_only_tree_fails_clearly(void **state) {
        (void)state;
        mount_tree("tmpfs", NULL);
        put("tree/a", "content");
        struct node approved = approve("a");
        put("tree/a", "changed");
        assert_int_equal(mount(NULL, "tree", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
        struct restore_result result = restore("a", &approved);
        assert_int_equal(result.state, RESTORE_FAILED);
        assert_int_equal(result.error, -EROFS);
        restore_result_deinit(&result);
        result = restore("a", &nothing);
        assert_int_equal(result.error, -EROFS);
        restore_result_deinit(&result);
        assert_content("tree/a", "changed");
}

static void what_is_mounted_inside_is_not_touched(void **state) {
        (void)state;
        mount_tree("tmpfs", NULL);
        assert_int_equal(mkdir("tree/evil", 0755), 0);
        assert_int_equal(mkdir("tree/evil/mnt", 0755), 0);
        assert_int_equal(mount("tmpfs", "tree/evil/mnt", "tmpfs", 0, NULL), 0);
        put("tree/evil/mnt/precious", "precious");
        struct restore_result result = restore("evil", &nothing);
        assert_true(result.notes & RESTORE_NOTE_LEFT_BESIDE);
        char path[128];
        snprintf(path, sizeof(path), "tree/%s/mnt/precious", result.beside);
        assert_content(path, "precious");
        restore_result_deinit(&result);

        assert_int_equal(mkdir("tree/point", 0755), 0);
        assert_int_equal(mount("tmpfs", "tree/point", "tmpfs", 0, NULL), 0);
        put("tree/point/precious", "precious");
        result = restore("point", &nothing);
        assert_int_equal(result.state, RESTORE_FAILED);
        assert_int_equal(result.error, -EBUSY);
        assert_content("tree/point/precious", "precious");
        restore_result_deinit(&result);
}

static void owner_set_uid_capability_and_acl_come_back(void **state) {
        (void)state;
        mount_tree("tmpfs", NULL);
        put("tree/a", "content");
        assert_int_equal(chown("tree/a", 12, 34), 0);
        /* CAP_NET_RAW, revision 2 (capabilities(7)); user::rw- user:99:rw- group::r-- mask::rw- other::--- (acl(5)). */
        static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
        static const unsigned char acl[] = {2, 0,  0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  6,
                                            0, 99, 0,   0,   0,   4,   0,  4, 0,   255, 255, 255, 255, 16, 0,
                                            6, 0,  255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};
        assert_int_equal(setxattr("tree/a", "security.capability", capability, sizeof(capability), 0), 0);
        if (setxattr("tree/a", "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
                print_message("no ACLs here\n");
        assert_int_equal(chmod("tree/a", 02660), 0);
        struct node approved = approve("a");
        assert_false(digest_is_zero(&approved.xattr_digest));

        put("tree/b", "evil");
        chmod("tree/b", 04777);
        assert_int_equal(rename("tree/b", "tree/a"), 0);
        struct restore_result result = restore("a", &approved);
        assert_int_equal(result.state, RESTORE_DONE);
        assert_true(result.verified);
        struct stat st;
        assert_int_equal(stat("tree/a", &st), 0);
        assert_int_equal(st.st_uid, 12);
        assert_int_equal(st.st_gid, 34);
        assert_int_equal(st.st_mode & 07777, 02660);
        unsigned char value[64];
        assert_int_equal(getxattr("tree/a", "security.capability", value, sizeof(value)), sizeof(capability));
        restore_result_deinit(&result);
}

static void devices_come_back(void **state) {
        (void)state;
        mount_tree("tmpfs", NULL);
        assert_int_equal(mknod("tree/null", S_IFCHR | 0666, makedev(1, 3)), 0);
        struct node approved = approve("null");
        unlink("tree/null");
        assert_int_equal(mknod("tree/null", S_IFBLK | 0666, makedev(8, 0)), 0);
        struct restore_result result = restore("null", &approved);
        assert_true(result.verified);
        struct stat st;
        assert_int_equal(stat("tree/null", &st), 0);
        assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
        restore_result_deinit(&result);
}

static void on_an_overlay(void **state) {
        (void)state;
        assert_true(geteuid() != 0 || mkdir("over", 0755) == 0 || errno == EEXIST);
        if (geteuid() == 0 && mount("tmpfs", "over", "tmpfs", 0, NULL) == 0) {
                mkdir("over/lower", 0755);
                mkdir("over/upper", 0755);
                mkdir("over/work", 0755);
                put("over/lower/a", "content");
        }
        mount_tree("overlay", "lowerdir=over/lower,upperdir=over/upper,workdir=over/work");
        struct node approved = approve("a");
        put("tree/a", "changed");
        put("tree/shell.php", "evil");
        struct restore_result result = restore("a", &approved);
        assert_true(result.verified);
        assert_content("tree/a", "content");
        restore_result_deinit(&result);
        result = restore("shell.php", &nothing);
        assert_true(result.verified);
        restore_result_deinit(&result);
}

#define TEST(name) cmocka_unit_test_teardown(name, unmount_tree)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_full_disk_keeps_what_stands_there),
                TEST(a_read_only_tree_fails_clearly),
                TEST(what_is_mounted_inside_is_not_touched),
                TEST(owner_set_uid_capability_and_acl_come_back),
                TEST(devices_come_back),
                TEST(on_an_overlay),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
