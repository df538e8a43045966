/* One path, now, beside what is approved there. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "roles/baseline-run.h"
#include "sense/files/walk.h"

int tree_open(const struct baseline_tree *tree) {
        int fd = open(tree->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The directory that holds the path; `ret_name` points into it, "" for the root of the tree. */
static int open_parent(int root_fd, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        *ret_name = slash ? slash + 1 : path;
        if (!slash)
                return walk_open(root_fd, "", O_PATH | O_DIRECTORY);
        _cleanup_(freep) char *directory = strndup(path, (size_t)(slash - path));
        return directory ? walk_open(root_fd, directory, O_PATH | O_DIRECTORY) : -ENOMEM;
}

static bool is_nothing(int r) {
        return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

static int make_change(const struct examination *examination, const char *path, struct node *before,
                       struct node *after, struct change **ret_change) {
        _cleanup_(change_freep) struct change *change = change_new();
        const struct baseline_tree *tree = examination->tree;
        if (!change || asprintf(&change->path, "%s%s%s", tree->path, *path ? "/" : "", path) < 0)
                return -ENOMEM;
        change->tree = tree->path;
        change->zone = tree->zone ? tree->zone(path, tree->userdata) : ZONE_NONE;
        change->how = CHANGE_SEEN;
        change->difference = node_compare(before, after);
        change->time_ns = clock_wall_ns(baseline_clock(examination->baseline));
        change->before = *before;
        change->after = *after;
        *before = *after = (struct node)NODE_INIT;
        *ret_change = STEAL(change);
        return 1;
}

/* Approved content is no evidence; a mirror keeps it, if it does not yet. */
static const struct digest *known_content(const struct examination *examination, const struct node *before) {
        bool missing = examination->tree->mirror && examination->flags & BASELINE_KEEP &&
                       S_ISREG(before->mode) && examination->baseline->store &&
                       !store_has(examination->baseline->store, &before->digest);
        return missing ? NULL : &before->digest;
}

static int look_closely(struct examination *examination, int parent_fd, const char *name, uint64_t keep_max,
                        const struct node *before, struct node *after) {
        struct looker looker = {
                .digester = examination->digester,
                .store = examination->flags & BASELINE_KEEP ? examination->baseline->store : NULL,
                .keep_bytes_max = keep_max,
                .known = known_content(examination, before),
        };
        int r = look_at(&looker, parent_fd, name, after);
        if (r == 0 && looker.store_error == -ENOSPC && examination->may_collect &&
            baseline_make_room(examination->baseline, looker.unkept_bytes) == 0) {
                looker.n_unkept = 0;
                r = look_at(&looker, parent_fd, name, after);
        }
        examination->n_hashed += looker.n_hashed;
        examination->n_unkept += looker.n_unkept;
        return is_nothing(r) ? 0 : r;
}

/* What stands at the path now, its content read where it may differ from `before`. 1: it need not be
 * compared. */
static int look_now(struct examination *examination, const char *path, const struct node *before,
                    enum zone zone, struct node *after) {
        const char *name;
        if (examination->root_fd < 0)
                return 0;
        _cleanup_(fd_closep) int parent_fd = open_parent(examination->root_fd, path, &name);
        if (parent_fd < 0)
                return is_nothing(parent_fd) ? 0 : parent_fd;
        int r = node_stat(parent_fd, name, after);
        if (is_nothing(r))
                return 0;
        if (r == 0 && !(examination->flags & BASELINE_FORCE) && node_stat_equal(before, after))
                return 1;
        const struct baseline *baseline = examination->baseline;
        if (r == 0 && baseline->large && S_ISREG(after->mode) && after->size_bytes > BASELINE_LARGE_BYTES) {
                _cleanup_(node_deinit) struct node now = *after;
                *after = (struct node)NODE_INIT;
                r = baseline->large(examination->tree, path, &now, after, baseline->userdata);
                return r == 0 ? -EINPROGRESS : r < 0 ? r : 0;
        }
        struct baseline_tree kept = *examination->tree;
        kept.mirror = true; /* evidence is kept of any tree when asked for */
        return look_closely(examination, parent_fd, name, baseline_keep_max(&kept, zone), before, after);
}

int examine_path(struct examination *examination, const char *path, struct change **ret_change) {
        const struct baseline_tree *tree = examination->tree;
        struct catalog *catalog = examination->baseline->catalog;
        enum zone zone = tree->zone ? tree->zone(path, tree->userdata) : ZONE_NONE;
        if (zone == ZONE_IGNORED)
                return 0;
        _cleanup_(node_deinit) struct node before = NODE_INIT;
        _cleanup_(node_deinit) struct node after = NODE_INIT;
        uint64_t now_ns = clock_wall_ns(&clock_system);
        int r = catalog_get(catalog, tree->id, path, &before);
        if (r < 0 && r != -ENOENT)
                return r;
        r = look_now(examination, path, &before, zone, &after);
        if (r)
                return r < 0 ? r : 0;
        if (node_compare(&before, &after))
                return make_change(examination, path, &before, &after, ret_change);
        if (!node_exists(&after) || node_stat_equal(&before, &after))
                return 0;
        node_distrust(&after, now_ns, examination->baseline->dirty_ns);
        r = catalog_touch(catalog, tree->id, path, &after);
        return r == -ENOENT ? 0 : r; /* no longer approved: whoever changed that looks again */
}

int baseline_examine(const struct baseline *baseline, const struct baseline_tree *tree,
                     const char *relative_path, unsigned flags, struct change **ret_change) {
        _cleanup_(fd_closep) int root_fd = tree_open(tree);
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        if (!digester)
                return -ENOMEM;
        /* The tree itself is gone: so is everything in it. */
        if (root_fd < 0 && !is_nothing(root_fd))
                return root_fd;
        struct examination examination = {
                .baseline = baseline,
                .tree = tree,
                .root_fd = root_fd,
                .digester = digester,
                .flags = flags,
                .may_collect = true,
        };
        return examine_path(&examination, relative_path, ret_change);
}

int baseline_read(const struct baseline *baseline, const struct baseline_tree *tree,
                  const char *relative_path, unsigned flags, struct digester *digester,
                  struct node *ret_node) {
        _cleanup_(fd_closep) int root_fd = tree_open(tree);
        const char *name;
        if (root_fd < 0)
                return root_fd;
        _cleanup_(fd_closep) int parent_fd = open_parent(root_fd, relative_path, &name);
        if (parent_fd < 0)
                return parent_fd;
        int r = node_stat(parent_fd, name, ret_node);
        struct looker looker = {
                .digester = digester,
                .store = flags & BASELINE_KEEP ? baseline->store : NULL,
                .keep_bytes_max = baseline_keep_max(
                        tree, tree->zone ? tree->zone(relative_path, tree->userdata) : ZONE_NONE),
        };
        return r < 0 ? r : look_at(&looker, parent_fd, name, ret_node);
}
