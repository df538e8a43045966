#include "roles/baseline.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>

#include <cmocka.h>

#include "base/buffer.h"

/* A state directory and a tree beside it, which is the current directory meanwhile. */
struct world {
        char root[64], state[80], path[80];
        struct baseline baseline;
        struct baseline_tree tree;
        struct buffer changes; /* "path difference\n", in the order of the sweep */
        size_t n_unreadable;
};

static enum zone zone_of(const char *path, void *userdata) {
        (void)userdata;
        if (!strncmp(path, "upload/", 7))
                return ZONE_DATA;
        return !strcmp(path, "cache") || !strncmp(path, "cache/", 6) ? ZONE_IGNORED : ZONE_CODE;
}

static int world_new(void **state) {
        struct world *world = calloc(1, sizeof(*world));
        snprintf(world->root, sizeof(world->root), "/var/tmp/baseline-test-XXXXXX");
        if (!mkdtemp(world->root))
                return -1;
        snprintf(world->state, sizeof(world->state), "%s/state", world->root);
        snprintf(world->path, sizeof(world->path), "%s/tree", world->root);
        world->tree = (struct baseline_tree){.path = world->path, .mirror = true, .zone = zone_of};
        *state = world;
        if (store_open(world->state, NULL, &world->baseline.store) < 0 ||
            catalog_open(world->state, false, &world->baseline.catalog) < 0)
                return -1;
        return mkdir(world->path, 0755) || chdir(world->path) ||
               catalog_add_tree(world->baseline.catalog, world->path, "mirror", "none", &world->tree.id);
}

static int world_free(void **state) {
        struct world *world = *state;
        char command[128];
        catalog_close(world->baseline.catalog);
        store_close(world->baseline.store);
        buffer_deinit(&world->changes);
        snprintf(command, sizeof(command), "rm -rf -- '%s'", world->root);
        free(world);
        return chdir("/") || system(command);
}

static void make_file(const char *path, const char *content) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, content, strlen(content)), strlen(content));
        close(fd);
}

static void make_tree(void) {
        mkdir("app", 0755);
        mkdir("app/deep", 0755);
        mkdir("upload", 0755);
        mkdir("cache", 0755);
        make_file("index.php", "<?php echo 1;");
        make_file("app/pay.php", "<?php pay();");
        make_file("app/deep/a", "a");
        make_file("app/deep/b", "b");
        make_file("upload/logo.png", "\x89PNG");
        make_file("cache/page", "cached");
        assert_int_equal(symlink("app", "current"), 0);
        assert_int_equal(mkfifo("pipe", 0600), 0);
}

static int note_change(struct change *change, void *userdata) {
        struct world *world = userdata;
        assert_int_equal(change->how, CHANGE_FOUND);
        assert_null(change->actor);
        assert_int_equal(change->difference, node_compare(&change->before, &change->after));
        buffer_format(&world->changes, "%s %x\n", change->path + strlen(world->path), change->difference);
        change_free(change);
        return 0;
}

static void note_unreadable(const char *path, int error, void *userdata) {
        (void)path;
        (void)error;
        ((struct world *)userdata)->n_unreadable++;
}

static struct baseline_result take(struct world *world) {
        struct baseline_result result;
        assert_int_equal(baseline_take(&world->baseline, &world->tree, 0, NULL, &result), 0);
        return result;
}

static struct baseline_result sweep(struct world *world) {
        const struct baseline_callbacks callbacks = {
                .change = note_change,
                .unreadable = note_unreadable,
                .userdata = world,
        };
        struct baseline_result result;
        buffer_clear(&world->changes);
        buffer_append_string(&world->changes, "");
        assert_int_equal(baseline_sweep(&world->baseline, &world->tree, &callbacks, &result), 0);
        return result;
}

/* Runs a sweep; the changes must be exactly these lines, in any order. */
static void assert_swept(struct world *world, const char *const *lines, size_t n) {
        struct baseline_result result = sweep(world);
        for (size_t i = 0; i < n; i++)
                if (!strstr(world->changes.data, lines[i]))
                        fail_msg("%s is missing in:\n%s", lines[i], world->changes.data);
        if (result.n_changes != n)
                fail_msg("more than expected:\n%s", world->changes.data);
}
#define SWEPT(world, ...)                                                                                    \
        assert_swept(world, (const char *const[]){__VA_ARGS__},                                              \
                     ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

static void taken_and_untouched_there_is_nothing(void **state) {
        struct world *world = *state;
        make_tree();
        struct baseline_result result = take(world);
        assert_int_equal(result.n_files, 5); /* not the cache */
        assert_int_equal(result.n_nodes, 11);
        assert_int_equal(result.n_hashed, 5);
        assert_int_equal(result.n_bytes, 13 + 12 + 1 + 1 + 4);
        assert_int_equal(catalog_tree_has_baseline(world->baseline.catalog, world->tree.id), 1);
        sweep(world);
        assert_string_equal(world->changes.data, "");
        assert_int_equal(baseline_take(&world->baseline, &world->tree, 0, NULL, &result), -EEXIST);
}

/* So old that the coarse clock of the file system is no reason to read it again. */
static void let_it_age(void) {
        const struct timespec wait = {.tv_nsec = 30000000};
        nanosleep(&wait, NULL);
}

static void what_has_not_changed_is_not_read(void **state) {
        struct world *world = *state;
        make_tree();
        let_it_age();
        take(world);
        assert_int_equal(sweep(world).n_hashed, 0);
        const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
        assert_int_equal(utimensat(AT_FDCWD, "index.php", times, 0), 0);
        let_it_age();
        assert_int_equal(sweep(world).n_hashed, 1);
        assert_string_equal(world->changes.data, "");
        assert_int_equal(sweep(world).n_hashed, 0);
}

/* Written at once after it was read: the times may be the same, so it is read again. */
static void what_was_just_written_is_not_trusted(void **state) {
        struct world *world = *state;
        make_file("new", "x");
        take(world);
        assert_int_equal(sweep(world).n_hashed, 1);
}

static void every_kind_of_change_is_found(void **state) {
        struct world *world = *state;
        make_tree();
        make_file("gone", "");
        make_file("becomes-link", "");
        make_file("mode", "");
        make_file("attribute", "");
        make_file("same-size", "aaaa");
        take(world);
        make_file("index.php", "<?php evil();");
        make_file("new", "");
        make_file("new\nline\xff", "");
        unlink("gone");
        unlink("becomes-link");
        assert_int_equal(symlink("index.php", "becomes-link"), 0);
        chmod("mode", 0666);
        setxattr("attribute", "user.x", "1", 1, 0);
        unlink("current");
        assert_int_equal(symlink("app/deep", "current"), 0);
        struct stat st;
        stat("same-size", &st);
        make_file("same-size", "bbbb");
        const struct timespec times[2] = {st.st_atim, st.st_mtim};
        utimensat(AT_FDCWD, "same-size", times, 0);
        chmod(".", 0700);
        make_file("cache/page", "another");
        make_file("cache/evil.php", "ignored is ignored");
        SWEPT(world, "/index.php 4\n", "/new 1\n", "/new\nline\xff 1\n", "/gone 1\n", "/becomes-link 2\n",
              "/mode 8\n", "/attribute 20\n", "/current 4\n", "/same-size 4\n", " 8\n");
        if (geteuid() == 0) {
                assert_int_equal(chown("app/pay.php", 12345, 12345), 0);
                sweep(world);
                assert_non_null(strstr(world->changes.data, "/app/pay.php 10\n"));
        }
}

static void whole_directories_come_and_go(void **state) {
        struct world *world = *state;
        make_tree();
        mkdir("replaced", 0755);
        mkdir("replaced/sub", 0755);
        make_file("replaced/sub/x", "");
        make_file("was-file", "");
        take(world);
        assert_int_equal(system("rm -rf app replaced was-file"), 0);
        make_file("replaced", "");
        mkdir("was-file", 0755);
        make_file("was-file/new", "");
        mkdir("fresh", 0755);
        mkdir("fresh/sub", 0755);
        make_file("fresh/sub/y", "");
        SWEPT(world, "/app 1\n", "/app/pay.php 1\n", "/app/deep 1\n", "/app/deep/a 1\n", "/app/deep/b 1\n",
              "/replaced 2\n", "/replaced/sub 1\n", "/replaced/sub/x 1\n", "/was-file 2\n",
              "/was-file/new 1\n", "/fresh 1\n", "/fresh/sub 1\n", "/fresh/sub/y 1\n");
}

static void a_copy_of_the_same_is_no_change(void **state) {
        struct world *world = *state;
        make_tree();
        take(world);
        assert_int_equal(system("cp -a . ../copy && rm -rf app index.php upload && cp -a ../copy/. . && "
                                "touch index.php app/pay.php"),
                         0);
        let_it_age();
        assert_true(sweep(world).n_hashed >= 4);
        assert_string_equal(world->changes.data, "");
        assert_int_equal(sweep(world).n_hashed, 0);
}

static void assert_kept(struct world *world, const char *content, bool kept) {
        struct digest digest;
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        digest_bytes(content, strlen(content), &digest);
        assert_int_equal(store_get_bytes(world->baseline.store, &digest, &buffer), kept ? 0 : -ENOENT);
        if (kept)
                assert_string_equal(buffer.data, content);
}

static void a_mirror_keeps_what_is_approved(void **state) {
        struct world *world = *state;
        make_tree();
        make_file("upload/big", "larger than is kept");
        setxattr("index.php", "user.note", "value", 5, 0);
        world->tree.data_bytes_max = 10;
        take(world);
        assert_kept(world, "<?php pay();", true);
        assert_kept(world, "\x89PNG", true);
        assert_kept(world, "larger than is kept", false);
        assert_kept(world, "cached", false);
        struct node node;
        assert_int_equal(catalog_get(world->baseline.catalog, world->tree.id, "index.php", &node), 0);
        assert_false(digest_is_zero(&node.xattr_digest));
        assert_true(store_has(world->baseline.store, &node.xattr_digest));
        assert_int_equal(catalog_get(world->baseline.catalog, world->tree.id, "upload/big", &node), 0);
        assert_false(digest_is_zero(&node.digest));
}

static void a_watched_tree_keeps_nothing(void **state) {
        struct world *world = *state;
        world->tree.mirror = false;
        make_tree();
        take(world);
        struct store_usage usage;
        store_usage(world->baseline.store, &usage);
        assert_int_equal(usage.n_objects, 0);
}

static void a_full_store_takes_no_sight(void **state) {
        struct world *world = *state;
        const struct store_options options = {.budget_bytes = 150};
        store_close(world->baseline.store);
        assert_int_equal(store_open(world->state, &options, &world->baseline.store), 0);
        make_tree();
        struct baseline_result result = take(world);
        assert_int_equal(result.n_files, 5);
        assert_int_equal(result.n_unkept, 4); /* and nothing unclaimed could go */
        make_file("index.php", "<?php evil();");
        make_file("app/deep/a", "c");
        SWEPT(world, "/index.php 4\n", "/app/deep/a 4\n");
}

static void what_could_not_be_kept_is_kept_later(void **state) {
        struct world *world = *state;
        const struct store_options options = {.budget_bytes = 150};
        store_close(world->baseline.store);
        assert_int_equal(store_open(world->state, &options, &world->baseline.store), 0);
        make_tree();
        make_file("upload/big", "larger than is kept");
        world->tree.data_bytes_max = 10;
        let_it_age();
        assert_int_equal(take(world).n_unkept, 4);
        store_close(world->baseline.store);
        assert_int_equal(store_open(world->state, NULL, &world->baseline.store), 0);
        sweep(world);
        assert_kept(world, "b", false);
        world->tree.check_kept = true;
        sweep(world);
        assert_string_equal(world->changes.data, "");
        assert_kept(world, "<?php echo 1;", true);
        assert_kept(world, "<?php pay();", true);
        assert_kept(world, "a", true);
        assert_kept(world, "b", true);
        assert_kept(world, "larger than is kept", false);
}

/* Evidence fills the store: it goes when approved content needs the room, and never the other way. */
static void evidence_makes_room_for_what_is_approved(void **state) {
        struct world *world = *state;
        const struct store_options options = {.budget_bytes = 3000};
        store_close(world->baseline.store);
        assert_int_equal(store_open(world->state, &options, &world->baseline.store), 0);
        struct digest digest;
        char evidence[32];
        for (int i = 0; i < 31; i++) {
                snprintf(evidence, sizeof(evidence), "evidence %d", i);
                assert_int_equal(store_put_bytes(world->baseline.store, evidence, strlen(evidence), &digest),
                                 0);
        }
        make_tree();
        assert_int_equal(take(world).n_unkept, 0);
        assert_kept(world, "<?php pay();", true);
        assert_kept(world, "evidence 0", false);
        assert_kept(world, "evidence 30", true);

        for (int i = 0; i < 100; i++) {
                snprintf(evidence, sizeof(evidence), "evil %d", i);
                make_file("index.php", evidence);
                _cleanup_(change_freep) struct change *change = NULL;
                assert_int_equal(
                        baseline_examine(&world->baseline, &world->tree, "index.php", BASELINE_KEEP, &change),
                        1);
                assert_kept(world, evidence, true);
        }
        assert_kept(world, "<?php pay();", true);
        assert_kept(world, "<?php echo 1;", true);
        struct store_usage usage;
        store_usage(world->baseline.store, &usage);
        assert_true(usage.stored_bytes <= options.budget_bytes);
        assert_false(usage.full);
}

static int stop_at_first(struct change *change, void *userdata) {
        ++*(int *)userdata;
        change_free(change);
        return -ECANCELED;
}

static void a_sweep_can_be_ended(void **state) {
        struct world *world = *state;
        make_tree();
        take(world);
        make_file("index.php", "");
        int n = 0;
        const struct baseline_callbacks callbacks = {.change = stop_at_first, .userdata = &n};
        assert_int_equal(baseline_sweep(&world->baseline, &world->tree, &callbacks, NULL), -ECANCELED);
        assert_int_equal(n, 1);
}

static int approve_it(struct change *change, void *userdata) {
        struct world *world = userdata;
        int r = catalog_approve(world->baseline.catalog, world->tree.id,
                                change->path + strlen(world->path) + 1, &change->after, change->time_ns, 0);
        change_free(change);
        return r;
}

static void what_a_sweep_finds_can_be_approved_at_once(void **state) {
        struct world *world = *state;
        make_tree();
        take(world);
        make_file("index.php", "new");
        assert_int_equal(system("rm -r app"), 0);
        const struct baseline_callbacks callbacks = {.change = approve_it, .userdata = world};
        struct baseline_result result;
        assert_int_equal(baseline_sweep(&world->baseline, &world->tree, &callbacks, &result), 0);
        assert_int_equal(result.n_changes, 6);
        sweep(world);
        assert_string_equal(world->changes.data, "");
        assert_kept(world, "new", true);
}

static void count_progress(const struct baseline_progress *progress, void *userdata) {
        assert_int_equal(progress->n_files_total, 5);
        assert_int_equal(progress->n_bytes_total, 31);
        ++*(int *)userdata;
}

static void progress_knows_the_whole(void **state) {
        struct world *world = *state;
        make_tree();
        int n = 0;
        const struct baseline_callbacks callbacks = {.progress = count_progress, .userdata = &n};
        assert_int_equal(baseline_take(&world->baseline, &world->tree, 0, &callbacks, NULL), 0);
        assert_true(n > 0);
}

static void the_release_is_counted(void **state) {
        struct world *world = *state;
        struct catalog *catalog = world->baseline.catalog;
        struct catalog_release release;
        int64_t id;
        make_tree();
        assert_int_equal(catalog_begin_release(catalog, world->tree.id, "hnm-1", "first", "baseline", 1, &id),
                         0);
        assert_int_equal(baseline_take(&world->baseline, &world->tree, id, NULL, NULL), 0);
        assert_int_equal(catalog_end_release(catalog, id, 2, &release), 0);
        assert_int_equal(release.n_added, 11);
        catalog_release_deinit(&release);
}

static void a_failed_take_leaves_no_baseline(void **state) {
        struct world *world = *state;
        make_tree();
        struct baseline_tree missing = world->tree;
        missing.path = "/nonexistent/tree";
        assert_int_equal(baseline_take(&world->baseline, &missing, 0, NULL, NULL), -ENOENT);
        assert_int_equal(catalog_tree_has_baseline(world->baseline.catalog, world->tree.id), 0);
        take(world);
        sweep(world);
        assert_string_equal(world->changes.data, "");
}

/* Examines; returns the difference, or 0 when there is no change. */
static unsigned examine(struct world *world, const char *path, unsigned flags, struct change **ret_change) {
        _cleanup_(change_freep) struct change *change = NULL;
        int r = baseline_examine(&world->baseline, &world->tree, path, flags, &change);
        assert_int_equal(r, change ? 1 : 0);
        unsigned difference = change ? change->difference : 0;
        if (ret_change)
                *ret_change = STEAL(change);
        return difference;
}

static void one_path_is_examined(void **state) {
        struct world *world = *state;
        make_tree();
        take(world);
        assert_int_equal(examine(world, "index.php", 0, NULL), 0);
        assert_int_equal(examine(world, "pipe", 0, NULL), 0);
        assert_int_equal(examine(world, "", 0, NULL), 0);
        assert_int_equal(examine(world, "nothing/here", 0, NULL), 0);
        make_file("index.php", "<?php evil();");
        _cleanup_(change_freep) struct change *change = NULL;
        assert_int_equal(examine(world, "index.php", 0, &change), NODE_CONTENT);
        assert_int_equal(change->how, CHANGE_SEEN);
        assert_int_equal(change->zone, ZONE_CODE);
        assert_string_equal(change->path + strlen(world->path), "/index.php");
        assert_int_equal(change->before.size_bytes, 13);
        assert_int_equal(change->after.size_bytes, 13);
        assert_true(change->time_ns > 0);
        make_file("index.php", "<?php echo 1;");
        assert_int_equal(examine(world, "index.php", 0, NULL), 0);
        unlink("app/pay.php");
        assert_int_equal(examine(world, "app/pay.php", 0, NULL), NODE_EXISTENCE);
        make_file("cache/x", "x");
        assert_int_equal(examine(world, "cache/x", 0, NULL), 0);
        chmod(".", 0711);
        assert_int_equal(examine(world, "", 0, NULL), NODE_MODE);
}

/* A directory that was swapped for a link must not lead the eye elsewhere. */
static void a_link_on_the_way_is_not_followed(void **state) {
        struct world *world = *state;
        make_tree();
        take(world);
        assert_int_equal(system("mv app ../elsewhere && ln -s ../elsewhere app"), 0);
        assert_int_equal(examine(world, "app/pay.php", 0, NULL), NODE_EXISTENCE);
        assert_int_equal(examine(world, "app", 0, NULL), NODE_TYPE);
}

static void evidence_is_kept_when_asked_for(void **state) {
        struct world *world = *state;
        world->tree.mirror = false;
        make_tree();
        take(world);
        make_file("index.php", "evil one");
        examine(world, "index.php", 0, NULL);
        assert_kept(world, "evil one", false);
        examine(world, "index.php", BASELINE_KEEP, NULL);
        assert_kept(world, "evil one", true);
        make_file("app/pay.php", "<?php pay();");
        examine(world, "app/pay.php", BASELINE_KEEP, NULL);
        assert_kept(world, "<?php pay();", false); /* the approved content is no evidence */
}

static void the_stat_data_can_be_distrusted(void **state) {
        struct world *world = *state;
        make_tree();
        let_it_age();
        take(world);
        struct node node;
        assert_int_equal(catalog_get(world->baseline.catalog, world->tree.id, "index.php", &node), 0);
        node.digest.bytes[0] ^= 1; /* as if content had changed behind the times' back */
        assert_int_equal(catalog_approve(world->baseline.catalog, world->tree.id, "index.php", &node, 1, 0),
                         0);
        assert_int_equal(examine(world, "index.php", 0, NULL), 0);
        assert_int_equal(examine(world, "index.php", BASELINE_FORCE, NULL), NODE_CONTENT);
}

static void a_tree_that_is_gone_is_all_gone(void **state) {
        struct world *world = *state;
        make_tree();
        take(world);
        assert_int_equal(system("mv ../tree ../moved"), 0);
        assert_int_equal(examine(world, "index.php", 0, NULL), NODE_EXISTENCE);
        assert_int_equal(examine(world, "", 0, NULL), NODE_EXISTENCE);
        assert_int_equal(system("mv ../moved ../tree"), 0);
        assert_int_equal(examine(world, "index.php", 0, NULL), 0);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_new, world_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_WORLD(taken_and_untouched_there_is_nothing),
                WITH_WORLD(what_has_not_changed_is_not_read),
                WITH_WORLD(what_was_just_written_is_not_trusted),
                WITH_WORLD(every_kind_of_change_is_found),
                WITH_WORLD(whole_directories_come_and_go),
                WITH_WORLD(a_copy_of_the_same_is_no_change),
                WITH_WORLD(a_mirror_keeps_what_is_approved),
                WITH_WORLD(a_watched_tree_keeps_nothing),
                WITH_WORLD(a_full_store_takes_no_sight),
                WITH_WORLD(what_could_not_be_kept_is_kept_later),
                WITH_WORLD(evidence_makes_room_for_what_is_approved),
                WITH_WORLD(a_sweep_can_be_ended),
                WITH_WORLD(what_a_sweep_finds_can_be_approved_at_once),
                WITH_WORLD(progress_knows_the_whole),
                WITH_WORLD(the_release_is_counted),
                WITH_WORLD(a_failed_take_leaves_no_baseline),
                WITH_WORLD(one_path_is_examined),
                WITH_WORLD(a_link_on_the_way_is_not_followed),
                WITH_WORLD(evidence_is_kept_when_asked_for),
                WITH_WORLD(the_stat_data_can_be_distrusted),
                WITH_WORLD(a_tree_that_is_gone_is_all_gone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
