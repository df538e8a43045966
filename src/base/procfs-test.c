#include "base/procfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void we_run_and_our_parent_is_known(void **state) {
        (void)state;
        struct procfs_stat now;
        assert_int_equal(procfs_stat(getpid(), &now), 0);
        assert_int_equal(now.parent, getppid());
        assert_int_equal(now.state, 'R');
        assert_false(now.is_kernel_thread);
        assert_true(procfs_is_alive(getpid(), now.start_ns));
        assert_true(procfs_is_alive(getpid(), 0));
        assert_false(procfs_is_alive(getpid(), now.start_ns + 1000000000));
        assert_int_equal(procfs_stat(0x3fffffff, &now), -ESRCH);
}

static void a_name_cannot_forge_the_line(void **state) {
        (void)state;
        prctl(PR_SET_NAME, ") Z 1 2 (");
        struct procfs_stat now;
        assert_int_equal(procfs_stat(getpid(), &now), 0);
        assert_int_equal(now.parent, getppid());
        assert_int_equal(now.state, 'R');
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(we_run_and_our_parent_is_known),
                cmocka_unit_test(a_name_cannot_forge_the_line),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
