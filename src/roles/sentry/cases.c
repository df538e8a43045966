#include "roles/sentry/cases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/procfs.h"
#include "detect/ransom/lineage.h"
#include "respond/hold/hold.h"
#include "respond/hold/spare.h"
#include "respond/stop.h"
#include "roles/sentry/sentry.h"
#include "roles/sentry/shield.h"

#include <uthash.h>

#define FORGET_NS (3600 * NS_PER_S) /* a file touched so long ago by whom nothing is said */
#define GONE_MAX  1024

/* One path, since the lineage first touched it. */
struct touched {
        struct node before; /* as it was then */
        struct node after;  /* as the lineage left it */
        uint64_t first_ns;  /* monotonic */
        bool is_shared;     /* another hand was at it afterwards */
        UT_hash_handle hh;
        char relative[];
};

struct lineage {
        pid_t pid; /* of the root */
        uint64_t start_ns;
        uid_t uid;
        struct tree *tree;
        uint64_t id;
        uint64_t used_ns;
        bool is_convicted;
        bool is_stopped; /* in this round */
        bool is_ended;   /* nobody of it is left to do more */
        struct actor *actor;
        struct touched *files; /* in order of the first touch */
        struct ransom_case ransom;
};

/* A name that went, until this round of the loop is over: it may have been given to what stands elsewhere now. */
struct gone {
        uint64_t lineage;
        struct change *change;
};

struct cases {
        struct gone gone[GONE_MAX];
        size_t n_gone;
        struct lineage *lineages[CASES_MAX];
        uint64_t next_id;
        sd_event_source *undo, *round; /* the next round of the loop */
};

static void touched_free(struct lineage *lineage, struct touched *file) {
        HASH_DEL(lineage->files, file);
        node_deinit(&file->before);
        node_deinit(&file->after);
        free(file);
}

static void lineage_free(struct lineage *lineage) {
        struct touched *file, *next;
        HASH_ITER (hh, lineage->files, file, next)
                touched_free(lineage, file);
        actor_free(lineage->actor);
        free(lineage);
}

struct cases *cases_free(struct cases *cases) {
        if (!cases)
                return NULL;
        for (size_t i = 0; i < CASES_MAX; i++)
                if (cases->lineages[i])
                        lineage_free(cases->lineages[i]);
        for (size_t i = 0; i < cases->n_gone; i++)
                change_free(cases->gone[i].change);
        sd_event_source_disable_unref(cases->undo);
        sd_event_source_disable_unref(cases->round);
        free(cases);
        return NULL;
}

/* The leader of a session at a terminal: what is started there is not the session's doing. */
static bool leads_session(pid_t pid) {
        struct procfs_stat stat;
        return procfs_stat(pid, &stat) == 0 && stat.session == pid && stat.terminal != 0;
}

static bool is_above_lineages(const struct process *process) {
        return process->pid <= 1 || !process->executable ||
               spare_service(process->executable) != SERVICE_NONE || spare_is_above_us(process->pid) ||
               leads_session(process->pid);
}

size_t lineage_root(const struct actor *actor) {
        size_t root = 0;
        while (root + 1 < actor->n_processes && !is_above_lineages(&actor->processes[root + 1]))
                root++;
        return root;
}

static struct lineage **place_for(struct cases *cases) {
        struct lineage **place = NULL;
        for (size_t i = 0; i < CASES_MAX; i++) {
                struct lineage **at = &cases->lineages[i];
                if (!*at)
                        return at;
                if (!((*at)->is_convicted && (*at)->files) && (!place || (*at)->used_ns < (*place)->used_ns))
                        place = at;
        }
        if (place) {
                lineage_free(*place);
                *place = NULL;
        }
        return place;
}

static struct lineage *lineage_of(struct cases *cases, struct tree *tree, const struct actor *actor) {
        const struct process *root = &actor->processes[lineage_root(actor)];
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        for (size_t i = 0; i < CASES_MAX; i++) {
                struct lineage *lineage = cases->lineages[i];
                if (lineage && lineage->pid == root->pid && lineage->start_ns == root->start_ns &&
                    lineage->uid == actor->processes[0].uid && lineage->tree == tree) {
                        lineage->used_ns = now_ns;
                        return lineage;
                }
        }
        struct lineage **place = place_for(cases);
        struct lineage *lineage = place ? calloc(1, sizeof(*lineage)) : NULL;
        if (!lineage)
                return NULL;
        *lineage = (struct lineage){.pid = root->pid,
                                    .start_ns = root->start_ns,
                                    .uid = actor->processes[0].uid,
                                    .tree = tree,
                                    .id = ++cases->next_id,
                                    .used_ns = now_ns,
                                    .actor = actor_copy(actor)};
        ransom_case_init(&lineage->ransom);
        return *place = lineage;
}

/* What was touched long ago by a hand that nothing is said of is its own. */
static void forget_old(struct lineage *lineage, uint64_t now_ns) {
        struct touched *file, *next;
        bool is_clean = ransom_case_score(&lineage->ransom) == 0;
        HASH_ITER (hh, lineage->files, file, next) {
                bool is_old = is_clean && now_ns - file->first_ns > FORGET_NS;
                if (!is_old && HASH_COUNT(lineage->files) < CASE_FILES_MAX)
                        return;
                touched_free(lineage, file);
        }
}

static void touch(struct lineage *lineage, const char *relative, const struct change *change) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        struct touched *file = NULL;
        size_t length = strlen(relative);
        HASH_FIND(hh, lineage->files, relative, length, file);
        if (!file) {
                if (!lineage->is_convicted) /* else they are being put back */
                        forget_old(lineage, now_ns);
                file = calloc(1, sizeof(*file) + length + 1);
                if (!file)
                        return;
                memcpy(file->relative, relative, length + 1);
                file->first_ns = now_ns;
                node_copy(&change->before, &file->before);
                HASH_ADD(hh, lineage->files, relative, length, file);
        }
        node_deinit(&file->after);
        node_copy(&change->after, &file->after);
        file->is_shared = false;
}

/* Somebody else wrote where a lineage was before. */
static void note_others(struct cases *cases, const struct lineage *by, const struct tree *tree,
                        const char *relative) {
        for (size_t i = 0; i < CASES_MAX; i++) {
                struct lineage *lineage = cases->lineages[i];
                struct touched *file = NULL;
                if (lineage && lineage != by && lineage->tree == tree)
                        HASH_FIND(hh, lineage->files, relative, strlen(relative), file);
                if (file)
                        file->is_shared = true;
        }
}

/* ---- the verdict ---- */

static int ransomware(const struct lineage *lineage, struct verdict *ret_verdict) {
        *ret_verdict = (struct verdict){
                .severity = SEVERITY_CRITICAL,
                .title = N_("Files are being encrypted or destroyed"),
                .types = json_pack("[s]", "ransomware"),
                .techniques = json_pack("[s]", "T1486"),
                .reasons = ransom_case_reasons(&lineage->ransom),
                .undo = true,
        };
        if (ret_verdict->types && ret_verdict->techniques && ret_verdict->reasons)
                return 0;
        verdict_deinit(ret_verdict);
        return -ENOMEM;
}

struct member {
        struct sentry *sentry;
        const struct lineage *lineage;
};

static bool belongs(pid_t pid, void *userdata) {
        const struct member *member = userdata;
        return process_table_descends(member->sentry->processes, pid, member->lineage->pid,
                                      member->lineage->start_ns);
}

static bool hold(struct sentry *sentry, const struct lineage *lineage, const char *finding,
                 char detail[static 256]) {
        int r = -ESRCH;
        for (size_t i = 0; i < lineage->actor->n_processes; i++) {
                const struct process *process = &lineage->actor->processes[i];
                r = held_add(sentry, process, lineage->tree, finding);
                if (process->pid == lineage->pid)
                        break;
        }
        snprintf(detail, 256, "%s: pid %d", r < 0 ? strerror(-r) : hold_outcome_name(r), (int)lineage->pid);
        return r == HOLD_DONE;
}

static bool kill_all(struct sentry *sentry, struct lineage *lineage, char detail[static 256]) {
        struct member member = {sentry, lineage};
        struct stop_request request = {
                .root = lineage->pid, .start_ns = lineage->start_ns, .belongs = belongs, .userdata = &member};
        struct stop_result result = {0};
        int r = stop_tree(&request, &result);
        lineage->is_ended = r == 0 && result.verified && !result.n_left;
        if (r < 0)
                snprintf(detail, 256, "%s: pid %d", strerror(-r), (int)lineage->pid);
        else
                snprintf(detail, 256, "pid %d: %zu processes ended, %zu left, %zu spared", (int)lineage->pid,
                         result.n_killed, result.n_left, result.n_spared);
        return lineage->is_ended;
}

static void stop(struct sentry *sentry, struct lineage *lineage, const char *finding) {
        bool is_hold = lineage->tree->config->on_verdict == ON_VERDICT_HOLD;
        char detail[256], resume[64];
        bool done = is_hold ? hold(sentry, lineage, finding, detail) : kill_all(sentry, lineage, detail);
        snprintf(resume, sizeof(resume), "hinomi resume %d", (int)lineage->pid);
        report_action(sentry, finding, is_hold ? "hold" : "kill", lineage->tree->config->path, done, done,
                      is_hold ? resume : NULL, detail);
}

static struct change *change_of(const struct lineage *lineage, const struct touched *file) {
        struct change *change = change_new();
        if (!change || asprintf(&change->path, "%s/%s", lineage->tree->config->path, file->relative) < 0)
                return change_free(change);
        change->tree = lineage->tree->config->path;
        change->how = CHANGE_SEEN;
        change->zone = profile_zone(lineage->tree->profile, file->relative);
        node_copy(&file->before, &change->before);
        node_copy(&file->after, &change->after);
        change->difference = node_compare(&change->before, &change->after);
        change->time_ns = clock_wall_ns(&clock_system);
        change->actor = actor_copy(lineage->actor);
        return change;
}

/* All of them approved first: what stands there now is nobody's then, a directory that came with it, too. */
static void approve_originals(struct sentry *sentry, struct lineage *lineage) {
        uint64_t now_ns = clock_wall_ns(&clock_system);
        bool own = catalog_begin(sentry->catalog) == 0;
        for (struct touched *file = lineage->files; file; file = file->hh.next) {
                struct node node = file->before;
                if (S_ISREG(node.mode))
                        node.ctime_ns = 0;
                catalog_approve(sentry->catalog, lineage->tree->id, file->relative, &node, now_ns, 0);
        }
        if (own)
                catalog_commit(sentry->catalog);
}

static void undo_one(struct sentry *sentry, struct lineage *lineage, const struct touched *file,
                     const struct verdict *verdict) {
        char uid[32];
        _cleanup_(change_freep) struct change *change = change_of(lineage, file);
        if (!change || !change->difference)
                return;
        report_change(sentry, lineage->tree, change, verdict, NULL, uid);
        if (!lineage->is_stopped) { /* now that the finding has a name */
                lineage->is_stopped = true;
                stop(sentry, lineage, uid);
                sentry_drain(sentry); /* what it did to its last moment */
                shield_settle(sentry);
                approve_originals(sentry, lineage);
        }
        if (file->is_shared)
                report_action(sentry, uid, "keep", change->path, true, true, NULL,
                              "somebody else wrote it, too; that content is a version in the vault");
        react_restore(sentry, lineage->tree, change, uid);
}

static void undo(struct sentry *sentry, struct lineage *lineage) {
        struct verdict verdict;
        struct touched *file;
        if (ransomware(lineage, &verdict) < 0)
                return;
        lineage->is_stopped = lineage->is_ended;
        if (lineage->is_stopped)
                approve_originals(sentry, lineage);
        while ((file = lineage->files)) { /* more may come while it is being stopped */
                undo_one(sentry, lineage, file, &verdict);
                touched_free(lineage, file);
        }
        verdict_deinit(&verdict);
        /* Who is held and let go, or a service that is spared, is judged anew by what he does next. */
        shield_convict(sentry, lineage->pid, lineage->start_ns, false);
        if (!lineage->is_ended) {
                lineage->is_convicted = false;
                ransom_case_init(&lineage->ransom);
        }
}

static int on_undo(sd_event_source *source, void *userdata) {
        (void)source;
        struct sentry *sentry = userdata;
        for (size_t i = 0; i < CASES_MAX; i++) {
                struct lineage *lineage = sentry->cases->lineages[i];
                if (lineage && lineage->is_convicted && lineage->files)
                        undo(sentry, lineage);
        }
        return 0;
}

static void add_sign(struct sentry *sentry, struct lineage *lineage, const struct ransom_sign *sign) {
        if (ransom_case_add(&lineage->ransom, sign) != RANSOM_ATTACK || lineage->is_convicted)
                return;
        lineage->is_convicted = true;
        shield_convict(sentry, lineage->pid, lineage->start_ns, true);
        sd_event_source_set_enabled(sentry->cases->undo, SD_EVENT_ONESHOT);
}

static struct ransom_sign sign_of(const struct change *change) {
        struct ransom_sign sign = {
                .kind = !node_exists(&change->before)  ? RANSOM_CREATED
                        : !node_exists(&change->after) ? RANSOM_DELETED
                                                       : RANSOM_ALTERED,
                .size_bytes = change->before.size_bytes,
                .time_ns = clock_monotonic_ns(&clock_system),
        };
        ransom_sign_name(&sign, change->path);
        return sign;
}

static struct lineage *lineage_by_id(struct cases *cases, uint64_t id) {
        for (size_t i = 0; i < CASES_MAX; i++)
                if (cases->lineages[i] && cases->lineages[i]->id == id)
                        return cases->lineages[i];
        return NULL;
}

/* What went and stands nowhere else. */
static void tell_gone(struct sentry *sentry) {
        struct cases *cases = sentry->cases;
        for (size_t i = 0; i < cases->n_gone; i++) {
                struct lineage *lineage = lineage_by_id(cases, cases->gone[i].lineage);
                struct ransom_sign sign = sign_of(cases->gone[i].change);
                if (lineage)
                        add_sign(sentry, lineage, &sign);
                change_free(cases->gone[i].change);
        }
        cases->n_gone = 0;
}

static int on_round(sd_event_source *source, void *userdata) {
        (void)source;
        tell_gone(userdata);
        return 0;
}

int cases_new(struct sentry *sentry, struct cases **ret_cases) {
        struct cases *cases = calloc(1, sizeof(*cases));
        if (!cases)
                return -ENOMEM;
        int r = sd_event_add_defer(sentry->event, &cases->undo, on_undo, sentry);
        r = r < 0 ? r : sd_event_source_set_priority(cases->undo, SD_EVENT_PRIORITY_IMPORTANT);
        r = r < 0 ? r : sd_event_source_set_enabled(cases->undo, SD_EVENT_OFF);
        r = r < 0 ? r : sd_event_add_defer(sentry->event, &cases->round, on_round, sentry);
        r = r < 0 ? r : sd_event_source_set_enabled(cases->round, SD_EVENT_OFF);
        if (r < 0) {
                cases_free(cases);
                return r;
        }
        *ret_cases = cases;
        return 0;
}

static void note_gone(struct sentry *sentry, const struct lineage *lineage, const struct change *change) {
        struct cases *cases = sentry->cases;
        if (cases->n_gone == GONE_MAX)
                tell_gone(sentry);
        struct change *copy = change_new();
        if (!copy || !(copy->path = strdup(change->path)) || node_copy(&change->before, &copy->before) < 0) {
                change_free(copy);
                return;
        }
        cases->gone[cases->n_gone++] = (struct gone){lineage->id, copy};
        sd_event_source_set_enabled(cases->round, SD_EVENT_ONESHOT);
}

/* What stands there now had another name a moment ago: as it was then. NULL: it had not. To be freed. */
static struct change *take_renamed(struct cases *cases, const struct lineage *lineage,
                                   const struct change *change) {
        for (size_t i = 0; i < cases->n_gone; i++) {
                struct change *gone = cases->gone[i].change;
                if (cases->gone[i].lineage != lineage->id || gone->before.inode != change->after.inode)
                        continue;
                cases->gone[i] = cases->gone[--cases->n_gone];
                return gone;
        }
        return NULL;
}

static void compared(struct sentry *sentry, struct tree *tree, struct change *change, const json_t *signs,
                     void *userdata) {
        (void)tree;
        struct lineage *lineage = lineage_by_id(sentry->cases, (uintptr_t)userdata);
        struct ransom_sign sign = sign_of(change);
        sign.examined = signs && ransom_signs_decode(signs, &sign.content) == 0;
        if (lineage)
                add_sign(sentry, lineage, &sign);
        shield_judged(sentry, change->after.inode, sign.examined && sign.content.suspicion < RANSOM_POSSIBLE);
        change_free(change);
}

/* Not a further name for a file that was there: nobody can set the time of birth. Where it cannot be had, the file
 * system having none or the file being gone, a file with one name is taken for new. */
static bool is_born(const struct change *change) {
        struct statx st;
        int r = statx(AT_FDCWD, change->path, AT_SYMLINK_NOFOLLOW, STATX_BTIME | STATX_INO, &st);
        if (r < 0 || st.stx_ino != change->after.inode || !(st.stx_mask & STATX_BTIME))
                return change->after.n_links == 1;
        uint64_t born_ns = (uint64_t)st.stx_btime.tv_sec * NS_PER_S + st.stx_btime.tv_nsec;
        return clock_wall_ns(&clock_system) < born_ns + RANSOM_YOUNG_NS;
}

/* A regular file that was created, altered, or given this name. */
static void note_standing(struct sentry *sentry, struct lineage *lineage, const struct change *change) {
        _cleanup_(change_freep) struct change *earlier = take_renamed(sentry->cases, lineage, change);
        struct ransom_sign sign = sign_of(change);
        if (earlier && !node_exists(&change->before)) {
                sign.kind = RANSOM_RENAMED;
                ransom_sign_from(&sign, earlier->path);
                add_sign(sentry, lineage, &sign);
        }
        if (!earlier && !node_exists(&change->before) && is_born(change))
                ransom_case_created(&lineage->ransom, &sign);
        bool is_moved = earlier && !node_exists(&change->before);
        if (is_moved && digest_equal(&earlier->before.digest, &change->after.digest))
                return;
        inspect_compare(sentry, lineage->tree, change, is_moved ? &earlier->before : &change->before,
                        compared, (void *)(uintptr_t)lineage->id);
}

void cases_note(struct sentry *sentry, struct tree *tree, const struct change *change) {
        const char *relative = tree_relative(tree, change->path);
        bool is_known = change->how == CHANGE_SEEN && change->actor && change->actor->n_processes;
        bool is_trusted = is_known && trust_covers(sentry, &change->actor->processes[0], tree);
        struct lineage *lineage =
                is_known && !is_trusted ? lineage_of(sentry->cases, tree, change->actor) : NULL;
        note_others(sentry->cases, lineage, tree, relative);
        if (is_trusted)
                shield_judged(sentry, change->after.inode, true);
        if (!lineage)
                return;
        touch(lineage, relative, change);
        if (lineage->is_convicted) { /* it did more before it was gone, or another of it does */
                sd_event_source_set_enabled(sentry->cases->undo, SD_EVENT_ONESHOT);
                return;
        }
        if (!S_ISREG(change->after.mode) && !S_ISREG(change->before.mode))
                return;
        if (!(change->difference & (NODE_EXISTENCE | NODE_TYPE | NODE_CONTENT))) {
                shield_judged(sentry, change->after.inode, true);
                return;
        }
        if (S_ISREG(change->after.mode))
                note_standing(sentry, lineage, change);
        else
                note_gone(sentry, lineage, change);
}
