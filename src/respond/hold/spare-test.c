#include "respond/hold/spare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void services_are_known_where_only_root_installs(void **state) {
        (void)state;
        assert_int_equal(spare_service("/usr/sbin/sshd"), SERVICE_SINGLE);
        assert_int_equal(spare_service("/usr/lib/openssh/sshd-session"), SERVICE_SINGLE);
        assert_int_equal(spare_service("/usr/sbin/php-fpm8.2"), SERVICE_POOL);
        assert_int_equal(spare_service("/usr/sbin/smbd"), SERVICE_POOL);
        assert_int_equal(spare_service("/home/mallory/sshd"), SERVICE_NONE);
        assert_int_equal(spare_service("/tmp/usr/sbin/nginx"), SERVICE_NONE);
        assert_int_equal(spare_service("/usr/bin/python3.11"), SERVICE_NONE);
        assert_int_equal(spare_service("sshd"), SERVICE_NONE);
        assert_int_equal(spare_service(NULL), SERVICE_NONE);
}

static void ourselves_and_what_is_above(void **state) {
        (void)state;
        assert_true(spare_is_ours(getpid()));
        assert_false(spare_serves(getpid(), NULL));
        pid_t above = getpid(), pid = fork();
        if (pid == 0)
                _exit(spare_is_above_us(above) ? 0 : 1);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(services_are_known_where_only_root_installs),
                cmocka_unit_test(ourselves_and_what_is_above),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
