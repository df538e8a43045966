/*
 * See gate-marks.h. The walk goes by descriptors and follows no symbolic link. A directory made while it
 * runs is marked by the caller, who hears of it from the watch.
 */
#include "sense/files/gate-marks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/io.h"

#define DEPTH_MAX  1000 /* descriptors are held open down to here; what lies deeper is not gated */
#define FDINFO_MAX ((size_t)256 << 20)

struct mark_walk {
        int group_fd;
        unsigned operation;
        int n_marked;
};

static void close_directory(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

/* Takes the descriptor. */
static int mark_directory(struct mark_walk *walk, int fd, unsigned depth) {
        _cleanup_(close_directory) DIR *directory = fdopendir(fd);
        if (!directory) {
                int r = -errno;
                close(fd);
                return r;
        }
        if (fanotify_mark(walk->group_fd, walk->operation, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, fd, NULL) <
                    0 &&
            errno != ENOENT)
                return -errno;
        walk->n_marked++;
        for (struct dirent *item; (item = readdir(directory));) {
                if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, "..") ||
                    (item->d_type != DT_DIR && item->d_type != DT_UNKNOWN))
                        continue;
                int child =
                        openat(fd, item->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
                if (child < 0) /* gone, or no directory */
                        continue;
                if (depth == DEPTH_MAX) {
                        close(child);
                        return -ENAMETOOLONG;
                }
                int r = mark_directory(walk, child, depth + 1);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

static int walk_below(int group_fd, const char *path, unsigned operation) {
        struct mark_walk walk = {.group_fd = group_fd, .operation = operation};
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
        int r = fd < 0 ? -errno : mark_directory(&walk, fd, 0);
        return r < 0 ? r : walk.n_marked;
}

int gate_mark_below(int group_fd, const char *path) {
        return walk_below(group_fd, path, FAN_MARK_ADD);
}

int gate_unmark_below(int group_fd, const char *path) {
        return walk_below(group_fd, path, FAN_MARK_REMOVE);
}

int gate_mark_file(int group_fd, const char *path) {
        if (fanotify_mark(group_fd, FAN_MARK_ADD | FAN_MARK_DONT_FOLLOW, FAN_OPEN_PERM, AT_FDCWD, path) < 0)
                return -errno;
        return 1;
}

int gate_has_mark(int group_fd, const char *path) {
        _cleanup_(buffer_deinit) struct buffer text;
        char name[48];
        struct stat st;
        buffer_init(&text, FDINFO_MAX);
        snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", group_fd);
        int r = stat(path, &st) < 0 ? -errno : io_read_file(AT_FDCWD, name, &text);
        if (r < 0)
                return r;
        for (const char *line = text.data; line; line = strchr(line, '\n')) {
                unsigned long inode;
                unsigned sdev, flags;
                unsigned long long mask;
                line += *line == '\n';
                /* Only the inode: st_dev is not the superblock's number on every file system. */
                if (sscanf(line, "fanotify ino:%lx sdev:%x mflags:%x mask:%llx", &inode, &sdev, &flags,
                           &mask) == 4 &&
                    inode == st.st_ino && (mask & FAN_OPEN_PERM))
                        return 1;
        }
        return 0;
}
