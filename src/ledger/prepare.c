/* Directories of the ledger: whose they are, and a damaged log put aside. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "ledger/ledger.h"
#include "ledger/world.h"

#define DEPTH_MAX 12

static bool is_of(const struct stat *status, uid_t uid, gid_t gid) {
        return status->st_uid == uid && status->st_gid == gid;
}

/*
 * Gives a tree to its owner: somebody may have put files back as root. Names that lead elsewhere are not followed,
 * and a file with a name elsewhere is not given away.
 */
static int tree_give(int fd, uid_t uid, gid_t gid, unsigned depth) {
        struct stat status;
        if (fstat(fd, &status) < 0 || (!is_of(&status, uid, gid) && fchown(fd, uid, gid) < 0))
                return -errno;
        int again_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = again_fd < 0 ? NULL : fdopendir(again_fd);
        if (!directory)
                return -errno;
        int r = 0;
        for (struct dirent *entry; r == 0 && (entry = readdir(directory));) {
                if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                        continue;
                _cleanup_(fd_closep) int child =
                        openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (child >= 0)
                        r = depth == DEPTH_MAX ? -ELOOP : tree_give(child, uid, gid, depth + 1);
                else if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                        r = -errno;
                else if (status.st_nlink == 1 && !is_of(&status, uid, gid) &&
                         fchownat(fd, entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                        r = -errno;
        }
        closedir(directory);
        return r;
}

static int directory_prepare(const char *state, const char *name, mode_t mode, uid_t uid, gid_t gid) {
        char path[4096];
        if (snprintf(path, sizeof(path), "%s/%s", state, name) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        if (mkdir(path, mode & 0777) < 0 && errno != EEXIST)
                return -errno;
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        int r = fd < 0 ? -errno : tree_give(fd, uid, gid, 0);
        if (r < 0)
                return r;
        return fchmod(fd, mode) < 0 ? -errno : 0;
}

int ledger_prepare(const char *state, uid_t uid, gid_t gid) {
        int r = io_make_directories(state, 0755);
        if (r == 0)
                r = directory_prepare(state, "ledger", 02750, uid, gid);
        return r < 0 ? r : directory_prepare(state, "keys", 0700, uid, gid);
}

static int contents_move(const char *state, const char *name, const char *aside) {
        char path[4096], to[NAME_MAX + 300];
        if (snprintf(path, sizeof(path), "%s/%s", state, name) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory)
                return errno == ENOENT ? 0 : -errno;
        int r = mkdirat(fd, aside, 0750) < 0 && errno != EEXIST ? -errno : 0;
        for (struct dirent *entry; r == 0 && (entry = readdir(directory));) {
                if (entry->d_name[0] == '.' || !strncmp(entry->d_name, "damaged-", 8))
                        continue;
                snprintf(to, sizeof(to), "%s/%s", aside, entry->d_name);
                if (renameat(fd, entry->d_name, fd, to) < 0)
                        r = -errno;
        }
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        closedir(directory);
        return r;
}

int ledger_set_aside(const char *state, const struct clock *clock) {
        char aside[64];
        snprintf(aside, sizeof(aside), "damaged-%llu",
                 (unsigned long long)(clock_wall_ns(clock) / NS_PER_MS));
        /* the log first: without it, keys that are left would begin a new one under the old name */
        int r = contents_move(state, "ledger", aside);
        return r < 0 ? r : contents_move(state, "keys", aside);
}
