/*
 * What /proc/PID says of a process: proc_pid_stat(5) and its neighbours. Read while the
 * process may be ending, so every part can be missing; what is written there is the process's own choice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/procfs.h"
#include "event/actor.h"

struct proc_status {
        pid_t pid;
        struct procfs_stat stat; /* its parent is the one of now: that of an orphan is another's */
        uid_t uid;               /* effective */
        uint32_t login_uid;
        uint32_t session;
        bool is_named; /* executable and command line were there */
        char executable[4096];
        char command_line[ACTOR_COMMAND_BYTES_MAX + 1]; /* secrets masked */
};

/* Arguments parted by NUL, as in /proc/PID/cmdline, become one line parted by blanks, in place, ended by NUL:
 * `text` has room for size + 1. */
void proc_join_arguments(char *text, size_t size);

/* Everything. -ESRCH: there is no such process. */
int proc_read(pid_t pid, struct proc_status *ret_status);

/* Name first, because the process may be gone at any moment. */
int proc_read_image(pid_t pid, struct proc_status *ret_status);

/* Login uid and session as they are now, where it still runs. */
void proc_refresh_session(struct process *process);

/* Start time alone; 0: there is no such process. */
uint64_t proc_start_ns(pid_t pid);
