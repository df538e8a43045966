/*
 * Path work by descriptors: where something stands, and what.
 *
 * A path is relative to a tree, its components are names: no "", ".", "..". It may be longer than PATH_MAX.
 * Nothing here follows a symbolic link, and "beneath" holds whatever is renamed meanwhile (openat2(2)).
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "event/node.h"

/*
 * Opens (O_PATH) the directory that holds `path`; `ret_name` is the last component and points into `path`.
 * -ENOENT, -ENOTDIR or -ELOOP: a parent is missing or is something else; -EINVAL: no path.
 */
int look_open_parent(int tree_fd, const char *path, int *ret_fd, const char **ret_name);

/* Opens (O_PATH) one name in a directory, whatever it is. -ENOENT: nothing. */
int look_open(int directory_fd, const char *name);

/* The same, but -EXDEV where something is mounted. */
int look_open_unmounted(int directory_fd, const char *name);

/* Opens a path; look_open_parent() and look_open() in one. "" is the tree's root. */
int look_open_path(int tree_fd, const char *path);

/* Opens the very object behind an O_PATH descriptor for reading or more. Not for what blocks or acts when
 * opened. */
int look_reopen(int path_fd, int flags);

/*
 * Fills a node from a descriptor. The digest is read when `with_content`; extended attributes always. The
 * size of a device is its number.
 */
int look_node(int path_fd, bool with_content, struct node *ret_node);

/* Clears immutable and append-only of a file or directory. 1: was set and is cleared; 0: was not. `ret_flags`
 * (may be NULL): as they were, for look_set_flags(). */
int look_clear_flags(int path_fd, int *ret_flags);
int look_set_flags(int path_fd, int flags);
