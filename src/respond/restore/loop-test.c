#include "respond/restore/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define T(s) ((uint64_t)(s)*NS_PER_S)

static pid_t dead;

static bool is_alive(pid_t pid, uint64_t start_ns, void *userdata) {
        (void)start_ns;
        (void)userdata;
        return pid != dead;
}

/* A lineage as pid, start second and executable, the actor first. */
struct row {
        pid_t pid;
        unsigned start_s;
        const char *executable;
};

static struct actor *lineage(const struct row *rows, size_t n) {
        struct actor *actor = actor_new();
        for (size_t i = 0; i < n; i++)
                actor->processes[i] = (struct process){
                        .pid = rows[i].pid,
                        .start_ns = T(rows[i].start_s),
                        .executable = rows[i].executable ? strdup(rows[i].executable) : NULL,
                };
        actor->n_processes = n;
        return actor;
}

static int setup(void **state) {
        dead = -1;
        struct loop *loop;
        assert_int_equal(loop_new(&(struct loop_options){0}, is_alive, NULL, &loop), 0);
        *state = loop;
        return 0;
}

static int teardown(void **state) {
        loop_free(*state);
        return 0;
}

static enum loop_verdict note(struct loop *loop, const char *path, const struct row *rows, size_t n,
                              unsigned at_s, struct loop_choice *choice) {
        _cleanup_(actor_freep) struct actor *actor = lineage(rows, n);
        return loop_note(loop, path, actor, T(at_s), choice);
}

static void the_third_restore_in_a_minute_holds_the_writer(void **state) {
        struct row rows[] = {{500, 90, "/usr/sbin/php-fpm8.2"},
                             {400, 1, "/usr/sbin/php-fpm8.2"},
                             {1, 0, "/usr/lib/systemd/systemd"}};
        struct loop_choice choice;
        assert_int_equal(note(*state, "/w/a.php", rows, 3, 100, &choice), LOOP_NONE);
        assert_int_equal(note(*state, "/w/a.php", rows, 3, 101, &choice), LOOP_NONE);
        assert_int_equal(note(*state, "/w/b.php", rows, 3, 102, &choice), LOOP_NONE);
        assert_int_equal(note(*state, "/w/a.php", rows, 3, 102, &choice), LOOP_HOLD);
        assert_int_equal(choice.pid, 500);
        assert_int_equal(choice.n_restores, 3);
}

static void slow_repetition_is_no_loop(void **state) {
        struct row rows[] = {{500, 90, "/usr/bin/vim"}};
        struct loop_choice choice;
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(note(*state, "/w/a", rows, 1, 100 + i * 31, &choice), LOOP_NONE);
}

static void a_tool_started_anew_leads_to_who_starts_it(void **state) {
        struct loop_choice choice;
        for (unsigned i = 0; i < 3; i++) {
                struct row rows[] = {{600 + (pid_t)i, 100 + i, "/usr/bin/curl"},
                                     {500, 50, "/usr/bin/bash"},
                                     {30, 2, "/usr/sbin/sshd"}};
                assert_int_equal(note(*state, "/w/a", rows, 3, 100 + i, &choice),
                                 i < 2 ? LOOP_NONE : LOOP_HOLD);
        }
        assert_int_equal(choice.pid, 500);
        assert_int_equal(choice.ancestor, 1);
}

static void a_borrowed_name_protects_nobody(void **state) {
        static const char *const borrowed[] = {"/tmp/sshd", "/dev/shm/systemd", "/home/a/nginx",
                                               "/var/www/php-fpm8.2"};
        struct loop_choice choice;
        for (size_t k = 0; k < ARRAY_SIZE(borrowed); k++)
                for (unsigned i = 0; i < 3; i++) {
                        char path[32];
                        snprintf(path, sizeof(path), "/w/%zu", k);
                        struct row rows[] = {{30, 2, borrowed[k]}, {1, 0, "/sbin/init"}};
                        assert_int_equal(note(*state, path, rows, 2, 100 + i, &choice),
                                         i < 2 ? LOOP_NONE : LOOP_HOLD);
                }
}

static void cron_and_masters_are_left_alone(void **state) {
        static const char *const above[] = {"/usr/sbin/cron", "/usr/sbin/php-fpm8.2", "/usr/sbin/sshd",
                                            "/usr/sbin/nginx", "/usr/lib/systemd/systemd"};
        struct loop_choice choice;
        for (size_t k = 0; k < ARRAY_SIZE(above); k++)
                for (unsigned i = 0; i < 3; i++) {
                        char path[32];
                        snprintf(path, sizeof(path), "/w/%zu", k);
                        struct row rows[] = {{600 + (pid_t)i, 100 + i, "/bin/sh"},
                                             {30, 2, above[k]},
                                             {1, 0, "/sbin/init"}};
                        assert_int_equal(note(*state, path, rows, 3, 100 + i, &choice),
                                         i < 2 ? LOOP_NONE : LOOP_NOBODY);
                }
        assert_non_null(choice.reason);
}

static void the_dead_are_passed_over(void **state) {
        struct row rows[] = {{600, 50, "/bin/sh"}, {500, 50, "/usr/bin/python3"}, {1, 0, "/sbin/init"}};
        struct loop_choice choice;
        dead = 600;
        for (unsigned i = 0; i < 3; i++)
                note(*state, "/w/a", rows, 3, 100 + i, &choice);
        assert_int_equal(choice.pid, 500);
}

static void a_pool_is_not_emptied(void **state) {
        struct loop_choice choice;
        enum loop_verdict last = LOOP_NONE;
        for (unsigned k = 0; k < LOOP_HELD_PER_PARENT_MAX + 1; k++)
                for (unsigned i = 0; i < 3; i++) {
                        char path[32];
                        snprintf(path, sizeof(path), "/w/%u", k);
                        struct row rows[] = {{500 + (pid_t)k, 90, "/usr/sbin/php-fpm8.2"},
                                             {400, 1, "/usr/sbin/php-fpm8.2"}};
                        last = note(*state, path, rows, 2, 100, &choice);
                        if (i == 2)
                                assert_int_equal(last,
                                                 k < LOOP_HELD_PER_PARENT_MAX ? LOOP_HOLD : LOOP_NOBODY);
                }
        /* One that is held already may be held again. */
        struct row first[] = {{500, 90, "/usr/sbin/php-fpm8.2"}, {400, 1, "/usr/sbin/php-fpm8.2"}};
        assert_int_equal(note(*state, "/w/0", first, 2, 101, &choice), LOOP_HOLD);
}

static void many_paths_by_one_lineage(void **state) {
        struct row rows[] = {{500, 90, "/usr/bin/python3"}, {1, 0, "/sbin/init"}};
        struct loop_choice choice;
        for (unsigned i = 0; i < 30; i++) {
                char path[32];
                snprintf(path, sizeof(path), "/w/%u", i);
                assert_int_equal(note(*state, path, rows, 2, 100, &choice), i < 29 ? LOOP_NONE : LOOP_HOLD);
        }
}

static void bounded_and_unknown_actors(void **state) {
        struct loop_choice choice;
        for (unsigned i = 0; i < 3 * LOOP_ENTRIES_MAX; i++) {
                char path[32];
                snprintf(path, sizeof(path), "/w/%u", i);
                assert_int_equal(loop_note(*state, path, NULL, T(100), &choice), LOOP_NONE);
        }
        assert_int_equal(loop_note(*state, "/x", NULL, T(100), &choice), LOOP_NONE);
        assert_int_equal(loop_note(*state, "/x", NULL, T(100), &choice), LOOP_NONE);
        assert_int_equal(loop_note(*state, "/x", NULL, T(100), &choice), LOOP_NOBODY);
}

static void asks_proc_by_itself(void **state) {
        (void)state;
        struct loop *loop;
        assert_int_equal(loop_new(&(struct loop_options){.limit = 1}, NULL, NULL, &loop), 0);
        struct row rows[] = {{getpid(), 1, "/usr/bin/vim"}, {1, 0, "/sbin/init"}};
        struct loop_choice choice;
        /* Our pid, but not our start time: another process that is gone. */
        assert_int_equal(note(loop, "/w/a", rows, 2, 1, &choice), LOOP_NOBODY);
        loop_free(loop);
}

static void what_the_guard_was_started_from_is_never_held(void **state) {
        struct row rows[] = {
                {500, 100, "/usr/bin/cp"}, {getppid(), 1, "/usr/bin/bash"}, {1, 0, "/sbin/init"}};
        struct loop_choice choice;
        for (unsigned i = 0; i < 2; i++) {
                rows[0].pid++;
                rows[0].start_s = 100 + i;
                assert_int_equal(note(*state, "/w/a.php", rows, 3, 100 + i, &choice), LOOP_NONE);
        }
        rows[0].start_s = 102;
        assert_int_equal(note(*state, "/w/a.php", rows, 3, 102, &choice), LOOP_NOBODY);
        assert_string_equal(choice.reason, "hinomi itself was started from there");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_third_restore_in_a_minute_holds_the_writer, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(slow_repetition_is_no_loop, setup, teardown),
                cmocka_unit_test_setup_teardown(a_tool_started_anew_leads_to_who_starts_it, setup, teardown),
                cmocka_unit_test_setup_teardown(a_borrowed_name_protects_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(cron_and_masters_are_left_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(the_dead_are_passed_over, setup, teardown),
                cmocka_unit_test_setup_teardown(a_pool_is_not_emptied, setup, teardown),
                cmocka_unit_test_setup_teardown(many_paths_by_one_lineage, setup, teardown),
                cmocka_unit_test_setup_teardown(bounded_and_unknown_actors, setup, teardown),
                cmocka_unit_test(asks_proc_by_itself),
                cmocka_unit_test_setup_teardown(what_the_guard_was_started_from_is_never_held, setup,
                                                teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
