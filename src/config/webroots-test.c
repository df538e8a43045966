#include "config/webroots.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"

static int note(const char *path, unsigned line, void *userdata) {
        return buffer_format(userdata, "%u:%s ", line, path);
}

static void expect(enum web_server server, const char *text, const char *wanted) {
        _cleanup_(buffer_deinit) struct buffer found = {0};
        assert_int_equal(buffer_reserve(&found, 1), 0);
        found.data[0] = '\0';
        assert_int_equal(webroots_parse(server, text, strlen(text), note, &found), 0);
        assert_string_equal(found.data, wanted);
}

static void test_nginx(void **state) {
        (void)state;
        expect(WEB_NGINX,
               "server {\n"
               "    listen 80; # root /commented;\n"
               "    root /srv/www/shop;\n"
               "    location / { root \"/srv/www/a b\"; try_files $uri =404; }\n"
               "    location ~ \\.php$ { root '/srv/c\\'d'; }\n"
               "    root\n"
               "        /srv/next ;\n"
               "}\n",
               "3:/srv/www/shop 4:/srv/www/a b 5:/srv/c'd 7:/srv/next ");
        expect(WEB_NGINX, "root $document_root; root html; root /srv/$host; rooted /x; x root /y; alias /z;",
               "");
        expect(WEB_NGINX, "root /a", "1:/a ");
        expect(WEB_NGINX, "root \"/never closed", "1:/never closed ");
        expect(WEB_NGINX, "root;root{root}root /b;", "1:/b ");
        expect(WEB_NGINX, "", "");
}

static void test_apache(void **state) {
        (void)state;
        expect(WEB_APACHE,
               "<VirtualHost *:80>\n"
               "  # DocumentRoot /commented\n"
               "  #DocumentRoot /commented\n"
               "  documentroot \"/var/www/my shop\"\n"
               "  DocumentRoot /var/www/b\n"
               "  Alias /blog /usr/share/wordpress\n"
               "  DocumentRoot\n"
               "  DocumentRoot ${ROOT}/x\n"
               "  DirectoryIndex DocumentRoot /no\n"
               "</VirtualHost>",
               "4:/var/www/my shop 5:/var/www/b 6:/usr/share/wordpress ");
}

static void test_bounds(void **state) {
        (void)state;
        _cleanup_(buffer_deinit) struct buffer text = {0}, found = {0};
        assert_int_equal(buffer_append_string(&text, "root /"), 0);
        for (size_t i = 0; i < PATH_MAX; i++)
                assert_int_equal(buffer_append(&text, "x", 1), 0);
        assert_int_equal(buffer_append_string(&text, "; root /ok;"), 0);
        assert_int_equal(webroots_parse(WEB_NGINX, text.data, text.size, note, &found), 0);
        assert_string_equal(found.data, "1:/ok ");

        buffer_clear(&text);
        buffer_clear(&found);
        for (size_t i = 0; i < 2 * WEBROOTS_MAX; i++)
                assert_int_equal(buffer_append_string(&text, "root /a;"), 0);
        assert_int_equal(webroots_parse(WEB_NGINX, text.data, text.size, note, &found), 0);
        assert_int_equal(found.size, WEBROOTS_MAX * strlen("1:/a "));

        static const char with_nul[] = "root /a\0b; root /c;";
        buffer_clear(&found);
        assert_int_equal(webroots_parse(WEB_NGINX, with_nul, sizeof(with_nul) - 1, note, &found), 0);
        assert_string_equal(found.data, "1:/c ");
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_nginx), cmocka_unit_test(test_apache),
                                           cmocka_unit_test(test_bounds)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
