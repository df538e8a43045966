/* One take or sweep at work: what the files of the baseline share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "roles/baseline-look.h"
#include "roles/baseline.h"

struct run {
        const struct baseline *baseline;
        const struct baseline_tree *tree;
        const struct baseline_callbacks *callbacks;
        unsigned n_threads;
        struct looker *lookers;     /* one a thread */
        pthread_mutex_t mutex;      /* callbacks */
        pthread_mutex_t rows_mutex; /* take: one directory's rows after the other */

        int64_t release;
        uint64_t begin_ns;
        uint64_t n_uncommitted;
        uint64_t n_files_total, n_bytes_total;
        atomic_uint_least64_t n_nodes, n_files, n_bytes, n_changes, n_unreadable, progress_ns;
};

int run_init(struct run *run, const struct baseline *baseline, const struct baseline_tree *tree,
             const struct baseline_callbacks *callbacks);
void run_deinit(struct run *run);
void run_result(const struct run *run, struct baseline_result *ret_result);
void run_progress(struct run *run);

/* For walk_callbacks; userdata is the run. */
bool run_enter(const char *path, void *userdata);
int run_failed(const char *path, int error, void *userdata);
enum zone run_zone(const struct run *run, const char *path);

const struct clock *baseline_clock(const struct baseline *baseline);
/* Content up to this size is kept; 0: none is. */
uint64_t baseline_keep_max(const struct baseline_tree *tree, enum zone zone);
void node_distrust(struct node *node, uint64_t now_ns, uint64_t dirty_ns);
int path_join(struct buffer *path, const char *directory, const char *name);

/* The root of a tree, O_PATH. */
int tree_open(const struct baseline_tree *tree);

/* baseline_examine() with what a run has ready. */
struct examination {
        const struct baseline *baseline;
        const struct baseline_tree *tree;
        int root_fd; /* negative: the tree itself is gone */
        struct digester *digester;
        unsigned flags;
        bool may_collect;            /* nobody else puts meanwhile */
        uint64_t n_hashed, n_unkept; /* counted */
};
int examine_path(struct examination *examination, const char *path, struct change **ret_change);
