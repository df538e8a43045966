/*
 * Releases in progress: who may change which trees just now.
 *
 * A release is held by a process (pid and start time); what that process and its descendants by fork do in
 * its trees is approved, what anybody else does meanwhile is not. It ends with release_end(), or by
 * itself when the holder has exited, with a note. Rows in the catalog (one a tree) are what a release leaves;
 * STATE/vault/releases.json names the open ones so that a restarted sentry knows them (same boot only).
 *
 * After its end a release still covers events that happened before it: release_of() takes the event's
 * time. It is forgotten RELEASE_GRACE_NS later. Bounds: RELEASES_MAX, RELEASE_TREES_MAX. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "event/actor.h"
#include "vault/catalog.h"

#define RELEASES_MAX      64
#define RELEASE_TREES_MAX 64
#define RELEASE_NAME_MAX  200
#define RELEASE_GRACE_NS  (UINT64_C(10) * NS_PER_S)

struct release {
        char uid[32]; /* "rel-…"; also in the ledger */
        char *name;
        pid_t holder;
        uint64_t holder_start_ns;
        uid_t opened_by;
        uint64_t begin_ns;         /* wall clock */
        uint64_t end_monotonic_ns; /* 0: open */
        bool abandoned;            /* ended by itself: the holder exited without `release end` */
        size_t n_trees;
        struct release_tree {
                int64_t tree; /* catalog id */
                int64_t row;  /* catalog release id */
        } trees[RELEASE_TREES_MAX];
};

struct releases;

/* Is `pid` the process (root, root_start_ns) or descended from it? process_table_descends(). */
typedef bool (*release_descends)(pid_t pid, pid_t root, uint64_t root_start_ns, void *userdata);

struct releases_options {
        const char *state;
        struct catalog *catalog;
        const struct clock *clock; /* NULL: the system's */
        release_descends descends; /* NULL: only the actor's own list of ancestors is looked at */
        void *userdata;
};

/* Takes up the releases that were open when the role ended, as far as their holders live. */
int releases_open(const struct releases_options *options, struct releases **ret_releases);
struct releases *releases_close(struct releases *releases);
DEFINE_CLEANUP(struct releases *, releases_close);

struct release_request {
        const char *name;
        pid_t holder;
        uint64_t holder_start_ns; /* 0: looked up in /proc */
        uid_t opened_by;
        const int64_t *trees; /* catalog ids */
        size_t n_trees;
};

/*
 * `ret_release` is borrowed: it stays until RELEASE_GRACE_NS after its end. -EEXIST: a release of that name is
 * open; -ENOSPC: too many are open; -ESRCH: the holder does not run; -EINVAL: name or trees.
 */
int release_begin(struct releases *releases, const struct release_request *request,
                  const struct release **ret_release);

/* Ends by uid or name. -ENOENT: no such open release. The catalog's summary a tree goes to `summary`. */
typedef void (*release_summary)(const struct release *release, const struct catalog_release *row,
                                void *userdata);
int release_end(struct releases *releases, const char *uid_or_name, release_summary summary, void *userdata);

/* Ends releases whose holder has exited and forgets those past their grace. Returns how many ended. */
int releases_expire(struct releases *releases, release_summary summary, void *userdata);

/*
 * The release under which `actor` changes `tree` at a time (CLOCK_MONOTONIC as read with the event), or NULL.
 */
const struct release *release_of(const struct releases *releases, const struct actor *actor, int64_t tree,
                                 uint64_t monotonic_ns);
/* The catalog's row for a tree of a release; 0: the release does not cover it. */
int64_t release_row(const struct release *release, int64_t tree);

/* Open releases; index from 0, NULL past the end. */
const struct release *releases_get(const struct releases *releases, size_t index);
