/*
 * The process table against the running kernel: who did it, also when it is gone. Needs root.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "sense/processes/proc.h"
#include "sense/processes/table.h"

struct fixture {
        int connector_fd;
        struct process_table *table;
};

static int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        fixture->connector_fd = process_connector_open();
        assert_true(fixture->connector_fd >= 0);
        assert_int_equal(process_table_new(fixture->connector_fd, &fixture->table), 0);
        *state = fixture;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;
        process_table_free(fixture->table);
        close(fixture->connector_fd);
        free(fixture);
        return 0;
}

/* Runs a command to its end. */
static pid_t run(const char *const *arguments) {
        pid_t pid = fork();
        if (pid == 0) {
                execvp(arguments[0], (char *const *)arguments);
                _exit(127);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        return pid;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void an_ended_process_has_name_and_ancestors(void **state) {
        struct fixture *fixture = *state;
        pid_t pid = RUN("sh", "-c", "sleep 0.05; exit 0", "a marker");
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(fixture->table, pid);
        assert_non_null(actor);
        assert_true(actor->n_processes >= 2);
        assert_int_equal(actor->processes[0].pid, pid);
        assert_string_equal(actor->processes[0].command_line, "sh -c sleep 0.05; exit 0 a marker");
        assert_non_null(strstr(actor->processes[0].executable, "/dash"));
        assert_string_equal(actor->processes[0].user, "root");
        assert_true(actor->processes[0].start_ns > 0);
        assert_int_equal(actor->processes[1].pid, getpid());
        assert_int_equal(actor->processes[1].start_ns, proc_start_ns(getpid()));
        assert_int_equal(actor->processes[actor->n_processes - 1].pid, 1);
}

/* Forks a grandchild whose parent ends at once; the grandchild's pid comes through a pipe. */
static void a_true_parent_is_kept_after_it_ended(void **state) {
        struct fixture *fixture = *state;
        char text[32] = {0};
        FILE *pipe = popen("sh -c 'sh -c \"sleep 0.3; true\" >/dev/null & echo $!; sleep 0.05; exit 0'", "r");
        assert_non_null(fgets(text, sizeof(text), pipe));
        pclose(pipe);
        pid_t pid = (pid_t)atoi(text);
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(fixture->table, pid);
        /* Its parent did not wait for its exec. */
        for (int i = 0; i < 200 && strcmp(actor->processes[0].command_line ?: "", "sh -c sleep 0.3; true");
             i++) {
                usleep(1000);
                actor_free(actor);
                actor = process_table_actor(fixture->table, pid);
        }
        assert_true(actor->n_processes >= 4);
        assert_string_equal(actor->processes[0].command_line, "sh -c sleep 0.3; true");
        assert_non_null(strstr(actor->processes[1].command_line, "exit 0"));
        assert_true(process_table_descends(fixture->table, pid, getpid(), proc_start_ns(getpid())));
        assert_false(
                process_table_descends(fixture->table, pid, getpid(), proc_start_ns(getpid()) + 1000000000));
        assert_false(process_table_descends(fixture->table, getpid(), pid,
                                            process_table_start_ns(fixture->table, pid)));
}

static void a_change_of_user_is_followed(void **state) {
        struct fixture *fixture = *state;
        pid_t pid = fork();
        if (pid == 0)
                _exit(setuid(1) < 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(fixture->table, pid);
        for (int i = 0; i < 1000 && actor->processes[0].uid != 1; i++) {
                usleep(1000);
                actor_free(actor);
                actor = process_table_actor(fixture->table, pid);
        }
        assert_int_equal(actor->processes[0].uid, 1);
        assert_string_equal(actor->processes[0].user, "daemon");
        assert_int_equal(actor->processes[1].uid, 0);
}

static void a_successor_names_what_its_predecessor_saw(void **state) {
        (void)state;
        _cleanup_(fd_closep) int kept_fd = process_table_kept_open();
        _cleanup_(fd_closep) int connector_fd = process_connector_open();
        struct process_table *first = NULL;
        assert_int_equal(process_table_new_kept(connector_fd, kept_fd, &first), 0);
        pid_t pid = RUN("sh", "-c", "sleep 0.05; exit 0", "a marker");
        uint64_t start_ns = process_table_start_ns(first, pid);
        process_table_free(first);

        _cleanup_(process_table_freep) struct process_table *second = NULL;
        assert_int_equal(process_table_new_kept(connector_fd, kept_fd, &second), 0);
        _cleanup_(actor_freep) struct actor *actor = process_table_actor_since(second, pid, start_ns);
        assert_non_null(actor);
        assert_string_equal(actor->processes[0].command_line, "sh -c sleep 0.05; exit 0 a marker");
        assert_int_equal(actor->processes[1].pid, getpid());
        assert_null(process_table_actor_since(second, pid, start_ns + UINT64_C(5000000000)));
}

/* Static where it is used: the table's thread may call back until tear_down() has joined it. */
struct heard {
        pthread_mutex_t lock; /* a callback waits for it: who holds it holds the table's thread up */
        unsigned n_true, n_exits;
};

static void hear_exec(const struct actor *actor, void *userdata) {
        struct heard *heard = userdata;
        const char *command = actor->processes[0].command_line;
        pthread_mutex_lock(&heard->lock);
        heard->n_true += command && !strcmp(command, "true now");
        pthread_mutex_unlock(&heard->lock);
}

static void hear_exit(pid_t pid, uint64_t start_ns, void *userdata) {
        struct heard *heard = userdata;
        (void)pid;
        (void)start_ns;
        pthread_mutex_lock(&heard->lock);
        heard->n_exits++;
        pthread_mutex_unlock(&heard->lock);
}

static void exec_and_exit_are_called_back(void **state) {
        struct fixture *fixture = *state;
        static struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
        bool complete = false;
        process_table_on_exec(fixture->table, hear_exec, &heard);
        process_table_on_exit(fixture->table, hear_exit, &heard);
        for (int i = 0; i < 20; i++)
                RUN("sh", "-c", "exec true now");
        for (int i = 0; i < 1000 && !complete; i++) {
                usleep(5000);
                pthread_mutex_lock(&heard.lock);
                complete = heard.n_true > 0 && heard.n_exits >= 20;
                pthread_mutex_unlock(&heard.lock);
        }
        assert_true(complete);
}

static void lost_events_are_followed_by_a_reading_of_proc(void **state) {
        struct fixture *fixture = *state;
        struct process_counters counters = {.n_lost = 0};
        static struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
        static const int smallest = 1;
        setsockopt(fixture->connector_fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest));
        process_table_on_exit(fixture->table, hear_exit, &heard);
        pthread_mutex_lock(&heard.lock);
        for (int i = 0; i < 50; i++)
                RUN("true");
        pthread_mutex_unlock(&heard.lock);
        for (int i = 0; i < 400 && !counters.n_lost; i++) {
                usleep(5000);
                process_table_counters(fixture->table, &counters);
        }
        assert_true(counters.n_lost > 0);
        pid_t pid = fork();
        if (pid == 0) {
                execlp("sleep", "sleep", "5", NULL);
                _exit(127);
        }
        usleep(100000);
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(fixture->table, pid);
        assert_string_equal(actor->processes[0].command_line, "sleep 5");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

/* Many end at once, and the socket holds few of the events: those that were lost are found out. */
static void exits_that_were_lost_are_called_back(void **state) {
        enum { N = 200 };
        struct fixture *fixture = *state;
        static struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
        static const int smallest = 1;
        struct process_counters counters;
        pid_t group = 0;
        for (int i = 0; i < N; i++) {
                pid_t pid = fork();
                if (pid == 0) {
                        setpgid(0, group);
                        pause();
                        _exit(0);
                }
                setpgid(pid, group);
                group = group ? group : pid;
                assert_true(process_table_start_ns(fixture->table, pid) > 0);
        }
        process_table_on_exit(fixture->table, hear_exit, &heard);
        setsockopt(fixture->connector_fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest));
        pthread_mutex_lock(&heard.lock);
        kill(-group, SIGKILL);
        for (int i = 0; i < N; i++)
                waitpid(-group, NULL, 0);
        pthread_mutex_unlock(&heard.lock);
        unsigned n_exits = 0;
        for (int i = 0; i < 400 && n_exits < N; i++) {
                usleep(5000);
                process_table_start_ns(fixture->table, getpid());
                pthread_mutex_lock(&heard.lock);
                n_exits = heard.n_exits;
                pthread_mutex_unlock(&heard.lock);
        }
        process_table_counters(fixture->table, &counters);
        assert_true(counters.n_lost > 0);
        assert_true(n_exits >= N);
}

static void without_connector_proc_answers(void **state) {
        (void)state;
        _cleanup_(process_table_freep) struct process_table *table = NULL;
        struct process_counters counters;
        assert_int_equal(process_table_new(-1, &table), 0);
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(table, getpid());
        assert_int_equal(actor->processes[0].pid, getpid());
        assert_int_equal(actor->processes[1].pid, getppid());
        process_table_counters(table, &counters);
        assert_false(counters.has_connector);
        _cleanup_(actor_freep) struct actor *nobody = process_table_actor(table, 4194304);
        assert_int_equal(nobody->n_processes, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(an_ended_process_has_name_and_ancestors),
                TEST(a_true_parent_is_kept_after_it_ended),
                TEST(a_change_of_user_is_followed),
                TEST(exec_and_exit_are_called_back),
                TEST(lost_events_are_followed_by_a_reading_of_proc),
                TEST(exits_that_were_lost_are_called_back),
                cmocka_unit_test(without_connector_proc_answers),
                cmocka_unit_test(a_successor_names_what_its_predecessor_saw),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
