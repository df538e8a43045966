/*
 * The command line: one table of commands (cli/cli.c), one file each (cli/NAME.c).
 * Exit status: 0 yes or done, 1 the honest answer is no, 2 the call is wrong, 3 hinomi failed.
 *
 * A row says what a command takes; cli_run() parses, checks against the row and calls it. The options of all
 * commands stand anywhere among the arguments; `--` ends them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

enum {
        EXIT_DONE = 0,
        EXIT_NO = 1,
        EXIT_USAGE_ERROR = 2,
        EXIT_FAILED = 3,
};

#define CLI_CONFIG "/etc/hinomi/hinomi.yaml"
#define CLI_STATE  "/var/lib/hinomi"
#define CLI_SOCKET "/run/hinomi/control.sock"

/* An option of a command; a list of them ends with a row without a name. */
struct cli_option {
        const char *name;  /* without the dashes */
        const char *value; /* msgid of what stands for its value in the help, or NULL: takes none */
        const char *help;  /* msgid */
};

#define CLI_OPTIONS_MAX 16

/* What a command needs, for its help. */
enum cli_need {
        NEED_NOTHING,
        NEED_STATE, /* the state directory */
        NEED_GUARD, /* a running guard, and root */
};

struct cli;

struct command {
        const char *name;
        int (*run)(const struct cli *cli); /* exit status */
        enum cli_need need;
        int least, most;       /* arguments; most -1: any number */
        bool takes_command;    /* `-- COMMAND…` is kept apart in `tail` */
        const char *arguments; /* msgid for the usage line, e.g. "ID" */
        const char *summary;   /* msgid, one line */
        const char *help;      /* msgid, paragraphs */
        const struct cli_option *options;
};

extern const struct command cli_commands[]; /* ends with a row without a name */
extern const struct cli_option cli_common_options[];

/* What every command is given. */
struct cli {
        const char *config; /* --config, or /etc/hinomi/hinomi.yaml */
        const char *state;  /* --state, or /var/lib/hinomi */
        const char *socket; /* --socket, or /run/hinomi/control.sock */
        const char *packs;  /* --packs, or beside the binary, or /usr/share/hinomi/packs */
        bool json;
        const struct command *command;
        int n_arguments;
        char **arguments;
        char **tail; /* after `--`, NULL-terminated, or NULL; only where the row takes a command */
        const char *values[CLI_OPTIONS_MAX];
};

int cli_run(int argc, char **argv);

/* The value of one of the command's own options; "" for a flag that is given; NULL: not given. */
const char *cli_get(const struct cli *cli, const char *name);

/* One line on stderr, "hinomi: …", with everything in it escaped. Returns EXIT_USAGE_ERROR, EXIT_FAILED. */
int cli_usage_error(const struct cli *cli, const char *format, ...) _printf_(2, 3);
int cli_failed(const char *format, ...) _printf_(1, 2);

const struct command *cli_find_command(const char *name);

/* cli/help.c */
void help_print_command(const struct command *command);
void help_print_overview(void);

/* cli/roff.c */
void roff_print_commands(void);
void roff_print_options(void);

/* The commands, one file each. */
int cli_init(const struct cli *cli);
int cli_watch(const struct cli *cli);
int cli_doctor(const struct cli *cli);
int cli_status(const struct cli *cli);
int cli_findings(const struct cli *cli);
int cli_show(const struct cli *cli);
int cli_diff(const struct cli *cli);
int cli_restore(const struct cli *cli);
int cli_release(const struct cli *cli);
int cli_approve(const struct cli *cli);
int cli_held(const struct cli *cli);
int cli_resume(const struct cli *cli);
int cli_kill(const struct cli *cli);
int cli_trust(const struct cli *cli);
int cli_ledger(const struct cli *cli);
int cli_drill(const struct cli *cli);
int cli_version(const struct cli *cli);
int cli_help(const struct cli *cli);
