/* The journal: torn and stale records are not taken for commits. */
#include "ledger/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/io.h"

struct fixture {
        struct digester *digester;
        int fd;
        uint64_t sequence;
        uint64_t offset; /* in the area */
        unsigned area;
        struct digest last;
};

static int setup(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        _cleanup_(buffer_deinit) struct buffer header = {0};
        fixture->digester = digester_new();
        fixture->fd = memfd_create("journal", MFD_CLOEXEC);
        if (ftruncate(fixture->fd, (off_t)JOURNAL_BYTES) < 0 ||
            journal_header_encode(&header, "key\n", 4) < 0 ||
            io_pwrite_all(fixture->fd, header.data, header.size, 0) < 0)
                return -1;
        *state = fixture;
        return 0;
}

static int teardown(void **state) {
        struct fixture *fixture = *state;
        close(fixture->fd);
        digester_free(fixture->digester);
        free(fixture);
        return 0;
}

/* Writes the first `part` bytes of a record (0: all). */
static void put(struct fixture *fixture, const char *entries, size_t part) {
        _cleanup_(buffer_deinit) struct buffer bytes = {0};
        struct journal_record record = {
                .sequence = ++fixture->sequence,
                .n_entries = 1,
                .entries = entries,
                .entries_bytes = strlen(entries),
                .note = "note",
                .note_bytes = 4,
                .previous = fixture->offset ? fixture->last : (struct digest){{0}},
        };
        assert_int_equal(journal_record_encode(fixture->digester, &record, &bytes), 0);
        assert_int_equal(bytes.size, journal_record_bytes(&record));
        assert_int_equal(io_pwrite_all(fixture->fd, bytes.data, part ?: bytes.size,
                                       journal_area_offset(fixture->area) + fixture->offset),
                         0);
        fixture->offset += bytes.size;
        fixture->last = record.digest;
}

static void turn(struct fixture *fixture) {
        fixture->area = !fixture->area;
        fixture->offset = 0;
}

static void assert_journal(const struct fixture *fixture, uint64_t first, uint64_t last) {
        _cleanup_(journal_image_deinit) struct journal_image image = {0};
        struct journal_record record;
        size_t offset = 0;
        assert_int_equal(journal_load(fixture->fd, fixture->digester, &image), 1);
        assert_int_equal(image.identity_bytes, 4);
        assert_memory_equal(image.identity, "key\n", 4);
        assert_int_equal(image.first.sequence, first);
        assert_int_equal(image.last.sequence, last);
        for (uint64_t i = first; i <= last; i++) {
                assert_int_equal(journal_next(&image, fixture->digester, &offset, &record), 1);
                assert_int_equal(record.sequence, i);
        }
        assert_int_equal(journal_next(&image, fixture->digester, &offset, &record), 0);
}

static void a_new_journal_has_no_record(void **state) {
        const struct fixture *fixture = *state;
        _cleanup_(journal_image_deinit) struct journal_image image = {0};
        assert_int_equal(journal_load(fixture->fd, fixture->digester, &image), 0);
        assert_int_equal(image.identity_bytes, 4);
}

static void records_are_read_in_order(void **state) {
        struct fixture *fixture = *state;
        for (int i = 0; i < 5; i++)
                put(fixture, "entries", 0);
        assert_journal(fixture, 1, 5);
}

static void a_torn_record_is_none(void **state) {
        struct fixture *fixture = *state;
        put(fixture, "one", 0);
        uint64_t offset = fixture->offset;
        struct digest last = fixture->last;
        for (size_t part = 1; part < 150; part++) {
                fixture->offset = offset;
                fixture->last = last;
                fixture->sequence = 1;
                put(fixture, "two", part);
                assert_journal(fixture, 1, 1);
        }
}

static void the_newer_area_counts(void **state) {
        struct fixture *fixture = *state;
        put(fixture, "one", 0);
        put(fixture, "two", 0);
        turn(fixture);
        put(fixture, "three", 0);
        assert_journal(fixture, 3, 3);
        turn(fixture);
        put(fixture, "four", 0);
        assert_journal(fixture, 4, 4);
}

/* A record of the round before may stand exactly where the next would: the chain tells them apart. */
static void a_stale_record_is_not_taken_up(void **state) {
        struct fixture *fixture = *state;
        put(fixture, "one", 0);
        put(fixture, "two", 0);
        turn(fixture);
        put(fixture, "three", 0);
        turn(fixture);
        put(fixture, "fou", 0); /* as long as "one" */
        assert_journal(fixture, 4, 4);
}

static void a_torn_turn_leaves_the_older_area(void **state) {
        struct fixture *fixture = *state;
        put(fixture, "one", 0);
        put(fixture, "two", 0);
        turn(fixture);
        put(fixture, "three", 100);
        assert_journal(fixture, 1, 2);
}

static void what_is_no_journal_is_refused(void **state) {
        struct fixture *fixture = *state;
        _cleanup_(journal_image_deinit) struct journal_image image = {0};
        assert_int_equal(io_pwrite_all(fixture->fd, "x", 1, 0), 0);
        assert_int_equal(journal_load(fixture->fd, fixture->digester, &image), -EBADMSG);
        assert_int_equal(io_pwrite_all(fixture->fd, "h", 1, 0), 0);
        assert_int_equal(journal_load(fixture->fd, fixture->digester, &image), 0);
        assert_int_equal(io_pwrite_all(fixture->fd, "\xff", 1, 16), 0);
        journal_image_deinit(&image);
        assert_int_equal(journal_load(fixture->fd, fixture->digester, &image), -EBADMSG);
        assert_int_equal(ftruncate(fixture->fd, 100), 0);
        assert_int_equal(journal_load(fixture->fd, fixture->digester, &image), -EBADMSG);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_new_journal_has_no_record),    TEST(records_are_read_in_order),
                TEST(a_torn_record_is_none),          TEST(the_newer_area_counts),
                TEST(a_stale_record_is_not_taken_up), TEST(a_torn_turn_leaves_the_older_area),
                TEST(what_is_no_journal_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
