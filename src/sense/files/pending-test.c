/* The memory of events read: what a killed process left is found, in whatever step it died. */
#include "sense/files/pending.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <cmocka.h>

#include "sense/files/notice.h"

struct fixture {
        int fd;
        int pipe[2];
};

static int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        fixture->fd = pending_open();
        assert_true(fixture->fd >= 0);
        assert_return_code(pipe(fixture->pipe), errno);
        *state = fixture;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;
        close(fixture->fd);
        close(fixture->pipe[0]);
        close(fixture->pipe[1]);
        free(fixture);
        return 0;
}

static void send_events(const struct fixture *fixture, int n) {
        for (int i = 1; i <= n; i++) {
                const struct fanotify_event_metadata event = {.event_len = sizeof(event),
                                                              .vers = FANOTIFY_METADATA_VERSION,
                                                              .metadata_len = sizeof(event),
                                                              .pid = i};
                assert_int_equal(write(fixture->pipe[1], &event, sizeof(event)), sizeof(event));
        }
}

/* The pid of the event at hand, 0: none. */
static int next_pid(struct pending *pending, size_t *ret_used) {
        struct notice notice;
        size_t size;
        const uint8_t *data = pending_data(pending, &size);
        return notice_decode(data, size, &notice, ret_used) > 0 ? notice.pid : 0;
}

static void a_successor_goes_on_where_the_other_stopped(void **state) {
        struct fixture *fixture = *state;
        struct pending first, second;
        size_t used;
        send_events(fixture, 3);
        assert_int_equal(pending_init(&first, fixture->fd, PENDING_GATE), 0);
        assert_true(pending_fill(&first, fixture->pipe[0]) > 0);
        assert_int_equal(next_pid(&first, &used), 1);
        pending_advance(&first, used);
        assert_int_equal(pending_init(&second, fixture->fd, PENDING_GATE), 0);
        for (int pid = 2; pid <= 3; pid++) {
                assert_int_equal(next_pid(&second, &used), pid);
                pending_advance(&second, used);
        }
        assert_int_equal(next_pid(&second, &used), 0);
        pending_deinit(&first);
        pending_deinit(&second);
}

static void a_shorter_read_leaves_nothing_of_a_longer_one(void **state) {
        struct fixture *fixture = *state;
        struct pending pending;
        size_t used;
        assert_int_equal(pending_init(&pending, fixture->fd, PENDING_WATCH), 0);
        send_events(fixture, 5);
        assert_true(pending_fill(&pending, fixture->pipe[0]) > 0);
        while (next_pid(&pending, &used))
                pending_advance(&pending, used);
        send_events(fixture, 1);
        assert_true(pending_fill(&pending, fixture->pipe[0]) > 0);
        assert_int_equal(next_pid(&pending, &used), 1);
        pending_advance(&pending, used);
        assert_int_equal(next_pid(&pending, &used), 0);
        pending_deinit(&pending);
}

static void damaged_data_can_be_passed_over(void **state) {
        struct fixture *fixture = *state;
        struct pending pending;
        size_t size, used;
        uint8_t noise[100];
        memset(noise, 0xff, sizeof(noise));
        assert_int_equal(pending_init(&pending, fixture->fd, PENDING_WATCH), 0);
        assert_int_equal(write(fixture->pipe[1], noise, sizeof(noise)), sizeof(noise));
        assert_true(pending_fill(&pending, fixture->pipe[0]) > 0);
        (void)pending_data(&pending, &size);
        pending_advance(&pending, size);
        (void)pending_data(&pending, &size);
        assert_int_equal(size, 0);
        send_events(fixture, 1);
        assert_true(pending_fill(&pending, fixture->pipe[0]) > 0);
        assert_int_equal(next_pid(&pending, &used), 1);
        pending_advance(&pending, used);
        assert_int_equal(next_pid(&pending, &used), 0);
        pending_deinit(&pending);
}

static void places_do_not_share(void **state) {
        struct fixture *fixture = *state;
        struct pending watch, gate;
        assert_int_equal(pending_init(&watch, fixture->fd, PENDING_WATCH), 0);
        assert_int_equal(pending_init(&gate, fixture->fd, PENDING_GATE), 0);
        memset(pending_scratch(&watch), 1, PENDING_SCRATCH_BYTES);
        const uint8_t *other = pending_scratch(&gate);
        for (size_t i = 0; i < PENDING_SCRATCH_BYTES; i++)
                assert_int_equal(other[i], 0);
        pending_deinit(&watch);
        pending_deinit(&gate);
}

static void another_memory_is_refused(void **state) {
        struct fixture *fixture = *state;
        struct pending pending;
        assert_int_equal(ftruncate(fixture->fd, 4096), 0);
        assert_int_equal(pending_init(&pending, fixture->fd, PENDING_WATCH), -EBADMSG);
        assert_int_equal(ftruncate(fixture->fd, 0), 0);
        assert_int_equal(ftruncate(fixture->fd, PENDING_PLACES * PENDING_BYTES), 0);
        assert_int_equal(pending_init(&pending, fixture->fd, PENDING_WATCH), -EBADMSG);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_successor_goes_on_where_the_other_stopped),
                TEST(a_shorter_read_leaves_nothing_of_a_longer_one),
                TEST(damaged_data_can_be_passed_over),
                TEST(places_do_not_share),
                TEST(another_memory_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
