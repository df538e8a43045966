/*
 * The gate of a tree that answers `refuse`, where a write is denied before it happens, and of a shield, where it waits
 * until the content at hand is kept.
 *
 * A second fanotify group (FAN_CLASS_CONTENT) with a mark FAN_OPEN_PERM on every directory of the tree makes
 * each open of a file wait for an answer. The event has no open flags, so they are read from
 * /proc/PID/task/TID/syscall of the waiting thread. Reads are let through at once; only a write is asked
 * about, in a thread of the gate's own.
 *
 * Certain: open, openat, creat, open_by_handle_at, execve: their arguments are in registers. openat2 keeps
 * its flags in memory that another thread may change: a read claimed there is asked about too, as not
 * certain. io_uring and whatever else opens files counts as a write, not certain.
 *
 * What cannot be refused, because the kernel asks nobody: rename, rename over, unlink, link, symlink, mkdir,
 * chmod, chown, xattr, truncate(2) by path, writes through descriptors opened before, and opens in a
 * directory that was made an instant ago. These are seen by the watch and undone at once. A hard link outside
 * the tree is gated only after gate_add_file(). A denied O_CREAT leaves an empty file behind (the kernel asks
 * after it made it): is_create says so, and who decided removes it.
 *
 * Nobody waits for ever: a question that is not decided within GATE_DEADLINE_NS is answered (write: denied).
 * While a killed sentry is replaced, opens wait, because the parent holds the group; its successor answers
 * also those that had been read (the kernel takes an answer by the number the descriptor had, whoever writes
 * it). When the last holder of the group is gone the kernel lets everything through.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define GATE_DEADLINE_NS       UINT64_C(250000000)
#define GATE_START_DEADLINE_NS UINT64_C(10000000000) /* of writes that wait for gate_start() */
#define GATE_FILES_MAX         65536

struct gate_request {
        const char *path; /* absolute; valid during the call. NULL: a killed predecessor had read the event */
        size_t tree;      /* index given to gate_add_tree(); SIZE_MAX with path NULL */
        pid_t pid;
        bool is_create;    /* O_CREAT: an empty file may be there now that was not before */
        bool is_certain;   /* false: a write is only supposed */
        int fd;            /* what is being opened, for reading; -1 with path NULL. Borrowed */
        uint64_t asked_ns; /* monotonic: when it was asked first */
        void *question;    /* for gate_wait_longer() and gate_ask_later() */
};

/*
 * Asked in threads of the gate's own whether a write may happen. While it runs, the open waits: answer soon.
 * Opens by this process are let through by another thread and never get here, so that the policy may
 * wait for a lock that is held during one.
 */
typedef bool (*gate_policy)(const struct gate_request *request, void *userdata);

/*
 * Asked first, of every open and in the thread that reads events, so by tables alone: may it happen whatever
 * it is meant for? Asked again at a question's deadline (`is_late`).
 */
typedef bool (*gate_glance)(int fd, bool is_late, void *userdata);

struct gate;

/* In the parent: the permission group. -ENOSYS or -EINVAL: the kernel has no permission events. */
int gate_group_open(void);

/*
 * `pending_fd` as made by watch_pending_open(), or -1. First answers what a predecessor left; from then on
 * reads are let through. Writes wait until gate_start(), which is to be called once every tree is added: a
 * gate that does not know its trees yet cannot tell what is guarded.
 */
int gate_new(int group_fd, int pending_fd, gate_policy policy, void *userdata, struct gate **ret_gate);
void gate_start(struct gate *gate);

/* Before gate_start(); NULL: nobody is asked first. */
void gate_on_glance(struct gate *gate, gate_glance ask_first);

/* For the policy, about its question: its deadline is that much away from now. */
void gate_wait_longer(struct gate *gate, const struct gate_request *request, uint64_t for_ns);

/* The same: it is to be asked again in a while, whatever the policy answers now. Its deadline stays. */
void gate_ask_later(struct gate *gate, const struct gate_request *request, uint64_t after_ns);

struct gate *gate_free(struct gate *gate);
DEFINE_CLEANUP(struct gate *, gate_free);

/* Marks every directory below `path` (mounts inside it too). Adding a tree again marks what is new. */
int gate_add_tree(struct gate *gate, const char *path, size_t tree);
int gate_remove_tree(struct gate *gate, size_t tree);

/*
 * For FILE_CREATED|FILE_DIRECTORY of the watch: marks a new directory and all below it. A tree whose own path
 * now leads elsewhere (a symbolic link was switched) is found anew.
 */
int gate_add_directory(struct gate *gate, const char *path);

/*
 * Marks one file itself, under whatever name it is opened: for files with more than one link. The policy is
 * asked about it by this path. -ENOSPC past GATE_FILES_MAX.
 */
int gate_add_file(struct gate *gate, const char *path);

/* For doctor: 1 when the tree's own directory carries its mark, else 0. */
int gate_is_armed(struct gate *gate, size_t tree);

struct gate_counters {
        uint64_t n_reads, n_writes_allowed, n_writes_denied;
        uint64_t n_uncertain; /* of the writes: only supposed */
        uint64_t n_late;      /* writes answered by the deadline, not by the policy */
        uint64_t n_inherited; /* read by a predecessor, answered here */
        uint64_t n_marks;
};
void gate_counters(struct gate *gate, struct gate_counters *ret_counters);
