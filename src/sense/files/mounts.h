/*
 * What is mounted where: /proc/self/mountinfo (proc_pid_mountinfo(5)), decoded.
 * The text is the kernel's, but mount points are named by whoever mounts.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct mount {
        uint64_t id;
        dev_t device; /* the superblock's, as fdinfo names it; not st_dev on btrfs */
        char *root;   /* directory of the file system that is mounted; raw bytes */
        char *point;  /* where; raw bytes */
        char *type;   /* ext4, proc … */
        char *source; /* /dev/vda1, tmpfs …; raw bytes */
};

struct mounts {
        struct mount *items;
        size_t n;
};

/* Decodes the whole text. Lines that cannot be read are passed over. 0 or -ENOMEM. */
int mounts_decode(const char *text, size_t size, struct mounts *ret_mounts);
int mounts_read(struct mounts *ret_mounts);
void mounts_deinit(struct mounts *mounts);

const struct mount *mounts_find(const struct mounts *mounts, uint64_t id);
