#include "respond/hold/hold.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* A child that runs something else than we do; `ready` is closed once it has been executed. */
static pid_t sleeper(int keep_fd) {
        int ready[2];
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (keep_fd >= 0)
                        dup2(keep_fd, 9);
                execl("/bin/sleep", "sleep", "60", NULL);
                _exit(127);
        }
        close(ready[1]);
        char byte;
        assert_int_equal(read(ready[0], &byte, 1), 0);
        close(ready[0]);
        return pid;
}

static void end(pid_t pid) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void held_and_let_go(void **state) {
        (void)state;
        pid_t pid = sleeper(-1);
        assert_int_equal(hold_is_held(pid, 0), 0);
        assert_int_equal(hold_process(pid, 0, 1000), HOLD_DONE);
        assert_int_equal(hold_is_held(pid, 0), 1);
        assert_int_equal(hold_resume(pid, 0, 1000), HOLD_DONE);
        assert_int_equal(hold_is_held(pid, 0), 0);
        end(pid);
}

static void killed(void **state) {
        (void)state;
        pid_t pid = sleeper(-1);
        assert_int_equal(hold_kill(pid, 0, 5000), HOLD_DONE);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(hold_process(pid, 0, 10), HOLD_GONE);
        assert_int_equal(hold_is_held(pid, 0), -ESRCH);
}

static void another_process_with_that_pid_is_not_touched(void **state) {
        (void)state;
        pid_t pid = sleeper(-1);
        assert_int_equal(hold_process(pid, 1, 100), HOLD_GONE);
        assert_int_equal(hold_kill(pid, 1, 100), HOLD_GONE);
        assert_int_equal(hold_is_held(pid, 0), 0);
        end(pid);
}

static void init_kernel_and_ourselves_are_refused(void **state) {
        (void)state;
        assert_int_equal(hold_process(1, 0, 10), HOLD_REFUSED);
        assert_int_equal(hold_process(0, 0, 10), HOLD_REFUSED);
        assert_int_equal(hold_process(-1, 0, 10), HOLD_REFUSED);
        assert_int_equal(hold_process(getpid(), 0, 10), HOLD_REFUSED);
        if (access("/proc/2/stat", F_OK) == 0) /* kthreadd; not there in a pid namespace */
                assert_int_equal(hold_process(2, 0, 10), HOLD_REFUSED);

        pid_t ours = fork(); /* a role of ours: the same executable */
        if (ours == 0) {
                pause();
                _exit(0);
        }
        assert_int_equal(hold_kill(ours, 0, 10), HOLD_REFUSED);
        assert_int_equal(hold_is_held(ours, 0), 0);
        end(ours);
}

static void openers_are_found(void **state) {
        (void)state;
        char path[] = "/tmp/hold-test-XXXXXX";
        _cleanup_(fd_closep) int fd = mkostemp(path, O_CLOEXEC);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        unlink(path);
        pid_t found[4];
        assert_int_equal(hold_find_openers(st.st_dev, st.st_ino, found, 4), 0);
        pid_t pid = sleeper(fd);
        assert_int_equal(hold_find_openers(st.st_dev, st.st_ino, found, 4), 1);
        assert_int_equal(found[0], pid);
        end(pid);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(held_and_let_go),
                cmocka_unit_test(killed),
                cmocka_unit_test(another_process_with_that_pid_is_not_touched),
                cmocka_unit_test(init_kernel_and_ourselves_are_refused),
                cmocka_unit_test(openers_are_found),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
