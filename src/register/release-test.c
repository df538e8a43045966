#include "register/release.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/procfs.h"

static struct {
        char state[64];
        struct catalog *catalog;
        struct releases *releases;
        int64_t tree, other;
        uint64_t now_ns;
        struct clock clock;
        pid_t holder;
        unsigned n_summaries;
        bool abandoned;
} place;

static uint64_t now(void *userdata) {
        (void)userdata;
        return place.now_ns;
}

static void reopen(release_descends descends) {
        struct releases_options options = {place.state, place.catalog, &place.clock, descends, NULL};
        place.releases = releases_close(place.releases);
        assert_int_equal(releases_open(&options, &place.releases), 0);
}

static pid_t start_holder(void) {
        pid_t pid = fork();
        if (pid == 0) {
                pause();
                _exit(0);
        }
        assert_true(pid > 0);
        return pid;
}

static void end_holder(void) {
        kill(place.holder, SIGKILL);
        waitpid(place.holder, NULL, 0);
}

static int setup(void **state) {
        (void)state;
        memset(&place, 0, sizeof(place));
        strcpy(place.state, "/tmp/release-test-XXXXXX");
        assert_non_null(mkdtemp(place.state));
        place.now_ns = 1000 * NS_PER_S;
        place.clock = (struct clock){now, now, NULL};
        assert_int_equal(catalog_open(place.state, false, &place.catalog), 0);
        assert_int_equal(catalog_add_tree(place.catalog, "/srv/shop", "mirror", "none", &place.tree), 0);
        assert_int_equal(catalog_add_tree(place.catalog, "/srv/other", "mirror", "none", &place.other), 0);
        place.holder = start_holder();
        reopen(NULL);
        return 0;
}

static int teardown(void **state) {
        (void)state;
        releases_close(place.releases);
        catalog_close(place.catalog);
        end_holder();
        char command[128];
        snprintf(command, sizeof(command), "rm -rf %s", place.state);
        return system(command);
}

static int begin(const char *name, const struct release **ret_release) {
        struct release_request request = {name, place.holder, 0, 1000, &place.tree, 1};
        return release_begin(place.releases, &request, ret_release);
}

static struct actor *actor_of(pid_t pid, uint64_t start_ns) {
        struct actor *actor = actor_new();
        actor->n_processes = 2;
        actor->processes[0] = (struct process){.pid = 4000000, .start_ns = 5};
        actor->processes[1] = (struct process){.pid = pid, .start_ns = start_ns};
        return actor;
}

static void count(const struct release *release, const struct catalog_release *row, void *userdata) {
        (void)userdata;
        place.n_summaries++;
        place.abandoned = release->abandoned;
        assert_string_equal(row->uid, release->uid);
        assert_int_not_equal(row->end_ns, 0);
}

static void only_the_holders_processes_in_its_trees(void **state) {
        (void)state;
        const struct release *release;
        assert_int_equal(begin("4.2.3", &release), 0);
        _cleanup_(actor_freep) struct actor *mine = actor_of(place.holder, release->holder_start_ns);
        _cleanup_(actor_freep) struct actor *foreign = actor_of(getpid(), 1);
        _cleanup_(actor_freep) struct actor *reused =
                actor_of(place.holder, release->holder_start_ns + NS_PER_S);
        assert_ptr_equal(release_of(place.releases, mine, place.tree, place.now_ns), release);
        assert_null(release_of(place.releases, mine, place.other, place.now_ns));
        assert_null(release_of(place.releases, foreign, place.tree, place.now_ns));
        assert_null(release_of(place.releases, reused, place.tree, place.now_ns));
        assert_null(release_of(place.releases, NULL, place.tree, place.now_ns));
        assert_true(release_row(release, place.tree) > 0);
        assert_int_equal(release_row(release, place.other), 0);
}

static void after_its_end_only_what_was_before(void **state) {
        (void)state;
        const struct release *release;
        assert_int_equal(begin("r", &release), 0);
        _cleanup_(actor_freep) struct actor *mine = actor_of(place.holder, release->holder_start_ns);
        uint64_t before = place.now_ns;
        place.now_ns += NS_PER_S;
        assert_int_equal(release_end(place.releases, "r", count, NULL), 0);
        assert_int_equal(place.n_summaries, 1);
        assert_false(place.abandoned);
        assert_null(releases_get(place.releases, 0));
        assert_non_null(release_of(place.releases, mine, place.tree, before));
        assert_null(release_of(place.releases, mine, place.tree, place.now_ns + 1));
        place.now_ns += RELEASE_GRACE_NS + 1;
        assert_int_equal(releases_expire(place.releases, count, NULL), 0);
        assert_null(release_of(place.releases, mine, place.tree, before));
        assert_int_equal(release_end(place.releases, "r", count, NULL), -ENOENT);
}

static void a_holder_that_left_ends_its_release(void **state) {
        (void)state;
        const struct release *release;
        assert_int_equal(begin("r", &release), 0);
        assert_int_equal(releases_expire(place.releases, count, NULL), 0);
        end_holder();
        assert_int_equal(releases_expire(place.releases, count, NULL), 1);
        assert_int_equal(place.n_summaries, 1);
        assert_true(place.abandoned);
        place.holder = start_holder();
}

static void survives_a_restart(void **state) {
        (void)state;
        const struct release *release;
        assert_int_equal(begin("r", &release), 0);
        char uid[32];
        strcpy(uid, release->uid);
        uint64_t start_ns = release->holder_start_ns;
        reopen(NULL);
        _cleanup_(actor_freep) struct actor *mine = actor_of(place.holder, start_ns);
        release = release_of(place.releases, mine, place.tree, place.now_ns);
        assert_non_null(release);
        assert_string_equal(release->uid, uid);
        assert_int_equal(release_end(place.releases, uid, count, NULL), 0);
        reopen(NULL);
        assert_null(releases_get(place.releases, 0));
}

static void another_boot_ends_it(void **state) {
        (void)state;
        const struct release *release;
        assert_int_equal(begin("r", &release), 0);
        char command[256];
        snprintf(command, sizeof(command),
                 "sed -i 's/\"boot\": \"[^\"]*\"/\"boot\": \"another\"/' %s/vault/releases.json",
                 place.state);
        assert_int_equal(system(command), 0);
        reopen(NULL);
        assert_int_equal(releases_expire(place.releases, count, NULL), 1);
        assert_true(place.abandoned);
}

static void a_corrupt_file_approves_nothing(void **state) {
        (void)state;
        const struct release *release;
        static const char *const texts[] = {"", "{", "[]", "{\"releases\":[{}]}",
                                            "{\"releases\":[{\"uid\":1}]}"};
        assert_int_equal(begin("r", &release), 0);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                char path[128];
                snprintf(path, sizeof(path), "%s/vault/releases.json", place.state);
                FILE *file = fopen(path, "we");
                fputs(texts[i], file);
                fclose(file);
                reopen(NULL);
                assert_null(releases_get(place.releases, 0));
        }
}

static bool always(pid_t pid, pid_t root, uint64_t root_start_ns, void *userdata) {
        (void)root_start_ns;
        (void)userdata;
        return pid == 4000000 && root == place.holder;
}

static void descent_is_asked_for(void **state) {
        (void)state;
        const struct release *release;
        reopen(always);
        assert_int_equal(begin("r", &release), 0);
        _cleanup_(actor_freep) struct actor *far = actor_of(2, 1);
        assert_non_null(release_of(place.releases, far, place.tree, place.now_ns));
}

static void requests_that_cannot_be(void **state) {
        (void)state;
        const struct release *release;
        assert_int_equal(begin("", &release), -EINVAL);
        assert_int_equal(begin("a\nb", &release), -EINVAL);
        assert_int_equal(begin("\xff", &release), -EINVAL);
        struct release_request nobody = {"r", 0x3ffffff, 0, 0, &place.tree, 1};
        assert_int_equal(release_begin(place.releases, &nobody, &release), -ESRCH);
        struct release_request no_trees = {"r", place.holder, 0, 0, NULL, 0};
        assert_int_equal(release_begin(place.releases, &no_trees, &release), -EINVAL);
        assert_int_equal(begin("r", &release), 0);
        assert_int_equal(begin("r", &release), -EEXIST);
        for (unsigned i = 1; i < RELEASES_MAX; i++) {
                char name[16];
                snprintf(name, sizeof(name), "%u", i);
                assert_int_equal(begin(name, &release), 0);
        }
        assert_int_equal(begin("one more", &release), -ENOSPC);
        assert_int_equal(release_end(place.releases, "1", count, NULL), 0);
        assert_int_equal(begin("one more", &release), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(only_the_holders_processes_in_its_trees),
                TEST(after_its_end_only_what_was_before),
                TEST(a_holder_that_left_ends_its_release),
                TEST(survives_a_restart),
                TEST(another_boot_ends_it),
                TEST(a_corrupt_file_approves_nothing),
                TEST(descent_is_asked_for),
                TEST(requests_that_cannot_be),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
