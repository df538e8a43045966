/*
 * The parent: starts the roles, restarts one that died, and holds what must outlive
 * them: the fanotify groups with their queues, the process connector, the sockets
 * between the roles with what is still in them, and the record of events not yet worked
 * off. It parses nothing from outside but the configuration, which root wrote.
 *
 * Called by `hinomi watch`. Stops in order on SIGINT, SIGTERM.
 */
#pragma once

#include <stdbool.h>

struct parent_options {
        const char *config;
        const char *state;
        const char *socket;
        const char *packs;
        bool json; /* findings on stdout as JSON lines */
};

/* Returns an exit status (cli/cli.h). Says on stderr what went wrong and what to do. */
int parent_run(const struct parent_options *options);
