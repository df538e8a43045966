/*
 * What stands at a path: the state of one file-system object, as approved or as found.
 *
 * Plain data, no ownership but `link_target`. Times are nanoseconds since the epoch.
 * `digest` is SHA-256 of a regular file's content and zero for everything else or
 * where content was not read; `xattr_digest` covers names and values of security.*,
 * system.posix_acl_* and user.* attributes, sorted, and is zero when there are none. `size_bytes` of a device
 * is its number (st_rdev).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/digest.h"

struct node {
        mode_t mode; /* type and permission bits; 0: nothing stands there */
        uid_t uid;
        gid_t gid;
        uint32_t n_links;
        uint64_t size_bytes;
        uint64_t inode;
        uint64_t mtime_ns;
        uint64_t ctime_ns;
        struct digest digest;
        struct digest xattr_digest;
        char *link_target; /* symbolic links; owned */
};

#define NODE_INIT                                                                                            \
        { .mode = 0 }

/* Frees what it owns and makes it "nothing stands there". */
void node_deinit(struct node *node);
int node_copy(const struct node *from, struct node *ret_to);

/* What stat(2) says: no content, attributes or link target. A device has its number as its size. */
struct stat;
void node_from_stat(const struct stat *st, struct node *ret_node);

static inline bool node_exists(const struct node *node) {
        return node->mode != 0;
}

/* Bits of node_compare(): what differs between two nodes. */
enum node_difference {
        NODE_EXISTENCE = 1 << 0,
        NODE_TYPE = 1 << 1,
        NODE_CONTENT = 1 << 2, /* digest, or link target */
        NODE_MODE = 1 << 3,
        NODE_OWNER = 1 << 4,
        NODE_XATTR = 1 << 5,
};

/* Times, inode and link count are no difference: a full copy of identical content is none. */
unsigned node_compare(const struct node *a, const struct node *b);
