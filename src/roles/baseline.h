/*
 * The baseline of a tree: taken once, re-checked by a sweep, and one path examined at a time.
 * It joins the walk (sense/files), the catalog and the store; the sentry and `init` call it.
 *
 * All memory that the work needs is given back when a function returns. Callbacks are called by one
 * thread at a time, but not always the same one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/change.h"
#include "vault/catalog.h"
#include "vault/store.h"

#define BASELINE_LARGE_BYTES ((uint64_t)64 << 20)

struct baseline_tree {
        const char *path;        /* absolute */
        int64_t id;              /* catalog_add_tree() */
        bool mirror;             /* content is kept in the store */
        uint64_t data_bytes_max; /* ZONE_DATA files larger than this are hashed but not kept; 0: keep all */
        bool check_kept; /* sweep: also keep approved content that the store lost or had no room for; costs
                          * a look-up a file, so: after a start, and after the store was full */
        /* The zone of a path relative to the tree; thread-safe. NULL: ZONE_NONE everywhere.
         * What is ZONE_IGNORED is left out, a directory with all that is in it. */
        enum zone (*zone)(const char *relative_path, void *userdata);
        void *userdata; /* for zone() */
};

struct baseline {
        struct catalog *catalog;
        struct store *store;       /* NULL: no tree is mirrored */
        const struct clock *clock; /* NULL: the system's */
        /* Makes room in the store when it is full; NULL: baseline_make_room() knows of no evidence. */
        int (*make_room)(uint64_t wanted_bytes, void *userdata);
        /*
         * A file of more than BASELINE_LARGE_BYTES is to be read; `now` has its stat data. 1: ret_node is what was read
         * aside; 0: it is being read, and -EINPROGRESS is said of it. From any thread. NULL: it is read at once.
         */
        int (*large)(const struct baseline_tree *tree, const char *path, const struct node *now,
                     struct node *ret_node, void *userdata);
        void *userdata;     /* for make_room() and large() */
        unsigned n_threads; /* 0: one per processor */
        /*
         * How long content may be stored through a mapping without new times: until the page is written back
         * (vm.dirty_expire_centisecs, 30 s, and the interval of the writer). What changed within that time before it
         * was read is read again by the next sweep.
         */
        uint64_t dirty_ns;
};

#define BASELINE_DIRTY_NS ((uint64_t)45 * 1000000000)

struct baseline_progress {
        uint64_t n_files, n_bytes;             /* done */
        uint64_t n_files_total, n_bytes_total; /* 0 in a sweep: not counted beforehand */
};

struct baseline_result {
        uint64_t n_nodes;      /* all kinds */
        uint64_t n_files;      /* regular files */
        uint64_t n_bytes;      /* of regular files */
        uint64_t n_hashed;     /* files that were read */
        uint64_t n_changes;    /* sweep: real differences */
        uint64_t n_unreadable; /* could not be read: doctor names them */
        uint64_t n_unkept;     /* mirror: approved, and the store has no room for it or fails */
};

struct baseline_callbacks {
        /* At most about ten times a second; NULL: none (and nothing is counted beforehand). */
        void (*progress)(const struct baseline_progress *progress, void *userdata);
        /* What could not be read; NULL: only counted. */
        void (*unreadable)(const char *path, int error, void *userdata);
        /* sweep: a real difference; the callee owns `change`. A negative return ends the sweep. */
        int (*change)(struct change *change, void *userdata);
        void *userdata;
};

/*
 * Approves everything that stands in the tree now, and arms it in the catalog at the end, durable.
 * -EEXIST: it has a baseline (sweep and approve instead). A crash in between leaves it without one.
 */
int baseline_take(const struct baseline *baseline, const struct baseline_tree *tree, int64_t release,
                  const struct baseline_callbacks *callbacks, struct baseline_result *ret_result);

/*
 * Compares the whole tree with the catalog: stat data of everything, content only of what differs there.
 * Times alone that moved are noted in the catalog and are no change. Changes are `how` CHANGE_FOUND
 * with no actor; of a directory that appeared or went, every path in it is reported.
 */
int baseline_sweep(const struct baseline *baseline, const struct baseline_tree *tree,
                   const struct baseline_callbacks *callbacks, struct baseline_result *ret_result);

enum baseline_flags {
        BASELINE_KEEP = 1 << 0,  /* put the content that is found into the store when it differs */
        BASELINE_FORCE = 1 << 1, /* read the content even when the stat data is as approved */
};

/*
 * Looks at one path now. Returns 1 and a change (`how` CHANGE_SEEN, no actor; the caller owns it), or 0: as
 * approved. The content that was hashed is that of the object that was stat'ed; a file that never holds still
 * is reported as last read. -EINPROGRESS: baseline.large said so; a sweep leaves such a file out. With BASELINE_KEEP, a store that has no room or fails is no error: store_usage() tells.
 */
int baseline_examine(const struct baseline *baseline, const struct baseline_tree *tree,
                     const char *relative_path, unsigned flags, struct change **ret_change);

/* Makes room in the store, as retention_collect() does. The others here call it when the store is full. */
int baseline_make_room(const struct baseline *baseline, uint64_t wanted_bytes);

/* Reads one regular file as baseline_examine() would. Any thread; `node` as for look_at() (baseline-look.h). */
int baseline_read(const struct baseline *baseline, const struct baseline_tree *tree,
                  const char *relative_path, unsigned flags, struct digester *digester,
                  struct node *ret_node);

/* Counts regular files and their bytes, for a progress bar. */
int baseline_count(const struct baseline *baseline, const struct baseline_tree *tree, uint64_t *ret_files,
                   uint64_t *ret_bytes);
