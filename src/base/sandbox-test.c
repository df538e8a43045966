#include "base/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/cleanup.h"

/* Runs `act` in a child behind the sandbox; returns the wait status. */
static int run(int (*act)(int fd)) {
        int fd = memfd_create("x", MFD_CLOEXEC);
        pid_t pid = fork();
        if (pid == 0)
                _exit(sandbox_enter_pure() < 0 ? 99 : act(fd));
        int status = 0;
        waitpid(pid, &status, 0);
        close(fd);
        return status;
}

static int act_ordinary(int fd) {
        char byte;
        char *large = malloc(8 << 20);
        memset(large, 1, 8 << 20);
        int r = write(fd, large, 16) == 16 && pread(fd, &byte, 1, 0) == 1 && byte == 1 ? 0 : 1;
        free(large);
        return r;
}

static int act_open(int fd _unused_) {
        return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EPERM ? 0 : 1;
}

static int act_socket(int fd _unused_) {
        return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int act_fork(int fd _unused_) {
        return fork() < 0;
}

static int act_run_memory(int fd _unused_) {
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
               MAP_FAILED;
}

static int act_unlink(int fd _unused_) {
        return unlink("/nonexistent") < 0;
}

static void ordinary_work_goes_on(void **state _unused_) {
        assert_int_equal(run(act_ordinary), 0);
}

static void nothing_can_be_opened(void **state _unused_) {
        assert_int_equal(run(act_open), 0);
}

static void the_rest_ends_the_process(void **state _unused_) {
        static int (*const acts[])(int) = {act_socket, act_fork, act_run_memory, act_unlink};
        for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
                int status = run(acts[i]);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGSYS);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ordinary_work_goes_on),
                cmocka_unit_test(nothing_can_be_opened),
                cmocka_unit_test(the_rest_ends_the_process),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
