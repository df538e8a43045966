/*
 * What a thread that waits in open(2) wants: read, or write. fanotify(7) does not say; the thread's registers
 * do, as /proc/PID/task/TID/syscall shows them (proc_pid_syscall(5)).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct intent {
        bool is_write;
        bool is_create;
        bool is_certain;
        bool is_early; /* the thread has not gone to sleep yet, so that its registers cannot be seen: ask again */
};

/* A system call's number and its six arguments. */
struct syscall_registers {
        long number;
        uint64_t arguments[6];
};

/* Decodes the text of the syscall file. -EBADMSG: "running", "-1 …" or anything else. Pure. */
int syscall_decode(const char *text, size_t size, struct syscall_registers *ret_registers);

/* From the registers; `ret_how` is the address of struct open_how when it lies in memory (openat2), else 0.
 * Pure. */
struct intent intent_decode(const struct syscall_registers *registers, uint64_t *ret_how);

/* Of a thread that waits now. What cannot be read is an uncertain write. */
struct intent intent_read(pid_t tid);
