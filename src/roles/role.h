/*
 * What every role is given when it is started: descriptors on known places, nothing else.
 * The parent forks and re-executes the binary as `hinomi -x ROLE`; the table of who may
 * talk to whom is in roles/parent.c. A role returns from its run function only to end.
 */
#pragma once

enum role_id {
        ROLE_PARENT,
        ROLE_SENTRY,
        ROLE_ASSAYER,
        ROLE_ENGINE,
        ROLE_LEDGER,
        ROLE_COUNT,
};

struct role_context {
        enum role_id id;
        const char *state;     /* state directory */
        const char *packs;     /* packs directory */
        int config_fd;         /* memfd with the validated configuration, sealed; -1 where not needed */
        int peers[ROLE_COUNT]; /* SOCK_SEQPACKET to each peer (base/message.h); -1: may not talk */
        int fanotify_fd;       /* notification group (sentry) */
        int gate_fd;           /* permission group (sentry) */
        int connector_fd;      /* process connector (sentry) */
        int listen_fd;         /* control socket (engine) */
        int pending_fd;        /* memfd: events read and not yet worked off (sentry) */
};

const char *role_name(enum role_id id);

int role_sentry_run(const struct role_context *context);
int role_assayer_run(const struct role_context *context);
int role_engine_run(const struct role_context *context);
int role_ledger_run(const struct role_context *context);
