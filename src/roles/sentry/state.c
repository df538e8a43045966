/*
 * The sentry's part of status and doctor: what is promised for each tree, whether it is in force
 * just now, and why not. Nothing is said from memory that can be looked up.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/i18n.h"
#include "event/json.h"
#include "roles/sentry/sentry.h"
#include "roles/sentry/shield.h"

#define CLOCK_STEP_NS (2 * NS_PER_S)

struct checks {
        json_t *list;
};

static void check(struct checks *checks, const char *name, const char *state, const char *subject,
                  const char *title, const char *fix) {
        json_t *object = json_pack("{s:s,s:s,s:s}", "check", name, "state", state, "title", title);
        if (subject)
                json_object_set_new(object, "subject", json_bytes(subject));
        if (fix)
                json_object_set_new(object, "fix", json_string(fix));
        json_array_append_new(checks->list, object);
}

static bool kernel_is_at_least(int major, int minor) {
        struct utsname name;
        int a = 0, b = 0;
        return uname(&name) == 0 && sscanf(name.release, "%d.%d", &a, &b) == 2 &&
               (a > major || (a == major && b >= minor));
}

static void check_kernel(struct sentry *sentry, struct checks *checks) {
        if (!kernel_is_at_least(5, 10))
                check(checks, "kernel.version", "fail", NULL,
                      N_("the kernel is older than 5.10: changes may be missed"), N_("boot a newer kernel"));
        else if (!kernel_is_at_least(5, 17))
                check(checks, "kernel.version", "warn", NULL,
                      N_("the kernel is older than 5.17: renames are seen as two events"), NULL);
        else
                check(checks, "kernel.version", "ok", NULL, N_("the kernel reports changes with names"),
                      NULL);
        struct process_counters counters;
        process_table_counters(sentry->processes, &counters);
        if (sentry->context->connector_fd < 0)
                check(checks, "processes.connector", "fail", NULL,
                      N_("process events are not available: who made a change may be missed"),
                      N_("run as root in the host's network namespace, with CONFIG_PROC_EVENTS"));
        else if (counters.n_lost)
                check(checks, "processes.connector", "warn", NULL,
                      N_("the kernel lost process events; the table was read anew"), NULL);
        else
                check(checks, "processes.connector", "ok", NULL, N_("process events arrive"), NULL);
}

static bool tree_in_force(struct sentry *sentry, struct tree *tree) {
        if (!tree->is_armed)
                return false;
        if (watch_is_armed(sentry->watch, tree->index) != 1) {
                tree->reason = N_("the mark is missing");
                return false;
        }
        if (config_tree_is_gated(tree->config) &&
            (!sentry->gate || gate_is_armed(sentry->gate, tree->index) != 1)) {
                tree->reason = N_("the permission mark is missing");
                return false;
        }
        struct stat now, then;
        if (stat(tree->config->path, &now) < 0 || fstat(tree->fd, &then) < 0 || now.st_ino != then.st_ino ||
            now.st_dev != then.st_dev) {
                tree->reason = N_("the directory was replaced");
                return false;
        }
        return true;
}

/* What a shield guarantees just now. */
static void check_shield(struct sentry *sentry, const struct tree *tree, struct checks *checks) {
        const char *path = tree->config->path;
        struct store_usage usage = {0};
        struct shield_counters counters;
        shield_counters(sentry->shield, &counters);
        if (counters.n_refused || counters.n_accepted)
                check(checks, "tree.shield_late", "warn", path,
                      N_("some opens for writing were let through or denied because a content could not be "
                         "kept "
                         "in time"),
                      N_("raise vault.budget or free disk space"));
        bool is_full = store_usage(sentry->store, &usage) < 0 || usage.full || tree->n_unkept;
        if (is_full)
                check(checks, "tree.shield", "fail", path,
                      N_("not every content is kept: what is not in the vault may be lost"),
                      N_("raise vault.budget or free disk space"));
        else if (!tree->is_compared)
                check(checks, "tree.shield", "warn", path, N_("the first copy is not complete yet"),
                      N_("ask again in a moment"));
        else if (!sentry->gate || gate_is_armed(sentry->gate, tree->index) != 1)
                check(checks, "tree.shield", "fail", path,
                      N_("the permission mark is missing: only content that stood still for a moment is "
                         "kept"),
                      N_("see that the kernel has CONFIG_FANOTIFY_ACCESS_PERMISSIONS; hinomi tries again "
                         "every "
                         "few seconds"));
        else
                check(checks, "tree.shield", "ok", path,
                      N_("every content is kept before it can be overwritten"), NULL);
}

static void check_tree(struct sentry *sentry, struct tree *tree, struct checks *checks) {
        const char *path = tree->config->path;
        if (!tree_in_force(sentry, tree))
                check(checks, "tree.armed", "fail", path, tree->reason ?: N_("the tree is not guarded"),
                      N_("see that the directory stands on a local file system; hinomi tries again every few "
                         "seconds"));
        else
                check(checks, "tree.armed", "ok", path, N_("every change is seen"), NULL);
        if (tree->config->respond == RESPOND_REFUSE)
                check(checks, "tree.respond", "ok", path,
                      N_("opens for writing are refused before they happen; renames, removals and attributes "
                         "are undone at once"),
                      NULL);
        else if (tree->config->respond == RESPOND_RESTORE)
                check(checks, "tree.respond", "ok", path, N_("approved content is put back at once"), NULL);
        if (tree->config->protect == PROTECT_SHIELD)
                check_shield(sentry, tree, checks);
        if (tree->is_armed && !tree->is_compared)
                check(checks, "tree.compared", "warn", path,
                      N_("what changed while hinomi was down is still being looked for"),
                      N_("ask again in a moment"));
        if (tree->is_behind)
                check(checks, "tree.behind", "fail", path,
                      N_("something could not be looked at; it is tried again"),
                      N_("see the disk that holds the state directory"));
        if (observed_count(sentry->observed, tree->id) > 0)
                check(checks, "tree.unapproved", "warn", path, N_("something unapproved stands there"),
                      N_("`hinomi diff` shows it; `hinomi restore` or `hinomi approve` settles it"));
}

static uint64_t count_unkept(const struct sentry *sentry) {
        uint64_t n = 0;
        for (size_t i = 0; i < sentry->n_trees; i++)
                n += sentry->trees[i].n_unkept;
        return n;
}

static void check_kept(struct sentry *sentry, struct checks *checks) {
        bool shortened = keep_is_shortened(sentry);
        if (shortened)
                check(checks, "vault.history", "warn", NULL,
                      N_("past approved states made room before vault.retention was over"),
                      N_("`hinomi status` says since when they are complete; raise vault.budget to keep "
                         "more"));
        else
                check(checks, "vault.history", "ok", NULL,
                      N_("past approved states are kept as long as vault.retention says"), NULL);
        if (sentry->keeping.n_given_up)
                check(checks, "vault.evidence", "warn", NULL,
                      N_("evidence of findings made room before vault.retention was over: the ledger says "
                         "when"),
                      N_("see who makes so many unapproved files; raise vault.budget or "
                         "vault.evidence_percent "
                         "to keep more"));
}

static void check_vault(struct sentry *sentry, struct checks *checks) {
        struct store_usage usage;
        if (store_usage(sentry->store, &usage) < 0)
                check(checks, "vault.usable", "fail", NULL, N_("the vault cannot be read"),
                      N_("see the disk and the file system"));
        else if (usage.full || count_unkept(sentry))
                check(checks, "vault.room", "fail", NULL, N_("the vault is full: new content is not kept"),
                      N_("raise vault.budget or free disk space"));
        else
                check(checks, "vault.room", "ok", NULL, N_("the vault has room"), NULL);
        check_kept(sentry, checks);
}

static void check_clock(struct sentry *sentry, struct checks *checks) {
        if (sentry->clock_stepped)
                check(checks, "clock.steady", "warn", NULL,
                      N_("the clock was set while hinomi ran: see the ledger for when"),
                      N_("see the time service"));
        else
                check(checks, "clock.steady", "ok", NULL, N_("the clock runs steadily"), NULL);
}

/* Wall clock against the monotonic one: a step of two seconds or more is recorded. */
static void look_at_clock(struct sentry *sentry) {
        uint64_t wall = clock_wall_ns(&clock_system), monotonic = clock_monotonic_ns(&clock_system);
        int64_t drift =
                (int64_t)(wall - sentry->clock_wall_ns) - (int64_t)(monotonic - sentry->clock_monotonic_ns);
        if (sentry->clock_wall_ns && (drift > (int64_t)CLOCK_STEP_NS || drift < -(int64_t)CLOCK_STEP_NS)) {
                sentry->clock_stepped = true;
                char detail[64];
                snprintf(detail, sizeof(detail), "%+lld s", (long long)(drift / (int64_t)NS_PER_S));
                report_state(sentry, N_("The clock was set"), "clock_stepped", SEVERITY_MEDIUM, NULL, detail);
        }
        sentry->clock_wall_ns = wall;
        sentry->clock_monotonic_ns = monotonic;
}

static json_t *describe_tree(struct sentry *sentry, struct tree *tree) {
        bool in_force = tree_in_force(sentry, tree);
        json_t *object = json_pack(
                "{s:o,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:o}", "path", json_bytes(tree->config->path), "protect",
                protect_name(tree->config->protect), "profile", tree->config->profile, "respond",
                respond_name(tree->config->respond), "state", in_force ? "armed" : "missing", "n_files",
                (json_int_t)tree->n_files, "n_bytes", (json_int_t)tree->n_bytes, "unapproved",
                (json_int_t)observed_count(sentry->observed, tree->id), "swept", json_time(tree->swept_ns));
        if (!in_force && tree->reason)
                json_object_set_new(object, "reason", json_string(tree->reason));
        const struct release *release;
        for (size_t i = 0; (release = releases_get(sentry->releases, i)); i++)
                if (release_row(release, tree->id))
                        json_object_set_new(object, "release", json_bytes(release->name));
        return object;
}

static json_t *describe_vault(struct sentry *sentry) {
        struct store_usage usage = {0};
        store_usage(sentry->store, &usage);
        return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:b}", "n_objects", (json_int_t)usage.n_objects,
                         "stored_bytes", (json_int_t)usage.stored_bytes, "raw_bytes",
                         (json_int_t)usage.raw_bytes, "budget_bytes", (json_int_t)usage.budget_bytes,
                         "free_bytes", (json_int_t)usage.free_bytes, "evidence_bytes",
                         (json_int_t)sentry->keeping.evidence_bytes, "complete_since",
                         json_time(keep_complete_since(sentry)), "full", usage.full || count_unkept(sentry));
}

static json_t *describe_dropped(struct sentry *sentry) {
        struct watch_counters files;
        struct process_counters processes;
        watch_counters(sentry->watch, &files);
        process_table_counters(sentry->processes, &processes);
        return json_pack("{s:I,s:I,s:I,s:I,s:I}", "file_events_overflowed", (json_int_t)files.n_overflows,
                         "file_events_unresolved", (json_int_t)files.n_unresolved, "process_events_lost",
                         (json_int_t)processes.n_lost, "content_not_kept", (json_int_t)count_unkept(sentry),
                         "ledger_entries_refused", (json_int_t)outbox_refused(sentry->outbox));
}

json_t *state_describe(struct sentry *sentry) {
        look_at_clock(sentry);
        struct checks checks = {json_array()};
        check_kernel(sentry, &checks);
        json_t *trees = json_array();
        for (size_t i = 0; i < sentry->n_trees; i++) {
                check_tree(sentry, &sentry->trees[i], &checks);
                json_array_append_new(trees, describe_tree(sentry, &sentry->trees[i]));
        }
        check_vault(sentry, &checks);
        check_clock(sentry, &checks);
        return json_pack("{s:b,s:o,s:o,s:o,s:o,s:o,s:I,s:I}", "watching", sentry->is_armed, "trees", trees,
                         "vault", describe_vault(sentry), "held", held_describe(sentry), "dropped",
                         describe_dropped(sentry), "checks", checks.list, "n_restored",
                         (json_int_t)sentry->n_restored, "n_refused", (json_int_t)sentry->n_refused);
}

/* Every few seconds: a tree that was not there may be now; one whose mark or directory went is armed anew. */
void state_tick(struct sentry *sentry) {
        look_at_clock(sentry);
        releases_tick(sentry);
        trust_tick(sentry);
        packages_tick(sentry);
        shield_settle(sentry);
        keep_tick(sentry);
        for (size_t i = 0; i < sentry->n_trees; i++) {
                struct tree *tree = &sentry->trees[i];
                bool was_armed = tree->is_armed;
                if (tree_in_force(sentry, tree))
                        continue;
                if (was_armed)
                        report_state(sentry, N_("A guarded tree is no longer guarded"), "guard_missing",
                                     SEVERITY_HIGH, tree->config->path, tree->reason);
                tree->is_armed = false;
                watch_remove_tree(sentry->watch, tree->index);
                tree_start(sentry, tree);
        }
        struct watch_counters counters;
        watch_counters(sentry->watch, &counters);
        bool too_long = counters.n_too_long != sentry->n_too_long;
        sentry->n_too_long = counters.n_too_long;
        uint64_t now = clock_wall_ns(&clock_system), interval = sentry->config->options.sweep_interval_ns;
        for (size_t i = 0; i < sentry->n_trees; i++)
                if (sentry->trees[i].is_armed && sentry->trees[i].is_compared &&
                    (too_long || sentry->trees[i].is_behind || now - sentry->trees[i].swept_ns > interval))
                        tree_sweep(sentry, &sentry->trees[i]);
}
