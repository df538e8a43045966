/*
 * Threads walk, read and keep; the rows of a directory go into the catalog together, by the thread
 * that read it. Intermediate commits keep the log of the database short; what they hold counts only when
 * the tree is armed by the last one.
 */
#include "roles/baseline.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "roles/baseline-run.h"
#include "sense/files/walk.h"
#include "vault/retention.h"

#define ROWS_PER_COMMIT 50000

/* The coarse clock of file systems ticks so slowly (HZ 100): a change in the same tick is not seen by stat.
 */
#define TICK_NS (10 * NS_PER_MS)

enum zone run_zone(const struct run *run, const char *path) {
        return run->tree->zone ? run->tree->zone(path, run->tree->userdata) : ZONE_NONE;
}

/* What ignores files by their names ("sess_*") does not ignore what lies in a directory of such a name. */
bool run_enter(const char *path, void *userdata) {
        struct run *run = userdata;
        if (run_zone(run, path) != ZONE_IGNORED)
                return true;
        _cleanup_(buffer_deinit) struct buffer below;
        buffer_init(&below, 0);
        return path_join(&below, path, "x") < 0 || run_zone(run, below.data) != ZONE_IGNORED;
}

int run_failed(const char *path, int error, void *userdata) {
        struct run *run = userdata;
        atomic_fetch_add(&run->n_unreadable, 1);
        if (run->callbacks->unreadable) {
                pthread_mutex_lock(&run->mutex);
                run->callbacks->unreadable(path, error, run->callbacks->userdata);
                pthread_mutex_unlock(&run->mutex);
        }
        return 0;
}

const struct clock *baseline_clock(const struct baseline *baseline) {
        return baseline->clock ?: &clock_system;
}

void run_progress(struct run *run) {
        if (!run->callbacks->progress)
                return;
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        if (now_ns - atomic_load(&run->progress_ns) < 100 * NS_PER_MS || pthread_mutex_trylock(&run->mutex))
                return;
        atomic_store(&run->progress_ns, now_ns);
        struct baseline_progress progress = {
                .n_files = run->n_files,
                .n_bytes = run->n_bytes,
                .n_files_total = run->n_files_total,
                .n_bytes_total = run->n_bytes_total,
        };
        run->callbacks->progress(&progress, run->callbacks->userdata);
        pthread_mutex_unlock(&run->mutex);
}

int run_init(struct run *run, const struct baseline *baseline, const struct baseline_tree *tree,
             const struct baseline_callbacks *callbacks) {
        static const struct baseline_callbacks none;
        *run = (struct run){
                .baseline = baseline,
                .tree = tree,
                .callbacks = callbacks ?: &none,
                .n_threads = walk_threads(baseline->n_threads),
                .mutex = PTHREAD_MUTEX_INITIALIZER,
        };
        run->lookers = calloc(run->n_threads, sizeof(*run->lookers));
        for (unsigned i = 0; run->lookers && i < run->n_threads; i++) {
                run->lookers[i].digester = digester_new();
                run->lookers[i].store = tree->mirror ? baseline->store : NULL;
                if (!run->lookers[i].digester)
                        return -ENOMEM;
        }
        return run->lookers ? 0 : -ENOMEM;
}

/* Whatever the work needed goes back to the system: a guard waits for years after it. */
void run_deinit(struct run *run) {
        for (unsigned i = 0; run->lookers && i < run->n_threads; i++)
                digester_free(run->lookers[i].digester);
        free(run->lookers);
        if (run->baseline->store)
                store_trim(run->baseline->store);
        catalog_trim(run->baseline->catalog);
        malloc_trim(0);
}

void run_result(const struct run *run, struct baseline_result *ret_result) {
        *ret_result = (struct baseline_result){
                .n_nodes = run->n_nodes,
                .n_files = run->n_files,
                .n_bytes = run->n_bytes,
                .n_changes = run->n_changes,
                .n_unreadable = run->n_unreadable,
        };
        for (unsigned i = 0; i < run->n_threads; i++) {
                ret_result->n_hashed += run->lookers[i].n_hashed;
                ret_result->n_unkept += run->lookers[i].n_unkept;
        }
}

uint64_t baseline_keep_max(const struct baseline_tree *tree, enum zone zone) {
        if (!tree->mirror)
                return 0;
        return zone == ZONE_DATA && tree->data_bytes_max ? tree->data_bytes_max : UINT64_MAX;
}

/* So new that a later change may bear the same times: the next sweep reads it again. */
void node_distrust(struct node *node, uint64_t now_ns, uint64_t dirty_ns) {
        uint64_t within_ns = S_ISREG(node->mode) && dirty_ns > TICK_NS ? dirty_ns : TICK_NS;
        if (node->ctime_ns + within_ns > now_ns)
                node->ctime_ns = 0;
}

int path_join(struct buffer *path, const char *directory, const char *name) {
        buffer_clear(path);
        int r = buffer_append_string(path, directory);
        if (r == 0 && *directory && *name)
                r = buffer_append(path, "/", 1);
        return r < 0 ? r : buffer_append_string(path, name);
}

/* One directory at work in take. */
struct batch {
        struct run *run;
        const struct walk_directory *directory;
};

static int read_entry(size_t i, unsigned thread, void *userdata) {
        const struct batch *batch = userdata;
        struct run *run = batch->run;
        struct walk_entry *entry = &batch->directory->entries[i];
        struct looker *looker = &run->lookers[thread];
        _cleanup_(buffer_deinit) struct buffer path;
        buffer_init(&path, 0);
        int r = path_join(&path, batch->directory->path, entry->name);
        if (r < 0)
                return r;
        enum zone zone = run_zone(run, path.data);
        if (zone == ZONE_IGNORED) {
                node_deinit(&entry->node);
                return 0;
        }
        looker->keep_bytes_max = baseline_keep_max(run->tree, zone);
        uint64_t now_ns = clock_wall_ns(&clock_system);
        r = look_at(looker, batch->directory->fd, entry->name, &entry->node);
        /* No room is counted; a store that fails otherwise makes no promise to keep. */
        if (looker->store_error < 0 && looker->store_error != -ENOSPC)
                return looker->store_error;
        if (r == -ENOMEM)
                return r;
        if (r < 0 && r != -ENOENT)
                run_failed(path.data, -r, run);
        node_distrust(&entry->node, now_ns, run->baseline->dirty_ns);
        if (S_ISREG(entry->node.mode)) {
                atomic_fetch_add_explicit(&run->n_files, 1, memory_order_relaxed);
                atomic_fetch_add_explicit(&run->n_bytes, entry->node.size_bytes, memory_order_relaxed);
        }
        run_progress(run);
        return 0;
}

static int commit_some(struct run *run) {
        if (++run->n_uncommitted < ROWS_PER_COMMIT)
                return 0;
        run->n_uncommitted = 0;
        int r = catalog_commit(run->baseline->catalog);
        return r < 0 ? r : catalog_begin(run->baseline->catalog);
}

static int approve_entries(struct run *run, const struct walk_directory *directory) {
        _cleanup_(buffer_deinit) struct buffer path;
        buffer_init(&path, 0);
        int r = 0;
        for (size_t i = 0; r == 0 && i < directory->n_entries; i++) {
                const struct walk_entry *entry = &directory->entries[i];
                if (!node_exists(&entry->node))
                        continue;
                r = path_join(&path, directory->path, entry->name);
                if (r == 0)
                        r = catalog_approve(run->baseline->catalog, run->tree->id, path.data, &entry->node,
                                            run->begin_ns, run->release);
                run->n_nodes++;
                if (r == 0)
                        r = commit_some(run);
        }
        return r;
}

static int take_directory(const struct walk_directory *directory, void *userdata) {
        struct batch batch = {.run = userdata, .directory = directory};
        int r = walk_share(directory, directory->n_entries, read_entry, &batch);
        if (r < 0)
                return r;
        pthread_mutex_lock(&batch.run->rows_mutex);
        r = approve_entries(batch.run, directory);
        pthread_mutex_unlock(&batch.run->rows_mutex);
        return r;
}

static int take_root(struct run *run) {
        struct node node = NODE_INIT;
        _cleanup_(fd_closep) int root_fd = tree_open(run->tree);
        if (root_fd < 0)
                return root_fd;
        run->lookers[0].keep_bytes_max = baseline_keep_max(run->tree, ZONE_NONE);
        int r = look_at(&run->lookers[0], root_fd, "", &node);
        if (r == 0)
                r = catalog_approve(run->baseline->catalog, run->tree->id, "", &node, run->begin_ns,
                                    run->release);
        node_deinit(&node);
        run->n_nodes++;
        return r;
}

static int take_all(struct run *run) {
        const struct walk_callbacks walk = {
                .enter = run_enter,
                .directory = take_directory,
                .failed = run_failed,
                .userdata = run,
        };
        int r = take_root(run);
        if (r == 0)
                r = walk_tree(run->tree->path, run->n_threads, &walk);
        /* Content first: an approved node must never name what is not there. */
        if (r == 0 && run->baseline->store && run->tree->mirror)
                r = store_sync(run->baseline->store);
        if (r == 0)
                r = catalog_arm_tree(run->baseline->catalog, run->tree->id, run->begin_ns);
        return r;
}

static int take(struct run *run) {
        struct catalog *catalog = run->baseline->catalog;
        int r = catalog_begin(catalog);
        if (r < 0)
                return r;
        r = catalog_clear_tree(catalog, run->tree->id);
        if (r == 0)
                r = take_all(run);
        if (r == 0)
                return catalog_commit(catalog);
        catalog_rollback(catalog);
        return r;
}

int baseline_make_room(const struct baseline *baseline, uint64_t wanted_bytes) {
        if (baseline->make_room)
                return baseline->make_room(wanted_bytes, baseline->userdata);
        const struct retention retention = {.store = baseline->store, .catalog = baseline->catalog};
        int r = retention_collect(&retention, wanted_bytes, clock_wall_ns(baseline_clock(baseline)), NULL);
        return r < 0 ? r : 0;
}

/* Everything is approved now, so that what is not can make room for what found none. */
static int keep_the_rest(const struct run *run, struct baseline_result *result) {
        struct baseline_tree tree = *run->tree;
        struct baseline_result rest;
        uint64_t wanted_bytes = 0;
        for (unsigned i = 0; i < run->n_threads; i++)
                wanted_bytes += run->lookers[i].unkept_bytes;
        int r = baseline_make_room(run->baseline, wanted_bytes);
        if (r < 0)
                return r == -ENOSPC ? 0 : r;
        tree.check_kept = true;
        r = baseline_sweep(run->baseline, &tree, NULL, &rest);
        if (r == 0)
                result->n_unkept = rest.n_unkept;
        return r;
}

int baseline_take(const struct baseline *baseline, const struct baseline_tree *tree, int64_t release,
                  const struct baseline_callbacks *callbacks, struct baseline_result *ret_result) {
        struct run run;
        int r = run_init(&run, baseline, tree, callbacks);
        if (r == 0 && run.callbacks->progress)
                r = baseline_count(baseline, tree, &run.n_files_total, &run.n_bytes_total);
        run.release = release;
        run.begin_ns = clock_wall_ns(baseline_clock(baseline));
        if (r == 0)
                r = take(&run);
        struct baseline_result result = {.n_nodes = 0};
        if (r == 0)
                run_result(&run, &result);
        if (r == 0 && result.n_unkept)
                r = keep_the_rest(&run, &result);
        if (r == 0 && ret_result)
                *ret_result = result;
        run_deinit(&run);
        return r;
}

struct count {
        struct run run;
        atomic_uint_least64_t n_files, n_bytes;
};

static int count_directory(const struct walk_directory *directory, void *userdata) {
        struct count *count = userdata;
        uint64_t n_files = 0, n_bytes = 0;
        for (size_t i = 0; i < directory->n_entries; i++) {
                if (!S_ISREG(directory->entries[i].node.mode))
                        continue;
                n_files++;
                n_bytes += directory->entries[i].node.size_bytes;
        }
        atomic_fetch_add(&count->n_files, n_files);
        atomic_fetch_add(&count->n_bytes, n_bytes);
        return 0;
}

int baseline_count(const struct baseline *baseline, const struct baseline_tree *tree, uint64_t *ret_files,
                   uint64_t *ret_bytes) {
        struct count count = {.run = {.tree = tree}}; /* run comes first: run_enter() takes it */
        const struct walk_callbacks walk = {
                .enter = run_enter,
                .directory = count_directory,
                .userdata = &count,
        };
        int r = walk_tree(tree->path, baseline->n_threads, &walk);
        if (r < 0)
                return r;
        *ret_files = count.n_files;
        *ret_bytes = count.n_bytes;
        return 0;
}
