/*
 * What `hinomi restore` would do and then does: the difference between an approved state and what stands
 * in the tree, as a list of steps.
 *
 * Model: paths are collected first (only path and kind are kept: bounded by PLAN_BYTES_MAX), the nodes are
 * looked up again when a step is shown or done, so a dry run shows the very list that is executed. Order:
 * creations and replacements in byte order of paths (parents before children), then removals, children first;
 * a directory is removed only when nothing is left in it that the plan leaves alone. A state other than the
 * one approved now becomes the approved one as each step is done, under `release`, or the guard would undo
 * the restore. Nothing is evicted from the vault. Used by roles/sentry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "respond/restore/restore.h"
#include "vault/catalog.h"

#define PLAN_BYTES_MAX ((size_t)32 << 20)

enum plan_kind {
        PLAN_CREATE,     /* approved, and nothing stands there */
        PLAN_REPLACE,    /* other content or another type */
        PLAN_ATTRIBUTES, /* mode, owner or extended attributes */
        PLAN_REMOVE,     /* stands there and is not approved */
        PLAN_CONFLICT,   /* changed again by a later release: left alone */
        PLAN_APPROVE,    /* stands there already, and becomes the approved state again */
        PLAN_UNKNOWN,    /* not known any more whether it stood there (catalog_forget()): left alone */
};

struct plan_scope {
        struct catalog *catalog;
        struct store *store;
        int64_t tree;
        int tree_fd;
        uint64_t at_ns; /* the approved state as of then; 0: as of now */
        /* Paths to leave alone: what the profile calls data or ignores. May be NULL. */
        bool (*skip)(const char *path, void *userdata);
        void *userdata;
};

struct plan;

/* The scope is copied, what it points at is borrowed. */
int plan_new(const struct plan_scope *scope, struct plan **ret_plan);
struct plan *plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan *, plan_free);

/* Compares everything at and below a path ("" for the tree). -EFBIG: too many steps for one plan. */
int plan_add_below(struct plan *plan, const char *path);

/* Compares one path alone; for `restore --finding`. */
int plan_add_path(struct plan *plan, const char *path);

/*
 * Brings back what stood before a release wherever the release's state is still the approved one; sets the
 * plan's time to just before the release began. -EBUSY: the release is still open; -ESTALE: what stood before
 * is not kept any more.
 */
int plan_add_release(struct plan *plan, const struct catalog_release *release);

struct plan_step {
        enum plan_kind kind;
        bool is_whole;         /* a directory removed with all that is in it (nested too deep to list) */
        const char *path;      /* relative to the tree */
        struct node approved;  /* what shall stand there; owned by the plan during the call */
        const char *kind_name; /* plan_kind_name() */
};

size_t plan_count(const struct plan *plan);

/* Dry run: shows each step in order. A negative return ends it and is returned. */
typedef int (*plan_visit)(const struct plan_step *step, void *userdata);
int plan_show(struct plan *plan, plan_visit visit, void *userdata);

/*
 * Does each step. `report` is called after each with its result (a failed step does not end the plan).
 * `release`: the release under which a past state becomes the approved one again (may be 0 where the plan's
 * time is now). Returns the number of steps that failed or were not verified, or a negative errno.
 */
typedef int (*plan_report)(const struct plan_step *step, const struct restore_result *result, void *userdata);
struct plan_execution {
        const struct restore_context *restore;
        int64_t release;
        uint64_t now_ns;
        plan_report report;
        void *userdata;
};
int plan_execute(struct plan *plan, const struct plan_execution *execution);

const char *plan_kind_name(enum plan_kind kind);

/*
 * restore_node() after putting back those of the path's parent directories that are approved and do not stand
 * (or stand as something else). For one path, e.g. after a finding.
 */
int restore_with_parents(const struct restore_context *context, struct catalog *catalog, int64_t tree,
                         const struct restore_request *request, struct restore_result *ret_result);
