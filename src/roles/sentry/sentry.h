/*
 * The sentry's parts and what they share. The way of one event:
 *
 *   intake    file events, joined per path, until it is time to look        (sense/files/watch)
 *   inspect   look: what stands there against what is approved              (roles/baseline)
 *             an approved release? then that is the new approved state      (register/release)
 *             ask the assayer what the content means                        (roles/assayer)
 *             judge                                                         (detect/tamper)
 *   report    findings: grouped, sent to the ledger, kept until acknowledged
 *   react     restore, hold; each verified and recorded                     (respond)
 *   requests  what people ask through the engine
 *
 * One thread, but for the process table's and the gate's; what those say comes in by `mailbox`.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "config/config.h"
#include "detect/tamper/judge.h"
#include "detect/tamper/profile.h"
#include "event/change.h"
#include "register/release.h"
#include "register/trust.h"
#include "respond/restore/loop.h"
#include "respond/restore/restore.h"
#include "roles/baseline.h"
#include "roles/role.h"
#include "roles/sentry/unfinished.h"
#include "sense/files/gate.h"
#include "sense/files/watch.h"
#include "sense/packages/dpkg.h"
#include "sense/processes/table.h"
#include "vault/catalog.h"
#include "vault/observed.h"
#include "vault/retention.h"
#include "vault/store.h"

struct intake;
struct inspections;
struct reports;
struct outbox;
struct packages;
struct images;
struct cases;
struct large;
struct shield;

struct tree {
        const struct config_tree *config;
        size_t index;
        int64_t id; /* catalog */
        int fd;     /* root, O_PATH; -1: not there */
        struct profile *profile;
        struct baseline_tree baseline;
        bool is_armed;
        bool is_replaced;    /* its own path leads elsewhere now: to be armed anew and swept */
        bool mounts_changed; /* to be armed anew and swept */
        const char *reason;  /* why it is not armed; static msgid */
        uint64_t swept_ns;
        uint64_t n_files, n_bytes;
        uint64_t n_unkept;     /* approved, and the vault has no room for it */
        bool is_behind;        /* something could not be looked at: swept until it can */
        uint64_t n_hosts_left; /* files whose hosts are still to be read */
        bool is_compared;      /* with its baseline, since it was armed */
};

#define HELD_MAX 64

struct held {
        pid_t pid; /* 0: free */
        uint64_t start_ns;
        uint64_t since_ns; /* wall clock */
        char finding[32];
        char *command, *executable;
        char *tree; /* path of the tree it worked on */
};

#define RESTORED_MAX 256

/* keep.c */
struct keeping {
        uint64_t failed_ns,
                done_ns;       /* monotonic: when making room last failed, and was last done; 0: never */
        uint64_t failed_bytes; /* that were wanted then */
        uint64_t stored_bytes; /* when it was done */
        bool again;            /* there is dead space left to give back */
        uint64_t evidence_bytes;
        uint64_t n_given_up; /* pieces of evidence that made room, since the start */
        uint64_t told_ns;    /* monotonic */
        struct retention_result untold;
};

struct sentry {
        struct held held[HELD_MAX];
        /* What was put back lately: that it stands no more is our own doing. A ring. */
        struct restored {
                char *path;
                uint64_t monotonic_ns;
        } restored[RESTORED_MAX];
        size_t next_restored;
        const struct role_context *context;
        struct config *config;
        sd_event *event;
        sd_event_source *files; /* off while too many changes wait for the assayer */
        bool was_crowded;
        struct store *store;
        struct catalog *catalog;
        struct observed *observed;
        struct watch *watch;
        struct gate *gate;
        struct shield *shield; /* NULL: no tree is one */
        struct process_table *processes;
        struct releases *releases;
        struct trusts *trusts;
        struct images *images;
        pthread_mutex_t releases_lock; /* the gate's thread asks, too */
        struct loop *loop;
        struct tree *trees;
        size_t n_trees;

        struct intake *intake;
        struct inspections *inspections;
        struct reports *reports;
        struct outbox *outbox;
        struct packages *packages;
        struct cases *cases;
        struct large *large;
        struct notes *notes;
        struct mailbox *mailbox;
        struct unfinished *unfinished;

        bool is_armed; /* "watching" was said */
        sd_event_source *compare_timer;
        bool is_stopping;
        uint64_t started_ns;
        struct keeping keeping;
        struct restore_journal journal;
        uint64_t n_too_long; /* watch_counters.n_too_long as last swept for */
        uint64_t n_refused, n_restored;
        uint64_t clock_wall_ns, clock_monotonic_ns; /* as last compared: a stepped clock shows */
        bool clock_stepped;
};

/* sentry.c: works off every file event there is now. */
void sentry_drain(struct sentry *sentry);

/* trees.c */
int trees_open(struct sentry *sentry);
void trees_close(struct sentry *sentry);
struct tree *tree_of_path(struct sentry *sentry, const char *path);
/* Path relative to the tree; points into `path`. */
const char *tree_relative(const struct tree *tree, const char *path);
int tree_arm(struct sentry *sentry, struct tree *tree);
/* Where its path leads elsewhere now. */
int tree_rearm(struct sentry *sentry, struct tree *tree);
/* At the start: armed, then given a baseline; compared with the one it has a moment later: events and questions first. */
int tree_start(struct sentry *sentry, struct tree *tree);
int trees_open_timer(struct sentry *sentry);
/* Compares the tree with what is approved and inspects what differs. */
int tree_sweep(struct sentry *sentry, struct tree *tree);
/* Every path below a directory, be it approved or there. */
int tree_visit_below(struct sentry *sentry, struct tree *tree, const char *relative,
                     int (*visit)(const char *relative, void *userdata), void *userdata);
int tree_open_file(const struct tree *tree, const char *relative, int flags);
bool tree_directory_is_empty(const struct tree *tree, const char *relative);

struct observation;

/* intake.c */
int intake_new(struct sentry *sentry, struct intake **ret_intake);
struct intake *intake_free(struct intake *intake);
void intake_event(const struct file_event *event, void *sentry);
/* Has a path looked at once more, a moment later. */
void intake_again(struct sentry *sentry, const struct observation *observation);
/* What a predecessor had in hand goes on. Takes the actor (may be NULL) and the ticket. */
void intake_resume(struct sentry *sentry, uint32_t ticket, const struct unfinished_record *record,
                   struct actor *actor);
/* Reads what the kernel has queued: has somebody who holds no release been at it, too, by now? */
bool intake_is_contested(struct sentry *sentry, const struct observation *observation);
/* Looks at everything joined so far, now. */
void intake_flush(struct sentry *sentry);
size_t intake_count(const struct intake *intake);

/* inspect.c */
struct observation {
        struct tree *tree;
        const char *relative;
        unsigned what;      /* enum file_what, joined */
        unsigned n_closes;  /* writers that closed it */
        bool was_different; /* when it was looked at before, by this sentry or its predecessor */
        uint64_t monotonic_ns;
        const struct actor *actor; /* borrowed; NULL: unknown */
        bool refused;
        unsigned n_tries;      /* how often it could not be looked at */
        uint32_t ticket;       /* held by the caller while it lasts */
        struct sentry *sentry; /* set where it is passed on by a callback */
};
int inspections_new(struct sentry *sentry, struct inspections **ret_inspections);
struct inspections *inspections_free(struct inspections *inspections);
/* Does its actor hold a release of its tree? */
bool inspect_is_released(struct sentry *sentry, const struct observation *observation);
/* A path to look at. */
int inspect(struct sentry *sentry, const struct observation *observation);
/* A difference at hand (sweep, dpkg's remainder): judge it. Takes the change. */
int inspect_change(struct sentry *sentry, struct tree *tree, struct change *change);
/* A message from the assayer. */
void inspect_answer(struct sentry *sentry, const json_t *message);
void inspect_assayer_restarted(struct sentry *sentry);
/* What the assayer says of a change, and nothing else is done. Takes the change and hands it back. `content` may be NULL. */
typedef void (*inspect_answered)(struct sentry *sentry, struct tree *tree, struct change *change,
                                 const json_t *content, void *userdata);
int inspect_ask(struct sentry *sentry, struct tree *tree, struct change *change, bool from_vault,
                inspect_answered answered, void *userdata);
/*
 * What the assayer says of a change's content beside `before` (mode 0: beside nothing): the signs of detect/ransom,
 * NULL when it cannot say. Copies the change.
 */
int inspect_compare(struct sentry *sentry, struct tree *tree, const struct change *change,
                    const struct node *before, inspect_answered answered, void *userdata);
#define INSPECTIONS_WAITING_MAX 8192
size_t inspections_count(const struct inspections *inspections);
/* Reads the hosts an application's own files name, quietly; then tells unseen hosts from known ones. */
int inspect_learn_hosts(struct sentry *sentry, struct tree *tree);

/* large.c: files too large to be read while others wait */
int large_new(struct sentry *sentry, struct large **ret_large);
struct large *large_free(struct large *large);
/* baseline.large */
int large_ask(const struct baseline_tree *tree, const char *relative, const struct node *now,
              struct node *ret_node, void *sentry);
/* Who changed what is being read. */
void large_note(struct sentry *sentry, const struct observation *observation);
/* It was looked at. */
void large_forget(struct sentry *sentry, const struct tree *tree, const char *relative);

/* notes.c: what was reported, until the ledger has it; then observed */
struct notes;
int notes_new(struct notes **ret_notes);
struct notes *notes_free(struct notes *notes);
/* A state that goes into the next entry of a finding. */
int notes_add(struct sentry *sentry, const struct tree *tree, const struct change *change,
              const char *finding);
/* That this ticket's finding goes there, and no state of anything. */
int notes_add_ticket(struct sentry *sentry, uint32_t ticket, const char *finding);
/* Nothing unapproved stands there any more. */
void notes_clear(struct sentry *sentry, const struct tree *tree, const char *relative);
/* Was exactly this state reported, and stands? */
bool notes_has(struct sentry *sentry, const struct tree *tree, const char *relative, const struct node *node);
/* Those of a finding that were added and not taken yet, for the `userdata` of notes_settled(). NULL: none. */
void *notes_take(struct sentry *sentry, const char *finding);
/* outbox_done */
void notes_settled(uint64_t index, void *taken);
/* They are on no way: what they told is to be found again. */
void notes_lost(void *taken);

/* report.c */
int reports_new(struct sentry *sentry, struct reports **ret_reports);
struct reports *reports_free(struct reports *reports);
/* Adds a judged change to the finding it belongs to; says which. `ret_uid` has 32 bytes. */
int report_change(struct sentry *sentry, const struct tree *tree, const struct change *change,
                  const struct verdict *verdict, const char *diff, char ret_uid[static 32]);
int report_exec(struct sentry *sentry, const struct actor *actor, const struct verdict *verdict,
                uint32_t ticket);
/* A finding about the guard itself or a tree as a whole. */
int report_state(struct sentry *sentry, const char *title, const char *type, enum severity severity,
                 const char *path, const char *detail);
int report_action(struct sentry *sentry, const char *finding, const char *name, const char *path, bool done,
                  bool verified, const char *undo, const char *detail);
void reports_flush(struct sentry *sentry);

/* outbox.c: entries on their way to the ledger */
int outbox_new(struct sentry *sentry, struct outbox **ret_outbox);
struct outbox *outbox_free(struct outbox *outbox);
typedef void (*outbox_done)(uint64_t index, void *userdata);
/*
 * Takes `entry`. Kept and sent again until the ledger has acknowledged it; then `done` (may be NULL). -ENOBUFS when
 * too much waits already: `done` is not called.
 */
int outbox_append(struct sentry *sentry, json_t *entry, outbox_done done, void *userdata);
void outbox_acknowledged(struct sentry *sentry, uint64_t id, uint64_t index);
void outbox_resend(struct sentry *sentry);
void outbox_push(struct sentry *sentry);
size_t outbox_count(const struct outbox *outbox);
uint64_t outbox_refused(const struct outbox *outbox); /* entries there was no room for */

/* react.c */
void react(struct sentry *sentry, struct tree *tree, const struct change *change,
           const struct verdict *verdict, const char *finding);

/* Puts back what stood there before: evidence, action and all. */
void react_restore(struct sentry *sentry, struct tree *tree, const struct change *change,
                   const char *finding);

/* What every restore in a tree is done with. */
struct restore_context react_context(struct sentry *sentry, const struct tree *tree);
/* At the start, before any restore: what the predecessor's left in the middle. */
void react_collect_left(struct sentry *sentry);
/* Was it put back within the last seconds? */
bool react_restored_lately(const struct sentry *sentry, const struct tree *tree, const char *relative);

/* held.c: processes that are held */
void held_load(struct sentry *sentry);
/* Holds a process. enum hold_outcome, or a negative errno (-ENOSPC: HELD_MAX are held). */
int held_add(struct sentry *sentry, const struct process *process, const struct tree *tree,
             const char *finding);
/*
 * What is held goes on, or is ended with all it started: by its id (the pid in decimal), by the uid of the finding or
 * its first characters, or (NULL) all. Each is recorded, and told of by a line of the protocol's. Returns how many
 * there were; `ret_n_failed` (may be NULL): of how many it could not be done.
 */
typedef void (*held_line)(struct sentry *sentry, json_t *line, void *userdata); /* takes the line; or NULL */
size_t held_resume(struct sentry *sentry, const char *id, held_line line, void *userdata,
                   size_t *ret_n_failed);
/*
 * Trusts the image of what is held, one process, in the tree it worked on; of `wish` time and client. NULL, or why not
 * (msgid): then it is not to go on.
 */
struct trust_wish;
const char *held_trust(struct sentry *sentry, const char *id, const struct trust_wish *wish, held_line line,
                       void *userdata);
size_t held_kill(struct sentry *sentry, const char *id, held_line line, void *userdata, size_t *ret_n_failed);
/* An array of what stands held now, each as in the answer to "held". */
json_t *held_describe(struct sentry *sentry);
/* At the end of the guard: says what stays held, and how to let it go. */
void held_close(struct sentry *sentry);

/* packages.c: changes by dpkg, judged when it has exited */
int packages_new(struct sentry *sentry, struct packages **ret_packages);
struct packages *packages_free(struct packages *packages);
/* 1: dpkg made it, the verdict waits; 0: it did not. */
int packages_defer(struct sentry *sentry, const struct observation *observation);
void packages_tick(struct sentry *sentry);
void packages_exited(struct sentry *sentry, pid_t pid, uint64_t start_ns);

/* trust.c: grants of trust, as people ask for them */
struct trust_wish {
        const char *program; /* path; NULL: what `pid` runs */
        pid_t pid;
        const struct tree *tree;
        const char *reason;
        uint64_t time_ns;
        pid_t client; /* who asks */
};
/* 0, which is refused then: not a time that may be granted. */
uint64_t trust_time_ns(json_int_t milliseconds);
/* Grants it and records it. NULL with `ret_line` (may be NULL) as the answer has it, or why not (msgid). */
const char *trust_give(struct sentry *sentry, const struct trust_wish *wish, json_t **ret_line);
/* Is the image that a process runs, or ran, trusted in that tree? Reads it where anything is trusted at all. */
bool trust_covers(struct sentry *sentry, const struct process *process, const struct tree *tree);
void trust_request_add(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client);
void trust_request_list(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client);
void trust_request_revoke(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client);
/* What is over ends. */
void trust_tick(struct sentry *sentry);

/* images.c: what processes run, by its bytes */
int images_new(struct images **ret_images);
struct images *images_free(struct images *images);
/* It has just executed that. Any thread. */
void images_note(struct images *images, const struct process *process);
/* The image it ran as `process` says, also where it has exited. 0, or a negative errno: not known. */
int images_digest(struct images *images, const struct process *process, struct digest *ret_digest);

/* requests.c */
/* A path argument as raw bytes (owned), or NULL. */
char *take_path(const json_t *value);
void requests_ask(struct sentry *sentry, const json_t *message);
void requests_hangup(struct sentry *sentry, pid_t pid);
/* A line of the answer to a question (takes it), and its end; `error` is a msgid or NULL. */
void answer_line(struct sentry *sentry, uint64_t id, json_t *line);
void answer_end(struct sentry *sentry, uint64_t id, int status, const char *error);
void releases_tick(struct sentry *sentry);

/* keep.c: the vault within its size and its times */
struct baseline sentry_baseline(struct sentry *sentry);
void keep_tick(struct sentry *sentry);
/* What was approved is known from then on; 0: since the first baseline. */
uint64_t keep_complete_since(struct sentry *sentry);
/* Later than vault.retention alone would have it? */
bool keep_is_shortened(struct sentry *sentry);

/* state.c: what status and doctor say of the sentry's part */
json_t *state_describe(struct sentry *sentry);
void state_tick(struct sentry *sentry);

/* mailbox.c: from other threads into the loop */
struct mailbox;
int mailbox_new(struct sentry *sentry, struct mailbox **ret_mailbox);
struct mailbox *mailbox_free(struct mailbox *mailbox);
void mailbox_exec(const struct actor *actor, void *sentry);
void mailbox_exit(pid_t pid, uint64_t start_ns, void *sentry);
/* What a predecessor had in hand. Takes the actor and the ticket. */
void mailbox_resume(struct sentry *sentry, uint32_t ticket, const struct unfinished_record *record,
                    struct actor *actor);
/* The gate denied an open. */
void mailbox_refused(struct sentry *sentry, const char *path, const struct actor *actor);
/* Exits of this process are wanted from now on. */
void mailbox_want_exit(struct mailbox *mailbox, pid_t pid);
