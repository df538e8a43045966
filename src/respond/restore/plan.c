#include "respond/restore/plan.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "respond/restore/look.h"

#define DEPTH_MAX 128  /* what is not approved and nested deeper than that is one step */
#define WHOLE     0x10 /* beside PLAN_REMOVE: a directory with all that is in it */

/* Steps lie in a row: a byte of kind, the path, NUL. */
struct plan {
        struct plan_scope scope;
        struct buffer changes; /* creations, replacements, attributes, conflicts */
        struct buffer removals;
        size_t n_steps;
};

int plan_new(const struct plan_scope *scope, struct plan **ret_plan) {
        struct plan *plan = calloc(1, sizeof(*plan));
        if (!plan)
                return -ENOMEM;
        plan->scope = *scope;
        buffer_init(&plan->changes, PLAN_BYTES_MAX);
        buffer_init(&plan->removals, PLAN_BYTES_MAX);
        *ret_plan = plan;
        return 0;
}

struct plan *plan_free(struct plan *plan) {
        if (plan) {
                buffer_deinit(&plan->changes);
                buffer_deinit(&plan->removals);
                free(plan);
        }
        return NULL;
}

const char *plan_kind_name(enum plan_kind kind) {
        static const char *const names[] = {"create",   "replace", "attributes", "remove",
                                            "conflict", "approve", "unknown"};
        return (size_t)kind < ARRAY_SIZE(names) ? names[kind] : "?";
}

size_t plan_count(const struct plan *plan) {
        return plan->n_steps;
}

/* What was approved on its own at the plan's time is not all known any more. */
static bool is_partly_known(const struct plan *plan) {
        return plan->scope.at_ns &&
               plan->scope.at_ns < catalog_forgotten(plan->scope.catalog, CATALOG_UNRELEASED);
}

static int add_step(struct plan *plan, int kind, const char *path) {
        if ((kind & ~WHOLE) == PLAN_REMOVE && is_partly_known(plan))
                kind = PLAN_UNKNOWN;
        struct buffer *buffer = (kind & ~WHOLE) == PLAN_REMOVE ? &plan->removals : &plan->changes;
        char byte = (char)kind;
        size_t before = buffer->size;
        int r = buffer_append(buffer, &byte, 1);
        if (r == 0)
                r = buffer_append(buffer, path, strlen(path) + 1);
        if (r < 0)
                buffer->size = before;
        else
                plan->n_steps++;
        return r;
}

static bool is_skipped(const struct plan *plan, const char *path) {
        return plan->scope.skip && plan->scope.skip(path, plan->scope.userdata);
}

/* The approved node at the plan's time; mode 0 where nothing is approved. */
static int get_approved(const struct plan *plan, const char *path, struct node *ret_node) {
        const struct plan_scope *scope = &plan->scope;
        *ret_node = (struct node)NODE_INIT;
        int r = scope->at_ns ? catalog_get_at(scope->catalog, scope->tree, path, scope->at_ns, ret_node)
                             : catalog_get(scope->catalog, scope->tree, path, ret_node);
        return r == -ENOENT ? 0 : r;
}

/* What stands there now; mode 0 for nothing, also when not even its directory stands. */
static int get_present(const struct plan *plan, const char *path, struct node *ret_node) {
        *ret_node = (struct node)NODE_INIT;
        _cleanup_(fd_closep) int fd = look_open_path(plan->scope.tree_fd, path);
        if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
                return 0;
        return fd < 0 ? fd : look_node(fd, true, ret_node);
}

/* What stood there then stands there now: but is it approved now? */
static int compare_past(struct plan *plan, const char *path, const struct node *approved) {
        if (!plan->scope.at_ns)
                return 0;
        _cleanup_(node_deinit) struct node now = NODE_INIT;
        int r = catalog_get(plan->scope.catalog, plan->scope.tree, path, &now);
        if (r < 0 && r != -ENOENT)
                return r;
        return node_compare(approved, &now) ? add_step(plan, PLAN_APPROVE, path) : 0;
}

static int compare(struct plan *plan, const char *path, const struct node *approved) {
        _cleanup_(node_deinit) struct node present = NODE_INIT;
        int r = get_present(plan, path, &present);
        if (r < 0)
                return r;
        unsigned difference = node_compare(approved, &present);
        if (!difference)
                return compare_past(plan, path, approved);
        enum plan_kind kind = PLAN_ATTRIBUTES;
        if (difference & NODE_EXISTENCE)
                kind = node_exists(approved) ? PLAN_CREATE : PLAN_REMOVE;
        else if (difference & (NODE_TYPE | NODE_CONTENT))
                kind = PLAN_REPLACE;
        return add_step(plan, kind, path);
}

int plan_add_path(struct plan *plan, const char *path) {
        _cleanup_(node_deinit) struct node approved = NODE_INIT;
        int r = get_approved(plan, path, &approved);
        return r < 0 ? r : compare(plan, path, &approved);
}

static int visit_approved(const char *path, const struct node *node, void *userdata) {
        struct plan *plan = userdata;
        return is_skipped(plan, path) ? 0 : compare(plan, path, node);
}

/* A walk of what stands, for what is not approved. */
struct search {
        struct plan *plan;
        struct buffer path;
        unsigned depth;
};

static int search_directory(struct search *search, int path_fd);

static int search_entry(struct search *search, int directory_fd, const char *name) {
        struct plan *plan = search->plan;
        const char *path = search->path.data;
        _cleanup_(node_deinit) struct node approved = NODE_INIT;
        int r = get_approved(plan, path, &approved);
        if (r < 0)
                return r;
        bool removed = !node_exists(&approved) && !is_skipped(plan, path);
        _cleanup_(fd_closep) int fd = look_open(directory_fd, name);
        struct stat st;
        bool descends = fd >= 0 && fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode) &&
                        (!node_exists(&approved) || S_ISDIR(approved.mode));
        bool too_deep = descends && search->depth >= DEPTH_MAX;
        if (removed)
                r = add_step(plan, PLAN_REMOVE | (too_deep ? WHOLE : 0), path);
        if (r < 0 || !descends || too_deep)
                return r;
        search->depth++;
        r = search_directory(search, fd);
        search->depth--;
        return r;
}

static int search_directory(struct search *search, int path_fd) {
        int fd = look_reopen(path_fd, O_RDONLY | O_DIRECTORY);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory) {
                int error = fd < 0 ? fd : -errno;
                fd_closep(&fd);
                return error;
        }
        int r = 0;
        size_t before = search->path.size;
        for (struct dirent *entry; r == 0 && (entry = readdir(directory));) {
                if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                        continue;
                r = buffer_format(&search->path, "%s%s", before ? "/" : "", entry->d_name);
                if (r == 0)
                        r = search_entry(search, dirfd(directory), entry->d_name);
                search->path.size = before;
                search->path.data[before] = '\0';
        }
        closedir(directory);
        return r;
}

/* `path` itself was compared before: here only what lies below it and is not approved. */
static int search_below(struct plan *plan, const char *path) {
        _cleanup_(fd_closep) int fd = look_open_path(plan->scope.tree_fd, path);
        struct stat st;
        if (fd < 0 || fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 || !S_ISDIR(st.st_mode))
                return 0;
        struct search search = {.plan = plan};
        buffer_init(&search.path, 0);
        int r = buffer_append_string(&search.path, path);
        if (r == 0)
                r = search_directory(&search, fd);
        buffer_deinit(&search.path);
        return r;
}

int plan_add_below(struct plan *plan, const char *path) {
        const struct plan_scope *scope = &plan->scope;
        _cleanup_(node_deinit) struct node approved = NODE_INIT;
        int r = get_approved(plan, path, &approved);
        if (r == 0 && !node_exists(&approved))
                r = compare(plan, path, &approved);
        else if (r == 0)
                r = catalog_walk(scope->catalog, scope->tree, path, scope->at_ns, visit_approved, plan);
        return r == 0 || r == -ENOENT ? search_below(plan, path) : r;
}

/* The state after a release, path by path, against the state before it and the one approved now. */
struct reversal {
        struct plan *plan; /* its time is just before the release */
        uint64_t end_ns;
};

static int reverse_path(struct reversal *reversal, const char *path, const struct node *before,
                        const struct node *after) {
        struct plan *plan = reversal->plan;
        const struct plan_scope *scope = &plan->scope;
        if (!node_compare(before, after) || is_skipped(plan, path))
                return 0;
        _cleanup_(node_deinit) struct node now = NODE_INIT;
        int r = catalog_get(scope->catalog, scope->tree, path, &now);
        if (r < 0 && r != -ENOENT)
                return r;
        if (node_compare(after, &now))
                return node_compare(before, &now) ? add_step(plan, PLAN_CONFLICT, path) : 0;
        return compare(plan, path, before);
}

static int visit_before(const char *path, const struct node *before, void *userdata) {
        struct reversal *reversal = userdata;
        const struct plan_scope *scope = &reversal->plan->scope;
        _cleanup_(node_deinit) struct node after = NODE_INIT;
        int r = catalog_get_at(scope->catalog, scope->tree, path, reversal->end_ns, &after);
        return r < 0 && r != -ENOENT ? r : reverse_path(reversal, path, before, &after);
}

static int visit_after(const char *path, const struct node *after, void *userdata) {
        struct reversal *reversal = userdata;
        _cleanup_(node_deinit) struct node before = NODE_INIT;
        int r = get_approved(reversal->plan, path, &before);
        if (r < 0 || node_exists(&before))
                return r; /* met in the other walk */
        return reverse_path(reversal, path, &before, after);
}

int plan_add_release(struct plan *plan, const struct catalog_release *release) {
        const struct plan_scope *scope = &plan->scope;
        if (!release->end_ns)
                return -EBUSY;
        if (release->tree != scope->tree || !release->begin_ns)
                return -EINVAL;
        if (release->begin_ns - 1 < catalog_forgotten(scope->catalog, CATALOG_RELEASED))
                return -ESTALE;
        plan->scope.at_ns = release->begin_ns - 1;
        struct reversal reversal = {plan, release->end_ns};
        int r = catalog_walk(scope->catalog, scope->tree, "", scope->at_ns, visit_before, &reversal);
        if (r == 0 || r == -ENOENT)
                r = catalog_walk(scope->catalog, scope->tree, "", reversal.end_ns, visit_after, &reversal);
        return r == -ENOENT ? 0 : r;
}

static int one_step(struct plan *plan, const char *record, plan_visit visit, void *userdata) {
        int kind = record[0];
        struct plan_step step = {.kind = kind & ~WHOLE, .is_whole = kind & WHOLE, .path = record + 1};
        step.kind_name = plan_kind_name(step.kind);
        int r = get_approved(plan, step.path, &step.approved);
        if (r == 0)
                r = visit(&step, userdata);
        node_deinit(&step.approved);
        return r;
}

static int compare_records(const void *a, const void *b) {
        return strcmp(*(const char *const *)a + 1, *(const char *const *)b + 1);
}

/* The records of a row in byte order of their paths: parents before children. */
static int sort_records(const struct buffer *steps, const char ***ret_records, size_t *ret_n) {
        size_t n = 0;
        for (size_t i = 0; i < steps->size; i += 1 + strlen(steps->data + i + 1) + 1)
                n++;
        const char **records = calloc(n + 1, sizeof(*records));
        if (!records)
                return -ENOMEM;
        n = 0;
        for (size_t i = 0; i < steps->size; i += 1 + strlen(steps->data + i + 1) + 1)
                records[n++] = steps->data + i;
        qsort(records, n, sizeof(*records), compare_records);
        *ret_records = records;
        *ret_n = n;
        return 0;
}

int plan_show(struct plan *plan, plan_visit visit, void *userdata) {
        _cleanup_(freep) const char **changes = NULL, **removals = NULL;
        size_t n_changes = 0, n_removals = 0;
        int r = sort_records(&plan->changes, &changes, &n_changes);
        if (r == 0)
                r = sort_records(&plan->removals, &removals, &n_removals);
        for (size_t i = 0; r == 0 && i < n_changes; i++)
                r = one_step(plan, changes[i], visit, userdata);
        while (r == 0 && n_removals > 0)
                r = one_step(plan, removals[--n_removals], visit, userdata);
        return r;
}

struct execution {
        const struct plan *plan;
        const struct plan_execution *options;
        int n_failed;
};

static int collect_path(const char *path, _unused_ const struct node *node, void *userdata) {
        return buffer_append(userdata, path, strlen(path) + 1);
}

/* A directory went with all that was in it. */
static int approve_nothing_below(const struct execution *execution, const char *path) {
        const struct plan_scope *scope = &execution->plan->scope;
        static const struct node nothing = NODE_INIT;
        _cleanup_(buffer_deinit) struct buffer paths;
        buffer_init(&paths, PLAN_BYTES_MAX);
        int r = catalog_walk(scope->catalog, scope->tree, path, 0, collect_path, &paths);
        if (r == -ENOENT)
                r = 0;
        for (size_t i = 0; r == 0 && i < paths.size; i += strlen(paths.data + i) + 1)
                r = catalog_approve(scope->catalog, scope->tree, paths.data + i, &nothing,
                                    execution->options->now_ns, execution->options->release);
        return r;
}

/* A state of the past becomes the approved one; of the present only inode and times are new. */
static int approve(const struct execution *execution, const struct plan_step *step,
                   const struct restore_result *result) {
        const struct plan_scope *scope = &execution->plan->scope;
        bool stands = node_exists(&step->approved);
        if (!scope->at_ns)
                return stands ? catalog_touch(scope->catalog, scope->tree, step->path, &result->after) : 0;
        if (!stands)
                return approve_nothing_below(execution, step->path);
        return catalog_approve(scope->catalog, scope->tree, step->path, &result->after,
                               execution->options->now_ns, execution->options->release);
}

static int execute_step(const struct plan_step *step, void *userdata) {
        struct execution *execution = userdata;
        const struct plan_execution *options = execution->options;
        struct restore_result result = {.state = RESTORE_FAILED, .error = -EBUSY};
        int r = 0;
        if (step->kind == PLAN_CONFLICT)
                strcpy(result.detail, "changed again by a later release: left alone");
        else if (step->kind == PLAN_UNKNOWN)
                strcpy(result.detail, "not known any more whether it stood there: left alone");
        else
                r = restore_node(options->restore,
                                 &(struct restore_request){.path = step->path,
                                                           .approved = &step->approved,
                                                           .only_empty = !step->is_whole},
                                 &result);
        if (r == 0 && result.verified)
                r = approve(execution, step, &result);
        if (!result.verified)
                execution->n_failed++;
        int reported = options->report ? options->report(step, &result, options->userdata) : 0;
        restore_result_deinit(&result);
        return r < 0 ? r : reported;
}

int plan_execute(struct plan *plan, const struct plan_execution *options) {
        struct execution execution = {plan, options, 0};
        int r = plan_show(plan, execute_step, &execution);
        return r < 0 ? r : execution.n_failed;
}

/* The parents one by one from the top; `path` is cut at each '/' and put together again. */
static int restore_parents(const struct restore_context *context, struct catalog *catalog, int64_t tree,
                           char *path) {
        for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                _cleanup_(node_deinit) struct node approved = NODE_INIT;
                struct restore_result result = {0};
                int r = catalog_get(catalog, tree, path, &approved);
                _cleanup_(fd_closep) int fd = look_open_path(context->tree_fd, path);
                struct stat st;
                bool stands = fd >= 0 && fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISDIR(st.st_mode);
                if (r == 0 && !stands && S_ISDIR(approved.mode))
                        r = restore_node(context,
                                         &(struct restore_request){.path = path, .approved = &approved},
                                         &result);
                restore_result_deinit(&result);
                *slash = '/';
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

int restore_with_parents(const struct restore_context *context, struct catalog *catalog, int64_t tree,
                         const struct restore_request *request, struct restore_result *ret_result) {
        if (node_exists(request->approved)) {
                _cleanup_(freep) char *path = strdup(request->path);
                int r = path ? restore_parents(context, catalog, tree, path) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return restore_node(context, request, ret_result);
}
