/* Proofs and copies made from the files of a real log, checked with the key alone. */
#include "ledger/prove.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "ledger/export.h"
#include "ledger/ledger.h"
#include "ledger/verify.h"

#define ENTRIES 600

static char directory[64];
static struct verifier_key log_key;

/* A log that was committed entry by entry at first, then in larger batches. */
static int setup(void **state) {
        (void)state;
        _cleanup_(ledger_closep) struct ledger *ledger = NULL;
        uint64_t index;
        strcpy(directory, "/tmp/prove-test.XXXXXX");
        if (!mkdtemp(directory) || ledger_open(directory, &clock_system, NULL, &ledger) < 0)
                return -1;
        for (unsigned i = 0; i < ENTRIES; i++) {
                char entry[128], time[CLOCK_RFC3339_SIZE];
                clock_format(ledger_time(ledger), time);
                int size = snprintf(entry, sizeof(entry), "{\"time\":\"%s\",\"n\":%u}", time, i);
                if (ledger_add(ledger, entry, (size_t)size, &index) < 0)
                        return -1;
                if ((i < 10 || i % 53 == 0) && ledger_commit(ledger) < 0)
                        return -1;
        }
        return ledger_commit(ledger) < 0 || ledger_seal(ledger, false) != 1 ? -1 : 0;
}

static int teardown(void **state) {
        (void)state;
        char command[256];
        snprintf(command, sizeof(command), "rm -rf %s %s.copy", directory, directory);
        return system(command);
}

static void entry_proved(uint64_t index) {
        _cleanup_(proof_deinit) struct proof proof, again;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        char expected[32];
        proof_init(&proof);
        proof_init(&again);
        assert_int_equal(proof_make(directory, index, &proof, &log_key), 0);
        assert_int_equal(proof_format(&proof, &text), 0);
        assert_int_equal(proof_parse(text.data, text.size, &again), 0);
        assert_int_equal(proof_check(&again, &log_key), 0);
        assert_int_equal(again.index, index);
        assert_int_equal(again.checkpoint.size, ENTRIES);
        snprintf(expected, sizeof(expected), "\"n\":%u}", (unsigned)index);
        assert_non_null(strstr(again.entry.data, expected));
}

static void every_entry_is_proved(void **state) {
        (void)state;
        for (uint64_t i = 0; i < ENTRIES; i += i < 20 || i > ENTRIES - 20 ? 1 : 7)
                entry_proved(i);
}

static void an_entry_that_is_not_there_is_not(void **state) {
        (void)state;
        _cleanup_(proof_deinit) struct proof proof;
        proof_init(&proof);
        assert_int_equal(proof_make(directory, ENTRIES, &proof, &log_key), -ERANGE);
        assert_int_equal(proof.checkpoint.size, ENTRIES);
        assert_int_equal(proof_make("/nonexistent", 0, &proof, &log_key), -ENOENT);
}

/* Any byte of a proof: it is not a proof then, or proves nothing, or was of no importance to it. */
static void no_byte_of_a_proof_can_change(void **state) {
        (void)state;
        _cleanup_(proof_deinit) struct proof proof;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        proof_init(&proof);
        assert_int_equal(proof_make(directory, 300, &proof, &log_key), 0);
        assert_int_equal(proof_format(&proof, &text), 0);
        size_t dated = (size_t)((char *)memrchr(text.data, ' ', text.size) - text.data) - KEY_NAME_SIZE;
        for (size_t i = 0; i < text.size; i++) {
                text.data[i] ^= 1;
                int r = proof_parse(text.data, text.size, &proof);
                if (r == 0)
                        r = proof_check(&proof, &log_key);
                if (r == 0)
                        assert_true(i > dated && proof.checkpoint.time_s == 0); /* the line that dates it */
                text.data[i] ^= 1;
        }
}

static void texts_that_are_not_proofs_are_refused(void **state) {
        (void)state;
        static const char *const texts[] = {
                "",
                "c2sp.org/tlog-proof@v1",
                "c2sp.org/tlog-proof@v1\n",
                "c2sp.org/tlog-proof@v2\nextra AA==\nindex 0\n\n",
                "c2sp.org/tlog-proof@v1\nindex 0\n\n",
                "c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n",
                "c2sp.org/tlog-proof@v1\nextra AA==\nindex 00\n\n",
                "c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\nAA==\n\n",
                "c2sp.org/tlog-proof@v1\nextra AA==\nindex 0\n",
        };
        _cleanup_(proof_deinit) struct proof proof;
        proof_init(&proof);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_int_equal(proof_parse(texts[i], strlen(texts[i]), &proof), -EBADMSG);
}

static void a_copy_is_whole_by_itself(void **state) {
        (void)state;
        char copy[80];
        uint64_t size;
        struct ledger_report report;
        snprintf(copy, sizeof(copy), "%s.copy", directory);
        assert_int_equal(ledger_export(directory, copy, &size), 0);
        assert_int_equal(size, ENTRIES);
        const struct ledger_verify_options options = {.path = copy, .key = &log_key};
        assert_int_equal(ledger_verify(&options, &report), 0);
        assert_string_equal(ledger_problem_name(report.problem), "sound");
        assert_int_equal(report.entries, ENTRIES);
        assert_int_equal(report.seals, 1);
        assert_true(report.notes & LEDGER_NOTE_COPY);
        assert_int_equal(ledger_export(directory, copy, &size), -ENOTEMPTY);

        _cleanup_(proof_deinit) struct proof proof;
        proof_init(&proof);
        assert_int_equal(proof_make(copy, 599, &proof, &log_key), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_entry_is_proved),
                cmocka_unit_test(an_entry_that_is_not_there_is_not),
                cmocka_unit_test(no_byte_of_a_proof_can_change),
                cmocka_unit_test(texts_that_are_not_proofs_are_refused),
                cmocka_unit_test(a_copy_is_whole_by_itself),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
