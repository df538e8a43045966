/*
 * What is approved, and what was: the state of every path of every guarded tree over time.
 *
 *   STATE/vault/catalog.sqlite
 *     tree(id, path, protect, profile, armed_ns)
 *     directory(id, tree, path)                 path relative to the tree, "" for its root
 *     node(directory, name, …struct node…)      approved now; one row a path
 *     history(tree, path, from_ns, release, …struct node or nothing…)  every earlier and present state
 *     release(id, tree, name, uid, begin_ns, end_ns, kind: baseline|release|dpkg|approval, n_added,
 * n_changed, n_removed) host(tree, name)                          hosts that the application's own files name
 *
 * A sweep reads one directory at a time, so that memory does not grow with the tree.
 * Names are raw bytes (BLOB). One writer (the sentry); other processes open read-only.
 * Functions return 0, -ENOENT, -EBADMSG (corrupt: doctor says how to rebuild) or -EIO.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/change.h"

struct catalog;

int catalog_open(const char *state, bool read_only, struct catalog **ret_catalog);
struct catalog *catalog_close(struct catalog *catalog);
DEFINE_CLEANUP(struct catalog *, catalog_close);

int catalog_begin(struct catalog *catalog);
int catalog_commit(struct catalog *catalog);
int catalog_rollback(struct catalog *catalog);

/* Trees are known by their path; adding one that is there returns its id. */
int catalog_add_tree(struct catalog *catalog, const char *path, const char *protect, const char *profile,
                     int64_t *ret_tree);
int catalog_tree_has_baseline(struct catalog *catalog, int64_t tree); /* 1 or 0 */

/* The approved node at `path` (relative to the tree, "" for its root). -ENOENT: nothing is approved there. */
int catalog_get(struct catalog *catalog, int64_t tree, const char *path, struct node *ret_node);
/* As it was approved at a time. -ENOENT: nothing stood there then. */
int catalog_get_at(struct catalog *catalog, int64_t tree, const char *path, uint64_t at_ns,
                   struct node *ret_node);

/*
 * Calls `visit` for each approved entry directly inside a directory, in byte order of names.
 * A negative return stops and is returned.
 */
typedef int (*catalog_visit)(const char *name, const struct node *node, void *userdata);
int catalog_list(struct catalog *catalog, int64_t tree, const char *directory, catalog_visit visit,
                 void *userdata);
/* Every path below `prefix` ("" for all), approved now (at_ns 0) or at a time. */
int catalog_walk(struct catalog *catalog, int64_t tree, const char *prefix, uint64_t at_ns,
                 catalog_visit visit, void *userdata);

/* Approves a node (or, with mode 0, that nothing stands there) as of `from_ns`, under a release. */
int catalog_approve(struct catalog *catalog, int64_t tree, const char *path, const struct node *node,
                    uint64_t from_ns, int64_t release);

/* Only the unwatched attributes moved (mtime, ctime, inode): no history. */
int catalog_touch(struct catalog *catalog, int64_t tree, const char *path, const struct node *node);

struct catalog_release {
        int64_t id;
        int64_t tree;
        char uid[32]; /* as in the ledger */
        char *name;   /* owned */
        char kind[16];
        uint64_t begin_ns, end_ns; /* end 0: open */
        uint64_t n_added, n_changed, n_removed;
};

int catalog_begin_release(struct catalog *catalog, int64_t tree, const char *uid, const char *name,
                          const char *kind, uint64_t at_ns, int64_t *ret_release);
int catalog_end_release(struct catalog *catalog, int64_t release, uint64_t at_ns,
                        struct catalog_release *ret_release);
int catalog_find_release(struct catalog *catalog, const char *uid_or_name,
                         struct catalog_release *ret_release);
int catalog_list_releases(struct catalog *catalog,
                          int (*visit)(const struct catalog_release *release, void *userdata),
                          void *userdata);
void catalog_release_deinit(struct catalog_release *release);

/* Is the content claimed by an approved state, now or in a kept release? For store_collect(). */
bool catalog_claims(struct catalog *catalog, const struct digest *digest);

int catalog_add_host(struct catalog *catalog, int64_t tree, const char *host);
int catalog_has_host(struct catalog *catalog, int64_t tree, const char *host); /* 1 or 0 */
