/*
 * What is approved, and what was: the state of every path of every guarded tree over time.
 *
 *   STATE/vault/catalog.sqlite
 *     tree(id, path, protect, profile, armed_ns)    armed_ns 0: its baseline is not complete
 *     directory(id, tree, path)                     path relative to the tree, "" for its root
 *     node(directory, name, release, from_ns, …struct node…)   approved now; one row a path
 *     history(directory, name, until_ns, ended_by, …as node…)  what was approved before, [from_ns, until_ns)
 *     release(id, tree, uid, name, kind, begin_ns, end_ns, n_added, n_changed, n_removed)
 *     host(tree, name)                              hosts that the application's own files name
 *     forgotten(what, before_ns)                    history that ended before is not complete
 *
 * A sweep reads one directory at a time, so that memory does not grow with the tree.
 * Names are raw bytes (BLOB). One process writes (the sentry), others open read-only; every function
 * is thread-safe, but a transaction is the catalog's, not a thread's.
 * Functions return 0, -ENOENT, -EBADMSG (corrupt: doctor says how to rebuild), -ENOSPC or -EIO.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/change.h"

struct catalog;

int catalog_open(const char *state, bool read_only, struct catalog **ret_catalog);
struct catalog *catalog_close(struct catalog *catalog);
DEFINE_CLEANUP(struct catalog *, catalog_close);

/*
 * What stands between begin and commit is there whole or not at all, and durable after the commit.
 * A change outside survives a crash of the process at once, a power cut after the next commit.
 */
int catalog_begin(struct catalog *catalog);
int catalog_commit(struct catalog *catalog);
int catalog_rollback(struct catalog *catalog);
/* Has anything been approved since catalog_begin()? Then store_sync() comes before the commit. */
bool catalog_has_changes(struct catalog *catalog);

struct catalog_tree {
        int64_t id;
        const char *path, *protect, *profile; /* valid during the visit */
        uint64_t armed_ns;
        uint64_t n_nodes;
};

/* Trees are known by their path; adding one that is there returns its id, with the new words kept. */
int catalog_add_tree(struct catalog *catalog, const char *path, const char *protect, const char *profile,
                     int64_t *ret_tree);
int catalog_tree_has_baseline(struct catalog *catalog, int64_t tree); /* 1 or 0 */
/* The baseline is complete. */
int catalog_arm_tree(struct catalog *catalog, int64_t tree, uint64_t at_ns);
/* Forgets what an unfinished baseline left; -EEXIST when the tree is armed. */
int catalog_clear_tree(struct catalog *catalog, int64_t tree);
int catalog_list_trees(struct catalog *catalog, int (*visit)(const struct catalog_tree *tree, void *userdata),
                       void *userdata);

/* The approved node at `path` (relative to the tree, "" for its root). -ENOENT: nothing is approved there. */
int catalog_get(struct catalog *catalog, int64_t tree, const char *path, struct node *ret_node);
/* As it was approved at a time. -ENOENT: nothing stood there then. */
int catalog_get_at(struct catalog *catalog, int64_t tree, const char *path, uint64_t at_ns,
                   struct node *ret_node);

/*
 * Calls `visit` for each approved entry directly inside a directory, in byte order of names, without
 * the root itself. A negative return stops and is returned. `visit` may use the catalog.
 */
typedef int (*catalog_visit)(const char *name, const struct node *node, void *userdata);
int catalog_list(struct catalog *catalog, int64_t tree, const char *directory, catalog_visit visit,
                 void *userdata);
/*
 * The path `prefix` and every path below it ("" for all, the root included), approved now (at_ns 0)
 * or at a time. `name` is the path relative to the tree.
 */
int catalog_walk(struct catalog *catalog, int64_t tree, const char *prefix, uint64_t at_ns,
                 catalog_visit visit, void *userdata);

/*
 * Approves a node (or, with mode 0, that nothing stands there) as of `from_ns`, under a release (0: none).
 * What stood there before goes to the history; the same node again only refreshes its times.
 */
int catalog_approve(struct catalog *catalog, int64_t tree, const char *path, const struct node *node,
                    uint64_t from_ns, int64_t release);

/* Only the unwatched attributes moved (mtime, ctime, inode): no history. */
int catalog_touch(struct catalog *catalog, int64_t tree, const char *path, const struct node *node);

/*
 * Drops history that ended before a time: its contents are no longer claimed. States that were approved on their
 * own (release 0: uploads, an admin's edits) come and go at anybody's pace and can be dropped earlier than the
 * others. Durable. -EBUSY: within a transaction.
 */
enum catalog_history {
        CATALOG_UNRELEASED,
        CATALOG_RELEASED, /* and with it those that were not */
};
int catalog_forget(struct catalog *catalog, enum catalog_history what, uint64_t before_ns);
/* The last such time; 0: nothing was ever dropped. What was approved before is not known for sure. */
uint64_t catalog_forgotten(struct catalog *catalog, enum catalog_history what);
/* When to forget to, so that no more than `n` unreleased states are kept; 0: there are no more. */
uint64_t catalog_surplus(struct catalog *catalog, uint64_t n);

struct catalog_release {
        int64_t id;
        int64_t tree;
        char uid[32];              /* as in the ledger */
        char *name;                /* owned */
        char kind[16];             /* baseline, release, dpkg, approval */
        uint64_t begin_ns, end_ns; /* end 0: open */
        uint64_t n_added, n_changed, n_removed;
};

int catalog_begin_release(struct catalog *catalog, int64_t tree, const char *uid, const char *name,
                          const char *kind, uint64_t at_ns, int64_t *ret_release);
/* `ret_release` may be NULL; otherwise catalog_release_deinit() it. */
int catalog_end_release(struct catalog *catalog, int64_t release, uint64_t at_ns,
                        struct catalog_release *ret_release);
/* The newest with this uid or name. */
int catalog_find_release(struct catalog *catalog, const char *uid_or_name,
                         struct catalog_release *ret_release);
/* Oldest first. */
int catalog_list_releases(struct catalog *catalog,
                          int (*visit)(const struct catalog_release *release, void *userdata),
                          void *userdata);
void catalog_release_deinit(struct catalog_release *release);

/*
 * Is the content claimed by an approved state, and by which? May say that it is when it is not (one in
 * 2^64 by chance), never the opposite; when the catalog cannot be read, everything is claimed now.
 */
enum catalog_claim {
        CLAIMED_BY_NONE,
        CLAIMED_UNRELEASED, /* by history that was approved on its own */
        CLAIMED_PAST,
        CLAIMED_NOW,
};
/* `ret_until_ns` (or NULL): when the last of those states in the history ended. */
enum catalog_claim catalog_claims(struct catalog *catalog, const struct digest *digest,
                                  uint64_t *ret_until_ns);

int catalog_add_host(struct catalog *catalog, int64_t tree, const char *host);
int catalog_has_host(struct catalog *catalog, int64_t tree, const char *host); /* 1 or 0 */

/* Gives back memory that only big work needs. */
void catalog_trim(struct catalog *catalog);
