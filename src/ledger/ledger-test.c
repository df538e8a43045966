/* The log as a whole: written, opened again, read, verified; and every way to tamper with it found. */
#include "ledger/ledger.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "ledger/tree.h"
#include "ledger/verify.h"

struct fixture {
        char state[64];
        struct ledger *ledger;
        uint64_t wall_ns;
        uint64_t monotonic_ns;
        struct clock clock;
};

static uint64_t wall(void *userdata) {
        return ((struct fixture *)userdata)->wall_ns;
}

static uint64_t monotonic(void *userdata) {
        return ((struct fixture *)userdata)->monotonic_ns;
}

static void _printf_(1, 2) shell(const char *format, ...) {
        char command[4096];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(command, sizeof(command), format, arguments);
        va_end(arguments);
        assert_int_equal(system(command), 0);
}

static int setup(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));
        strcpy(fixture->state, "/tmp/ledger-test.XXXXXX");
        if (!mkdtemp(fixture->state))
                return -1;
        fixture->wall_ns = UINT64_C(1700000000) * NS_PER_S;
        fixture->monotonic_ns = NS_PER_S;
        fixture->clock = (struct clock){.wall_ns = wall, .monotonic_ns = monotonic, .userdata = fixture};
        *state = fixture;
        return 0;
}

static int teardown(void **state) {
        struct fixture *fixture = *state;
        ledger_close(fixture->ledger);
        shell("rm -rf %s %s.*", fixture->state, fixture->state);
        free(fixture);
        return 0;
}

static void pass(struct fixture *fixture, uint64_t ns) {
        fixture->wall_ns += ns;
        fixture->monotonic_ns += ns;
}

static void begin(struct fixture *fixture) {
        assert_int_equal(ledger_open(fixture->state, &fixture->clock, NULL, &fixture->ledger), 0);
}

static void end(struct fixture *fixture) {
        fixture->ledger = ledger_close(fixture->ledger);
}

/* Adds entries that name their own index; not committed. */
static void add(struct fixture *fixture, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char time[CLOCK_RFC3339_SIZE], entry[128];
                uint64_t index;
                pass(fixture, NS_PER_MS);
                clock_format(ledger_time(fixture->ledger), time);
                int size = snprintf(entry, sizeof(entry), "{\"time\":\"%s\",\"kind\":\"state\",\"n\":%u}",
                                    time, i);
                assert_int_equal(ledger_add(fixture->ledger, entry, (size_t)size, &index), 0);
        }
}

static void append(struct fixture *fixture, unsigned n) {
        add(fixture, n);
        assert_int_equal(ledger_commit(fixture->ledger), 0);
}

static struct ledger_report check_path(const char *path) {
        const struct ledger_verify_options options = {.path = path};
        struct ledger_report report;
        assert_int_equal(ledger_verify(&options, &report), 0);
        return report;
}

static struct ledger_report check(const struct fixture *fixture) {
        return check_path(fixture->state);
}

static void assert_sound(const struct fixture *fixture, uint64_t entries) {
        struct ledger_report report = check(fixture);
        assert_string_equal(ledger_problem_name(report.problem), "sound");
        assert_int_equal(report.entries, entries);
        assert_int_equal(report.checkpoint.size, entries);
}

static void assert_problem(const struct fixture *fixture, const char *name, uint64_t index) {
        struct ledger_report report = check(fixture);
        assert_string_equal(ledger_problem_name(report.problem), name);
        assert_int_equal(report.index, index);
}

static void an_empty_log_is_sound(void **state) {
        begin(*state);
        assert_sound(*state, 0);
        end(*state);
        assert_sound(*state, 0);
}

static void many_sizes_are_sound(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        unsigned size = 0;
        const unsigned steps[] = {1, 1, 2, 251, 1, 1, 255, 1, 300, 600};
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                append(fixture, steps[i]);
                size += steps[i];
                assert_int_equal(ledger_size(fixture->ledger), size);
                assert_sound(fixture, size);
                if (i % 2) {
                        end(fixture);
                        assert_sound(fixture, size);
                        begin(fixture);
                        assert_int_equal(ledger_size(fixture->ledger), size);
                        assert_int_equal(ledger_recovered(fixture->ledger), 0);
                }
        }
        assert_int_equal(ledger_settle(fixture->ledger), 0);
        assert_sound(fixture, size);
}

static int collect(uint64_t index, const char *entry, size_t size, void *userdata) {
        char expected[32];
        uint64_t *next = userdata;
        assert_int_equal(index, *next);
        snprintf(expected, sizeof(expected), "\"n\":%u}", (unsigned)(index % 100));
        assert_memory_equal(entry + size - strlen(expected), expected, strlen(expected));
        (*next)++;
        return 0;
}

static void entries_are_read_back_in_order(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        for (int i = 0; i < 6; i++)
                append(fixture, 100);
        uint64_t next = 0;
        assert_int_equal(ledger_read(fixture->state, 0, UINT64_MAX, collect, &next), 0);
        assert_int_equal(next, 600);
        next = 250;
        assert_int_equal(ledger_read(fixture->state, 250, 260, collect, &next), 0);
        assert_int_equal(next, 260);
}

static void a_heartbeat_dates_the_checkpoint(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        append(fixture, 1);
        uint64_t before = check(fixture).checkpoint.time_s;
        pass(fixture, 60 * NS_PER_S);
        assert_int_equal(ledger_commit(fixture->ledger), 0);
        struct ledger_report report = check(fixture);
        assert_int_equal(report.problem, LEDGER_SOUND);
        assert_int_equal(report.checkpoint.size, 1);
        assert_int_equal(report.checkpoint.time_s, before + 60);
}

static void times_go_on_when_the_clock_is_set_back(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        append(fixture, 3);
        assert_int_equal(ledger_clock_step(fixture->ledger), 0);
        fixture->wall_ns -= 3600 * NS_PER_S;
        assert_int_equal(ledger_clock_step(fixture->ledger), -(int64_t)(3600 * NS_PER_S));
        assert_int_equal(ledger_clock_step(fixture->ledger), 0);
        append(fixture, 3);
        end(fixture);
        begin(fixture);
        assert_true(ledger_clock_step(fixture->ledger) < 0);
        append(fixture, 3);
        assert_sound(fixture, 9);
}

static void a_second_writer_is_refused(void **state) {
        struct fixture *fixture = *state;
        struct ledger *second = NULL;
        begin(fixture);
        assert_int_equal(ledger_open(fixture->state, &fixture->clock, NULL, &second), -EBUSY);
}

static void an_entry_has_its_bounds(void **state) {
        struct fixture *fixture = *state;
        static char large[LEDGER_ENTRY_BYTES_MAX + 1];
        uint64_t index;
        begin(fixture);
        memset(large, ' ', sizeof(large));
        assert_int_equal(ledger_add(fixture->ledger, large, 0, &index), -EMSGSIZE);
        assert_int_equal(ledger_add(fixture->ledger, large, sizeof(large), &index), -EMSGSIZE);
        int r, n = 0;
        while ((r = ledger_add(fixture->ledger, large, LEDGER_ENTRY_BYTES_MAX, &index)) == 0)
                n++;
        assert_int_equal(r, -ENOBUFS);
        assert_int_equal(n, 16 - 1);
        assert_int_equal(ledger_commit(fixture->ledger), 0);
        assert_int_equal(ledger_add(fixture->ledger, large, LEDGER_ENTRY_BYTES_MAX, &index), 0);
        assert_int_equal(index, 15);
}

static void the_journal_goes_round(void **state) {
        struct fixture *fixture = *state;
        static char entry[30000];
        begin(fixture);
        for (unsigned i = 0; i < 220; i++) {
                char time[CLOCK_RFC3339_SIZE];
                uint64_t index;
                pass(fixture, NS_PER_MS);
                clock_format(ledger_time(fixture->ledger), time);
                memset(entry, ' ', sizeof(entry));
                entry[snprintf(entry, sizeof(entry), "{\"time\":\"%s\"", time)] = ' ';
                entry[sizeof(entry) - 1] = '}';
                assert_int_equal(ledger_add(fixture->ledger, entry, sizeof(entry), &index), 0);
                assert_int_equal(ledger_commit(fixture->ledger), 0);
                if (i % 37 == 0) {
                        end(fixture);
                        begin(fixture);
                }
        }
        assert_sound(fixture, 220);
        end(fixture);
        assert_sound(fixture, 220);
}

static void partial_tiles_go_when_the_tile_is_full(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        for (unsigned i = 0; i < 257; i++)
                append(fixture, 1);
        assert_int_equal(ledger_settle(fixture->ledger), 0);
        shell("test -f %s/ledger/tile/0/000 -a -f %s/ledger/tile/entries/000", fixture->state,
              fixture->state);
        shell("test ! -e %s/ledger/tile/0/000.p -a ! -e %s/ledger/tile/entries/000.p", fixture->state,
              fixture->state);
        shell("test -f %s/ledger/tile/0/001.p/1 -a -f %s/ledger/tile/1/000.p/1", fixture->state,
              fixture->state);
        assert_sound(fixture, 257);
}

/* Tampering. 520 entries: two full tiles and a tail of 8. */
static void build(struct fixture *fixture) {
        begin(fixture);
        append(fixture, 300);
        append(fixture, 200);
        for (unsigned i = 0; i < 20; i++)
                append(fixture, 1);
        assert_int_equal(ledger_seal(fixture->ledger, false), 1);
        assert_int_equal(ledger_settle(fixture->ledger), 0);
        end(fixture);
        assert_sound(fixture, 520);
}

static void patch(const struct fixture *fixture, const char *path, off_t offset, const char *text) {
        char full[256];
        snprintf(full, sizeof(full), "%s/%s", fixture->state, path);
        int fd = open(full, O_WRONLY);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, text, strlen(text), offset), (ssize_t)strlen(text));
        close(fd);
}

/* Replaces the first occurrence of `from` by `to`, of the same length. */
static void replace(const struct fixture *fixture, const char *path, const char *from, const char *to) {
        _cleanup_(buffer_deinit) struct buffer buffer = {0};
        char full[256];
        snprintf(full, sizeof(full), "%s/%s", fixture->state, path);
        assert_int_equal(io_read_file(AT_FDCWD, full, &buffer), 0);
        char *at = memmem(buffer.data, buffer.size, from, strlen(from));
        assert_non_null(at);
        patch(fixture, path, at - buffer.data, to);
}

static void an_altered_entry_is_named(void **state) {
        build(*state);
        replace(*state, "ledger/tile/entries/000", "\"n\":123}", "\"n\":124}");
        assert_problem(*state, "hash", 123);
}

static void an_altered_entry_in_the_tail_is_named(void **state) {
        build(*state);
        replace(*state, "ledger/tile/entries/002.p/8", "state", "sTate");
        assert_problem(*state, "hash", 512);
}

static void a_redated_entry_is_named(void **state) {
        build(*state);
        replace(*state, "ledger/tile/entries/000", "2023-11-14T22:13:20.050", "2023-11-14T22:13:20.049");
        assert_problem(*state, "hash", 49);
}

static void reordered_entries_are_named(void **state) {
        build(*state);
        struct fixture *fixture = *state;
        _cleanup_(buffer_deinit) struct buffer bundle = {0};
        char path[128];
        snprintf(path, sizeof(path), "%s/ledger/tile/entries/000", fixture->state);
        assert_int_equal(io_read_file(AT_FDCWD, path, &bundle), 0);
        const char *first = NULL, *second = NULL;
        size_t offset = 0, size = 0, size_second = 0;
        for (unsigned i = 0; i <= 10; i++)
                bundle_next(bundle.data, bundle.size, &offset, &first, &size);
        bundle_next(bundle.data, bundle.size, &offset, &second, &size_second);
        assert_int_equal(size, size_second);
        _cleanup_(freep) char *one = strndup(first, size), *other = strndup(second, size);
        patch(fixture, "ledger/tile/entries/000", first - bundle.data, other);
        patch(fixture, "ledger/tile/entries/000", second - bundle.data, one);
        assert_problem(*state, "hash", 10);
}

static void an_altered_hash_is_named(void **state) {
        build(*state);
        patch(*state, "ledger/tile/0/001", 32 * 7, "x");
        assert_problem(*state, "hash", 256 + 7);
}

static void an_altered_upper_tile_is_named(void **state) {
        build(*state);
        patch(*state, "ledger/tile/1/000.p/2", 32, "x");
        assert_problem(*state, "range", 256);
}

static void missing_entries_are_named(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("truncate -s -10 %s/ledger/tile/entries/001", fixture->state);
        assert_problem(fixture, "cut", 511);
        shell("rm %s/ledger/tile/entries/001", fixture->state);
        assert_problem(fixture, "cut", 256);
}

static void a_missing_tile_is_named(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("rm %s/ledger/tile/0/001", fixture->state);
        assert_problem(fixture, "tile", 256);
}

static void surplus_bytes_are_found(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("printf x >> %s/ledger/tile/entries/001", fixture->state);
        assert_problem(fixture, "surplus", 512);
}

static void surplus_files_are_found(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("cp %s/ledger/tile/0/001 %s/ledger/tile/0/009", fixture->state, fixture->state);
        assert_problem(fixture, "surplus", 520);
}

static void an_altered_checkpoint_is_found(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        replace(fixture, "ledger/checkpoint", "\n520\n", "\n519\n");
        assert_problem(fixture, "signature", 0);
        shell(": > %s/ledger/checkpoint", fixture->state);
        assert_problem(fixture, "checkpoint", 0);
        shell("rm %s/ledger/checkpoint", fixture->state);
        assert_problem(fixture, "checkpoint", 0);
}

static void a_log_set_back_is_found(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("cp -a %s/ledger %s.older", fixture->state, fixture->state);
        begin(fixture);
        append(fixture, 2);
        end(fixture);
        assert_sound(fixture, 522);
        shell("rm -r %s/ledger && cp -a %s.older %s/ledger", fixture->state, fixture->state, fixture->state);
        struct ledger_report report = check(fixture);
        assert_string_equal(ledger_problem_name(report.problem), "rollback");
        assert_int_equal(report.index, 520);
        assert_int_equal(report.other, 522);
        /* what the journal holds is restored */
        begin(fixture);
        assert_int_equal(ledger_recovered(fixture->ledger), 2);
        assert_sound(fixture, 522);
}

static void an_older_checkpoint_alone_is_found(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("cp -a %s/ledger/checkpoint %s.older", fixture->state, fixture->state);
        begin(fixture);
        append(fixture, 2);
        end(fixture);
        shell("cp -a %s.older %s/ledger/checkpoint", fixture->state, fixture->state);
        assert_problem(fixture, "rollback", 520);
        /* in a copy, by what lies behind its end */
        shell("cp -a %s/ledger %s.copy", fixture->state, fixture->state);
        char copy[80];
        snprintf(copy, sizeof(copy), "%s.copy", fixture->state);
        struct ledger_report report = check_path(copy);
        assert_string_equal(ledger_problem_name(report.problem), "surplus");
}

static void a_log_and_journal_set_back_is_found_by_the_seal_key(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("cp -a %s/ledger %s.older && cp -a %s/keys/journal %s.journal", fixture->state, fixture->state,
              fixture->state, fixture->state);
        begin(fixture);
        append(fixture, 2);
        assert_int_equal(ledger_seal(fixture->ledger, false), 1);
        end(fixture);
        shell("rm -r %s/ledger && cp -a %s.older %s/ledger && cp -a %s.journal %s/keys/journal",
              fixture->state, fixture->state, fixture->state, fixture->state, fixture->state);
        struct ledger_report report = check(fixture);
        assert_string_equal(ledger_problem_name(report.problem), "seals");
        struct ledger *again = NULL;
        assert_int_equal(ledger_open(fixture->state, &fixture->clock, NULL, &again), -EBADMSG);
}

static void a_forged_or_missing_seal_is_found(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("cp %s/ledger/seals %s.seals; rm %s/ledger/seals", fixture->state, fixture->state,
              fixture->state);
        assert_problem(fixture, "seals", 0);
        shell("cp %s.seals %s/ledger/seals", fixture->state, fixture->state);
        assert_sound(fixture, 520);
        patch(fixture, "ledger/seals", 15, "\x01");
        assert_problem(fixture, "seals", 0);
}

static void missing_keys_are_found(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("mv %s/keys/journal %s.journal", fixture->state, fixture->state);
        assert_problem(fixture, "keys_missing", 0);
        shell("rm -r %s/keys", fixture->state);
        struct ledger_report report = check(fixture);
        assert_int_equal(report.problem, LEDGER_SOUND);
        assert_true(report.notes & LEDGER_NOTE_COPY);
        const struct ledger_verify_options options = {.path = fixture->state, .expect_keys = true};
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_string_equal(ledger_problem_name(report.problem), "keys_missing");
}

static void another_log_in_its_place_is_found(void **state) {
        struct fixture *fixture = *state, other = *fixture;
        build(fixture);
        strcat(other.state, ".other");
        shell("mkdir %s", other.state);
        other.clock.userdata = &other;
        build(&other);
        shell("rm -r %s/ledger && cp -a %s/ledger %s/ledger", fixture->state, other.state, fixture->state);
        assert_problem(fixture, "key_other", 0);
}

static void a_checkpoint_kept_elsewhere_is_compared(void **state) {
        struct fixture *fixture = *state;
        _cleanup_(buffer_deinit) struct buffer kept = {0}, later = {0};
        char path[128];
        build(fixture);
        snprintf(path, sizeof(path), "%s/ledger/checkpoint", fixture->state);
        assert_int_equal(io_read_file(AT_FDCWD, path, &kept), 0);
        shell("cp -a %s %s.older", fixture->state, fixture->state);
        begin(fixture);
        append(fixture, 2);
        end(fixture);
        assert_int_equal(io_read_file(AT_FDCWD, path, &later), 0);

        struct ledger_report report;
        struct ledger_verify_options options = {
                .path = fixture->state, .against = kept.data, .against_bytes = kept.size};
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_int_equal(report.problem, LEDGER_SOUND);

        /* the whole of the state set back to a copy: only this shows it */
        char older[80];
        snprintf(older, sizeof(older), "%s.older", fixture->state);
        assert_int_equal(check_path(older).problem, LEDGER_SOUND);
        options = (struct ledger_verify_options){
                .path = older, .against = later.data, .against_bytes = later.size};
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_string_equal(ledger_problem_name(report.problem), "against_short");
        assert_int_equal(report.index, 520);
        assert_int_equal(report.other, 522);
}

static void add_text(struct fixture *fixture, const char *text) {
        uint64_t index;
        assert_int_equal(ledger_add(fixture->ledger, text, strlen(text), &index), 0);
}

static void an_entry_dated_before_the_one_before_is_named(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        append(fixture, 300);
        add_text(fixture, "{\"time\":\"2023-11-14T22:13:20Z\"}");
        assert_int_equal(ledger_commit(fixture->ledger), 0);
        assert_problem(fixture, "time", 300);
}

static void an_entry_that_is_no_object_with_a_time_is_named(void **state) {
        static const char *const texts[] = {"x",
                                            "[]",
                                            "{}",
                                            "{\"time\":5}",
                                            "{\"time\":\"2023-11-14\"}",
                                            "{\"time\":\"2030-11-14T22:13:20\"}",
                                            "{\"time\":\"2030-11-14T22:13:20Z\",\"time\":\"2\"}"};
        struct fixture *fixture = *state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                begin(fixture);
                append(fixture, 2);
                add_text(fixture, texts[i]);
                append(fixture, 1);
                assert_problem(fixture, "json", 2);
                end(fixture);
                shell("rm -r %s/*", fixture->state);
        }
}

static void a_checkpoint_older_than_its_entries_is_found(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        append(fixture, 2);
        add_text(fixture, "{\"time\":\"2099-11-14T22:13:20Z\"}");
        assert_int_equal(ledger_commit(fixture->ledger), 0);
        assert_problem(fixture, "checkpoint_time", 0);
}

/* Entry and hash altered together: what the journal knows of each commit still names it. */
static void an_entry_altered_with_its_hash_is_named_by_the_journal(void **state) {
        struct fixture *fixture = *state;
        _cleanup_(buffer_deinit) struct buffer bundle = {0};
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        char path[128];
        build(fixture);
        replace(fixture, "ledger/tile/entries/002.p/8", "state", "sTate");
        snprintf(path, sizeof(path), "%s/ledger/tile/entries/002.p/8", fixture->state);
        assert_int_equal(io_read_file(AT_FDCWD, path, &bundle), 0);
        struct digest leaf;
        size_t offset = 0, size;
        const char *entry;
        assert_int_equal(bundle_next(bundle.data, bundle.size, &offset, &entry, &size), 1);
        assert_int_equal(tree_leaf_hash(digester, entry, size, &leaf), 0);
        snprintf(path, sizeof(path), "%s/ledger/tile/0/002.p/8", fixture->state);
        int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, leaf.bytes, DIGEST_BYTES, 0), DIGEST_BYTES);
        close(fd);
        struct ledger_report report = check(fixture);
        assert_string_equal(ledger_problem_name(report.problem), "range");
        assert_int_equal(report.index, 512);
        assert_int_equal(report.other, 512);
        /* a copy has no journal; the seal was made over all 520 */
        shell("rm -r %s/keys", fixture->state);
        report = check(fixture);
        assert_string_equal(ledger_problem_name(report.problem), "sealed");
        assert_int_equal(report.other, 519);
}

/* A thief of the log's own key writes another history; the seals, whose keys are gone, do not fit it. */
static void a_history_rewritten_with_the_stolen_key_is_found_by_the_seals(void **state) {
        struct fixture *fixture = *state, thief = *fixture;
        _cleanup_(buffer_deinit) struct buffer kept = {0};
        char path[128];
        begin(fixture);
        append(fixture, 4);
        assert_int_equal(ledger_seal(fixture->ledger, false), 1);
        append(fixture, 4);
        end(fixture);
        snprintf(path, sizeof(path), "%s/ledger/checkpoint", fixture->state);
        assert_int_equal(io_read_file(AT_FDCWD, path, &kept), 0);

        strcat(thief.state, ".thief");
        thief.clock.userdata = &thief;
        shell("mkdir -p %s/keys && cp %s/keys/ledger.key %s/keys", thief.state, fixture->state, thief.state);
        begin(&thief);
        append(&thief, 3);
        pass(&thief, NS_PER_S);
        append(&thief, 6);
        end(&thief);
        assert_sound(&thief, 9);
        shell("cp %s/ledger/seal* %s/ledger && rm -r %s/keys", fixture->state, thief.state, thief.state);
        struct ledger_report report = check_path(thief.state);
        assert_string_equal(ledger_problem_name(report.problem), "sealed");
        assert_int_equal(report.index, 0);
        assert_int_equal(report.other, 3);

        /* and without any seal, by a checkpoint that was kept elsewhere */
        shell("rm %s/ledger/seals", thief.state);
        assert_int_equal(check_path(thief.state).problem, LEDGER_SOUND);
        const struct ledger_verify_options options = {
                .path = thief.state, .against = kept.data, .against_bytes = kept.size};
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_string_equal(ledger_problem_name(report.problem), "against_other");
        assert_int_equal(report.other, 8);
}

static void what_an_intruder_alters_under_the_open_log_is_put_right(void **state) {
        struct fixture *fixture = *state;
        begin(fixture);
        append(fixture, 3);
        assert_int_equal(ledger_repair(fixture->ledger), 0);
        shell("echo x > %s/ledger/checkpoint", fixture->state);
        assert_int_equal(ledger_repair(fixture->ledger), 1);
        assert_sound(fixture, 3);
        shell("rm %s/ledger/tile/0/000.p/3 %s/keys/journal", fixture->state, fixture->state);
        assert_int_equal(ledger_repair(fixture->ledger), 1);
        assert_int_equal(ledger_repair(fixture->ledger), 0);
        append(fixture, 1);
        end(fixture);
        assert_sound(fixture, 4);
        begin(fixture);
        assert_int_equal(ledger_size(fixture->ledger), 4);
}

static void a_damaged_log_is_put_aside_and_said_so(void **state) {
        struct fixture *fixture = *state;
        build(fixture);
        shell("rm -r %s/ledger/tile", fixture->state);
        shell("cp -a %s %s.before", fixture->state, fixture->state);
        int r = ledger_open(fixture->state, &fixture->clock, NULL, &fixture->ledger);
        if (r == 0) { /* all of it was still in the journal */
                assert_sound(fixture, 520);
                end(fixture);
        }
        shell("rm -r %s/ledger/*", fixture->state);
        assert_int_equal(ledger_set_aside(fixture->state, &fixture->clock), 0);
        begin(fixture);
        append(fixture, 1);
        struct ledger_report report = check(fixture);
        assert_string_equal(ledger_problem_name(report.problem), "set_aside");
        assert_int_equal(report.entries, 1);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(an_empty_log_is_sound),
                TEST(many_sizes_are_sound),
                TEST(entries_are_read_back_in_order),
                TEST(a_heartbeat_dates_the_checkpoint),
                TEST(times_go_on_when_the_clock_is_set_back),
                TEST(a_second_writer_is_refused),
                TEST(an_entry_has_its_bounds),
                TEST(the_journal_goes_round),
                TEST(partial_tiles_go_when_the_tile_is_full),
                TEST(an_altered_entry_is_named),
                TEST(an_altered_entry_in_the_tail_is_named),
                TEST(a_redated_entry_is_named),
                TEST(reordered_entries_are_named),
                TEST(an_altered_hash_is_named),
                TEST(an_altered_upper_tile_is_named),
                TEST(missing_entries_are_named),
                TEST(a_missing_tile_is_named),
                TEST(surplus_bytes_are_found),
                TEST(surplus_files_are_found),
                TEST(an_altered_checkpoint_is_found),
                TEST(a_log_set_back_is_found),
                TEST(an_older_checkpoint_alone_is_found),
                TEST(a_log_and_journal_set_back_is_found_by_the_seal_key),
                TEST(a_forged_or_missing_seal_is_found),
                TEST(missing_keys_are_found),
                TEST(another_log_in_its_place_is_found),
                TEST(a_checkpoint_kept_elsewhere_is_compared),
                TEST(an_entry_dated_before_the_one_before_is_named),
                TEST(an_entry_that_is_no_object_with_a_time_is_named),
                TEST(a_checkpoint_older_than_its_entries_is_found),
                TEST(an_entry_altered_with_its_hash_is_named_by_the_journal),
                TEST(a_history_rewritten_with_the_stolen_key_is_found_by_the_seals),
                TEST(what_an_intruder_alters_under_the_open_log_is_put_right),
                TEST(a_damaged_log_is_put_aside_and_said_so),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
