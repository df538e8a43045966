/* See paths.h. */
#include "sense/files/paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LEVELS_MAX 4096 /* of names asked for one by one */

int path_open(const char *path, int flags) {
        _cleanup_(fd_closep) int directory = -EBADF;
        int at = AT_FDCWD;
        while (strlen(path) >= PATH_MAX) {
                char piece[PATH_MAX];
                const char *cut = memrchr(path, '/', PATH_MAX - 1);
                if (!cut || cut == path)
                        return -ENAMETOOLONG;
                memcpy(piece, path, (size_t)(cut - path));
                piece[cut - path] = '\0';
                int next = openat(at, piece, O_PATH | O_DIRECTORY | O_CLOEXEC);
                fd_closep(&directory);
                at = directory = next;
                if (next < 0)
                        return -errno;
                path = cut + strspn(cut, "/");
        }
        int fd = openat(at, *path ? path : ".", flags);
        return fd < 0 ? -errno : fd;
}

int path_stat(const char *path, struct stat *ret_stat) {
        if (strlen(path) < PATH_MAX)
                return lstat(path, ret_stat) < 0 ? -errno : 0;
        _cleanup_(fd_closep) int fd = path_open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return fd;
        return fstat(fd, ret_stat) < 0 ? -errno : 0;
}

static int read_link(int fd, char *path, size_t size) {
        char link[32];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, size - 1);
        if (n < 0)
                return -errno;
        path[n] = '\0';
        return 0;
}

static void close_directory(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

/* The name that a directory has in its parent; -ENOENT: none any more. */
static int name_in_parent(int parent, int child, char ret_name[static NAME_MAX + 1]) {
        struct stat want, st;
        int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
        _cleanup_(close_directory) DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory || fstat(child, &want) < 0) {
                int r = -errno;
                if (!directory)
                        fd_closep(&fd);
                return r;
        }
        for (struct dirent *item; (item = readdir(directory));)
                if ((item->d_type == DT_DIR || item->d_type == DT_UNKNOWN) && strcmp(item->d_name, "..") &&
                    strcmp(item->d_name, ".") && fstatat(fd, item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    st.st_ino == want.st_ino && st.st_dev == want.st_dev) {
                        strcpy(ret_name, item->d_name);
                        return 0;
                }
        return -ENOENT;
}

/* Puts "/name" before what is there. */
static int prepend(struct buffer *path, const char *name) {
        size_t length = strlen(name) + 1;
        int r = buffer_reserve(path, length);
        if (r < 0)
                return r;
        memmove(path->data + length, path->data, path->size + 1);
        path->data[0] = '/';
        memcpy(path->data + 1, name, length - 1);
        path->size += length;
        return 0;
}

/* Goes up until the kernel can name what is left. */
static int long_path_of(int fd, struct buffer *path) {
        char text[PATH_MAX + 1], name[NAME_MAX + 1];
        _cleanup_(buffer_deinit) struct buffer rest;
        buffer_init(&rest, path->limit);
        int r = buffer_append_string(&rest, "");
        _cleanup_(fd_closep) int child = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (child < 0)
                return -ENAMETOOLONG;
        for (unsigned level = 0; r >= 0 && level < LEVELS_MAX; level++) {
                r = read_link(child, text, sizeof(text));
                if (r == 0) {
                        r = buffer_append_string(path, strcmp(text, "/") ? text : "");
                        return r < 0 ? r : buffer_append(path, rest.data, rest.size);
                }
                int parent = r == -ENAMETOOLONG ? openat(child, "..", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
                if (parent < 0)
                        return r == -ENAMETOOLONG ? -errno : r;
                r = name_in_parent(parent, child, name);
                if (r >= 0)
                        r = prepend(&rest, name);
                close(child);
                child = parent;
        }
        return r < 0 ? r : -ENAMETOOLONG;
}

int path_of(int fd, struct buffer *path) {
        char text[PATH_MAX + 1];
        int r = read_link(fd, text, sizeof(text));
        if (r == 0)
                return buffer_append_string(path, text);
        return r == -ENAMETOOLONG ? long_path_of(fd, path) : r;
}
