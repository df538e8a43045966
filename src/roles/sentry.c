/*
 * The sentry's recipe: take the configuration and the kernel's descriptors, open the vault, arm
 * every tree, then follow what happens. Wiring only; the parts are in roles/sentry/.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "base/io.h"
#include "base/message.h"
#include "event/json.h"
#include "roles/sentry/cases.h"
#include "roles/sentry/sentry.h"
#include "roles/sentry/shield.h"

#define TICK_US          3000000
#define LOCK_TRIES       100
#define LOCK_TRY_US      50000
#define CONFIG_BYTES_MAX ((size_t)1 << 20)

static int load_config(struct sentry *sentry) {
        _cleanup_(buffer_deinit) struct buffer text;
        _cleanup_(freep) char *error = NULL;
        char path[64];
        buffer_init(&text, CONFIG_BYTES_MAX);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", sentry->context->config_fd);
        int r = io_read_file(AT_FDCWD, path, &text);
        return r < 0 ? r : config_parse(text.data, text.size, "configuration", &sentry->config, &error);
}

static int complain(const char *what, int error) {
        fprintf(stderr, "hinomi: sentry: %s: %s\n", what, strerror(-error));
        return error;
}

static int open_vault(struct sentry *sentry) {
        const char *state = sentry->context->state;
        struct store_options options = {
                .budget_bytes = sentry->config->options.vault_budget_bytes,
                .reserve_bytes = sentry->config->options.vault_reserve_bytes,
        };
        int r = store_open(state, &options, &sentry->store);
        /* A guard that was killed just now may still be giving its lock back. */
        for (int i = 0; r == -EWOULDBLOCK && i < LOCK_TRIES; i++) {
                usleep(LOCK_TRY_US);
                r = store_open(state, &options, &sentry->store);
        }
        if (r < 0)
                return complain("the vault cannot be opened", r);
        r = catalog_open(state, false, &sentry->catalog);
        if (r < 0)
                return complain("the catalog (vault/catalog.sqlite) cannot be opened", r);
        r = restore_journal_open(state, &sentry->journal);
        if (r < 0)
                return complain("vault/restoring cannot be opened", r);
        r = observed_open(state, &sentry->observed);
        if (r < 0)
                return complain("vault/observed.sqlite cannot be opened", r);
        r = shield_new(sentry, &sentry->shield);
        return r < 0 ? complain("vault/preserved cannot be opened", r) : 0;
}

static bool descends(pid_t pid, pid_t root, uint64_t root_start_ns, void *userdata) {
        struct sentry *sentry = userdata;
        return process_table_descends(sentry->processes, pid, root, root_start_ns);
}

/* First of all: who was there a moment ago cannot be asked a moment later. */
static int open_processes(struct sentry *sentry) {
        int r = process_table_new_kept(sentry->context->connector_fd, sentry->context->processes_fd,
                                       &sentry->processes);
        return r < 0 ? complain("process events", r) : 0;
}

static int open_senses(struct sentry *sentry) {
        const struct role_context *context = sentry->context;
        int r = watch_new_pending(context->fanotify_fd, context->pending_fd, &sentry->watch);
        if (r < 0)
                return complain("file events", r);
        r = unfinished_new(context->unfinished_fd, &sentry->unfinished);
        if (r < 0)
                return complain("memory for what is unfinished", r);
        r = images_new(&sentry->images);
        if (r < 0)
                return complain("what processes run", r);
        process_table_on_exec(sentry->processes, mailbox_exec, sentry);
        process_table_on_exit(sentry->processes, mailbox_exit, sentry);
        struct releases_options releases = {.state = context->state,
                                            .catalog = sentry->catalog,
                                            .descends = descends,
                                            .userdata = sentry};
        r = releases_open(&releases, &sentry->releases);
        if (r < 0)
                return complain("releases in progress", r);
        r = trusts_open(context->state, &sentry->trusts);
        if (r < 0)
                return complain("what is trusted", r);
        if (r > 0)
                fputs(_("hinomi: vault/trust.json cannot be read: nobody is trusted by it\n"), stderr);
        struct loop_options loop = {
                .limit = (unsigned)sentry->config->options.restore_loop_count,
                .window_ns = sentry->config->options.restore_loop_window_ns,
        };
        r = loop_new(&loop, NULL, NULL, &sentry->loop);
        return r;
}

/* May this open for writing happen? In a thread of the gate's. */
static bool allow_write(const struct gate_request *request, void *userdata) {
        struct sentry *sentry = userdata;
        struct tree *tree = request->path ? tree_of_path(sentry, request->path) : NULL;
        if (tree && tree->config->protect == PROTECT_SHIELD)
                return shield_allow(sentry, tree, request);
        if (!tree || tree->config->respond != RESPOND_REFUSE)
                return request->path != NULL;
        enum zone zone = profile_zone(tree->profile, tree_relative(tree, request->path));
        if (zone != ZONE_CODE && zone != ZONE_NONE)
                return true;
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(sentry->processes, request->pid);
        pid_t dpkg_pid;
        uint64_t dpkg_start_ns;
        if (actor && dpkg_is_running_lineage(actor, &dpkg_pid, &dpkg_start_ns))
                return true;
        pthread_mutex_lock(&sentry->releases_lock);
        bool is_released =
                actor && release_of(sentry->releases, actor, tree->id, clock_monotonic_ns(&clock_system));
        pthread_mutex_unlock(&sentry->releases_lock);
        if (!is_released)
                mailbox_refused(sentry, request->path, actor);
        return is_released;
}

static int open_gate(struct sentry *sentry) {
        if (sentry->context->gate_fd < 0)
                return 0;
        int r = gate_new(sentry->context->gate_fd, sentry->context->unanswered_fd, allow_write, sentry,
                         &sentry->gate);
        if (r < 0)
                return complain("permission events", r);
        gate_on_glance(sentry->gate, sentry->shield ? shield_glance : NULL);
        /* All at once and before any baseline: opens may be waiting since the predecessor ended. */
        for (size_t i = 0; i < sentry->n_trees; i++)
                if (config_tree_is_gated(sentry->trees[i].config))
                        (void)gate_add_tree(sentry->gate, sentry->trees[i].config->path,
                                            sentry->trees[i].index);
        gate_start(sentry->gate);
        return 0;
}

void sentry_drain(struct sentry *sentry) {
        for (int i = 0; i < 1000 && watch_dispatch(sentry->watch, intake_event, sentry) > 0; i++)
                ;
        intake_flush(sentry);
}

static void resume(uint32_t ticket, const struct unfinished_record *record, void *userdata) {
        struct sentry *sentry = userdata;
        struct actor *actor =
                record->pid ? process_table_actor_since(sentry->processes, record->pid, record->start_ns)
                            : NULL;
        if (record->kind == UNFINISHED_CHANGE)
                intake_resume(sentry, ticket, record, actor);
        else
                mailbox_resume(sentry, ticket, record, actor);
}

/*
 * What the assayer has not come to yet waits in the kernel's queue, where an event takes a tenth of the room that a
 * change takes here.
 */
static int on_files(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)fd, (void)revents;
        struct sentry *sentry = userdata;
        if (inspections_count(sentry->inspections) >= INSPECTIONS_WAITING_MAX)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        watch_dispatch(sentry->watch, intake_event, sentry);
        return 0;
}

/* After each round of the loop. */
static int on_room(sd_event_source *source, void *userdata) {
        (void)source;
        struct sentry *sentry = userdata;
        size_t n = inspections_count(sentry->inspections);
        sentry->was_crowded |= n >= INSPECTIONS_WAITING_MAX;
        if (n < INSPECTIONS_WAITING_MAX / 2)
                sd_event_source_set_enabled(sentry->files, SD_EVENT_ON);
        if (n == 0 && sentry->was_crowded) {
                sentry->was_crowded = false;
                malloc_trim(0);
        }
        return 0;
}

static int on_assayer(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        for (int i = 0; i < 64; i++) {
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                int r = message_receive(fd, &message);
                if (r < 0)
                        return 0;
                inspect_answer(userdata, message.body);
        }
        return 0;
}

static int on_ledger(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        for (int i = 0; i < 256; i++) {
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                if (message_receive(fd, &message) < 0)
                        return 0;
                const char *type = json_get_string(message.body, "type");
                if (type && !strcmp(type, "appended"))
                        outbox_acknowledged(userdata, (uint64_t)json_get_integer(message.body, "id", 0),
                                            (uint64_t)json_get_integer(message.body, "index", 0));
        }
        return 0;
}

static int on_engine(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct sentry *sentry = userdata;
        _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
        if (message_receive(fd, &message) < 0)
                return 0;
        const char *type = json_get_string(message.body, "type");
        if (type && !strcmp(type, "ask"))
                requests_ask(sentry, message.body);
        else if (type && !strcmp(type, "hangup"))
                requests_hangup(sentry, (pid_t)json_get_integer(message.body, "pid", 0));
        return 0;
}

/* Ends when nothing is on its way any more; the parent's patience bounds it. */
static int stop(struct sentry *sentry) {
        sentry_drain(sentry);
        reports_flush(sentry);
        sentry->is_stopping = true;
        return 0;
}

static int on_settled(sd_event_source *source, void *userdata) {
        (void)source;
        struct sentry *sentry = userdata;
        if (sentry->is_stopping && !outbox_count(sentry->outbox) && !inspections_count(sentry->inspections))
                return sd_event_exit(sentry->event, 0);
        return 0;
}

static int on_parent(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct sentry *sentry = userdata;
        _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
        int r = message_receive(fd, &message);
        if (r == -EPIPE)
                return sd_event_exit(sentry->event, 0);
        const char *type = r < 0 ? NULL : json_get_string(message.body, "type");
        const char *role = json_get_string(message.body, "role");
        if (!type)
                return 0;
        if (!strcmp(type, "stop"))
                return stop(sentry);
        if (!strcmp(type, "restarted") && role && !strcmp(role, role_name(ROLE_LEDGER)))
                outbox_resend(sentry);
        if (!strcmp(type, "restarted") && role && !strcmp(role, role_name(ROLE_ASSAYER)))
                inspect_assayer_restarted(sentry);
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)usec;
        state_tick(userdata);
        sd_event_source_set_time_relative(source, TICK_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int tell_parent(struct sentry *sentry, const char *type) {
        json_auto_t *message = json_pack("{s:s}", "type", type);
        return message_send(sentry->context->peers[ROLE_PARENT], message, NULL, 0);
}

static int open_parts(struct sentry *sentry) {
        int r = notes_new(&sentry->notes);
        r = r < 0 ? r : intake_new(sentry, &sentry->intake);
        r = r < 0 ? r : inspections_new(sentry, &sentry->inspections);
        r = r < 0 ? r : reports_new(sentry, &sentry->reports);
        r = r < 0 ? r : outbox_new(sentry, &sentry->outbox);
        r = r < 0 ? r : packages_new(sentry, &sentry->packages);
        r = r < 0 ? r : cases_new(sentry, &sentry->cases);
        r = r < 0 ? r : large_new(sentry, &sentry->large);
        return r < 0 ? r : mailbox_new(sentry, &sentry->mailbox);
}

static int open_loop(struct sentry *sentry) {
        const struct role_context *context = sentry->context;
        static const enum role_id non_blocking[] = {ROLE_ASSAYER, ROLE_LEDGER};
        for (size_t i = 0; i < ARRAY_SIZE(non_blocking); i++)
                fcntl(context->peers[non_blocking[i]], F_SETFL, O_NONBLOCK);
        sd_event *event = sentry->event;
        sd_event_source *settled = NULL;
        int r = sd_event_add_io(event, &sentry->files, watch_fd(sentry->watch), EPOLLIN, on_files, sentry);
        r = r < 0 ? r
                  : sd_event_add_io(event, NULL, context->peers[ROLE_ASSAYER], EPOLLIN, on_assayer, sentry);
        r = r < 0 ? r : sd_event_add_io(event, NULL, context->peers[ROLE_LEDGER], EPOLLIN, on_ledger, sentry);
        r = r < 0 ? r : sd_event_add_io(event, NULL, context->peers[ROLE_ENGINE], EPOLLIN, on_engine, sentry);
        r = r < 0 ? r : sd_event_add_io(event, NULL, context->peers[ROLE_PARENT], EPOLLIN, on_parent, sentry);
        r = r < 0 ? r : sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, TICK_US, 0, on_tick, sentry);
        r = r < 0 ? r : sd_event_add_post(event, NULL, on_room, sentry);
        r = r < 0 ? r : sd_event_add_post(event, &settled, on_settled, sentry);
        return r;
}

static void close_all(struct sentry *sentry) {
        gate_free(sentry->gate);
        shield_free(sentry->shield);
        process_table_free(sentry->processes);
        watch_free(sentry->watch);
        mailbox_free(sentry->mailbox);
        unfinished_free(sentry->unfinished); /* what is not finished stays for a successor */
        large_free(sentry->large);
        packages_free(sentry->packages);
        cases_free(sentry->cases);
        outbox_free(sentry->outbox);
        notes_free(sentry->notes);
        reports_free(sentry->reports);
        inspections_free(sentry->inspections);
        intake_free(sentry->intake);
        loop_free(sentry->loop);
        releases_close(sentry->releases);
        trusts_close(sentry->trusts);
        images_free(sentry->images);
        trees_close(sentry);
        observed_close(sentry->observed);
        catalog_close(sentry->catalog);
        restore_journal_close(&sentry->journal);
        store_close(sentry->store);
        for (size_t i = 0; i < RESTORED_MAX; i++)
                free(sentry->restored[i].path);
        held_close(sentry);
        sd_event_source_disable_unref(sentry->compare_timer);
        config_free(sentry->config);
        sd_event_source_unref(sentry->files);
        sd_event_unref(sentry->event);
}

static int run(struct sentry *sentry) {
        int r = load_config(sentry);
        r = r < 0 ? r : open_processes(sentry);
        r = r < 0 ? r : sd_event_new(&sentry->event);
        r = r < 0 ? r : open_vault(sentry);
        r = r < 0 ? r : trees_open(sentry);
        r = r < 0 ? r : trees_open_timer(sentry);
        r = r < 0 ? r : open_parts(sentry);
        r = r < 0 ? r : open_senses(sentry);
        r = r < 0 ? r : open_gate(sentry);
        r = r < 0 ? r : tell_parent(sentry, "ready");
        if (r < 0)
                return r;
        react_collect_left(sentry);
        /* All of them before any is compared: what a predecessor left may be about each, and says who it was. */
        for (size_t i = 0; i < sentry->n_trees; i++)
                (void)tree_arm(sentry, &sentry->trees[i]);
        (void)watch_drop_others(sentry->watch);
        held_load(sentry);
        shield_settle(sentry);
        unfinished_inherit(sentry->unfinished, resume, sentry);
        for (size_t i = 0; i < sentry->n_trees; i++) {
                r = tree_start(sentry, &sentry->trees[i]);
                if (r < 0)
                        fprintf(stderr, "hinomi: %s: %s\n", sentry->trees[i].config->path,
                                sentry->trees[i].reason ?: strerror(-r));
        }
        malloc_trim(0);
        r = open_loop(sentry);
        sentry->is_armed = true;
        r = r < 0 ? r : tell_parent(sentry, "armed");
        return r < 0 ? r : sd_event_loop(sentry->event);
}

int role_sentry_run(const struct role_context *context) {
        struct sentry sentry = {
                .context = context,
                .releases_lock = PTHREAD_MUTEX_INITIALIZER,
                .journal = {.fd = -EBADF},
                .started_ns = clock_wall_ns(&clock_system),
        };
        int r = run(&sentry);
        close_all(&sentry);
        return r;
}
