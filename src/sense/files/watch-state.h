/* What watch.c, locate.c and dispatch.c share. For this folder only. */
#pragma once

#include "base/buffer.h"
#include "sense/files/directories.h"
#include "sense/files/links.h"
#include "sense/files/pending.h"
#include "sense/files/trees.h"
#include "sense/files/watch.h"

struct watch {
        int group_fd;
        int epoll_fd;
        /* /proc/self/mountinfo: POLLPRI when something was (un)mounted, once for each open file. One
         * wakes the caller through the epoll set, which swallows it; the other is asked by dispatch. */
        int mounts_wake_fd;
        int mounts_fd;
        int work_fd; /* eventfd: there is work although no descriptor is readable */
        pid_t own_pid;
        bool can_ignore; /* FAN_MARK_IGNORE, Linux 6.0 */
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

/* locate.c: which directory is it? NULL: out of memory. The answer is valid until the next call. */
struct directory *locate_directory(struct watch *watch, const uint8_t *key, size_t key_size);

/* Opens what a key names through a mount of some tree; a descriptor or a negative errno. */
int locate_open(struct watch *watch, const uint8_t *key, size_t key_size, int flags);

/* The path inside a tree under which an open object is known to the kernel, or NULL. To be freed. */
char *locate_object(struct watch *watch, int fd);

/* Asks the kernel to be silent about a directory outside. */
void locate_ignore(struct watch *watch, struct directory *directory);

/* Directories moved: nothing that is remembered, and no ignore mark, holds any longer. */
void locate_forget(struct watch *watch, bool ignore_marks_too);

/* watch.c: finds a tree anew and marks its file systems. Returns 1 when its mounts or place changed, 0 or
 * a negative errno. */
int watch_refresh_tree(struct watch *watch, struct tree *tree, const struct mounts *mounts);

/* Everything may lie elsewhere now: forgets, then finds and marks all trees anew. 0 or a negative errno. */
int watch_relocate(struct watch *watch);

/* dispatch.c, for links.c. */
unsigned watch_what_of(uint64_t mask);
void watch_call_back_path(struct watch *watch, unsigned what, const char *path, pid_t pid, int pid_fd);
void watch_call_back_overflow(struct watch *watch);
