#include "event/finding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "event/json.h"

static json_t *new_finding(void) {
        return finding_new("hnm-1", "A title", SEVERITY_LOW, 1);
}

static void add(json_t *finding, const char *path, uint64_t size, pid_t pid, const char *diff) {
        struct change *change = change_new();
        struct actor actor = {.n_processes = 2,
                              .processes = {{.pid = pid, .executable = (char *)"/bin/cp"},
                                            {.pid = 7, .executable = (char *)"/bin/sh"}}};
        json_auto_t *json = actor_encode(&actor), *reasons = json_pack("[s]", "a reason");
        change->path = strdup(path);
        change->after.mode = S_IFREG | 0644;
        change->after.size_bytes = size;
        change->after.digest.bytes[0] = (uint8_t)size;
        assert_int_equal(finding_add_change(finding, change, pid ? json : NULL, reasons, diff), 0);
        change_free(change);
}

static json_t *evidence(const json_t *finding, size_t i) {
        return json_array_get(json_object_get(finding, "evidences"), i);
}

/* Each on its own in a finding, where nothing can be left out. */
static void assert_whole(const json_t *finding, size_t i, const char *path, uint64_t size, pid_t pid,
                         const char *diff) {
        json_auto_t *alone = new_finding();
        add(alone, path, size, pid, diff);
        assert_true(json_equal(evidence(finding, i), evidence(alone, 0)));
}

static void what_resembles_is_written_once(void **state) {
        (void)state;
        json_auto_t *finding = new_finding();
        add(finding, "/t/a", 5, 42, "+a\n");
        add(finding, "/t/b", 5, 42, "+b\n");
        add(finding, "/t/c", 6, 43, NULL);
        assert_null(json_object_get(evidence(finding, 0), "like"));
        for (size_t i = 1; i < 3; i++) {
                assert_int_equal(json_get_integer(evidence(finding, i), "like", -1), 0);
                assert_null(json_object_get(json_object_get(evidence(finding, i), "data"), "reasons"));
        }
        assert_null(json_object_get(evidence(finding, 1), "actor"));
        finding_expand(finding);
        assert_whole(finding, 0, "/t/a", 5, 42, "+a\n");
        assert_whole(finding, 1, "/t/b", 5, 42, "+b\n");
        assert_whole(finding, 2, "/t/c", 6, 43, NULL);
}

/* No actor, no size to inherit: nothing may come from the neighbour that was not there. */
static void what_lacks_a_member_stands_alone(void **state) {
        (void)state;
        json_auto_t *finding = new_finding();
        add(finding, "/t/a", 5, 42, NULL);
        add(finding, "/t/b", 0, 42, NULL);
        add(finding, "/t/c", 5, 0, NULL);
        add(finding, "/t/d", 5, 0, NULL);
        assert_null(json_object_get(evidence(finding, 1), "like"));
        assert_null(json_object_get(evidence(finding, 2), "like"));
        assert_int_equal(json_get_integer(evidence(finding, 3), "like", -1), 2);
        finding_expand(finding);
        assert_whole(finding, 1, "/t/b", 0, 42, NULL);
        assert_whole(finding, 2, "/t/c", 5, 0, NULL);
        assert_whole(finding, 3, "/t/d", 5, 0, NULL);
}

static void merged_they_still_resemble_their_own(void **state) {
        (void)state;
        json_auto_t *finding = new_finding(), *update = new_finding();
        add(finding, "/t/a", 5, 42, NULL);
        add(finding, "/t/b", 5, 42, NULL);
        add(update, "/t/c", 9, 99, NULL);
        add(update, "/t/d", 9, 99, NULL);
        assert_int_equal(finding_merge(finding, update), 0);
        assert_int_equal(json_get_integer(evidence(finding, 3), "like", -1), 2);
        assert_int_equal(json_get_integer(evidence(update, 1), "like", -1), 0);
        finding_expand(finding);
        assert_whole(finding, 1, "/t/b", 5, 42, NULL);
        assert_whole(finding, 3, "/t/d", 9, 99, NULL);
}

static void what_points_nowhere_stays_as_it_is(void **state) {
        (void)state;
        static const char *const evidences[] = {"[{\"like\":0}]",
                                                "[{\"like\":-1},{\"like\":7},{\"like\":\"x\"}]",
                                                "[1,{\"like\":0},null]", "{}", "[[],{\"like\":0,\"a\":{}}]"};
        for (size_t i = 0; i < ARRAY_SIZE(evidences); i++) {
                json_auto_t *finding = json_object();
                json_object_set_new(finding, "evidences", json_loads(evidences[i], 0, NULL));
                finding_expand(finding);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_resembles_is_written_once),
                cmocka_unit_test(what_lacks_a_member_stands_alone),
                cmocka_unit_test(merged_they_still_resemble_their_own),
                cmocka_unit_test(what_points_nowhere_stays_as_it_is),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
