/*
 * A sweep compares stat data, directory by directory, in one merge of two sorted lists. Whatever is not
 * plainly the same is a suspect and examined like any single path, against the catalog as it is by then:
 * what the sentry approves while a sweep runs is no change.
 */
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "roles/baseline-run.h"
#include "sense/files/walk.h"

struct sweep {
        struct run run;
        int root_fd;
};

/* Paths of one directory that need a closer look. */
struct suspects {
        struct sweep *sweep;
        const struct walk_directory *directory;
        size_t next; /* the walk's entry that is to be merged */
        struct buffer names;
        size_t n;
        size_t *offsets; /* made when all are known */
        int error;
};

static int add_suspect(struct suspects *suspects, const char *path) {
        suspects->n++;
        return buffer_append(&suspects->names, path, strlen(path) + 1);
}

static int suspect_name(struct suspects *suspects, const char *name) {
        _cleanup_(buffer_deinit) struct buffer path;
        buffer_init(&path, 0);
        int r = path_join(&path, suspects->directory->path, name);
        return r < 0 ? r : add_suspect(suspects, path.data);
}

static int suspect_path(const char *path, _unused_ const struct node *node, void *userdata) {
        return add_suspect(userdata, path);
}

/* Stands in the catalog and not (or no longer as a directory) in the tree: with everything below. */
static int suspect_below(struct suspects *suspects, const char *name) {
        const struct run *run = &suspects->sweep->run;
        _cleanup_(buffer_deinit) struct buffer path;
        buffer_init(&path, 0);
        int r = path_join(&path, suspects->directory->path, name);
        return r < 0 ? r
                     : catalog_walk(run->baseline->catalog, run->tree->id, path.data, 0, suspect_path,
                                    suspects);
}

/* What the walk found before `name` (NULL: all that is left) is not in the catalog. */
static int merge_new(struct suspects *suspects, const char *name, int *ret_order) {
        const struct walk_directory *directory = suspects->directory;
        int order = 1, r = 0;
        while (r == 0 && suspects->next < directory->n_entries) {
                const char *found = directory->entries[suspects->next].name;
                order = name ? strcmp(found, name) : -1;
                if (order >= 0)
                        break;
                r = suspect_name(suspects, found);
                suspects->next++;
                order = 1;
        }
        *ret_order = order;
        return r;
}

/* Approved, to be kept, and not there: the content or the attributes. */
static bool is_unkept(const struct suspects *suspects, const char *name, const struct node *approved) {
        const struct run *run = &suspects->sweep->run;
        struct store *store = run->baseline->store;
        if (!run->tree->check_kept || !run->tree->mirror || !store)
                return false;
        if (!digest_is_zero(&approved->xattr_digest) && !store_has(store, &approved->xattr_digest))
                return true;
        if (!S_ISREG(approved->mode) || store_has(store, &approved->digest))
                return false;
        _cleanup_(buffer_deinit) struct buffer path;
        buffer_init(&path, 0);
        return path_join(&path, suspects->directory->path, name) == 0 &&
               approved->size_bytes <= baseline_keep_max(run->tree, run_zone(run, path.data));
}

static int merge_approved(const char *name, const struct node *approved, void *userdata) {
        struct suspects *suspects = userdata;
        int order = 0;
        int r = merge_new(suspects, name, &order);
        if (r < 0)
                return r;
        if (order != 0)
                return S_ISDIR(approved->mode) ? suspect_below(suspects, name) : suspect_name(suspects, name);
        const struct node *found = &suspects->directory->entries[suspects->next++].node;
        if (S_ISDIR(approved->mode) && !S_ISDIR(found->mode))
                return suspect_below(suspects, name);
        if (node_stat_equal(found, approved) && !is_unkept(suspects, name, approved) &&
            (!S_ISLNK(found->mode) || !strcmp(found->link_target, approved->link_target)))
                return 0;
        return suspect_name(suspects, name);
}

static int report_change(struct run *run, struct change *change) {
        change->how = CHANGE_FOUND;
        run->n_changes++;
        if (!run->callbacks->change) {
                change_free(change);
                return 0;
        }
        pthread_mutex_lock(&run->mutex);
        int r = run->callbacks->change(change, run->callbacks->userdata);
        pthread_mutex_unlock(&run->mutex);
        return r;
}

static int examine_suspect(size_t i, unsigned thread, void *userdata) {
        struct suspects *suspects = userdata;
        struct run *run = &suspects->sweep->run;
        const char *path = suspects->names.data + suspects->offsets[i];
        struct examination examination = {
                .baseline = run->baseline,
                .tree = run->tree,
                .root_fd = suspects->sweep->root_fd,
                .digester = run->lookers[thread].digester,
                .flags = run->tree->mirror ? BASELINE_KEEP : 0,
        };
        if (run->tree->check_kept)
                examination.flags |= BASELINE_FORCE;
        struct change *change = NULL;
        int r = examine_path(&examination, path, &change);
        run->lookers[thread].n_hashed += examination.n_hashed;
        run->lookers[thread].n_unkept += examination.n_unkept;
        if (r == -EINPROGRESS)
                return 0;
        if (r == 1)
                return report_change(run, change);
        if (r < 0 && r != -ENOMEM && r != -EBADMSG)
                return run_failed(path, -r, run);
        return r;
}

static int examine_suspects(struct suspects *suspects) {
        if (!suspects->n)
                return 0;
        suspects->offsets = calloc(suspects->n, sizeof(*suspects->offsets));
        if (!suspects->offsets)
                return -ENOMEM;
        size_t offset = 0;
        for (size_t i = 0; i < suspects->n; i++) {
                suspects->offsets[i] = offset;
                offset += strlen(suspects->names.data + offset) + 1;
        }
        return walk_share(suspects->directory, suspects->n, examine_suspect, suspects);
}

static void suspects_deinit(struct suspects *suspects) {
        buffer_deinit(&suspects->names);
        free(suspects->offsets);
}

static void count_entries(struct run *run, const struct walk_directory *directory) {
        uint64_t n_files = 0, n_bytes = 0;
        for (size_t i = 0; i < directory->n_entries; i++) {
                if (!S_ISREG(directory->entries[i].node.mode))
                        continue;
                n_files++;
                n_bytes += directory->entries[i].node.size_bytes;
        }
        atomic_fetch_add(&run->n_nodes, directory->n_entries);
        atomic_fetch_add(&run->n_files, n_files);
        atomic_fetch_add(&run->n_bytes, n_bytes);
}

static int sweep_directory(const struct walk_directory *directory, void *userdata) {
        struct sweep *sweep = userdata;
        _cleanup_(suspects_deinit) struct suspects suspects = {.sweep = sweep, .directory = directory};
        buffer_init(&suspects.names, (size_t)1 << 31);
        int order;
        int r = catalog_list(sweep->run.baseline->catalog, sweep->run.tree->id, directory->path,
                             merge_approved, &suspects);
        if (r == 0)
                r = merge_new(&suspects, NULL, &order);
        if (r == 0)
                r = examine_suspects(&suspects);
        count_entries(&sweep->run, directory);
        run_progress(&sweep->run);
        return r;
}

/* The root is no entry of any directory that is walked. */
static int sweep_root(struct sweep *sweep) {
        struct suspects suspects = {.sweep = sweep, .offsets = (size_t[]){0}};
        suspects.names.data = (char[]){""};
        return examine_suspect(0, 0, &suspects);
}

int baseline_sweep(const struct baseline *baseline, const struct baseline_tree *tree,
                   const struct baseline_callbacks *callbacks, struct baseline_result *ret_result) {
        struct sweep sweep; /* run comes first: run_enter() and run_failed() take it */
        const struct walk_callbacks walk = {
                .enter = run_enter,
                .directory = sweep_directory,
                .failed = run_failed,
                .userdata = &sweep,
        };
        int r = run_init(&sweep.run, baseline, tree, callbacks);
        _cleanup_(fd_closep) int root_fd = sweep.root_fd = tree_open(tree);
        if (r == 0 && root_fd < 0)
                r = root_fd;
        if (r == 0)
                r = sweep_root(&sweep);
        if (r == 0)
                r = walk_tree(tree->path, sweep.run.n_threads, &walk);
        if (r == 0 && tree->mirror && baseline->store)
                r = store_sync(baseline->store);
        if (r == 0 && ret_result)
                run_result(&sweep.run, ret_result);
        run_deinit(&sweep.run);
        return r;
}
