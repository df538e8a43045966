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
        int (*exchange)(void *userdata, int directory_fd, const char *a, const char *b);
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
 * Replaces a file in this directory by write to "PATH.new", fsync, rename, fsync of the directory: old or new
 * stands there after a crash.
 */
int world_replace_file(const struct ledger_world *world, int directory_fd, const char *path,
                       const struct iovec *content, mode_t mode);

/*
 * Gives a file new content at once for readers, without any claim on what a crash leaves: the new content
 * is written over the file OTHER, and the two change names. On ext4 that costs a hundredth of a rename(2) over
 * a file, which begins to write the file out (auto_da_alloc). OTHER is left with the content before.
 */
int world_turn_file(const struct ledger_world *world, int directory_fd, const char *path, const char *other,
                    const struct iovec *content);

/* fsyncs a file or directory by path. */
int world_sync_path(const struct ledger_world *world, int directory_fd, const char *path);
