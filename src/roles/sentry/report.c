/*
 * Findings: changes that belong together become one, with as many files as it takes.
 *
 * The first change of a finding goes to the ledger at once; what follows by the same process (or
 * its siblings under one parent that is no server) within the window goes as updates, gathered while the
 * ledger is busy with what went before, at most GATHER_MS. Critical changes are kept apart from the rest, so that a web
 * shell among a thousand copied files has a headline of its own. Bounded: GROUPS_MAX open findings,
 * the least recently touched is closed first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "event/finding.h"
#include "event/json.h"
#include "ledger/ledger.h"
#include "roles/sentry/sentry.h"

#define GROUPS_MAX       64
#define GATHER_MS        40
#define GATHER_BYTES_MAX 40000
#define GROUP_LIFE_NS    (60 * NS_PER_S)
#define ENTRY_BYTES_MAX  (LEDGER_ENTRY_BYTES_MAX - 2048)
#define DIFF_BYTES_CUT   6000

enum group_kind {
        GROUP_CHANGE,
        GROUP_REFUSED,
        GROUP_EXEC,
};

struct group {
        char uid[32];
        const struct tree *tree;
        enum group_kind kind;
        bool is_critical;
        struct actor *actor;  /* of its first change; NULL: unknown */
        struct actor *latest; /* of its latest, and how that is written */
        json_t *latest_json;
        bool is_web;
        uint64_t begin_ns, last_ns; /* monotonic */
        json_t *update;             /* gathered and not sent; NULL: nothing */
        size_t update_bytes;
        enum severity severity;
        const char *title; /* of the gravest change so far; static */
};

struct reports {
        struct group groups[GROUPS_MAX];
        sd_event_source *timer;
};

static void group_close(struct sentry *sentry, struct group *group);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        reports_flush(userdata);
        return 0;
}

int reports_new(struct sentry *sentry, struct reports **ret_reports) {
        struct reports *reports = calloc(1, sizeof(*reports));
        if (!reports)
                return -ENOMEM;
        int r = sd_event_add_time(sentry->event, &reports->timer, CLOCK_MONOTONIC, 0, 0, on_timer, sentry);
        if (r < 0) {
                free(reports);
                return r;
        }
        sd_event_source_set_enabled(reports->timer, SD_EVENT_OFF);
        *ret_reports = reports;
        return 0;
}

static void group_deinit(struct group *group) {
        actor_free(group->actor);
        actor_free(group->latest);
        json_decref(group->latest_json);
        *group = (struct group){0};
}

struct reports *reports_free(struct reports *reports) {
        if (!reports)
                return NULL;
        for (size_t i = 0; i < GROUPS_MAX; i++) {
                json_decref(reports->groups[i].update);
                group_deinit(&reports->groups[i]);
        }
        sd_event_source_disable_unref(reports->timer);
        free(reports);
        return NULL;
}

/* An entry that would not fit gives up its diffs: they are shown by `hinomi diff` from the vault. */
static void cut_diffs(json_t *finding) {
        size_t i;
        json_t *evidence;
        json_array_foreach (json_object_get(finding, "evidences"), i, evidence) {
                json_t *data = json_object_get(evidence, "data");
                const char *diff = json_get_string(data, "diff");
                if (!diff || strlen(diff) <= DIFF_BYTES_CUT)
                        continue;
                size_t size = DIFF_BYTES_CUT;
                while (size > 0 && (diff[size] & 0xc0) == 0x80)
                        size--;
                json_object_set_new(data, "diff", json_stringn(diff, size));
                json_object_set_new(data, "diff_truncated", json_true());
        }
}

/* What the entry reports is noted as reported when the ledger has it. */
static int send_finding(struct sentry *sentry, json_t *finding) {
        void *notes = notes_take(sentry, finding_uid(finding));
        if (json_dumpb(finding, NULL, 0, JSON_COMPACT) > ENTRY_BYTES_MAX)
                cut_diffs(finding);
        int r = outbox_append(sentry, json_pack("{s:s,s:o}", "kind", "finding", "finding", finding),
                              notes ? notes_settled : NULL, notes);
        if (r < 0)
                notes_lost(notes);
        return r;
}

static void group_flush(struct sentry *sentry, struct group *group) {
        if (group->update)
                send_finding(sentry, STEAL(group->update));
        group->update_bytes = 0;
}

static void group_close(struct sentry *sentry, struct group *group) {
        group_flush(sentry, group);
        group_deinit(group);
}

void reports_flush(struct sentry *sentry) {
        for (size_t i = 0; i < GROUPS_MAX; i++)
                group_flush(sentry, &sentry->reports->groups[i]);
}

static bool same_process(const struct process *a, const struct process *b) {
        return a->pid == b->pid && a->start_ns == b->start_ns;
}

/* Written by one hand: the same process, parent and child, or children of one parent that is no server and not init. */
static bool same_hand(const struct group *group, const struct actor *actor, bool is_web) {
        const struct actor *known = group->actor;
        if (!known || !actor || !known->n_processes || !actor->n_processes)
                return (!known || !known->n_processes) && (!actor || !actor->n_processes);
        if (same_process(&known->processes[0], &actor->processes[0]))
                return true;
        if (is_web != group->is_web)
                return false;
        for (size_t i = 1; i < actor->n_processes && !is_web && actor->processes[i].pid != 1; i++)
                if (same_process(&actor->processes[i], &known->processes[0]))
                        return true;
        return known->n_processes > 1 && actor->n_processes > 1 && !is_web && known->processes[1].pid != 1 &&
               (same_process(&known->processes[1], &actor->processes[1]) ||
                same_process(&known->processes[1], &actor->processes[0]));
}

/* A web server's tools (php-fpm → sh → curl): below the same worker. */
static bool same_worker(const struct group *group, const struct actor *actor) {
        if (!group->actor || !actor)
                return false;
        for (size_t i = 0; i < actor->n_processes; i++)
                if (same_process(&actor->processes[i], &group->actor->processes[0]))
                        return true;
        return group->actor->n_processes > 1 && actor->n_processes > 1 &&
               same_process(&group->actor->processes[1], &actor->processes[1]);
}

static struct group *group_find(struct sentry *sentry, const struct group *like, const struct actor *actor,
                                uint64_t now_ns) {
        uint64_t window_ns = sentry->config->options.finding_group_window_ns;
        for (size_t i = 0; i < GROUPS_MAX; i++) {
                struct group *group = &sentry->reports->groups[i];
                if (!*group->uid || group->tree != like->tree || group->kind != like->kind ||
                    group->is_critical != like->is_critical || now_ns - group->last_ns > window_ns ||
                    now_ns - group->begin_ns > GROUP_LIFE_NS)
                        continue;
                if (same_hand(group, actor, like->is_web) ||
                    (like->kind == GROUP_EXEC && same_worker(group, actor)))
                        return group;
        }
        return NULL;
}

static struct group *group_open(struct sentry *sentry, const struct group *like, const struct actor *actor,
                                const char *title) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        struct group *oldest = &sentry->reports->groups[0];
        for (size_t i = 0; i < GROUPS_MAX && *oldest->uid; i++)
                if (!*sentry->reports->groups[i].uid || sentry->reports->groups[i].last_ns < oldest->last_ns)
                        oldest = &sentry->reports->groups[i];
        group_close(sentry, oldest);
        *oldest = *like;
        finding_uid_make(clock_wall_ns(&clock_system), oldest->uid);
        oldest->actor = actor ? actor_copy(actor) : NULL;
        oldest->begin_ns = now_ns;
        oldest->title = title;
        return oldest;
}

static json_t *finding_for(struct group *group, const struct verdict *verdict, bool is_update) {
        json_t *finding =
                finding_new(group->uid, verdict->title, verdict->severity, clock_wall_ns(&clock_system));
        if (!finding)
                return NULL;
        if (is_update) {
                json_object_set_new(finding, "activity_id", json_integer(2));
                json_object_set_new(finding, "type_uid", json_integer(200402));
                if (verdict->severity > group->severity)
                        group->title = verdict->title;
                json_object_set_new(json_object_get(finding, "finding_info"), "title",
                                    json_string(group->title));
        }
        if (group->tree)
                json_object_set_new(json_object_get(finding, "unmapped"), "tree",
                                    json_bytes(group->tree->config->path));
        return finding;
}

static void add_verdict(json_t *finding, const struct verdict *verdict) {
        size_t i;
        json_t *value;
        json_array_foreach (verdict->types, i, value)
                finding_add_type(finding, json_string_value(value));
        json_array_foreach (verdict->techniques, i, value)
                finding_add_technique(finding, json_string_value(value));
        finding_raise(finding, verdict->severity);
}

static size_t last_evidence_bytes(const json_t *finding) {
        const json_t *evidences = json_object_get(finding, "evidences");
        size_t n = json_array_size(evidences);
        return n ? json_dumpb(json_array_get(evidences, n - 1), NULL, 0, JSON_COMPACT) : 0;
}

typedef int (*add_evidence)(json_t *finding, const void *what);

/* The first goes at once, the rest gathers. */
static int group_add(struct sentry *sentry, struct group *group, const struct verdict *verdict,
                     add_evidence add, const void *what) {
        bool is_first = group->last_ns == 0;
        json_t *finding = is_first ? NULL : group->update;
        if (!finding && !(finding = finding_for(group, verdict, !is_first)))
                return -ENOMEM;
        add_verdict(finding, verdict);
        int r = add(finding, what);
        if (verdict->severity > group->severity)
                group->severity = verdict->severity;
        group->last_ns = clock_monotonic_ns(&clock_system);
        if (is_first)
                return r < 0 ? r : send_finding(sentry, finding);

        group->update = finding;
        group->update_bytes += last_evidence_bytes(finding);
        if (group->update_bytes > GATHER_BYTES_MAX || !outbox_count(sentry->outbox))
                group_flush(sentry, group);
        int enabled = SD_EVENT_OFF;
        sd_event_source_get_enabled(sentry->reports->timer, &enabled);
        if (enabled == SD_EVENT_OFF) {
                sd_event_source_set_time_relative(sentry->reports->timer, GATHER_MS * 1000);
                sd_event_source_set_enabled(sentry->reports->timer, SD_EVENT_ONESHOT);
        }
        return r;
}

/* The same hand does many things: it is written down once. Borrowed; NULL: unknown. */
static json_t *group_encode(struct group *group, const struct actor *actor) {
        if (!actor || !actor->n_processes)
                return NULL;
        if (!group->latest || !actor_equal(group->latest, actor)) {
                actor_free(group->latest);
                json_decref(group->latest_json);
                group->latest = actor_copy(actor);
                group->latest_json = actor_encode(actor);
        }
        return group->latest_json;
}

struct change_evidence {
        const struct change *change;
        json_t *actor, *reasons;
        const char *diff;
};

static int add_change(json_t *finding, const void *what) {
        const struct change_evidence *evidence = what;
        return finding_add_change(finding, evidence->change, evidence->actor, evidence->reasons,
                                  evidence->diff);
}

int report_change(struct sentry *sentry, const struct tree *tree, const struct change *change,
                  const struct verdict *verdict, const char *diff, char ret_uid[static 32]) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        struct group like = {
                .tree = tree,
                .kind = change->how == CHANGE_REFUSED ? GROUP_REFUSED : GROUP_CHANGE,
                .is_critical = verdict->severity >= SEVERITY_CRITICAL,
                .is_web = change->actor && actor_is_web(change->actor),
        };
        struct group *group = group_find(sentry, &like, change->actor, now_ns);
        if (!group)
                group = group_open(sentry, &like, change->actor, verdict->title);
        memcpy(ret_uid, group->uid, sizeof(group->uid));
        if (change->how == CHANGE_SEEN || change->how == CHANGE_FOUND)
                notes_add(sentry, tree, change, group->uid);
        else
                notes_add_ticket(sentry, change->ticket, group->uid);
        struct change_evidence evidence = {change, group_encode(group, change->actor), verdict->reasons,
                                           diff};
        return group_add(sentry, group, verdict, add_change, &evidence);
}

struct exec_evidence {
        const struct actor *actor;
        const json_t *reasons;
};

static int add_exec(json_t *finding, const void *what) {
        const struct exec_evidence *evidence = what;
        json_t *object = actor_encode(evidence->actor);
        const struct process *process = &evidence->actor->processes[0];
        return json_array_append_new(json_object_get(finding, "evidences"),
                                     json_pack("{s:{s:o,s:s},s:o,s:{s:s,s:O?,s:o}}", "file", "path",
                                               json_bytes(process->executable ?: ""), "type", "Regular File",
                                               "actor", object, "data", "kind", "executed", "reasons",
                                               evidence->reasons, "time",
                                               json_time(clock_wall_ns(&clock_system))));
}

int report_exec(struct sentry *sentry, const struct actor *actor, const struct verdict *verdict,
                uint32_t ticket) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        struct group like = {
                .kind = GROUP_EXEC, .is_critical = verdict->severity >= SEVERITY_CRITICAL, .is_web = true};
        struct group *group = group_find(sentry, &like, actor, now_ns);
        if (!group)
                group = group_open(sentry, &like, actor, verdict->title);
        notes_add_ticket(sentry, ticket, group->uid);
        struct exec_evidence evidence = {actor, verdict->reasons};
        return group_add(sentry, group, verdict, add_exec, &evidence);
}

int report_state(struct sentry *sentry, const char *title, const char *type, enum severity severity,
                 const char *path, const char *detail) {
        char uid[32];
        finding_uid_make(clock_wall_ns(&clock_system), uid);
        json_t *finding = finding_new(uid, title, severity, clock_wall_ns(&clock_system));
        if (!finding)
                return -ENOMEM;
        finding_add_type(finding, type);
        json_t *data = json_pack("{s:s}", "kind", "state");
        if (detail)
                json_object_set_new(data, "reasons", json_pack("[o]", json_bytes(detail)));
        json_t *evidence = json_pack("{s:o}", "data", data);
        if (path) {
                json_object_set_new(evidence, "file", json_pack("{s:o}", "path", json_bytes(path)));
                json_object_set_new(json_object_get(finding, "unmapped"), "tree", json_bytes(path));
        }
        json_array_append_new(json_object_get(finding, "evidences"), evidence);
        return send_finding(sentry, finding);
}

int report_action(struct sentry *sentry, const char *finding, const char *name, const char *path, bool done,
                  bool verified, const char *undo, const char *detail) {
        char uid[32];
        finding_uid_make(clock_wall_ns(&clock_system), uid);
        json_t *action =
                json_pack("{s:s,s:s,s:{s:o},s:s,s:b,s:o,s:o}", "uid", uid, "name", name, "file", "path",
                          json_bytes(path ?: ""), "result", done ? "done" : "failed", "verified", verified,
                          "undo", json_bytes(undo), "detail", json_bytes(detail));
        if (!action)
                return -ENOMEM;
        if (finding)
                json_object_set_new(action, "finding_uid", json_string(finding));
        reports_flush(sentry);
        return outbox_append(sentry, json_pack("{s:s,s:o}", "kind", "action", "action", action), NULL, NULL);
}
