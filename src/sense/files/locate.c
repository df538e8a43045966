/*
 * From the key of a directory to its path: open_by_handle_at(2) on a mount of a guarded tree, then the link
 * in /proc/self/fd, remembered in directories.c.
 *
 * Mounts are opened for the moment only: a descriptor kept would make umount(8) fail.
 * d_path gives a path from the file system's root where a directory lies outside of what the
 * mount shows (a bind mount), and that text may equal a guarded path: so what seems to lie inside is
 * looked up by its path and compared.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "sense/files/paths.h"
#include "sense/files/watch-state.h"

static bool is_first_of_mount(const struct watch *watch, size_t tree, size_t root) {
        uint64_t id = watch->trees[tree].roots[root].mount_id;
        for (size_t i = 0; i <= tree; i++)
                for (size_t k = 0; k < (i == tree ? root : watch->trees[i].n_roots); k++)
                        if (watch->trees[i].roots[k].mount_id == id && !watch->trees[i].roots[k].error)
                                return false;
        return true;
}

/* Opens a key through one root's mount; a descriptor or a negative errno. */
static int open_through(const struct root *root, const uint8_t *key, size_t key_size, int flags) {
        _cleanup_(fd_closep) int mount_fd = open(root->point, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (mount_fd < 0)
                return -errno;
        return file_key_open(mount_fd, key, key_size, flags);
}

static bool stands_at(int fd, const char *path) {
        struct stat a, b;
        return fstat(fd, &a) == 0 && path_stat(*path ? path : "/", &b) == 0 && a.st_ino == b.st_ino &&
               a.st_dev == b.st_dev;
}

/* The most specific tree that `path` lies in; its place, or DIRECTORY_OUTSIDE. */
static size_t find_tree(const struct watch *watch, const char *path, const char **ret_rest) {
        size_t found = DIRECTORY_OUTSIDE, longest = 0;
        for (size_t i = 0; i < watch->n_trees; i++) {
                const char *rest = tree_rest(&watch->trees[i], path);
                size_t length = rest ? (size_t)(rest - path) + 1 : 0;
                if (length > longest) {
                        longest = length;
                        found = i;
                        *ret_rest = rest;
                }
        }
        return found;
}

/* The path of an open object as shown, when it lies inside a tree; NULL otherwise. To be freed. */
static char *shown_path(struct watch *watch, int fd, size_t *ret_tree) {
        _cleanup_(buffer_deinit) struct buffer path;
        char *shown;
        const char *rest;
        buffer_init(&path, WATCH_PATH_BYTES_MAX);
        if (path_of(fd, &path) < 0)
                return NULL;
        *ret_tree = find_tree(watch, path.data, &rest);
        if (*ret_tree == DIRECTORY_OUTSIDE || !stands_at(fd, path.data) ||
            asprintf(&shown, "%s%s", watch->trees[*ret_tree].path, rest) < 0)
                return NULL;
        return shown;
}

char *locate_object(struct watch *watch, int fd) {
        size_t tree;
        return shown_path(watch, fd, &tree);
}

/* Looks through one mount. Returns the directory when it lies inside, else NULL. */
static struct directory *locate_through(struct watch *watch, const struct root *root, const uint8_t *key,
                                        size_t key_size, bool *ret_exists) {
        size_t tree;
        _cleanup_(fd_closep) int fd = open_through(root, key, key_size, O_PATH | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        *ret_exists = true;
        _cleanup_(freep) char *shown = shown_path(watch, fd, &tree);
        return shown ? directories_put(watch->directories, key, key_size, tree, shown) : NULL;
}

int locate_open(struct watch *watch, const uint8_t *key, size_t key_size, int flags) {
        int fd = -ESTALE;
        for (size_t i = 0; fd < 0 && i < watch->n_trees; i++)
                for (size_t k = 0; fd < 0 && k < watch->trees[i].n_roots; k++) {
                        const struct root *root = &watch->trees[i].roots[k];
                        if (!root->error && !memcmp(root->fsid, key, 8) && is_first_of_mount(watch, i, k))
                                fd = open_through(root, key, key_size, flags);
                }
        return fd;
}

static bool is_spine(const struct watch *watch, const uint8_t *key, size_t key_size) {
        for (size_t i = 0; i < watch->n_trees; i++)
                if (tree_has_joint(&watch->trees[i], key, key_size, NULL))
                        return true;
        return false;
}

struct directory *locate_directory(struct watch *watch, const uint8_t *key, size_t key_size) {
        struct directory *directory = directories_find(watch->directories, key, key_size);
        bool exists = false;
        if (directory)
                return directory;
        for (size_t i = 0; !directory && i < watch->n_trees; i++)
                for (size_t k = 0; !directory && k < watch->trees[i].n_roots; k++) {
                        const struct root *root = &watch->trees[i].roots[k];
                        if (!root->error && !memcmp(root->fsid, key, 8) && is_first_of_mount(watch, i, k))
                                directory = locate_through(watch, root, key, key_size, &exists);
                }
        if (!directory)
                directory = directories_put(watch->directories, key, key_size, DIRECTORY_OUTSIDE, NULL);
        if (directory)
                directory->is_spine = is_spine(watch, key, key_size);
        if (!exists)
                watch->counters.n_unresolved++;
        return directory;
}

void locate_ignore(struct watch *watch, struct directory *directory) {
        char link[32];
        if (!watch->can_ignore || directory->is_spine || directory->path)
                return;
        _cleanup_(fd_closep) int fd =
                locate_open(watch, directory->key, directory->key_size, O_PATH | O_CLOEXEC);
        if (fd < 0)
                return;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        /* Of a directory that was inside once: an evictable mark is not put over another. */
        (void)fanotify_mark(watch->group_fd, FAN_MARK_REMOVE, DIRECTORY_EVENTS, AT_FDCWD, link);
        if (fanotify_mark(watch->group_fd, FAN_MARK_ADD | FAN_MARK_IGNORE_SURV | FAN_MARK_EVICTABLE,
                          IGNORE_EVENTS, AT_FDCWD, link) == 0)
                watch->counters.n_ignored++;
        else if (errno == EINVAL)
                watch->can_ignore = false;
}
