/* What watch.c, locate.c and dispatch.c share. For this folder only. */
#pragma once

#include "base/buffer.h"
#include "sense/files/directories.h"
#include "sense/files/links.h"
#include "sense/files/pending.h"
#include "sense/files/trees.h"
#include "sense/files/watch.h"

#define WATCH_PATH_BYTES_MAX ((size_t)1 << 20)

struct watch {
        int group_fd;
        int epoll_fd;
        /* /proc/self/mountinfo: POLLPRI when something was (un)mounted, once for each open file. One
         * wakes the caller through the epoll set, which swallows it; the other is asked by dispatch. */
        int mounts_wake_fd;
        int mounts_fd;
        int timer_fd; /* reads on after a pause (dispatch.c) */
        int work_fd;  /* eventfd: there is work although no descriptor is readable */
        pid_t own_pid;
        bool can_ignore; /* FAN_MARK_IGNORE, Linux 6.0 */
        bool is_wide;    /* too many directories to mark each: the file systems report everything */
        bool is_dispatching;
        bool is_pausing;    /* group_fd is not in the epoll set, timer_fd runs */
        unsigned n_useless; /* dispatches in a row that had only events outside */
        uint64_t emptied; /* how often the kernel's queue was found empty: the time of directory.marked_at */
        struct pending pending;
        struct directories *directories;
        struct links *links;
        bool has_inherited; /* a predecessor's events may be in `pending` */
        struct tree *trees;
        size_t n_trees;
        struct buffer path;
        struct watch_counters counters;
        /* During watch_dispatch(): */
        watch_callback callback;
        void *userdata;
        uint64_t now_ns;
        int n_called;
};

/* Events of entries coming and going. */
#define ENTRY_EVENTS (FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO)

/* Of each file system, of each directory inside, and of each directory of a spine. */
#define SYSTEM_EVENTS    (ENTRY_EVENTS | FAN_ATTRIB | FAN_ONDIR)
#define DIRECTORY_EVENTS (FAN_MODIFY | FAN_CLOSE_WRITE | FAN_EVENT_ON_CHILD)
#define SPINE_EVENTS     (ENTRY_EVENTS | FAN_ONDIR)

/*
 * Of outside directories, when the kernel is asked to be silent. Without FAN_EVENT_ON_CHILD: it would silence chmod(2)
 * of their files too, but make every write to them take the long way (some 40 ns).
 */
#define IGNORE_EVENTS (SYSTEM_EVENTS)

/* locate.c: which directory is it? NULL: out of memory. The answer is valid until the next call. */
struct directory *locate_directory(struct watch *watch, const uint8_t *key, size_t key_size);

/* Opens what a key names through a mount of some tree; a descriptor or a negative errno. */
int locate_open(struct watch *watch, const uint8_t *key, size_t key_size, int flags);

/* The path inside a tree under which an open object is known to the kernel, or NULL. To be freed. */
char *locate_object(struct watch *watch, int fd);

/* Asks the kernel to be silent about a directory outside. */
void locate_ignore(struct watch *watch, struct directory *directory);

/*
 * watch.c: finds a tree anew, marks its file systems and, when it stands elsewhere than before or `must_mark`,
 * its directories. Returns 1 when it stands elsewhere, 0 or a negative errno.
 */
int watch_refresh_tree(struct watch *watch, struct tree *tree, const struct mounts *mounts, bool must_mark);

/* Everything may lie elsewhere now: forgets the directories and finds all trees anew. 0 or a negative errno. */
int watch_relocate(struct watch *watch, bool must_mark);

/* Marks a directory by its path or its key, and everything below it when `is_deep`. */
void watch_mark_new(struct watch *watch, const char *path, const uint8_t *key, size_t key_size, bool is_deep);

/* dispatch.c, for links.c. */
unsigned watch_what_of(uint64_t mask);
void watch_call_back_path(struct watch *watch, unsigned what, const char *path, pid_t pid, int pid_fd);
void watch_call_back_overflow(struct watch *watch);
