/* `hinomi help`: made from the table of commands and the table of options. */
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "config/write.h"

static void print_row(const char *left, int width, const char *right) {
        fprintf(stdout, "  ");
        output_pad(stdout, left, width);
        fputs("  ", stdout);
        output_wrap(stdout, right, width + 4);
}

static void print_options(const struct cli_option *options) {
        for (; options && options->name; options++) {
                char left[128];
                snprintf(left, sizeof(left), "--%s%s%s", options->name, options->value ? " " : "",
                         options->value ? _(options->value) : "");
                print_row(left, 20, _(options->help));
        }
}

void help_print_overview(void) {
        puts(_("Usage: hinomi COMMAND [OPTION…] [ARGUMENT…]\n"));
        output_wrap(
                stdout,
                _("Sees every change to this machine's web applications, says who made it and what it means, "
                  "undoes it, and proves it."),
                0);
        puts("");
        for (const struct command *command = cli_commands; command->name; command++)
                print_row(command->name, 10, _(command->summary));
        printf("\n%s\n", _("Options of every command:"));
        print_options(cli_common_options);
        printf("\n%s\n", _("Exit status: 0 yes or done, 1 the honest answer is no, 2 the call is wrong, 3 "
                           "hinomi failed.\n"
                           "First steps: hinomi init, then hinomi watch. See hinomi(1) and hinomi.yaml(5)."));
}

void help_print_command(const struct command *command) {
        printf(_("Usage: hinomi %s"), command->name);
        printf(" %s%s%s\n\n", command->options ? _("[OPTION…]") : "",
               command->options && *command->arguments ? " " : "",
               *command->arguments ? _(command->arguments) : "");
        output_wrap(stdout, _(command->summary), 0);
        if (*command->help) {
                puts("");
                output_wrap(stdout, _(command->help), 0);
        }
        if (command->need == NEED_GUARD) {
                puts("");
                output_wrap(stdout, _("Asks the running guard; needs root."), 0);
        }
        if (command->options) {
                printf("\n%s\n", _("Options:"));
                print_options(command->options);
        }
        printf("\n%s\n", _("Options of every command:"));
        print_options(cli_common_options);
}

static void print_config_options(void) {
        puts(_("Options of the configuration. 'section.name' is written as\n\n  section:\n    name: "
               "value\n"));
        for (size_t i = 0; i < config_n_option_rows; i++) {
                const struct option_row *row = &config_option_rows[i];
                _cleanup_(freep) char *expected = option_expected(row);
                printf("%s\n    ", row->name);
                output_wrap(stdout, _(row->text), 4);
                printf("    ");
                printf(_("default: %s; %s\n\n"), row->otherwise, expected ?: "");
        }
}

static void print_default_file(void) {
        config_write(stdout, NULL, 0);
}

int cli_help(const struct cli *cli) {
        static const struct {
                const char *name;
                void (*print)(void);
        } topics[] = {
                {"options", print_config_options},
                {"config", print_default_file},
                {"roff-commands", roff_print_commands},
                {"roff-options", roff_print_options},
        };
        if (!cli->n_arguments) {
                help_print_overview();
                return EXIT_DONE;
        }
        const char *topic = cli->arguments[0];
        for (size_t i = 0; i < ARRAY_SIZE(topics); i++)
                if (!strcmp(topics[i].name, topic)) {
                        topics[i].print();
                        return EXIT_DONE;
                }
        const struct command *command = cli_find_command(topic);
        if (!command)
                return cli_usage_error(cli, _("there is no help on '%s'"), topic);
        help_print_command(command);
        return EXIT_DONE;
}
