/*
 * What the ledger's writer asks of the machine: changes to the disk, and randomness.
 * Tests put their own in to fail or end the n-th step; NULL means the real one.
 * Reading is not here: it changes nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct ledger_world {
        int (*open)(void *userdata, int directory_fd, const char *path, int flags, mode_t mode);
        int (*pwrite)(void *userdata, int fd, const void *data, size_t size, uint64_t offset);
        int (*truncate)(void *userdata, int fd, uint64_t size);
        int (*sync)(void *userdata, int fd, int data_only);
        int (*rename)(void *userdata, int directory_fd, const char *from, const char *to);
        int (*unlink)(void *userdata, int directory_fd, const char *path, int flags);
        int (*mkdir)(void *userdata, int directory_fd, const char *path, mode_t mode);
        int (*random)(void *userdata, void *data, size_t size);
        void *userdata;
};

/* Each function returns 0 (open: a descriptor) or a negative errno. */
extern const struct ledger_world ledger_world_system;

/* Writes a file anew under its own name; nothing is fsynced. Missing directories above it are made. */
int world_write_file(const struct ledger_world *world, int directory_fd, const char *path, const void *data,
                     size_t size);

/*
 * Replaces a file by write to "PATH.new" and rename. With `durable` both the content and the name are
 * fsynced: old or new stands there after a crash.
 */
int world_replace_file(const struct ledger_world *world, int directory_fd, const char *path,
                       const struct iovec *content, int durable, mode_t mode);

/* fsyncs a file or directory by path. */
int world_sync_path(const struct ledger_world *world, int directory_fd, const char *path);
