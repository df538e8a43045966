/*
 * The gate against the running kernel: a write is denied before it happens, a read is not held up,
 * and nobody waits for ever, whoever is killed. Needs root; works in a temporary directory.
 */
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "sense/files/gate.h"
#include "sense/files/watch.h"

struct fixture {
        char base[64];
        int group_fd;
        int pending_fd;
        struct gate *gate;
        bool allow;
        bool is_stuck;
        unsigned n_asked;
        pid_t pid;
        bool is_create, is_certain, has_path;
        char path[PATH_MAX];
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)st;
        (void)type;
        (void)ftw;
        return remove(path);
}

static const char *at(const struct fixture *fixture, const char *name) {
        static char paths[8][PATH_MAX];
        static unsigned next;
        char *path = paths[next++ % 8];
        snprintf(path, PATH_MAX, "%s/%s", fixture->base, name);
        return path;
}

static bool decide(const struct gate_request *request, void *userdata) {
        struct fixture *fixture = userdata;
        fixture->pid = request->pid;
        fixture->is_create = request->is_create;
        fixture->is_certain = request->is_certain;
        fixture->has_path = request->path;
        snprintf(fixture->path, sizeof(fixture->path), "%s", request->path ? request->path : "");
        __atomic_add_fetch(&fixture->n_asked, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&fixture->is_stuck, __ATOMIC_SEQ_CST))
                usleep(1000);
        return fixture->allow;
}

static void put_file(const char *path, const char *content) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
        close(fd);
}

static int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        snprintf(fixture->base, sizeof(fixture->base), "%s/gate-XXXXXX",
                 getenv("WATCH_TEST_DIRECTORY") ?: "/var/tmp");
        assert_non_null(mkdtemp(fixture->base));
        assert_return_code(mkdir(at(fixture, "tree"), 0755), errno);
        assert_return_code(mkdir(at(fixture, "tree/sub"), 0755), errno);
        put_file(at(fixture, "tree/sub/f"), "good");
        fixture->group_fd = gate_group_open();
        assert_true(fixture->group_fd >= 0);
        fixture->pending_fd = watch_pending_open();
        assert_int_equal(gate_new(fixture->group_fd, fixture->pending_fd, decide, fixture, &fixture->gate),
                         0);
        assert_int_equal(gate_add_tree(fixture->gate, at(fixture, "tree"), 3), 0);
        gate_start(fixture->gate);
        *state = fixture;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;
        fixture->is_stuck = false;
        gate_free(fixture->gate);
        close(fixture->group_fd);
        close(fixture->pending_fd);
        nftw(fixture->base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(fixture);
        return 0;
}

/* Opens in another process; its errno, 0 when it could. */
static int open_elsewhere(const char *path, int flags) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
                int fd = open(path, flags, 0644);
                _exit(fd < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void assert_content(const char *path, const char *content) {
        char text[64];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[n < 0 ? 0 : n] = '\0';
        assert_string_equal(text, content);
}

static void a_write_is_denied_and_a_read_is_not(void **state) {
        struct fixture *fixture = *state;
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_RDONLY), 0);
        assert_int_equal(fixture->n_asked, 0);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_WRONLY | O_APPEND), EPERM);
        assert_string_equal(fixture->path, at(fixture, "tree/sub/f"));
        assert_true(fixture->is_certain);
        assert_false(fixture->is_create);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_RDWR), EPERM);
}

/* Of many reads none is taken for a write, whatever the moment in which the opener is caught. */
static void no_read_is_ever_denied(void **state) {
        struct fixture *fixture = *state;
        int status;
        pid_t pids[4];
        for (int i = 0; i < 4; i++) {
                pids[i] = fork();
                for (int k = 0; pids[i] == 0 && k < 5000; k++) {
                        int fd = open(at(fixture, "tree/sub/f"), O_RDONLY);
                        if (fd < 0)
                                _exit(errno);
                        close(fd);
                }
                if (pids[i] == 0)
                        _exit(0);
        }
        for (int i = 0; i < 4; i++) {
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_int_equal(status, 0);
        }
        assert_int_equal(fixture->n_asked, 0);
}

static void truncation_is_denied_before_it_happens(void **state) {
        struct fixture *fixture = *state;
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_RDONLY | O_TRUNC), EPERM);
        assert_content(at(fixture, "tree/sub/f"), "good");
}

static void a_new_file_is_denied_and_said_to_be_left_over(void **state) {
        struct fixture *fixture = *state;
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/new"), O_WRONLY | O_CREAT), EPERM);
        assert_true(fixture->is_create);
        assert_content(at(fixture, "tree/sub/new"), "");
}

static void what_the_policy_allows_is_written(void **state) {
        struct fixture *fixture = *state;
        fixture->allow = true;
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_WRONLY | O_TRUNC), 0);
        assert_content(at(fixture, "tree/sub/f"), "");
        assert_int_equal(fixture->n_asked, 1);
}

static void a_read_claimed_by_openat2_is_asked_about(void **state) {
        struct fixture *fixture = *state;
        int status;
        pid_t pid = fork();
        if (pid == 0) {
                struct open_how how = {.flags = O_RDONLY};
                long fd = syscall(SYS_openat2, AT_FDCWD, at(fixture, "tree/sub/f"), &how, sizeof(how));
                _exit(fd < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), EPERM);
        assert_int_equal(fixture->pid, pid);
        assert_false(fixture->is_certain);
}

static void own_writes_are_not_asked_about(void **state) {
        struct fixture *fixture = *state;
        put_file(at(fixture, "tree/sub/f"), "restored");
        assert_int_equal(fixture->n_asked, 0);
        assert_content(at(fixture, "tree/sub/f"), "restored");
}

static void a_new_directory_is_gated_once_it_is_added(void **state) {
        struct fixture *fixture = *state;
        assert_return_code(mkdir(at(fixture, "tree/new"), 0755), errno);
        put_file(at(fixture, "tree/new/f"), "x");
        assert_int_equal(gate_add_directory(fixture->gate, at(fixture, "tree/new")), 0);
        assert_int_equal(open_elsewhere(at(fixture, "tree/new/f"), O_WRONLY), EPERM);
}

static void a_hard_link_outside_is_gated_once_its_file_is_added(void **state) {
        struct fixture *fixture = *state;
        assert_return_code(link(at(fixture, "tree/sub/f"), at(fixture, "outside")), errno);
        assert_int_equal(gate_add_file(fixture->gate, at(fixture, "tree/sub/f")), 0);
        assert_int_equal(open_elsewhere(at(fixture, "outside"), O_RDONLY), 0);
        assert_int_equal(open_elsewhere(at(fixture, "outside"), O_WRONLY), EPERM);
        assert_string_equal(fixture->path, at(fixture, "tree/sub/f"));
}

/* Until the process waits in its open(), or has ended. */
static void await_open(pid_t pid) {
        char path[64], text[64];
        siginfo_t info;
        snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
        for (;;) {
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
                close(fd);
                text[n > 0 ? n : 0] = '\0';
                info.si_pid = 0;
                waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
                if (strstr(text, "fanotify") || info.si_pid)
                        break;
                usleep(1000);
        }
        usleep(50000); /* the gate has read it */
}

static void a_write_waits_until_the_gate_knows_its_trees(void **state) {
        struct fixture *fixture = *state;
        int status;
        gate_free(fixture->gate);
        assert_int_equal(gate_new(fixture->group_fd, fixture->pending_fd, decide, fixture, &fixture->gate),
                         0);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_RDONLY), 0);
        pid_t pid = fork();
        if (pid == 0) {
                int fd = open(at(fixture, "tree/sub/f"), O_WRONLY);
                _exit(fd < 0 ? errno : 0);
        }
        await_open(pid);
        assert_int_equal(gate_add_tree(fixture->gate, at(fixture, "tree"), 3), 0);
        gate_start(fixture->gate);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), EPERM);
}

static void a_tree_behind_a_switched_link_is_gated_anew(void **state) {
        struct fixture *fixture = *state;
        assert_return_code(mkdir(at(fixture, "second"), 0755), errno);
        put_file(at(fixture, "second/f"), "x");
        assert_return_code(symlink("tree", at(fixture, "current")), errno);
        assert_int_equal(gate_add_tree(fixture->gate, at(fixture, "current"), 4), 0);
        assert_return_code(symlink("second", at(fixture, "next")), errno);
        assert_return_code(rename(at(fixture, "next"), at(fixture, "current")), errno);
        assert_int_equal(gate_add_directory(fixture->gate, at(fixture, "current")), 0);
        assert_int_equal(open_elsewhere(at(fixture, "second/f"), O_WRONLY), EPERM);
        assert_string_equal(fixture->path, at(fixture, "current/f"));
}

static void a_removed_tree_is_open_again(void **state) {
        struct fixture *fixture = *state;
        assert_int_equal(gate_is_armed(fixture->gate, 3), 1);
        assert_int_equal(gate_remove_tree(fixture->gate, 3), 0);
        assert_int_equal(gate_is_armed(fixture->gate, 3), 0);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_WRONLY), 0);
}

static void a_stuck_policy_holds_nobody_up(void **state) {
        struct fixture *fixture = *state;
        struct gate_counters counters;
        fixture->allow = true;
        __atomic_store_n(&fixture->is_stuck, true, __ATOMIC_SEQ_CST);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_WRONLY), EPERM);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_WRONLY), EPERM);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_RDONLY), 0);
        gate_counters(fixture->gate, &counters);
        assert_int_equal(counters.n_late, 2);
        __atomic_store_n(&fixture->is_stuck, false, __ATOMIC_SEQ_CST);
        while (open_elsewhere(at(fixture, "tree/sub/f"), O_WRONLY) != 0)
                usleep(1000);
}

/* In a process of its own: a gate whose policy kills the process that it runs in. */
static bool kill_oneself(const struct gate_request *request, void *userdata) {
        (void)request;
        (void)userdata;
        raise(SIGKILL);
        return true;
}

/* The reader dies in the middle of a decision; returns the process that waits in its open(). */
static pid_t start_orphan(struct fixture *fixture) {
        struct gate *gate = fixture->gate;
        int status, tell[2];
        fixture->gate = gate_free(gate);
        assert_return_code(pipe2(tell, O_CLOEXEC), errno);
        pid_t guard = fork();
        if (guard == 0) {
                if (gate_new(fixture->group_fd, fixture->pending_fd, kill_oneself, NULL, &gate) < 0 ||
                    gate_add_tree(gate, at(fixture, "tree"), 3) < 0)
                        _exit(1);
                gate_start(gate);
                _exit(write(tell[1], "", 1) == 1 ? (pause(), 2) : 3);
        }
        char byte;
        assert_int_equal(read(tell[0], &byte, 1), 1);
        close(tell[0]);
        close(tell[1]);
        pid_t writer = fork();
        if (writer == 0) {
                close(fixture->group_fd); /* or it would wait for itself */
                int fd = open(at(fixture, "tree/sub/f"), O_WRONLY);
                _exit(fd < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(guard, &status, 0), guard);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(waitpid(writer, &status, WNOHANG), 0);
        return writer;
}

static void a_killed_gates_questions_are_answered_by_its_successor(void **state) {
        struct fixture *fixture = *state;
        struct gate_counters counters;
        int status;
        pid_t writer = start_orphan(fixture);
        assert_int_equal(gate_new(fixture->group_fd, fixture->pending_fd, decide, fixture, &fixture->gate),
                         0);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_int_equal(WEXITSTATUS(status), EPERM);
        assert_int_equal(fixture->pid, writer);
        assert_false(fixture->has_path);
        gate_counters(fixture->gate, &counters);
        assert_int_equal(counters.n_inherited, 1);
}

static void without_a_successor_the_kernel_lets_go(void **state) {
        struct fixture *fixture = *state;
        int status;
        pid_t writer = start_orphan(fixture);
        close(fixture->group_fd);
        fixture->group_fd = -1;
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void one_who_waits_can_be_killed(void **state) {
        struct fixture *fixture = *state;
        int status;
        pid_t writer = start_orphan(fixture);
        assert_return_code(kill(writer, SIGKILL), errno);
        assert_int_equal(waitpid(writer, &status, 0), writer);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(gate_new(fixture->group_fd, fixture->pending_fd, decide, fixture, &fixture->gate),
                         0);
        assert_int_equal(open_elsewhere(at(fixture, "tree/sub/f"), O_RDONLY), 0);
        assert_content(at(fixture, "tree/sub/f"), "good");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_write_is_denied_and_a_read_is_not),
                TEST(no_read_is_ever_denied),
                TEST(truncation_is_denied_before_it_happens),
                TEST(a_new_file_is_denied_and_said_to_be_left_over),
                TEST(what_the_policy_allows_is_written),
                TEST(a_read_claimed_by_openat2_is_asked_about),
                TEST(own_writes_are_not_asked_about),
                TEST(a_new_directory_is_gated_once_it_is_added),
                TEST(a_hard_link_outside_is_gated_once_its_file_is_added),
                TEST(a_write_waits_until_the_gate_knows_its_trees),
                TEST(a_tree_behind_a_switched_link_is_gated_anew),
                TEST(a_removed_tree_is_open_again),
                TEST(a_stuck_policy_holds_nobody_up),
                TEST(a_killed_gates_questions_are_answered_by_its_successor),
                TEST(without_a_successor_the_kernel_lets_go),
                TEST(one_who_waits_can_be_killed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
