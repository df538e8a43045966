#include "config/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "config/yaml.h"

static struct config *parse(const char *text) {
        struct config *config = NULL;
        char *error = NULL;
        int r = config_parse(text, strlen(text), "f", &config, &error);
        if (r < 0)
                fail_msg("%s", error);
        return config;
}

static void test_defaults(void **state) {
        (void)state;
        _cleanup_(config_freep) struct config *config = parse("trees: [{path: /srv/shop/}]\nvault:\n");
        assert_int_equal(config->n_trees, 1);
        assert_string_equal(config->trees[0].path, "/srv/shop");
        assert_int_equal(config->trees[0].protect, PROTECT_MIRROR);
        assert_string_equal(config->trees[0].profile, "none");
        assert_int_equal(config->trees[0].respond, RESPOND_OBSERVE);
        assert_int_equal(config->options.vault_budget_bytes, UINT64_C(10) << 30);
        assert_int_equal(config->options.sweep_interval_ns, UINT64_C(600000000000));
        assert_int_equal(config->options.log_level, 2);
}

static void test_all(void **state) {
        (void)state;
        _cleanup_(config_freep) struct config *config =
                parse("# a shop\n"
                      "trees:\n"
                      "  - path: \"/srv/www/\\u5e97 1\"\n"
                      "    protect: mirror\n"
                      "    profile: eccube4\n"
                      "    respond: refuse\n"
                      "  - {path: /etc, protect: watch}\n"
                      "  - {path: /srv/www, protect: mirror, profile: wordpress, respond: restore}\n"
                      "vault: {budget: 512 MiB, reserve: 0, data_file_limit: 1GB}\n"
                      "log: {level: debug}\n"
                      "restore:\n"
                      "  loop_count: 7\n"
                      "  loop_window: 90s\n");
        assert_int_equal(config->n_trees, 3);
        assert_string_equal(config->trees[0].path, "/srv/www/\xe5\xba\x97 1");
        assert_string_equal(config->trees[0].profile, "eccube4");
        assert_int_equal(config->trees[0].respond, RESPOND_REFUSE);
        assert_int_equal(config->trees[1].protect, PROTECT_WATCH);
        assert_int_equal(config->trees[2].respond, RESPOND_RESTORE);
        assert_int_equal(config->options.vault_budget_bytes, UINT64_C(512) << 20);
        assert_int_equal(config->options.vault_reserve_bytes, 0);
        assert_int_equal(config->options.vault_data_file_limit_bytes, 1000000000);
        assert_int_equal(config->options.log_level, 3);
        assert_int_equal(config->options.restore_loop_count, 7);
        assert_int_equal(config->options.restore_loop_window_ns, UINT64_C(90000000000));

        assert_ptr_equal(config_find_tree(config, "/srv/www/\xe5\xba\x97 1/a.php"), &config->trees[0]);
        assert_ptr_equal(config_find_tree(config, "/srv/www/a.php"), &config->trees[2]);
        assert_ptr_equal(config_find_tree(config, "/etc"), &config->trees[1]);
        assert_null(config_find_tree(config, "/etcetera"));
        assert_null(config_find_tree(config, "/srv"));
}

#define T "trees: [{path: /a}]\n"

static const struct {
        const char *text;
        const char *error;
} bad[] = {
        {"", "1:1: the configuration is empty; `hinomi init` writes one that fits this machine"},
        {"# only\n", "1:1: the configuration is empty; `hinomi init` writes one that fits this machine"},
        {"trees: []\n", "1:8: no trees: nothing would be guarded; `hinomi init` proposes some"},
        {"vault:\n", "1:1: no trees: nothing would be guarded; `hinomi init` proposes some"},
        {"- a\n", "1:1: expected 'trees:' and options, found a list"},
        {"just text\n", "1:1: expected 'trees:' and options, found just text"},
        {"trees: /srv\n", "1:8: expected a list of trees, each beginning with '- path:', found /srv"},
        {"trees:\n  path: /srv\n",
         "2:3: expected a list of trees, each beginning with '- path:', found a group of names with values"},
        {"trees:\n  - /srv\n", "2:5: expected a tree such as 'path: /srv/www/shop', found /srv"},
        {"trees:\n  - protect: mirror\n", "2:5: this tree has no 'path'"},
        {"trees:\n  - path: srv\n", "2:11: expected an absolute path, one that begins with '/', found 'srv'"},
        {"trees:\n  - path: ''\n", "2:11: expected an absolute path, one that begins with '/', found ''"},
        {"trees:\n  - path: [a]\n", "2:11: expected a path such as /srv/www/shop, found a list"},
        {"trees:\n  - path: /srv/../etc\n",
         "2:11: expected a path without '//', '.' or '..', found '/srv/../etc'"},
        {"trees:\n  - path: /srv//www\n",
         "2:11: expected a path without '//', '.' or '..', found '/srv//www'"},
        {"trees:\n  - path: /srv/.\n", "2:11: expected a path without '//', '.' or '..', found '/srv/.'"},
        {"trees:\n  - path: /\n",
         "2:11: '/' is the whole machine; name the directories to guard, one tree each"},
        {"trees:\n  - path: /proc/1\n", "2:11: '/proc/1' is made by the kernel and has nothing to guard"},
        {"trees:\n  - path: /a\n    protect: miror\n",
         "3:14: expected one of mirror, shield, watch, found 'miror'; did you mean 'mirror'?"},
        {"trees:\n  - path: /a\n    protect: everything\n",
         "3:14: expected one of mirror, shield, watch, found everything"},
        {"trees:\n  - path: /a\n    protect: shield\n    respond: restore\n",
         "4:14: 'protect: shield' has an answer of its own (on_verdict); a change is no finding there: leave "
         "'respond' out"},
        {"trees:\n  - path: /a\n    protect: shield\n    on_verdict: stop\n",
         "4:17: expected one of kill, hold, found stop"},
        {"trees:\n  - path: /a\n    large_file: hold\n",
         "3:17: 'on_verdict' and 'large_file' need 'protect: shield'"},
        {"trees:\n  - path: /a\n    protect:\n", "3:5: expected one of mirror, shield, watch, found nothing"},
        {"trees:\n  - path: /a\n    profile: wordpres\n",
         "3:14: expected one of wordpress, eccube4, generic-php, none, found 'wordpres'; did you mean "
         "'wordpress'?"},
        {"trees:\n  - path: /a\n    respond: {x: y}\n",
         "3:14: expected one of observe, restore, refuse, found a group of names with values"},
        {"trees:\n  - path: /a\n    protect: watch\n    respond: restore\n",
         "4:14: 'respond: restore' needs 'protect: mirror': there is no content to put back otherwise"},
        {"trees:\n  - path: /a\n    proflie: none\n", "3:5: unknown name 'proflie'; did you mean 'profile'?"},
        {"trees:\n  - path: /a\n    zzz: none\n",
         "3:5: unknown name 'zzz'; expected one of path, protect, profile, respond, on_verdict, large_file"},
        {"trees:\n  - path: /a\n    path: /b\n", "3:5: 'path' is given twice; the first is in line 2"},
        {"trees:\n  - path: /a\n  - path: /b\n  - path: /a/\n", "4:11: '/a' is already guarded by line 2"},
        {"trees:\n  - path: /a\n  - path: /a/b\n",
         "3:11: '/a/b' and '/a' (line 2) lie in one another with the same settings; keep the outer one"},
        {"trees:\n  - path: /a/b\n  - path: /a\n",
         "3:11: '/a' and '/a/b' (line 2) lie in one another with the same settings; keep the outer one"},
        {T "trees: []\n", "2:1: 'trees' is given twice; the first is in line 1"},
        {T "valt: {}\n", "2:1: unknown name 'valt'; did you mean 'vault'?"},
        {T "vault: 10 GiB\n", "2:8: expected options, one a line, indented, found 10 GiB"},
        {T "vault: {buget: 1 GiB}\n", "2:9: unknown name 'buget'; did you mean 'budget'?"},
        {T "vault:\n  budget: 10 Gigs\n",
         "3:11: expected a size such as 10 GiB, from 64 MiB to 1 PiB, found 10 Gigs"},
        {T "vault:\n  budget: -1\n", "3:11: expected a size such as 10 GiB, from 64 MiB to 1 PiB, found -1"},
        {T "vault:\n  budget: 1 MiB\n",
         "3:11: expected a size such as 10 GiB, from 64 MiB to 1 PiB, found 1 MiB"},
        {T "vault:\n  budget: 99999999999999999999 GiB\n",
         "3:11: expected a size such as 10 GiB, from 64 MiB to 1 PiB, found 99999999999999999999 GiB"},
        {T "vault:\n  budget: [1]\n",
         "3:11: expected a size such as 10 GiB, from 64 MiB to 1 PiB, found a list"},
        {T "sweep:\n  interval: 10\n",
         "3:13: expected a duration such as 10 min, from 10 s to 7 d, found 10"},
        {T "restore:\n  loop_count: 0\n", "3:15: expected a whole number such as 3, from 1 to 1000, found 0"},
        {T "log: {level: loud}\n", "2:14: expected one of error|warning|info|debug, found loud"},
        {"trees:\n\t- path: /a\n", "2:1: a tab cannot indent YAML; use blanks instead"},
        {"trees:\n  \t- path: /a\n", "2:3: a tab cannot indent YAML; use blanks instead"},
        {"trees:\n - path: /a\n   protect: mirror\n  profile: none\n",
         "4:3: not valid YAML: did not find expected '-' indicator"},
        {"trees: [\n", "2:1: not valid YAML: flow sequence without a closing bracket"},
        {"trees: [{path: &x /a}]\n",
         "1:16: anchors and aliases (& and *) are not used here; quote the text if it begins with one of "
         "them"},
        {"a: &a [x]\nb: [*a, *a]\n",
         "1:4: anchors and aliases (& and *) are not used here; quote the text if it begins with one of "
         "them"},
        {"trees: [{path: !!str /a}]\n",
         "1:16: tags (!) are not used here; quote the text if it begins with one"},
        {"? [a]\n: b\n", "1:3: a name was expected before the colon"},
        {T "---\n" T, "2:1: a second document; keep everything in one"},
        {"trees:\n  - path: /a\xff\n", "2:13: byte 0xff is not UTF-8; save the file as UTF-8"},
        {"\xe5\xba\x97: \xe5\xba\n", "1:4: byte 0xe5 is not UTF-8; save the file as UTF-8"},
        {"trees: \x1b[31m\n", "1:8: control character 0x1b; remove it"},
        {"trees: [{path: \"/a\\0\"}]\n", "1:16: a NUL character; remove it"},
        {"trees: [{path: \"x\\e[31m\\ny\"}]\n",
         "1:16: expected an absolute path, one that begins with '/', found 'x\\x1b[31m\\ny'"},
        {"[[[[[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]]]]\n", "1:18: nested too deeply"},
};

static void test_bad(void **state) {
        (void)state;
        size_t n_wrong = 0;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct config *config = NULL;
                _cleanup_(freep) char *error = NULL;
                int r = config_parse(bad[i].text, strlen(bad[i].text), "f", &config, &error);
                if (r != -EINVAL || config)
                        fail_msg("accepted: %s", bad[i].text);
                assert_non_null(error);
                if (strncmp(error, "f:", 2) || strcmp(error + 2, bad[i].error))
                        print_error("%s\n  said   %s\n  wanted f:%s\n", bad[i].text, error, bad[i].error),
                                n_wrong++;
        }
        assert_int_equal(n_wrong, 0);
}

/* A second application inside a first is two trees. */
static void test_nested(void **state) {
        (void)state;
        config_free(parse("trees: [{path: /a, profile: wordpress}, {path: /a/blog, profile: wordpress}]"));
        config_free(parse("trees: [{path: /a, protect: watch}, {path: /a/b}]"));
}

static void test_bounds(void **state) {
        (void)state;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        struct config *config = NULL;
        char *error = NULL;
        for (size_t i = 0; i < CONFIG_TREES_MAX + 1; i++)
                assert_int_equal(buffer_format(&text, "%s- path: /t%zu\n", i ? "" : "trees:\n", i), 0);
        assert_int_equal(config_parse(text.data, text.size, "f", &config, &error), -EINVAL);
        assert_string_equal(error, "f:258:3: more than 256 trees");
        free(STEAL(error));

        buffer_clear(&text);
        for (size_t i = 0; i < YAML_NODES_MAX; i++)
                assert_int_equal(buffer_append_string(&text, "- a\n"), 0);
        assert_int_equal(config_parse(text.data, text.size, "f", &config, &error), -EINVAL);
        assert_string_equal(error, "f:20000:3: too many entries");
        free(STEAL(error));

        assert_int_equal(buffer_reserve(&text, (size_t)10 << 20), 0);
        memset(text.data, 'x', (size_t)10 << 20);
        assert_int_equal(config_parse(text.data, (size_t)10 << 20, "f", &config, &error), -EFBIG);
        assert_string_equal(error, "f:1:1: 10485760 bytes is no configuration; the most is 1048576");
        free(STEAL(error));
        assert_int_equal(config_parse(text.data, (size_t)1 << 20, "f", &config, &error), -EINVAL);
        assert_true(strlen(error) < 1200);
        free(STEAL(error));
}

static void test_missing_file(void **state) {
        (void)state;
        struct config *config = NULL;
        _cleanup_(freep) char *error = NULL;
        assert_int_equal(config_read("/nonexistent/hinomi.yaml", &config, &error), -ENOENT);
        assert_string_equal(error,
                            "/nonexistent/hinomi.yaml: No such file or directory; `hinomi init` writes "
                            "one that fits this machine");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults), cmocka_unit_test(test_all),
                cmocka_unit_test(test_bad),      cmocka_unit_test(test_nested),
                cmocka_unit_test(test_bounds),   cmocka_unit_test(test_missing_file),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
