/*
 * The parts of the manual that come from tables: `hinomi help roff-commands` for hinomi(1),
 * `hinomi help roff-options` for hinomi.yaml(5). The build puts them into the pages' prose.
 */
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "cli/cli.h"
#include "config/config.h"

static void print_text(const char *text) {
        for (const char *p = text; *p; p++)
                if (*p == '\\')
                        fputs("\\e", stdout);
                else if (*p == '-')
                        fputs("\\-", stdout);
                else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
                        printf("\\&%c", *p);
                else
                        putchar(*p);
}

static void print_line(const char *before, const char *text) {
        fputs(before, stdout);
        print_text(text);
        putchar('\n');
}

static void print_options(const struct cli_option *options) {
        for (; options && options->name; options++) {
                fputs(".TP\n\\fB\\-\\-", stdout);
                print_text(options->name);
                fputs("\\fR", stdout);
                if (options->value) {
                        fputs(" \\fI", stdout);
                        print_text(_(options->value));
                        fputs("\\fR", stdout);
                }
                putchar('\n');
                print_line("", _(options->help));
        }
}

void roff_print_commands(void) {
        for (const struct command *command = cli_commands; command->name; command++) {
                printf(".SS ");
                print_text(command->name);
                if (*command->arguments) {
                        putchar(' ');
                        print_text(_(command->arguments));
                }
                putchar('\n');
                print_line("", _(command->summary));
                if (*command->help)
                        print_line(".PP\n", _(command->help));
                print_options(command->options);
        }
        print_line(".SH ", _("OPTIONS OF EVERY COMMAND"));
        print_options(cli_common_options);
}

void roff_print_options(void) {
        for (size_t i = 0; i < config_n_option_rows; i++) {
                const struct option_row *row = &config_option_rows[i];
                _cleanup_(freep) char *expected = option_expected(row), *otherwise = NULL;
                fputs(".TP\n\\fB", stdout);
                print_text(row->name);
                fputs("\\fR\n", stdout);
                print_line("", _(row->text));
                if (expected &&
                    asprintf(&otherwise, _("default: %s; %s\n\n"), row->otherwise, expected) > 0) {
                        otherwise[strcspn(otherwise, "\n")] = '\0';
                        print_line(".br\n", otherwise);
                }
        }
}
