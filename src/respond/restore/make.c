#include "respond/restore/make.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "event/xattr.h"
#include "respond/restore/look.h"

static int set_xattrs(struct making *making, int fd) {
        const struct node *approved = making->approved;
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, XATTR_BYTES_MAX);
        int r = 0;
        if (!digest_is_zero(&approved->xattr_digest))
                r = store_get_bytes(making->context->store, &approved->xattr_digest, &bytes);
        if (r == -ENOENT || r == -EBADMSG) {
                /* The content matters more; verification will show that these are missing. */
                making->notes |= RESTORE_NOTE_XATTR_LOST;
                return 0;
        }
        return r < 0 ? r : xattr_write(fd, bytes.data, bytes.size);
}

int make_attributes(struct making *making, int fd) {
        const struct node *approved = making->approved;
        struct stat st;
        char self[32];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
                return -errno;
        if ((st.st_uid != approved->uid || st.st_gid != approved->gid) &&
            fchownat(fd, "", approved->uid, approved->gid, AT_EMPTY_PATH) < 0)
                return -errno;
        int r = set_xattrs(making, fd);
        if (r < 0)
                return r;
        if (!S_ISLNK(approved->mode) && chmod(self, approved->mode & 07777) < 0)
                return -errno;
        struct timespec times[2] = {
                {.tv_nsec = UTIME_OMIT},
                {(time_t)(approved->mtime_ns / NS_PER_S), (long)(approved->mtime_ns % NS_PER_S)},
        };
        return utimensat(AT_FDCWD, self, times, 0) < 0 ? -errno : 0;
}

/* A file without a name until it is complete, or (where the file system has none) with its temporary name. */
static int open_unnamed(const struct making *making, bool *ret_named) {
        int fd = openat(making->directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        *ret_named = false;
        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT))
                return fd < 0 ? -errno : fd;
        fd = openat(making->directory_fd, making->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                    0600);
        *ret_named = true;
        return fd < 0 ? -errno : fd;
}

static int link_named(const struct making *making, int fd) {
        char self[32];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        return linkat(AT_FDCWD, self, making->directory_fd, making->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int make_regular(struct making *making) {
        bool named;
        _cleanup_(fd_closep) int fd = open_unnamed(making, &named);
        if (fd < 0)
                return fd;
        int r = 0;
        if (making->approved->size_bytes)
                r = store_get_file(making->context->store, &making->approved->digest, fd);
        if (r == 0)
                r = make_attributes(making, fd);
        if (r == 0 && making->context->durable && fsync(fd) < 0)
                r = -errno;
        if (r == 0 && !named)
                r = link_named(making, fd);
        else if (r < 0 && named)
                unlinkat(making->directory_fd, making->name, 0);
        return r < 0 ? r : fd_steal(&fd);
}

static int make_named(struct making *making) {
        const struct node *approved = making->approved;
        int r;
        switch (approved->mode & S_IFMT) {
        case S_IFDIR:
                r = mkdirat(making->directory_fd, making->name, 0700);
                break;
        case S_IFLNK:
                r = symlinkat(approved->link_target ?: "", making->directory_fd, making->name);
                break;
        case S_IFIFO:
                r = mknodat(making->directory_fd, making->name, S_IFIFO | 0600, 0);
                break;
        case S_IFCHR:
        case S_IFBLK:
                if (!approved->size_bytes)
                        return -EOPNOTSUPP;
                r = mknodat(making->directory_fd, making->name, (approved->mode & S_IFMT) | 0600,
                            (dev_t)approved->size_bytes);
                break;
        default:
                return -EOPNOTSUPP;
        }
        return r < 0 ? -errno : 0;
}

int make_object(struct making *making) {
        const struct node *approved = making->approved;
        if (S_ISREG(approved->mode))
                return make_regular(making);
        int r = make_named(making);
        if (r < 0)
                return r;
        int flag = S_ISDIR(approved->mode) ? AT_REMOVEDIR : 0;
        _cleanup_(fd_closep) int fd = look_open(making->directory_fd, making->name);
        struct stat st;
        /* Somebody who may write in this directory can have put another object under our name. */
        if (fd < 0 || fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 ||
            (st.st_mode & S_IFMT) != (approved->mode & S_IFMT) || st.st_uid != geteuid() || st.st_nlink > 2)
                r = -EAGAIN;
        else
                r = make_attributes(making, fd);
        if (r < 0)
                unlinkat(making->directory_fd, making->name, flag);
        return r < 0 ? r : fd_steal(&fd);
}
