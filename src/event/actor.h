/*
 * Who did it: a process and its ancestors up to init, as they were at the time.
 *
 * processes[0] acted; processes[i + 1] is the parent of processes[i] by fork, also
 * where the parent has gone since and the kernel shows init instead. A process is named by
 * pid and start time together. Strings are raw bytes from the kernel (an attacker
 * chooses them) and may be NULL when nobody could read them in time.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define ACTOR_DEPTH_MAX         16
#define ACTOR_COMMAND_BYTES_MAX 4096
#define ACTOR_UNSET             ((uint32_t)-1) /* login uid or audit session that is not set */

struct process {
        pid_t pid;
        uint64_t start_ns; /* since boot, as in /proc/PID/stat field 22 */
        uid_t uid;
        uint32_t login_uid; /* /proc/PID/loginuid */
        uint32_t session;   /* /proc/PID/sessionid */
        char *executable;
        char *command_line; /* arguments joined by blanks; secrets masked by who read it */
        char *user;         /* name of uid, or NULL */
};

struct actor {
        size_t n_processes; /* 0: unknown */
        struct process processes[ACTOR_DEPTH_MAX];
};

void process_deinit(struct process *process);
int process_copy(const struct process *from, struct process *ret_to);

struct actor *actor_new(void);
struct actor *actor_free(struct actor *actor);
DEFINE_CLEANUP(struct actor *, actor_free);
struct actor *actor_copy(const struct actor *actor);
bool actor_equal(const struct actor *a, const struct actor *b);

/* OCSF Actor object: {"process": {pid, cmd_line, file, user, session, parent_process …}}. */
json_t *actor_encode(const struct actor *actor);
