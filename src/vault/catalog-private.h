/* What the files of the catalog share: its struct and its table of statements. */
#pragma once

#include <pthread.h>

#include "vault/catalog.h"
#include "vault/database.h"

/* The columns of a node, in the order of bind_node() and column_node(). */
#define NODE_COLUMNS "mode,uid,gid,n_links,size_bytes,inode,mtime_ns,ctime_ns,digest,xattr_digest,link_target"

enum statement {
        TREE_ADD,
        TREE_FIND,
        TREE_ARMED,
        TREE_ARM,
        TREE_LIST,
        TREE_CLEAR_NODES,
        TREE_CLEAR_DIRECTORIES,
        DIRECTORY_FIND,
        DIRECTORY_ADD,
        DIRECTORY_RANGE,
        DIRECTORY_ALL,
        NODE_GET,
        NODE_GET_AT,
        NODE_LIST,
        NODE_LIST_AT,
        NODE_PUT,
        NODE_TOUCH,
        NODE_RETIRE,
        NODE_DELETE,
        HISTORY_FORGET,
        HISTORY_SURPLUS,
        FORGOTTEN_NOTE,
        FORGOTTEN_GET,
        RELEASE_ADD,
        RELEASE_END,
        RELEASE_NET,
        RELEASE_COUNT,
        RELEASE_FIND,
        RELEASE_GET,
        RELEASE_LIST,
        CLAIMS,
        HOST_ADD,
        HOST_FIND,
        N_STATEMENTS,
};

struct claim {
        uint64_t prefix;   /* first eight bytes */
        uint64_t until_ns; /* when the state ended */
        enum catalog_claim by;
};

struct catalog {
        struct database database;
        pthread_mutex_t mutex; /* recursive: a visit may come back in */

        int n_changes_before; /* of the connection, when the transaction began */

        /* The directory of the last look-up: work goes directory by directory. */
        char *directory_path;
        int64_t directory_tree, directory_id;

        /* Paths counted under a release and not yet in its row: added, changed, removed. */
        int64_t counted_release;
        int64_t counted[3];

        /* Every claimed digest, sorted; made when first asked after a change. */
        struct claim *claims;
        size_t n_claims;
        bool claims_valid, claims_failed;
};

extern const struct database_layout catalog_layout;

void catalog_lock(struct catalog *catalog);
void catalog_unlock(struct catalog *catalog);

/* Unlocks when the block ends. */
static inline void catalog_unlockp(struct catalog **catalog) {
        catalog_unlock(*catalog);
}
#define CATALOG_LOCK(c)                                                                                      \
        _unused_ _cleanup_(catalog_unlockp)                                                                  \
        struct catalog *_locked = (catalog_lock(c), (c))

/* One more path added, changed or removed under a release. */
int catalog_count(struct catalog *catalog, int64_t release, const struct node *before,
                  const struct node *after);
/* Writes what was counted. */
int catalog_flush_counts(struct catalog *catalog);
void catalog_drop_claims(struct catalog *catalog);
