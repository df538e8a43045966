#include "vault/catalog.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"

struct world {
        char state[64];
        struct catalog *catalog;
        int64_t tree;
};

static int world_new(void **state) {
        struct world *world = calloc(1, sizeof(*world));
        snprintf(world->state, sizeof(world->state), "/var/tmp/catalog-test-XXXXXX");
        if (!mkdtemp(world->state) || catalog_open(world->state, false, &world->catalog) < 0)
                return -1;
        *state = world;
        return catalog_add_tree(world->catalog, "/srv/shop", "mirror", "wordpress", &world->tree);
}

static int world_free(void **state) {
        struct world *world = *state;
        char command[128];
        snprintf(command, sizeof(command), "rm -rf -- '%s'", world->state);
        catalog_close(world->catalog);
        free(world);
        return system(command);
}

static void reopen(struct world *world) {
        world->catalog = catalog_close(world->catalog);
        assert_int_equal(catalog_open(world->state, false, &world->catalog), 0);
}

static struct node file(const char *content) {
        struct node node = {
                .mode = S_IFREG | 0640,
                .uid = 33,
                .gid = UINT32_MAX - 1,
                .n_links = 2,
                .size_bytes = strlen(content),
                .inode = UINT64_MAX - 5,
                .mtime_ns = UINT64_C(1640000000123456789),
                .ctime_ns = UINT64_C(1640000000987654321),
        };
        digest_bytes(content, strlen(content), &node.digest);
        return node;
}

static void approve(struct world *world, const char *path, const struct node *node, uint64_t at,
                    int64_t release) {
        assert_int_equal(catalog_approve(world->catalog, world->tree, path, node, at, release), 0);
}

static void approve_file(struct world *world, const char *path, const char *content, uint64_t at) {
        struct node node = file(content);
        approve(world, path, &node, at, 0);
}

static const struct node nothing = NODE_INIT;

static void assert_content(struct world *world, const char *path, uint64_t at, const char *content) {
        struct node node, expected = file(content ?: "");
        int r = at ? catalog_get_at(world->catalog, world->tree, path, at, &node)
                   : catalog_get(world->catalog, world->tree, path, &node);
        assert_int_equal(r, content ? 0 : -ENOENT);
        if (content)
                assert_true(digest_equal(&node.digest, &expected.digest));
}

static void a_node_comes_back_as_it_was(void **state) {
        struct world *world = *state;
        struct node node = file("<?php"),
                    link = {.mode = S_IFLNK | 0777, .link_target = (char *)"../\xff\nx"}, got;
        digest_bytes("attributes", 10, &node.xattr_digest);
        approve(world, "a/b/c.php", &node, 100, 0);
        approve(world, "a/link", &link, 100, 0);
        reopen(world);
        assert_int_equal(catalog_get(world->catalog, world->tree, "a/b/c.php", &got), 0);
        assert_memory_equal(&got, &node, sizeof(node));
        assert_int_equal(catalog_get(world->catalog, world->tree, "a/link", &got), 0);
        assert_string_equal(got.link_target, "../\xff\nx");
        assert_true(digest_is_zero(&got.digest));
        node_deinit(&got);
        assert_int_equal(catalog_get(world->catalog, world->tree, "a/b", &got), -ENOENT);
        assert_int_equal(catalog_get(world->catalog, world->tree, "", &got), -ENOENT);
        assert_int_equal(catalog_get(world->catalog, world->tree + 1, "a/b/c.php", &got), -ENOENT);
}

static void trees_are_known_by_path(void **state) {
        struct world *world = *state;
        int64_t same, other;
        assert_int_equal(catalog_add_tree(world->catalog, "/srv/shop", "watch", "none", &same), 0);
        assert_int_equal(catalog_add_tree(world->catalog, "/srv/shop2", "watch", "none", &other), 0);
        assert_int_equal(same, world->tree);
        assert_int_not_equal(other, world->tree);
        assert_int_equal(catalog_tree_has_baseline(world->catalog, same), 0);
        assert_int_equal(catalog_arm_tree(world->catalog, same, 5), 0);
        assert_int_equal(catalog_tree_has_baseline(world->catalog, same), 1);
        assert_int_equal(catalog_tree_has_baseline(world->catalog, other), 0);
}

static void an_armed_tree_is_not_cleared(void **state) {
        struct world *world = *state;
        approve_file(world, "a/b", "1", 100);
        assert_int_equal(catalog_clear_tree(world->catalog, world->tree), 0);
        assert_content(world, "a/b", 0, NULL);
        approve_file(world, "a/b", "1", 100);
        catalog_arm_tree(world->catalog, world->tree, 5);
        assert_int_equal(catalog_clear_tree(world->catalog, world->tree), -EEXIST);
        assert_content(world, "a/b", 0, "1");
}

static void what_was_approved_is_known_for_any_time(void **state) {
        struct world *world = *state;
        approve_file(world, "f", "one", 100);
        approve_file(world, "f", "two", 200);
        approve(world, "f", &nothing, 300, 0);
        approve_file(world, "f", "three", 400);
        assert_content(world, "f", 99, NULL);
        assert_content(world, "f", 100, "one");
        assert_content(world, "f", 199, "one");
        assert_content(world, "f", 200, "two");
        assert_content(world, "f", 300, NULL);
        assert_content(world, "f", 399, NULL);
        assert_content(world, "f", 400, "three");
        assert_content(world, "f", 0, "three");
}

static void a_clock_that_goes_back_keeps_the_order(void **state) {
        struct world *world = *state;
        approve_file(world, "f", "one", 1000);
        approve_file(world, "f", "two", 10);
        assert_content(world, "f", 1000, "one");
        assert_content(world, "f", 1001, "two");
        assert_content(world, "f", 0, "two");
}

static void the_same_again_is_no_history(void **state) {
        struct world *world = *state;
        struct node node = file("one"), got;
        approve(world, "f", &node, 100, 0);
        node.inode = 77;
        node.mtime_ns = 1;
        approve(world, "f", &node, 200, 0);
        assert_int_equal(catalog_get(world->catalog, world->tree, "f", &got), 0);
        assert_int_equal(got.inode, 77);
        node.ctime_ns = 88;
        assert_int_equal(catalog_touch(world->catalog, world->tree, "f", &node), 0);
        assert_int_equal(catalog_get_at(world->catalog, world->tree, "f", 150, &got), 0);
        assert_int_equal(got.ctime_ns, 88);
        approve(world, "never-there", &nothing, 300, 0);
        assert_content(world, "never-there", 0, NULL);
}

/* Names of a list or walk, joined by blanks. */
static int join(const char *name, const struct node *node, void *userdata) {
        assert_true(node_exists(node));
        struct buffer *names = userdata;
        return buffer_format(names, "%s ", *name ? name : "(root)");
}

static void assert_listed(struct world *world, const char *directory, const char *expected) {
        _cleanup_(buffer_deinit) struct buffer names;
        buffer_init(&names, 0);
        buffer_append_string(&names, "");
        assert_int_equal(catalog_list(world->catalog, world->tree, directory, join, &names), 0);
        assert_string_equal(names.data, expected);
}

static void assert_walked(struct world *world, const char *prefix, uint64_t at, const char *expected) {
        _cleanup_(buffer_deinit) struct buffer names;
        buffer_init(&names, 0);
        buffer_append_string(&names, "");
        assert_int_equal(catalog_walk(world->catalog, world->tree, prefix, at, join, &names), 0);
        assert_string_equal(names.data, expected);
}

static void directories_are_listed_and_walked(void **state) {
        struct world *world = *state;
        struct node directory = {.mode = S_IFDIR | 0755};
        approve(world, "", &directory, 100, 0);
        approve(world, "a", &directory, 100, 0);
        approve_file(world, "b", "", 100);
        approve_file(world, "a-z", "", 100);
        approve_file(world, "a/z", "", 100);
        approve_file(world, "a/\xff", "", 100);
        approve_file(world, "a/B", "", 100);
        approve(world, "a/s", &directory, 100, 0);
        approve_file(world, "a/s/deep", "", 200);
        approve_file(world, "a0/x", "", 200);
        approve_file(world, "\xff\xff/x", "", 200);
        assert_listed(world, "", "a a-z b ");
        assert_listed(world, "a", "B s z \xff ");
        assert_listed(world, "nowhere", "");
        assert_walked(world, "a", 0, "a a/B a/s a/z a/\xff a/s/deep ");
        assert_walked(world, "b", 0, "b ");
        assert_walked(world, "a/s", 100, "a/s ");
        assert_walked(world, "", 0, "(root) a a-z b a/B a/s a/z a/\xff a/s/deep a0/x \xff\xff/x ");
        assert_walked(world, "", 99, "");
}

static int delete_it(const char *path, const struct node *node, void *userdata) {
        (void)node;
        struct world *world = userdata;
        return catalog_approve(world->catalog, world->tree, path, &nothing, 500, 0);
}

static int stop(const char *path, const struct node *node, void *userdata) {
        (void)path;
        (void)node;
        ++*(int *)userdata;
        return -ECANCELED;
}

static void a_visit_may_change_the_catalog_or_stop(void **state) {
        struct world *world = *state;
        for (int i = 0; i < 30; i++) {
                char path[32];
                snprintf(path, sizeof(path), "d%d/f%d", i % 3, i);
                approve_file(world, path, "x", 100);
        }
        int n = 0;
        assert_int_equal(catalog_walk(world->catalog, world->tree, "", 0, stop, &n), -ECANCELED);
        assert_int_equal(n, 1);
        assert_int_equal(catalog_walk(world->catalog, world->tree, "", 0, delete_it, world), 0);
        assert_walked(world, "", 0, "");
}

static void releases_count_and_are_found(void **state) {
        struct world *world = *state;
        struct node one = file("1"), two = file("2");
        struct catalog_release release;
        int64_t first, second;
        assert_int_equal(
                catalog_begin_release(world->catalog, world->tree, "hnm-1", "v1", "release", 90, &first), 0);
        approve(world, "a", &one, 100, first);
        approve(world, "b", &one, 100, first);
        assert_int_equal(catalog_end_release(world->catalog, first, 150, &release), 0);
        assert_int_equal(release.n_added, 2);
        assert_int_equal(release.begin_ns, 90);
        assert_int_equal(release.end_ns, 150);
        catalog_release_deinit(&release);

        assert_int_equal(
                catalog_begin_release(world->catalog, world->tree, "hnm-2", "v2", "release", 200, &second),
                0);
        assert_int_equal(catalog_begin(world->catalog), 0);
        approve(world, "a", &two, 210, second);
        approve(world, "a", &two, 211, second); /* no change */
        approve(world, "b", &nothing, 210, second);
        approve(world, "c", &one, 210, second);
        assert_int_equal(catalog_commit(world->catalog), 0);
        assert_int_equal(catalog_find_release(world->catalog, "v2", &release), 0);
        assert_int_equal(release.id, second);
        assert_int_equal(release.n_added, 1);
        assert_int_equal(release.n_changed, 1);
        assert_int_equal(release.n_removed, 1);
        assert_int_equal(release.end_ns, 0);
        assert_string_equal(release.kind, "release");
        assert_string_equal(release.uid, "hnm-2");
        catalog_release_deinit(&release);
        assert_int_equal(catalog_find_release(world->catalog, "hnm-1", &release), 0);
        assert_string_equal(release.name, "v1");
        catalog_release_deinit(&release);
        assert_int_equal(catalog_find_release(world->catalog, "v3", &release), -ENOENT);
}

static void what_is_rolled_back_never_was(void **state) {
        struct world *world = *state;
        approve_file(world, "kept/f", "1", 100);
        assert_int_equal(catalog_begin(world->catalog), 0);
        assert_int_equal(catalog_begin(world->catalog), -EALREADY);
        assert_false(catalog_has_changes(world->catalog));
        approve_file(world, "kept/f", "2", 100);
        assert_true(catalog_has_changes(world->catalog));
        approve_file(world, "new/f", "2", 100); /* the last directory that was made */
        assert_int_equal(catalog_rollback(world->catalog), 0);
        assert_false(catalog_has_changes(world->catalog));
        approve_file(world, "new/f", "3", 100); /* the directory's id must not be remembered */
        assert_content(world, "kept/f", 0, "1");
        assert_content(world, "new/f", 99, NULL);
        reopen(world);
        assert_content(world, "new/f", 0, "3");
        assert_listed(world, "new", "f ");
}

static enum catalog_claim claims(struct world *world, const char *content) {
        struct digest digest;
        digest_bytes(content, strlen(content), &digest);
        return catalog_claims(world->catalog, &digest, NULL);
}

static void what_is_or_was_approved_is_claimed(void **state) {
        struct world *world = *state;
        struct node node = file("content");
        assert_int_equal(claims(world, "old"), CLAIMED_BY_NONE);
        approve_file(world, "f", "old", 100);
        assert_int_equal(claims(world, "old"), CLAIMED_NOW);
        approve_file(world, "f", "new", 200);
        digest_bytes("attributes", 10, &node.xattr_digest);
        approve(world, "g", &node, 200, 0);
        assert_int_equal(claims(world, "old"), CLAIMED_UNRELEASED);
        assert_int_equal(claims(world, "new"), CLAIMED_NOW);
        assert_int_equal(claims(world, "attributes"), CLAIMED_NOW);
        assert_int_equal(claims(world, "something else"), CLAIMED_BY_NONE);
}

static void forgotten_history_is_no_longer_claimed_and_is_known_to_be_gone(void **state) {
        struct world *world = *state;
        struct node released = file("released"), other = file("other");
        approve_file(world, "f", "old", 100);
        approve_file(world, "f", "new", 200);
        approve(world, "g", &released, 100, 7);
        approve(world, "g", &other, 200, 7);
        assert_int_equal(catalog_forget(world->catalog, CATALOG_RELEASED, 150), 0);
        assert_int_equal(catalog_forgotten(world->catalog, CATALOG_UNRELEASED), 0); /* nothing went */
        assert_int_equal(claims(world, "old"), CLAIMED_UNRELEASED);

        assert_int_equal(catalog_forget(world->catalog, CATALOG_UNRELEASED, 201), 0);
        assert_int_equal(claims(world, "old"), CLAIMED_BY_NONE);
        assert_int_equal(claims(world, "new"), CLAIMED_NOW);
        assert_int_equal(claims(world, "released"), CLAIMED_PAST);
        assert_content(world, "f", 100, NULL);
        assert_content(world, "g", 100, "released");
        assert_int_equal(catalog_forgotten(world->catalog, CATALOG_UNRELEASED), 201);
        assert_int_equal(catalog_forgotten(world->catalog, CATALOG_RELEASED), 0);

        assert_int_equal(catalog_begin(world->catalog), 0);
        assert_int_equal(catalog_forget(world->catalog, CATALOG_RELEASED, 201), -EBUSY);
        assert_int_equal(catalog_commit(world->catalog), 0);
        assert_int_equal(catalog_forget(world->catalog, CATALOG_RELEASED, 201), 0);
        reopen(world);
        assert_int_equal(claims(world, "released"), CLAIMED_BY_NONE);
        assert_int_equal(catalog_forgotten(world->catalog, CATALOG_RELEASED), 201);
        assert_content(world, "g", 0, "other");
}

static void unreleased_states_are_bounded(void **state) {
        struct world *world = *state;
        for (int i = 0; i < 10; i++) {
                char content[12];
                snprintf(content, sizeof(content), "%d", i);
                approve_file(world, "f", content, (uint64_t)(100 + i));
        }
        assert_int_equal(catalog_surplus(world->catalog, 9), 0);
        uint64_t before_ns = catalog_surplus(world->catalog, 4);
        assert_int_equal(catalog_forget(world->catalog, CATALOG_UNRELEASED, before_ns), 0);
        assert_content(world, "f", 104, NULL);
        assert_content(world, "f", 105, "5");
}

static void hosts_are_remembered(void **state) {
        struct world *world = *state;
        assert_int_equal(catalog_has_host(world->catalog, world->tree, "pay.example"), 0);
        assert_int_equal(catalog_add_host(world->catalog, world->tree, "pay.example"), 0);
        assert_int_equal(catalog_add_host(world->catalog, world->tree, "pay.example"), 0);
        assert_int_equal(catalog_has_host(world->catalog, world->tree, "pay.example"), 1);
        assert_int_equal(catalog_has_host(world->catalog, world->tree + 1, "pay.example"), 0);
}

static void readers_read_while_it_is_written(void **state) {
        struct world *world = *state;
        struct catalog *reader = NULL;
        struct node node = file("x"), got;
        approve(world, "f", &node, 100, 0);
        assert_int_equal(catalog_open(world->state, true, &reader), 0);
        assert_int_equal(catalog_begin(world->catalog), 0);
        approve(world, "g", &node, 100, 0);
        assert_int_equal(catalog_get(reader, world->tree, "f", &got), 0);
        assert_int_equal(catalog_get(reader, world->tree, "g", &got), -ENOENT);
        assert_int_equal(catalog_approve(reader, world->tree, "h", &node, 100, 0), -EROFS);
        assert_int_equal(catalog_commit(world->catalog), 0);
        assert_int_equal(catalog_get(reader, world->tree, "g", &got), 0);
        catalog_close(reader);
}

static void write_over(struct world *world, off_t offset, const char *bytes) {
        char path[128];
        world->catalog = catalog_close(world->catalog);
        snprintf(path, sizeof(path), "%s/vault/catalog.sqlite", world->state);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        int fd = open(path, O_WRONLY);
        for (off_t at = offset; at < st.st_size; at += (off_t)strlen(bytes))
                assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), strlen(bytes));
        close(fd);
}

static void a_corrupt_file_is_named_so(void **state) {
        struct world *world = *state;
        approve_file(world, "f", "x", 100);
        write_over(world, 0, "no database at all, and long enough. ");
        assert_int_equal(catalog_open(world->state, false, &world->catalog), -EBADMSG);
        assert_null(world->catalog);
}

static void corruption_further_in_is_seen_where_it_is_read(void **state) {
        struct world *world = *state;
        for (int i = 0; i < 300; i++) {
                char path[32];
                snprintf(path, sizeof(path), "directory/file-%03d", i);
                approve_file(world, path, "x", 100);
        }
        write_over(world, 4096, "\xa5\x5a");
        struct node got;
        int r = catalog_open(world->state, false, &world->catalog);
        if (r == 0)
                r = catalog_get(world->catalog, world->tree, "directory/file-150", &got);
        assert_int_equal(r, -EBADMSG);
        struct digest digest = {.bytes = {1}};
        if (world->catalog)
                assert_true(catalog_claims(world->catalog, &digest,
                                           NULL)); /* what is not known is not thrown away */
}

static void a_reader_creates_nothing(void **state) {
        struct world *world = *state;
        char command[256];
        world->catalog = catalog_close(world->catalog);
        snprintf(command, sizeof(command), "rm -f %s/vault/catalog.sqlite*", world->state);
        assert_int_equal(system(command), 0);
        assert_int_equal(catalog_open(world->state, true, &world->catalog), -ENOENT);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_new, world_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_WORLD(a_node_comes_back_as_it_was),
                WITH_WORLD(trees_are_known_by_path),
                WITH_WORLD(an_armed_tree_is_not_cleared),
                WITH_WORLD(what_was_approved_is_known_for_any_time),
                WITH_WORLD(a_clock_that_goes_back_keeps_the_order),
                WITH_WORLD(the_same_again_is_no_history),
                WITH_WORLD(directories_are_listed_and_walked),
                WITH_WORLD(a_visit_may_change_the_catalog_or_stop),
                WITH_WORLD(releases_count_and_are_found),
                WITH_WORLD(what_is_rolled_back_never_was),
                WITH_WORLD(what_is_or_was_approved_is_claimed),
                WITH_WORLD(forgotten_history_is_no_longer_claimed_and_is_known_to_be_gone),
                WITH_WORLD(unreleased_states_are_bounded),
                WITH_WORLD(hosts_are_remembered),
                WITH_WORLD(readers_read_while_it_is_written),
                WITH_WORLD(a_corrupt_file_is_named_so),
                WITH_WORLD(corruption_further_in_is_seen_where_it_is_read),
                WITH_WORLD(a_reader_creates_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
