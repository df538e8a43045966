/*
 * The command line: one table of commands (cli/cli.c), one file each (cli/NAME.c).
 * Exit status: 0 yes or done, 1 the honest answer is no, 2 the call is wrong, 3 hinomi failed.
 */
#pragma once

#include <stdbool.h>

enum {
        EXIT_DONE = 0,
        EXIT_NO = 1,
        EXIT_USAGE_ERROR = 2,
        EXIT_FAILED = 3,
};

/* What every command is given. */
struct cli {
        const char *config; /* --config, or /etc/hinomi/hinomi.yaml */
        const char *state;  /* --state, or /var/lib/hinomi */
        const char *socket; /* --socket, or /run/hinomi/control.sock */
        const char *packs;  /* --packs, or beside the binary, or /usr/share/hinomi/packs */
        bool json;
};

int cli_run(int argc, char **argv);
