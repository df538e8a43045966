/*
 * A guarded tree as the kernel sees it: the directory entries that its path leads through (its *spine*,
 * symbolic links followed, so that a deploy by symlink switch is seen though the link stands outside), the
 * real directory at its end, and the mounts below it.
 *
 *   /srv/shop/current -> releases/7       spine: (/, srv) (/srv, shop) (/srv/shop, current)
 *                                                (/srv/shop, releases) (/srv/shop/releases, 7)
 *                                         real: /srv/shop/releases/7      shown: /srv/shop/current/…
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "sense/files/mounts.h"
#include "sense/files/notice.h"

#define SPINE_MAX 128

struct joint {
        struct file_key directory;
        char *name;
};

/* A mount that has a part of the tree. */
struct root {
        char *point; /* a directory on it: the tree's real path, or the mount point below that */
        uint64_t mount_id;
        dev_t device;
        uint32_t fsid[2]; /* as in keys */
        char *source;     /* device of a btrfs, whose subvolumes are marked through its top; else NULL */
        int error;        /* 0, or why it cannot be watched */
};

struct tree {
        size_t index; /* the caller's */
        char *path;   /* as configured, without a slash at its end */
        char *real;   /* NULL: nothing stands there */
        bool is_directory;
        uint64_t inode; /* of the real directory */
        struct joint *spine;
        size_t n_spine;
        struct root *roots;
        size_t n_roots;
};

/* Called for each directory of the spine before its entry is looked up, so that no switch is missed. */
typedef void (*tree_spine_visit)(int directory_fd, void *userdata);

/*
 * Finds spine, real directory and mounts anew; the caller keeps `tree->path`. A tree whose path
 * leads nowhere has real NULL and the spine up to there. Returns 0 or a negative errno; `tree` is untouched
 * on failure.
 */
int tree_resolve(struct tree *tree, const struct mounts *mounts, tree_spine_visit visit, void *userdata);
void tree_deinit(struct tree *tree);

bool tree_has_joint(const struct tree *tree, const uint8_t *key, size_t key_size, const char *name);

/* The same real directory, and the same mounts in it? */
bool tree_same_place(const struct tree *a, const struct tree *b);

/* A number for that place, the same in every process. */
uint64_t tree_place_number(const struct tree *tree);

/* Where is `path` (absolute, real) below the tree? The rest ("" for the tree itself, else "/…") or NULL. */
const char *tree_rest(const struct tree *tree, const char *path);
