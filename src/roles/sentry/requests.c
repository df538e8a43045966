/*
 * What people ask through the engine: one row a request (control/protocol.h says the exact JSON).
 *
 * Before any of them the events at hand are worked off, so that an answer is about now. An answer that
 * needs the assayer (diff) comes in pieces; a question keeps its number until its end was sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "base/message.h"
#include "base/text.h"
#include "event/finding.h"
#include "event/json.h"
#include "respond/hold/hold.h"
#include "respond/restore/plan.h"
#include "roles/sentry/sentry.h"

#define DIFF_LINES_MAX 10000
#define HOLD_WAIT_MS   200

static void answer(struct sentry *sentry, uint64_t id, const char *key, json_t *value) {
        json_auto_t *body = json_pack("{s:s,s:I,s:o}", "type", "answer", "id", (json_int_t)id, key, value);
        if (body)
                message_send(sentry->context->peers[ROLE_ENGINE], body, NULL, 0);
}

void answer_line(struct sentry *sentry, uint64_t id, json_t *line) {
        answer(sentry, id, "line", line);
}

void answer_end(struct sentry *sentry, uint64_t id, int status, const char *error) {
        json_t *end = json_pack("{s:i}", "status", status);
        if (error)
                json_object_set_new(end, "error", json_string(error));
        answer(sentry, id, "end", end);
}

char *take_path(const json_t *value) {
        _cleanup_(buffer_deinit) struct buffer raw = {0};
        const char *text = json_string_value(value);
        if (!text || text_from_utf8(&raw, text, strlen(text)) < 0 || memchr(raw.data, 0, raw.size))
                return NULL;
        while (raw.size > 1 && raw.data[raw.size - 1] == '/')
                raw.data[--raw.size] = '\0';
        return buffer_steal(&raw);
}

/* ---- diff ---- */

struct diff_job {
        uint64_t id;
        size_t n_waiting, n_lines;
        bool is_collected;
};

static void diff_end_if_done(struct sentry *sentry, struct diff_job *job) {
        if (!job->is_collected || job->n_waiting)
                return;
        answer_end(sentry, job->id, job->n_lines ? 1 : 0, NULL);
        free(job);
}

static const char *difference_kind(const struct change *change) {
        if (!node_exists(&change->before))
                return "created";
        if (!node_exists(&change->after))
                return "deleted";
        return change->difference & (NODE_CONTENT | NODE_TYPE) ? "modified" : "attributes";
}

static void diff_answered(struct sentry *sentry, struct tree *tree, struct change *change,
                          const json_t *content, void *userdata) {
        struct diff_job *job = userdata;
        const char *diff = json_get_string(content, "diff");
        json_t *line = json_pack("{s:o,s:o,s:s,s:o,s:o,s:o,s:b}", "path", json_bytes(change->path), "tree",
                                 json_bytes(tree->config->path), "kind", difference_kind(change), "before",
                                 node_encode(&change->before), "after", node_encode(&change->after), "diff",
                                 diff ? json_string(diff) : json_null(), "diff_truncated",
                                 json_is_true(json_object_get(content, "diff_truncated")));
        answer_line(sentry, job->id, line);
        change_free(change);
        job->n_waiting--;
        diff_end_if_done(sentry, job);
}

struct diff_scope {
        struct sentry *sentry;
        struct tree *tree;
        struct diff_job *job;
        const char *below; /* relative; only this path and what is below it */
};

static bool is_at_or_below(const char *path, const char *directory) {
        size_t length = strlen(directory);
        return !length || (!strncmp(path, directory, length) && (!path[length] || path[length] == '/'));
}

static int diff_submit(struct diff_scope *scope, struct change *change, bool from_vault) {
        const char *relative = tree_relative(scope->tree, change->path);
        change->tree = scope->tree->config->path;
        change->zone = profile_zone(scope->tree->profile, relative);
        change->php_expected = profile_expects_php(scope->tree->profile, relative);
        if (scope->job->n_lines >= DIFF_LINES_MAX || !is_at_or_below(relative, scope->below)) {
                change_free(change);
                return 0;
        }
        scope->job->n_lines++;
        scope->job->n_waiting++;
        return inspect_ask(scope->sentry, scope->tree, change, from_vault, diff_answered, scope->job);
}

static int on_live_difference(struct change *change, void *userdata) {
        return diff_submit(userdata, change, false);
}

static int on_recorded(int64_t id, const char *path, const struct node *node, bool standing, void *userdata) {
        (void)standing;
        struct diff_scope *scope = userdata;
        struct sentry *sentry = scope->sentry;
        for (size_t i = 0; i < sentry->n_trees; i++)
                if (sentry->trees[i].id == id)
                        scope->tree = &sentry->trees[i];
        struct change *change = scope->tree ? change_new() : NULL;
        if (!change || asprintf(&change->path, "%s/%s", scope->tree->config->path, path) < 0) {
                change_free(change);
                return 0;
        }
        node_copy(node, &change->after);
        catalog_get(sentry->catalog, id, path, &change->before);
        change->difference = node_compare(&change->before, &change->after);
        return diff_submit(scope, change, true);
}

static void request_diff(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)client;
        struct diff_job *job = calloc(1, sizeof(*job));
        _cleanup_(freep) char *path = take_path(json_object_get(request, "path"));
        const char *finding = json_get_string(request, "finding");
        struct tree *only = path ? tree_of_path(sentry, path) : NULL;
        if (!job || (path && !only)) {
                free(job);
                answer_end(sentry, id, 2, N_("the path is in no guarded tree"));
                return;
        }
        job->id = id;
        struct diff_scope scope = {
                .sentry = sentry, .job = job, .below = only ? tree_relative(only, path) : ""};
        if (finding)
                observed_list(sentry->observed, finding, 0, on_recorded, &scope);
        for (size_t i = 0; !finding && i < sentry->n_trees; i++) {
                scope.tree = &sentry->trees[i];
                if (only && only != scope.tree)
                        continue;
                struct baseline baseline = sentry_baseline(sentry);
                struct baseline_callbacks callbacks = {.change = on_live_difference, .userdata = &scope};
                struct baseline_result result;
                baseline_sweep(&baseline, &scope.tree->baseline, &callbacks, &result);
        }
        job->is_collected = true;
        diff_end_if_done(sentry, job);
}

/* ---- restore ---- */

struct restore_job {
        struct sentry *sentry;
        struct tree *tree;
        struct plan *plan;
        uint64_t id;
        uint64_t at_ns, began_ns;
        bool is_dry, is_release;
        const char *finding;
        size_t n_lines, n_failed;
        char last_kept[DIGEST_HEX_SIZE];
};

static bool is_data(const char *relative, void *userdata) {
        const struct tree *tree = userdata;
        enum zone zone = profile_zone(tree->profile, relative);
        return zone == ZONE_IGNORED || zone == ZONE_DATA;
}

static const char *step_result(enum plan_kind kind) {
        return kind == PLAN_REMOVE                             ? "removed"
               : kind == PLAN_CONFLICT || kind == PLAN_UNKNOWN ? "skipped"
                                                               : "restored";
}

static void restore_line(struct restore_job *job, const struct plan_step *step, const char *result,
                         const char *detail) {
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/%s", job->tree->config->path, step->path) < 0)
                return;
        json_t *line = json_pack("{s:o,s:s}", "path", json_bytes(path), "result", result);
        if (detail && *detail)
                json_object_set_new(line, "detail", json_bytes(detail));
        if (*job->last_kept)
                json_object_set_new(line, "kept", json_string(job->last_kept));
        answer_line(job->sentry, job->id, line);
        job->n_lines++;
}

static int show_step(const struct plan_step *step, void *userdata) {
        restore_line(userdata, step, step_result(step->kind), step->kind_name);
        return 0;
}

static void on_kept(const char *path, const struct node *node, void *userdata) {
        (void)path;
        struct restore_job *job = userdata;
        if (!digest_is_zero(&node->digest))
                digest_format(&node->digest, job->last_kept);
}

/* A word of a shell command, without a backslash: JSON's escaping of odd bytes would double it. */
static int append_word(struct buffer *text, const char *word) {
        if (*word &&
            !word[strspn(word, "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@")])
                return buffer_append_string(text, word);
        int r = buffer_append_string(text, "'");
        for (const char *p = word; r >= 0 && *p; p++)
                r = *p == '\'' ? buffer_append_string(text, "'\"'\"'") : buffer_append(text, p, 1);
        return r < 0 ? r : buffer_append_string(text, "'");
}

/* The command that brings back what was approved at `path` before `began_ns`; owned, or NULL. */
static char *undo_approval(uint64_t began_ns, const char *path) {
        _cleanup_(buffer_deinit) struct buffer text = {0};
        char time[CLOCK_RFC3339_SIZE];
        clock_format(began_ns, time);
        int r = buffer_format(&text, "hinomi restore --at %s ", time);
        r = r < 0 ? r : append_word(&text, path);
        return r < 0 ? NULL : buffer_steal(&text);
}

/* The command that brings back what was replaced; owned. NULL: it was neither approved nor in a finding. */
static char *undo_restore(const struct restore_job *job, const struct plan_step *step, const char *path,
                          const struct restore_result *result) {
        char finding[32] = "", *undo = NULL;
        if (!job->finding &&
            observed_has(job->sentry->observed, job->tree->id, step->path, &result->before, finding) <= 0 &&
            (job->at_ns || job->is_release))
                return undo_approval(job->began_ns, path);
        const char *name = job->finding ?: finding;
        return *name && asprintf(&undo, "hinomi approve %s", name) >= 0 ? undo : NULL;
}

static int report_step(const struct plan_step *step, const struct restore_result *result, void *userdata) {
        struct restore_job *job = userdata;
        struct sentry *sentry = job->sentry;
        bool done = result->state != RESTORE_FAILED && result->verified;
        restore_line(job, step,
                     done ? result->state == RESTORE_NEEDLESS ? "same" : step_result(step->kind)
                     : step->kind == PLAN_UNKNOWN ? "skipped"
                                                  : "failed",
                     result->detail);
        *job->last_kept = '\0';
        if (!done) {
                job->n_failed++;
                return 0;
        }
        _cleanup_(freep) char *path = NULL, *undo = NULL;
        if (asprintf(&path, "%s/%s", job->tree->config->path, step->path) < 0)
                return -ENOMEM;
        undo = undo_restore(job, step, path, result);
        notes_clear(sentry, job->tree, step->path);
        if (node_exists(&result->after))
                catalog_touch(sentry->catalog, job->tree->id, step->path, &result->after);
        sentry->n_restored++;
        return report_action(sentry, job->finding, "restore", path, true, result->verified, undo,
                             result->detail);
}

static int64_t restore_release(struct sentry *sentry, struct tree *tree, const char *name) {
        char uid[32];
        int64_t row = 0;
        finding_uid_make(clock_wall_ns(&clock_system), uid);
        catalog_begin_release(sentry->catalog, tree->id, uid, name, "approval", clock_wall_ns(&clock_system),
                              &row);
        return row;
}

static int run_plan(struct restore_job *job) {
        struct sentry *sentry = job->sentry;
        if (plan_count(job->plan) == 0)
                return 0;
        if (job->is_dry)
                return plan_show(job->plan, show_step, job);
        struct restore_context context = react_context(sentry, job->tree);
        context.durable = true;
        context.kept = on_kept;
        context.userdata = job;
        struct plan_execution execution = {
                .restore = &context,
                .release = job->at_ns ? restore_release(sentry, job->tree, "restore") : 0,
                .now_ns = clock_wall_ns(&clock_system),
                .report = report_step,
                .userdata = job,
        };
        int r = plan_execute(job->plan, &execution);
        if (execution.release)
                catalog_end_release(sentry->catalog, execution.release, clock_wall_ns(&clock_system), NULL);
        return r;
}

static int add_recorded(int64_t id, const char *path, const struct node *node, bool standing,
                        void *userdata) {
        (void)node, (void)standing;
        struct restore_job *job = userdata;
        return job->tree->id == id ? plan_add_path(job->plan, path) : 0;
}

struct release_rows {
        const char *name;
        int64_t tree;
        struct catalog_release row; /* newest of that name or uid in the tree */
};

static int take_row(const struct catalog_release *row, void *userdata) {
        struct release_rows *rows = userdata;
        if (row->tree != rows->tree || (strcmp(row->uid, rows->name) && strcmp(row->name ?: "", rows->name)))
                return 0;
        catalog_release_deinit(&rows->row);
        rows->row = *row;
        rows->row.name = row->name ? strdup(row->name) : NULL;
        return 0;
}

/* Fills the plan of one tree from the request. */
static int fill_plan(struct restore_job *job, const json_t *request) {
        const char *release = json_get_string(request, "release");
        const json_t *paths = json_object_get(request, "paths");
        if (job->finding)
                return observed_list(job->sentry->observed, job->finding, 0, add_recorded, job);
        if (release) {
                struct release_rows rows = {.name = release, .tree = job->tree->id};
                int r = catalog_list_releases(job->sentry->catalog, take_row, &rows);
                if (r >= 0 && rows.row.id)
                        r = plan_add_release(job->plan, &rows.row);
                catalog_release_deinit(&rows.row);
                return r;
        }
        if (json_is_true(json_object_get(request, "all")))
                return plan_add_below(job->plan, "");
        size_t i;
        json_t *value;
        int r = 0;
        json_array_foreach (paths, i, value) {
                _cleanup_(freep) char *path = take_path(value);
                if (r >= 0 && path && tree_of_path(job->sentry, path) == job->tree)
                        r = plan_add_below(job->plan, tree_relative(job->tree, path));
        }
        return r;
}

static int restore_tree(struct restore_job *job, const json_t *request) {
        struct plan_scope scope = {
                .catalog = job->sentry->catalog,
                .store = job->sentry->store,
                .tree = job->tree->id,
                .tree_fd = job->tree->fd,
                .at_ns = job->at_ns,
                .skip = job->finding || json_array_size(json_object_get(request, "paths")) ? NULL : is_data,
                .userdata = job->tree,
        };
        int r = plan_new(&scope, &job->plan);
        r = r < 0 ? r : fill_plan(job, request);
        r = r < 0 ? r : run_plan(job);
        job->plan = plan_free(job->plan);
        return r;
}

struct first_known {
        int64_t tree;
        uint64_t at_ns; /* 0: nothing yet */
};

static int take_first_known(const struct catalog_release *release, void *userdata) {
        struct first_known *first = userdata;
        if (release->tree == first->tree && release->end_ns &&
            (!first->at_ns || release->end_ns < first->at_ns))
                first->at_ns = release->end_ns;
        return 0;
}

/* Before its baseline a tree has no approved state: to restore that would be to remove everything. */
static bool is_known_at(struct sentry *sentry, const struct tree *tree, uint64_t at_ns) {
        struct first_known first = {.tree = tree->id};
        return !at_ns || (catalog_list_releases(sentry->catalog, take_first_known, &first) >= 0 &&
                          first.at_ns && at_ns >= first.at_ns);
}

/* Has a time gone with the history of releases? */
static bool is_forgotten(struct sentry *sentry, uint64_t at_ns) {
        return at_ns && at_ns < catalog_forgotten(sentry->catalog, CATALOG_RELEASED);
}

/* Is every tree that `paths` concern (without paths: every tree that is open) known at that time? */
static bool all_known_at(struct sentry *sentry, const json_t *paths, uint64_t at_ns) {
        size_t i;
        json_t *value;
        json_array_foreach (paths, i, value) {
                _cleanup_(freep) char *path = take_path(value);
                const struct tree *tree = path ? tree_of_path(sentry, path) : NULL;
                if (tree && !is_known_at(sentry, tree, at_ns))
                        return false;
        }
        for (i = 0; !json_array_size(paths) && i < sentry->n_trees; i++)
                if (sentry->trees[i].fd >= 0 && !is_known_at(sentry, &sentry->trees[i], at_ns))
                        return false;
        return true;
}

static void request_restore(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)client;
        struct restore_job job = {
                .sentry = sentry,
                .id = id,
                .at_ns = (uint64_t)json_get_integer(request, "at", 0) * NS_PER_MS,
                .is_dry = json_is_true(json_object_get(request, "dry_run")),
                .finding = json_get_string(request, "finding"),
                .is_release = json_get_string(request, "release"),
                .began_ns = clock_wall_ns(&clock_system),
        };
        size_t i;
        json_t *value;
        json_array_foreach (json_object_get(request, "paths"), i, value) {
                _cleanup_(freep) char *path = take_path(value);
                if (!path || !tree_of_path(sentry, path)) {
                        answer_end(sentry, id, 2, N_("the path is in no guarded tree"));
                        return;
                }
        }
        if (!all_known_at(sentry, json_object_get(request, "paths"), job.at_ns)) {
                answer_end(sentry, id, 1, N_("nothing is known of that time: the tree was not guarded yet"));
                return;
        }
        if (is_forgotten(sentry, job.at_ns)) {
                answer_end(sentry, id, 1,
                           N_("what was approved at that time is no longer kept: `hinomi status` says since "
                              "when it is"));
                return;
        }
        int r = 0;
        const char *error = NULL;
        for (i = 0; i < sentry->n_trees && r >= 0; i++) {
                job.tree = &sentry->trees[i];
                if (job.tree->fd < 0)
                        continue;
                r = restore_tree(&job, request);
        }
        if (r == -EBUSY)
                error = N_("the release is still open; end it first");
        else if (r == -ESTALE)
                error = N_(
                        "what stood before that release is no longer kept: `hinomi status` says since when "
                        "it is");
        else if (r < 0)
                error = N_("the restore could not be planned");
        answer_end(sentry, id, r == -ESTALE ? 1 : r < 0 ? 3 : job.n_failed ? 1 : 0, error);
}

/* ---- approve ---- */

struct approve_job {
        struct sentry *sentry;
        uint64_t id;
        int64_t rows[CONFIG_TREES_MAX]; /* catalog release a tree; 0: none yet */
        uint64_t began_ns;
        const char *finding;
        struct tree *tree;
        size_t n_approved, n_failed;
};

static void approve_line(struct approve_job *job, const char *path, const char *result, const char *detail) {
        json_t *line = json_pack("{s:o,s:s}", "path", json_bytes(path), "result", result);
        if (detail && *detail)
                json_object_set_new(line, "detail", json_bytes(detail));
        answer_line(job->sentry, job->id, line);
        if (!strcmp(result, "approved") || !strcmp(result, "restored"))
                job->n_approved++;
        else
                job->n_failed++;
}

static void approve_node(struct approve_job *job, struct tree *tree, const char *relative,
                         const struct node *node, const char *result) {
        struct sentry *sentry = job->sentry;
        if (!job->rows[tree->index])
                job->rows[tree->index] = restore_release(sentry, tree, job->finding ?: "approve");
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/%s", tree->config->path, relative) < 0)
                return;
        int r = catalog_approve(sentry->catalog, tree->id, relative, node, clock_wall_ns(&clock_system),
                                job->rows[tree->index]);
        notes_clear(sentry, tree, relative);
        approve_line(job, path, r < 0 ? "failed" : result, r < 0 ? strerror(-r) : NULL);
        _cleanup_(freep) char *undo = undo_approval(job->began_ns, path);
        report_action(sentry, job->finding, "approve", path, r >= 0, r >= 0, undo, NULL);
}

static int approve_path(const char *relative, void *userdata) {
        struct approve_job *job = userdata;
        struct baseline baseline = sentry_baseline(job->sentry);
        unsigned flags = BASELINE_FORCE | (job->tree->baseline.mirror ? BASELINE_KEEP : 0);
        _cleanup_(change_freep) struct change *change = NULL;
        if (baseline_examine(&baseline, &job->tree->baseline, relative, flags, &change) > 0)
                approve_node(job, job->tree, relative, &change->after, "approved");
        return 0;
}

/* What the finding recorded becomes approved: where it stands, or put back where it was undone. */
static int approve_recorded(int64_t id, const char *relative, const struct node *node, bool standing,
                            void *userdata) {
        (void)standing;
        struct approve_job *job = userdata;
        struct sentry *sentry = job->sentry;
        struct tree *tree = NULL;
        for (size_t i = 0; i < sentry->n_trees; i++)
                if (sentry->trees[i].id == id)
                        tree = &sentry->trees[i];
        if (!tree)
                return 0;
        struct baseline baseline = sentry_baseline(sentry);
        _cleanup_(change_freep) struct change *change = NULL;
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/%s", tree->config->path, relative) < 0)
                return -ENOMEM;
        int r = baseline_examine(&baseline, &tree->baseline, relative, BASELINE_FORCE, &change);
        if (r > 0 && node_compare(&change->after, node) == 0) {
                approve_node(job, tree, relative, &change->after, "approved");
                return 0;
        }
        if (r > 0) {
                approve_line(job, path, "changed", N_("something else stands there since"));
                return 0;
        }
        struct restore_context context = react_context(sentry, tree);
        context.durable = true;
        struct restore_request request = {.path = relative, .approved = node};
        struct restore_result result = {0};
        r = restore_with_parents(&context, sentry->catalog, tree->id, &request, &result);
        if (r == 0 && result.state != RESTORE_FAILED && result.verified)
                approve_node(job, tree, relative, &result.after, "restored");
        else
                approve_line(job, path, "failed", result.detail);
        restore_result_deinit(&result);
        return 0;
}

static void request_approve(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)client;
        struct approve_job job = {.sentry = sentry,
                                  .id = id,
                                  .began_ns = clock_wall_ns(&clock_system),
                                  .finding = json_get_string(request, "finding")};
        size_t i;
        json_t *value;
        if (job.finding) {
                observed_list(sentry->observed, job.finding, 0, approve_recorded, &job);
                held_resume(sentry, job.finding, NULL, NULL, NULL);
        }
        json_array_foreach (json_object_get(request, "paths"), i, value) {
                _cleanup_(freep) char *path = take_path(value);
                job.tree = path ? tree_of_path(sentry, path) : NULL;
                if (!job.tree) {
                        answer_end(sentry, id, 2, N_("the path is in no guarded tree"));
                        return;
                }
                const char *relative = tree_relative(job.tree, path);
                approve_path(relative, &job);
                tree_visit_below(sentry, job.tree, relative, approve_path, &job);
        }
        for (i = 0; i < sentry->n_trees; i++)
                if (job.rows[i])
                        catalog_end_release(sentry->catalog, job.rows[i], clock_wall_ns(&clock_system), NULL);
        bool is_nothing = !job.n_approved && !job.n_failed;
        answer_end(sentry, id, job.n_failed || is_nothing ? 1 : 0,
                   is_nothing ? N_("nothing to approve there") : NULL);
}

/* ---- releases ---- */

/* Releases that end with the connection that opened them. */
static struct {
        char uid[32];
        pid_t client;
} held_releases[RELEASES_MAX];

static void note_held(const char *uid, pid_t client) {
        for (size_t i = 0; i < ARRAY_SIZE(held_releases); i++) {
                if (*held_releases[i].uid)
                        continue;
                held_releases[i].client = client;
                snprintf(held_releases[i].uid, sizeof(held_releases[i].uid), "%s", uid);
                return;
        }
}

static json_t *release_trees(const struct sentry *sentry, const struct release *release) {
        json_t *trees = json_array();
        for (size_t i = 0; i < sentry->n_trees; i++)
                if (release_row(release, sentry->trees[i].id))
                        json_array_append_new(trees, json_bytes(sentry->trees[i].config->path));
        return trees;
}

static bool is_asked_for(const json_t *trees, const char *path) {
        size_t i;
        json_t *value;
        if (!json_array_size(trees))
                return true;
        json_array_foreach (trees, i, value) {
                _cleanup_(freep) char *asked = take_path(value);
                if (asked && !strcmp(asked, path))
                        return true;
        }
        return false;
}

static pid_t parent_of(struct sentry *sentry, pid_t pid) {
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(sentry->processes, pid);
        return actor && actor->n_processes > 1 ? actor->processes[1].pid : 0;
}

static pid_t holder_of(struct sentry *sentry, const char *holder, pid_t client) {
        if (!strcmp(holder, "client"))
                return client;
        if (!strcmp(holder, "parent"))
                return parent_of(sentry, client);
        char *end;
        long pid = strtol(holder, &end, 10);
        return *holder && !*end && pid > 1 && pid < INT32_MAX ? (pid_t)pid : 0;
}

static void request_release_begin(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        int64_t trees[RELEASE_TREES_MAX];
        struct release_request begin = {
                .name = json_get_string(request, "name"),
                .holder = holder_of(sentry, json_get_string(request, "holder"), client),
                .trees = trees,
        };
        for (size_t i = 0; i < sentry->n_trees && begin.n_trees < RELEASE_TREES_MAX; i++)
                if (is_asked_for(json_object_get(request, "trees"), sentry->trees[i].config->path))
                        trees[begin.n_trees++] = sentry->trees[i].id;
        const struct release *release = NULL;
        pthread_mutex_lock(&sentry->releases_lock);
        int r = begin.holder && begin.n_trees ? release_begin(sentry->releases, &begin, &release) : -EINVAL;
        pthread_mutex_unlock(&sentry->releases_lock);
        if (r < 0) {
                answer_end(sentry, id,
                           r == -EEXIST   ? 1
                           : r == -EINVAL ? 2
                                          : 3,
                           r == -EEXIST   ? N_("a release of that name is open")
                           : r == -EINVAL ? N_("no such tree, or nobody to hold the release")
                                          : N_("the release could not be opened"));
                return;
        }
        mailbox_want_exit(sentry->mailbox, release->holder);
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(sentry->processes, release->holder);
        const char *command = actor && actor->n_processes ? actor->processes[0].command_line : NULL;
        answer_line(sentry, id,
                    json_pack("{s:{s:s,s:o,s:o,s:o,s:{s:i,s:o}}}", "release", "uid", release->uid, "name",
                              json_bytes(release->name), "trees", release_trees(sentry, release), "begin",
                              json_time(release->begin_ns), "holder", "pid", (int)release->holder,
                              "command_line", json_bytes(command)));
        outbox_append(sentry,
                      json_pack("{s:s,s:{s:s,s:s,s:o,s:o}}", "kind", "release", "release", "uid",
                                release->uid, "kind", "hand", "name", json_bytes(release->name), "trees",
                                release_trees(sentry, release)),
                      NULL, NULL);
        if (json_is_true(json_object_get(request, "held")))
                note_held(release->uid, client);
        answer_end(sentry, id, 0, NULL);
}

struct release_sum {
        struct sentry *sentry;
        json_t *json;
        uint64_t n_added, n_changed, n_removed, n_foreign;
};

static void sum_release(const struct release *release, const struct catalog_release *row, void *userdata) {
        struct release_sum *sum = userdata;
        sum->n_added += row->n_added;
        sum->n_changed += row->n_changed;
        sum->n_removed += row->n_removed;
        int64_t foreign =
                observed_count_between(sum->sentry->observed, row->tree, row->begin_ns, row->end_ns);
        sum->n_foreign += foreign > 0 ? (uint64_t)foreign : 0;
        if (!sum->json)
                sum->json =
                        json_pack("{s:s,s:o,s:s,s:o,s:o,s:o,s:b}", "uid", release->uid, "name",
                                  json_bytes(release->name), "kind", "hand", "trees",
                                  release_trees(sum->sentry, release), "begin", json_time(release->begin_ns),
                                  "end", json_time(row->end_ns), "abandoned", release->abandoned);
}

static void finish_sum(struct release_sum *sum) {
        json_object_set_new(sum->json, "n_added", json_integer((json_int_t)sum->n_added));
        json_object_set_new(sum->json, "n_changed", json_integer((json_int_t)sum->n_changed));
        json_object_set_new(sum->json, "n_removed", json_integer((json_int_t)sum->n_removed));
        json_object_set_new(sum->json, "n_foreign", json_integer((json_int_t)sum->n_foreign));
}

struct release_end_job {
        struct sentry *sentry;
        uint64_t id;
        json_t *release;
};

static void release_recorded(uint64_t index, void *userdata) {
        struct release_end_job *job = userdata;
        json_object_set_new(job->release, "sequence", json_integer((json_int_t)index));
        answer_line(job->sentry, job->id, json_pack("{s:o}", "release", job->release));
        answer_end(job->sentry, job->id, 0, NULL);
        free(job);
}

static void request_release_end(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)client;
        struct release_sum sum = {.sentry = sentry};
        const char *name = json_get_string(request, "name");
        pthread_mutex_lock(&sentry->releases_lock);
        const struct release *only = releases_get(sentry->releases, 0);
        bool is_ambiguous = !name && (!only || releases_get(sentry->releases, 1));
        int r = is_ambiguous ? -EINVAL : release_end(sentry->releases, name ?: only->uid, sum_release, &sum);
        pthread_mutex_unlock(&sentry->releases_lock);
        struct release_end_job *job = r < 0 || !sum.json ? NULL : calloc(1, sizeof(*job));
        if (!job) {
                json_decref(sum.json);
                answer_end(sentry, id,
                           r == -ENOENT   ? 1
                           : r == -EINVAL ? 2
                                          : 3,
                           r == -ENOENT   ? N_("no release of that name is open")
                           : r == -EINVAL ? N_("no release is open, or several: name one")
                                          : N_("the release could not be ended"));
                return;
        }
        finish_sum(&sum);
        if (json_is_integer(json_object_get(request, "command_status")))
                json_object_set(sum.json, "command_status", json_object_get(request, "command_status"));
        *job = (struct release_end_job){sentry, id, sum.json};
        outbox_append(sentry, json_pack("{s:s,s:o}", "kind", "release", "release", json_deep_copy(sum.json)),
                      release_recorded, job);
}

static void note_ended(const struct release *release, const struct catalog_release *row, void *userdata) {
        struct release_sum sum = {.sentry = userdata};
        sum_release(release, row, &sum);
        if (!sum.json)
                return;
        finish_sum(&sum);
        outbox_append(userdata, json_pack("{s:s,s:o}", "kind", "release", "release", sum.json), NULL, NULL);
}

void releases_tick(struct sentry *sentry) {
        pthread_mutex_lock(&sentry->releases_lock);
        releases_expire(sentry->releases, note_ended, sentry);
        pthread_mutex_unlock(&sentry->releases_lock);
}

struct list_job {
        struct sentry *sentry;
        uint64_t id;
};

/* ---- the rest ---- */

static void say_line(struct sentry *sentry, json_t *line, void *userdata) {
        const struct list_job *job = userdata;
        answer_line(sentry, job->id, line);
}

static void end_held(struct sentry *sentry, uint64_t id, size_t n, size_t n_failed) {
        answer_end(sentry, id, n && !n_failed ? 0 : 1, n ? NULL : N_("nothing is held"));
}

static void request_held(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)request, (void)client;
        size_t i;
        json_t *held;
        json_auto_t *list = held_describe(sentry);
        json_array_foreach (list, i, held)
                answer_line(sentry, id, json_incref(held));
        answer_end(sentry, id, 0, NULL);
}

static void request_resume(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        struct list_job job = {sentry, id};
        const char *name = json_get_string(request, "id");
        json_int_t trust_ms = json_get_integer(request, "trust", 0);
        if (trust_ms) {
                struct trust_wish wish = {.time_ns = trust_time_ns(trust_ms), .client = client};
                const char *error = held_trust(sentry, name, &wish, say_line, &job);
                if (error) {
                        answer_end(sentry, id, 1, error);
                        return;
                }
        }
        size_t n_failed, n = held_resume(sentry, name, say_line, &job, &n_failed);
        end_held(sentry, id, n, n_failed);
}

static void request_kill(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)client;
        struct list_job job = {sentry, id};
        size_t n_failed,
                n = held_kill(sentry, json_get_string(request, "id") ?: "", say_line, &job, &n_failed);
        end_held(sentry, id, n, n_failed);
}

static void request_state(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)request, (void)client;
        answer_line(sentry, id, state_describe(sentry));
}

void requests_ask(struct sentry *sentry, const json_t *message) {
        static const struct {
                const char *name;
                void (*handle)(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client);
        } requests[] = {
                {"status", request_state},
                {"doctor", request_state},
                {"diff", request_diff},
                {"restore", request_restore},
                {"approve", request_approve},
                {"release-begin", request_release_begin},
                {"release-end", request_release_end},
                {"held", request_held},
                {"resume", request_resume},
                {"kill", request_kill},
                {"trust-add", trust_request_add},
                {"trusts", trust_request_list},
                {"trust-revoke", trust_request_revoke},
        };
        uint64_t id = (uint64_t)json_get_integer(message, "id", 0);
        const json_t *request = json_object_get(message, "request");
        const char *name = json_get_string(request, "request");
        sentry_drain(sentry);
        for (size_t i = 0; name && i < ARRAY_SIZE(requests); i++)
                if (!strcmp(requests[i].name, name)) {
                        requests[i].handle(sentry, id, request, (pid_t)json_get_integer(message, "pid", 0));
                        return;
                }
        answer_end(sentry, id, 2, N_("unknown request"));
}

void requests_hangup(struct sentry *sentry, pid_t client) {
        sentry_drain(sentry);
        for (size_t i = 0; i < ARRAY_SIZE(held_releases); i++) {
                if (!*held_releases[i].uid || held_releases[i].client != client)
                        continue;
                pthread_mutex_lock(&sentry->releases_lock);
                release_end(sentry->releases, held_releases[i].uid, note_ended, sentry);
                pthread_mutex_unlock(&sentry->releases_lock);
                *held_releases[i].uid = '\0';
        }
}
