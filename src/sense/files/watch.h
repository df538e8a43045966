/*
 * File events by fanotify(7), with names: one mark per file system, and one per guarded directory for writes.
 *
 * The group's descriptor is made by the parent (watch_group_open) and handed to the
 * sentry, so that queue and marks outlive a crashed sentry. Programs that work elsewhere on the same disk pay
 * next to nothing (watch.c says how). Events of this process are dropped.
 *
 * Seen is also: a write through a hard link outside or a bind mount, in whatever namespace; a store
 * through a mapping when it is unmapped (FAN_CLOSE_WRITE; not before); the switch of a symbolic link that a tree's
 * own path leads through. Needs CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH; Linux 5.10, better from 5.17 (target ids)
 * and 6.0 (ignore marks).
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
        FILE_MOVED = 1 << 9,      /* with FILE_CREATED: the name came by rename, with its content */
        FILE_MOUNTS = 1 << 8,     /* something was (un)mounted in or over a tree: path is the tree */
};

struct file_event {
        unsigned what;
        const char *path; /* absolute; valid during the call */
        size_t tree;      /* index given to watch_add_tree() */
        pid_t pid;
        int pid_fd;            /* -1: not asked for; who it was is kept by pid and start (sense/processes) */
        uint64_t monotonic_ns; /* when it was read */
};

struct watch;

/* In the parent: the fanotify group. Returns the descriptor or a negative errno. */
int watch_group_open(void);

/* In the parent: memory for events that were read and not yet worked off (role_context.pending_fd). */
int watch_pending_open(void);

/* In the parent: are they such as watch_group_open() and watch_pending_open() make? Another version's may not be. */
bool watch_group_fits(int group_fd);
bool watch_pending_fits(int pending_fd);

int watch_new(int group_fd, struct watch **ret_watch);

/*
 * As watch_new(), but events are read into the parent's memory: when this process is killed,
 * the next one's first watch_dispatch() calls back for those that were read and not worked off.
 * The one at work at the time is called back again. Call watch_add_tree() for every tree first.
 */
int watch_new_pending(int group_fd, int pending_fd, struct watch **ret_watch);
struct watch *watch_free(struct watch *watch);
DEFINE_CLEANUP(struct watch *, watch_free);

/*
 * Guards everything below `path` (absolute; and the mounts inside it) from now on. -EOPNOTSUPP: this file
 * system cannot be watched; -ENOENT, -ENOTDIR; -EEXIST: the index is another tree's. Adding one again
 * finds it anew.
 */
int watch_add_tree(struct watch *watch, const char *path, size_t tree);
int watch_remove_tree(struct watch *watch, size_t tree);

/*
 * Once every tree is added: takes away marks that a predecessor put on trees that are guarded no more. Returns 1 when
 * there were any (what happened in an instant meanwhile is found by a sweep alone), 0 or a negative errno.
 */
int watch_drop_others(struct watch *watch);

/*
 * Works off what is ready, at most a buffer full, and calls back for each event inside a tree. Never blocks.
 * Returns the number of callbacks or a negative errno. Call it while watch_fd() is readable (an epoll
 * descriptor: it may be put into another epoll set).
 */
typedef void (*watch_callback)(const struct file_event *event, void *userdata);
int watch_dispatch(struct watch *watch, watch_callback callback, void *userdata);
int watch_fd(const struct watch *watch);

/*
 * For doctor: 1 when the tree stands and every file system in it carries its mark (read back from
 * /proc/self/fdinfo), 0 when not, or a negative errno (-ENOENT: no such tree).
 */
int watch_is_armed(const struct watch *watch, size_t tree);

struct watch_counters {
        uint64_t n_events;      /* called back */
        uint64_t n_outside;     /* dropped: outside every tree */
        uint64_t n_own;         /* dropped: done by this process */
        uint64_t n_overflows;   /* events were lost: each was followed by FILE_OVERFLOW */
        uint64_t n_too_long;    /* of a path longer than PATH_MAX: only a sweep can name it */
        uint64_t n_unresolved;  /* of a directory that was gone before it could be named */
        uint64_t n_ignored;     /* directories outside that the kernel was asked to be silent about */
        uint64_t n_directories; /* remembered now */
        uint64_t n_marked; /* directories inside that were marked, counted again when it was done again */
        uint64_t n_files;  /* files inside, as far as the scan has come */
        uint64_t n_links;  /* of them with other names, each watched by itself */
        uint64_t n_links_refused; /* too many: writes by their names outside are not seen */
        bool is_wide;             /* too many directories for a mark each: all writers on the disk pay */
        bool is_scanning;         /* not every file with other names is known yet */
};
void watch_counters(const struct watch *watch, struct watch_counters *ret_counters);
