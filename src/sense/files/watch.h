/*
 * File events by fanotify(7): one mark per file system, with names.
 *
 * The group's descriptor is made by the parent (watch_group_open) and handed to the
 * sentry, so that queue and marks outlive a crashed sentry. Events outside the
 * guarded trees are dropped here at the price of one look-up. Events of this process
 * are dropped. Needs CAP_SYS_ADMIN; Linux 5.10, better from 5.17 (FAN_RENAME, target ids).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* Bits of file_event.what. */
enum file_what {
        FILE_MODIFIED = 1 << 0,   /* content was written (FAN_MODIFY) */
        FILE_CLOSED = 1 << 1,     /* a writer closed it (FAN_CLOSE_WRITE): also ends a mapping */
        FILE_CREATED = 1 << 2,    /* a name appeared: create, link, rename to */
        FILE_REMOVED = 1 << 3,    /* a name went: unlink, rename from */
        FILE_ATTRIBUTES = 1 << 4, /* mode, owner, times, xattr, link count */
        FILE_DIRECTORY = 1 << 5,  /* the object is a directory */
        FILE_OVERFLOW = 1 << 6,   /* the kernel lost events: path is NULL; sweep everything */
        FILE_LINKED = 1 << 7,     /* seen through a name outside the tree; path is one inside */
        FILE_MOUNTS = 1 << 8,     /* something was (un)mounted in or over a tree: path is the tree */
};

struct file_event {
        unsigned what;
        const char *path; /* absolute; valid during the call */
        size_t tree;      /* index given to watch_add_tree() */
        pid_t pid;
        int pid_fd;            /* -1 when the kernel gave none; closed after the call */
        uint64_t monotonic_ns; /* when it was read */
};

struct watch;

/* In the parent: the fanotify group. Returns the descriptor or a negative errno. */
int watch_group_open(void);

int watch_new(int group_fd, struct watch **ret_watch);
struct watch *watch_free(struct watch *watch);
DEFINE_CLEANUP(struct watch *, watch_free);

/* Guards everything below `path` (and the mounts inside it) from now on. -EOPNOTSUPP: this file system
 * cannot. */
int watch_add_tree(struct watch *watch, const char *path, size_t tree);
int watch_remove_tree(struct watch *watch, size_t tree);

/* Reads what is ready, at most a buffer full, and calls back for each event inside a tree. Never blocks. */
typedef void (*watch_callback)(const struct file_event *event, void *userdata);
int watch_dispatch(struct watch *watch, watch_callback callback, void *userdata);
int watch_fd(const struct watch *watch);

/* For doctor: is the mark of this tree's file systems in place? Reads /proc/self/fdinfo. 1 or 0. */
int watch_is_armed(const struct watch *watch, size_t tree);

struct watch_counters {
        uint64_t n_events, n_outside, n_overflows, n_unresolved;
};
void watch_counters(const struct watch *watch, struct watch_counters *ret_counters);
