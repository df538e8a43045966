/*
 * The command line's entry: which command, with which options, told apart by getopt_long(3);
 * what each takes is its row in commands.c.
 */
#include "cli/cli.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "base/text.h"
#include "base/words.h"
#include "roles/role.h"

static void _printf_(1, 0) say(const char *format, va_list ap) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(buffer_deinit) struct buffer safe = {0};
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        if (text && text_escape(&safe, text, strlen(text)) >= 0)
                fprintf(stderr, "hinomi: %s\n", safe.data);
}

int cli_usage_error(const struct cli *cli, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        say(format, ap);
        va_end(ap);
        if (cli && cli->command)
                fprintf(stderr, _("Try 'hinomi %s --help'.\n"), cli->command->name);
        else
                fprintf(stderr, "%s", _("Try 'hinomi help'.\n"));
        return EXIT_USAGE_ERROR;
}

int cli_failed(const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        say(format, ap);
        va_end(ap);
        return EXIT_FAILED;
}

const struct command *cli_find_command(const char *name) {
        for (const struct command *command = cli_commands; command->name; command++)
                if (!strcmp(command->name, name))
                        return command;
        return NULL;
}

static int fail_unknown_command(const char *name) {
        const char *names[64];
        size_t n = 0;
        for (; n < ARRAY_SIZE(names) && cli_commands[n].name; n++)
                names[n] = cli_commands[n].name;
        const char *nearest = word_nearest(name, names, n);
        if (nearest)
                return cli_usage_error(NULL, _("there is no command '%s'; did you mean '%s'?"), name,
                                       nearest);
        return cli_usage_error(NULL, _("there is no command '%s'"), name);
}

const char *cli_get(const struct cli *cli, const char *name) {
        const struct cli_option *options = cli->command->options;
        for (size_t i = 0; options && options[i].name; i++)
                if (!strcmp(options[i].name, name))
                        return cli->values[i];
        abort(); /* a command asks for an option that its own row does not have */
}

static bool takes_value(const char *argument) {
        for (const struct cli_option *option = cli_common_options; option->name; option++)
                if (option->value && !strcmp(argument + 2, option->name))
                        return true;
        return false;
}

/* Place of the first word that is neither an option nor a common option's value, or argc. */
static int find_word(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                if (argv[i][0] != '-')
                        return i;
                if (argv[i][1] == '-' && takes_value(argv[i]))
                        i++;
        }
        return argc;
}

/* getopt's table: the common options first, then the command's own. */
static size_t fill_options(const struct command *command, struct option *table) {
        size_t n = 0;
        for (const struct cli_option *option = cli_common_options; option->name; option++)
                table[n++] = (struct option){option->name, option->value ? required_argument : no_argument,
                                             NULL, 0};
        for (const struct cli_option *option = command->options; option && option->name; option++)
                table[n++] = (struct option){option->name, option->value ? required_argument : no_argument,
                                             NULL, 0};
        table[n] = (struct option){0};
        return n;
}

static int fail_option(const struct cli *cli, const struct option *table, size_t n, const char *argument,
                       int outcome) {
        if (outcome == ':')
                return cli_usage_error(cli, _("%s needs a value"), argument);
        const char *names[2 * CLI_OPTIONS_MAX];
        char word[64];
        for (size_t i = 0; i < n; i++)
                names[i] = table[i].name;
        snprintf(word, sizeof(word), "%.*s", (int)strcspn(argument + strspn(argument, "-"), "="),
                 argument + strspn(argument, "-"));
        const char *nearest = word_nearest(word, names, n);
        if (nearest)
                return cli_usage_error(cli, _("'%s' has no option %s; did you mean --%s?"),
                                       cli->command->name, argument, nearest);
        return cli_usage_error(cli, _("'%s' has no option %s"), cli->command->name, argument);
}

static void take_common(struct cli *cli, const char *name, const char *value, bool *help) {
        if (!strcmp(name, "config"))
                cli->config = value;
        else if (!strcmp(name, "state"))
                cli->state = value;
        else if (!strcmp(name, "socket"))
                cli->socket = value;
        else if (!strcmp(name, "packs"))
                cli->packs = value;
        else if (!strcmp(name, "json"))
                cli->json = true;
        else
                *help = true;
}

/* Exit status to end with, or -1: go on. Leaves the arguments in argv[optind…argc). */
static int parse_options(struct cli *cli, int argc, char **argv) {
        struct option table[2 * CLI_OPTIONS_MAX + 1];
        size_t n = fill_options(cli->command, table), n_common = 0;
        bool help = false;
        while (cli_common_options[n_common].name)
                n_common++;
        opterr = 0;
        optind = 0;
        for (;;) {
                int index = -1;
                int outcome = getopt_long(argc, argv, ":h", table, &index);
                if (outcome == -1)
                        break;
                if (outcome == 'h')
                        help = true;
                else if (outcome != 0)
                        return fail_option(cli, table, n, argv[optind - 1], outcome);
                else if ((size_t)index < n_common)
                        take_common(cli, table[index].name, optarg, &help);
                else
                        cli->values[(size_t)index - n_common] = optarg ?: "";
        }
        if (!help)
                return -1;
        help_print_command(cli->command);
        return EXIT_DONE;
}

static int run_command(struct cli *cli) {
        const struct command *command = cli->command;
        bool with_tail = command->takes_command && cli->tail;
        if (cli->n_arguments < command->least && !with_tail)
                return cli_usage_error(cli, _("'%s' needs more: %s"), command->name, _(command->arguments));
        if (command->most >= 0 && cli->n_arguments > command->most)
                return cli_usage_error(cli, _("'%s' does not take '%s'"), command->name,
                                       cli->arguments[command->most]);
        int status = command->run(cli);
        if (fflush(stdout) == EOF || ferror(stdout))
                return cli_failed(_("cannot write to standard output: %s"), strerror(errno));
        return status;
}

/* argv without the command word and, where it is kept apart, without the tail. */
static int run_row(struct cli *cli, int argc, char **argv, int word) {
        _cleanup_(freep) char **rest = calloc((size_t)argc + 1, sizeof(*rest));
        if (!rest)
                return cli_failed("%s", strerror(ENOMEM));
        int n = 0;
        for (int i = 0; i < argc; i++) {
                if (i == word)
                        continue;
                if (cli->command->takes_command && i && !strcmp(argv[i], "--")) {
                        cli->tail = &argv[i + 1];
                        break;
                }
                rest[n++] = argv[i];
        }
        int status = parse_options(cli, n, rest);
        if (status >= 0)
                return status;
        cli->arguments = rest + optind;
        cli->n_arguments = n - optind;
        return run_command(cli);
}

/* Rules and profiles: beside the build tree or as installed. */
static void find_packs(char packs[static PATH_MAX]) {
        static const char *const places[] = {"../packs", "../../packs", "../share/hinomi/packs"};
        char binary[PATH_MAX], place[PATH_MAX + 32];
        ssize_t n = readlink("/proc/self/exe", binary, sizeof(binary) - 1);
        char *slash = n > 0 ? (binary[n] = '\0', strrchr(binary, '/')) : NULL;
        for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++) {
                *slash = '\0';
                snprintf(place, sizeof(place), "%s/%s", binary, places[i]);
                if (realpath(place, packs))
                        return;
        }
        snprintf(packs, PATH_MAX, "%s", "/usr/share/hinomi/packs");
}

int cli_run(int argc, char **argv) {
        i18n_init();
        if (argc > 1 && !strcmp(argv[1], "-x"))
                return roles_main(argc, argv);
        char packs[PATH_MAX];
        find_packs(packs);
        struct cli cli = {.config = CLI_CONFIG, .state = CLI_STATE, .socket = CLI_SOCKET, .packs = packs};

        int word = find_word(argc, argv);
        const char *name = word < argc ? argv[word] : "help";
        if (word == argc && argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")))
                return cli_version(&cli);
        if (word == argc && argc == 1) {
                help_print_overview();
                return EXIT_USAGE_ERROR;
        }
        cli.command = cli_find_command(name);
        if (!cli.command)
                return fail_unknown_command(name);
        return run_row(&cli, argc, argv, word);
}
