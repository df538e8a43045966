/* Slots that outlive their process: what was published is found, what was not is free, and no shape is trusted. */
#include "base/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define N 200

static uint32_t put(struct slots *slots, const char *text) {
        uint32_t slot = slots_take(slots);
        strcpy(slots_at(slots, slot), text);
        slots_publish(slots, slot);
        return slot;
}

static void a_successor_finds_what_was_published(void **state) {
        (void)state;
        _cleanup_(fd_closep) int fd = slots_open("test", N);
        _cleanup_(slots_deinit) struct slots first = {0}, second = {0};
        assert_int_equal(slots_init(&first, fd, 0), 0);
        put(&first, "one");
        uint32_t unfinished = slots_take(&first), two = put(&first, "two");
        uint32_t rewritten = put(&first, "three");
        slots_withdraw(&first, rewritten);

        assert_int_equal(slots_init(&second, fd, 0), 0);
        assert_int_equal(second.n_used, 2);
        assert_int_equal(slots_next(&second, 0), 0);
        assert_string_equal(slots_at(&second, 0), "one");
        assert_int_equal(slots_next(&second, 1), two);
        assert_string_equal(slots_at(&second, two), "two");
        assert_int_equal(slots_next(&second, two + 1), SLOT_NONE);
        assert_int_equal(slots_take(&second), unfinished);
        assert_int_equal(slots_take(&second), rewritten);
}

static void what_is_given_is_taken_again_and_full_is_said(void **state) {
        (void)state;
        _cleanup_(slots_deinit) struct slots slots = {0};
        assert_int_equal(slots_init(&slots, -1, N), 0);
        for (uint32_t i = 0; i < N; i++)
                assert_int_equal(put(&slots, "x"), i);
        assert_int_equal(slots_take(&slots), SLOT_NONE);
        assert_int_equal(slots.n_refused, 1);
        slots_give(&slots, 70);
        slots_give(&slots, 70);
        slots_give(&slots, SLOT_NONE);
        assert_int_equal(slots.n_used, N - 1);
        assert_int_equal(slots_take(&slots), 70);
}

static void memory_is_given_back(void **state) {
        (void)state;
        struct stat st;
        _cleanup_(fd_closep) int fd = slots_open("test", N);
        _cleanup_(slots_deinit) struct slots slots = {0};
        assert_int_equal(slots_init(&slots, fd, 0), 0);
        for (uint32_t i = 0; i < N; i++)
                put(&slots, "x");
        for (uint32_t i = 0; i < N; i++)
                slots_give(&slots, i);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_blocks * 512 <= 8192);
        assert_int_equal(slots_next(&slots, 0), SLOT_NONE);
        assert_int_equal(put(&slots, "y"), 0);
}

static void another_shape_is_empty(void **state) {
        (void)state;
        static const struct {
                off_t at;
                uint32_t value;
        } damage[] = {{0, 1}, {8, 64}, {12, N + 1}, {16, N + 1}};
        for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
                _cleanup_(fd_closep) int fd = slots_open("test", N);
                _cleanup_(slots_deinit) struct slots first = {0}, second = {0};
                assert_int_equal(slots_init(&first, fd, 0), 0);
                put(&first, "one");
                assert_int_equal(pwrite(fd, &damage[i].value, 4, damage[i].at), 4);
                assert_int_equal(slots_fit(fd), i == 3); /* `high` is not of the shape */
                assert_int_equal(slots_init(&second, fd, 0), 0);
                assert_int_equal(slots_next(&second, 0), SLOT_NONE);
                assert_int_equal(slots_take(&second), 0);
        }
        _cleanup_(fd_closep) int fd = slots_open("test", 1);
        struct slots slots = {0};
        assert_int_equal(ftruncate(fd, 100), 0);
        assert_int_equal(slots_init(&slots, fd, 0), -EBADMSG);
        assert_false(slots_fit(fd));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_successor_finds_what_was_published),
                cmocka_unit_test(what_is_given_is_taken_again_and_full_is_said),
                cmocka_unit_test(memory_is_given_back),
                cmocka_unit_test(another_shape_is_empty),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
