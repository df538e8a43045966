/*
 * The client of the control protocol (control/protocol.h): sends a request of the table,
 * hands out the lines. What the other end sends is checked like anything from outside.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "cli/cli.h"

struct client;

/* 0, or a negative errno: -ENOENT, -ECONNREFUSED nobody listens; -EACCES. */
int client_open(const char *socket_path, struct client **ret_client);
struct client *client_free(struct client *client);
DEFINE_CLEANUP(struct client *, client_free);

/*
 * Called for each whole line: parts of a large finding are joined before. `line` is borrowed. An exit status
 * to stop with, or -1 to go on.
 */
typedef int (*client_line)(const json_t *line, void *userdata);

struct client_answer {
        int status;  /* exit status */
        char *error; /* as the server gave it; owned; or NULL */
};

/* Sends (taking the reference of `request`) and receives until the end. 0 or a negative errno. */
int client_call(struct client *client, json_t *request, client_line line, void *userdata,
                struct client_answer *ret_answer);

/* Says on stderr why there is no connection and what to do; returns the exit status. */
int client_say_unreachable(const struct cli *cli, int error);

/* Open, call, say what went wrong: an exit status. Takes the reference of `request`. */
int client_ask(const struct cli *cli, json_t *request, client_line line, void *userdata);

/* As client_ask(), on a connection that is open. */
int client_ask_on(const struct cli *cli, struct client *client, json_t *request, client_line line,
                  void *userdata);

/* An argument of a person as the protocol has it: absolute, odd bytes escaped. New reference, or NULL. */
json_t *client_path(const char *path);

/* "2h", "2026-11-23 13:05" … to milliseconds since the epoch. 0, or an exit status after saying what is
 * wrong. */
int client_time(const struct cli *cli, const char *text, json_t **ret_milliseconds);

/* "8h", "30d" to milliseconds. 0, or an exit status after saying what is wrong with that option. */
int client_duration(const struct cli *cli, const char *option, const char *text, json_t **ret_milliseconds);

/* Asks what puts back or approves files, and prints what was done line by line. Takes the reference. */
int restore_ask(const struct cli *cli, json_t *request);
