/*
 * Whole reads and writes, and files replaced as a whole.
 * Every function returns 0 (or a count) or a negative errno.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"

int io_write_all(int fd, const void *data, size_t size);
int io_pwrite_all(int fd, const void *data, size_t size, uint64_t offset);

/* Reads until `size` bytes or end of file; returns the bytes read. */
ssize_t io_pread_full(int fd, void *data, size_t size, uint64_t offset);

/* Appends a whole file to `buffer`; -EFBIG past the buffer's bound. Works on /proc files. */
int io_read_file(int directory_fd, const char *path, struct buffer *buffer);

/*
 * Replaces `name` in a directory by write to "NAME.new", fsync, rename, fsync of the
 * directory: after a crash the old or the new content stands there, never a mixture.
 */
int io_replace_file(int directory_fd, const char *name, const void *data, size_t size, mode_t mode);

/* mkdir -p; existing directories are left as they are. */
int io_make_directories(const char *path, mode_t mode);
