#include "ledger/world.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"

#define PATH_BYTES 256

static int system_open(void *userdata, int directory_fd, const char *path, int flags, mode_t mode) {
        (void)userdata;
        int fd = openat(directory_fd, path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
        return fd < 0 ? -errno : fd;
}

static int system_pwrite(void *userdata, int fd, const void *data, size_t size, uint64_t offset) {
        (void)userdata;
        return io_pwrite_all(fd, data, size, offset);
}

static int system_truncate(void *userdata, int fd, uint64_t size) {
        (void)userdata;
        return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static int system_sync(void *userdata, int fd, int data_only) {
        (void)userdata;
        return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

static int system_rename(void *userdata, int directory_fd, const char *from, const char *to) {
        (void)userdata;
        return renameat(directory_fd, from, directory_fd, to) < 0 ? -errno : 0;
}

static int system_exchange(void *userdata, int directory_fd, const char *a, const char *b) {
        (void)userdata;
        return renameat2(directory_fd, a, directory_fd, b, RENAME_EXCHANGE) < 0 ? -errno : 0;
}

static int system_unlink(void *userdata, int directory_fd, const char *path, int flags) {
        (void)userdata;
        return unlinkat(directory_fd, path, flags) < 0 ? -errno : 0;
}

static int system_mkdir(void *userdata, int directory_fd, const char *path, mode_t mode) {
        (void)userdata;
        return mkdirat(directory_fd, path, mode) < 0 ? -errno : 0;
}

static int system_random(void *userdata, void *data, size_t size) {
        (void)userdata;
        return getrandom(data, size, 0) == (ssize_t)size ? 0 : -EIO;
}

const struct ledger_world ledger_world_system = {
        .open = system_open,
        .pwrite = system_pwrite,
        .truncate = system_truncate,
        .sync = system_sync,
        .rename = system_rename,
        .exchange = system_exchange,
        .unlink = system_unlink,
        .mkdir = system_mkdir,
        .random = system_random,
};

static int make_parents(const struct ledger_world *world, int directory_fd, const char *path) {
        char parent[PATH_BYTES];
        for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
                int r = world->mkdir(world->userdata, directory_fd, parent, 0750);
                if (r < 0 && r != -EEXIST)
                        return r;
        }
        return 0;
}

static int open_new(const struct ledger_world *world, int directory_fd, const char *path, mode_t mode) {
        return world->open(world->userdata, directory_fd, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int world_write_file(const struct ledger_world *world, int directory_fd, const char *path, const void *data,
                     size_t size) {
        _cleanup_(fd_closep) int fd = open_new(world, directory_fd, path, 0640);
        if (fd == -ENOENT) {
                int r = make_parents(world, directory_fd, path);
                if (r < 0)
                        return r;
                fd = open_new(world, directory_fd, path, 0640);
        }
        return fd < 0 ? fd : world->pwrite(world->userdata, fd, data, size, 0);
}

int world_replace_file(const struct ledger_world *world, int directory_fd, const char *path,
                       const struct iovec *content, mode_t mode) {
        char temporary[PATH_BYTES];
        if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
                return -ENAMETOOLONG;
        int r = world->unlink(world->userdata, directory_fd, temporary, 0);
        if (r < 0 && r != -ENOENT)
                return r;
        _cleanup_(fd_closep) int fd = open_new(world, directory_fd, temporary, mode);
        if (fd < 0)
                return fd;
        r = world->pwrite(world->userdata, fd, content->iov_base, content->iov_len, 0);
        if (r == 0)
                r = world->sync(world->userdata, fd, 0);
        if (r == 0)
                r = world->rename(world->userdata, directory_fd, temporary, path);
        return r < 0 ? r : world_sync_path(world, directory_fd, ".");
}

int world_turn_file(const struct ledger_world *world, int directory_fd, const char *path, const char *other,
                    const struct iovec *content) {
        struct stat status;
        _cleanup_(fd_closep) int fd =
                world->open(world->userdata, directory_fd, other, O_WRONLY | O_CREAT, 0640);
        if (fd < 0)
                return fd;
        int r = world->pwrite(world->userdata, fd, content->iov_base, content->iov_len, 0);
        if (r == 0 && fstat(fd, &status) < 0)
                r = -errno;
        if (r == 0 && (size_t)status.st_size != content->iov_len)
                r = world->truncate(world->userdata, fd, content->iov_len);
        if (r == 0)
                r = world->exchange(world->userdata, directory_fd, other, path);
        /* nothing to exchange with yet, or a file system that cannot */
        if (r == -ENOENT || r == -EINVAL || r == -ENOSYS)
                r = world->rename(world->userdata, directory_fd, other, path);
        return r;
}

int world_sync_path(const struct ledger_world *world, int directory_fd, const char *path) {
        _cleanup_(fd_closep) int fd = world->open(world->userdata, directory_fd, path, O_RDONLY, 0);
        return fd < 0 ? fd : world->sync(world->userdata, fd, 0);
}
