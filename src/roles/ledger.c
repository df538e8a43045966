/*
 * The ledger's recipe: open the log (one that was tampered with is put aside and said so), then take
 * appends from the peers, commit what is queued as one batch, answer, and pass the entries on to the engine.
 *
 * There is no delay: a commit starts when no message waits to be read, so a batch is what came while
 * the one before went to the disk. When the disk does not take it, entries wait here, up to
 * QUEUE_MAX; past that nothing more is read and the senders' sockets fill: they wait, nothing is lost.
 *
 * It comes here chrooted into the state directory, as its own user (roles/role.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/i18n.h"
#include "base/io.h"
#include "base/message.h"
#include "config/config.h"
#include "event/finding.h"
#include "event/json.h"
#include "ledger/ledger.h"
#include "roles/ledger-mail.h"
#include "roles/ledger-recent.h"
#include "roles/role.h"

#define QUEUE_MAX       4096
#define RECEIVE_MAX     256
#define RETRY_US        500000
#define RECENT_FOR_NS   (120 * NS_PER_S)
#define SEAL_EVERY_NS   (60 * NS_PER_S)
#define SEAL_IDLE_NS    (3600 * NS_PER_S)
#define PRIORITY_COMMIT 10 /* after everything that can be read */

/* An entry on its way: from the queue into the batch, from the batch to its sender. */
struct pending {
        struct pending *next;
        enum role_id from; /* ROLE_LEDGER: our own, no answer */
        json_int_t id;
        json_t *entry;
        uint64_t index; /* once in the batch */
};

struct list {
        struct pending *first, **end;
        size_t n;
};

struct keeper {
        const struct role_context *context;
        sd_event *event;
        sd_event_source *inputs[ROLE_COUNT], *commit, *retry, *heartbeat;
        struct mail *mails[ROLE_COUNT];
        struct ledger *ledger;
        struct recent *recent;
        struct list queue, batch;
        uint64_t started_ns, sealed_ns, heartbeat_us;
        int failure;    /* of the last commit: 0 or a negative errno */
        bool is_behind; /* durable, but the public files are not complete */
        bool is_unsealed;
};

static const enum role_id peers[] = {ROLE_PARENT, ROLE_SENTRY, ROLE_ENGINE};

static int complain(const char *what, int error) {
        fprintf(stderr, "hinomi: ledger: %s: %s\n", what, strerror(-error));
        return error;
}

static void list_push(struct list *list, struct pending *pending) {
        pending->next = NULL;
        *list->end = pending;
        list->end = &pending->next;
        list->n++;
}

static struct pending *list_pop(struct list *list) {
        struct pending *pending = list->first;
        if (pending) {
                list->first = pending->next;
                if (!list->first)
                        list->end = &list->first;
                list->n--;
        }
        return pending;
}

static void pending_free(struct pending *pending) {
        json_decref(pending->entry);
        free(pending);
}

/* Takes `entry` over. */
static int enqueue(struct keeper *keeper, enum role_id from, json_int_t id, json_t *entry) {
        struct pending *pending = entry ? malloc(sizeof(*pending)) : NULL;
        if (!pending) {
                json_decref(entry);
                return -ENOMEM;
        }
        *pending = (struct pending){.from = from, .id = id, .entry = entry};
        list_push(&keeper->queue, pending);
        return sd_event_source_set_enabled(keeper->commit, SD_EVENT_ONESHOT);
}

/* Something about the ledger itself. */
static void record(struct keeper *keeper, json_t *state) {
        if (enqueue(keeper, ROLE_LEDGER, 0, json_pack("{s:s,s:o}", "kind", "state", "state", state)) < 0)
                complain("record", -ENOMEM);
}

/* The guard's own record was touched: that is an attack on it until shown otherwise. */
static void record_tampering(struct keeper *keeper, const char *title, const char *type) {
        char uid[32];
        uint64_t now = clock_wall_ns(&clock_system);
        finding_uid_make(now, uid);
        json_t *finding = finding_new(uid, title, SEVERITY_CRITICAL, now);
        finding_add_type(finding, type);
        finding_add_technique(finding, "T1070"); /* Indicator Removal */
        fprintf(stderr, "hinomi: ledger: %s\n", title);
        enqueue(keeper, ROLE_LEDGER, 0, json_pack("{s:s,s:o}", "kind", "finding", "finding", finding));
}

static void tell_state(struct keeper *keeper) {
        const char *state = keeper->failure ? "unwritable" : keeper->is_behind ? "behind" : "ok";
        json_t *body = json_pack("{s:s,s:s,s:I,s:I}", "type", "ledger-state", "state", state, "size",
                                 (json_int_t)ledger_size(keeper->ledger), "waiting",
                                 (json_int_t)(keeper->queue.n + keeper->batch.n));
        if (keeper->failure)
                json_object_set_new(body, "error", json_string(strerror(-keeper->failure)));
        mail_send(keeper->mails[ROLE_PARENT], body);
}

static void set_state(struct keeper *keeper, int failure, bool is_behind) {
        if (keeper->failure == failure && keeper->is_behind == is_behind)
                return;
        if (failure)
                complain("entries wait, the log cannot be written", failure);
        else if (is_behind)
                fprintf(stderr, "hinomi: ledger: entries are safe, but its public files cannot be written\n");
        keeper->failure = failure;
        keeper->is_behind = is_behind;
        tell_state(keeper);
}

/* The entry's text, dated. `clock` says what the machine's clock showed when that was earlier. */
static char *entry_text(struct keeper *keeper, const struct pending *pending) {
        char time[CLOCK_RFC3339_SIZE];
        uint64_t now_ns = ledger_time(keeper->ledger), wall_ns = clock_wall_ns(&clock_system);
        clock_format(now_ns, time);
        json_auto_t *dated = json_pack("{s:s}", "time", time);
        json_object_del(pending->entry, "time");
        json_object_del(pending->entry, "clock");
        if (wall_ns + NS_PER_S < now_ns) {
                clock_format(wall_ns, time);
                json_object_set_new(dated, "clock", json_string(time));
        }
        json_object_update(dated, pending->entry);
        json_object_update(pending->entry, dated);
        return json_dumps(dated, JSON_COMPACT);
}

/* What is too large for an entry is entered by its digest: better a stump than nothing. */
static char *stump_text(struct keeper *keeper, struct pending *pending) {
        char hex[DIGEST_HEX_SIZE];
        struct digest digest;
        _cleanup_(freep) char *text = json_dumps(pending->entry, JSON_COMPACT);
        if (!text || digest_bytes(text, strlen(text), &digest) < 0)
                return NULL;
        digest_format(&digest, hex);
        json_t *stump = json_pack("{s:O,s:{s:I,s:s}}", "kind", json_object_get(pending->entry, "kind"),
                                  "oversize", "bytes", (json_int_t)strlen(text), "sha256", hex);
        json_decref(pending->entry);
        pending->entry = stump;
        return entry_text(keeper, pending);
}

/* Returns 0, -ENOBUFS (the batch is full), or another negative errno. */
static int batch_add(struct keeper *keeper, struct pending *pending) {
        _cleanup_(freep) char *text = entry_text(keeper, pending);
        int r = text ? ledger_add(keeper->ledger, text, strlen(text), &pending->index) : -ENOMEM;
        if (r != -EMSGSIZE)
                return r;
        free(text);
        text = stump_text(keeper, pending);
        return text ? ledger_add(keeper->ledger, text, strlen(text), &pending->index) : -ENOMEM;
}

static void batch_answer(struct keeper *keeper) {
        for (struct pending *pending; (pending = list_pop(&keeper->batch));) {
                /* The engine first: who is told that it is done may ask there at once. */
                mail_send_entry(keeper->mails[ROLE_ENGINE],
                                json_pack("{s:s,s:I,s:O}", "type", "entry", "index",
                                          (json_int_t)pending->index, "entry", pending->entry));
                if (pending->from != ROLE_LEDGER)
                        mail_send(keeper->mails[pending->from],
                                  json_pack("{s:s,s:I,s:I}", "type", "appended", "id", pending->id, "index",
                                            (json_int_t)pending->index));
                pending_free(pending);
        }
}

static void clock_look(struct keeper *keeper) {
        int64_t step_ns = ledger_clock_step(keeper->ledger);
        char time[CLOCK_RFC3339_SIZE];
        if (step_ns == 0)
                return;
        clock_format(clock_wall_ns(&clock_system), time);
        record(keeper, json_pack("{s:s,s:f,s:s}", "name", "clock_stepped", "seconds", (double)step_ns / 1e9,
                                 "clock", time));
}

/* Queue to batch to disk to answers, until the queue is empty or the disk says no. */
static int commit_all(struct keeper *keeper) {
        clock_look(keeper);
        do {
                int r = 0;
                while (r == 0 && keeper->queue.first) {
                        r = batch_add(keeper, keeper->queue.first);
                        if (r == 0)
                                list_push(&keeper->batch, list_pop(&keeper->queue));
                }
                if (r == 0 || r == -ENOBUFS)
                        r = ledger_commit(keeper->ledger);
                if (r < 0) {
                        set_state(keeper, r, keeper->is_behind);
                        return r;
                }
                batch_answer(keeper);
                set_state(keeper, 0, r == LEDGER_UNPUBLISHED);
        } while (keeper->queue.first);
        return 0;
}

static void inputs_enable(struct keeper *keeper, bool enable) {
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                if (keeper->inputs[peers[i]] && peers[i] != ROLE_PARENT)
                        sd_event_source_set_enabled(keeper->inputs[peers[i]],
                                                    enable ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int seal_if_due(struct keeper *keeper, bool force) {
        uint64_t now = clock_monotonic_ns(&clock_system), age = now - keeper->sealed_ns;
        if (!force && age < SEAL_EVERY_NS && !keeper->is_unsealed)
                return 0;
        int r = ledger_seal(keeper->ledger, age >= SEAL_IDLE_NS);
        keeper->is_unsealed = false;
        if (r != 0)
                keeper->sealed_ns = now; /* after a failure, too: once a minute is enough to try */
        return r < 0 ? complain("seal", r) : 0;
}

/* After an error that only opening again can mend, the role ends; the parent starts it anew. */
static int commit_now(struct keeper *keeper) {
        int r = commit_all(keeper);
        if (r == -ENOTRECOVERABLE)
                return sd_event_exit(keeper->event, r);
        inputs_enable(keeper, keeper->queue.n < QUEUE_MAX);
        if (r < 0) {
                sd_event_source_set_time_relative(keeper->retry, RETRY_US);
                return sd_event_source_set_enabled(keeper->retry, SD_EVENT_ONESHOT);
        }
        sd_event_source_set_enabled(keeper->retry, keeper->is_behind ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
        if (keeper->is_behind)
                sd_event_source_set_time_relative(keeper->retry, RETRY_US);
        return seal_if_due(keeper, false) == -ENOTRECOVERABLE ? sd_event_exit(keeper->event, -EIO) : 0;
}

static int on_commit(sd_event_source *source, void *userdata) {
        (void)source;
        struct keeper *keeper = userdata;
        /* while the disk does not take it, the timer tries, not every message */
        return keeper->failure ? 0 : commit_now(keeper);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        return commit_now(userdata);
}

/* A checkpoint when nothing happens, so that a gap means something; and the quiet time for housework. */
static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)usec;
        struct keeper *keeper = userdata;
        if (!keeper->failure && !keeper->is_behind && ledger_repair(keeper->ledger) > 0)
                record_tampering(keeper, N_("The ledger's files were altered under the running guard"),
                                 "ledger_altered");
        if (keeper->recent && clock_monotonic_ns(&clock_system) - keeper->started_ns > RECENT_FOR_NS)
                keeper->recent = recent_free(keeper->recent);
        int r = commit_now(keeper);
        if (r == 0 && !keeper->failure)
                ledger_settle(keeper->ledger);
        sd_event_source_set_time_relative(source, keeper->heartbeat_us);
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return r;
}

static int take_append(struct keeper *keeper, enum role_id from, const json_t *body) {
        json_int_t id = json_get_integer(body, "id", 0);
        json_t *entry = json_object_get(body, "entry");
        const char *kind = json_get_string(entry, "kind");
        uint64_t index;
        if (!kind) {
                mail_send(keeper->mails[from],
                          json_pack("{s:s,s:I,s:s}", "type", "refused", "id", id, "error", "not an entry"));
                return complain(role_name(from), -EBADMSG);
        }
        if (strcmp(kind, "state") && recent_take(keeper->recent, entry, &index) > 0) {
                mail_send(keeper->mails[from], json_pack("{s:s,s:I,s:I}", "type", "appended", "id", id,
                                                         "index", (json_int_t)index));
                return 0;
        }
        int r = enqueue(keeper, from, id, json_incref(entry));
        return r < 0 ? complain("append", r) : 0;
}

/* Everything a peer has sent so far. Returns 0, or -EPIPE when it is gone. */
static int receive(struct keeper *keeper, enum role_id from, int (*other)(struct keeper *, const json_t *)) {
        for (int i = 0; i < RECEIVE_MAX && keeper->queue.n < QUEUE_MAX; i++) {
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                int r = message_receive(keeper->context->peers[from], &message);
                if (r == -EBADMSG) {
                        complain(role_name(from), r);
                        continue;
                }
                if (r < 0)
                        return r == -EPIPE ? r : 0;
                const char *type = json_get_string(message.body, "type");
                if (type && !strcmp(type, "append"))
                        take_append(keeper, from, message.body);
                else if (type && other)
                        other(keeper, message.body);
        }
        if (keeper->queue.n >= QUEUE_MAX)
                inputs_enable(keeper, false);
        return 0;
}

static int on_peer(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)revents;
        struct keeper *keeper = userdata;
        for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                if (keeper->context->peers[peers[i]] == fd && receive(keeper, peers[i], NULL) == -EPIPE)
                        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

/* The last word: what the peers have sent before they ended is taken, sealed and settled. */
static int stop(struct keeper *keeper) {
        size_t n;
        do {
                n = keeper->queue.n;
                for (size_t i = 0; i < ARRAY_SIZE(peers); i++)
                        if (keeper->context->peers[peers[i]] >= 0)
                                receive(keeper, peers[i], NULL);
        } while (keeper->queue.n > n);
        int r = commit_all(keeper);
        if (r == 0)
                r = seal_if_due(keeper, true);
        if (r == 0)
                ledger_settle(keeper->ledger);
        return sd_event_exit(keeper->event, r < 0 ? r : 0);
}

static int on_order(struct keeper *keeper, const json_t *body) {
        const char *type = json_get_string(body, "type"), *role = json_get_string(body, "role");
        if (!strcmp(type, "stop"))
                return stop(keeper);
        if (!strcmp(type, "restarted") && role && role_parse(role) < ROLE_COUNT &&
            keeper->mails[role_parse(role)])
                mail_clear(keeper->mails[role_parse(role)]);
        return 0;
}

static int on_parent(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)fd, (void)revents;
        struct keeper *keeper = userdata;
        return receive(keeper, ROLE_PARENT, on_order) == -EPIPE ? stop(keeper) : 0;
}

static int open_log(struct keeper *keeper) {
        const char *state = keeper->context->state;
        int r = ledger_open(state, &clock_system, NULL, &keeper->ledger);
        bool is_aside = r == -EBADMSG;
        if (is_aside) {
                r = ledger_set_aside(state, &clock_system);
                if (r == 0)
                        r = ledger_open(state, &clock_system, NULL, &keeper->ledger);
        }
        if (r < 0)
                return complain("open", r);
        if (is_aside)
                record_tampering(
                        keeper,
                        N_("The ledger was damaged or set back; it was put aside and a new one begun"),
                        "ledger_replaced");
        else if (ledger_recovered(keeper->ledger))
                record(keeper, json_pack("{s:s,s:I}", "name", "ledger_recovered", "entries",
                                         (json_int_t)ledger_recovered(keeper->ledger)));
        r = recent_load(state, ledger_size(keeper->ledger), &keeper->recent);
        if (r < 0)
                complain("newest entries", r);
        return 0;
}

static uint64_t heartbeat_us(const struct role_context *context) {
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *error = NULL;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        ssize_t n = -1;
        if (context->config_fd >= 0 && buffer_reserve(&text, 1 << 20) == 0)
                n = io_pread_full(context->config_fd, text.data, 1 << 20, 0);
        if (n <= 0 || config_parse(text.data, (size_t)n, "configuration", &config, &error) < 0)
                return 60 * UINT64_C(1000000);
        return config->options.ledger_heartbeat_ns / 1000;
}

static int open_sources(struct keeper *keeper) {
        const struct role_context *context = keeper->context;
        int r = sd_event_add_defer(keeper->event, &keeper->commit, on_commit, keeper);
        if (r >= 0)
                r = sd_event_source_set_priority(keeper->commit, PRIORITY_COMMIT);
        if (r >= 0)
                r = sd_event_source_set_enabled(keeper->commit, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(keeper->event, &keeper->retry, CLOCK_MONOTONIC, RETRY_US, 0,
                                               on_retry, keeper);
        if (r >= 0)
                r = sd_event_source_set_enabled(keeper->retry, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(keeper->event, &keeper->heartbeat, CLOCK_MONOTONIC,
                                               keeper->heartbeat_us, 0, on_heartbeat, keeper);
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(peers); i++) {
                int fd = context->peers[peers[i]];
                r = mail_new(keeper->event, fd, &keeper->mails[peers[i]]);
                if (r >= 0 && fd >= 0)
                        r = sd_event_add_io(keeper->event, &keeper->inputs[peers[i]], fd, EPOLLIN,
                                            peers[i] == ROLE_PARENT ? on_parent : on_peer, keeper);
        }
        return r < 0 ? r : 0;
}

static void keeper_deinit(struct keeper *keeper) {
        for (struct pending *pending; (pending = list_pop(&keeper->queue) ?: list_pop(&keeper->batch));)
                pending_free(pending);
        for (size_t i = 0; i < ROLE_COUNT; i++) {
                sd_event_source_disable_unref(keeper->inputs[i]);
                mail_free(keeper->mails[i]);
        }
        sd_event_source_disable_unref(keeper->commit);
        sd_event_source_disable_unref(keeper->retry);
        sd_event_source_disable_unref(keeper->heartbeat);
        recent_free(keeper->recent);
        ledger_close(keeper->ledger);
        sd_event_unref(keeper->event);
}

int role_ledger_run(const struct role_context *context) {
        _cleanup_(keeper_deinit) struct keeper keeper = {
                .context = context,
                .started_ns = clock_monotonic_ns(&clock_system),
                .heartbeat_us = heartbeat_us(context),
                .is_unsealed = true, /* the first commit is sealed at once */
        };
        keeper.queue.end = &keeper.queue.first;
        keeper.batch.end = &keeper.batch.first;
        int r = sd_event_new(&keeper.event);
        if (r >= 0)
                r = open_sources(&keeper);
        if (r >= 0)
                r = open_log(&keeper);
        if (r < 0)
                return r;
        keeper.sealed_ns = keeper.started_ns;
        tell_state(&keeper);
        mail_send(keeper.mails[ROLE_PARENT], json_pack("{s:s}", "type", "ready"));
        return sd_event_loop(keeper.event);
}
