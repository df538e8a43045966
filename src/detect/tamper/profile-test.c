#include "detect/tamper/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "detect/tamper/pattern.h"

#define PACKS "packs"

static bool matches(const char *pattern_text, const char *path) {
        struct pattern pattern;
        const char *problem = NULL;
        assert_int_equal(pattern_compile(pattern_text, strlen(pattern_text), &pattern, &problem), 0);
        bool yes = pattern_match(&pattern, path, strlen(path));
        pattern_deinit(&pattern);
        return yes;
}

static void pattern_matches(void **state _unused_) {
        static const struct {
                const char *pattern, *path;
                bool yes;
        } rows[] = {
                {"**", "", true},
                {"**", "a/b/c", true},
                {"a/**", "a", true},
                {"a/**", "a/b", true},
                {"a/**", "a/b/c", true},
                {"a/**", "ab", false},
                {"a/**", "ab/c", false},
                {"a/**", "x/a/b", false},
                {"**/a", "a", true},
                {"**/a", "x/y/a", true},
                {"**/a", "xa", false},
                {"**/a/**", "a", true},
                {"**/a/**", "x/a/y", true},
                {"**/a/**", "x/ab/y", false},
                {"**/a/**/b", "a/b", true},
                {"**/a/**/b", "a/x/a/y/b", true},
                {"**/a/**/b", "a/x/bb", false},
                {"*.log", "x.log", true},
                {"*.log", "d/x.log", false},
                {"**/*.log", "d/e/x.log", true},
                {"**/*.log", "d/e/x.log.php", false},
                {"a/*/c", "a/b/c", true},
                {"a/*/c", "a/b/b/c", false},
                {"a/?", "a/b", true},
                {"a/?", "a/bc", false},
                {"a*b*c", "aXbYbZc", true},
                {"a*b*c", "aXbYbZ", false},
                {"sess_*", "sess_", true},
                {"a", "a", true},
                {"a", "a/b", false},
                {"x/aa*a", "x/aa", false},
                {"x/aa*a", "x/aaa", true},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (matches(rows[i].pattern, rows[i].path) != rows[i].yes)
                        fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].path);
}

static void pattern_refuses(void **state _unused_) {
        static const char *const wrong[] = {"", "/a", "a/", "a//b", "a/../b", "./a", "a**", "**a/b", "a/***"};
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                struct pattern pattern;
                const char *problem = NULL;
                assert_int_equal(pattern_compile(wrong[i], strlen(wrong[i]), &pattern, &problem), -EINVAL);
                assert_non_null(problem);
        }
}

/* A pattern made to go back often still ends: components and stars are each tried once per place. */
static void pattern_is_bounded(void **state _unused_) {
        char path[4096];
        memset(path, 'a', sizeof(path) - 1);
        for (size_t i = 1; i < sizeof(path) - 1; i += 2)
                path[i] = '/';
        path[sizeof(path) - 1] = '\0';
        assert_false(matches("**/a/**/a/**/a/**/a/**/a/**/b/**/a", path));
}

static struct profile *load(const char *name) {
        struct profile *profile = NULL;
        _cleanup_(freep) char *error = NULL;
        int r = profile_load(PACKS, name, &profile, &error);
        if (r < 0)
                fail_msg("%s: %s", name, error ?: strerror(-r));
        return profile;
}

struct place {
        const char *path;
        enum zone zone;
        bool php;
};

static void check_places(const char *name, const struct place *places, size_t n) {
        _cleanup_(profile_freep) struct profile *profile = load(name);
        assert_string_equal(profile_name(profile), name);
        for (size_t i = 0; i < n; i++)
                if (profile_zone(profile, places[i].path) != places[i].zone ||
                    profile_expects_php(profile, places[i].path) != places[i].php)
                        fail_msg("%s: %s is %s", name, places[i].path,
                                 zone_name(profile_zone(profile, places[i].path)));
}

static void wordpress(void **state _unused_) {
        static const struct place places[] = {
                {"wp-login.php", ZONE_CODE, false},
                {"wp-config.php", ZONE_CODE, false},
                {"wp-includes/js/jquery/jquery.js", ZONE_CODE, false},
                {"wp-content/plugins/payment/uploads/x.php", ZONE_CODE, false},
                {"wp-content/mu-plugins/x.php", ZONE_CODE, false},
                {"wp-content/object-cache.php", ZONE_CODE, false},
                {"wp-content/uploads", ZONE_DATA, false},
                {"wp-content/uploads/2026/11/a.jpg", ZONE_DATA, false},
                {"wp-content/uploads/x.php", ZONE_DATA, false},
                {"wp-content/cache/page/index.html", ZONE_DATA, true},
                {"wp-content/upgrade/core/x.php", ZONE_DATA, true},
                {"wp-content/themes/shop/functions.php", ZONE_EDITABLE, false},
                {"wp-content/languages/ja.mo", ZONE_EDITABLE, true},
                {".htaccess", ZONE_EDITABLE, false},
                {"wp-admin/.htaccess", ZONE_CODE, false},
        };
        check_places("wordpress", places, ARRAY_SIZE(places));
}

static void eccube4(void **state _unused_) {
        static const struct place places[] = {
                {"index.php", ZONE_CODE, false},
                {"src/Eccube/Controller/ShoppingController.php", ZONE_CODE, false},
                {"html/template/default/assets/js/eccube.js", ZONE_CODE, false},
                {"app/Plugin/Payment/PaymentMethod.php", ZONE_CODE, false},
                {"html/plugin/payment/pay.js", ZONE_CODE, false},
                {"vendor/symfony/cache/Adapter/ApcuAdapter.php", ZONE_CODE, false},
                {"app/config/eccube/services.yaml", ZONE_CODE, false},
                {"app/template/default/Shopping/confirm.twig", ZONE_EDITABLE, false},
                {"html/user_data/assets/js/customize.js", ZONE_EDITABLE, false},
                {"html/user_data/assets/css/customize.css", ZONE_EDITABLE, false},
                {".env", ZONE_EDITABLE, false},
                {"app/proxy/entity/src/Eccube/Entity/Customer.php", ZONE_DATA, true},
                {"var/cache/prod/x.php", ZONE_DATA, true},
                {"var/log/prod/site.log", ZONE_DATA, false},
                {"html/upload/save_image/a.jpg", ZONE_DATA, false},
                {"html/upload/temp_image/a.jpg", ZONE_DATA, false},
                {".maintenance", ZONE_DATA, false},
                {"var/sessions/prod/sess_0a", ZONE_IGNORED, false},
                {"var/sessions/prod/x.php", ZONE_DATA, false},
        };
        check_places("eccube4", places, ARRAY_SIZE(places));
}

static void generic_and_none(void **state _unused_) {
        static const struct place generic[] = {
                {"index.php", ZONE_CODE, false},
                {"public/uploads/a.jpg", ZONE_DATA, false},
                {"vendor/acme/cache/src/Cache.php", ZONE_CODE, false},
                {"smarty/templates_c/x.php", ZONE_DATA, true},
                {"data/Smarty/templates_c/default/x.php", ZONE_DATA, true},
                {"logs/site.log", ZONE_DATA, false},
                {"tmp/sessions/sess_1", ZONE_IGNORED, false},
                {"tmp/sessions/shell.php", ZONE_DATA, false},
        };
        static const struct place none[] = {{"", ZONE_NONE, false}, {"passwd", ZONE_NONE, false}};
        check_places("generic-php", generic, ARRAY_SIZE(generic));
        check_places("none", none, ARRAY_SIZE(none));
}

static void first_row_decides(void **state _unused_) {
        static const char text[] = "profile: x\nzones:\n  - {path: a/b, zone: editable}\n"
                                   "  - {path: [a/**, c], zone: data, php: expected}\n";
        struct profile *profile = NULL;
        char *error = NULL;
        assert_int_equal(profile_parse("x", text, strlen(text), &profile, &error), 0);
        assert_int_equal(profile_zone(profile, "a/b"), ZONE_EDITABLE);
        assert_false(profile_expects_php(profile, "a/b"));
        assert_int_equal(profile_zone(profile, "a/c"), ZONE_DATA);
        assert_int_equal(profile_zone(profile, "c"), ZONE_DATA);
        assert_int_equal(profile_zone(profile, "d"), ZONE_CODE);
        profile_free(profile);
}

static void mistakes_have_a_place(void **state _unused_) {
        static const struct {
                const char *text, *error;
        } rows[] = {
                {"profile: x\nzones:\n  - path: a\n    zone: dta\n", "x.yaml:4:11: unknown zone"},
                {"profile: x\nzones:\n  - path: /a\n    zone: data\n",
                 "x.yaml:3:11: the path must be relative"},
                {"profile: x\nzones:\n  - path: a\n    zone: data\n    pph: expected\n",
                 "x.yaml:5:5: unknown word"},
                {"profile: x\nzones:\n  - path: a\n", "x.yaml:3:5: the row has no 'zone'"},
                {"profile: x\nzones:\n  - zone: data\n", "x.yaml:3:5: the row has no 'path'"},
                {"profile: x\nzones:\n  - {path: a, zone: data, php: yes}\n", "x.yaml:3:32: expected 'php"},
                {"profile: y\nzones: []\n", "x.yaml:1:10: 'profile' must be"},
                {"profile: x\n", "x.yaml:1:1: 'zones' is missing"},
                {"profile: x\nzone: []\n", "x.yaml:2:1: unknown word"},
                {"profile: x\nzones: a\n", "x.yaml:2:8: expected a list"},
                {"profile: x\nzones:\n  - a\n", "x.yaml:3:5: expected a row"},
                {"profile: [x\n", "x.yaml:"},
                {"profile: x\nzones: [&a b]\n", "x.yaml:2:9: anchors"},
                {"", "x.yaml:1:1: "},
                {"- a\n", "x.yaml:1:1: expected 'profile'"},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct profile *profile = NULL;
                _cleanup_(freep) char *error = NULL;
                int r = profile_parse("x", rows[i].text, strlen(rows[i].text), &profile, &error);
                assert_int_equal(r, -EBADMSG);
                assert_non_null(error);
                if (strncmp(error, rows[i].error, strlen(rows[i].error)))
                        fail_msg("'%s' is not '%s…'", error, rows[i].error);
        }
}

static void unknown_profile(void **state _unused_) {
        struct profile *profile = NULL;
        char *error = NULL;
        assert_int_equal(profile_load(PACKS, "no-such", &profile, &error), -ENOENT);
        assert_int_equal(profile_load(PACKS, "../profiles/none", &profile, &error), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pattern_matches),
                cmocka_unit_test(pattern_refuses),
                cmocka_unit_test(pattern_is_bounded),
                cmocka_unit_test(wordpress),
                cmocka_unit_test(eccube4),
                cmocka_unit_test(generic_and_none),
                cmocka_unit_test(first_row_decides),
                cmocka_unit_test(mistakes_have_a_place),
                cmocka_unit_test(unknown_profile),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
