/* See gate-marks.h. A directory made during the walk is marked by the caller, who hears of it from the watch. */
#include "sense/files/gate-marks.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "sense/files/subtree.h"

#define FDINFO_MAX ((size_t)256 << 20)

struct mark_walk {
        int group_fd;
        unsigned operation;
};

static int mark_directory(int fd, void *userdata) {
        const struct mark_walk *walk = userdata;
        if (fanotify_mark(walk->group_fd, walk->operation, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, fd, NULL) <
                    0 &&
            errno != ENOENT)
                return -errno;
        return 0;
}

static int walk_below(int group_fd, const char *path, unsigned operation) {
        struct mark_walk walk = {.group_fd = group_fd, .operation = operation};
        return subtree_walk(path, mark_directory, &walk);
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
