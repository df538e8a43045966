#include "respond/restore/plan.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "respond/restore/look.h"

static struct {
        char path[64];
        struct catalog *catalog;
        struct store *store;
        struct plan_scope scope;
        struct restore_context context;
        struct plan *plan;
        uint64_t now_ns;
        char steps[4096];
} place;

static int setup(void **state) {
        (void)state;
        memset(&place, 0, sizeof(place));
        strcpy(place.path, "/var/tmp/plan-test-XXXXXX");
        assert_non_null(mkdtemp(place.path));
        assert_int_equal(chdir(place.path), 0);
        assert_int_equal(mkdir("tree", 0755), 0);
        assert_int_equal(mkdir("state", 0700), 0);
        assert_int_equal(store_open("state", &(struct store_options){0}, &place.store), 0);
        assert_int_equal(catalog_open("state", false, &place.catalog), 0);
        place.scope = (struct plan_scope){.catalog = place.catalog, .store = place.store};
        assert_int_equal(catalog_add_tree(place.catalog, place.path, "mirror", "none", &place.scope.tree), 0);
        place.scope.tree_fd = restore_open_tree("tree");
        place.context = (struct restore_context){.tree_fd = place.scope.tree_fd, .store = place.store};
        place.now_ns = 1000;
        return 0;
}

static int teardown(void **state) {
        (void)state;
        plan_free(place.plan);
        catalog_close(place.catalog);
        store_close(place.store);
        close(place.scope.tree_fd);
        assert_int_equal(chdir("/"), 0);
        char command[128];
        snprintf(command, sizeof(command), "rm -rf %s", place.path);
        return system(command);
}

static void sh(const char *script) {
        char command[1024];
        snprintf(command, sizeof(command), "cd tree && { %s; }", script);
        assert_int_equal(system(command), 0);
}

static int64_t release;

/* What stands at a path now becomes approved, as of the present time. */
static void approve(const char *path) {
        struct node node = NODE_INIT;
        _cleanup_(fd_closep) int fd = look_open_path(place.scope.tree_fd, path);
        if (fd >= 0)
                assert_int_equal(look_node(fd, true, &node), 0);
        if (S_ISREG(node.mode)) {
                _cleanup_(fd_closep) int content = look_reopen(fd, O_RDONLY);
                struct digest digest;
                assert_int_equal(store_put_file(place.store, content, &digest, NULL), 0);
        }
        assert_int_equal(catalog_approve(place.catalog, place.scope.tree, path, &node, place.now_ns, release),
                         0);
        node_deinit(&node);
}

static int approve_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        (void)st;
        (void)kind;
        (void)ftw;
        approve(path[4] ? path + 5 : "");
        return 0;
}

static void approve_all(void) {
        assert_int_equal(nftw("tree", approve_one, 16, FTW_PHYS), 0);
}

static int write_step(const struct plan_step *step, void *userdata) {
        (void)userdata;
        size_t used = strlen(place.steps);
        snprintf(place.steps + used, sizeof(place.steps) - used, "%s %s\n", step->kind_name, step->path);
        return 0;
}

static int write_result(const struct plan_step *step, const struct restore_result *result, void *userdata) {
        if (!result->verified && step->kind != PLAN_CONFLICT)
                print_error("%s %s: %s\n", step->kind_name, step->path, result->detail);
        return write_step(step, userdata);
}

static void plan_start(uint64_t at_ns) {
        place.plan = plan_free(place.plan);
        place.scope.at_ns = at_ns;
        assert_int_equal(plan_new(&place.scope, &place.plan), 0);
}

static void assert_steps(const char *steps) {
        place.steps[0] = '\0';
        assert_int_equal(plan_show(place.plan, write_step, NULL), 0);
        assert_string_equal(place.steps, steps);
}

/* Executes and checks that what was shown was done. */
static int execute(void) {
        char shown[sizeof(place.steps)];
        strcpy(shown, place.steps);
        place.steps[0] = '\0';
        struct plan_execution execution = {
                .restore = &place.context, .now_ns = place.now_ns, .report = write_result};
        int r = plan_execute(place.plan, &execution);
        assert_string_equal(place.steps, shown);
        return r;
}

static void assert_content(const char *path, const char *text) {
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        assert_int_equal(io_read_file(place.scope.tree_fd, path, &buffer), 0);
        assert_string_equal(buffer.data, text);
}

static void the_whole_tree_is_put_right_in_a_safe_order(void **state) {
        (void)state;
        sh("mkdir -p code/sub; echo pay >code/pay.php; echo a >code/sub/a; echo b >b; ln -s b link; chmod "
           "600 b");
        approve_all();
        sh("echo skim >code/pay.php; rm -r code/sub; chmod 666 b; ln -sf /etc/passwd link; "
           "mkdir -p evil/deep; echo x >evil/deep/shell.php; echo y >code/shell.php");
        plan_start(0);
        assert_int_equal(plan_add_below(place.plan, ""), 0);
        assert_steps("attributes b\nreplace code/pay.php\ncreate code/sub\ncreate code/sub/a\nreplace link\n"
                     "remove evil/deep/shell.php\nremove evil/deep\nremove evil\nremove code/shell.php\n");
        assert_int_equal(plan_count(place.plan), 9);
        assert_int_equal(execute(), 0);
        assert_content("code/pay.php", "pay\n");
        assert_content("code/sub/a", "a\n");
        plan_start(0);
        assert_int_equal(plan_add_below(place.plan, ""), 0);
        assert_steps("");
}

static void one_path_and_below_a_path(void **state) {
        (void)state;
        sh("mkdir a b; echo 1 >a/x; echo 1 >b/x");
        approve_all();
        sh("echo 2 >a/x; echo 2 >b/x; echo 2 >a/new");
        plan_start(0);
        assert_int_equal(plan_add_below(place.plan, "a"), 0);
        assert_steps("replace a/x\nremove a/new\n");
        plan_start(0);
        assert_int_equal(plan_add_path(place.plan, "b/x"), 0);
        assert_int_equal(plan_add_path(place.plan, "a/new"), 0);
        assert_int_equal(plan_add_path(place.plan, "never"), 0);
        assert_steps("replace b/x\nremove a/new\n");
        plan_start(0);
        assert_int_equal(plan_add_below(place.plan, "a/new"), 0);
        assert_steps("remove a/new\n");
        assert_int_equal(execute(), 0);
}

static bool skip_uploads(const char *path, void *userdata) {
        (void)userdata;
        return !strncmp(path, "new/uploads", 11) || !strncmp(path, "uploads/", 8);
}

static void what_is_data_is_left_alone(void **state) {
        (void)state;
        sh("mkdir uploads; echo 1 >code; echo 1 >uploads/old");
        approve_all();
        sh("echo 2 >code; echo 2 >uploads/old; echo 2 >uploads/photo; mkdir -p new/uploads; echo 3 >new/x; "
           "echo 3 >new/uploads/y");
        place.scope.skip = skip_uploads;
        plan_start(0);
        assert_int_equal(plan_add_below(place.plan, ""), 0);
        assert_steps("replace code\nremove new/x\nremove new\n");
        assert_int_equal(execute(), 1); /* new still holds the uploads */
        assert_content("uploads/photo", "2\n");
        assert_content("new/uploads/y", "3\n");
}

static void a_past_state_becomes_the_approved_one(void **state) {
        (void)state;
        sh("echo one >a; echo same >b; echo gone >c");
        approve_all();
        place.now_ns = 2000;
        sh("echo two >a; rm c; mkdir d; echo new >d/e");
        approve_all();
        approve("c");
        place.now_ns = 3000;
        sh("echo one >a"); /* stands as it was then, but is not what is approved now */
        plan_start(1500);
        assert_int_equal(plan_add_below(place.plan, ""), 0);
        assert_steps("approve a\ncreate c\nremove d/e\nremove d\n");
        assert_int_equal(execute(), 0);
        plan_start(0);
        assert_int_equal(plan_add_below(place.plan, ""), 0);
        assert_steps("");
        struct node node;
        assert_int_equal(catalog_get(place.catalog, place.scope.tree, "d/e", &node), -ENOENT);
        assert_int_equal(catalog_get(place.catalog, place.scope.tree, "c", &node), 0);
        assert_content("c", "gone\n");
}

static void a_release_is_reverted_as_a_whole(void **state) {
        (void)state;
        sh("echo 1 >changed; echo 1 >again; echo 1 >removed; echo 1 >untouched");
        approve_all();
        place.now_ns = 2000;
        assert_int_equal(catalog_begin_release(place.catalog, place.scope.tree, "rel-x", "4.2.3", "release",
                                               2000, &release),
                         0);
        struct catalog_release row;
        assert_int_equal(catalog_find_release(place.catalog, "4.2.3", &row), 0);
        plan_start(0);
        assert_int_equal(plan_add_release(place.plan, &row), -EBUSY);
        catalog_release_deinit(&row);

        place.now_ns = 2100;
        sh("echo 2 >changed; echo 2 >again; rm removed; mkdir added; echo 2 >added/x");
        approve_all();
        approve("removed");
        assert_int_equal(catalog_end_release(place.catalog, release, 2200, NULL), 0);
        release = 0;
        place.now_ns = 3000; /* a later change, approved by itself */
        sh("echo 3 >again; echo 3 >untouched");
        approve("again");
        approve("untouched");

        place.now_ns = 4000;
        assert_int_equal(catalog_find_release(place.catalog, "4.2.3", &row), 0);
        plan_start(0);
        assert_int_equal(plan_add_release(place.plan, &row), 0);
        catalog_release_deinit(&row);
        assert_steps("conflict again\nreplace changed\ncreate removed\nremove added/x\nremove added\n");
        assert_int_equal(execute(), 1);
        assert_content("changed", "1\n");
        assert_content("removed", "1\n");
        assert_content("again", "3\n");
        assert_content("untouched", "3\n");
        plan_start(0);
        assert_int_equal(plan_add_below(place.plan, ""), 0);
        assert_steps("");
}

/* History was forgotten: what is not known to have stood there is not known not to have, either. */
static void of_a_time_that_is_not_complete_nothing_is_removed(void **state) {
        (void)state;
        release = 1;
        sh("echo one >code");
        approve_all();
        release = 0;
        place.now_ns = 2000;
        sh("echo two >code; echo first >upload");
        approve("code");
        approve("upload");
        place.now_ns = 3000;
        sh("echo second >upload");
        approve("upload");
        assert_int_equal(catalog_forget(place.catalog, CATALOG_UNRELEASED, 3001), 0);
        plan_start(2500);
        assert_int_equal(plan_add_below(place.plan, ""), 0);
        assert_steps("unknown upload\n");
        assert_int_equal(execute(), 1);
        assert_content("upload", "second\n");

        struct catalog_release row = {.id = 1, .tree = place.scope.tree, .begin_ns = 1500, .end_ns = 1600};
        assert_int_equal(catalog_forget(place.catalog, CATALOG_RELEASED, 3001), 0);
        plan_start(0);
        assert_int_equal(plan_add_release(place.plan, &row), -ESTALE);
}

static void parents_are_put_back_first(void **state) {
        (void)state;
        sh("mkdir -p a/b; chmod 750 a; echo 1 >a/b/c");
        approve_all();
        sh("rm -r a; ln -s /tmp a");
        struct node approved;
        struct restore_result result;
        assert_int_equal(catalog_get(place.catalog, place.scope.tree, "a/b/c", &approved), 0);
        struct restore_request request = {.path = "a/b/c", .approved = &approved};
        assert_int_equal(
                restore_with_parents(&place.context, place.catalog, place.scope.tree, &request, &result), 0);
        assert_int_equal(result.state, RESTORE_DONE);
        assert_true(result.verified);
        restore_result_deinit(&result);
        assert_content("a/b/c", "1\n");
        struct stat st;
        assert_int_equal(lstat("tree/a", &st), 0);
        assert_int_equal(st.st_mode, S_IFDIR | 0750);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(the_whole_tree_is_put_right_in_a_safe_order),
                TEST(one_path_and_below_a_path),
                TEST(what_is_data_is_left_alone),
                TEST(a_past_state_becomes_the_approved_one),
                TEST(a_release_is_reverted_as_a_whole),
                TEST(of_a_time_that_is_not_complete_nothing_is_removed),
                TEST(parents_are_put_back_first),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
