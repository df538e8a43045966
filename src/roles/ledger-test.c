/* The ledger's process, from outside: its sockets, its end by SIGKILL, a disk that takes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/message.h"
#include "event/json.h"
#include "ledger/ledger.h"
#include "ledger/verify.h"
#include "roles/role.h"

#define WAIT_MS 20000

struct fixture {
        char state[64];
        int ours[ROLE_COUNT], theirs[ROLE_COUNT];
        int config_fd;
        pid_t pid;
};

static void start(struct fixture *fixture) {
        fixture->pid = fork();
        assert_true(fixture->pid >= 0);
        if (fixture->pid)
                return;
        struct role_context context = {
                .id = ROLE_LEDGER, .state = fixture->state, .packs = "/", .config_fd = fixture->config_fd};
        for (int i = 0; i < ROLE_COUNT; i++)
                context.peers[i] = fixture->theirs[i];
        signal(SIGXFSZ, SIG_IGN);
        _exit(role_ledger_run(&context) < 0 ? 3 : 0);
}

static int setup(void **state) {
        static const char config[] = "trees:\n  - {path: /srv, protect: watch, profile: none, respond: "
                                     "observe}\nledger: {heartbeat: 1 s}\n";
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        strcpy(fixture->state, "/tmp/role-ledger-test.XXXXXX");
        if (!mkdtemp(fixture->state))
                return -1;
        for (int i = 0; i < ROLE_COUNT; i++)
                fixture->ours[i] = fixture->theirs[i] = -1;
        static const enum role_id peers[] = {ROLE_PARENT, ROLE_SENTRY, ROLE_ENGINE};
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
                int pair[2];
                if (message_pair(pair) < 0)
                        return -1;
                fixture->ours[peers[i]] = pair[0];
                fixture->theirs[peers[i]] = pair[1];
        }
        fixture->config_fd = memfd_create("config", MFD_CLOEXEC);
        if (io_write_all(fixture->config_fd, config, strlen(config)) < 0)
                return -1;
        start(fixture);
        *state = fixture;
        return 0;
}

static void end(struct fixture *fixture, int signal_number) {
        int status;
        if (fixture->pid <= 0)
                return;
        if (signal_number)
                kill(fixture->pid, signal_number);
        assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
        fixture->pid = 0;
        if (!signal_number)
                assert_int_equal(status, 0);
}

static int teardown(void **state) {
        struct fixture *fixture = *state;
        char command[128];
        end(fixture, SIGKILL);
        for (int i = 0; i < ROLE_COUNT; i++) {
                fd_closep(&fixture->ours[i]);
                fd_closep(&fixture->theirs[i]);
        }
        close(fixture->config_fd);
        snprintf(command, sizeof(command), "rm -rf %s", fixture->state);
        free(fixture);
        return system(command);
}

static void send_to(struct fixture *fixture, enum role_id as, json_t *body) {
        assert_int_equal(message_send(fixture->ours[as], body, NULL, 0), 0);
        json_decref(body);
}

static json_t *append_body(int id, const char *kind) {
        char uid[32];
        snprintf(uid, sizeof(uid), "test-%d", id);
        return json_pack("{s:s,s:i,s:{s:s,s:{s:s}}}", "type", "append", "id", id, "entry", "kind", kind,
                         "action", "uid", uid);
}

/* The next message of this type to that peer; others are passed over. New reference. */
static json_t *wait_for(struct fixture *fixture, enum role_id as, const char *type) {
        for (;;) {
                struct pollfd wait = {.fd = fixture->ours[as], .events = POLLIN};
                if (poll(&wait, 1, WAIT_MS) != 1)
                        fail_msg("no '%s' came", type);
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                assert_int_equal(message_receive(fixture->ours[as], &message), 0);
                const char *got = json_get_string(message.body, "type");
                if (got && !strcmp(got, type))
                        return json_incref(message.body);
        }
}

static void wait_for_answer(struct fixture *fixture, enum role_id as, int id, json_int_t *ret_index) {
        json_auto_t *answer = wait_for(fixture, as, "appended");
        assert_int_equal(json_get_integer(answer, "id", -1), id);
        *ret_index = json_get_integer(answer, "index", -1);
}

static void wait_for_state(struct fixture *fixture, const char *state) {
        for (;;) {
                json_auto_t *body = wait_for(fixture, ROLE_PARENT, "ledger-state");
                if (!strcmp(json_get_string(body, "state"), state))
                        return;
        }
}

static void stop(struct fixture *fixture) {
        send_to(fixture, ROLE_PARENT, json_pack("{s:s}", "type", "stop"));
        end(fixture, 0);
}

static void assert_sound(const struct fixture *fixture, uint64_t entries) {
        const struct ledger_verify_options options = {.path = fixture->state, .expect_keys = true};
        struct ledger_report report;
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_string_equal(ledger_problem_name(report.problem), "sound");
        assert_int_equal(report.entries, entries);
}

static void entries_are_answered_and_passed_on(void **state) {
        struct fixture *fixture = *state;
        json_int_t index;
        json_auto_t _unused_ *ready = wait_for(fixture, ROLE_PARENT, "ready");
        for (int i = 0; i < 100; i++)
                send_to(fixture, ROLE_SENTRY, append_body(i, "action"));
        for (int i = 0; i < 100; i++) {
                wait_for_answer(fixture, ROLE_SENTRY, i, &index);
                assert_int_equal(index, i);
                json_auto_t *passed = wait_for(fixture, ROLE_ENGINE, "entry");
                const json_t *entry = json_object_get(passed, "entry");
                assert_int_equal(json_get_integer(passed, "index", -1), i);
                assert_string_equal(json_get_string(entry, "kind"), "action");
                assert_non_null(json_get_string(entry, "time"));
        }
        send_to(fixture, ROLE_ENGINE, append_body(7, "action"));
        wait_for_answer(fixture, ROLE_ENGINE, 7, &index);
        assert_int_equal(index, 100);
        stop(fixture);
        assert_sound(fixture, 101);
}

static void what_is_queued_is_in_it_when_it_stops(void **state) {
        struct fixture *fixture = *state;
        for (int i = 0; i < 500; i++)
                send_to(fixture, ROLE_SENTRY, append_body(i, "action"));
        stop(fixture);
        assert_sound(fixture, 500);
}

static int count_entry(uint64_t index, const char *entry, size_t size, void *userdata) {
        int *seen = userdata, n;
        (void)index;
        const char *uid = memmem(entry, size, "\"test-", 6);
        if (uid && sscanf(uid, "\"test-%d\"", &n) == 1)
                seen[n]++;
        return 0;
}

/* Killed in the middle; whoever had no answer asks again. Everything is there, once. */
static void a_kill_loses_nothing_and_doubles_nothing(void **state) {
        enum { N = 600 };
        struct fixture *fixture = *state;
        bool answered[N] = {false};
        int seen[N] = {0};
        json_int_t index;
        for (int i = 0; i < N; i++)
                send_to(fixture, ROLE_SENTRY, append_body(i, "action"));
        for (int i = 0; i < 5; i++) {
                wait_for_answer(fixture, ROLE_SENTRY, i, &index);
                answered[i] = true;
        }
        end(fixture, SIGKILL);
        /* what it answered before it died is still in the socket */
        for (;;) {
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                struct pollfd wait = {.fd = fixture->ours[ROLE_SENTRY], .events = POLLIN};
                if (poll(&wait, 1, 0) != 1)
                        break;
                assert_int_equal(message_receive(wait.fd, &message), 0);
                answered[json_get_integer(message.body, "id", 0)] = true;
        }
        start(fixture);
        for (int i = 0; i < N; i++)
                if (!answered[i])
                        send_to(fixture, ROLE_SENTRY, append_body(i, "action"));
        stop(fixture);
        assert_int_equal(ledger_read(fixture->state, 0, UINT64_MAX, count_entry, seen), 0);
        for (int i = 0; i < N; i++)
                assert_true(seen[i] >= 1);
        const struct ledger_verify_options options = {.path = fixture->state, .expect_keys = true};
        struct ledger_report report;
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_int_equal(report.problem, LEDGER_SOUND);
        /* entries still in the socket when it was killed were taken by the next one, and sent again */
}

static void an_entry_sent_again_after_a_restart_is_entered_once(void **state) {
        struct fixture *fixture = *state;
        json_int_t index, again;
        send_to(fixture, ROLE_SENTRY, append_body(1, "action"));
        wait_for_answer(fixture, ROLE_SENTRY, 1, &index);
        end(fixture, SIGKILL);
        start(fixture);
        send_to(fixture, ROLE_SENTRY, append_body(1, "action"));
        wait_for_answer(fixture, ROLE_SENTRY, 1, &again);
        assert_int_equal(again, index);
        send_to(fixture, ROLE_SENTRY, append_body(1, "action")); /* and once more is meant */
        wait_for_answer(fixture, ROLE_SENTRY, 1, &again);
        assert_true(again > index);
        stop(fixture);
}

static void entries_wait_for_a_disk_that_takes_nothing(void **state) {
        struct fixture *fixture = *state;
        struct rlimit nothing = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY}, before;
        json_int_t index;
        json_auto_t _unused_ *ready = wait_for(fixture, ROLE_PARENT, "ready");
        send_to(fixture, ROLE_SENTRY, append_body(0, "action"));
        wait_for_answer(fixture, ROLE_SENTRY, 0, &index);
        assert_int_equal(prlimit(fixture->pid, RLIMIT_FSIZE, &nothing, &before), 0);
        for (int i = 1; i < 50; i++)
                send_to(fixture, ROLE_SENTRY, append_body(i, "action"));
        wait_for_state(fixture, "unwritable");
        assert_int_equal(prlimit(fixture->pid, RLIMIT_FSIZE, &before, NULL), 0);
        wait_for_state(fixture, "ok");
        for (int i = 1; i < 50; i++) {
                wait_for_answer(fixture, ROLE_SENTRY, i, &index);
                assert_int_equal(index, i);
        }
        stop(fixture);
        assert_sound(fixture, 50);
}

static void what_is_no_entry_is_refused(void **state) {
        struct fixture *fixture = *state;
        json_int_t index;
        static const char *const texts[] = {
                "{\"type\":\"append\",\"id\":1}",
                "{\"type\":\"append\",\"id\":2,\"entry\":5}",
                "{\"type\":\"append\",\"id\":3,\"entry\":{}}",
        };
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                send_to(fixture, ROLE_ENGINE, json_loads(texts[i], 0, NULL));
                json_auto_t *refused = wait_for(fixture, ROLE_ENGINE, "refused");
                assert_int_equal(json_get_integer(refused, "id", 0), i + 1);
        }
        json_t *large = append_body(4, "action");
        _cleanup_(freep) char *text = calloc(1, 100001);
        memset(text, 'a', 100000);
        json_object_set_new(json_object_get(large, "entry"), "text", json_string(text));
        send_to(fixture, ROLE_ENGINE, large);
        json_auto_t *passed = wait_for(fixture, ROLE_ENGINE, "entry");
        assert_non_null(json_object_get(json_object_get(passed, "entry"), "oversize"));
        wait_for_answer(fixture, ROLE_ENGINE, 4, &index);
        stop(fixture);
        assert_sound(fixture, 1);
}

static json_t *wait_for_finding(struct fixture *fixture, const char *type) {
        for (;;) {
                json_auto_t *passed = wait_for(fixture, ROLE_ENGINE, "entry");
                const json_t *finding = json_object_get(json_object_get(passed, "entry"), "finding");
                const json_t *types = json_object_get(json_object_get(finding, "finding_info"), "types");
                const char *first = json_string_value(json_array_get(types, 0));
                if (first && !strcmp(first, type))
                        return json_incref((json_t *)finding);
        }
}

static void a_damaged_log_is_a_finding_of_the_next(void **state) {
        struct fixture *fixture = *state;
        char command[128];
        json_int_t index;
        send_to(fixture, ROLE_SENTRY, append_body(0, "action"));
        wait_for_answer(fixture, ROLE_SENTRY, 0, &index);
        end(fixture, SIGKILL);
        snprintf(command, sizeof(command), "rm %s/keys/journal", fixture->state);
        assert_int_equal(system(command), 0);
        start(fixture);
        send_to(fixture, ROLE_SENTRY, append_body(1, "action"));
        wait_for_answer(fixture, ROLE_SENTRY, 1, &index);
        json_auto_t *finding = wait_for_finding(fixture, "ledger_replaced");
        assert_string_equal(json_get_string(finding, "severity"), "Critical");
        stop(fixture);
        const struct ledger_verify_options options = {.path = fixture->state, .expect_keys = true};
        struct ledger_report report;
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_string_equal(ledger_problem_name(report.problem), "set_aside");
}

static void files_altered_meanwhile_are_a_finding_and_put_right(void **state) {
        struct fixture *fixture = *state;
        char command[256];
        json_int_t index;
        for (int i = 0; i < 3; i++) {
                send_to(fixture, ROLE_SENTRY, append_body(i, "action"));
                wait_for_answer(fixture, ROLE_SENTRY, i, &index);
        }
        snprintf(command, sizeof(command), "echo x > %s/ledger/tile/entries/000.p/3; rm %s/keys/journal",
                 fixture->state, fixture->state);
        assert_int_equal(system(command), 0);
        json_auto_t _unused_ *finding = wait_for_finding(fixture, "ledger_altered");
        stop(fixture);
        assert_sound(fixture, 4);
        start(fixture);
        stop(fixture);
        assert_sound(fixture, 4);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(entries_are_answered_and_passed_on),
                TEST(what_is_queued_is_in_it_when_it_stops),
                TEST(a_kill_loses_nothing_and_doubles_nothing),
                TEST(an_entry_sent_again_after_a_restart_is_entered_once),
                TEST(entries_wait_for_a_disk_that_takes_nothing),
                TEST(what_is_no_entry_is_refused),
                TEST(a_damaged_log_is_a_finding_of_the_next),
                TEST(files_altered_meanwhile_are_a_finding_and_put_right),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
