/*
 * The control socket: connections, their requests, and what the sentry answers to them.
 *
 * A connection works on one request at a time. Requests for the sentry are passed on and
 * their answers passed back by number; a client that hangs up is told to the sentry, which
 * then ends what it held for it. Bounded: CLIENTS_MAX connections, each with a send timeout.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/message.h"
#include "control/protocol.h"
#include "event/finding.h"
#include "event/json.h"
#include "roles/engine/engine.h"

#define CLIENTS_MAX        64
#define SENTRY_PATIENCE_US 5000000
/* With a client that does not read. News go to many, and who has not read several MB of them is hung up on. */
#define ANSWER_PATIENCE_US 5000000
#define NEWS_PATIENCE_US   100000

struct client {
        struct client *next;
        struct engine *engine;
        int fd;
        pid_t pid;
        sd_event_source *source;
        sd_event_source *timer;
        bool watching;
        int watch_severity;
        char *watch_tree;
        uint64_t ask;    /* number of the question to the sentry; 0: none */
        uint64_t append; /* number of the entry the ledger is writing for it; 0: none */
        bool wants_status, wants_doctor;
        bool holds_release;
};

static void client_close(struct client *client) {
        struct engine *engine = client->engine;
        struct client **link = &engine->clients;
        while (*link && *link != client)
                link = &(*link)->next;
        if (*link)
                *link = client->next;
        engine->n_clients--;
        if (client->ask || client->holds_release) {
                json_auto_t *hangup =
                        json_pack("{s:s,s:I}", "type", "hangup", "pid", (json_int_t)client->pid);
                message_send(engine->context->peers[ROLE_SENTRY], hangup, NULL, 0);
        }
        sd_event_source_disable_unref(client->source);
        sd_event_source_disable_unref(client->timer);
        free(client->watch_tree);
        close(client->fd);
        free(client);
}

static int client_send(struct client *client, json_t *body) {
        json_auto_t *owned = body;
        return message_send(client->fd, owned, NULL, 0);
}

static int client_line(struct client *client, const json_t *data, bool more) {
        json_t *body = json_pack("{s:s,s:O}", "type", "line", "data", data);
        if (more)
                json_object_set_new(body, "more", json_true());
        return client_send(client, body);
}

static int client_end(struct client *client, int status, const char *error) {
        json_t *body = json_pack("{s:s,s:i}", "type", "end", "status", status);
        if (error)
                json_object_set_new(body, "error", json_bytes(error));
        client->ask = 0;
        client->append = 0;
        client->wants_status = client->wants_doctor = false;
        client->timer = sd_event_source_disable_unref(client->timer);
        return client_send(client, body);
}

static int severity_parse(const char *name) {
        for (int severity = SEVERITY_INFORMATIONAL; name && severity <= SEVERITY_CRITICAL; severity++)
                if (!strcasecmp(name, severity_name(severity)))
                        return severity;
        return name ? -EINVAL : 0;
}

static int send_piece(const json_t *piece, bool more, void *userdata) {
        return client_line(userdata, piece, more);
}

static void set_patience(int fd, suseconds_t patience_us) {
        struct timeval patience = {.tv_sec = patience_us / 1000000, .tv_usec = patience_us % 1000000};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static int start_watch(struct client *client, const json_t *request) {
        int severity = severity_parse(json_get_string(request, "severity"));
        if (severity < 0)
                return client_end(client, 2, "unknown severity");
        const char *tree = json_get_string(request, "tree");
        client->watch_severity = severity;
        client->watch_tree = tree ? strdup(tree) : NULL;
        client->watching = true;
        set_patience(client->fd, NEWS_PATIENCE_US);
        return 0;
}

static int request_findings(struct client *client, const json_t *request) {
        struct findings_query query = {
                .since_ms = (uint64_t)json_get_integer(request, "since", 0),
                .until_ms = (uint64_t)json_get_integer(request, "until", 0),
                .severity_min = severity_parse(json_get_string(request, "severity")),
                .limit = (uint64_t)json_get_integer(request, "limit", 0),
                .tree = json_get_string(request, "tree"),
        };
        if (query.severity_min < 0)
                return client_end(client, 2, "unknown severity");
        int r = findings_select(client->engine->findings, &query, send_piece, client);
        if (r == -EPIPE || r == -EAGAIN)
                return r;
        if (r < 0)
                return client_end(client, 3, "the findings cannot be read");
        if (json_is_true(json_object_get(request, "follow")))
                return start_watch(client, request);
        return client_end(client, 0, NULL);
}

static int request_show(struct client *client, const json_t *request) {
        int r = findings_get(client->engine->findings, json_get_string(request, "id"), send_piece, client);
        if (r == -EPIPE || r == -EAGAIN)
                return r;
        if (r == -ENOENT)
                return client_end(client, 1, "no such finding");
        if (r == -EEXIST)
                return client_end(client, 2, "ambiguous");
        return client_end(client, r < 0 ? 3 : 0, r < 0 ? "the finding cannot be read" : NULL);
}

static int send_release(const json_t *release, bool more, void *userdata) {
        (void)more;
        json_auto_t *line = json_pack("{s:O}", "release", release);
        return client_line(userdata, line, false);
}

static int request_releases(struct client *client, const json_t *request) {
        int r = findings_releases(client->engine->findings, (uint64_t)json_get_integer(request, "limit", 0),
                                  send_release, client);
        if (r == -EPIPE || r == -EAGAIN)
                return r;
        return client_end(client, r < 0 ? 3 : 0, r < 0 ? N_("the releases cannot be read") : NULL);
}

static int request_drill_record(struct client *client, const json_t *request) {
        struct engine *engine = client->engine;
        json_t *report = json_loads(json_get_string(request, "report"), JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(report)) {
                json_decref(report);
                return client_end(client, 2, "the report is not a JSON object");
        }
        client->append = ++engine->next_append;
        json_auto_t *append =
                json_pack("{s:s,s:I,s:{s:s,s:o}}", "type", "append", "id", (json_int_t)client->append,
                          "entry", "kind", "drill", "drill", report);
        return message_send(engine->context->peers[ROLE_LEDGER], append, NULL, 0);
}

static int finish_report(struct client *client, const json_t *sentry) {
        bool in_force = false;
        int r = 0;
        if (client->wants_status) {
                json_auto_t *status = report_status(client->engine, sentry, &in_force);
                r = client_line(client, status, false);
        } else {
                json_auto_t *checks = report_checks(client->engine, sentry, &in_force);
                size_t i;
                json_t *check;
                json_array_foreach (checks, i, check)
                        if (r == 0)
                                r = client_line(client, check, false);
        }
        return r < 0 ? r : client_end(client, in_force ? 0 : 1, NULL);
}

static int on_impatient(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        struct client *client = userdata;
        if (client->wants_status || client->wants_doctor)
                finish_report(client, NULL);
        return 0;
}

static const char sentry_away[] =
        N_("the sentry does not do its duty now: see `hinomi doctor`, then ask again");

/* Passes the question on; status and doctor do not wait for a sentry that hangs. */
static int ask_sentry(struct client *client, const json_t *request) {
        struct engine *engine = client->engine;
        client->ask = ++engine->next_ask;
        json_auto_t *ask = json_pack("{s:s,s:I,s:O,s:I}", "type", "ask", "id", (json_int_t)client->ask,
                                     "request", request, "pid", (json_int_t)client->pid);
        const char *name = json_get_string(request, "request");
        client->wants_status = !strcmp(name, "status");
        client->wants_doctor = !strcmp(name, "doctor");
        if (client->wants_status || client->wants_doctor)
                sd_event_add_time_relative(engine->event, &client->timer, CLOCK_MONOTONIC, SENTRY_PATIENCE_US,
                                           0, on_impatient, client);
        client->holds_release |= json_is_true(json_object_get(request, "held"));
        if (!engine_role_is_up(engine, ROLE_SENTRY) && !client->timer)
                return client_end(client, 3, sentry_away);
        int r = message_send(engine->context->peers[ROLE_SENTRY], ask, NULL, 0);
        return r < 0 ? client_end(client, 3, "the sentry does not take questions") : 0;
}

static int client_request(struct client *client, const json_t *request) {
        static const struct {
                const char *name;
                int (*handle)(struct client *client, const json_t *request);
        } own[] = {
                {"findings", request_findings},         {"watch", start_watch}, {"show", request_show},
                {"releases", request_releases},         {"status", ask_sentry}, {"doctor", ask_sentry},
                {"drill-record", request_drill_record},
        };
        const struct protocol_request *row;
        _cleanup_(freep) char *error = NULL;
        if (client->ask || client->append)
                return client_end(client, 2, "one request at a time");
        if (protocol_check(request, &row, &error) < 0)
                return client_end(client, 2, error);
        if (row->answerer == ANSWER_SENTRY)
                return ask_sentry(client, request);
        client->engine->asking = client;
        engine_catch_up(client->engine);
        client->engine->asking = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
                if (!strcmp(own[i].name, row->name))
                        return own[i].handle(client, request);
        return client_end(client, 2, "unknown request");
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct client *client = userdata;
        _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
        int r = message_receive(fd, &message);
        if (r == -EBADMSG)
                r = client_end(client, 2, "not a JSON object");
        else if (r == 0)
                r = client_request(client, message.body);
        if (r < 0 && r != -EINTR)
                client_close(client);
        return 0;
}

static int on_connect(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct engine *engine = userdata;
        _cleanup_(fd_closep) int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
                return 0;
        struct ucred peer;
        socklen_t size = sizeof(peer);
        struct client refused = {.fd = fd};
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0) {
                client_end(&refused, 1, "permission denied");
                return 0;
        }
        if (engine->n_clients >= CLIENTS_MAX) {
                client_end(&refused, 3, "too many connections");
                return 0;
        }
        set_patience(fd, ANSWER_PATIENCE_US);
        struct client *client = calloc(1, sizeof(*client));
        if (!client)
                return 0;
        *client = (struct client){
                .engine = engine, .pid = peer.pid, .next = engine->clients, .fd = fd_steal(&fd)};
        engine->clients = client;
        engine->n_clients++;
        if (sd_event_add_io(engine->event, &client->source, client->fd, EPOLLIN, on_client, client) < 0)
                client_close(client);
        return 0;
}

int clients_listen(struct engine *engine) {
        return sd_event_add_io(engine->event, NULL, engine->context->listen_fd, EPOLLIN, on_connect, engine);
}

void clients_publish(struct engine *engine, const json_t *news) {
        const char *tree = json_get_string(json_object_get(news, "unmapped"), "tree");
        struct client *next;
        for (struct client *client = engine->clients; client; client = next) {
                next = client->next;
                if (!client->watching || client == engine->asking ||
                    (int)finding_severity(news) < client->watch_severity ||
                    (client->watch_tree && (!tree || strcmp(tree, client->watch_tree))))
                        continue;
                if (client_line(client, news, false) < 0)
                        client_close(client);
        }
}

static struct client *client_by_ask(struct engine *engine, uint64_t ask) {
        struct client *client = engine->clients;
        while (client && (!ask || client->ask != ask))
                client = client->next;
        return client;
}

void clients_answer(struct engine *engine, const json_t *message) {
        struct client *client = client_by_ask(engine, (uint64_t)json_get_integer(message, "id", 0));
        const json_t *line = json_object_get(message, "line");
        const json_t *progress = json_object_get(message, "progress");
        const json_t *end = json_object_get(message, "end");
        int r = 0;
        if (!client)
                return;
        if ((client->wants_status || client->wants_doctor) && line)
                r = finish_report(client, line);
        else if (line)
                r = client_line(client, line, false);
        else if (progress) {
                json_t *copy = json_copy((json_t *)progress);
                json_object_set_new(copy, "type", json_string("progress"));
                r = client_send(client, copy);
        } else if (end)
                r = client_end(client, (int)json_get_integer(end, "status", 3),
                               json_get_string(end, "error"));
        if (r < 0)
                client_close(client);
}

void clients_appended(struct engine *engine, const json_t *message) {
        uint64_t id = (uint64_t)json_get_integer(message, "id", 0);
        for (struct client *client = engine->clients; id && client; client = client->next) {
                if (client->append != id)
                        continue;
                json_auto_t *line = json_pack("{s:O}", "sequence", json_object_get(message, "index"));
                if (client_line(client, line, false) < 0 || client_end(client, 0, NULL) < 0)
                        client_close(client);
                return;
        }
}

void clients_sentry_away(struct engine *engine) {
        struct client *next;
        for (struct client *client = engine->clients; client; client = next) {
                next = client->next;
                if (client->ask && !client->timer && client_end(client, 3, sentry_away) < 0)
                        client_close(client);
        }
}

void clients_sentry_restarted(struct engine *engine) {
        struct client *next;
        for (struct client *client = engine->clients; client; client = next) {
                next = client->next;
                if (client->ask && client_end(client, 3, "the sentry was restarted; ask again") < 0)
                        client_close(client);
        }
}
