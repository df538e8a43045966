/* What is in hand is inherited until its last holder let go, and what a predecessor left is not trusted. */
#include "roles/sentry/unfinished.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/slots.h"

struct seen {
        unsigned n;
        uint32_t tickets[8];
        char paths[8][64];
        struct unfinished_record last;
};

static void see(uint32_t ticket, const struct unfinished_record *record, void *userdata) {
        struct seen *seen = userdata;
        seen->tickets[seen->n] = ticket;
        snprintf(seen->paths[seen->n++], sizeof(seen->paths[0]), "%s", record->path);
        seen->last = *record;
}

static uint32_t begin(struct unfinished *unfinished, const char *path) {
        return unfinished_begin(unfinished, &(struct unfinished_record){
                                                    .pid = 7, .start_ns = 11, .first_ns = 13, .path = path});
}

static void a_successor_goes_on_with_what_is_held(void **state) {
        (void)state;
        _cleanup_(fd_closep) int fd = unfinished_open();
        struct unfinished *first = NULL;
        assert_int_equal(unfinished_new(fd, &first), 0);
        uint32_t done = begin(first, "/done"), held = begin(first, "/held"), noted = begin(first, "/noted");
        assert_int_not_equal(done, 0);
        unfinished_hold(first, held);
        unfinished_drop(first, held);
        unfinished_drop(first, done);
        unfinished_note(first, noted, 5, 2, 17);
        unfinished_mark(first, noted, true);
        unfinished_free(first);

        _cleanup_(unfinished_freep) struct unfinished *second = NULL;
        struct seen seen = {0};
        assert_int_equal(unfinished_new(fd, &second), 0);
        uint32_t own = begin(second, "/own");
        unfinished_inherit(second, see, &seen);
        assert_int_equal(seen.n, 2);
        assert_string_equal(seen.paths[0], "/held");
        assert_string_equal(seen.paths[1], "/noted");
        assert_int_equal(seen.last.what, 5);
        assert_int_equal(seen.last.n_closes, 2);
        assert_int_equal(seen.last.last_ns, 17);
        assert_true(seen.last.was_different);
        assert_int_equal(seen.last.pid, 7);
        assert_int_equal(seen.last.start_ns, 11);
        assert_int_equal(seen.last.first_ns, 13);
        unfinished_drop(second, own);
        unfinished_drop(second, seen.tickets[0]);
        unfinished_drop(second, seen.tickets[1]);

        _cleanup_(unfinished_freep) struct unfinished *third = NULL;
        seen.n = 0;
        assert_int_equal(unfinished_new(fd, &third), 0);
        unfinished_inherit(third, see, &seen);
        assert_int_equal(seen.n, 0);
}

static void what_does_not_fit_is_said(void **state) {
        (void)state;
        char path[SLOT_BYTES_MAX + 2];
        memset(path, '/', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        _cleanup_(unfinished_freep) struct unfinished *unfinished = NULL;
        assert_int_equal(unfinished_new(-1, &unfinished), 0);
        assert_int_equal(begin(unfinished, path), 0);
        path[400] = '\0';
        for (unsigned i = 0; i < UNFINISHED_MAX; i++)
                assert_int_equal(begin(unfinished, path), i + 1);
        assert_int_equal(begin(unfinished, path), 0);
        unfinished_drop(unfinished, 0);
        assert_int_equal(begin(NULL, path), 0);
}

static void nothing_a_predecessor_left_is_trusted(void **state) {
        (void)state;
        static const struct unfinished_record bad[] = {
                {.kind = UNFINISHED_KINDS, .path = "/x"},
                {.pid = -1, .path = "/x"},
                {.path = "relative"},
                {.path = ""},
                {.kind = UNFINISHED_EXEC, .path = "/x"},
        };
        uint8_t bytes[SLOT_BYTES_MAX];
        struct unfinished_record record;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_int_equal(unfinished_encode(&bad[i], bytes, sizeof(bytes)), 0);
                assert_int_equal(unfinished_decode(bytes, sizeof(bytes), &record), -EBADMSG);
        }
        memset(bytes, '/', sizeof(bytes));
        memset(bytes, 0, 48);
        assert_int_equal(unfinished_decode(bytes, sizeof(bytes), &record), -EBADMSG);
        for (size_t size = 0; size < 50; size++)
                assert_int_equal(unfinished_decode(bytes, size, &record), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_successor_goes_on_with_what_is_held),
                cmocka_unit_test(what_does_not_fit_is_said),
                cmocka_unit_test(nothing_a_predecessor_left_is_trusted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
