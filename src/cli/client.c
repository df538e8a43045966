#include "cli/client.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/message.h"
#include "base/options.h"
#include "cli/output.h"
#include "control/protocol.h"
#include "event/finding.h"
#include "event/json.h"

/* Then it is asked whether it answers at all; longer than `status` waits for a sentry that hangs (5 s). */
#define SILENCE_MS 10000

struct client {
        int fd;
        char *socket_path; /* NULL: itself only asks whether anybody answers */
        json_t *parts;     /* a finding whose further parts are still to come */
        struct progress progress;
};

int client_open(const char *socket_path, struct client **ret_client) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(socket_path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, socket_path);
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        struct client *client = calloc(1, sizeof(*client));
        if (!client)
                return -ENOMEM;
        client->socket_path = strdup(socket_path);
        client->fd = fd_steal(&fd);
        *ret_client = client;
        return 0;
}

struct client *client_free(struct client *client) {
        if (!client)
                return NULL;
        close(client->fd);
        free(client->socket_path);
        json_decref(client->parts);
        free(client);
        return NULL;
}

/* Joins the parts of a large finding; NULL while some are missing. Borrowed until the next call. */
static const json_t *join_parts(struct client *client, json_t *data, bool more) {
        if (client->parts && finding_merge(client->parts, data) < 0) {
                json_decref(client->parts);
                client->parts = NULL;
        }
        if (!client->parts) {
                if (!more)
                        return data;
                client->parts = json_incref(data);
                return NULL;
        }
        json_t *metadata = json_object_get(data, "metadata");
        if (metadata)
                json_object_set(client->parts, "metadata", metadata);
        return more ? NULL : client->parts;
}

static int take_line(struct client *client, json_t *body, client_line line, void *userdata) {
        bool more = json_is_true(json_object_get(body, "more"));
        json_t *data = json_object_get(body, "data");
        if (!json_is_object(data))
                return -1;
        progress_end(&client->progress);
        const json_t *whole = join_parts(client, data, more);
        if (whole)
                finding_expand((json_t *)whole);
        int status = whole && line ? line(whole, userdata) : -1;
        if (whole && whole == client->parts) {
                json_decref(client->parts);
                client->parts = NULL;
        }
        return status;
}

static int take_end(const json_t *body, struct client_answer *ret_answer) {
        json_int_t status = json_get_integer(body, "status", -1);
        const char *error = json_get_string(body, "error");
        if (status < EXIT_DONE || status > EXIT_FAILED)
                return -EBADMSG;
        *ret_answer = (struct client_answer){.status = (int)status, .error = error ? strdup(error) : NULL};
        return 0;
}

/* 1: the answer is complete; 0: go on; negative errno. */
static int take_message(struct client *client, json_t *body, client_line line, void *userdata,
                        struct client_answer *ret_answer) {
        const char *type = json_get_string(body, "type") ?: "";
        if (!strcmp(type, "line")) {
                int status = take_line(client, body, line, userdata);
                if (status < 0)
                        return 0;
                *ret_answer = (struct client_answer){.status = status};
                return 1;
        }
        if (!strcmp(type, "progress")) {
                progress_update(&client->progress, (uint64_t)json_get_integer(body, "done", 0),
                                (uint64_t)json_get_integer(body, "total", 0), 0);
                return 0;
        }
        if (strcmp(type, "end"))
                return 0; /* a newer server's: not for us */
        int r = take_end(body, ret_answer);
        return r < 0 ? r : 1;
}

/* A restore of a large tree is silent for minutes, and so is --follow; a guard that stands still answers
 * nothing. */
static bool guard_answers(const char *socket_path) {
        _cleanup_(client_freep) struct client *probe = NULL;
        struct client_answer answer = {0};
        if (client_open(socket_path, &probe) < 0)
                return false;
        free(STEAL(probe->socket_path));
        int r = client_call(probe, json_pack("{s:s,s:i}", "request", "releases", "limit", 1), NULL, NULL,
                            &answer); /* needs the engine alone */
        free(answer.error);
        return r >= 0;
}

static int wait_for_message(struct client *client) {
        for (;;) {
                struct pollfd readable = {.fd = client->fd, .events = POLLIN};
                int r = poll(&readable, 1, SILENCE_MS);
                if (r > 0)
                        return 0;
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r == 0 && (!client->socket_path || !guard_answers(client->socket_path)))
                        return -ETIMEDOUT;
        }
}

int client_call(struct client *client, json_t *request, client_line line, void *userdata,
                struct client_answer *ret_answer) {
        int r = message_send(client->fd, request, NULL, 0);
        json_decref(request);
        if (r < 0)
                return r;
        progress_begin(&client->progress, _("Working"));
        do {
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                r = wait_for_message(client);
                if (r >= 0)
                        r = message_receive(client->fd, &message);
                if (r >= 0)
                        r = take_message(client, message.body, line, userdata, ret_answer);
        } while (r == 0);
        progress_end(&client->progress);
        return r < 0 ? r : 0;
}

int client_say_unreachable(const struct cli *cli, int error) {
        switch (error) {
        case -ENOENT:
        case -ECONNREFUSED:
                return cli_failed(
                        _("not running: nobody answers at %s. Start it with 'systemctl start hinomi' or "
                          "'hinomi watch'"),
                        cli->socket);
        case -EACCES:
        case -EPERM:
                return cli_failed(_("only root may ask the guard; try with sudo"));
        case -ENAMETOOLONG:
                return cli_failed(_("the path of a socket may have 107 bytes; this one has %zu: %s"),
                                  strlen(cli->socket), cli->socket);
        default:
                return cli_failed(_("cannot connect to %s: %s"), cli->socket, strerror(-error));
        }
}

static int say_answer(const struct client_answer *answer) {
        if (answer->error && answer->status != EXIT_DONE) {
                _cleanup_(freep) char *error = output_translate(answer->error);
                cli_failed("%s", error ?: answer->error);
        }
        return answer->status;
}

int client_ask_on(const struct cli *cli, struct client *client, json_t *request, client_line line,
                  void *userdata) {
        struct client_answer answer = {0};
        _cleanup_(freep) char *wrong = NULL;
        (void)cli;
        if (!request)
                return cli_failed("%s", strerror(ENOMEM));
        if (protocol_check(request, NULL, &wrong) < 0) {
                json_decref(request);
                return cli_failed("%s", wrong ?: strerror(ENOMEM));
        }
        int r = client_call(client, request, line, userdata, &answer);
        if (r == -EPIPE || r == -ECONNRESET)
                return cli_failed(
                        _("the guard closed the connection before it had answered; see 'hinomi status'"));
        if (r == -ETIMEDOUT)
                return cli_failed(
                        _("the guard runs and does not answer: it was stopped, or the machine is overloaded; "
                          "see 'systemctl status hinomi'"));
        if (r < 0)
                return cli_failed(_("no answer from the guard: %s"), strerror(-r));
        int status = say_answer(&answer);
        free(answer.error);
        return status;
}

int client_ask(const struct cli *cli, json_t *request, client_line line, void *userdata) {
        _cleanup_(client_freep) struct client *client = NULL;
        int r = client_open(cli->socket, &client);
        if (r < 0) {
                json_decref(request);
                return client_say_unreachable(cli, r);
        }
        return client_ask_on(cli, client, request, line, userdata);
}

/* Without "//", "." and "..", as far as names alone tell. `path` is absolute. */
static void normalise(char *path) {
        char *out = path;
        for (const char *p = path; *p;) {
                p += strspn(p, "/");
                size_t n = strcspn(p, "/");
                if (n == 2 && p[0] == '.' && p[1] == '.') {
                        while (out > path && *--out != '/')
                                ;
                } else if (n && !(n == 1 && p[0] == '.')) {
                        *out++ = '/';
                        memmove(out, p, n);
                        out += n;
                }
                p += n;
        }
        if (out == path)
                *out++ = '/';
        *out = '\0';
}

/* The directory part is resolved where it exists; the last name is not: it may be gone, or a link meant
 * itself. */
json_t *client_path(const char *path) {
        _cleanup_(freep) char *absolute = NULL, *resolved = NULL;
        char directory[PATH_MAX], whole[2 * PATH_MAX];
        if (*path == '/')
                absolute = strdup(path);
        else if (!getcwd(directory, sizeof(directory)) || asprintf(&absolute, "%s/%s", directory, path) < 0)
                absolute = NULL;
        if (!absolute)
                return NULL;
        normalise(absolute);
        char *slash = strrchr(absolute, '/');
        *slash = '\0';
        resolved = realpath(*absolute ? absolute : "/", NULL);
        const char *base = resolved && strcmp(resolved, "/") ? resolved : resolved ? "" : absolute;
        int n = snprintf(whole, sizeof(whole), "%s/%s", base, slash + 1);
        if (n < 0 || (size_t)n >= sizeof(whole))
                return NULL;
        return json_bytes(whole);
}

int client_time(const struct cli *cli, const char *text, json_t **ret_milliseconds) {
        uint64_t ns, now = clock_wall_ns(&clock_system);
        int r = duration_parse(text, &ns);
        if (r >= 0)
                ns = ns < now ? now - ns : 0;
        else
                r = clock_parse(text, &ns);
        if (r < 0)
                return cli_usage_error(
                        cli,
                        _("'%s' is no time; write 2026-11-23, \"2026-11-23 13:05\", or 2h for two "
                          "hours ago"),
                        text);
        *ret_milliseconds = json_time(ns);
        return 0;
}

int client_duration(const struct cli *cli, const char *option, const char *text, json_t **ret_milliseconds) {
        uint64_t ns;
        if (duration_parse(text, &ns) < 0 || ns < NS_PER_MS || ns > INT64_MAX)
                return cli_usage_error(cli, _("%s: '%s' is no time; write 8h or 30d, at most 365d"), option,
                                       text);
        *ret_milliseconds = json_integer((json_int_t)(ns / NS_PER_MS));
        return 0;
}
