/*
 * The watch against the running kernel: every way in which a file of a tree can change is done,
 * and must be called back under its path. Needs root; works in a temporary directory.
 */
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "sense/files/watch.h"

#define SEEN_MAX 4096

struct seen {
        unsigned what;
        size_t tree;
        pid_t pid;
        char path[512];
};

struct fixture {
        char base[64]; /* temporary directory: tree/ and outside/ in it */
        int group_fd;
        int pending_fd;
        struct watch *watch;
        struct seen seen[SEEN_MAX];
        size_t n_seen;
        size_t longest; /* path, in bytes */
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

static const char *at(const struct fixture *fixture, const char *format, ...) _printf_(2, 3);
static const char *at(const struct fixture *fixture, const char *format, ...) {
        static char paths[8][PATH_MAX];
        static unsigned next;
        char *path = paths[next++ % 8];
        int n = snprintf(path, PATH_MAX, "%s/", fixture->base);
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(path + n, (size_t)(PATH_MAX - n), format, arguments);
        va_end(arguments);
        return path;
}

static int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        snprintf(fixture->base, sizeof(fixture->base), "%s/watch-XXXXXX",
                 getenv("WATCH_TEST_DIRECTORY") ?: "/var/tmp");
        assert_non_null(mkdtemp(fixture->base));
        assert_return_code(mkdir(at(fixture, "tree"), 0755), errno);
        assert_return_code(mkdir(at(fixture, "outside"), 0755), errno);
        fixture->group_fd = watch_group_open();
        assert_true(fixture->group_fd >= 0);
        fixture->pending_fd = watch_pending_open();
        assert_true(fixture->pending_fd >= 0);
        assert_int_equal(watch_new_pending(fixture->group_fd, fixture->pending_fd, &fixture->watch), 0);
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "tree"), 7), 0);
        *state = fixture;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;
        watch_free(fixture->watch);
        close(fixture->group_fd);
        close(fixture->pending_fd);
        nftw(fixture->base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(fixture);
        return 0;
}

static void remember(const struct file_event *event, void *userdata) {
        struct fixture *fixture = userdata;
        size_t length = event->path ? strlen(event->path) : 0;
        fixture->longest = length > fixture->longest ? length : fixture->longest;
        if (fixture->n_seen == SEEN_MAX)
                return;
        struct seen *seen = &fixture->seen[fixture->n_seen++];
        *seen = (struct seen){.what = event->what, .tree = event->tree, .pid = event->pid};
        snprintf(seen->path, sizeof(seen->path), "%s", event->path ? event->path : "");
}

/* Works off everything that the kernel has ready. */
static void drain(struct fixture *fixture) {
        struct pollfd ready = {.fd = watch_fd(fixture->watch), .events = POLLIN};
        while (poll(&ready, 1, 50) > 0)
                assert_true(watch_dispatch(fixture->watch, remember, fixture) >= 0);
}

static void forget(struct fixture *fixture) {
        drain(fixture);
        fixture->n_seen = fixture->longest = 0;
}

/* The bits seen for a path below the base, over all events. */
static unsigned what_at(struct fixture *fixture, const char *path) {
        unsigned what = 0;
        for (size_t i = 0; i < fixture->n_seen; i++)
                if (!strcmp(fixture->seen[i].path, at(fixture, "%s", path)))
                        what |= fixture->seen[i].what;
        return what;
}

#define assert_seen(fixture, path, bits)                                                                     \
        assert_int_equal(what_at(fixture, path) & (unsigned)(bits), (unsigned)(bits))

/* Runs a shell command as another process, in the base directory; events of this one are dropped. */
static pid_t shell(struct fixture *fixture, const char *command) {
        pid_t pid = fork();
        if (pid == 0) {
                if (chdir(fixture->base) == 0)
                        execl("/bin/sh", "sh", "-ec", command, NULL);
                _exit(127);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        return pid;
}

static void a_write_is_seen_with_its_pid(void **state) {
        struct fixture *fixture = *state;
        pid_t pid = shell(fixture, "echo one > tree/a; echo two >> tree/a");
        drain(fixture);
        assert_seen(fixture, "tree/a", FILE_CREATED | FILE_MODIFIED | FILE_CLOSED);
        assert_int_equal(fixture->seen[0].pid, pid);
        assert_int_equal(fixture->seen[0].tree, 7);
}

static void names_that_come_and_go_are_seen(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "echo x > tree/a; echo y > tree/b; echo z > outside/c");
        forget(fixture);
        shell(fixture,
              "mv tree/a tree/b; mv outside/c tree/c; rm tree/c; ln -s b tree/l; mv tree/b outside/b");
        drain(fixture);
        assert_seen(fixture, "tree/a", FILE_REMOVED);
        assert_seen(fixture, "tree/b", FILE_CREATED | FILE_REMOVED);
        assert_seen(fixture, "tree/c", FILE_CREATED | FILE_REMOVED);
        assert_seen(fixture, "tree/l", FILE_CREATED);
}

static void attributes_are_seen(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "for f in mode owner xattr; do echo > tree/$f; done");
        forget(fixture);
        shell(fixture, "chmod 777 tree/mode; chown 1:1 tree/owner; chmod 700 tree; touch tree/mode");
        pid_t pid = fork();
        if (pid == 0)
                _exit(setxattr(at(fixture, "tree/xattr"), "user.mark", "1", 1, 0) < 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        drain(fixture);
        assert_seen(fixture, "tree/mode", FILE_ATTRIBUTES);
        assert_seen(fixture, "tree/owner", FILE_ATTRIBUTES);
        assert_seen(fixture, "tree/xattr", FILE_ATTRIBUTES);
        assert_seen(fixture, "tree", FILE_ATTRIBUTES | FILE_DIRECTORY);
}

static void a_new_directory_and_its_file_are_seen_at_once(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir -p tree/p/q/r; echo > tree/p/q/r/f");
        drain(fixture);
        assert_seen(fixture, "tree/p", FILE_CREATED | FILE_DIRECTORY);
        assert_seen(fixture, "tree/p/q/r/f", FILE_CREATED | FILE_CLOSED);
}

static void what_happened_in_a_directory_that_is_gone_has_a_path(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir -p tree/p/q; echo > tree/p/q/f; rm -r tree/p");
        drain(fixture);
        assert_seen(fixture, "tree/p/q/f", FILE_CREATED | FILE_REMOVED);
}

static void modify_and_revert_is_seen(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "echo good > tree/a");
        forget(fixture);
        shell(fixture, "echo evil > tree/a; echo good > tree/a");
        drain(fixture);
        assert_seen(fixture, "tree/a", FILE_MODIFIED | FILE_CLOSED);
}

static void a_store_through_a_mapping_is_seen_when_it_ends(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "echo 0123456789 > tree/a");
        forget(fixture);
        pid_t pid = fork();
        if (pid == 0) {
                int fd = open(at(fixture, "tree/a"), O_RDWR);
                char *map = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                close(fd);
                map[0] = 'X';
                munmap(map, 8);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        drain(fixture);
        assert_seen(fixture, "tree/a", FILE_CLOSED);
}

static void a_directory_renamed_inside_changes_the_paths_below(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir -p tree/a/b; echo > tree/a/b/f");
        forget(fixture);
        shell(fixture, "mv tree/a tree/z");
        drain(fixture);
        shell(fixture, "echo >> tree/z/b/f");
        drain(fixture);
        assert_seen(fixture, "tree/a", FILE_REMOVED | FILE_DIRECTORY);
        assert_seen(fixture, "tree/z", FILE_CREATED | FILE_DIRECTORY);
        assert_seen(fixture, "tree/z/b/f", FILE_MODIFIED);
        assert_int_equal(what_at(fixture, "tree/a/b/f"), 0);
}

static void nothing_outside_is_called_back(void **state) {
        struct fixture *fixture = *state;
        shell(fixture,
              "mkdir outside/d; for i in 1 2 3 4 5 6 7 8; do echo > outside/d/$i; done; rm -r outside/d");
        drain(fixture);
        assert_int_equal(fixture->n_seen, 0);
}

/* Does the kernel keep an ignore mark of the group on this inode? Others are at work on the same disk: no counter
 * would tell. */
static bool is_silenced(const struct fixture *fixture, const char *path) {
        char name[64], line[512], want[64];
        struct stat st;
        bool found = false;
        assert_return_code(stat(path, &st), errno);
        snprintf(want, sizeof(want), "fanotify ino:%lx ", (unsigned long)st.st_ino);
        snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fixture->group_fd);
        FILE *file = fopen(name, "re");
        while (!found && fgets(line, sizeof(line), file))
                found = !strncmp(line, want, strlen(want)) && !strstr(line, "ignored_mask:0 ");
        fclose(file);
        return found;
}

/* Makes the watch ask the kernel to be silent about outside/d. */
static void silence_outside(struct fixture *fixture) {
        shell(fixture, "mkdir -p outside/d; for i in 1 2 3 4 5 6; do echo > outside/d/$i; done");
        struct watch_counters counters;
        forget(fixture);
        watch_counters(fixture->watch, &counters);
        /* In a subvolume of a btrfs no directory is marked, so none is silent. */
        assert_true(counters.is_wide || is_silenced(fixture, at(fixture, "outside/d")));
}

static void a_silenced_directory_moved_into_the_tree_is_heard_again(void **state) {
        struct fixture *fixture = *state;
        silence_outside(fixture);
        shell(fixture, "mv outside/d tree/d");
        drain(fixture);
        shell(fixture, "echo >> tree/d/1; echo > tree/d/new");
        drain(fixture);
        assert_seen(fixture, "tree/d", FILE_CREATED | FILE_DIRECTORY);
        assert_seen(fixture, "tree/d/1", FILE_MODIFIED | FILE_CLOSED);
        assert_seen(fixture, "tree/d/new", FILE_CREATED);
}

static void a_file_moved_from_a_silenced_directory_is_seen(void **state) {
        struct fixture *fixture = *state;
        silence_outside(fixture);
        shell(fixture, "mv outside/d/1 tree/one");
        drain(fixture);
        assert_seen(fixture, "tree/one", FILE_CREATED);
}

static void a_hard_link_made_before_is_watched(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir outside/d; echo > outside/d/l; mkdir tree/s; ln outside/d/l tree/s/f");
        watch_free(fixture->watch);
        assert_int_equal(watch_new_pending(fixture->group_fd, fixture->pending_fd, &fixture->watch), 0);
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "tree"), 7), 0);
        forget(fixture);
        silence_outside(fixture);
        pid_t pid = shell(fixture, "echo evil > outside/d/l");
        drain(fixture);
        assert_seen(fixture, "tree/s/f", FILE_MODIFIED | FILE_CLOSED | FILE_LINKED);
        assert_int_equal(fixture->seen[0].pid, pid);
        assert_int_equal(fixture->seen[0].tree, 7);
}

static void a_hard_link_made_later_is_watched(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir -p tree/p/q; echo > tree/p/q/f");
        silence_outside(fixture);
        shell(fixture, "ln tree/p/q/f outside/d/l");
        forget(fixture);
        shell(fixture, "echo evil > outside/d/l; chmod 600 outside/d/l");
        drain(fixture);
        assert_seen(fixture, "tree/p/q/f", FILE_MODIFIED | FILE_CLOSED | FILE_ATTRIBUTES | FILE_LINKED);
}

static void a_hard_link_made_and_written_at_once_is_seen(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir -p tree/p/q; echo > tree/p/q/f");
        silence_outside(fixture);
        shell(fixture, "ln tree/p/q/f outside/d/l; echo evil > outside/d/l; rm outside/d/l");
        drain(fixture);
        assert_seen(fixture, "tree/p/q/f", FILE_LINKED);
}

static void a_file_linked_into_the_tree_is_watched(void **state) {
        struct fixture *fixture = *state;
        silence_outside(fixture);
        shell(fixture, "ln outside/d/1 tree/f");
        forget(fixture);
        shell(fixture, "echo evil > outside/d/1");
        drain(fixture);
        assert_seen(fixture, "tree/f", FILE_MODIFIED | FILE_LINKED);
        /* Under a name that it got later, and not under the old one. */
        shell(fixture, "mv tree/f tree/g");
        forget(fixture);
        shell(fixture, "echo more > outside/d/1");
        drain(fixture);
        assert_seen(fixture, "tree/g", FILE_MODIFIED | FILE_LINKED);
        assert_int_equal(what_at(fixture, "tree/f"), 0);
}

static void both_names_inside_are_called_back(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "echo > tree/a; ln tree/a tree/b");
        forget(fixture);
        shell(fixture, "echo evil > tree/a");
        drain(fixture);
        assert_seen(fixture, "tree/a", FILE_MODIFIED);
        assert_seen(fixture, "tree/b", FILE_MODIFIED | FILE_LINKED);
}

static void hard_links_come_and_move_with_their_directory(void **state) {
        struct fixture *fixture = *state;
        forget(fixture); /* the first scan is over */
        shell(fixture, "mkdir -p outside/m/n; echo > outside/l; ln outside/l outside/m/n/f");
        forget(fixture);
        shell(fixture, "mv outside/m tree/m");
        forget(fixture);
        shell(fixture, "echo evil > outside/l");
        drain(fixture);
        assert_seen(fixture, "tree/m/n/f", FILE_MODIFIED | FILE_LINKED);
        shell(fixture, "mv tree/m tree/z");
        forget(fixture);
        shell(fixture, "echo more > outside/l");
        drain(fixture);
        assert_seen(fixture, "tree/z/n/f", FILE_MODIFIED | FILE_LINKED);
        assert_int_equal(what_at(fixture, "tree/m/n/f"), 0);
}

static void links_outside_are_forgotten(void **state) {
        struct fixture *fixture = *state;
        struct watch_counters counters;
        shell(fixture, "echo > outside/a; ln outside/a outside/b; echo > tree/a; ln tree/a tree/b");
        drain(fixture);
        watch_counters(fixture->watch, &counters);
        assert_int_equal(counters.n_links, 1);
        assert_int_equal(counters.n_files, 1);
        shell(fixture, "rm tree/a tree/b");
        drain(fixture);
        watch_counters(fixture->watch, &counters);
        assert_int_equal(counters.n_links, 0);
}

/* Opens a file elsewhere, has something done, and writes through what it opened. */
static void write_late(struct fixture *fixture, const char *open_path, int flags,
                       void (*meanwhile)(struct fixture *, int fd)) {
        pid_t pid = fork();
        if (pid == 0) {
                int fd = open(open_path, flags, 0600);
                if (fd < 0)
                        _exit(1);
                meanwhile(fixture, fd);
                usleep(200000); /* the watch of the parent has read what happened until here */
                _exit(write(fd, "evil", 4) != 4);
        }
        int status;
        struct pollfd ready = {.fd = watch_fd(fixture->watch), .events = POLLIN};
        while (waitpid(pid, &status, WNOHANG) == 0) {
                if (poll(&ready, 1, 10) > 0)
                        assert_true(watch_dispatch(fixture->watch, remember, fixture) >= 0);
        }
        assert_int_equal(status, 0);
        drain(fixture);
}

static void remove_link(struct fixture *fixture, int fd) {
        (void)fd;
        unlink(at(fixture, "outside/d/l"));
}

static void a_descriptor_of_a_removed_hard_link_is_watched(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "echo > tree/f");
        silence_outside(fixture);
        shell(fixture, "ln tree/f outside/d/l");
        forget(fixture);
        write_late(fixture, at(fixture, "outside/d/l"), O_WRONLY, remove_link);
        assert_seen(fixture, "tree/f", FILE_MODIFIED | FILE_CLOSED | FILE_LINKED);
}

static void link_into_tree(struct fixture *fixture, int fd) {
        char link[32];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        assert_int_equal(linkat(AT_FDCWD, link, AT_FDCWD, at(fixture, "tree/f"), AT_SYMLINK_FOLLOW), 0);
}

static void a_nameless_file_linked_into_the_tree_is_watched(void **state) {
        struct fixture *fixture = *state;
        silence_outside(fixture);
        write_late(fixture, at(fixture, "outside/d"), O_WRONLY | O_TMPFILE, link_into_tree);
        assert_seen(fixture, "tree/f", FILE_CREATED | FILE_MODIFIED | FILE_CLOSED | FILE_LINKED);
}

/* Many directories deep and wide, written after they were moved in: each has its mark. */
static void a_subtree_moved_in_is_watched_to_its_end(void **state) {
        struct fixture *fixture = *state;
        shell(fixture,
              "mkdir -p outside/m/a/b/c/d outside/m/e; echo > outside/m/a/b/c/d/f; echo > outside/m/e/f");
        forget(fixture);
        shell(fixture, "mv outside/m tree/m");
        drain(fixture);
        shell(fixture, "echo >> tree/m/a/b/c/d/f; echo >> tree/m/e/f");
        drain(fixture);
        assert_seen(fixture, "tree/m/a/b/c/d/f", FILE_MODIFIED | FILE_CLOSED);
        assert_seen(fixture, "tree/m/e/f", FILE_MODIFIED | FILE_CLOSED);
        /* And no longer, once they are outside again. */
        shell(fixture, "mv tree/m outside/m");
        forget(fixture);
        shell(fixture, "echo >> outside/m/e/f");
        drain(fixture);
        assert_int_equal(fixture->n_seen, 0);
}

static void a_tree_deeper_than_descriptors_is_watched(void **state) {
        struct fixture *fixture = *state;
        struct watch_counters counters;
        shell(fixture, "d=outside/m; for i in $(seq 300); do d=$d/x; done; mkdir -p $d; echo > $d/f; "
                       "echo $d > outside/where");
        shell(fixture, "mv outside/m tree/m");
        forget(fixture);
        shell(fixture, "echo >> tree/$(cut -d/ -f2- outside/where)/f");
        drain(fixture);
        assert_true(fixture->n_seen > 0);
        assert_int_equal(fixture->seen[0].what & FILE_MODIFIED, FILE_MODIFIED);
        watch_counters(fixture->watch, &counters);
        assert_true(counters.is_wide);
        assert_int_equal(watch_is_armed(fixture->watch, 7), 1);
}

#define DEEP_LEVELS 40
#define DEEP_NAME   200

/* Makes (or enters) directories below the tree, 201 bytes each, and ends in the last. In a process of its own. */
static void enter_deep(const struct fixture *fixture, bool make) {
        char name[DEEP_NAME + 1];
        memset(name, 'x', DEEP_NAME);
        name[DEEP_NAME] = '\0';
        if (chdir(at(fixture, "tree")) < 0)
                _exit(1);
        for (int i = 0; i < DEEP_LEVELS; i++)
                if ((make && mkdir(name, 0755) < 0) || chdir(name) < 0)
                        _exit(2);
}

static void leave_deep(void) {
        char name[DEEP_NAME + 1];
        memset(name, 'x', DEEP_NAME);
        name[DEEP_NAME] = '\0';
        for (int i = 0; i < DEEP_LEVELS; i++)
                if (chdir("..") < 0 || rmdir(name) < 0)
                        _exit(3);
}

static void do_deep(const struct fixture *fixture, bool make, bool leave) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
                enter_deep(fixture, make);
                int fd = open("f", O_WRONLY | O_CREAT, 0600);
                if (write(fd, "x", 1) != 1)
                        _exit(4);
                close(fd);
                if (leave && unlink("f") == 0)
                        leave_deep();
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* Longer than the kernel takes or gives in one piece, and not known by its creation. */
static void a_path_of_any_length_is_seen(void **state) {
        struct fixture *fixture = *state;
        do_deep(fixture, true, false);
        drain(fixture);
        watch_free(fixture->watch);
        assert_int_equal(watch_new_pending(fixture->group_fd, fixture->pending_fd, &fixture->watch), 0);
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "tree"), 7), 0);
        forget(fixture);
        do_deep(fixture, false, false);
        drain(fixture);
        assert_int_equal(fixture->longest,
                         strlen(at(fixture, "tree")) + (size_t)DEEP_LEVELS * (DEEP_NAME + 1) + strlen("/f"));
        do_deep(fixture, false, true); /* remove(3) of the fixture could not reach it */
        forget(fixture);
}

static void own_changes_are_dropped(void **state) {
        struct fixture *fixture = *state;
        int fd = open(at(fixture, "tree/own"), O_CREAT | O_WRONLY, 0600);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
        drain(fixture);
        assert_int_equal(fixture->n_seen, 0);
}

static void the_watch_is_armed_until_its_tree_is_gone(void **state) {
        struct fixture *fixture = *state;
        assert_int_equal(watch_is_armed(fixture->watch, 7), 1);
        assert_int_equal(watch_is_armed(fixture->watch, 8), -ENOENT);
        shell(fixture, "rmdir tree");
        drain(fixture);
        assert_seen(fixture, "tree", FILE_REMOVED);
        assert_int_equal(watch_is_armed(fixture->watch, 7), 0);
        shell(fixture, "mkdir tree; echo > tree/f");
        drain(fixture);
        assert_seen(fixture, "tree", FILE_CREATED | FILE_DIRECTORY);
        assert_int_equal(watch_is_armed(fixture->watch, 7), 1);
}

static void a_deploy_by_symlink_switch_is_seen(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir -p releases/1 releases/2; ln -s releases/1 current");
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "current"), 8), 0);
        forget(fixture);
        shell(fixture, "echo > releases/1/f");
        drain(fixture);
        assert_seen(fixture, "current/f", FILE_CREATED);
        forget(fixture);
        shell(fixture, "ln -s releases/2 next; mv -T next current");
        drain(fixture);
        assert_seen(fixture, "current", FILE_CREATED | FILE_DIRECTORY);
        forget(fixture);
        shell(fixture, "echo > releases/1/g; echo > releases/2/h");
        drain(fixture);
        assert_seen(fixture, "current/h", FILE_CREATED);
        assert_int_equal(what_at(fixture, "current/g"), 0);
}

static void a_tree_replaced_by_rename_is_seen(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir tree.new; for i in 1 2 3 4 5; do echo > tree.new/$i; done");
        forget(fixture);
        shell(fixture, "mv tree tree.old; mv tree.new tree");
        drain(fixture);
        assert_seen(fixture, "tree", FILE_REMOVED | FILE_CREATED | FILE_DIRECTORY);
        forget(fixture);
        shell(fixture, "echo >> tree/3; echo > tree.old/x");
        drain(fixture);
        assert_seen(fixture, "tree/3", FILE_MODIFIED);
        assert_int_equal(fixture->seen[0].tree, 7);
        assert_int_equal(what_at(fixture, "tree.old/x"), 0);
}

static void a_bind_mount_in_another_namespace_is_seen(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "echo > tree/f");
        forget(fixture);
        shell(fixture, "unshare -m sh -ec 'mount --make-rprivate /; mkdir outside/m; "
                       "mount --bind tree outside/m; echo evil >> outside/m/f; echo > outside/m/new'");
        drain(fixture);
        assert_seen(fixture, "tree/f", FILE_MODIFIED | FILE_CLOSED);
        assert_seen(fixture, "tree/new", FILE_CREATED);
}

static void a_mount_inside_is_reported_and_watched(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir tree/m");
        forget(fixture);
        shell(fixture, "mount -t tmpfs none tree/m");
        drain(fixture);
        assert_seen(fixture, "tree", FILE_MOUNTS);
        struct statfs fs;
        assert_return_code(statfs(at(fixture, "tree/m"), &fs), errno);
        if (!fs.f_fsid.__val[0] && !fs.f_fsid.__val[1]) { /* tmpfs before Linux 5.13 has no identity */
                assert_int_equal(watch_is_armed(fixture->watch, 7), 0);
                shell(fixture, "umount tree/m");
                return;
        }
        forget(fixture);
        shell(fixture, "echo > tree/m/f");
        drain(fixture);
        assert_seen(fixture, "tree/m/f", FILE_CREATED);
        assert_int_equal(watch_is_armed(fixture->watch, 7), 1);
        forget(fixture);
        shell(fixture, "umount tree/m");
        drain(fixture);
        assert_seen(fixture, "tree", FILE_MOUNTS);
        assert_int_equal(watch_is_armed(fixture->watch, 7), 1);
}

static void an_outside_directory_bound_into_the_tree_is_watched(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir tree/m");
        silence_outside(fixture);
        shell(fixture, "mount --bind outside/d tree/m");
        drain(fixture);
        assert_seen(fixture, "tree", FILE_MOUNTS);
        shell(fixture, "echo >> outside/d/1");
        drain(fixture);
        assert_seen(fixture, "tree/m/1", FILE_MODIFIED);
        shell(fixture, "umount tree/m");
}

/* The directory that a bind mount covers has the same path on its file system as the tree has here. */
static void a_path_that_only_looks_guarded_is_not(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir bound covered; echo > covered/f; mkdir other; mount --bind bound covered");
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "covered"), 8), 0);
        forget(fixture);
        shell(fixture, "unshare -m sh -ec 'mount --make-rprivate /; mount --bind . other; "
                       "mkdir other/covered/d; echo > other/covered/d/g; echo > other/covered/h'; echo > "
                       "covered/real");
        drain(fixture);
        assert_seen(fixture, "covered/real", FILE_CREATED);
        assert_int_equal(what_at(fixture, "covered/h"), 0);
        assert_int_equal(what_at(fixture, "covered/d"), 0);
        assert_int_equal(watch_remove_tree(fixture->watch, 8), 0);
        shell(fixture, "umount covered");
}

static void an_absolute_link_in_the_trees_path_is_followed(void **state) {
        struct fixture *fixture = *state;
        shell(fixture, "mkdir -p releases/1/app releases/2/app; ln -s \"$PWD/releases/1\" current");
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "current/app"), 8), 0);
        forget(fixture);
        shell(fixture, "ln -s \"$PWD/releases/2\" next; mv -T next current; echo > releases/2/app/f");
        drain(fixture);
        assert_seen(fixture, "current/app", FILE_CREATED | FILE_DIRECTORY);
        forget(fixture);
        shell(fixture, "echo >> current/app/f");
        drain(fixture);
        assert_seen(fixture, "current/app/f", FILE_MODIFIED);
}

static void a_file_system_without_handles_is_refused(void **state) {
        struct fixture *fixture = *state;
        assert_int_equal(watch_add_tree(fixture->watch, "/proc/self", 9), -EOPNOTSUPP);
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "nothing"), 9), -ENOENT);
        assert_int_equal(watch_add_tree(fixture->watch, "/etc/passwd", 9), -ENOTDIR);
        assert_int_equal(watch_add_tree(fixture->watch, "tree", 9), -EINVAL);
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "outside"), 7), -EEXIST);
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "tree/"), 7), 0);
}

static void kill_oneself(const struct file_event *event, void *userdata) {
        const struct fixture *fixture = userdata;
        if (!strcmp(event->path, at(fixture, "tree/5")))
                raise(SIGKILL);
}

/* The reader dies while it works off an event; the next one finishes those that were read. */
static void what_a_killed_reader_had_read_is_worked_off_by_the_next(void **state) {
        struct fixture *fixture = *state;
        forget(fixture);
        pid_t pid = fork();
        if (pid == 0) {
                struct watch *watch;
                if (watch_new_pending(fixture->group_fd, fixture->pending_fd, &watch) < 0 ||
                    watch_add_tree(watch, at(fixture, "tree"), 7) < 0)
                        _exit(1);
                shell(fixture, "for i in 1 2 3 4 5 6 7 8 9; do echo > tree/$i; done");
                watch_dispatch(watch, kill_oneself, fixture);
                _exit(2);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        watch_free(fixture->watch);
        assert_int_equal(watch_new_pending(fixture->group_fd, fixture->pending_fd, &fixture->watch), 0);
        assert_int_equal(watch_add_tree(fixture->watch, at(fixture, "tree"), 7), 0);
        drain(fixture);
        assert_int_equal(what_at(fixture, "tree/4"), 0);
        for (int i = 5; i <= 9; i++) {
                char name[16];
                snprintf(name, sizeof(name), "tree/%d", i);
                assert_seen(fixture, name, FILE_CREATED | FILE_CLOSED);
        }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_write_is_seen_with_its_pid),
                TEST(names_that_come_and_go_are_seen),
                TEST(attributes_are_seen),
                TEST(a_new_directory_and_its_file_are_seen_at_once),
                TEST(what_happened_in_a_directory_that_is_gone_has_a_path),
                TEST(modify_and_revert_is_seen),
                TEST(a_store_through_a_mapping_is_seen_when_it_ends),
                TEST(a_directory_renamed_inside_changes_the_paths_below),
                TEST(nothing_outside_is_called_back),
                TEST(a_silenced_directory_moved_into_the_tree_is_heard_again),
                TEST(a_file_moved_from_a_silenced_directory_is_seen),
                TEST(a_hard_link_made_before_is_watched),
                TEST(a_hard_link_made_later_is_watched),
                TEST(a_hard_link_made_and_written_at_once_is_seen),
                TEST(a_file_linked_into_the_tree_is_watched),
                TEST(both_names_inside_are_called_back),
                TEST(hard_links_come_and_move_with_their_directory),
                TEST(links_outside_are_forgotten),
                TEST(a_path_that_only_looks_guarded_is_not),
                TEST(an_absolute_link_in_the_trees_path_is_followed),
                TEST(a_descriptor_of_a_removed_hard_link_is_watched),
                TEST(a_nameless_file_linked_into_the_tree_is_watched),
                TEST(a_subtree_moved_in_is_watched_to_its_end),
                TEST(a_tree_deeper_than_descriptors_is_watched),
                TEST(a_path_of_any_length_is_seen),
                TEST(own_changes_are_dropped),
                TEST(the_watch_is_armed_until_its_tree_is_gone),
                TEST(a_deploy_by_symlink_switch_is_seen),
                TEST(a_tree_replaced_by_rename_is_seen),
                TEST(a_bind_mount_in_another_namespace_is_seen),
                TEST(a_mount_inside_is_reported_and_watched),
                TEST(an_outside_directory_bound_into_the_tree_is_watched),
                TEST(a_file_system_without_handles_is_refused),
                TEST(what_a_killed_reader_had_read_is_worked_off_by_the_next),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
