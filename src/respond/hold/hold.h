/*
 * Holds a process: stopped, not ended, so that it can be looked at and let go again.
 *
 * By pidfd, after checking that pid and start time are those that were seen, so a reused pid is never hit.
 * A hold is verified: every thread is in state T in /proc. Refused, whoever asks: pid 1, kernel threads, and
 * every process that runs our own executable.
 *
 * Limit: another process of the same user may send SIGCONT; hold_is_held() shows it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum hold_outcome {
        HOLD_DONE,       /* and verified */
        HOLD_UNVERIFIED, /* signalled, but not every thread had stopped (or gone) in time */
        HOLD_GONE,       /* it has exited, or the pid is another process now */
        HOLD_REFUSED,    /* pid 1, a kernel thread, or one of ours */
};

const char *hold_outcome_name(enum hold_outcome outcome);

/*
 * Each returns an outcome or a negative errno. `start_ns` as in struct process; 0: not known, taken as is.
 * They wait up to `wait_ms` for the effect to be seen.
 */
int hold_process(pid_t pid, uint64_t start_ns, unsigned wait_ms);
int hold_resume(pid_t pid, uint64_t start_ns, unsigned wait_ms);
int hold_kill(pid_t pid, uint64_t start_ns, unsigned wait_ms);

/* Sends a signal and does not wait. */
int hold_signal(pid_t pid, uint64_t start_ns, int signal);

/* Threads whose state (proc_pid_stat(5)) is none of `without`, or a negative errno (-ESRCH). */
int hold_count_threads(pid_t pid, const char *without);

/* Is every thread of it stopped? 1, 0, or a negative errno (-ESRCH). */
int hold_is_held(pid_t pid, uint64_t start_ns);

/*
 * Processes that have the object open or mapped writable, by a scan of /proc: who still works on what was
 * replaced. Returns how many were found (at most `n_max` are stored) or a negative errno. Slow
 * (milliseconds).
 */
int hold_find_openers(dev_t device, ino_t inode, pid_t *pids, size_t n_max);
