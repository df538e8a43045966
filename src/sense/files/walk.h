/*
 * A walk of a tree by several threads: each directory is read and stat'ed once, by
 * descriptor (openat2 RESOLVE_BENEATH|NO_SYMLINKS), deterministic in nothing but coverage.
 * File systems mounted inside the tree are walked too; directory loops cannot occur.
 */
#pragma once

#include <stdint.h>

#include "event/node.h"

struct walk_directory; /* one directory at work: its descriptor and relative path */

struct walk_entry {
        const char *name;
        struct node node; /* without digests; link_target read */
};

struct walk_callbacks {
        /*
         * One directory with all its entries, sorted by name in byte order. Called from any
         * thread, concurrently for different directories; `thread` counts from 0.
         * A negative return ends the walk and is returned.
         */
        int (*directory)(int directory_fd, const char *relative_path, struct walk_entry *entries,
                         size_t n_entries, unsigned thread, void *userdata);
        /* A directory that could not be read (errno); the walk goes on when this returns 0. */
        int (*failed)(const char *relative_path, int error, void *userdata);
        void *userdata;
};

/* `n_threads` 0: one per processor. */
int walk_tree(const char *path, unsigned n_threads, const struct walk_callbacks *callbacks);

/* Fills a node from the object itself, by O_PATH descriptor or directory and name; no content. */
int node_stat(int directory_fd, const char *name, struct node *ret_node);
