/*
 * One object, looked at as a whole: stat data, content and extended attributes that belong together.
 * Regular files are opened once, without following, waiting or touching the access time; what is
 * stat'ed, hashed and kept is that one object. Anything else is never opened.
 */
#pragma once

#include <stdbool.h>

#include "base/digest.h"
#include "event/node.h"
#include "vault/store.h"

struct looker {
        struct digester *digester;  /* owned by who made the looker; one thread */
        struct store *store;        /* NULL: nothing is kept */
        uint64_t keep_bytes_max;    /* larger content is hashed only; 0: nothing is kept */
        const struct digest *known; /* content that need not be kept; NULL: none */

        uint64_t n_hashed, n_unkept, unkept_bytes; /* counted */
        int store_error; /* of the first put that failed, -ENOSPC included; content was hashed all the same */
};

/*
 * Looks at `name` in a directory ("" : the directory itself). `node` is what node_stat() said
 * before, or NODE_INIT; it is overwritten. Returns 0, -ENOENT, or a negative errno of open or read; then, but for -ENOENT,
 * `node` holds the stat data and no digest.
 */
int look_at(struct looker *looker, int directory_fd, const char *name, struct node *node);

/* The same of a regular file that is open for reading. -ESTALE: it is something else. */
int look_at_open(struct looker *looker, int fd, struct node *node);

/* The same stat data: content, mode, owner and attributes are as they were, for all the file system says. */
static inline bool node_stat_equal(const struct node *a, const struct node *b) {
        return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->size_bytes == b->size_bytes &&
               a->inode == b->inode && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}
