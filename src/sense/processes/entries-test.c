/* The remembered processes: ancestors outlive their exit, bounds hold, and nothing is freed twice (the sanitizers look). */
#include "sense/processes/entries.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/slots.h"
#include "sense/processes/kept.h"
#include "sense/processes/table.h"

static void a_child_starts_as_its_parent(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        struct entry *parent = entries_add(entries, 10, NULL);
        parent->uid = 33;
        entries_set_image(entries, parent, "/bin/sh", "sh -c x");
        struct entry *child = entries_add(entries, 11, parent);
        assert_int_equal(child->uid, 33);
        assert_string_equal(text_of(child->command_line), "sh -c x");
        entries_set_image(entries, child, "/bin/true", "");
        assert_null(child->command_line);
        assert_string_equal(text_of(parent->executable), "/bin/sh");
}

static void an_ancestor_is_kept_while_it_has_descendants(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        struct entry *parent = entries_add(entries, 10, NULL);
        entries_set_image(entries, parent, "/bin/sh", "sh");
        struct entry *child = entries_add(entries, 11, parent);
        entries_exit(entries, parent, 1);
        entries_trim(entries, 2 * PROCESS_KEPT_AFTER_EXIT_NS);
        assert_null(entries_find(entries, 10));
        assert_ptr_equal(child->parent, parent);
        assert_string_equal(text_of(child->parent->command_line), "sh");
        assert_int_equal(entries_count(entries), 2);
        entries_exit(entries, child, 2 * PROCESS_KEPT_AFTER_EXIT_NS);
        entries_trim(entries, 2 * PROCESS_KEPT_AFTER_EXIT_NS + 1);
        assert_ptr_equal(entries_find(entries, 11), child);
        entries_trim(entries, 4 * PROCESS_KEPT_AFTER_EXIT_NS);
        assert_int_equal(entries_count(entries), 0);
        assert_int_equal(entries_text_bytes(entries), 0);
}

static void a_pid_used_again_is_another_process(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        struct entry *old = entries_add(entries, 10, NULL);
        struct entry *child = entries_add(entries, 11, old);
        entries_exit(entries, old, 1);
        struct entry *again = entries_add(entries, 10, child);
        assert_ptr_not_equal(again, old);
        assert_ptr_equal(entries_find(entries, 10), again);
        assert_ptr_equal(child->parent, old);
        entries_add(entries, 10, NULL); /* the exit of the second was lost */
        assert_int_equal(entries_count(entries), 3);
}

static void a_chain_of_forks_does_not_grow_without_end(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        struct entry *entry = entries_add(entries, 1, NULL);
        for (int i = 2; i < 1000; i++) {
                struct entry *child = entries_add(entries, i, entry);
                entries_exit(entries, entry, 1);
                entry = child;
        }
        entries_trim(entries, 1000 * PROCESS_KEPT_AFTER_EXIT_NS);
        assert_true(entries_count(entries) <= ENTRIES_DEPTH_MAX + 2);
}

static void no_loop_of_parents_is_made(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        struct entry *a = entries_add(entries, 1, NULL);
        struct entry *b = entries_add(entries, 2, a);
        entries_set_parent(entries, a, b);
        assert_null(a->parent);
}

static void the_oldest_exited_go_first(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        for (int i = 1; i <= PROCESS_TABLE_MAX + 100; i++) {
                struct entry *entry = entries_add(entries, i, NULL);
                assert_non_null(entry);
                entries_exit(entries, entry, (uint64_t)i);
                entries_trim(entries, (uint64_t)i);
        }
        assert_int_equal(entries_count(entries), PROCESS_TABLE_MAX);
        assert_null(entries_find(entries, 100));
        assert_non_null(entries_find(entries, 101));
}

static void a_table_full_of_the_living_refuses(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        for (int i = 1; i <= PROCESS_TABLE_MAX; i++)
                assert_non_null(entries_add(entries, i, NULL));
        assert_null(entries_add(entries, PROCESS_TABLE_MAX + 1, NULL));
}

static void names_have_a_bound_of_bytes(void **state) {
        (void)state;
        _cleanup_(entries_freep) struct entries *entries = entries_new();
        char line[4096];
        memset(line, 'x', sizeof(line) - 1);
        line[sizeof(line) - 1] = '\0';
        for (int i = 1; i < 2000; i++) {
                struct entry *entry = entries_add(entries, i, NULL);
                snprintf(line, 16, "%d", i);
                line[strlen(line)] = 'x';
                entries_set_image(entries, entry, "/bin/sh", line);
                entries_exit(entries, entry, (uint64_t)i);
                entries_trim(entries, (uint64_t)i);
        }
        assert_true(entries_text_bytes(entries) <= ENTRIES_TEXT_BYTES_MAX);
        assert_non_null(entries_find(entries, 1999));
}

static void a_successor_knows_them(void **state) {
        (void)state;
        char line[3000];
        memset(line, 'x', sizeof(line) - 1);
        line[sizeof(line) - 1] = '\0';
        _cleanup_(fd_closep) int fd = slots_open("test", 8);
        struct entries *first = entries_new_kept(fd);
        struct entry *init = entries_add(first, 1, NULL);
        entries_set_image(first, init, "/sbin/init", "init");
        struct entry *gone = entries_add(first, 10, init);
        entries_set_image(first, gone, "/bin/sh", line);
        gone->uid = 33;
        struct entry *child = entries_add(first, 11, gone);
        entries_set_image(first, child, "/bin/cp", "cp a b");
        entries_exit(first, gone, 5);
        entries_exit(first, child, 7);
        struct entry *again = entries_add(first, 10, init);
        again->start_ns = 77;
        entries_keep(first, again);
        entries_free(first);

        _cleanup_(entries_freep) struct entries *second = entries_new_kept(fd);
        assert_int_equal(entries_count(second), 4);
        assert_int_equal(entries_find(second, 10)->start_ns, 77);
        child = entries_find(second, 11);
        assert_int_equal(child->exited_ns, 7);
        assert_string_equal(text_of(child->executable), "/bin/cp");
        assert_int_equal(child->uid, 33);
        assert_int_equal(child->parent->pid, 10);
        assert_int_equal(child->parent->exited_ns, 5);
        assert_string_equal(text_of(child->parent->executable), "/bin/sh");
        assert_int_equal(strspn(text_of(child->parent->command_line), "x"),
                         strlen(text_of(child->parent->command_line)));
        assert_true(strlen(text_of(child->parent->command_line)) > 300);
        assert_ptr_equal(child->parent->parent, entries_find(second, 1));
        entries_trim(second, 8 + PROCESS_KEPT_AFTER_EXIT_NS);
        assert_int_equal(entries_count(second), 2);

        _cleanup_(entries_freep) struct entries *third = entries_new_kept(fd);
        assert_int_equal(entries_count(third), 2);
        assert_null(entries_find(third, 11));
}

/* Two that live under one pid, a parent that is its own child, a slot that is no process, more than there is room for. */
static void nothing_a_predecessor_left_is_trusted(void **state) {
        (void)state;
        _cleanup_(fd_closep) int fd = slots_open("test", 6);
        _cleanup_(slots_deinit) struct slots slots = {0};
        assert_int_equal(slots_init(&slots, fd, 0), 0);
        const struct entry process = {.pid = 5};
        static const uint32_t parents[] = {1, 0, 7000, SLOT_NONE};
        for (uint32_t i = 0; i < 5; i++) {
                struct entry entry = process;
                entry.pid += i < 2 ? (int)i : 0;
                uint32_t slot = slots_take(&slots);
                if (i < 4)
                        kept_encode(&entry, parents[i], slots_at(&slots, slot), SLOT_BYTES_MAX);
                else
                        memset(slots_at(&slots, slot), 0xff, SLOT_BYTES_MAX);
                slots_publish(&slots, slot);
        }
        _cleanup_(entries_freep) struct entries *entries = entries_new_kept(fd);
        assert_int_equal(entries_count(entries), 2);
        assert_true(!entries_find(entries, 5)->parent || !entries_find(entries, 6)->parent);
        for (int i = 100; i < 110; i++)
                assert_non_null(entries_add(entries, i, NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_child_starts_as_its_parent),
                cmocka_unit_test(an_ancestor_is_kept_while_it_has_descendants),
                cmocka_unit_test(a_pid_used_again_is_another_process),
                cmocka_unit_test(a_chain_of_forks_does_not_grow_without_end),
                cmocka_unit_test(no_loop_of_parents_is_made),
                cmocka_unit_test(the_oldest_exited_go_first),
                cmocka_unit_test(a_table_full_of_the_living_refuses),
                cmocka_unit_test(names_have_a_bound_of_bytes),
                cmocka_unit_test(a_successor_knows_them),
                cmocka_unit_test(nothing_a_predecessor_left_is_trusted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
