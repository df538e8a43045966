/*
 * What every role is given when it is started: descriptors on known places, nothing else.
 * The parent forks and re-executes the binary as `hinomi -x ROLE`; the table of who may
 * talk to whom is in roles/parent.c. A role's run function returns only to end.
 *
 * The recipe is the same for all: acquire (roles_main), chroot and drop (the table in
 * roles/role.c), sandbox, loop.
 */
#pragma once

#include <stdbool.h>

enum role_id {
        ROLE_PARENT,
        ROLE_SENTRY,
        ROLE_ASSAYER,
        ROLE_ENGINE,
        ROLE_LEDGER,
        ROLE_COUNT,
};

/* Where a role finds its descriptors. Those it is not given are closed. */
enum role_fd {
        ROLE_FD_PEERS = 3, /* + enum role_id: SOCK_SEQPACKET to that peer (base/message.h) */
        ROLE_FD_CONFIG = ROLE_FD_PEERS + ROLE_COUNT, /* sealed memfd: the configuration as it was validated */
        ROLE_FD_FANOTIFY,                            /* notification group */
        ROLE_FD_GATE,                                /* permission group */
        ROLE_FD_CONNECTOR,                           /* process connector */
        ROLE_FD_PENDING,    /* memory for events that were read and not yet worked off */
        ROLE_FD_UNANSWERED, /* memory for permission events that were read and not yet answered */
        ROLE_FD_PROCESSES,  /* memory for the process table */
        ROLE_FD_UNFINISHED, /* memory for what was taken in and is not in the ledger yet */
        ROLE_FD_LISTEN,     /* control socket */
        ROLE_FD_END,
};

struct role_context {
        enum role_id id;
        const char *state; /* state directory; "/" for a role that lives in it (chroot) */
        const char *packs;
        bool json;             /* engine: print findings as JSON lines */
        int peers[ROLE_COUNT]; /* -1: may not talk */
        int config_fd, fanotify_fd, gate_fd, connector_fd, pending_fd, unanswered_fd, processes_fd,
                unfinished_fd, listen_fd; /* -1: not given */
};

const char *role_name(enum role_id id);
enum role_id role_parse(const char *name); /* ROLE_COUNT: no such role */

/* `hinomi -x ROLE STATE PACKS [json]`. Returns an exit status. */
int roles_main(int argc, char **argv);

int role_sentry_run(const struct role_context *context);
int role_assayer_run(const struct role_context *context);
int role_engine_run(const struct role_context *context);
int role_ledger_run(const struct role_context *context);

/* Users the roles run as (sysusers.d); -ENOENT: `make users` makes them. */
struct role_user {
        unsigned uid, gid;
};
int role_user(enum role_id id, struct role_user *ret_user);
