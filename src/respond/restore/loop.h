/*
 * Restores that do not last: somebody puts the change back each time.
 *
 * Policy. Restoring goes on every time: it costs little, and every change is seen. When one path was
 * restored `limit` times within `window_ns`, or one lineage (the executables of the actor and its ancestors)
 * caused `limit_lineage` restores within it, somebody is to be held: the nearest process of the actor's
 * lineage that runs still and was running at the first of these restores. Whoever is younger is a tool that
 * somebody starts anew each time. Never chosen, since stopping them stops the machine and not the
 * attack: what hinomi itself was started from, terminal multiplexers, init, service managers, cron, at, sshd, container runtimes, databases, single-process web servers,
 * and the *master* of a web or application server (a worker, whose parent runs the same program, may be). At
 * most LOOP_HELD_PER_PARENT_MAX children of one parent are held: then the pool is left alone, since an outage
 * may be what the attacker wants. When nobody may be held the answer says why, so that a person looks at the
 * crontab or the service behind it.
 *
 * Bounded: LOOP_ENTRIES_MAX counters, the least recently used is forgotten. Time comes in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/actor.h"

#define LOOP_ENTRIES_MAX         1024
#define LOOP_HELD_PER_PARENT_MAX 1

struct loop_options {
        unsigned limit;         /* restores of one path in the window; 0: 3 */
        unsigned limit_lineage; /* restores caused by one lineage in the window; 0: 30 */
        uint64_t window_ns;     /* 0: 60 s */
};

struct loop;

/* Is that process running? NULL in loop_new(): asks /proc. */
typedef bool (*loop_is_alive)(pid_t pid, uint64_t start_ns, void *userdata);

int loop_new(const struct loop_options *options, loop_is_alive is_alive, void *userdata,
             struct loop **ret_loop);
struct loop *loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop *, loop_free);

enum loop_verdict {
        LOOP_NONE,   /* no loop (yet) */
        LOOP_HOLD,   /* hold ret_choice.pid */
        LOOP_NOBODY, /* a loop, and nobody who may be held: ret_choice.reason */
};

struct loop_choice {
        pid_t pid;
        uint64_t start_ns;
        size_t ancestor;     /* index in actor->processes */
        unsigned n_restores; /* of the path or lineage, in the window */
        const char *reason;  /* static, in words; of LOOP_NOBODY a msgid */
};

/*
 * Notes one restore. `boot_ns` is CLOCK_BOOTTIME, the clock of struct process.start_ns. `actor` may be NULL.
 */
enum loop_verdict loop_note(struct loop *loop, const char *path, const struct actor *actor, uint64_t boot_ns,
                            struct loop_choice *ret_choice);

/* CLOCK_BOOTTIME in nanoseconds. */
uint64_t loop_clock_ns(void);
