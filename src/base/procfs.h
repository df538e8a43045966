/*
 * One line of /proc/PID/stat (proc(5)): whether a process runs, since when, and whose child it is.
 * A process is named by pid and start time together; start times are nanoseconds since boot, in whole ticks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct procfs_stat {
        char state; /* R S D T t Z X I */
        pid_t parent;
        bool is_kernel_thread;
        uint64_t start_ns;
        pid_t session;
        int terminal; /* its controlling terminal; 0: none */
};

/* The text itself, decoded. 0 or -EBADMSG. Pure. */
int procfs_decode_stat(const char *text, size_t size, struct procfs_stat *ret_stat);

/* -ESRCH: no such process. */
int procfs_stat(pid_t pid, struct procfs_stat *ret_stat);
/* The same from another file of that form, e.g. /proc/PID/task/TID/stat. */
int procfs_stat_path(const char *path, struct procfs_stat *ret_stat);

/* Names this boot: pids and start times mean nothing after the next. Empty when it cannot be read. */
#define PROCFS_BOOT_ID_SIZE 64
void procfs_boot_id(char ret_boot[static PROCFS_BOOT_ID_SIZE]);

/* Equal but for rounding: one may come from an event with a clock of its own. */
bool procfs_same_start(uint64_t a_ns, uint64_t b_ns);

/* Runs it, and is it the same that started then? A zombie does not run. `start_ns` 0: any. */
bool procfs_is_alive(pid_t pid, uint64_t start_ns);
