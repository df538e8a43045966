/* See trees.h. The path is walked by hand, entry by entry, because each entry is part of what is guarded. */
#include "sense/files/trees.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define SYMLINKS_MAX 40 /* as the kernel's MAXSYMLINKS */

struct spine_walk {
        int fd;
        char *rest; /* what is still to be walked */
        unsigned n_symlinks;
        struct tree *tree;
        tree_spine_visit visit;
        void *userdata;
};

static int fsid_of(int fd, uint32_t ret_fsid[2]) {
        struct statfs fs;
        if (fstatfs(fd, &fs) < 0)
                return -errno;
        memcpy(ret_fsid, &fs.f_fsid, 8);
        return 0;
}

static int add_joint(struct spine_walk *walk, const char *name) {
        struct tree *tree = walk->tree;
        if (tree->n_spine == SPINE_MAX)
                return -ELOOP;
        if (!tree->spine && !(tree->spine = calloc(SPINE_MAX, sizeof(*tree->spine))))
                return -ENOMEM;
        struct joint *joint = &tree->spine[tree->n_spine];
        uint32_t fsid[2];
        if (walk->visit)
                walk->visit(walk->fd, walk->userdata);
        /* A file system without file handles reports nothing either: no joint, the walk goes on. */
        if (fsid_of(walk->fd, fsid) < 0 || file_key_of(walk->fd, "", fsid, &joint->directory) < 0)
                return 0;
        joint->name = strdup(name);
        if (!joint->name)
                return -ENOMEM;
        tree->n_spine++;
        return 0;
}

/* Puts the target of a symbolic link in front of what is still to be walked. */
static int follow_symlink(struct spine_walk *walk, const char *name) {
        char target[PATH_MAX], *rest;
        ssize_t n = readlinkat(walk->fd, name, target, sizeof(target) - 1);
        if (n < 0)
                return -errno;
        if (++walk->n_symlinks > SYMLINKS_MAX)
                return -ELOOP;
        target[n] = '\0';
        if (asprintf(&rest, "%s/%s", target, walk->rest) < 0)
                return -ENOMEM;
        free(walk->rest);
        walk->rest = rest;
        if (target[0] != '/')
                return 0;
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return -errno;
        close(walk->fd);
        walk->fd = root;
        return 0;
}

static int step_into(struct spine_walk *walk, const char *name) {
        struct stat st;
        if (fstatat(walk->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return follow_symlink(walk, name);
        int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        close(walk->fd);
        walk->fd = fd;
        return 0;
}

/* Returns 0 at the end of the path; -ENOENT or -ENOTDIR when it leads nowhere. */
static int walk_spine(struct spine_walk *walk) {
        for (;;) {
                char name[NAME_MAX + 1];
                const char *from = walk->rest + strspn(walk->rest, "/");
                size_t length = strcspn(from, "/");
                if (!length)
                        return 0;
                if (length > NAME_MAX)
                        return -ENAMETOOLONG;
                memcpy(name, from, length);
                name[length] = '\0';
                memmove(walk->rest, from + length, strlen(from + length) + 1);
                if (!strcmp(name, "."))
                        continue;
                int r = strcmp(name, "..") ? add_joint(walk, name) : 0;
                if (r >= 0)
                        r = step_into(walk, name);
                if (r < 0)
                        return r;
        }
}

/* As keys have it; statfs' where there are no handles, for the error comes from the mark then. */
static int find_fsid(const char *point, uint32_t ret_fsid[2]) {
        struct file_key key;
        _cleanup_(fd_closep) int fd = open(point, O_PATH | O_CLOEXEC);
        int r = fd < 0 ? -errno : fsid_of(fd, ret_fsid);
        if (r == 0 && file_key_of(fd, "", ret_fsid, &key) == 0)
                memcpy(ret_fsid, key.bytes, 8);
        return r;
}

static int add_root(struct tree *tree, const struct mounts *mounts, uint64_t mount_id, const char *point) {
        const struct mount *mount = mounts_find(mounts, mount_id);
        struct root *roots = reallocarray(tree->roots, tree->n_roots + 1, sizeof(*roots));
        if (!roots)
                return -ENOMEM;
        tree->roots = roots;
        struct root root = {.point = strdup(point), .mount_id = mount_id};
        if (!root.point)
                return -ENOMEM;
        if (mount)
                root.device = mount->device;
        if (mount && !strcmp(mount->type, "btrfs"))
                root.source = strdup(mount->source);
        root.error = find_fsid(point, root.fsid);
        tree->roots[tree->n_roots++] = root;
        return 0;
}

/* File systems of the kernel's own making: nothing of a tree is stored there. */
static bool is_pseudo(const char *type) {
        static const char *const names[] = {"proc",    "sysfs",     "devpts",     "cgroup",  "cgroup2",
                                            "debugfs", "tracefs",   "securityfs", "bpf",     "mqueue",
                                            "pstore",  "efivarfs",  "configfs",   "autofs",  "binfmt_misc",
                                            "fusectl", "hugetlbfs", "nsfs",       "devtmpfs"};
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (!strcmp(type, names[i]))
                        return true;
        return false;
}

static int find_roots(struct tree *tree, const struct mounts *mounts, int fd) {
        struct statx sx = {0};
        if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_MNT_ID, &sx) < 0)
                return -errno;
        tree->is_directory = S_ISDIR(sx.stx_mode);
        tree->inode = sx.stx_ino;
        int r = add_root(tree, mounts, sx.stx_mnt_id, *tree->real ? tree->real : "/");
        for (size_t i = 0; r >= 0 && i < mounts->n; i++) {
                const char *rest = tree_rest(tree, mounts->items[i].point);
                if (rest && *rest && !is_pseudo(mounts->items[i].type))
                        r = add_root(tree, mounts, mounts->items[i].id, mounts->items[i].point);
        }
        return r;
}

static int find_real(struct tree *tree, const struct mounts *mounts, int fd) {
        char link[32], real[PATH_MAX];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, real, sizeof(real) - 1);
        if (n < 0)
                return -errno;
        real[n] = '\0';
        if (!strcmp(real, "/"))
                real[0] = '\0';
        tree->real = strdup(real);
        return tree->real ? find_roots(tree, mounts, fd) : -ENOMEM;
}

static void tree_clear(struct tree *tree) {
        for (size_t i = 0; i < tree->n_spine; i++)
                free(tree->spine[i].name);
        for (size_t i = 0; i < tree->n_roots; i++) {
                free(tree->roots[i].point);
                free(tree->roots[i].source);
        }
        free(tree->spine);
        free(tree->roots);
        free(tree->real);
        *tree = (struct tree){.index = tree->index, .path = tree->path};
}

int tree_resolve(struct tree *tree, const struct mounts *mounts, tree_spine_visit visit, void *userdata) {
        struct tree fresh = {.index = tree->index, .path = tree->path};
        struct spine_walk walk = {
                .fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
                .rest = strdup(tree->path),
                .tree = &fresh,
                .visit = visit,
                .userdata = userdata,
        };
        int r = walk.fd < 0 ? -errno : walk.rest ? walk_spine(&walk) : -ENOMEM;
        if (r == 0)
                r = find_real(&fresh, mounts, walk.fd);
        else if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
                r = 0;
        fd_closep(&walk.fd);
        free(walk.rest);
        if (r < 0) {
                tree_clear(&fresh);
                return r;
        }
        tree_clear(tree);
        *tree = fresh;
        return 0;
}

void tree_deinit(struct tree *tree) {
        tree_clear(tree);
        free(tree->path);
        tree->path = NULL;
}

bool tree_has_joint(const struct tree *tree, const uint8_t *key, size_t key_size, const char *name) {
        for (size_t i = 0; i < tree->n_spine; i++) {
                const struct joint *joint = &tree->spine[i];
                if (joint->directory.size == key_size && !memcmp(joint->directory.bytes, key, key_size) &&
                    (!name || !strcmp(joint->name, name)))
                        return true;
        }
        return false;
}

bool tree_same_place(const struct tree *a, const struct tree *b) {
        if (a->inode != b->inode || !a->real != !b->real || a->n_roots != b->n_roots ||
            (a->real && strcmp(a->real, b->real)))
                return false;
        for (size_t i = 0; i < a->n_roots; i++)
                if (a->roots[i].mount_id != b->roots[i].mount_id ||
                    a->roots[i].device != b->roots[i].device || strcmp(a->roots[i].point, b->roots[i].point))
                        return false;
        return true;
}

uint64_t tree_place_number(const struct tree *tree) {
        uint64_t number = UINT64_C(14695981039346656037) ^ tree->inode; /* FNV-1a */
        for (const char *c = tree->real ?: ""; *c; c++)
                number = (number ^ (uint8_t)*c) * UINT64_C(1099511628211);
        for (size_t i = 0; i < tree->n_roots; i++)
                number = (number ^ tree->roots[i].mount_id) * UINT64_C(1099511628211);
        return number ?: 1;
}

const char *tree_rest(const struct tree *tree, const char *path) {
        if (!tree->real)
                return NULL;
        size_t length = strlen(tree->real);
        if (strncmp(path, tree->real, length) || (path[length] && path[length] != '/'))
                return NULL;
        return path + length;
}
