#include "respond/restore/restore.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "base/io.h"
#include "event/xattr.h"
#include "respond/restore/look.h"

/* A vault and a tree of our own; the working directory is the tree's parent, so "tree/x" names x. */
struct place {
        char path[64];
        struct store *store;
        struct restore_context context;
        struct restore_journal journal;
        struct restore_result result;
        unsigned n_kept;
        char kept_path[256];
        struct node kept;
};

static struct place place;

static void note_kept(const char *path, const struct node *node, void *userdata) {
        (void)userdata;
        place.n_kept++;
        snprintf(place.kept_path, sizeof(place.kept_path), "%s", path);
        place.kept = *node;
        place.kept.link_target = NULL;
}

static void open_store(uint64_t budget_bytes) {
        struct store_options options = {.budget_bytes = budget_bytes};
        place.store = store_close(place.store);
        assert_int_equal(store_open("state", &options, &place.store), 0);
        place.context.store = place.store;
}

static int setup(void **state) {
        (void)state;
        place = (struct place){.path = "/var/tmp/restore-test-XXXXXX"};
        assert_non_null(mkdtemp(place.path));
        assert_int_equal(chdir(place.path), 0);
        assert_int_equal(mkdir("tree", 0755), 0);
        assert_int_equal(mkdir("outside", 0755), 0);
        assert_int_equal(mkdir("state", 0700), 0);
        open_store(0);
        place.context.tree_fd = restore_open_tree("tree");
        assert_true(place.context.tree_fd >= 0);
        place.context.kept = note_kept;
        assert_int_equal(restore_journal_open("state", &place.journal), 0);
        place.context.journal = &place.journal;
        return 0;
}

static int teardown(void **state) {
        (void)state;
        restore_result_deinit(&place.result);
        close(place.context.tree_fd);
        restore_journal_close(&place.journal);
        store_close(place.store);
        assert_int_equal(chdir("/"), 0);
        char command[128];
        snprintf(command, sizeof(command), "rm -rf %s", place.path);
        return system(command);
}

static void put(const char *path, const char *text) {
        _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
}

static void assert_content(const char *path, const char *text) {
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        assert_int_equal(io_read_file(AT_FDCWD, path, &buffer), 0);
        assert_string_equal(buffer.data ?: "", text);
}

/* What stands at a path becomes approved: its node, its content and attributes in the vault. */
static struct node approve(const char *path) {
        struct node node;
        _cleanup_(fd_closep) int fd = look_open_path(place.context.tree_fd, path);
        assert_true(fd >= 0);
        assert_int_equal(look_node(fd, true, &node), 0);
        if (S_ISREG(node.mode)) {
                _cleanup_(fd_closep) int content = look_reopen(fd, O_RDONLY);
                struct digest digest;
                assert_int_equal(store_put_file(place.store, content, &digest, NULL), 0);
        }
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, 0);
        assert_int_equal(xattr_read(fd, &bytes), 0);
        struct digest digest;
        if (bytes.size)
                assert_int_equal(store_put_bytes(place.store, bytes.data, bytes.size, &digest), 0);
        return node;
}

static struct restore_result *restore(const char *path, const struct node *approved,
                                      const struct node *seen) {
        struct restore_request request = {.path = path, .approved = approved, .seen = seen};
        restore_result_deinit(&place.result);
        assert_int_equal(restore_node(&place.context, &request, &place.result), 0);
        return &place.result;
}

static void assert_restored(const char *path, const struct node *approved) {
        struct restore_result *result = restore(path, approved, NULL);
        if (result->state != RESTORE_DONE || !result->verified)
                print_error("%s: %s\n", path, result->detail);
        assert_int_equal(result->state, RESTORE_DONE);
        assert_true(result->verified);
}

static unsigned entries(const char *path) {
        DIR *directory = opendir(path);
        assert_non_null(directory);
        unsigned n = 0;
        while (readdir(directory))
                n++;
        closedir(directory);
        return n - 2;
}

static const struct node nothing = NODE_INIT;

static void content_mode_time_and_attributes_come_back(void **state) {
        (void)state;
        put("tree/pay.php", "<?php charge();");
        chmod("tree/pay.php", 0640);
        setxattr("tree/pay.php", "user.origin", "shop", 4, 0);
        struct timespec times[2] = {{1000, 0}, {1234567890, 123456789}};
        utimensat(AT_FDCWD, "tree/pay.php", times, 0);
        struct node approved = approve("pay.php");

        put("tree/pay.php", "<?php skim(); charge();");
        chmod("tree/pay.php", 0666);
        setxattr("tree/pay.php", "user.origin", "evil", 4, 0);
        setxattr("tree/pay.php", "user.mark", "x", 1, 0);
        assert_restored("pay.php", &approved);
        assert_content("tree/pay.php", "<?php charge();");
        struct stat st;
        assert_int_equal(stat("tree/pay.php", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(st.st_mtim.tv_sec, 1234567890);
        assert_int_equal(st.st_mtim.tv_nsec, 123456789);
        char value[8];
        assert_int_equal(getxattr("tree/pay.php", "user.origin", value, sizeof(value)), 4);
        assert_memory_equal(value, "shop", 4);
        assert_int_equal(getxattr("tree/pay.php", "user.mark", value, sizeof(value)), -1);

        /* The tampered copy is in the vault, and nothing else lies about. */
        assert_int_equal(place.n_kept, 1);
        assert_string_equal(place.kept_path, "pay.php");
        _cleanup_(buffer_deinit) struct buffer kept;
        buffer_init(&kept, 0);
        assert_int_equal(store_get_bytes(place.store, &place.kept.digest, &kept), 0);
        assert_string_equal(kept.data, "<?php skim(); charge();");
        assert_int_equal(entries("tree"), 1);
        assert_int_equal(restore("pay.php", &approved, NULL)->state, RESTORE_NEEDLESS);
}

static void what_was_deleted_comes_back(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        unlink("tree/a");
        assert_restored("a", &approved);
        assert_content("tree/a", "content");
        put("tree/empty", "");
        approved = approve("empty");
        put("tree/empty", "not");
        assert_restored("empty", &approved);
        assert_content("tree/empty", "");
}

static void only_attributes_keep_the_object(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        chmod("tree/a", 04777);
        assert_restored("a", &approved);
        assert_true(place.result.notes & RESTORE_NOTE_ATTRIBUTES);
        assert_int_equal(place.result.after.inode, approved.inode);
        assert_int_equal(place.n_kept, 0);
}

static void an_object_with_foreign_names_is_not_altered(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        put("outside/a", "content");
        chmod("outside/a", 0600);
        unlink("tree/a");
        assert_int_equal(link("outside/a", "tree/a"), 0);
        assert_restored("a", &approved);
        assert_true(place.result.notes & RESTORE_NOTE_LINKED);
        struct stat st;
        assert_int_equal(stat("outside/a", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_not_equal(st.st_ino, place.result.after.inode);
}

static void a_writer_keeps_the_old_object(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        _cleanup_(fd_closep) int fd = open("tree/a", O_WRONLY | O_APPEND | O_CLOEXEC);
        assert_int_equal(write(fd, "!", 1), 1);
        assert_restored("a", &approved);
        assert_int_equal(write(fd, "?", 1), 1);
        assert_content("tree/a", "content");
}

static void what_was_not_approved_is_kept_and_removed(void **state) {
        (void)state;
        put("tree/shell.php", "<?php eval($_POST[1]);");
        assert_restored("shell.php", &nothing);
        assert_int_equal(entries("tree"), 0);
        assert_true(store_has(place.store, &place.kept.digest));
        assert_int_equal(restore("shell.php", &nothing, NULL)->state, RESTORE_NEEDLESS);
        assert_int_equal(restore("no/such/directory", &nothing, NULL)->state, RESTORE_NEEDLESS);
}

static void a_directory_goes_with_all_that_is_in_it(void **state) {
        (void)state;
        put("outside/kept", "kept");
        assert_int_equal(
                system("cd tree && mkdir -p evil/deep && echo 1 >evil/a.php && echo 2 >evil/deep/b.php && "
                       "ln -s ../../outside evil/link && mkfifo evil/fifo && mkdir evil/none"),
                0);
        assert_restored("evil", &nothing);
        assert_int_equal(entries("tree"), 0);
        assert_int_equal(place.n_kept, 4);
        assert_content("outside/kept", "kept");
}

static void however_deep(void **state) {
        (void)state;
        assert_int_equal(chdir("tree"), 0);
        for (unsigned i = 0; i < 3000; i++) { /* past PATH_MAX */
                assert_int_equal(mkdir("d", 0755), 0);
                assert_int_equal(chdir("d"), 0);
        }
        put("shell.php", "x");
        assert_int_equal(chdir(place.path), 0);
        struct rlimit limit, few;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        few = limit;
        few.rlim_cur = 256;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        assert_restored("d", &nothing);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(place.n_kept, 1);
        assert_int_equal(entries("tree"), 0);
}

static void types_take_each_others_place(void **state) {
        (void)state;
        assert_int_equal(symlink("../elsewhere", "tree/link"), 0);
        assert_int_equal(mkdir("tree/directory", 0750), 0);
        assert_int_equal(mkfifo("tree/fifo", 0620), 0);
        put("tree/file", "file");
        static const char *const names[] = {"link", "directory", "fifo", "file"};
        struct node approved[4];
        for (size_t i = 0; i < 4; i++)
                approved[i] = approve(names[i]);
        for (size_t shift = 0; shift < 4; shift++) {
                for (size_t i = 0; i < 4; i++) {
                        char path[32];
                        snprintf(path, sizeof(path), "tree/%s", names[i]);
                        assert_int_equal(remove(path), 0);
                        switch ((i + shift) % 4) {
                        case 0:
                                assert_int_equal(symlink("/etc/passwd", path), 0);
                                break;
                        case 1:
                                assert_int_equal(mkdir(path, 0777), 0);
                                break;
                        case 2:
                                assert_int_equal(mkfifo(path, 0666), 0);
                                break;
                        default:
                                put(path, "evil");
                        }
                        assert_restored(names[i], &approved[i]);
                }
        }
        assert_int_equal(entries("tree"), 4);
        node_deinit(&approved[0]);
}

static void without_a_copy_nothing_is_destroyed(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        put("tree/a", "changed");
        approved.digest.bytes[0] ^= 1;
        struct restore_result *result = restore("a", &approved, NULL);
        assert_int_equal(result->state, RESTORE_FAILED);
        assert_int_equal(result->error, -ENOENT);
        assert_false(result->verified);
        assert_non_null(strstr(result->detail, "vault has no copy"));
        assert_content("tree/a", "changed");
        assert_int_equal(entries("tree"), 1);
}

/* Damages every object in the packs from byte `from` on. */
static void damage_packs(void) {
        DIR *directory = opendir("state/vault/packs");
        assert_non_null(directory);
        for (struct dirent *entry; (entry = readdir(directory));) {
                _cleanup_(fd_closep) int fd = openat(dirfd(directory), entry->d_name, O_RDWR | O_CLOEXEC);
                struct stat st;
                if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 64)
                        continue;
                char bytes[8];
                off_t at = st.st_size / 2;
                assert_int_equal(pread(fd, bytes, sizeof(bytes), at), sizeof(bytes));
                for (size_t i = 0; i < sizeof(bytes); i++)
                        bytes[i] = (char)~bytes[i];
                assert_int_equal(pwrite(fd, bytes, sizeof(bytes), at), sizeof(bytes));
        }
        closedir(directory);
}

static void a_damaged_copy_is_not_put_back(void **state) {
        (void)state;
        char text[4001];
        unsigned random = 1;
        for (size_t i = 0; i < 4000; i++)
                text[i] = (char)('!' + (random = random * 1103515245u + 12345u) / 65536 % 90);
        text[4000] = '\0';
        put("tree/a", text);
        struct node approved = approve("a");
        store_sync(place.store);
        put("tree/a", "changed");
        damage_packs();
        struct restore_result *result = restore("a", &approved, NULL);
        assert_int_equal(result->state, RESTORE_FAILED);
        assert_int_equal(result->error, -EBADMSG);
        assert_content("tree/a", "changed");
        assert_int_equal(entries("tree"), 1);
}

static void a_full_vault_leaves_the_evidence_beside(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        open_store(1);
        put("tree/a", "changed");
        struct restore_result *result = restore("a", &approved, NULL);
        assert_int_equal(result->state, RESTORE_DONE);
        assert_true(result->verified);
        assert_content("tree/a", "content");
        assert_true(result->notes & RESTORE_NOTE_LEFT_BESIDE);
        assert_true(restore_is_temporary(result->beside));
        char path[128];
        snprintf(path, sizeof(path), "tree/%s", result->beside);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0);
        chmod(path, 0600);
        assert_content(path, "changed");

        open_store(0);
        assert_int_equal(restore_collect_left(&place.context, NULL, NULL), 1);
        assert_int_equal(entries("tree"), 1);
        assert_true(store_has(place.store, &place.kept.digest));
        assert_int_equal(restore_collect_left(&place.context, NULL, NULL), 0);
}

/* Only what the journal names is ours; a name alone, or a link under that name, is not. */
static void what_was_left_is_told_from_what_has_such_a_name(void **state) {
        (void)state;
        static const char ours[] = "sub/.hinomi-restore-0123456789abcdef";
        put("outside/.hinomi-restore-0123456789abcdef", "outside");
        assert_int_equal(mkdir("tree/sub", 0755), 0);
        put("tree/sub/.hinomi-restore-0123456789abcdef", "ours");
        put("tree/sub/.hinomi-restore-fedcba9876543210", "theirs");
        assert_int_equal(pwrite(place.journal.fd, ours, sizeof(ours), 0), sizeof(ours));
        assert_int_equal(restore_collect_left(&place.context, NULL, NULL), 1);
        assert_int_equal(access("tree/sub/.hinomi-restore-0123456789abcdef", F_OK), -1);
        assert_content("tree/sub/.hinomi-restore-fedcba9876543210", "theirs");

        assert_int_equal(rename("tree/sub", "outside/sub"), 0);
        assert_int_equal(symlink("../outside", "tree/sub"), 0);
        assert_int_equal(restore_collect_left(&place.context, NULL, NULL), 0);
        assert_content("outside/.hinomi-restore-0123456789abcdef", "outside");

        static const char not_ours[] = "a\0";
        put("tree/a", "content");
        assert_int_equal(pwrite(place.journal.fd, not_ours, sizeof(not_ours), 0), sizeof(not_ours));
        assert_int_equal(restore_collect_left(&place.context, NULL, NULL), -EINVAL);
        assert_content("tree/a", "content");
        restore_journal_clear(&place.journal);
        assert_int_equal(restore_collect_left(&place.context, NULL, NULL), 0);
}

static void what_nobody_saw_is_said(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        put("tree/a", "tampered");
        struct node seen = approve("a");
        restore("a", &approved, &seen);
        assert_false(place.result.notes & RESTORE_NOTE_UNSEEN);
        put("tree/a", "an admin's own repair");
        restore("a", &approved, &seen);
        assert_true(place.result.notes & RESTORE_NOTE_UNSEEN);
        assert_true(store_has(place.store, &place.kept.digest));
}

static void paths_stay_in_the_tree(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        static const char *const bad[] = {"../outside/a", "..", ".",    "x/../../outside/a",
                                          "/etc/x",       "a/", "a//b", "./a"};
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct restore_result *result = restore(bad[i], &approved, NULL);
                assert_int_equal(result->state, RESTORE_FAILED);
                assert_int_equal(result->error, -EINVAL);
        }
        assert_int_equal(symlink("../outside", "tree/link"), 0);
        assert_int_equal(restore("link/a", &approved, NULL)->state, RESTORE_FAILED);
        assert_int_equal(entries("outside"), 0);
}

static void the_root_has_attributes_only(void **state) {
        (void)state;
        struct node approved = approve("");
        chmod("tree", 0777);
        assert_restored("", &approved);
        struct stat st;
        assert_int_equal(stat("tree", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        assert_int_equal(restore("", &nothing, NULL)->state, RESTORE_FAILED);
}

static atomic_bool racing;

/* Exchanges a directory of the tree and a link that leads out of it, as fast as it can. */
static void *race(void *unused) {
        (void)unused;
        while (racing) {
                renameat2(AT_FDCWD, "tree/dir", AT_FDCWD, "link", RENAME_EXCHANGE);
                renameat2(AT_FDCWD, "tree/dir", AT_FDCWD, "link", RENAME_EXCHANGE);
        }
        return NULL;
}

static void a_component_exchanged_meanwhile_leads_nowhere(void **state) {
        (void)state;
        char target[96];
        snprintf(target, sizeof(target), "%s/outside", place.path);
        assert_int_equal(mkdir("tree/dir", 0755), 0);
        assert_int_equal(mkdir("tree/dir/sub", 0755), 0);
        assert_int_equal(mkdir("outside/sub", 0755), 0);
        assert_int_equal(symlink(target, "link"), 0);
        put("tree/dir/sub/a", "content");
        struct node approved = approve("dir/sub/a");
        put("outside/sub/b", "foreign");
        racing = true;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, race, NULL), 0);
        unsigned n_done = 0, n_failed = 0;
        /* Until both outcomes were met, or it was no race; on a busy machine that takes more turns. */
        for (unsigned i = 0; i < 1000 || ((!n_done || !n_failed) && i < 50000); i++) {
                int fd = open(i % 2 ? "tree/dir/sub/a" : "link/sub/a", O_WRONLY | O_TRUNC | O_CLOEXEC);
                fd_closep(&fd);
                struct restore_result *result = restore("dir/sub/a", &approved, NULL);
                n_done += result->state == RESTORE_DONE;
                n_failed += result->state == RESTORE_FAILED;
                restore("dir/sub/b", &nothing, NULL);
        }
        racing = false;
        pthread_join(thread, NULL);
        assert_int_equal(entries("outside/sub"), 1);
        assert_content("outside/sub/b", "foreign");
}

static bool stop_swapping;

/* Puts a file of its own under every temporary name it finds: what one who may write in the directory can do.
 */
static void *swap_temporary(void *unused) {
        (void)unused;
        while (!__atomic_load_n(&stop_swapping, __ATOMIC_RELAXED)) {
                DIR *directory = opendir("tree");
                for (struct dirent *entry; directory && (entry = readdir(directory));)
                        if (restore_is_temporary(entry->d_name)) {
                                put("forged", "forged");
                                renameat(AT_FDCWD, "forged", dirfd(directory), entry->d_name);
                        }
                closedir(directory);
        }
        return NULL;
}

static void a_forged_temporary_is_never_called_verified(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        pthread_t thread;
        stop_swapping = false;
        assert_int_equal(pthread_create(&thread, NULL, swap_temporary, NULL), 0);
        for (unsigned i = 0; i < 500; i++) {
                put("tree/a", "changed");
                struct restore_result *result = restore("a", &approved, NULL);
                if (result->verified)
                        assert_content("tree/a", "content");
        }
        __atomic_store_n(&stop_swapping, true, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
}

static void immutable_is_cleared_and_said(void **state) {
        (void)state;
        put("tree/a", "content");
        struct node approved = approve("a");
        put("tree/a", "changed");
        _cleanup_(fd_closep) int file = open("tree/a", O_RDONLY | O_CLOEXEC);
        _cleanup_(fd_closep) int directory = open("tree", O_RDONLY | O_CLOEXEC);
        int flags, directory_flags = 0;
        if (ioctl(file, FS_IOC_GETFLAGS, &flags) < 0 ||
            ioctl(directory, FS_IOC_GETFLAGS, &directory_flags) < 0)
                skip();
        flags |= FS_IMMUTABLE_FL;
        directory_flags |= FS_IMMUTABLE_FL;
        if (ioctl(file, FS_IOC_SETFLAGS, &flags) < 0 ||
            ioctl(directory, FS_IOC_SETFLAGS, &directory_flags) < 0)
                skip(); /* not root */
        assert_restored("a", &approved);
        assert_true(place.result.notes & RESTORE_NOTE_FLAGS_CLEARED);
        assert_content("tree/a", "content");
        int now;
        assert_int_equal(ioctl(directory, FS_IOC_GETFLAGS, &now), 0);
        assert_true(now & FS_IMMUTABLE_FL); /* the directory got its own back */
        now &= ~FS_IMMUTABLE_FL;
        ioctl(directory, FS_IOC_SETFLAGS, &now);
        assert_int_equal(entries("tree"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(content_mode_time_and_attributes_come_back),
                TEST(what_was_deleted_comes_back),
                TEST(only_attributes_keep_the_object),
                TEST(an_object_with_foreign_names_is_not_altered),
                TEST(a_writer_keeps_the_old_object),
                TEST(what_was_not_approved_is_kept_and_removed),
                TEST(a_directory_goes_with_all_that_is_in_it),
                TEST(however_deep),
                TEST(types_take_each_others_place),
                TEST(without_a_copy_nothing_is_destroyed),
                TEST(a_damaged_copy_is_not_put_back),
                TEST(a_full_vault_leaves_the_evidence_beside),
                TEST(what_nobody_saw_is_said),
                TEST(what_was_left_is_told_from_what_has_such_a_name),
                TEST(paths_stay_in_the_tree),
                TEST(the_root_has_attributes_only),
                TEST(a_component_exchanged_meanwhile_leads_nowhere),
                TEST(a_forged_temporary_is_never_called_verified),
                TEST(immutable_is_cleared_and_said),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
