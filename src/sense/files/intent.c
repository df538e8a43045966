/*
 * See intent.h. A 32-bit program's calls have other numbers; those that open files there mean calls that
 * open none here, and so fall under "anything else": an uncertain write.
 */
#include "sense/files/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/cleanup.h"

static const struct intent unknown = {.is_write = true, .is_create = true, .is_certain = false};

int syscall_decode(const char *text, size_t size, struct syscall_registers *ret_registers) {
        char line[256];
        struct syscall_registers registers;
        uint64_t *a = registers.arguments;
        if (size >= sizeof(line))
                return -EBADMSG;
        memcpy(line, text, size);
        line[size] = '\0';
        if (sscanf(line, "%ld %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64,
                   &registers.number, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]) != 7 ||
            registers.number < 0)
                return -EBADMSG;
        *ret_registers = registers;
        return 0;
}

static struct intent intent_of_flags(uint64_t flags, bool is_certain) {
        return (struct intent){
                .is_write = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)),
                .is_create = flags & O_CREAT,
                .is_certain = is_certain,
        };
}

struct intent intent_decode(const struct syscall_registers *registers, uint64_t *ret_how) {
        *ret_how = 0;
        switch (registers->number) {
#ifdef SYS_open
        case SYS_open:
                return intent_of_flags(registers->arguments[1], true);
        case SYS_creat:
                return intent_of_flags(O_WRONLY | O_CREAT | O_TRUNC, true);
#endif
        case SYS_openat:
        case SYS_open_by_handle_at:
                return intent_of_flags(registers->arguments[2], true);
        case SYS_execve:
        case SYS_execveat:
                return (struct intent){.is_certain = true};
        case SYS_openat2:
                *ret_how = registers->arguments[2];
                return unknown;
        default:
                return unknown;
        }
}

static struct intent intent_of_how(pid_t tid, uint64_t how_address) {
        struct open_how how;
        struct iovec to = {&how, sizeof(how)}, from = {(void *)(uintptr_t)how_address, sizeof(how)};
        if (process_vm_readv(tid, &to, 1, &from, 1, 0) != (ssize_t)sizeof(how))
                return unknown;
        struct intent intent = intent_of_flags(how.flags, true);
        if (!intent.is_write)
                return (struct intent){.is_write = true}; /* another thread may have changed it since */
        return intent;
}

struct intent intent_read(pid_t tid) {
        char path[64], text[256];
        struct syscall_registers registers;
        uint64_t how;
        snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", tid, tid);
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
        if (n > 0 && text[0] == 'r') /* "running" */
                return (struct intent){true, true, false, true};
        if (n <= 0 || syscall_decode(text, (size_t)n, &registers) < 0)
                return unknown;
        struct intent intent = intent_decode(&registers, &how);
        return how ? intent_of_how(tid, how) : intent;
}
