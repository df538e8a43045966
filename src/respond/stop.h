/*
 * Ends a whole tree of processes, so that nothing of it is left: whoever forks meanwhile, has changed his session or
 * lost his parent.
 *
 * Freeze, then kill. Each process that belongs to the tree is sent SIGSTOP by pidfd, the root first, again and again
 * over all of /proc until a complete look finds no further one: a fork fails once a signal is pending, so what is
 * stopped has no new children, and while parents live it shows whose child is whose. Then all are killed, waited for
 * thread by thread, and looked for twice more; what turns up then is frozen and killed in the same way.
 *
 * Spared, and counted: what respond/hold/spare.h names. A service is spared where it is older than the root: what the
 * tree itself started is no service of the machine.
 *
 * Blocks for up to `wait_ms`, with the calling thread at real-time priority where that is permitted. A thread that the
 * kernel does not let go (state D) is counted as left; its SIGKILL is pending.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Of one tree; those past it are killed as they are found, and not waited for. */
#define STOP_MEMBERS_MAX 65536
#define STOP_WAIT_MS     2000

struct stop_request {
        pid_t root;        /* a process, not a thread; it may have ended */
        uint64_t start_ns; /* of the root, as in struct process; 0: taken as it is now */
        /* Belongs `pid` to the tree, whoever its parent is now? NULL: what /proc shows below the root does. */
        bool (*belongs)(pid_t pid, void *userdata);
        void *userdata;
        unsigned wait_ms; /* 0: STOP_WAIT_MS */
        bool by_hand;     /* a person named the root: killed, be it part of a service */
};

struct stop_result {
        size_t n_killed; /* processes that were killed and are gone */
        size_t n_left;   /* processes of the tree with a thread that lives */
        size_t n_spared;
        unsigned n_looks;            /* over all of /proc */
        bool verified;               /* looked twice, and nothing of the tree lives */
        uint64_t frozen_ns, gone_ns; /* from the call: all were stopped, the last was gone; 0: not */
};

/*
 * 0, with `ret_result` saying what was reached, also when nothing was there any more. -EPERM: the root is one that is
 * never killed, nothing was done. Otherwise a negative errno: /proc cannot be read, or no memory.
 */
int stop_tree(const struct stop_request *request, struct stop_result *ret_result);
