/*
 * File events, joined per path until it is time to look.
 *
 * A writer that closed, a removal, a rename, an attribute: looked at when the batch of events
 * that brought it has been read. A file just created, or written and still open, is waited for:
 * SETTLE_MS, or until its writer closes it; a file written without end is looked at every
 * SETTLE_MAX_MS. So a copy of identical content is seen when it is whole, and a burst of writes
 * to one file is one look. Who did it is the first of them; but one who holds no release goes before one who does,
 * so that no change is approved because it came behind a release's. Bounded: past PENDING_MAX everything joined so
 * far is looked at first.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/i18n.h"
#include "roles/sentry/sentry.h"
#include "roles/sentry/shield.h"

#include <uthash.h>

#define SETTLE_MS     300
#define SETTLE_MAX_MS 2000
#define PENDING_MAX   20000
#define PEEKS_MAX     64

struct pending {
        struct tree *tree;
        char *relative;
        unsigned what;
        unsigned n_closes;
        unsigned n_tries;
        bool was_different;
        uint64_t first_ns, last_ns; /* monotonic */
        struct actor *actor;
        bool is_contested; /* the actor holds no release, and another who was at it does */
        uint32_t ticket;
        UT_hash_handle hh;
        char key[]; /* absolute path */
};

struct intake {
        struct pending *pending; /* by path, in order of arrival */
        sd_event_source *batch;  /* the end of this round of the loop */
        sd_event_source *timer;
        bool lost_events;
        bool is_crowded; /* what is pending is looked at while events are read */
        bool is_peeking; /* events are read while something is looked at */
};

#define STEAL_FLAG(flag)                                                                                     \
        ({                                                                                                   \
                bool _was = (flag);                                                                          \
                (flag) = false;                                                                              \
                _was;                                                                                        \
        })

static void pending_free(struct pending *pending) {
        actor_free(pending->actor);
        free(pending);
}

static void pending_done(struct sentry *sentry, struct pending *pending) {
        unfinished_drop(sentry->unfinished, pending->ticket);
        pending_free(pending);
}

static void look(struct sentry *sentry, const struct pending *pending) {
        inspect(sentry, &(struct observation){
                                .tree = pending->tree,
                                .relative = pending->relative,
                                .what = pending->what,
                                .n_closes = pending->n_closes,
                                .n_tries = pending->n_tries,
                                .was_different = pending->was_different,
                                .monotonic_ns = pending->last_ns,
                                .actor = pending->actor,
                                .ticket = pending->ticket,
                        });
}

/* Is there nothing to wait for? */
static bool is_due(const struct pending *pending, uint64_t now_ns) {
        unsigned at_once = FILE_CLOSED | FILE_REMOVED | FILE_ATTRIBUTES;
        if (pending->what & at_once)
                return true;
        if (now_ns - pending->last_ns >= SETTLE_MS * NS_PER_MS ||
            now_ns - pending->first_ns >= SETTLE_MAX_MS * NS_PER_MS)
                return true;
        if (pending->what & FILE_DIRECTORY)
                return !tree_directory_is_empty(pending->tree, pending->relative);
        if (!(pending->what & FILE_CREATED) || (pending->what & FILE_MODIFIED))
                return false;
        if (pending->what & FILE_MOVED)
                return true;
        /* A further name of something, or what nobody will write to (symbolic link, device). */
        struct stat st;
        return fstatat(pending->tree->fd, pending->relative, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
               !S_ISREG(st.st_mode) || st.st_nlink > 1;
}

static bool holds_release(struct sentry *sentry, const struct pending *pending, const struct actor *actor) {
        return inspect_is_released(sentry, &(struct observation){.tree = pending->tree,
                                                                 .actor = actor,
                                                                 .monotonic_ns = pending->last_ns});
}

/* Somebody else was at it, too. Takes the actor. */
static void join_actor(struct sentry *sentry, struct pending *pending, struct actor *actor) {
        _cleanup_(actor_freep) struct actor *other = actor;
        if (pending->is_contested || !holds_release(sentry, pending, pending->actor) ||
            holds_release(sentry, pending, other))
                return;
        actor_free(pending->actor);
        pending->actor = STEAL(other);
        pending->is_contested = true;
        unfinished_drop(sentry->unfinished, pending->ticket); /* it names the first */
        pending->ticket = 0;
}

static void join(struct sentry *sentry, struct pending *pending, struct pending *earlier) {
        pending->what |= earlier->what;
        pending->n_closes += earlier->n_closes;
        pending->was_different |= earlier->was_different;
        pending->first_ns = earlier->first_ns;
        if (earlier->is_contested || earlier->actor)
                join_actor(sentry, pending, STEAL(earlier->actor));
        pending->is_contested |= earlier->is_contested;
        pending_done(sentry, earlier);
}

static void put_back(struct sentry *sentry, struct pending *pending) {
        struct intake *intake = sentry->intake;
        struct pending *known;
        size_t length = strlen(pending->key);
        HASH_FIND(hh, intake->pending, pending->key, length, known);
        if (known)
                join(sentry, known, pending);
        else
                HASH_ADD(hh, intake->pending, key, length, pending);
}

/* What is looked at may bring new events in: it works on a list of its own. */
static void look_at_due(struct sentry *sentry, bool all) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        struct intake *intake = sentry->intake;
        struct pending *list = STEAL(intake->pending), *pending, *next;
        bool waits = false;
        shield_settle(sentry); /* what stood there before */
        observed_begin(sentry->observed);
        catalog_begin(sentry->catalog);
        HASH_ITER (hh, list, pending, next) {
                HASH_DEL(list, pending);
                if (all || is_due(pending, now_ns)) {
                        look(sentry, pending);
                        pending_done(sentry, pending);
                } else {
                        put_back(sentry, pending);
                        waits = true;
                }
        }
        if (catalog_has_changes(sentry->catalog))
                store_sync(
                        sentry->store); /* content first: what is approved must be there after a power cut */
        catalog_commit(sentry->catalog);
        observed_commit(sentry->observed);
        sd_event_source_set_enabled(intake->timer, SD_EVENT_OFF);
        if (waits) {
                sd_event_source_set_time_relative(intake->timer, SETTLE_MS * 1000 / 4);
                sd_event_source_set_enabled(intake->timer, SD_EVENT_ONESHOT);
        }
}

/* Sweeps wait until the events at hand have been taken in. */
static void sweep_wanted(struct sentry *sentry) {
        bool all = STEAL_FLAG(sentry->intake->lost_events);
        if (all)
                report_state(sentry, N_("The kernel lost file events; every tree was compared at once"),
                             "event_overflow", SEVERITY_MEDIUM, NULL, NULL);
        for (size_t i = 0; i < sentry->n_trees; i++) {
                struct tree *tree = &sentry->trees[i];
                bool mounts = STEAL_FLAG(tree->mounts_changed);
                if (mounts) {
                        report_state(sentry,
                                     N_("Something was mounted over or inside a guarded tree, or taken away"),
                                     "mount_changed", SEVERITY_HIGH, tree->config->path, NULL);
                }
                bool replaced = STEAL_FLAG(tree->is_replaced);
                if (mounts || replaced)
                        tree_rearm(sentry, tree);
                if (all || mounts || replaced)
                        tree_sweep(sentry, tree);
        }
}

static int on_batch(sd_event_source *source, void *userdata) {
        (void)source;
        sweep_wanted(userdata);
        look_at_due(userdata, false);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        look_at_due(userdata, false);
        return 0;
}

static struct pending *pending_for(struct intake *intake, struct tree *tree, const char *path) {
        size_t length = strlen(path);
        struct pending *pending;
        HASH_FIND(hh, intake->pending, path, length, pending);
        if (pending)
                return pending;
        pending = calloc(1, sizeof(*pending) + length + 1);
        if (!pending)
                return NULL;
        memcpy(pending->key, path, length + 1);
        pending->tree = tree;
        pending->relative = (char *)tree_relative(tree, pending->key);
        HASH_ADD(hh, intake->pending, key, length, pending);
        return pending;
}

static void begin(struct sentry *sentry, struct pending *pending) {
        const struct actor *actor = pending->actor;
        bool is_known = actor && actor->n_processes;
        pending->ticket = unfinished_begin(sentry->unfinished,
                                           &(struct unfinished_record){
                                                   .kind = UNFINISHED_CHANGE,
                                                   .first_ns = pending->first_ns,
                                                   .pid = is_known ? actor->processes[0].pid : 0,
                                                   .start_ns = is_known ? actor->processes[0].start_ns : 0,
                                                   .path = pending->key,
                                           });
}

void intake_resume(struct sentry *sentry, uint32_t ticket, const struct unfinished_record *record,
                   struct actor *actor) {
        _cleanup_(actor_freep) struct actor *taken = actor;
        struct tree *tree = tree_of_path(sentry, record->path);
        struct pending *pending = tree ? pending_for(sentry->intake, tree, record->path) : NULL;
        if (!pending || pending->ticket) { /* of a tree that is guarded no more; or twice in hand */
                unfinished_drop(sentry->unfinished, ticket);
                return;
        }
        pending->what = record->what;
        pending->n_closes = record->n_closes;
        pending->was_different = record->was_different;
        pending->first_ns = record->first_ns;
        pending->last_ns = record->last_ns;
        pending->actor = STEAL(taken);
        pending->ticket = ticket;
        sd_event_source_set_enabled(sentry->intake->batch, SD_EVENT_ONESHOT);
}

static void note_actor(struct sentry *sentry, struct pending *pending, pid_t pid) {
        const struct actor *known = pending->actor;
        if (pending->is_contested || (known && known->n_processes && known->processes[0].pid == pid))
                return;
        if (!known)
                pending->actor = process_table_actor(sentry->processes, pid);
        else if (holds_release(sentry, pending, known))
                join_actor(sentry, pending, process_table_actor(sentry->processes, pid));
}

void intake_event(const struct file_event *event, void *userdata) {
        struct sentry *sentry = userdata;
        struct intake *intake = sentry->intake;
        sd_event_source_set_enabled(intake->batch, SD_EVENT_ONESHOT);
        if (event->what & FILE_OVERFLOW) {
                intake->lost_events = true;
                return;
        }
        struct tree *tree = &sentry->trees[event->tree];
        if (event->what & FILE_MOUNTS) {
                tree->mounts_changed = true;
                return;
        }
        const char *relative = tree_relative(tree, event->path);
        if (!*relative && (event->what & (FILE_CREATED | FILE_REMOVED)))
                tree->is_replaced = true;
        /* What is in an ignored directory need not be. */
        if (profile_zone(tree->profile, relative) == ZONE_IGNORED && !(event->what & FILE_DIRECTORY))
                return;
        if ((event->what & FILE_LINKED) && sentry->gate && config_tree_is_gated(tree->config))
                gate_add_file(sentry->gate, event->path); /* gated under its other names, too, from now on */
        struct pending *pending = pending_for(intake, tree, event->path);
        if (!pending)
                return;
        pending->what |= event->what;
        pending->n_closes += !!(event->what & FILE_CLOSED);
        pending->last_ns = event->monotonic_ns;
        if (!pending->first_ns)
                pending->first_ns = event->monotonic_ns;
        note_actor(sentry, pending, event->pid);
        if (!pending->ticket)
                begin(sentry, pending);
        unfinished_note(sentry->unfinished, pending->ticket, pending->what, pending->n_closes,
                        pending->last_ns);
        if (HASH_COUNT(intake->pending) > PENDING_MAX && !intake->is_peeking) {
                intake->is_crowded = true;
                look_at_due(sentry, true);
                intake->is_crowded = false;
        }
}

static char *tree_absolute(const struct tree *tree, const char *relative) {
        const char *root = tree->config->path;
        char *path;
        int r = asprintf(&path, "%s%s%s", strcmp(root, "/") ? root : "", *relative ? "/" : "", relative);
        return r < 0 ? NULL : path;
}

void intake_again(struct sentry *sentry, const struct observation *observation) {
        struct intake *intake = sentry->intake;
        _cleanup_(freep) char *path = tree_absolute(observation->tree, observation->relative);
        struct pending *pending = path ? pending_for(intake, observation->tree, path) : NULL;
        if (!pending)
                return;
        pending->what |= observation->what;
        pending->n_tries = observation->n_tries;
        pending->was_different |= observation->was_different;
        pending->last_ns = clock_monotonic_ns(&clock_system);
        if (!pending->first_ns)
                pending->first_ns = pending->last_ns;
        if (!pending->actor && !pending->is_contested && observation->actor)
                pending->actor = actor_copy(observation->actor);
        if (!pending->ticket) {
                pending->ticket = observation->ticket;
                unfinished_hold(sentry->unfinished, pending->ticket);
        }
        sd_event_source_set_enabled(intake->batch, SD_EVENT_ONESHOT);
}

bool intake_is_contested(struct sentry *sentry, const struct observation *observation) {
        struct intake *intake = sentry->intake;
        if (intake->is_crowded) /* nothing more can be read now */
                return true;
        intake->is_peeking = true;
        for (int i = 0; i < PEEKS_MAX && watch_dispatch(sentry->watch, intake_event, sentry) > 0; i++)
                ;
        intake->is_peeking = false;
        _cleanup_(freep) char *path = tree_absolute(observation->tree, observation->relative);
        struct pending *pending = NULL;
        if (path)
                HASH_FIND_STR(intake->pending, path, pending);
        return pending && !holds_release(sentry, pending, pending->actor);
}

void intake_flush(struct sentry *sentry) {
        look_at_due(sentry, true);
}

size_t intake_count(const struct intake *intake) {
        return HASH_COUNT(intake->pending);
}

int intake_new(struct sentry *sentry, struct intake **ret_intake) {
        struct intake *intake = calloc(1, sizeof(*intake));
        if (!intake)
                return -ENOMEM;
        int r = sd_event_add_defer(sentry->event, &intake->batch, on_batch, sentry);
        r = r < 0 ? r
                  : sd_event_add_time(sentry->event, &intake->timer, CLOCK_MONOTONIC, 0, 0, on_timer, sentry);
        if (r < 0) {
                intake_free(intake);
                return r;
        }
        sd_event_source_set_enabled(intake->batch, SD_EVENT_OFF);
        sd_event_source_set_enabled(intake->timer, SD_EVENT_OFF);
        *ret_intake = intake;
        return 0;
}

struct intake *intake_free(struct intake *intake) {
        if (!intake)
                return NULL;
        struct pending *pending, *next;
        HASH_ITER (hh, intake->pending, pending, next) {
                HASH_DEL(intake->pending, pending);
                pending_free(pending);
        }
        sd_event_source_disable_unref(intake->batch);
        sd_event_source_disable_unref(intake->timer);
        free(intake);
        return NULL;
}
