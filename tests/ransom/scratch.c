/* A tree that was made to be destroyed; see the header. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scratch.h"

#define MARKER_TEXT "hinomi: everything below this directory may be destroyed by tests/ransom/locker\n"

int scratch_make(const char *path) {
        if (mkdir(path, 0755) < 0)
                return -errno;
        int root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root < 0)
                return -errno;
        int fd = openat(root, SCRATCH_MARKER, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
        ssize_t n = fd < 0 ? -1 : write(fd, MARKER_TEXT, strlen(MARKER_TEXT));
        int r = n == (ssize_t)strlen(MARKER_TEXT) ? 0 : -EIO;
        if (fd >= 0)
                close(fd);
        close(root);
        return r;
}

static bool carries_marker(int root) {
        char text[sizeof(MARKER_TEXT) + 1];
        struct stat st;
        int fd = openat(root, SCRATCH_MARKER, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return false;
        bool is_ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                       read(fd, text, sizeof(text)) == (ssize_t)strlen(MARKER_TEXT) &&
                       !memcmp(text, MARKER_TEXT, strlen(MARKER_TEXT));
        close(fd);
        return is_ours;
}

int scratch_open(const char *path) {
        int root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (root < 0)
                return -errno;
        if (carries_marker(root))
                return root;
        close(root);
        return -EPERM;
}

static int open_beneath(int root, const char *path) {
        struct open_how how = {
                .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
        };
        int fd = (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
        return fd < 0 ? -errno : fd;
}

int scratch_folder(int root, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        char folder[4096] = "";
        if (slash && (size_t)(slash - path) >= sizeof(folder))
                return -ENAMETOOLONG;
        if (slash)
                memcpy(folder, path, (size_t)(slash - path));
        *ret_name = slash ? slash + 1 : path;
        return open_beneath(root, folder);
}

int scratch_at(int folder, const char *name, int flags) {
        if (strchr(name, '/') || !strcmp(name, "..") || !strcmp(name, SCRATCH_MARKER))
                return -EPERM;
        int fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC, 0644);
        return fd < 0 ? -errno : fd;
}

static int targets_add(struct targets *targets, char *path, const struct stat *st) {
        if ((targets->n & (targets->n + 1)) == 0) {
                struct target *rows = realloc(targets->rows, (2 * targets->n + 2) * sizeof(*rows));
                if (!rows)
                        return -ENOMEM;
                targets->rows = rows;
        }
        targets->rows[targets->n++] = (struct target){
                .path = path,
                .size_bytes = (uint64_t)st->st_size,
                .mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec,
                .inode = st->st_ino,
        };
        return 0;
}

static int list_folder(int root, const char *folder, bool with_links, struct targets *targets);

static int list_entry(int root, int fd, char *path, const char *name, bool with_links,
                      struct targets *targets) {
        struct stat st;
        int r = 0;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                r = errno == ENOENT ? 0 : -errno;
        else if (S_ISDIR(st.st_mode))
                r = list_folder(root, path, with_links, targets);
        else if (S_ISREG(st.st_mode) && (st.st_nlink == 1 || with_links) && strcmp(name, SCRATCH_MARKER) != 0)
                return targets_add(targets, path, &st);
        free(path);
        return r == -EXDEV || r == -ELOOP ? 0 : r;
}

static int list_folder(int root, const char *folder, bool with_links, struct targets *targets) {
        int fd = open_beneath(root, folder), r = 0;
        if (fd < 0)
                return fd;
        DIR *directory = fdopendir(fd);
        if (!directory) {
                close(fd);
                return -ENOMEM;
        }
        for (struct dirent *entry; r >= 0 && (entry = readdir(directory));) {
                char *path;
                if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                        continue;
                if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", entry->d_name) < 0)
                        r = -ENOMEM;
                else
                        r = list_entry(root, fd, path, entry->d_name, with_links, targets);
        }
        closedir(directory);
        return r;
}

int scratch_list(int root, bool with_links, struct targets *ret) {
        struct targets targets = {0};
        int r = list_folder(root, "", with_links, &targets);
        if (r < 0)
                targets_free(&targets);
        else
                *ret = targets;
        return r;
}

void targets_free(struct targets *targets) {
        for (size_t i = 0; i < targets->n; i++)
                free(targets->rows[i].path);
        free(targets->rows);
        *targets = (struct targets){0};
}
