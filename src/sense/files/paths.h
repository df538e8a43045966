/*
 * Paths of any length. The kernel takes and gives at most PATH_MAX bytes at a time, and whoever hides a file
 * below that still has to be found: longer ones are opened in pieces, and asked for level by level.
 */
#pragma once

#include <sys/stat.h>

#include "base/buffer.h"

/* open(2) without O_CREAT. Returns a descriptor or a negative errno. */
int path_open(const char *path, int flags);

/* lstat(2). Returns 0 or a negative errno. */
int path_stat(const char *path, struct stat *ret_stat);

/* Appends the path of an open object; of a longer one only when it is a directory. 0 or a negative errno. */
int path_of(int fd, struct buffer *path);
