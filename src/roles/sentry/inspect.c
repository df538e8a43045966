/*
 * From a path that something happened to, to a verdict.
 *
 * Content is judged by the assayer, asynchronously: an inspection waits for its answer with the
 * change it is about. INSPECTIONS_MAX wait at a time, the rest queue: code before data, and what is large last and one
 * at a time, so that nobody delays the judgement of a program by uploads. An assayer that dies over a
 * file is given it once more; dying twice is itself an indicator. Where a change names
 * hosts, the verdict waits until the hosts the application itself names have been read.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/i18n.h"
#include "base/message.h"
#include "event/json.h"
#include "roles/sentry/cases.h"
#include "roles/sentry/sentry.h"
#include "roles/sentry/shield.h"
#include "sense/files/walk.h"

#include <uthash.h>

#define INSPECTIONS_MAX    32 /* in the assayer's hands */
#define LIGHT_BYTES_MAX    ((uint64_t)256 << 10)
#define HAND_BYTES_MAX     ((uint64_t)1 << 20) /* in the assayer's hands: of light ones */
#define REWRITES_MAX       64
#define REWRITE_NS         (500 * NS_PER_MS)
#define ATTEMPTS_MAX       2
#define LEASE_TRIES        5                    /* a moment apart */
#define CONTENT_MEMORY_MAX ((uint64_t)64 << 20) /* approved content larger than this is not diffed */

enum stage {
        STAGE_CODE, /* waits to be sent */
        STAGE_DATA,
        STAGE_HEAVY,
        STAGE_SENT,
        STAGE_HOSTS, /* is answered, and waits for the hosts of its tree */
        STAGE_COUNT,
};

struct inspection {
        struct inspection *next;
        enum stage stage;
        uint64_t id;
        struct tree *tree;
        struct change *change;
        json_t *content; /* the answer, while it waits for hosts */
        unsigned n_attempts;
        bool from_vault;           /* the content is in the vault, not in the tree */
        bool is_compare;           /* answered with signs, not with indicators */
        bool is_unsure;            /* what stands there now may be another content */
        inspect_answered answered; /* NULL: judge */
        void *userdata;
        bool is_known; /* in by_path: the newest of its path that is to be judged */
        UT_hash_handle hh;
};

struct hosts_task {
        struct hosts_task *next;
        uint64_t id; /* 0: not sent */
        struct tree *tree;
        char relative[];
};

/* Written lately, and as approved when looked at. */
struct rewrite {
        char *path; /* owned; NULL: none */
        uint64_t at_ns;
};

struct inspections {
        struct inspection *by_path;
        struct rewrite rewrites[REWRITES_MAX];
        size_t n_rewrites; /* ever noted */
        struct {
                struct inspection *first, **end;
        } stages[STAGE_COUNT];
        size_t n, n_sent, n_heavy; /* heavy: of those sent */
        uint64_t light_bytes;      /* of those sent */
        uint64_t next_id;
        struct hosts_task *hosts, **hosts_end;
        size_t n_hosts_sent;
};

static void pump(struct sentry *sentry);

int inspections_new(struct sentry *sentry, struct inspections **ret_inspections) {
        (void)sentry;
        struct inspections *inspections = calloc(1, sizeof(*inspections));
        if (!inspections)
                return -ENOMEM;
        for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
                inspections->stages[stage].end = &inspections->stages[stage].first;
        inspections->hosts_end = &inspections->hosts;
        inspections->next_id = clock_monotonic_ns(&clock_system);
        *ret_inspections = inspections;
        return 0;
}

static void inspection_free(struct inspection *inspection) {
        change_free(inspection->change);
        json_decref(inspection->content);
        free(inspection);
}

struct inspections *inspections_free(struct inspections *inspections) {
        if (!inspections)
                return NULL;
        HASH_CLEAR(hh, inspections->by_path);
        for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
                while (inspections->stages[stage].first) {
                        struct inspection *inspection = inspections->stages[stage].first;
                        inspections->stages[stage].first = inspection->next;
                        inspection_free(inspection);
                }
        while (inspections->hosts) {
                struct hosts_task *task = inspections->hosts;
                inspections->hosts = task->next;
                free(task);
        }
        for (size_t i = 0; i < REWRITES_MAX; i++)
                free(inspections->rewrites[i].path);
        free(inspections);
        return NULL;
}

size_t inspections_count(const struct inspections *inspections) {
        return inspections->n;
}

/* The change is the application's own business: it becomes the approved state. */
static void accept(struct sentry *sentry, struct tree *tree, const struct change *change, int64_t release) {
        const char *relative = tree_relative(tree, change->path);
        struct node node = change->after;
        if (S_ISREG(node.mode))
                node.ctime_ns = 0; /* too fresh to be trusted (baseline.dirty_ns): the next sweep reads it */
        catalog_approve(sentry->catalog, tree->id, relative, &node, change->time_ns, release);
        notes_clear(sentry, tree, relative);
}

/* Hosts that `content` names anew and that no file of the application names. */
static json_t *unseen_hosts(struct sentry *sentry, const struct tree *tree, const json_t *content) {
        json_t *unseen = json_array();
        size_t i;
        json_t *host;
        json_array_foreach (json_object_get(content, "new_hosts"), i, host)
                if (json_is_string(host) &&
                    catalog_has_host(sentry->catalog, tree->id, json_string_value(host)) == 0)
                        json_array_append(unseen, host);
        return unseen;
}

/* It is another thing by now, or cannot be opened: looked at anew in a moment. */
static void look_again(struct sentry *sentry, struct tree *tree, const struct change *change) {
        intake_again(sentry, &(struct observation){.tree = tree,
                                                   .relative = tree_relative(tree, change->path),
                                                   .what = FILE_MODIFIED |
                                                           (node_exists(&change->before) ? 0 : FILE_CREATED),
                                                   .was_different = true,
                                                   .actor = change->actor,
                                                   .ticket = change->ticket});
}

/* `is_unsure`: what was judged is not what is known to stand there, so that nothing is approved. */
static void conclude(struct sentry *sentry, struct tree *tree, struct change *change, const json_t *content,
                     bool is_unsure) {
        json_auto_t *unseen = unseen_hosts(sentry, tree, content);
        struct verdict verdict = {0};
        if (judge_change(change, content, unseen, &verdict) < 0)
                return;
        if (change->how == CHANGE_REFUSED && verdict.severity) {
                verdict.title = N_("A change was refused");
                json_array_append_new(verdict.types, json_string("write_refused"));
        }
        if (verdict.severity == 0) {
                if (is_unsure)
                        look_again(sentry, tree, change);
                else if (change->how != CHANGE_REFUSED)
                        accept(sentry, tree, change, 0);
                verdict_deinit(&verdict);
                return;
        }
        char uid[32];
        report_change(sentry, tree, change, &verdict, json_get_string(content, "diff"), uid);
        if (change->zone == ZONE_EDITABLE && verdict.severity <= SEVERITY_LOW && !is_unsure &&
            (change->how == CHANGE_SEEN || change->how == CHANGE_FOUND))
                accept(sentry, tree, change, 0);
        react(sentry, tree, change, &verdict, uid);
        verdict_deinit(&verdict);
}

/* Kept content in an anonymous file, for the assayer. */
static int kept_fd(struct sentry *sentry, const struct node *node) {
        if (!S_ISREG(node->mode) || !sentry->store || node->size_bytes > CONTENT_MEMORY_MAX ||
            !store_has(sentry->store, &node->digest))
                return -ENOENT;
        _cleanup_(fd_closep) int fd = memfd_create("hinomi-kept", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = store_get_file(sentry->store, &node->digest, fd);
        return r < 0 ? r : fd_steal(&fd);
}

/* What went, or is kept from being opened (by a lease), is judged by what the vault took of it. */
static int after_fd(struct sentry *sentry, struct inspection *inspection) {
        const struct change *change = inspection->change;
        if (inspection->from_vault)
                return kept_fd(sentry, &change->after);
        int fd = tree_open_file(inspection->tree, tree_relative(inspection->tree, change->path),
                                O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0 || (inspection->answered && !inspection->is_compare))
                return fd;
        int kept = kept_fd(sentry, &change->after);
        inspection->is_unsure = kept >= 0;
        return kept >= 0 ? kept : fd;
}

/* The assayer died twice over it, or it could not be opened: that is what is known of its content. */
static json_t *content_unreadable(void) {
        return json_pack("{s:[{s:s,s:s}]}", "indicators", "id", "assay_failed", "detail", "");
}

static void forget_path(struct inspections *inspections, struct inspection *inspection) {
        if (inspection->is_known)
                HASH_DEL(inspections->by_path, inspection);
        inspection->is_known = false;
}

static bool is_heavy(const struct inspection *inspection) {
        return inspection->change->after.size_bytes + inspection->change->before.size_bytes > LIGHT_BYTES_MAX;
}

static enum stage waiting_stage(const struct inspection *inspection) {
        enum zone zone = inspection->change->zone;
        if (is_heavy(inspection))
                return STAGE_HEAVY;
        return zone == ZONE_CODE || zone == ZONE_NONE ? STAGE_CODE : STAGE_DATA;
}

static void count_sent(struct inspections *inspections, const struct inspection *inspection, bool is_sent) {
        const struct change *change = inspection->change;
        uint64_t bytes = is_heavy(inspection) ? 0 : change->after.size_bytes + change->before.size_bytes;
        inspections->n_sent += is_sent ? 1 : -(size_t)1;
        inspections->n_heavy += !is_heavy(inspection) ? 0 : is_sent ? 1 : -(size_t)1;
        inspections->light_bytes += is_sent ? bytes : -bytes;
}

static void enter_stage(struct inspections *inspections, struct inspection *inspection, enum stage stage) {
        inspection->stage = stage;
        inspection->next = NULL;
        *inspections->stages[stage].end = inspection;
        inspections->stages[stage].end = &inspection->next;
        inspections->n++;
        if (stage == STAGE_SENT)
                count_sent(inspections, inspection, true);
}

static void leave_stage(struct inspections *inspections, struct inspection *inspection) {
        struct inspection **link = &inspections->stages[inspection->stage].first;
        while (*link != inspection)
                link = &(*link)->next;
        *link = inspection->next;
        if (inspections->stages[inspection->stage].end == &inspection->next)
                inspections->stages[inspection->stage].end = link;
        inspections->n--;
        if (inspection->stage == STAGE_SENT)
                count_sent(inspections, inspection, false);
}

static void unlink_inspection(struct inspections *inspections, struct inspection *inspection) {
        forget_path(inspections, inspection);
        leave_stage(inspections, inspection);
}

static void finish(struct sentry *sentry, struct inspection *inspection, const json_t *content) {
        uint32_t ticket = inspection->change->ticket;
        unlink_inspection(sentry->inspections, inspection);
        if (inspection->answered) {
                inspection->answered(sentry, inspection->tree, STEAL(inspection->change), content,
                                     inspection->userdata);
        } else {
                json_auto_t *unreadable = content ? NULL : content_unreadable();
                conclude(sentry, inspection->tree, inspection->change, content ?: unreadable,
                         inspection->is_unsure);
        }
        inspection_free(inspection);
        unfinished_drop(sentry->unfinished, ticket);
}

static bool is_gone_or_held(int error) {
        return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -EBUSY;
}

static void cannot_be_sent(struct sentry *sentry, struct inspection *inspection, int error) {
        bool was_never_read = digest_is_zero(&inspection->change->after.digest);
        if (inspection->answered || was_never_read || !is_gone_or_held(error)) {
                finish(sentry, inspection, NULL);
                return;
        }
        unlink_inspection(sentry->inspections, inspection);
        look_again(sentry, inspection->tree, inspection->change);
        unfinished_drop(sentry->unfinished, inspection->change->ticket);
        inspection_free(inspection);
}

/* Outside an application, what not everybody may read (/etc/shadow, a private key) is not quoted. */
static bool may_be_quoted(const struct change *change) {
        bool is_open = (!node_exists(&change->before) || change->before.mode & S_IROTH) &&
                       change->after.mode & S_IROTH;
        return change->zone != ZONE_DATA && (change->zone != ZONE_NONE || is_open);
}

/* -EAGAIN: the assayer has enough to do. -EBUSY: somebody holds a lease on the file. */
static int send_inspection(struct sentry *sentry, struct inspection *inspection) {
        _cleanup_(fd_closep) int after = after_fd(sentry, inspection);
        if (after < 0)
                return after == -EAGAIN ? -EBUSY : after;
        _cleanup_(fd_closep) int before = kept_fd(sentry, &inspection->change->before);
        const char *name = strrchr(inspection->change->path, '/') + 1;
        int fds[2] = {after, before};
        if (inspection->is_compare) {
                json_auto_t *compare =
                        json_pack("{s:s,s:I,s:o,s:b}", "type", "compare", "id", (json_int_t)inspection->id,
                                  "name", json_bytes(name), "before", before >= 0);
                return message_send(sentry->context->peers[ROLE_ASSAYER], compare, fds, before >= 0 ? 2 : 1);
        }
        json_auto_t *body = json_pack("{s:s,s:I,s:o,s:s,s:b,s:b}", "type", "assay", "id",
                                      (json_int_t)inspection->id, "name", json_bytes(name), "zone",
                                      zone_name(inspection->change->zone), "before", before >= 0, "want_diff",
                                      may_be_quoted(inspection->change) &&
                                              (before >= 0 || !node_exists(&inspection->change->before)));
        return message_send(sentry->context->peers[ROLE_ASSAYER], body, fds, before >= 0 ? 2 : 1);
}

static int send_hosts_task(struct sentry *sentry, struct hosts_task *task) {
        _cleanup_(fd_closep) int fd =
                tree_open_file(task->tree, task->relative, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return fd == -EAGAIN ? -EBUSY : fd;
        task->id = ++sentry->inspections->next_id;
        const char *slash = strrchr(task->relative, '/');
        json_auto_t *body = json_pack("{s:s,s:I,s:o}", "type", "hosts", "id", (json_int_t)task->id, "name",
                                      json_bytes(slash ? slash + 1 : task->relative));
        return message_send(sentry->context->peers[ROLE_ASSAYER], body, &fd, 1);
}

/* Those of the application are not all known yet. */
static bool hosts_are_awaited(const struct tree *tree) {
        return tree->n_hosts_left || !tree->is_compared;
}

static void release_waiting(struct sentry *sentry, struct tree *tree) {
        struct inspection *next;
        for (struct inspection *i = sentry->inspections->stages[STAGE_HOSTS].first; i; i = next) {
                next = i->next;
                if (i->tree == tree)
                        finish(sentry, i, i->content);
        }
}

static void hosts_task_done(struct sentry *sentry, struct hosts_task *task) {
        struct inspections *inspections = sentry->inspections;
        struct hosts_task **link = &inspections->hosts;
        while (*link != task)
                link = &(*link)->next;
        *link = task->next;
        if (inspections->hosts_end == &task->next)
                inspections->hosts_end = link;
        inspections->n_hosts_sent -= task->id != 0;
        struct tree *tree = task->tree;
        free(task);
        if (--tree->n_hosts_left == 0)
                release_waiting(sentry, tree);
}

/* The next that may be given to the assayer, or NULL. A lone one always may. */
static struct inspection *next_to_send(const struct inspections *inspections) {
        if (inspections->n_sent >= INSPECTIONS_MAX)
                return NULL;
        if (inspections->light_bytes < HAND_BYTES_MAX)
                for (enum stage stage = STAGE_CODE; stage < STAGE_HEAVY; stage++)
                        if (inspections->stages[stage].first)
                                return inspections->stages[stage].first;
        return inspections->n_heavy ? NULL : inspections->stages[STAGE_HEAVY].first;
}

/* Keeps the assayer busy: changes first, then what is learned quietly. */
static void pump(struct sentry *sentry) {
        struct inspections *inspections = sentry->inspections;
        struct inspection *i;
        while ((i = next_to_send(inspections))) {
                int r = send_inspection(sentry, i);
                if (r == -EAGAIN)
                        return;
                if (r < 0) {
                        cannot_be_sent(sentry, i, r);
                        continue;
                }
                leave_stage(inspections, i);
                enter_stage(inspections, i, STAGE_SENT);
                i->n_attempts++;
        }
        struct hosts_task *next_task;
        for (struct hosts_task *task = inspections->hosts;
             task && inspections->n_sent + inspections->n_hosts_sent < INSPECTIONS_MAX; task = next_task) {
                next_task = task->next;
                if (task->id)
                        continue;
                int r = send_hosts_task(sentry, task);
                if (r == -EAGAIN) {
                        task->id = 0;
                        return;
                }
                inspections->n_hosts_sent += task->id != 0;
                if (r < 0)
                        hosts_task_done(sentry, task);
        }
}

/* The same state at the same path is in the assayer's hands already: a directory and its file, seen both ways. */
static bool is_in_hand(const struct inspections *inspections, const struct inspection *like) {
        struct inspection *known = NULL;
        if (!like->answered)
                HASH_FIND_STR(inspections->by_path, like->change->path, known);
        return known && node_compare(&known->change->after, &like->change->after) == 0;
}

static int submit(struct sentry *sentry, const struct inspection *like) {
        struct inspections *inspections = sentry->inspections;
        if (is_in_hand(inspections, like)) {
                change_free(like->change);
                return 0;
        }
        struct inspection *inspection = calloc(1, sizeof(*inspection));
        if (!inspection) {
                change_free(like->change);
                return -ENOMEM;
        }
        *inspection = *like;
        unfinished_hold(sentry->unfinished, inspection->change->ticket);
        inspection->id = ++inspections->next_id;
        struct inspection *known = NULL;
        if (!inspection->answered)
                HASH_FIND_STR(inspections->by_path, inspection->change->path, known);
        if (known)
                forget_path(inspections, known);
        if (!inspection->answered) {
                HASH_ADD_KEYPTR(hh, inspections->by_path, inspection->change->path,
                                strlen(inspection->change->path), inspection);
                inspection->is_known = true;
        }
        enter_stage(inspections, inspection, waiting_stage(inspection));
        pump(sentry);
        return 0;
}

/* An empty file that was not there before has nothing to say. */
static bool needs_content(const struct change *change) {
        if (change->after.size_bytes == 0 && !node_exists(&change->before))
                return false;
        return change->how != CHANGE_REFUSED && S_ISREG(change->after.mode) &&
               (change->difference & (NODE_EXISTENCE | NODE_TYPE | NODE_CONTENT));
}

/* A new directory with something in it is told by its files. */
static bool is_told_by_its_files(const struct tree *tree, const struct change *change) {
        return (change->difference & NODE_EXISTENCE) && S_ISDIR(change->after.mode) &&
               !tree_directory_is_empty(tree, tree_relative(tree, change->path));
}

/*
 * What the vault would not take as evidence, left beside where nobody reaches it (respond/restore). The name alone
 * says nothing: anybody may use it.
 */
static bool is_left_evidence(const struct change *change) {
        const struct node *after = &change->after;
        if (!restore_is_temporary(strrchr(change->path, '/') + 1))
                return false;
        return S_ISREG(after->mode) ? !(after->mode & 07777)
                                    : S_ISDIR(after->mode) && after->uid == 0 && !(after->mode & 077);
}

int inspect_change(struct sentry *sentry, struct tree *tree, struct change *change) {
        const char *relative = tree_relative(tree, change->path);
        change->tree = tree->config->path;
        change->zone = profile_zone(tree->profile, relative);
        change->php_expected = profile_expects_php(tree->profile, relative);
        /* What anybody does there is a version. */
        if (tree->config->protect == PROTECT_SHIELD && change->zone != ZONE_IGNORED) {
                accept(sentry, tree, change, 0);
                cases_note(sentry, tree, change);
                change_free(change);
                return 0;
        }
        if (change->zone == ZONE_IGNORED || is_left_evidence(change) || is_told_by_its_files(tree, change) ||
            ((change->how == CHANGE_SEEN || change->how == CHANGE_FOUND) &&
             notes_has(sentry, tree, relative, &change->after))) {
                change_free(change);
                return 0;
        }
        if (needs_content(change))
                return submit(sentry, &(struct inspection){.tree = tree, .change = change});
        conclude(sentry, tree, change, NULL, false);
        change_free(change);
        return 0;
}

int inspect_ask(struct sentry *sentry, struct tree *tree, struct change *change, bool from_vault,
                inspect_answered answered, void *userdata) {
        if (needs_content(change))
                return submit(sentry, &(struct inspection){
                                              .tree = tree,
                                              .change = change,
                                              .from_vault = from_vault,
                                              .answered = answered,
                                              .userdata = userdata,
                                      });
        answered(sentry, tree, change, NULL, userdata);
        return 0;
}

int inspect_compare(struct sentry *sentry, struct tree *tree, const struct change *change,
                    const struct node *before, inspect_answered answered, void *userdata) {
        _cleanup_(change_freep) struct change *copy = change_new();
        if (!copy || !(copy->path = strdup(change->path)) || node_copy(before, &copy->before) < 0 ||
            node_copy(&change->after, &copy->after) < 0)
                return -ENOMEM;
        copy->how = change->how;
        copy->zone = change->zone;
        copy->time_ns = change->time_ns;
        return submit(sentry, &(struct inspection){.tree = tree,
                                                   .change = STEAL(copy),
                                                   .is_compare = true,
                                                   .answered = answered,
                                                   .userdata = userdata});
}

static const struct release *release_under(struct sentry *sentry, const struct observation *observation) {
        if (!observation->actor)
                return NULL;
        pthread_mutex_lock(&sentry->releases_lock);
        const struct release *release = release_of(sentry->releases, observation->actor,
                                                   observation->tree->id, observation->monotonic_ns);
        pthread_mutex_unlock(&sentry->releases_lock);
        return release;
}

bool inspect_is_released(struct sentry *sentry, const struct observation *observation) {
        return release_under(sentry, observation) != NULL;
}

static struct change *change_at(const struct observation *observation, enum change_how how) {
        struct change *change = change_new();
        if (!change ||
            asprintf(&change->path, "%s/%s", observation->tree->config->path, observation->relative) < 0)
                return change_free(change);
        change->how = how;
        change->time_ns = clock_wall_ns(&clock_system);
        change->actor = observation->actor ? actor_copy(observation->actor) : NULL;
        change->ticket = observation->ticket;
        return change;
}

/* An open for writing was denied: nothing changed but, where it would have created the file, an empty one. */
static int inspect_refused(struct sentry *sentry, const struct observation *observation) {
        struct tree *tree = observation->tree;
        struct change *change = change_at(observation, CHANGE_REFUSED);
        if (!change)
                return -ENOMEM;
        if (catalog_get(sentry->catalog, tree->id, observation->relative, &change->before) == -ENOENT) {
                struct restore_context context = react_context(sentry, tree);
                struct restore_request request = {.path = observation->relative, .approved = &change->before};
                struct restore_result result = {0};
                _cleanup_(fd_closep) int fd =
                        tree_open_file(tree, observation->relative, O_RDONLY | O_NONBLOCK);
                struct stat st;
                if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
                        restore_node(&context, &request, &result);
                restore_result_deinit(&result);
        } else {
                node_copy(&change->before, &change->after);
                struct change *difference = NULL;
                struct baseline baseline = sentry_baseline(sentry);
                if (baseline_examine(&baseline, &tree->baseline, observation->relative, 0, &difference) > 0) {
                        node_deinit(&change->after);
                        node_copy(&difference->after, &change->after);
                }
                change_free(difference);
        }
        change->difference = NODE_CONTENT;
        return inspect_change(sentry, tree, change);
}

static bool is_program_name(const char *relative) {
        static const char *const endings[] = {".php",  ".phtml",    ".phar",    ".js",
                                              ".twig", ".htaccess", ".user.ini"};
        size_t length = strlen(relative);
        for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
                size_t n = strlen(endings[i]);
                if (length >= n && !strcasecmp(relative + length - n, endings[i]))
                        return true;
        }
        return false;
}

/* Both looks at a change and its undoing may come after the undoing. */
static bool rewritten_lately(struct sentry *sentry, const struct observation *observation) {
        struct inspections *inspections = sentry->inspections;
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/%s", observation->tree->config->path, observation->relative) < 0)
                return false;
        for (size_t i = 0; i < REWRITES_MAX; i++) {
                struct rewrite *rewrite = &inspections->rewrites[i];
                if (rewrite->path && now_ns - rewrite->at_ns < REWRITE_NS && !strcmp(rewrite->path, path)) {
                        free(STEAL(rewrite->path));
                        return true;
                }
        }
        struct rewrite *rewrite = &inspections->rewrites[inspections->n_rewrites++ % REWRITES_MAX];
        free(rewrite->path);
        *rewrite = (struct rewrite){STEAL(path), now_ns};
        return false;
}

/*
 * As approved again, though something was written. Once is a copy of identical content, twice is a change and
 * its undoing. A program that came and went is one, too; the temporary files of editors and rsync are not.
 */
static int inspect_same(struct sentry *sentry, const struct observation *observation) {
        struct tree *tree = observation->tree;
        notes_clear(sentry, tree, observation->relative);
        _cleanup_(node_deinit) struct node approved = NODE_INIT;
        bool is_approved = catalog_get(sentry->catalog, tree->id, observation->relative, &approved) == 0;
        if (tree->config->protect == PROTECT_SHIELD) {
                shield_judged(sentry, approved.inode, true);
                return 0;
        }
        bool came_and_went =
                (observation->what & FILE_CREATED) && !is_approved && is_program_name(observation->relative);
        bool rewritten = observation->was_different ||
                         (is_approved && (observation->what & FILE_MODIFIED) && observation->n_closes &&
                          (observation->n_closes >= 2 || rewritten_lately(sentry, observation)));
        enum zone zone = profile_zone(tree->profile, observation->relative);
        if ((!came_and_went && !(rewritten && is_approved)) || (zone == ZONE_DATA && !came_and_went) ||
            zone == ZONE_IGNORED || profile_expects_php(tree->profile, observation->relative) ||
            release_under(sentry, observation) || react_restored_lately(sentry, tree, observation->relative))
                return 0;
        struct change *change = change_at(observation, CHANGE_REVERTED);
        if (!change)
                return -ENOMEM;
        /* A successor sees no more than what stands there. */
        unfinished_mark(sentry->unfinished, change->ticket, is_approved);
        if (is_approved) {
                node_copy(&approved, &change->before);
                node_copy(&approved, &change->after);
        }
        change->difference = NODE_CONTENT;
        return inspect_change(sentry, tree, change);
}

static void learn_again(struct sentry *sentry, struct tree *tree, const char *relative);

static int inspect_entry(const char *path, void *userdata) {
        const struct observation *above = userdata;
        struct observation observation = *above;
        observation.relative = path;
        observation.what = FILE_CREATED;
        return inspect(above->sentry, &observation);
}

/* A directory came or went as a whole (rename): the kernel reports only its own name. */
static void inspect_below(struct sentry *sentry, const struct observation *observation) {
        struct observation above = *observation;
        above.sentry = sentry;
        if (sentry->gate && config_tree_is_gated(observation->tree->config)) {
                _cleanup_(freep) char *path = NULL;
                if (asprintf(&path, "%s/%s", observation->tree->config->path, observation->relative) >= 0)
                        gate_add_directory(sentry->gate, path);
        }
        tree_visit_below(sentry, observation->tree, observation->relative, inspect_entry, &above);
}

/*
 * Somebody holds a lease (fcntl(2) F_SETLEASE) on it, which he is told to give up by our attempt to open it, and need
 * not for 45 s. One who shares files gives it up at once; who does not wants it unread.
 */
static int inspect_leased(struct sentry *sentry, const struct observation *observation) {
        struct tree *tree = observation->tree;
        if (observation->n_tries < LEASE_TRIES) {
                struct observation again = *observation;
                again.n_tries++;
                again.what &= ~(unsigned)(FILE_CLOSED | FILE_ATTRIBUTES | FILE_REMOVED);
                again.what |= FILE_MODIFIED;
                intake_again(sentry, &again);
                return 0;
        }
        struct change *change = change_at(observation, CHANGE_SEEN);
        if (!change)
                return -ENOMEM;
        _cleanup_(fd_closep) int fd = tree_open_file(tree, observation->relative, O_PATH);
        int r = catalog_get(sentry->catalog, tree->id, observation->relative, &change->before);
        if ((r < 0 && r != -ENOENT) || fd < 0 || node_stat(fd, "", &change->after) < 0) {
                change_free(change);
                return 0; /* gone by now, which is an event of its own */
        }
        change->difference = node_compare(&change->before, &change->after) | NODE_CONTENT;
        change->tree = tree->config->path;
        change->zone = profile_zone(tree->profile, observation->relative);
        if (change->zone == ZONE_IGNORED) {
                change_free(change);
                return 0;
        }
        json_auto_t *unreadable = content_unreadable();
        if (!notes_has(sentry, tree, observation->relative, &change->after))
                conclude(sentry, tree, change, unreadable, true);
        change_free(change);
        return 0;
}

int inspect(struct sentry *sentry, const struct observation *observation) {
        struct tree *tree = observation->tree;
        const char *relative = observation->relative;
        if (observation->refused)
                return inspect_refused(sentry, observation);
        if ((observation->what & FILE_DIRECTORY) && (observation->what & (FILE_CREATED | FILE_REMOVED)) &&
            *relative)
                inspect_below(sentry, observation);
        if (observation->actor && tree->config->protect != PROTECT_SHIELD &&
            packages_defer(sentry, observation))
                return 0;

        struct baseline baseline = sentry_baseline(sentry);
        unsigned flags = tree->baseline.mirror ? BASELINE_KEEP : 0;
        if (observation->what & (FILE_MODIFIED | FILE_CLOSED))
                flags |= BASELINE_FORCE;
        struct change *change = NULL;
        baseline.large = large_ask;
        int r = baseline_examine(&baseline, &tree->baseline, relative, flags, &change);
        if (r == -EINPROGRESS) {
                large_note(sentry, observation);
                return 0;
        }
        large_forget(sentry, tree, relative);
        if (r == -EAGAIN)
                return inspect_leased(sentry, observation);
        if (r < 0) {
                tree->is_behind = true;
                return r;
        }
        if (r == 0)
                return inspect_same(sentry, observation);

        change->time_ns = clock_wall_ns(&clock_system);
        change->actor = observation->actor ? actor_copy(observation->actor) : NULL;
        change->ticket = observation->ticket;
        unfinished_mark(sentry->unfinished, change->ticket, true);
        const struct release *release = release_under(sentry, observation);
        /* What was read may be what somebody wrote behind the release: then it is his. */
        if (release && intake_is_contested(sentry, observation)) {
                intake_again(sentry, observation);
                change_free(change);
                return 0;
        }
        if (release) {
                accept(sentry, tree, change, release_row(release, tree->id));
                learn_again(sentry, tree, relative);
                change_free(change);
                return 0;
        }
        return inspect_change(sentry, tree, change);
}

static struct hosts_task *hosts_task_by_id(struct inspections *inspections, uint64_t id) {
        struct hosts_task *task = inspections->hosts;
        while (task && task->id != id)
                task = task->next;
        return task;
}

static void hosts_answer(struct sentry *sentry, uint64_t id, const json_t *message) {
        struct hosts_task *task = hosts_task_by_id(sentry->inspections, id);
        size_t i;
        json_t *host;
        if (!task)
                return;
        json_array_foreach (json_object_get(message, "hosts"), i, host)
                if (json_is_string(host))
                        catalog_add_host(sentry->catalog, task->tree->id, json_string_value(host));
        hosts_task_done(sentry, task);
}

/*
 * Was the content examined that was hashed? A writer can be quicker than the assayer, and a mapping is
 * stored through without an event. Of a large file only head and tail are examined: there the stat data tells.
 */
static bool is_of_change(const struct inspection *inspection, const json_t *message) {
        const struct node *after = &inspection->change->after;
        const char *text = json_get_string(message, "digest");
        struct digest digest;
        if (text)
                return digest_parse(text, &digest) == 0 && digest_equal(&digest, &after->digest);
        _cleanup_(node_deinit) struct node now = NODE_INIT;
        _cleanup_(fd_closep) int fd = tree_open_file(
                inspection->tree, tree_relative(inspection->tree, inspection->change->path), O_PATH);
        return inspection->from_vault || (fd >= 0 && node_stat(fd, "", &now) == 0 &&
                                          now.inode == after->inode && now.size_bytes == after->size_bytes &&
                                          now.mtime_ns == after->mtime_ns && now.ctime_ns == after->ctime_ns);
}

void inspect_answer(struct sentry *sentry, const json_t *message) {
        struct inspections *inspections = sentry->inspections;
        const char *type = json_get_string(message, "type");
        uint64_t id = (uint64_t)json_get_integer(message, "id", 0);
        if (type && !strcmp(type, "hosts") && id)
                hosts_answer(sentry, id, message);
        if (type && !strcmp(type, "compared")) {
                struct inspection *inspection = inspections->stages[STAGE_SENT].first;
                while (inspection && inspection->id != id)
                        inspection = inspection->next;
                if (inspection && inspection->is_compare)
                        finish(sentry, inspection, json_object_get(message, "signs"));
        }
        if (type && !strcmp(type, "assayed")) {
                struct inspection *inspection = inspections->stages[STAGE_SENT].first;
                while (inspection && inspection->id != id)
                        inspection = inspection->next;
                json_t *content = json_object_get(message, "content");
                if (inspection && !is_of_change(inspection, message))
                        inspection->is_unsure = true;
                bool names_hosts = json_array_size(json_object_get(content, "new_hosts")) > 0;
                if (inspection && names_hosts && hosts_are_awaited(inspection->tree) &&
                    !inspection->answered) {
                        inspection->content = json_incref(content);
                        leave_stage(inspections, inspection);
                        enter_stage(inspections, inspection, STAGE_HOSTS);
                } else if (inspection) {
                        finish(sentry, inspection, content);
                }
        }
        pump(sentry);
}

void inspect_assayer_restarted(struct sentry *sentry) {
        struct inspections *inspections = sentry->inspections;
        struct inspection *next;
        for (struct inspection *i = inspections->stages[STAGE_SENT].first; i; i = next) {
                next = i->next;
                if (i->n_attempts >= ATTEMPTS_MAX) {
                        json_auto_t *content = content_unreadable();
                        finish(sentry, i, content);
                        continue;
                }
                leave_stage(inspections, i);
                enter_stage(inspections, i, waiting_stage(i));
        }
        struct hosts_task *next_task;
        for (struct hosts_task *task = inspections->hosts; task; task = next_task) {
                next_task = task->next;
                if (task->id)
                        hosts_task_done(sentry, task);
        }
        pump(sentry);
}

static int add_hosts_task(struct sentry *sentry, struct tree *tree, const char *relative) {
        struct inspections *inspections = sentry->inspections;
        size_t length = strlen(relative);
        struct hosts_task *task = calloc(1, sizeof(*task) + length + 1);
        if (!task)
                return -ENOMEM;
        memcpy(task->relative, relative, length + 1);
        task->tree = tree;
        *inspections->hosts_end = task;
        inspections->hosts_end = &task->next;
        tree->n_hosts_left++;
        return 0;
}

/* Only what a browser or PHP would read can name a host that matters. */
static bool may_name_hosts(const char *name) {
        static const char *const suffixes[] = {".php",   ".html", ".htm",  ".js",  ".mjs",  ".twig", ".tpl",
                                               ".phtml", ".inc",  ".json", ".ini", ".yaml", ".yml",  ".css"};
        size_t length = strlen(name);
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                size_t n = strlen(suffixes[i]);
                if (length > n && !strcasecmp(name + length - n, suffixes[i]))
                        return true;
        }
        return false;
}

struct learn {
        struct sentry *sentry;
        struct tree *tree;
};

static int learn_node(const char *path, const struct node *node, void *userdata) {
        struct learn *learn = userdata;
        if (!S_ISREG(node->mode) || !may_name_hosts(path) ||
            profile_zone(learn->tree->profile, path) == ZONE_IGNORED)
                return 0;
        return add_hosts_task(learn->sentry, learn->tree, path);
}

static void learn_again(struct sentry *sentry, struct tree *tree, const char *relative) {
        if (may_name_hosts(relative) && strcmp(profile_name(tree->profile), "none"))
                add_hosts_task(sentry, tree, relative);
        pump(sentry);
}

int inspect_learn_hosts(struct sentry *sentry, struct tree *tree) {
        struct learn learn = {sentry, tree};
        int r = 0;
        if (strcmp(profile_name(tree->profile), "none"))
                r = catalog_walk(sentry->catalog, tree->id, "", 0, learn_node, &learn);
        if (!tree->n_hosts_left)
                release_waiting(sentry, tree);
        pump(sentry);
        return r;
}
