#include "register/trust.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BEGIN_NS (UINT64_C(1800000000) * NS_PER_S)
#define HOUR_NS  (UINT64_C(3600) * NS_PER_S)

static struct {
        char state[64], file[96];
        struct trusts *trusts;
        unsigned n_ended;
} place;

static int setup(void **state) {
        (void)state;
        char vault[80];
        snprintf(place.state, sizeof(place.state), "/tmp/trust-test-XXXXXX");
        place.n_ended = 0;
        if (!mkdtemp(place.state))
                return -1;
        snprintf(vault, sizeof(vault), "%s/vault", place.state);
        snprintf(place.file, sizeof(place.file), "%s/trust.json", vault);
        return mkdir(vault, 0700) < 0 ? -1 : trusts_open(place.state, &place.trusts);
}

static int teardown(void **state) {
        (void)state;
        char command[128];
        place.trusts = trusts_close(place.trusts);
        snprintf(command, sizeof(command), "rm -rf %s", place.state);
        return system(command);
}

static struct digest image(const char *text) {
        struct digest digest;
        assert_int_equal(digest_bytes(text, strlen(text), &digest), 0);
        return digest;
}

static struct trust a_grant(void) {
        return (struct trust){.image = image("gpg"),
                              .tree = 7,
                              .path = "/srv/\xff",
                              .program = "/usr/bin/g\\pg",
                              .reason = "moves the archive: 暗号化",
                              .begin_ns = BEGIN_NS,
                              .end_ns = BEGIN_NS + HOUR_NS};
}

static const struct trust *granted(const struct trust *grant) {
        const struct trust *trust = NULL;
        assert_int_equal(trust_grant(place.trusts, grant, &trust), 0);
        return trust;
}

static void count(const struct trust *trust, void *userdata) {
        (void)userdata;
        assert_non_null(trust->reason);
        place.n_ended++;
}

static void reopen(int expected) {
        place.trusts = trusts_close(place.trusts);
        assert_int_equal(trusts_open(place.state, &place.trusts), expected);
}

static void holds_for_its_image_its_tree_and_its_time(void **state) {
        (void)state;
        struct trust grant = a_grant();
        struct digest other = image("gpg2"), none = {0};
        assert_false(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS));
        granted(&grant);
        assert_true(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS));
        assert_true(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS + HOUR_NS - 1));
        assert_false(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS + HOUR_NS));
        assert_false(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS - 1));
        assert_false(trust_holds(place.trusts, &grant.image, 8, BEGIN_NS));
        assert_false(trust_holds(place.trusts, &other, 7, BEGIN_NS));
        assert_false(trust_holds(place.trusts, &none, 7, BEGIN_NS));
}

static void stands_after_a_restart_and_not_after_revoking(void **state) {
        (void)state;
        struct trust grant = a_grant();
        char uid[TRUST_UID_SIZE];
        snprintf(uid, sizeof(uid), "%s", granted(&grant)->uid);
        reopen(0);
        const struct trust *kept = trusts_get(place.trusts, 0);
        assert_non_null(kept);
        assert_string_equal(kept->uid, uid);
        assert_string_equal(kept->path, grant.path);
        assert_string_equal(kept->program, grant.program);
        assert_string_equal(kept->reason, grant.reason);
        assert_true(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS));
        assert_int_equal(trust_revoke(place.trusts, "trust-0", count, NULL), -ENOENT);
        assert_int_equal(trust_revoke(place.trusts, uid, count, NULL), 0);
        assert_int_equal(place.n_ended, 1);
        assert_false(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS));
        reopen(0);
        assert_null(trusts_get(place.trusts, 0));
}

static void ends_by_itself(void **state) {
        (void)state;
        struct trust grant = a_grant();
        granted(&grant);
        grant.end_ns += HOUR_NS;
        granted(&grant);
        assert_int_equal(trusts_expire(place.trusts, BEGIN_NS, count, NULL), 0);
        assert_int_equal(trusts_expire(place.trusts, BEGIN_NS + HOUR_NS, count, NULL), 1);
        assert_int_equal(place.n_ended, 1);
        assert_true(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS + HOUR_NS));
        reopen(0);
        assert_non_null(trusts_get(place.trusts, 0));
        assert_null(trusts_get(place.trusts, 1));
}

static int refused(const struct trust *grant) {
        const struct trust *trust;
        return trust_grant(place.trusts, grant, &trust);
}

static void needs_a_reason_and_an_end(void **state) {
        (void)state;
        struct trust grant = a_grant();
        grant.reason = "";
        assert_int_equal(refused(&grant), -EINVAL);
        grant.reason = "two\nlines";
        assert_int_equal(refused(&grant), -EINVAL);
        grant.reason = NULL;
        assert_int_equal(refused(&grant), -EINVAL);
        grant = a_grant();
        grant.end_ns = BEGIN_NS + TRUST_TIME_MAX_NS + 1;
        assert_int_equal(refused(&grant), -ERANGE);
        grant.end_ns = BEGIN_NS;
        assert_int_equal(refused(&grant), -ERANGE);
        grant = a_grant();
        for (int i = 0; i < TRUSTS_MAX; i++)
                granted(&grant);
        assert_int_equal(refused(&grant), -ENOSPC);
        reopen(0);
        assert_non_null(trusts_get(place.trusts, TRUSTS_MAX - 1));
}

static void what_cannot_be_kept_does_not_hold(void **state) {
        (void)state;
        struct trust grant = a_grant();
        char moved[96];
        snprintf(moved, sizeof(moved), "%s/vault/trust.json.new", place.state);
        assert_int_equal(mkdir(moved, 0700), 0); /* where the new file would be written */
        assert_true(refused(&grant) < 0);
        assert_false(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS));
        assert_null(trusts_get(place.trusts, 0));
        assert_int_equal(rmdir(moved), 0);
        granted(&grant);
}

static void an_end_that_could_not_be_kept_is_kept_later(void **state) {
        (void)state;
        struct trust grant = a_grant();
        char uid[TRUST_UID_SIZE], moved[96];
        snprintf(uid, sizeof(uid), "%s", granted(&grant)->uid);
        snprintf(moved, sizeof(moved), "%s/vault/trust.json.new", place.state);
        assert_int_equal(mkdir(moved, 0700), 0);
        assert_true(trust_revoke(place.trusts, uid, NULL, NULL) < 0);
        assert_false(trust_holds(place.trusts, &grant.image, 7, BEGIN_NS));
        assert_int_equal(rmdir(moved), 0);
        assert_int_equal(trusts_expire(place.trusts, BEGIN_NS, NULL, NULL), 0);
        reopen(0);
        assert_null(trusts_get(place.trusts, 0));
}

static void write_file(const char *text) {
        FILE *file = fopen(place.file, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void a_file_that_makes_no_sense_trusts_nobody(void **state) {
        (void)state;
        static const char *const bad[] = {"",
                                          "{",
                                          "[]",
                                          "{\"format\":2,\"trusts\":[]}",
                                          "{\"format\":1,\"trusts\":{}}",
                                          "{\"format\":1}"};
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                write_file(bad[i]);
                reopen(1);
                assert_null(trusts_get(place.trusts, 0));
        }
        struct trust grant = a_grant();
        granted(&grant); /* and it can be used again */
        reopen(0);
        assert_non_null(trusts_get(place.trusts, 0));
}

#define ENTRY(uid, tree, end)                                                                                \
        "{\"uid\":\"" uid                                                                                    \
        "\",\"image\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\","                 \
        "\"tree\":" tree                                                                                     \
        ",\"path\":\"/srv\",\"program\":\"/usr/bin/gpg\",\"reason\":\"r\",\"interprets\":false,"             \
        "\"begin_ns\":1800000000000000000,\"end_ns\":" end "}"
#define GOOD_END "1800003600000000000"

static void entries_that_make_no_sense_are_left_out(void **state) {
        (void)state;
        write_file("{\"format\":1,\"trusts\":[" ENTRY("trust-0123456789abcdef", "7", GOOD_END) "," /* twice */
                   ENTRY("trust-0123456789abcdef", "8", GOOD_END) "," /* no such uid, tree, end */
                   ENTRY("trust-0123456789abcdeX", "7", GOOD_END) "," ENTRY(
                           "trust-1123456789abcdef", "0",
                           GOOD_END) "," ENTRY("trust-2123456789abcdef", "7",
                                               "9100000000000000000") "," ENTRY("trust-3123456789abcdef", "7",
                                                                                "-1") ",5,null]}");
        reopen(0);
        struct digest abc = image("abc");
        assert_true(trust_holds(place.trusts, &abc, 7, BEGIN_NS));
        assert_false(trust_holds(place.trusts, &abc, 8, BEGIN_NS));
        assert_null(trusts_get(place.trusts, 1));
}

static void interpreters_are_named(void **state) {
        (void)state;
        static const char *const yes[] = {"/usr/bin/python3.11",
                                          "/bin/bash",
                                          "/usr/bin/perl5.36-x86_64-linux-gnu",
                                          "php8.2",
                                          "/usr/bin/node",
                                          "/lib64/ld-linux-x86-64.so.2"};
        static const char *const no[] = {"/usr/bin/gpg", "/usr/bin/pgbench", "/usr/bin/perlbug",
                                         "/usr/bin/shred"};
        for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
                assert_true(trust_interprets(yes[i]));
        for (size_t i = 0; i < ARRAY_SIZE(no); i++)
                assert_false(trust_interprets(no[i]));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(holds_for_its_image_its_tree_and_its_time, setup, teardown),
                cmocka_unit_test_setup_teardown(stands_after_a_restart_and_not_after_revoking, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(ends_by_itself, setup, teardown),
                cmocka_unit_test_setup_teardown(needs_a_reason_and_an_end, setup, teardown),
                cmocka_unit_test_setup_teardown(what_cannot_be_kept_does_not_hold, setup, teardown),
                cmocka_unit_test_setup_teardown(an_end_that_could_not_be_kept_is_kept_later, setup, teardown),
                cmocka_unit_test_setup_teardown(a_file_that_makes_no_sense_trusts_nobody, setup, teardown),
                cmocka_unit_test_setup_teardown(entries_that_make_no_sense_are_left_out, setup, teardown),
                cmocka_unit_test(interpreters_are_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
