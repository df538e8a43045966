/*
 * A walk of a tree by several threads: each directory is read and each entry stat'ed once,
 * by descriptor (openat2 RESOLVE_BENEATH|NO_SYMLINKS), so that no path is too long and no
 * symbolic link is followed. Nothing but directories is opened. File systems mounted inside
 * the tree are walked too, kernel file systems (proc, sysfs, cgroup …) are not.
 * What vanishes meanwhile is left out; order is deterministic only inside a directory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/node.h"

struct walk;

struct walk_entry {
        const char *name;
        struct node node; /* without digests; link_target read */
};

/* One directory at work; valid during the call. */
struct walk_directory {
        struct walk *walk;
        int fd;
        const char *path;           /* relative to the tree, "" for its root */
        struct walk_entry *entries; /* sorted by name in byte order */
        size_t n_entries;
        unsigned thread; /* counts from 0 */
};

struct walk_callbacks {
        /* Whether to go into a directory; NULL: into all. From any thread, before its parent is visited. */
        bool (*enter)(const char *relative_path, void *userdata);
        /* From any thread, concurrently for different directories. A negative return ends the walk. */
        int (*directory)(const struct walk_directory *directory, void *userdata);
        /* A path that could not be read (errno); the walk goes on when this returns 0. NULL: goes on. */
        int (*failed)(const char *relative_path, int error, void *userdata);
        void *userdata;
};

/* `n_threads` 0: one per processor. Returns 0, or the first negative return of a callback or of opening
 * `path`. */
int walk_tree(const char *path, unsigned n_threads, const struct walk_callbacks *callbacks);
unsigned walk_threads(unsigned n_threads);

/*
 * From inside directory(): calls work(i, thread, userdata) for i from 0 to n - 1, with the help of
 * threads that have no directory to read, and returns when all are done: 0 or the first negative return.
 */
typedef int (*walk_work)(size_t i, unsigned thread, void *userdata);
int walk_share(const struct walk_directory *directory, size_t n, walk_work work, void *userdata);

/*
 * Opens a path of any length beneath a directory, following no symbolic link; "" is the directory
 * itself. `flags` as for open(2). Returns the descriptor or a negative errno.
 */
int walk_open(int root_fd, const char *relative_path, int flags);

/*
 * Fills a node from the object itself: directory and name, or an O_PATH descriptor and "".
 * Content and extended attributes are not read. Returns 0 or a negative errno.
 */
int node_stat(int directory_fd, const char *name, struct node *ret_node);
