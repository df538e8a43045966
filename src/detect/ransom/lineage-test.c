#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "detect/ransom/lineage.h"

#define MINUTE (60 * NS_PER_S)
#define DAY    (1440 * MINUTE)

static struct ransom_case ransom;
static uint64_t now_ns;

static int begin(void **state) {
        (void)state;
        ransom_case_init(&ransom);
        now_ns = 1000 * DAY;
        return 0;
}

/* The pattern with the number in place of its '#'. */
static const char *named(char out[64], const char *pattern, unsigned i) {
        size_t head = strcspn(pattern, "#");
        if (pattern[head])
                snprintf(out, 64, "%.*s%u%s", (int)head, pattern, i, pattern + head + 1);
        else
                snprintf(out, 64, "%s", pattern);
        return out;
}

static struct ransom_sign sign_of(enum ransom_kind kind, const char *path, unsigned suspicion) {
        struct ransom_sign sign = {.kind = kind, .size_bytes = 100000, .time_ns = now_ns, .examined = true};
        ransom_sign_name(&sign, path);
        sign.content = (struct ransom_signs){
                .changed_permille = 900, .random = suspicion >= 25, .suspicion = suspicion};
        return sign;
}

static enum ransom_verdict add(enum ransom_kind kind, unsigned suspicion, const char *format, unsigned i) {
        char path[64];
        struct ransom_sign sign = sign_of(kind, named(path, format, i), suspicion);
        return ransom_case_add(&ransom, &sign);
}

static enum ransom_verdict rename_file(unsigned i, const char *format, const char *to_format) {
        char path[64], to[64];
        struct ransom_sign sign = {.kind = RANSOM_RENAMED, .time_ns = now_ns};
        ransom_sign_name(&sign, named(to, to_format, i));
        ransom_sign_from(&sign, named(path, format, i));
        return ransom_case_add(&ransom, &sign);
}

/* Files until the verdict, with `step_ns` between them; 0: none within 100. */
static unsigned files_until_attack(uint64_t step_ns, unsigned suspicion) {
        for (unsigned i = 1; i <= 100; i++, now_ns += step_ns)
                if (add(RANSOM_ALTERED, suspicion, "srv/#.docx", i) == RANSOM_ATTACK)
                        return i;
        return 0;
}

static void three_lost_files_are_an_attack_at_any_pace(void **state) {
        static const uint64_t steps[] = {72000, NS_PER_S, MINUTE, 60 * MINUTE};
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                begin(state);
                assert_int_equal(files_until_attack(steps[i], 95), 3);
        }
        begin(state);
        assert_in_range(files_until_attack(DAY, 95), 3, 4);
        begin(state);
        assert_in_range(files_until_attack(MINUTE, 50), 4, 8);
}

static void odd_files_over_a_year_are_none(void **state) {
        (void)state;
        assert_int_equal(files_until_attack(14 * DAY, 95), 0);
}

static void one_file_is_one_however_often_it_is_written(void **state) {
        (void)state;
        for (unsigned i = 0; i < 1000; i++)
                assert_int_not_equal(add(RANSOM_ALTERED, 100, "srv/database", i), RANSOM_ATTACK);
        assert_int_not_equal(add(RANSOM_ALTERED, 100, "srv/other", 0), RANSOM_ATTACK);
}

static void renamed_on_the_way_it_stays_the_same_file(void **state) {
        (void)state;
        for (unsigned i = 0; i < 20; i++) {
                char from[64], to[64];
                assert_int_not_equal(add(RANSOM_ALTERED, 100, "srv/a.#", i), RANSOM_ATTACK);
                rename_file(0, named(from, "srv/a.#", i), named(to, "srv/a.#", i + 1));
        }
        assert_int_equal(ransom.n_files, 1);
}

static void a_copy_and_its_original_are_a_pair_in_either_order(void **state) {
        for (unsigned order = 0; order < 2; order++) {
                enum ransom_verdict verdict = RANSOM_NONE;
                begin(state);
                for (unsigned i = 0; i < 3; i++, now_ns += MINUTE) {
                        assert_int_not_equal(verdict, RANSOM_ATTACK);
                        if (order)
                                add(RANSOM_DELETED, 0, "srv/#.pdf", i);
                        verdict = add(RANSOM_CREATED, 30, "srv/#.pdf.x1", i);
                        if (!order)
                                verdict = add(RANSOM_DELETED, 0, "srv/#.pdf", i);
                }
                assert_int_equal(verdict, RANSOM_ATTACK);
                assert_int_equal(ransom.n_pairs, 3);
        }
}

static void all_copied_first_then_all_removed_is_a_pair_too(void **state) {
        for (unsigned order = 0; order < 2; order++) {
                begin(state);
                for (unsigned i = 0; i < 500; i++)
                        add(RANSOM_CREATED, 30, "srv/#.pdf.x1", i);
                unsigned n = 0;
                while (n++ < 100 && add(RANSOM_DELETED, 0, "srv/#.pdf", order ? 500 - n : n) != RANSOM_ATTACK)
                        ;
                assert_in_range(n, 3, 5);
        }
}

static void a_copy_under_a_name_of_its_own_pairs_by_size(void **state) {
        (void)state;
        unsigned n = 0;
        do {
                add(RANSOM_CREATED, 30, "srv/#", n * 2654435761U);
        } while (add(RANSOM_DELETED, 0, "srv/#.pdf", n++) != RANSOM_ATTACK && n < 100);
        assert_in_range(n, 3, 5);
}

static void backups_that_turn_over_are_none(void **state) {
        (void)state;
        for (unsigned i = 0; i < 500; i++) {
                add(RANSOM_CREATED, 30, "repo/data/#", i * 2654435761U);
                assert_int_not_equal(add(RANSOM_DELETED, 0, "repo/data/#", (i + 7777) * 2654435761U),
                                     RANSOM_ATTACK);
        }
}

static void compressing_a_tree_is_none(void **state) {
        (void)state;
        for (unsigned i = 0; i < 500; i++) {
                add(RANSOM_CREATED, 0, "srv/#.log.gz", i);
                assert_int_not_equal(add(RANSOM_DELETED, 0, "srv/#.log", i), RANSOM_ATTACK);
        }
}

static void removing_or_renaming_thousands_is_none(void **state) {
        (void)state;
        enum ransom_verdict verdict = RANSOM_NONE;
        for (unsigned i = 0; i < 5000; i++) {
                verdict = add(RANSOM_DELETED, 0, "srv/node_modules/#.js", i);
                assert_int_not_equal(verdict, RANSOM_ATTACK);
                assert_int_not_equal(rename_file(i, "srv/#.jpeg", "srv/#.jpg"), RANSOM_ATTACK);
        }
        assert_int_equal(verdict, RANSOM_WATCH);
}

static void emptying_logs_is_none_and_a_tree_is_watched(void **state) {
        (void)state;
        for (unsigned i = 0; i < 100; i++) {
                char path[64];
                struct ransom_sign sign = sign_of(RANSOM_ALTERED, named(path, "log/#.log", i), 10);
                sign.content.random = false;
                sign.content.wiped = true;
                assert_int_equal(ransom_case_add(&ransom, &sign), i < 9 ? RANSOM_NONE : RANSOM_WATCH);
        }
}

static void one_or_two_files_of_his_own_are_none(void **state) {
        (void)state;
        for (unsigned i = 0; i < 2; i++) {
                add(RANSOM_CREATED, 30, "home/#.txt.gpg", i);
                assert_int_not_equal(add(RANSOM_DELETED, 0, "home/#.txt", i), RANSOM_ATTACK);
        }
}

static void temporary_files_pair_with_nothing(void **state) {
        (void)state;
        for (unsigned i = 0; i < 100; i++) {
                add(RANSOM_CREATED, 30, "srv/#.doc.tmp", i);
                assert_int_equal(add(RANSOM_DELETED, 0, "srv/#.doc.tmp", i), RANSOM_NONE);
        }
}

static void many_that_wait_before_they_go_again_are_no_originals(void **state) {
        static const char *const names[] = {"srv/#.doc.tmp", "cache/#.br", "objects/#"};
        for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
                begin(state);
                for (unsigned i = 0; i < 300; i++)
                        add(RANSOM_CREATED, 30, names[k], i);
                now_ns += 2 * DAY;
                for (unsigned i = 0; i < 300; i++)
                        assert_int_not_equal(add(RANSOM_DELETED, 0, names[k], i), RANSOM_ATTACK);
                assert_int_equal(ransom.n_pairs, 0);
        }
}

static void make(const char *format, unsigned i) {
        char path[64];
        struct ransom_sign sign = sign_of(RANSOM_CREATED, named(path, format, i), 40);
        ransom_case_created(&ransom, &sign);
}

/* As git does with its objects, whose names have no extension, and a cache with what it keeps compressed. */
static void removing_what_it_made_itself_is_none(void **state) {
        (void)state;
        for (unsigned i = 0; i < 1000; i++) {
                make("srv/objects/tmp#", i);
                add(RANSOM_CREATED, 40, "srv/objects/tmp#", i);
                rename_file(i, "srv/objects/tmp#", "srv/objects/#");
        }
        add(RANSOM_CREATED, 40, "srv/pack/pack.pack", 0);
        for (unsigned i = 0; i < 1000; i++)
                assert_int_not_equal(add(RANSOM_DELETED, 0, "srv/objects/#", i), RANSOM_ATTACK);
        assert_int_equal(ransom_case_score(&ransom), 0);
        for (unsigned i = 0; i < 50; i++) { /* the comparison is answered when it is gone already */
                make("srv/cache/#", i);
                add(RANSOM_DELETED, 0, "srv/cache/#", i);
                assert_int_not_equal(add(RANSOM_CREATED, 40, "srv/cache/#", i), RANSOM_ATTACK);
        }
        assert_int_equal(ransom_case_score(&ransom), 0);
}

static void removing_what_it_made_long_ago_or_not_at_all_is_an_attack(void **state) {
        (void)state;
        for (unsigned i = 0; i < 3; i++)
                make("srv/#.docx", i);
        now_ns += RANSOM_YOUNG_NS;
        for (unsigned i = 0; i < 3; i++) {
                make("srv/#.docx.locked", i);
                add(RANSOM_CREATED, 40, "srv/#.docx.locked", i);
                add(RANSOM_DELETED, 0, "srv/#.docx", i);
        }
        assert_int_equal(ransom.verdict, RANSOM_ATTACK);
        begin(state);
        for (unsigned i = 0; i < 3; i++) { /* removed, and made anew under the same name */
                add(RANSOM_DELETED, 0, "srv/#", i);
                make("srv/#", i);
                add(RANSOM_CREATED, 40, "srv/#", i);
        }
        assert_int_equal(ransom.verdict, RANSOM_ATTACK);
}

static struct ransom_sign note_in(const char *format, unsigned i) {
        char path[64];
        struct ransom_sign sign = sign_of(RANSOM_CREATED, named(path, format, i), 40);
        sign.content.random = false;
        sign.content.note = true;
        return sign;
}

static void notes_alone_are_watched_and_with_upheaval_an_attack(void **state) {
        (void)state;
        for (unsigned i = 0; i < 50; i++) {
                struct ransom_sign sign = note_in("samples/#/readme.txt", i);
                assert_int_equal(ransom_case_add(&ransom, &sign), RANSOM_WATCH);
        }
        enum ransom_verdict verdict = RANSOM_NONE;
        for (unsigned i = 0; i < 10; i++)
                verdict = rename_file(i, "srv/#.pdf", "srv/#.pdf.pwned");
        assert_int_equal(verdict, RANSOM_ATTACK);
}

static void a_note_or_a_lost_decoy_hastens_it(void **state) {
        struct ransom_sign sign = note_in("srv/readme.txt", 0);
        assert_int_equal(ransom_case_add(&ransom, &sign), RANSOM_WATCH);
        assert_int_equal(add(RANSOM_ALTERED, 95, "srv/#.pdf", 1), RANSOM_WATCH);
        assert_int_equal(add(RANSOM_ALTERED, 95, "srv/#.pdf", 2), RANSOM_ATTACK);

        begin(state);
        sign = sign_of(RANSOM_ALTERED, "srv/.decoy.pdf", 95);
        sign.decoy = true;
        assert_int_equal(ransom_case_add(&ransom, &sign), RANSOM_WATCH);
        assert_int_equal(add(RANSOM_ALTERED, 95, "srv/#.pdf", 1), RANSOM_ATTACK);
}

static void a_decoy_touched_without_harm_is_watched(void **state) {
        (void)state;
        struct ransom_sign sign = sign_of(RANSOM_ALTERED, "srv/.decoy.pdf", 0);
        sign.decoy = true;
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(ransom_case_add(&ransom, &sign), RANSOM_WATCH);
}

/* Who alters much and well is given more room, but never enough for ten files. */
static void good_work_beside_it_does_not_hide_an_attack(void **state) {
        (void)state;
        for (unsigned i = 0; i < 10000; i++)
                assert_int_equal(add(RANSOM_ALTERED, 5, "srv/#.txt", i), RANSOM_NONE);
        assert_in_range(files_until_attack(MINUTE, 95), 3, 5);
}

static void a_verdict_stays_and_says_why(void **state) {
        (void)state;
        files_until_attack(NS_PER_S, 95);
        now_ns += 365 * DAY;
        assert_int_equal(add(RANSOM_ALTERED, 0, "srv/#.txt", 1), RANSOM_ATTACK);
        json_t *reasons = ransom_case_reasons(&ransom);
        assert_string_equal(json_string_value(json_array_get(reasons, 0)), "files whose content is lost: 3");
        json_decref(reasons);
}

static void signs_survive_their_journey(void **state) {
        (void)state;
        struct ransom_signs signs = {.changed_permille = 7, .wiped = true, .note = true, .suspicion = 80},
                            back;
        ransom_signs_say(&signs, "a reason", "%d %%", 12);
        ransom_signs_say(&signs, "another", NULL);
        json_t *json = ransom_signs_encode(&signs);
        assert_int_equal(ransom_signs_decode(json, &back), 0);
        assert_memory_equal(&signs, &back, sizeof(signs));
        assert_string_equal(back.reasons[0], "a reason: 12 %");
        json_object_set_new(json, "suspicion", json_integer(101));
        assert_int_equal(ransom_signs_decode(json, &back), -EBADMSG);
        json_decref(json);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(three_lost_files_are_an_attack_at_any_pace, begin),
                cmocka_unit_test_setup(odd_files_over_a_year_are_none, begin),
                cmocka_unit_test_setup(one_file_is_one_however_often_it_is_written, begin),
                cmocka_unit_test_setup(renamed_on_the_way_it_stays_the_same_file, begin),
                cmocka_unit_test_setup(a_copy_and_its_original_are_a_pair_in_either_order, begin),
                cmocka_unit_test_setup(all_copied_first_then_all_removed_is_a_pair_too, begin),
                cmocka_unit_test_setup(a_copy_under_a_name_of_its_own_pairs_by_size, begin),
                cmocka_unit_test_setup(backups_that_turn_over_are_none, begin),
                cmocka_unit_test_setup(compressing_a_tree_is_none, begin),
                cmocka_unit_test_setup(removing_or_renaming_thousands_is_none, begin),
                cmocka_unit_test_setup(emptying_logs_is_none_and_a_tree_is_watched, begin),
                cmocka_unit_test_setup(one_or_two_files_of_his_own_are_none, begin),
                cmocka_unit_test_setup(temporary_files_pair_with_nothing, begin),
                cmocka_unit_test_setup(many_that_wait_before_they_go_again_are_no_originals, begin),
                cmocka_unit_test_setup(removing_what_it_made_itself_is_none, begin),
                cmocka_unit_test_setup(removing_what_it_made_long_ago_or_not_at_all_is_an_attack, begin),
                cmocka_unit_test_setup(notes_alone_are_watched_and_with_upheaval_an_attack, begin),
                cmocka_unit_test_setup(a_note_or_a_lost_decoy_hastens_it, begin),
                cmocka_unit_test_setup(a_decoy_touched_without_harm_is_watched, begin),
                cmocka_unit_test_setup(good_work_beside_it_does_not_hide_an_attack, begin),
                cmocka_unit_test_setup(a_verdict_stays_and_says_why, begin),
                cmocka_unit_test_setup(signs_survive_their_journey, begin),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
