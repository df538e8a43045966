/*
 * The engine's recipe: open the view of the ledger, catch up with what was committed while
 * it was away, then follow. It prints findings as they are committed and answers at the
 * control socket. It never touches a guarded file.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/message.h"
#include "event/json.h"
#include "ledger/ledger.h"
#include "roles/engine/engine.h"

#define ENTRIES_AT_ONCE     16 /* then clients have their turn */
#define ENTRIES_WAITING_MAX 1024

static int apply(struct engine *engine, uint64_t index, const json_t *entry, bool live) {
        json_auto_t *news = NULL;
        int r = findings_apply(engine->findings, index, entry, &news);
        if (r == 1 && live) {
                printer_print(engine->printer, news);
                clients_publish(engine, news);
        }
        return r < 0 ? r : 0;
}

struct catch_up {
        struct engine *engine;
        bool live;
};

static int on_old_entry(uint64_t index, const char *text, size_t size, void *userdata) {
        struct catch_up *catch_up = userdata;
        if (index >= catch_up->engine->n_seen)
                catch_up->engine->n_seen = index + 1;
        json_auto_t *entry = json_loadb(text, size, 0, NULL);
        if (!entry)
                return -EBADMSG;
        return apply(catch_up->engine, index, entry, catch_up->live);
}

/* Reads entries from the ledger's files up to, not including, `to` (UINT64_MAX: all there are). */
static int catch_up(struct engine *engine, uint64_t to, bool live) {
        struct catch_up state = {engine, live};
        int r = findings_begin(engine->findings);
        if (r < 0)
                return r;
        r = ledger_read(engine->context->state, findings_next(engine->findings), to, on_old_entry, &state);
        int s = findings_end(engine->findings);
        return r < 0 ? r : s;
}

/* A log that was begun anew, the old one being put aside, is not what the view was made of. */
static int follow_log(struct engine *engine) {
        char name[LEDGER_NAME_SIZE];
        int r = ledger_name(engine->context->state, name);
        if (r == 0)
                r = findings_claim(engine->findings, name);
        if (r == 0)
                r = findings_renew("/engine", &engine->findings);
        if (r == 0)
                r = findings_claim(engine->findings, name);
        return r;
}

static void on_entry(struct engine *engine, const json_t *message) {
        uint64_t index = (uint64_t)json_get_integer(message, "index", -1);
        if ((index == 0 || index < findings_next(engine->findings)) && follow_log(engine) < 0 &&
            !engine->findings) {
                sd_event_exit(engine->event, -EIO);
                return;
        }
        if (index >= engine->n_seen)
                engine->n_seen = index + 1;
        if (index > findings_next(engine->findings))
                catch_up(engine, index, true);
        if (index == findings_next(engine->findings))
                apply(engine, index, json_object_get(message, "entry"), true);
}

/* At most `n` messages of those that wait. */
static void take_entries(struct engine *engine, int n) {
        while (n-- > 0) {
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                int r = message_receive(engine->context->peers[ROLE_LEDGER], &message);
                if (r < 0)
                        return;
                const char *type = json_get_string(message.body, "type");
                if (type && !strcmp(type, "entry"))
                        on_entry(engine, message.body);
                else if (type && !strcmp(type, "appended"))
                        clients_appended(engine, message.body);
        }
}

int engine_catch_up(struct engine *engine) {
        take_entries(engine, ENTRIES_WAITING_MAX); /* what is committed is known, when somebody asks */
        if (findings_next(engine->findings) >= engine->n_seen)
                return 0;
        return catch_up(engine, UINT64_MAX, true);
}

static int on_ledger(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)fd, (void)revents;
        take_entries(userdata, ENTRIES_AT_ONCE);
        return 0;
}

static int on_sentry(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct engine *engine = userdata;
        _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
        if (message_receive(fd, &message) < 0)
                return 0;
        const char *type = json_get_string(message.body, "type");
        if (type && !strcmp(type, "answer"))
                clients_answer(engine, message.body);
        return 0;
}

bool engine_role_is_up(const struct engine *engine, enum role_id id) {
        const json_t *role = json_object_get(engine->roles, role_name(id));
        return !role || json_is_true(json_object_get(role, "up"));
}

static void keep(json_t **place, json_t *value) {
        json_decref(*place);
        *place = json_incref(value);
}

static int on_parent(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct engine *engine = userdata;
        _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
        int r = message_receive(fd, &message);
        if (r == -EPIPE)
                return sd_event_exit(engine->event, 0);
        const char *type = r < 0 ? NULL : json_get_string(message.body, "type");
        const char *role = json_get_string(message.body, "role");
        if (!type)
                return 0;
        if (!strcmp(type, "stop"))
                return sd_event_exit(engine->event, 0);
        if (!strcmp(type, "roles")) {
                keep(&engine->roles, json_object_get(message.body, "roles"));
                if (!engine_role_is_up(engine, ROLE_SENTRY))
                        clients_sentry_away(engine);
        } else if (!strcmp(type, "ledger-state"))
                keep(&engine->ledger_state, message.body);
        else if (!strcmp(type, "restarted") && role && !strcmp(role, role_name(ROLE_SENTRY)))
                clients_sentry_restarted(engine);
        else if (!strcmp(type, "restarted") && role && !strcmp(role, role_name(ROLE_LEDGER)))
                catch_up(engine, UINT64_MAX, true);
        return 0;
}

static int engine_loop(struct engine *engine) {
        const struct role_context *context = engine->context;
        int r = 0;
        fcntl(context->peers[ROLE_LEDGER], F_SETFL, O_NONBLOCK);
        r = r < 0 ? r
                  : sd_event_add_io(engine->event, NULL, context->peers[ROLE_PARENT], EPOLLIN, on_parent,
                                    engine);
        r = r < 0 ? r
                  : sd_event_add_io(engine->event, NULL, context->peers[ROLE_LEDGER], EPOLLIN, on_ledger,
                                    engine);
        r = r < 0 ? r
                  : sd_event_add_io(engine->event, NULL, context->peers[ROLE_SENTRY], EPOLLIN, on_sentry,
                                    engine);
        r = r < 0 ? r : clients_listen(engine);
        if (r < 0)
                return r;
        json_auto_t *ready = json_pack("{s:s}", "type", "ready");
        r = message_send(context->peers[ROLE_PARENT], ready, NULL, 0);
        return r < 0 ? r : sd_event_loop(engine->event);
}

int role_engine_run(const struct role_context *context) {
        struct engine engine = {.context = context, .started_ns = clock_wall_ns(&clock_system)};
        int r = sd_event_new(&engine.event);
        r = r < 0 ? r : printer_new(&engine, &engine.printer);
        r = r < 0 ? r : findings_open("/engine", &engine.findings);
        if (r < 0)
                return r;
        r = follow_log(&engine); /* no log yet: the first entry tells */
        if (!engine.findings)
                return r;
        r = catch_up(&engine, UINT64_MAX, false);
        if (r < 0 && r != -ENOENT)
                engine.n_seen = findings_next(engine.findings) + 1;
        r = engine_loop(&engine);
        printer_free(engine.printer);
        findings_close(engine.findings);
        return r;
}
