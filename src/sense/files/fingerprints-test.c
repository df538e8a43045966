/* The set of files seen: never a wrong "no". */
#include "sense/files/fingerprints.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t hash_of(uint64_t i) {
        return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void what_was_added_is_there(void **state) {
        (void)state;
        struct fingerprints set = {0};
        size_t n_wrong = 0;
        assert_false(fingerprints_has(&set, hash_of(1)));
        for (uint64_t i = 0; i < 50000; i++)
                fingerprints_add(&set, hash_of(i));
        for (uint64_t i = 0; i < 50000; i++)
                assert_true(fingerprints_has(&set, hash_of(i)));
        for (uint64_t i = 50000; i < 100000; i++)
                n_wrong += fingerprints_has(&set, hash_of(i));
        assert_true(n_wrong < 10);
        assert_false(set.is_full);
        fingerprints_add(&set, hash_of(7));
        assert_true(set.n <= 50000);
        fingerprints_deinit(&set);
        assert_false(fingerprints_has(&set, hash_of(7)));
}

static void a_fingerprint_of_zero_is_one_too(void **state) {
        (void)state;
        struct fingerprints set = {0};
        fingerprints_add(&set, 5);
        assert_true(fingerprints_has(&set, 5));
        fingerprints_deinit(&set);
}

static void a_full_set_says_yes(void **state) {
        (void)state;
        struct fingerprints set = {.is_full = true};
        assert_true(fingerprints_has(&set, hash_of(1)));
        fingerprints_add(&set, hash_of(1));
        assert_int_equal(set.n, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_added_is_there),
                cmocka_unit_test(a_fingerprint_of_zero_is_one_too),
                cmocka_unit_test(a_full_set_says_yes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
