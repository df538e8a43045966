#include "config/discover.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/io.h"

static char machine[] = "/tmp/hinomi-discover-XXXXXX";

static void put(const char *path, const char *text) {
        char whole[PATH_MAX];
        snprintf(whole, sizeof(whole), "%s%s", machine, path);
        char *slash = strrchr(whole, '/');
        *slash = '\0';
        assert_int_equal(io_make_directories(whole, 0755), 0);
        *slash = '/';
        FILE *file = fopen(whole, "we");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
}

static void link_to(const char *path, const char *target) {
        char whole[PATH_MAX];
        snprintf(whole, sizeof(whole), "%s%s", machine, path);
        assert_int_equal(symlink(target, whole), 0);
}

static int set_up(void **state) {
        (void)state;
        return mkdtemp(machine) ? 0 : -1;
}

static int tear_down(void **state) {
        (void)state;
        char command[PATH_MAX];
        snprintf(command, sizeof(command), "rm -rf '%s'", machine);
        return system(command);
}

static void expect(const char *wanted) {
        _cleanup_(fd_closep) int root = open(machine, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct proposals *found = calloc(1, sizeof(*found));
        _cleanup_(buffer_deinit) struct buffer text = {0};
        assert_int_equal(discover(root, found), 0);
        for (size_t i = 0; i < found->n; i++)
                assert_int_equal(buffer_format(&text, "%s %s %s\n", found->items[i].path,
                                               protect_name(found->items[i].protect),
                                               found->items[i].profile),
                                 0);
        assert_string_equal(text.data, wanted);

        /* What is proposed is what the parser accepts. */
        char *written = NULL, *error = NULL;
        size_t size = 0;
        FILE *memory = open_memstream(&written, &size);
        assert_int_equal(config_write(memory, found->items, found->n), 0);
        fclose(memory);
        struct config *config = NULL;
        if (config_parse(written, size, "f", &config, &error) < 0)
                fail_msg("%s\n%s", error, written);
        assert_int_equal(config->n_trees, found->n);
        for (size_t i = 0; i < found->n; i++)
                assert_string_equal(config->trees[i].path, found->items[i].path);
        config_free(config);
        free(written);
        proposals_deinit(found);
        free(found);
}

static void test_machine(void **state) {
        (void)state;
        put("/etc/nginx/nginx.conf", "http { include sites-enabled/*; server { root /srv/www/static/; } }");
        put("/etc/nginx/sites-available/shop", "server { root /srv/www/shop; }");
        put("/etc/nginx/sites-available/off", "server { root /srv/www/off; }");
        put("/etc/nginx/sites-enabled/none", "server { root /srv/www/missing; root /proc/1; root /; }");
        link_to("/etc/nginx/sites-enabled/shop", "/etc/nginx/sites-available/shop");
        put("/etc/nginx/conf.d/sub/a.conf", "root /srv/www/cube/html; root \"/srv/www/\xe5\xba\x97 \\\\1\";");
        put("/etc/nginx/conf.d/b.conf.bak", "root /srv/www/off;");
        put("/etc/apache2/sites-enabled/000-default.conf",
            "DocumentRoot /var/www/html\nDocumentRoot /srv/www/app/public\n");
        put("/srv/www/static/index.html", "");
        put("/srv/www/static/blog/wp-config.php", "");
        put("/srv/www/static/other/index.php", "");
        put("/srv/www/shop/wp-includes/version.php", "");
        put("/srv/www/off/index.php", "");
        put("/srv/www/cube/composer.json", "{\"name\": \"ec-cube/ec-cube\"}");
        put("/srv/www/cube/html/index.php", "");
        put("/srv/www/\xe5\xba\x97 \\1/index.php", "");
        put("/srv/www/app/composer.json", "{}");
        put("/srv/www/app/public/index.php", "");
        put("/var/www/html/index.html", "");
        put("/usr/share/wordpress/wp-includes/version.php", "");
        put("/var/lib/wordpress/wp-content/index.php", "");
        put("/home/taro/.bashrc", "");
        expect("/srv/www/cube mirror eccube4\n"
               "/srv/www/\xe5\xba\x97 \\1 mirror generic-php\n"
               "/srv/www/static mirror none\n"
               "/srv/www/static/blog mirror wordpress\n"
               "/srv/www/shop mirror wordpress\n"
               "/var/www/html mirror none\n"
               "/srv/www/app mirror generic-php\n"
               "/usr/share/wordpress mirror wordpress\n"
               "/var/lib/wordpress mirror wordpress\n"
               "/etc watch none\n"
               "/srv watch none\n"
               "/home watch none\n");

        /* An outer root takes the place of inner ones with the same settings. */
        put("/etc/nginx/sites-enabled/outer", "root /var/www;");
        put("/etc/nginx/sites-enabled/inner", "root /var/www/html;");
        put("/etc/nginx/sites-enabled/loop", "root /loop;");
        link_to("/loop", "/loop");
        link_to("/etc/nginx/conf.d/self", "/etc/nginx/conf.d");
        expect("/srv/www/cube mirror eccube4\n"
               "/srv/www/\xe5\xba\x97 \\1 mirror generic-php\n"
               "/srv/www/static mirror none\n"
               "/srv/www/static/blog mirror wordpress\n"
               "/var/www mirror none\n"
               "/srv/www/shop mirror wordpress\n"
               "/srv/www/app mirror generic-php\n"
               "/usr/share/wordpress mirror wordpress\n"
               "/var/lib/wordpress mirror wordpress\n"
               "/etc watch none\n"
               "/srv watch none\n"
               "/home watch none\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_machine)};
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
