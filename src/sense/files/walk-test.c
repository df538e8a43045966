#include "sense/files/walk.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"

/* A scratch tree, current directory meanwhile. */
static int scratch_new(void **state) {
        static char path[64];
        snprintf(path, sizeof(path), "/tmp/walk-test-XXXXXX");
        *state = mkdtemp(path);
        return *state ? chdir(path) : -1;
}

static int scratch_free(void **state) {
        char command[128];
        snprintf(command, sizeof(command), "rm -rf -- '%s'", (char *)*state);
        return chdir("/") || system(command);
}

static void make_file(const char *path, const char *content) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), strlen(content));
        close(fd);
}

/* Everything that a walk saw, one path a line (NUL-ended), directories with their own call marked '>'. */
struct seen {
        pthread_mutex_t mutex;
        struct buffer paths;
        size_t n_entries, n_directories, n_failed;
        int error;
        const char *avoid;
        int stop;
};

static int note(const struct walk_directory *directory, void *userdata) {
        struct seen *seen = userdata;
        pthread_mutex_lock(&seen->mutex);
        seen->n_directories++;
        seen->n_entries += directory->n_entries;
        for (size_t i = 0; i < directory->n_entries; i++) {
                if (i)
                        assert_true(strcmp(directory->entries[i - 1].name, directory->entries[i].name) < 0);
                buffer_append_string(&seen->paths, directory->path);
                buffer_append(&seen->paths, "/", 1);
                buffer_append(&seen->paths, directory->entries[i].name,
                              strlen(directory->entries[i].name) + 1);
        }
        pthread_mutex_unlock(&seen->mutex);
        return seen->stop;
}

static bool avoid(const char *path, void *userdata) {
        struct seen *seen = userdata;
        return !seen->avoid || strcmp(path, seen->avoid);
}

static int note_failed(const char *path, int error, void *userdata) {
        struct seen *seen = userdata;
        (void)path;
        pthread_mutex_lock(&seen->mutex);
        seen->n_failed++;
        seen->error = error;
        pthread_mutex_unlock(&seen->mutex);
        return 0;
}

static int walk(struct seen *seen, unsigned n_threads) {
        const struct walk_callbacks callbacks = {
                .enter = avoid,
                .directory = note,
                .failed = note_failed,
                .userdata = seen,
        };
        return walk_tree(".", n_threads, &callbacks);
}

static bool saw(const struct seen *seen, const char *path) {
        for (size_t i = 0; i < seen->paths.size; i += strlen(seen->paths.data + i) + 1)
                if (!strcmp(seen->paths.data + i, path))
                        return true;
        return false;
}

static void every_entry_is_seen_once(void **state) {
        (void)state;
        for (int i = 0; i < 20; i++) {
                char path[64];
                snprintf(path, sizeof(path), "d%d", i);
                mkdir(path, 0755);
                for (int j = 0; j < 20; j++) {
                        snprintf(path, sizeof(path), "d%d/f%d", i, j);
                        make_file(path, "x");
                }
        }
        for (unsigned n_threads = 1; n_threads <= 4; n_threads++) {
                struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
                assert_int_equal(walk(&seen, n_threads), 0);
                assert_int_equal(seen.n_entries, 20 + 400);
                assert_int_equal(seen.n_directories, 21);
                assert_true(saw(&seen, "d7/f13"));
                assert_true(saw(&seen, "/d7"));
                buffer_deinit(&seen.paths);
        }
}

static void any_bytes_are_a_name(void **state) {
        (void)state;
        char name[NAME_MAX + 1];
        memset(name, 'n', NAME_MAX);
        name[NAME_MAX] = '\0';
        make_file(name, "");
        make_file("line\nfeed", "");
        make_file("\xff\xfe\x1b[31m", "");
        struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        assert_int_equal(walk(&seen, 2), 0);
        assert_int_equal(seen.n_entries, 3);
        assert_true(saw(&seen, "/line\nfeed"));
        assert_true(saw(&seen, "/\xff\xfe\x1b[31m"));
        buffer_deinit(&seen.paths);
}

static void no_path_is_too_long(void **state) {
        (void)state;
        char name[NAME_MAX + 1];
        memset(name, 'd', NAME_MAX);
        name[NAME_MAX] = '\0';
        int at = open(".", O_RDONLY | O_DIRECTORY);
        for (int depth = 0; depth < 40; depth++) { /* 10,000 bytes */
                assert_int_equal(mkdirat(at, name, 0755), 0);
                int next = openat(at, name, O_RDONLY | O_DIRECTORY);
                close(at);
                at = next;
        }
        int fd = openat(at, "last", O_WRONLY | O_CREAT, 0600);
        close(fd);
        close(at);

        struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        assert_int_equal(walk(&seen, 2), 0);
        assert_int_equal(seen.n_entries, 41);
        assert_int_equal(seen.n_failed, 0);
        buffer_deinit(&seen.paths);
}

static void links_are_read_and_not_followed(void **state) {
        (void)state;
        mkdir("real", 0755);
        make_file("real/inside", "");
        assert_int_equal(symlink("real", "to-directory"), 0);
        assert_int_equal(symlink(".", "loop"), 0);
        struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        assert_int_equal(walk(&seen, 2), 0);
        assert_int_equal(seen.n_entries, 4);
        buffer_deinit(&seen.paths);

        struct node node;
        assert_int_equal(node_stat(AT_FDCWD, "to-directory", &node), 0);
        assert_true(S_ISLNK(node.mode));
        assert_string_equal(node.link_target, "real");
        node_deinit(&node);
}

static void pipes_are_not_opened(void **state) {
        (void)state;
        assert_int_equal(mkfifo("pipe", 0600), 0);
        struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        assert_int_equal(walk(&seen, 2), 0); /* would wait for a writer */
        assert_true(saw(&seen, "/pipe"));
        buffer_deinit(&seen.paths);
}

static void what_is_not_entered_is_still_named(void **state) {
        (void)state;
        mkdir("skip", 0755);
        mkdir("skip/below", 0755);
        make_file("skip/file", "");
        struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER, .avoid = "skip"};
        assert_int_equal(walk(&seen, 2), 0);
        assert_int_equal(seen.n_entries, 1);
        assert_true(saw(&seen, "/skip"));
        buffer_deinit(&seen.paths);
}

static void an_error_ends_the_walk(void **state) {
        (void)state;
        mkdir("a", 0755);
        mkdir("a/b", 0755);
        struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER, .stop = -EBADMSG};
        assert_int_equal(walk(&seen, 1), -EBADMSG);
        assert_in_range(seen.n_directories, 1, 2); /* one may be under way already */
        assert_int_equal(walk(&seen, 3), -EBADMSG);
        buffer_deinit(&seen.paths);
        const struct walk_callbacks callbacks = {.directory = note, .userdata = &seen};
        assert_int_equal(walk_tree("missing", 1, &callbacks), -ENOENT);
}

static void unreadable_directories_are_reported(void **state) {
        (void)state;
        if (geteuid() == 0)
                skip(); /* root reads everything */
        mkdir("locked", 0000);
        make_file("open", "");
        struct seen seen = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        assert_int_equal(walk(&seen, 2), 0);
        assert_int_equal(seen.n_failed, 1);
        assert_int_equal(seen.error, EACCES);
        assert_int_equal(seen.n_entries, 2);
        buffer_deinit(&seen.paths);
}

enum { N_SHARED = 5000 };
static atomic_int shared[N_SHARED];

static int do_share(size_t i, unsigned thread, void *userdata) {
        (void)thread;
        shared[i]++;
        return i == 4321 ? *(int *)userdata : 0;
}

static int share(const struct walk_directory *directory, void *userdata) {
        return *directory->path ? 0 : walk_share(directory, N_SHARED, do_share, userdata);
}

static void shared_work_is_done_once_and_its_error_kept(void **state) {
        (void)state;
        for (int i = 0; i < 20; i++) {
                char path[64];
                snprintf(path, sizeof(path), "d%d", i);
                mkdir(path, 0755);
        }
        int result = 0;
        const struct walk_callbacks callbacks = {.directory = share, .userdata = &result};
        assert_int_equal(walk_tree(".", 4, &callbacks), 0);
        for (size_t i = 0; i < N_SHARED; i++)
                assert_int_equal(shared[i], 1);
        result = -EIO;
        assert_int_equal(walk_tree(".", 4, &callbacks), -EIO);
}

static void opening_stays_beneath(void **state) {
        (void)state;
        mkdir("in", 0755);
        make_file("in/file", "");
        assert_int_equal(symlink("in", "link"), 0);
        assert_int_equal(symlink("/etc", "out"), 0);
        int root = open(".", O_PATH | O_DIRECTORY);
        int fd = walk_open(root, "in/file", O_RDONLY);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(walk_open(root, "link/file", O_RDONLY), -ELOOP);
        assert_int_equal(walk_open(root, "out/passwd", O_RDONLY), -ELOOP);
        assert_int_equal(walk_open(root, "../etc", O_RDONLY), -EXDEV);
        assert_int_equal(walk_open(root, "/etc", O_RDONLY), -EXDEV);
        close(root);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_new, scratch_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_SCRATCH(every_entry_is_seen_once),
                WITH_SCRATCH(any_bytes_are_a_name),
                WITH_SCRATCH(no_path_is_too_long),
                WITH_SCRATCH(links_are_read_and_not_followed),
                WITH_SCRATCH(pipes_are_not_opened),
                WITH_SCRATCH(what_is_not_entered_is_still_named),
                WITH_SCRATCH(an_error_ends_the_walk),
                WITH_SCRATCH(unreadable_directories_are_reported),
                WITH_SCRATCH(shared_work_is_done_once_and_its_error_kept),
                WITH_SCRATCH(opening_stays_beneath),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
