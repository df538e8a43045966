/*
 * The guarded trees: opened, given a baseline when they have none, armed, swept.
 *
 * Order at a start: arm first, then compare, so that nothing falls in between, and a moment later, so that a sentry that
 * was killed is back at once; the baseline of a new tree is taken armed, too, and what changes meanwhile is looked at
 * afterwards.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/i18n.h"
#include "cli/output.h"
#include "event/finding.h"
#include "event/json.h"
#include "roles/sentry/sentry.h"

#define COMPARE_AFTER_US 200000
#define COMPARE_NEXT_US  20000

static enum zone zone_of(const char *relative, void *userdata) {
        return profile_zone(userdata, relative);
}

const char *tree_relative(const struct tree *tree, const char *path) {
        size_t length = strlen(tree->config->path);
        if (strncmp(path, tree->config->path, length) || (path[length] && path[length] != '/' && length > 1))
                return path;
        path += length;
        return *path == '/' ? path + 1 : path;
}

struct tree *tree_of_path(struct sentry *sentry, const char *path) {
        const struct config_tree *config = config_find_tree(sentry->config, path);
        for (size_t i = 0; config && i < sentry->n_trees; i++)
                if (sentry->trees[i].config == config)
                        return &sentry->trees[i];
        return NULL;
}

int tree_open_file(const struct tree *tree, const char *relative, int flags) {
        struct open_how how = {
                .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        int fd = (int)syscall(SYS_openat2, tree->fd, *relative ? relative : ".", &how, sizeof(how));
        return fd < 0 ? -errno : fd;
}

static int open_one(struct sentry *sentry, struct tree *tree) {
        _cleanup_(freep) char *error = NULL;
        int r = profile_load(sentry->context->packs, tree->config->profile, &tree->profile, &error);
        if (r < 0) {
                fprintf(stderr, "hinomi: %s\n", error ?: strerror(-r));
                return r;
        }
        r = catalog_add_tree(sentry->catalog, tree->config->path, protect_name(tree->config->protect),
                             tree->config->profile, &tree->id);
        if (r < 0)
                return r;
        tree->baseline = (struct baseline_tree){
                .path = tree->config->path,
                .id = tree->id,
                .mirror = tree->config->protect != PROTECT_WATCH,
                .data_bytes_max = tree->config->protect == PROTECT_SHIELD
                                          ? 0
                                          : sentry->config->options.vault_data_file_limit_bytes,
                .zone = zone_of,
                .userdata = tree->profile,
        };
        tree->fd = -1;
        return 0;
}

int trees_open(struct sentry *sentry) {
        sentry->n_trees = sentry->config->n_trees;
        sentry->trees = calloc(sentry->n_trees ?: 1, sizeof(*sentry->trees));
        if (!sentry->trees)
                return -ENOMEM;
        for (size_t i = 0; i < sentry->n_trees; i++) {
                sentry->trees[i].config = &sentry->config->trees[i];
                sentry->trees[i].index = i;
                int r = open_one(sentry, &sentry->trees[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

void trees_close(struct sentry *sentry) {
        for (size_t i = 0; sentry->trees && i < sentry->n_trees; i++) {
                profile_free(sentry->trees[i].profile);
                if (sentry->trees[i].fd >= 0)
                        close(sentry->trees[i].fd);
        }
        free(sentry->trees);
        sentry->trees = NULL;
}

static int not_armed(struct tree *tree, const char *reason, int error) {
        tree->is_armed = false;
        tree->reason = reason;
        return error;
}

int tree_arm(struct sentry *sentry, struct tree *tree) {
        if (tree->fd >= 0)
                close(tree->fd);
        tree->fd = open(tree->config->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r = watch_add_tree(sentry->watch, tree->config->path, tree->index);
        if (tree->fd < 0)
                return not_armed(tree, N_("the directory is not there"), -errno);
        if (r == -EOPNOTSUPP)
                return not_armed(tree, N_("this file system does not report changes"), r);
        if (r < 0)
                return not_armed(tree, N_("the kernel refused the mark"), r);
        if (config_tree_is_gated(tree->config) && sentry->gate) {
                r = gate_add_tree(sentry->gate, tree->config->path, tree->index);
                if (r < 0)
                        return not_armed(tree, N_("the kernel refused the permission marks"), r);
        }
        tree->is_armed = true;
        tree->reason = NULL;
        return 0;
}

int tree_rearm(struct sentry *sentry, struct tree *tree) {
        watch_remove_tree(sentry->watch, tree->index);
        return tree_arm(sentry, tree);
}

struct sweep {
        struct tree *tree;
        struct change **changes;
        size_t n, capacity;
        struct progress *progress;
};

static int on_difference(struct change *change, void *userdata) {
        struct sweep *sweep = userdata;
        if (sweep->n == sweep->capacity) {
                size_t capacity = sweep->capacity ? sweep->capacity * 2 : 64;
                struct change **changes = realloc(sweep->changes, capacity * sizeof(struct change *));
                if (!changes) {
                        change_free(change);
                        return -ENOMEM;
                }
                sweep->changes = changes;
                sweep->capacity = capacity;
        }
        sweep->changes[sweep->n++] = change;
        return 0;
}

/*
 * Looks at each path again, after what the kernel reported has been worked off: who did it is known better
 * there. What cannot be looked at by its path (longer than PATH_MAX) is taken as the sweep found it.
 */
static void look_again(struct sentry *sentry, struct sweep *sweep) {
        struct baseline baseline = sentry_baseline(sentry);
        baseline.large = large_ask;
        unsigned flags = sweep->tree->baseline.mirror ? BASELINE_KEEP : 0;
        if (sweep->n) {
                watch_dispatch(sentry->watch, intake_event, sentry);
                intake_flush(sentry);
        }
        for (size_t i = 0; i < sweep->n; i++) {
                struct change *found = sweep->changes[i], *change = NULL;
                const char *relative = tree_relative(sweep->tree, found->path);
                int r = baseline_examine(&baseline, &sweep->tree->baseline, relative, flags, &change);
                if (r < 0 && r != -EINPROGRESS)
                        change = STEAL(found);
                change_free(found);
                if (!change)
                        continue;
                change->how = CHANGE_FOUND;
                change->time_ns = clock_wall_ns(&clock_system);
                inspect_change(sentry, sweep->tree, change);
        }
        free(sweep->changes);
}

int tree_sweep(struct sentry *sentry, struct tree *tree) {
        struct sweep sweep = {.tree = tree};
        struct baseline baseline = sentry_baseline(sentry);
        baseline.large = large_ask;
        struct baseline_callbacks callbacks = {.change = on_difference, .userdata = &sweep};
        struct baseline_result result = {0};
        int r = baseline_sweep(&baseline, &tree->baseline, &callbacks, &result);
        tree->n_files = result.n_files;
        tree->n_bytes = result.n_bytes;
        tree->swept_ns = clock_wall_ns(&clock_system);
        tree->n_unkept = result.n_unkept;
        if (r >= 0)
                tree->is_behind = false;
        look_again(sentry, &sweep);
        return r;
}

#define DEPTH_MAX 200

/* What lies deeper is left to a sweep. */
static int visit_found(struct tree *tree, const char *relative, int depth,
                       int (*visit)(const char *relative, void *userdata), void *userdata) {
        int fd = tree_open_file(tree, relative, O_RDONLY | O_DIRECTORY);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory)
                return fd < 0 ? fd : -errno;
        int r = 0;
        struct dirent *entry;
        while (r >= 0 && (entry = readdir(directory))) {
                if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                        continue;
                _cleanup_(freep) char *path = NULL;
                if (asprintf(&path, "%s/%s", relative, entry->d_name) < 0)
                        r = -ENOMEM;
                else if ((r = visit(path, userdata)) >= 0 &&
                         (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)) {
                        if (depth < DEPTH_MAX)
                                visit_found(tree, path, depth + 1, visit, userdata);
                        else
                                tree->is_behind = true;
                }
        }
        closedir(directory);
        return r;
}

struct below {
        const char *prefix;
        int (*visit)(const char *relative, void *userdata);
        void *userdata;
};

static int visit_approved(const char *path, const struct node *node, void *userdata) {
        (void)node;
        const struct below *below = userdata;
        return strcmp(path, below->prefix) ? below->visit(path, below->userdata) : 0;
}

int tree_visit_below(struct sentry *sentry, struct tree *tree, const char *relative,
                     int (*visit)(const char *relative, void *userdata), void *userdata) {
        struct below below = {relative, visit, userdata};
        int r = catalog_walk(sentry->catalog, tree->id, relative, 0, visit_approved, &below);
        int s = visit_found(tree, relative, 0, visit, userdata);
        return r < 0 && r != -ENOENT ? r : s == -ENOENT || s == -ENOTDIR ? 0 : s;
}

bool tree_directory_is_empty(const struct tree *tree, const char *relative) {
        int fd = tree_open_file(tree, relative, O_RDONLY | O_DIRECTORY);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory)
                return true;
        struct dirent *entry;
        bool empty = true;
        while (empty && (entry = readdir(directory)))
                empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
        closedir(directory);
        return empty;
}

static void show_progress(const struct baseline_progress *progress, void *userdata) {
        struct sweep *sweep = userdata;
        progress_update(sweep->progress, progress->n_files, progress->n_files_total, progress->n_bytes);
}

static int take_baseline(struct sentry *sentry, struct tree *tree) {
        struct sweep sweep = {.tree = tree};
        struct baseline baseline = sentry_baseline(sentry);
        struct baseline_callbacks callbacks = {.progress = isatty(STDERR_FILENO) ? show_progress : NULL,
                                               .userdata = &sweep};
        struct baseline_result result = {0};
        char uid[32];
        int64_t release;
        uint64_t now_ns = clock_wall_ns(&clock_system);
        finding_uid_make(now_ns, uid);
        int r = catalog_begin_release(sentry->catalog, tree->id, uid, "baseline", "baseline", now_ns,
                                      &release);
        if (r < 0)
                return r;
        struct progress progress;
        progress_begin(&progress, tree->config->path);
        sweep.progress = &progress;
        r = baseline_take(&baseline, &tree->baseline, release, &callbacks, &result);
        progress_end(&progress);
        struct catalog_release row = {0};
        if (catalog_end_release(sentry->catalog, release, clock_wall_ns(&clock_system), &row) == 0)
                catalog_release_deinit(&row);
        if (r < 0)
                return r;
        tree->n_files = result.n_files;
        tree->n_bytes = result.n_bytes;
        tree->swept_ns = clock_wall_ns(&clock_system);
        tree->n_unkept = result.n_unkept;
        return outbox_append(sentry,
                             json_pack("{s:s,s:{s:s,s:s,s:s,s:[o],s:I,s:I,s:I}}", "kind", "release",
                                       "release", "uid", uid, "name", "baseline", "kind", "baseline", "trees",
                                       json_bytes(tree->config->path), "n_files", (json_int_t)result.n_files,
                                       "n_bytes", (json_int_t)result.n_bytes, "n_unreadable",
                                       (json_int_t)result.n_unreadable),
                             NULL, NULL);
}

static int tree_compared(struct sentry *sentry, struct tree *tree, int r) {
        tree->is_compared = true;
        if (r < 0)
                return not_armed(tree, N_("the baseline could not be taken"), r);
        return inspect_learn_hosts(sentry, tree);
}

static int compare_soon(struct sentry *sentry, uint64_t after_us) {
        int r = sd_event_source_set_time_relative(sentry->compare_timer, after_us);
        return r < 0 ? r : sd_event_source_set_enabled(sentry->compare_timer, SD_EVENT_ONESHOT);
}

/* One tree at a time, so that what happens meanwhile waits for one at most. */
static int on_compare(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        struct sentry *sentry = userdata;
        size_t i = 0;
        while (i < sentry->n_trees && (!sentry->trees[i].is_armed || sentry->trees[i].is_compared))
                i++;
        if (i == sentry->n_trees)
                return 0;
        struct tree *tree = &sentry->trees[i];
        /* What a full or damaged vault does not hold is kept now, if it can be. */
        tree->baseline.check_kept = true;
        int r = tree_sweep(sentry, tree);
        tree->baseline.check_kept = false;
        (void)tree_compared(sentry, tree, r);
        return compare_soon(sentry, COMPARE_NEXT_US);
}

int trees_open_timer(struct sentry *sentry) {
        int r = sd_event_add_time(sentry->event, &sentry->compare_timer, CLOCK_MONOTONIC, 0, 0, on_compare,
                                  sentry);
        return r < 0 ? r : sd_event_source_set_enabled(sentry->compare_timer, SD_EVENT_OFF);
}

int tree_start(struct sentry *sentry, struct tree *tree) {
        int r = tree->is_armed ? 0 : tree_arm(sentry, tree);
        if (r < 0)
                return r;
        if (catalog_tree_has_baseline(sentry->catalog, tree->id) == 1) {
                tree->is_compared = false;
                return compare_soon(sentry, COMPARE_AFTER_US);
        }
        r = take_baseline(sentry, tree);
        return tree_compared(sentry, tree, r);
}
