/*
 * Ending real trees of processes. What is to be ended runs a copy of this program, since our own executable is
 * spared, and holds the writing end of a pipe: its end of file says that nobody is left, whatever /proc says.
 * Times are printed, never asserted. Needs root.
 */
#include "respond/stop.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/procfs.h"
#include "respond/hold/spare.h"
#include "sense/processes/table.h"

#define WORKER_FD 99
#define OTHER_UID 61234 /* nobody's; the limits of processes hold for it */
#define N_TREE    500
#define PATIENCE  60000 /* ms */

/* ---- what the copy does; it says a byte for each process that stands ---- */

static void ready(void) {
        if (write(WORKER_FD, "x", 1) != 1)
                _exit(1);
}

static void stand(void) {
        ready();
        for (;;)
                pause();
}

/* Children, grandchildren of parents that have gone, sessions of their own, chains. */
static void be_tree(int n) {
        for (int i = 0; i < n; i++) {
                pid_t pid = fork();
                if (pid > 0) {
                        if (i % 4 == 1)
                                waitpid(pid, NULL, 0);
                        continue;
                }
                if (i % 4 == 1 && fork() > 0)
                        _exit(0);
                if (i % 4 == 2)
                        setsid();
                if (i % 4 == 3)
                        signal(SIGTERM, SIG_IGN);
                stand();
        }
        stand();
}

static void limit(rlim_t n) {
        struct rlimit processes = {n, n};
        if (setrlimit(RLIMIT_NPROC, &processes) < 0 || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
            setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
                _exit(1);
        signal(SIGCHLD, SIG_IGN);
}

/* As many as there may be, each soon replaced by its child, in sessions of their own. */
static void be_bomb(int n) {
        limit((rlim_t)n);
        ready();
        for (unsigned i = 0;; i++) {
                pid_t pid = fork();
                if (pid == 0 && i % 3 == 0)
                        setsid();
                if (pid > 0 && i % 5 == 4)
                        _exit(0);
        }
}

/* One that is never the same for longer than a fork takes. */
static void be_comet(int n) {
        limit((rlim_t)n);
        ready();
        for (;;)
                if (fork() > 0)
                        _exit(0);
}

static void *thread(void *userdata) {
        (void)userdata;
        stand();
        return NULL;
}

/* Threads without their first. */
static void be_threads(int n) {
        for (int i = 0; i < n; i++) {
                pthread_t id;
                if (pthread_create(&id, NULL, thread, NULL) != 0)
                        _exit(1);
        }
        ready();
        pthread_exit(NULL);
}

/* Waits in the kernel (D) for a child that shares its memory; another stands stopped. */
static void be_stuck(int n) {
        (void)n;
        pid_t stopped = fork();
        if (stopped == 0) {
                raise(SIGSTOP);
                stand();
        }
        waitpid(stopped, NULL, WUNTRACED);
        ready();
        if (vfork() == 0)
                stand();
}

/* Wakes whoever is stopped, for as long as it lives. */
static void be_waker(int n) {
        for (int i = 0; i < n; i++) {
                if (fork() == 0) {
                        ready();
                        for (;;)
                                kill(0, SIGCONT);
                }
        }
        stand();
}

/* Ends at once; its child does not. */
static void be_orphan(int n) {
        (void)n;
        if (fork() == 0) {
                setsid();
                stand();
        }
        char byte;
        (void)!read(0, &byte, 1);
        _exit(0);
}

static int be(const char *what, int n) {
        static const struct {
                const char *name;
                void (*run)(int n);
        } modes[] = {{"tree", be_tree},   {"bomb", be_bomb},   {"comet", be_comet},  {"threads", be_threads},
                     {"stuck", be_stuck}, {"waker", be_waker}, {"orphan", be_orphan}};
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
                if (!strcmp(modes[i].name, what))
                        modes[i].run(n);
        return 1;
}

/* ---- the tests' side ---- */

static char folder[] = "/var/tmp/stop-test-XXXXXX";
static char copy[sizeof(folder) + 8];
static struct process_table *table;
static int connector = -1;

struct tree {
        pid_t pid;
        uint64_t start_ns;
        int fd;      /* reads what they say */
        int keep_fd; /* writing end of the root's stdin */
};

static int group_setup(void **state) {
        (void)state;
        if (geteuid() != 0)
                return 0;
        assert_non_null(mkdtemp(folder));
        assert_int_equal(chmod(folder, 0755), 0);
        snprintf(copy, sizeof(copy), "%s/worker", folder);
        char command[128];
        snprintf(command, sizeof(command), "cp /proc/%d/exe %s && chmod 755 %s", (int)getpid(), copy, copy);
        assert_int_equal(system(command), 0);
        connector = process_connector_open();
        return process_table_new(connector >= 0 ? connector : -1, &table);
}

static int group_teardown(void **state) {
        (void)state;
        if (geteuid() != 0)
                return 0;
        process_table_free(table);
        fd_closep(&connector);
        char command[64];
        snprintf(command, sizeof(command), "rm -rf %s", folder);
        return system(command);
}

static void wait_bytes(int fd, int n) {
        char bytes[4096];
        while (n > 0) {
                struct pollfd said = {.fd = fd, .events = POLLIN};
                assert_int_equal(poll(&said, 1, PATIENCE), 1);
                ssize_t size = read(fd, bytes, (size_t)n < sizeof(bytes) ? (size_t)n : sizeof(bytes));
                assert_true(size > 0);
                n -= (int)size;
        }
}

static struct tree start(const char *what, int n, int n_ready) {
        if (geteuid() != 0)
                skip();
        int said[2], keep[2];
        char number[16];
        snprintf(number, sizeof(number), "%d", n);
        assert_int_equal(pipe2(said, O_CLOEXEC), 0);
        assert_int_equal(pipe2(keep, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                dup2(keep[0], 0);
                dup2(said[1], WORKER_FD);
                setpgid(0, 0);
                execl(copy, copy, what, number, NULL);
                _exit(127);
        }
        close(said[1]);
        close(keep[0]);
        struct procfs_stat line;
        assert_int_equal(procfs_stat(pid, &line), 0);
        wait_bytes(said[0], n_ready);
        return (struct tree){pid, line.start_ns, said[0], keep[1]};
}

/* Nobody holds the pipe any more. */
static void nobody_left(struct tree *tree) {
        char byte[4096];
        ssize_t size;
        do {
                struct pollfd said = {.fd = tree->fd, .events = POLLIN};
                assert_int_equal(poll(&said, 1, PATIENCE), 1);
                size = read(tree->fd, byte, sizeof(byte));
        } while (size > 0);
        assert_int_equal(size, 0);
        close(tree->fd);
        close(tree->keep_fd);
        waitpid(tree->pid, NULL, 0);
}

static bool by_lineage(pid_t pid, void *userdata) {
        const struct tree *tree = userdata;
        return process_table_descends(table, pid, tree->pid, tree->start_ns);
}

static bool by_user(pid_t pid, void *userdata) {
        (void)userdata;
        char path[32];
        struct stat st;
        snprintf(path, sizeof(path), "/proc/%d", (int)pid);
        return stat(path, &st) == 0 && st.st_uid == OTHER_UID;
}

static struct stop_result stopped(const char *what, struct tree *tree, bool (*belongs)(pid_t, void *)) {
        struct stop_result result;
        struct stop_request request = {.root = tree->pid,
                                       .start_ns = tree->start_ns,
                                       .belongs = belongs,
                                       .userdata = tree,
                                       .wait_ms = PATIENCE};
        assert_int_equal(stop_tree(&request, &result), 0);
        printf("# %s: %zu killed, frozen after %.2f ms, last gone after %.2f ms, %u looks\n", what,
               result.n_killed, (double)result.frozen_ns / 1e6, (double)result.gone_ns / 1e6, result.n_looks);
        assert_true(result.verified);
        assert_int_equal(result.n_left, 0);
        nobody_left(tree);
        return result;
}

static void five_hundred_whoever_their_parents_are(void **state) {
        (void)state;
        if (connector < 0)
                skip();
        struct tree tree = start("tree", N_TREE, N_TREE + 1);
        struct stop_result result = stopped("500 processes", &tree, by_lineage);
        assert_int_equal(result.n_killed, N_TREE + 1);
}

static void one_process(void **state) {
        (void)state;
        struct tree tree = start("tree", 0, 1);
        assert_int_equal(stopped("one process", &tree, NULL).n_killed, 1);
}

static void fork_bomb(void **state) {
        (void)state;
        struct tree tree = start("bomb", 200, 1);
        usleep(300000);
        assert_true(stopped("fork bomb", &tree, by_user).n_killed > 1);
}

static void who_is_never_the_same(void **state) {
        (void)state;
        struct tree tree = start("comet", 20, 1);
        stopped("one that forks and ends", &tree, by_user);
}

static void threads_without_their_first(void **state) {
        (void)state;
        struct tree tree = start("threads", 50, 51);
        assert_int_equal(stopped("50 threads", &tree, NULL).n_killed, 1);
}

static void in_the_kernel_and_stopped(void **state) {
        (void)state;
        struct tree tree = start("stuck", 0, 2);
        assert_int_equal(stopped("states D and T", &tree, NULL).n_killed, 3);
}

static void who_wake_one_another(void **state) {
        (void)state;
        struct tree tree = start("waker", 8, 9);
        assert_int_equal(stopped("SIGCONT in a loop", &tree, NULL).n_killed, 9);
}

static void the_root_has_ended(void **state) {
        (void)state;
        if (connector < 0)
                skip();
        struct tree tree = start("orphan", 0, 1);
        close(tree.keep_fd);
        assert_int_equal(waitpid(tree.pid, NULL, 0), tree.pid);
        tree.keep_fd = -1;
        assert_int_equal(stopped("root gone", &tree, by_lineage).n_killed, 1);
}

static void end(struct tree *tree) {
        kill(tree->pid, SIGKILL);
        nobody_left(tree);
}

static void another_process_with_that_pid_is_not_touched(void **state) {
        (void)state;
        struct tree tree = start("tree", 0, 1);
        struct stop_result result;
        struct stop_request request = {.root = tree.pid, .start_ns = 1, .wait_ms = PATIENCE};
        assert_int_equal(stop_tree(&request, &result), 0);
        assert_true(result.verified);
        assert_int_equal(result.n_killed, 0);
        assert_true(procfs_is_alive(tree.pid, tree.start_ns));
        end(&tree);
}

static int ask(pid_t pid, bool by_hand) {
        struct stop_result result;
        return stop_tree(&(struct stop_request){.root = pid, .wait_ms = 1000, .by_hand = by_hand}, &result);
}

static void init_and_what_we_were_started_from_are_refused(void **state) {
        (void)state;
        assert_int_equal(ask(1, true), -EPERM);
        assert_int_equal(ask(0, true), -EPERM);
        assert_int_equal(ask(-1, true), -EPERM);
        assert_int_equal(ask(getpid(), true), -EPERM);
        if (getppid() > 1)
                assert_int_equal(ask(getppid(), true), -EPERM);
        pid_t ours = fork(); /* a role of ours */
        if (ours == 0) {
                pause();
                _exit(0);
        }
        assert_int_equal(ask(ours, true), -EPERM);
        assert_true(procfs_is_alive(ours, 0));
        kill(ours, SIGKILL);
        waitpid(ours, NULL, 0);
}

/* A real web server as an init starts it: master and worker, below process 1. Returns the master. */
static pid_t start_nginx(void) {
        static const char text[] =
                "pid %s/nginx.pid; error_log %s/error.log; worker_processes 1; daemon on;\n"
                "events {}\nhttp { access_log off; server { listen unix:%s/socket; } }\n";
        char path[64], command[256], line[32] = "";
        snprintf(path, sizeof(path), "%s/nginx.conf", folder);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fprintf(file, text, folder, folder, folder);
        fclose(file);
        snprintf(command, sizeof(command), "/usr/sbin/nginx -c %s -p %s </dev/null >%s/out 2>&1", path,
                 folder, folder);
        if (access("/usr/sbin/nginx", X_OK) < 0 || system(command) != 0)
                return 0;
        snprintf(path, sizeof(path), "%s/nginx.pid", folder);
        for (int i = 0; i < PATIENCE / 10 && !*line; i++) {
                file = fopen(path, "re");
                if (file && !fgets(line, sizeof(line), file))
                        *line = '\0';
                if (file)
                        fclose(file);
                usleep(10000);
        }
        return (pid_t)strtol(line, NULL, 10);
}

/* 0: it has none (yet). */
static pid_t child_of(pid_t parent) {
        for (int i = 0; i < PATIENCE / 10; i++) {
                char path[64], line[32] = "";
                snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
                FILE *file = fopen(path, "re");
                if (file && !fgets(line, sizeof(line), file))
                        *line = '\0';
                if (file)
                        fclose(file);
                if (*line)
                        return (pid_t)strtol(line, NULL, 10);
                usleep(10000);
        }
        return 0;
}

static void a_server_is_spared_unless_a_person_names_its_worker(void **state) {
        (void)state;
        if (geteuid() != 0)
                skip();
        pid_t master = start_nginx(), worker = master > 1 ? child_of(master) : 0;
        if (worker <= 1) { /* none is installed, or the kernel does not list children */
                if (master > 1)
                        kill(master, SIGTERM);
                skip();
        }
        struct procfs_stat line;
        assert_int_equal(procfs_stat(master, &line), 0);
        if (line.parent != 1) { /* somebody between gathers orphans */
                kill(master, SIGTERM);
                skip();
        }
        uint64_t master_ns, since_ns = 0;
        master_ns = line.start_ns;
        assert_true(spare_serves(worker, &since_ns));
        assert_true(procfs_same_start(since_ns, master_ns));
        assert_int_equal(ask(worker, false), -EPERM);
        assert_int_equal(ask(master, false), -EPERM);
        assert_true(procfs_is_alive(worker, 0));
        assert_int_equal(ask(worker, true), 0);
        assert_true(procfs_is_alive(master, master_ns));

        /* Older than the root: not of its making, though somebody says that it belongs. */
        struct tree tree = start("tree", 1, 2);
        struct tree all = {.pid = master, .start_ns = master_ns};
        struct stop_request request = {.root = tree.pid, .belongs = by_lineage, .userdata = &all};
        struct stop_result result;
        assert_int_equal(stop_tree(&request, &result), 0);
        assert_true(result.verified);
        assert_int_equal(result.n_killed, 2);
        assert_true(result.n_spared >= 1);
        assert_true(procfs_is_alive(master, master_ns));
        nobody_left(&tree);

        /* Younger: the tree's own. */
        tree = start("tree", 0, 1);
        request.root = tree.pid;
        kill(master, SIGTERM);
        while (procfs_is_alive(master, master_ns))
                usleep(1000);
        usleep(100000);
        all.pid = start_nginx();
        assert_int_equal(procfs_stat(all.pid, &line), 0);
        all.start_ns = line.start_ns;
        assert_int_equal(stop_tree(&request, &result), 0);
        assert_true(result.verified);
        assert_false(procfs_is_alive(all.pid, all.start_ns));
        nobody_left(&tree);
}

int main(int argc, char **argv) {
        if (argc == 3)
                return be(argv[1], atoi(argv[2]));
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_process),
                cmocka_unit_test(five_hundred_whoever_their_parents_are),
                cmocka_unit_test(fork_bomb),
                cmocka_unit_test(who_is_never_the_same),
                cmocka_unit_test(threads_without_their_first),
                cmocka_unit_test(in_the_kernel_and_stopped),
                cmocka_unit_test(who_wake_one_another),
                cmocka_unit_test(the_root_has_ended),
                cmocka_unit_test(another_process_with_that_pid_is_not_touched),
                cmocka_unit_test(init_and_what_we_were_started_from_are_refused),
                cmocka_unit_test(a_server_is_spared_unless_a_person_names_its_worker),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
