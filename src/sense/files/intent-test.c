/* What a waiting open wants: only what is certain is called a read. */
#include "sense/files/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static struct intent of(long number, uint64_t a1, uint64_t a2) {
        uint64_t how;
        const struct syscall_registers registers = {.number = number, .arguments = {0, a1, a2}};
        return intent_decode(&registers, &how);
}

static void the_text_is_decoded(void **state) {
        (void)state;
        struct syscall_registers registers;
        static const char text[] = "257 0xffffff9c 0x7f12 0x241 0x1b6 0x0 0x5 0x7ffd 0x7f11\n";
        assert_int_equal(syscall_decode(text, strlen(text), &registers), 0);
        assert_int_equal(registers.number, 257);
        assert_int_equal(registers.arguments[0], 0xffffff9c);
        assert_int_equal(registers.arguments[2], 0x241);
        assert_int_equal(registers.arguments[5], 5);
        static const char *const others[] = {"running\n", "-1 0x7ffd 0x7f11\n", "", "257 0x1 0x2\n",
                                             "-1 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n"};
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(syscall_decode(others[i], strlen(others[i]), &registers), -EBADMSG);
        char longer[1000];
        memset(longer, ' ', sizeof(longer));
        assert_int_equal(syscall_decode(longer, sizeof(longer), &registers), -EBADMSG);
}

static void flags_in_registers_are_certain(void **state) {
        (void)state;
        assert_false(of(SYS_openat, 0, O_RDONLY | O_CLOEXEC).is_write);
        assert_true(of(SYS_openat, 0, O_RDONLY).is_certain);
        assert_true(of(SYS_openat, 0, O_WRONLY).is_write);
        assert_true(of(SYS_openat, 0, O_RDWR).is_write);
        assert_true(of(SYS_openat, 0, O_ACCMODE).is_write);
        assert_true(of(SYS_openat, 0, O_RDONLY | O_TRUNC).is_write);
        assert_true(of(SYS_openat, 0, O_RDONLY | O_CREAT).is_create);
        assert_false(of(SYS_openat, 0, O_WRONLY).is_create);
        assert_false(of(SYS_open_by_handle_at, 0, O_RDONLY).is_write);
        assert_false(of(SYS_execve, 0, 0).is_write);
#ifdef SYS_open
        assert_true(of(SYS_open, O_WRONLY, 0).is_write);
        assert_false(of(SYS_open, O_RDONLY, O_WRONLY).is_write);
        assert_true(of(SYS_creat, 0, 0).is_create);
#endif
}

static void everything_else_is_an_uncertain_write(void **state) {
        (void)state;
        assert_true(of(426 /* io_uring_enter */, 0, 0).is_write);
        assert_false(of(426, 0, 0).is_certain);
        assert_true(of(5 /* open(2) of a 32-bit program */, O_RDONLY, 0).is_write);
        uint64_t how;
        const struct syscall_registers registers = {.number = SYS_openat2, .arguments = {0, 0, 0x1234}};
        assert_true(intent_decode(&registers, &how).is_write);
        assert_int_equal(how, 0x1234);
        assert_true(intent_read(-1).is_write);
        assert_false(intent_read(-1).is_certain);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_text_is_decoded),
                cmocka_unit_test(flags_in_registers_are_certain),
                cmocka_unit_test(everything_else_is_an_uncertain_write),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
