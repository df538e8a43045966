/*
 * The engine's parts: findings (a view of the ledger), clients (the control socket), printer, and
 * what is known of the other roles. roles/engine.c wires them; this is what they share.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "roles/engine/findings.h"
#include "roles/role.h"

struct client;
struct printer;

struct engine {
        const struct role_context *context;
        sd_event *event;
        struct findings *findings;
        struct printer *printer;
        struct client *clients; /* list */
        struct client *asking;  /* at work for it: not to be closed */
        size_t n_clients;
        uint64_t next_ask;
        uint64_t next_append;
        uint64_t started_ns;
        uint64_t n_seen;      /* ledger entries known of; fewer applied: behind */
        json_t *roles;        /* as the parent told; owned */
        json_t *ledger_state; /* as the ledger told; owned; NULL: well */
};

/* As the parent told; before it did, a role is taken to be up. */
bool engine_role_is_up(const struct engine *engine, enum role_id id);

/* Applies what the ledger has and the findings have not. */
int engine_catch_up(struct engine *engine);

/* What a finding gained, on standard output: roles/engine/printer.c. Freed before the event loop. */
int printer_new(struct engine *engine, struct printer **ret_printer);
struct printer *printer_free(struct printer *printer);
void printer_print(struct printer *printer, const json_t *news);

/* control socket: roles/engine/clients.c */
int clients_listen(struct engine *engine);
/* What a finding gained, to everyone who watches. */
void clients_publish(struct engine *engine, const json_t *news);
/* {"type":"answer"} from the sentry. */
void clients_answer(struct engine *engine, const json_t *message);
/* {"type":"appended"} from the ledger. */
void clients_appended(struct engine *engine, const json_t *message);
/* The sentry was restarted: what it was asked is lost. */
void clients_sentry_restarted(struct engine *engine);
/* The sentry stands still: nobody waits for its answer. */
void clients_sentry_away(struct engine *engine);

/* status and doctor, from the sentry's part (NULL: it did not answer): roles/engine/report.c */
json_t *report_status(struct engine *engine, const json_t *sentry, bool *ret_in_force);
/* Array of checks. */
json_t *report_checks(struct engine *engine, const json_t *sentry, bool *ret_in_force);
