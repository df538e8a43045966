/* `hinomi drill`: rehearsals, each a row. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "drill/skimmer.h"
#include "event/json.h"

static const char *question_label(enum drill_question question) {
        static const char *const labels[DRILL_QUESTIONS] = {
                [DRILL_SEEN] = N_("seen"),
                [DRILL_SHOWN] = N_("shown with diff and process"),
                [DRILL_UNDONE] = N_("undone"),
                [DRILL_PROVED] = N_("proved by the ledger"),
        };
        return question < DRILL_QUESTIONS ? _(labels[question]) : "?";
}

static void print_answer_json(const struct drill_answer *answer) {
        json_t *questions = json_object();
        for (enum drill_question q = 0; q < DRILL_QUESTIONS; q++)
                json_object_set_new(questions, drill_question_name(q),
                                    json_pack("{s:b,s:f}", "held", answer->held[q], "after_ms",
                                              (double)answer->after_ns[q] / NS_PER_MS));
        json_t *line = json_pack("{s:s,s:s,s:o,s:o}", "drill", "skimmer", "plant", answer->plant, "path",
                                 json_bytes(answer->path), "questions", questions);
        output_json(stdout, line);
        json_decref(line);
}

static void print_answer(const struct drill_answer *answer) {
        bool colour = output_colour(stdout);
        printf("%s\n  ", _(answer->plant));
        output_bytes(stdout, answer->path, 2);
        putchar('\n');
        for (enum drill_question q = 0; q < DRILL_QUESTIONS; q++) {
                fputs("    ", stdout);
                output_pad(stdout, question_label(q), 32);
                if (answer->held[q])
                        printf(_("%syes%s, after %.1f ms\n"), colour ? "\033[32m" : "",
                               colour ? "\033[0m" : "", (double)answer->after_ns[q] / NS_PER_MS);
                else
                        printf(_("%sNO%s\n"), colour ? "\033[1;31m" : "", colour ? "\033[0m" : "");
        }
}

static void report(const char *stage, const struct drill_answer *answer, void *userdata) {
        const struct cli *cli = userdata;
        if (answer && cli->json)
                print_answer_json(answer);
        else if (answer)
                print_answer(answer);
        else if (!cli->json && stage && *stage)
                fprintf(stderr, "… %s\n", _(stage));
        fflush(stdout);
}

static int run_skimmer(const struct cli *cli) {
        const struct drill_options options = {.binary = "/proc/self/exe",
                                              .packs = cli->packs,
                                              .tree = cli_get(cli, "of"),
                                              .scratch = cli_get(cli, "scratch"),
                                              .socket = cli->socket};
        struct drill_result result = {0};
        int r = drill_skimmer(&options, report, (void *)cli, &result);
        if (r == -EPERM || r == -EACCES)
                return cli_failed(_("a drill starts a guard of its own and needs root; try with sudo"));
        if (r < 0)
                return cli_failed(_("the drill could not be held: %s"),
                                  *result.detail ? result.detail : strerror(-r));
        if (cli->json)
                return result.all_held ? EXIT_DONE : EXIT_NO;
        if (*result.detail) {
                output_bytes(stdout, result.detail, 0);
                putchar('\n');
        }
        puts(result.recorded ? _("Recorded in the ledger as training evidence.")
                             : _("Not recorded: no guard is running on this machine."));
        puts(result.all_held ? _("Drill passed.") : _("Drill NOT passed."));
        return result.all_held ? EXIT_DONE : EXIT_NO;
}

static const struct {
        const char *name;
        int (*run)(const struct cli *cli);
        const char *summary;
} drills[] = {
        {"skimmer", run_skimmer, N_("an altered payment page and a script in the uploads")},
};

int cli_drill(const struct cli *cli) {
        if (!cli->n_arguments) {
                for (size_t i = 0; i < ARRAY_SIZE(drills); i++)
                        printf("%-10s %s\n", drills[i].name, _(drills[i].summary));
                return EXIT_DONE;
        }
        for (size_t i = 0; i < ARRAY_SIZE(drills); i++)
                if (!strcmp(drills[i].name, cli->arguments[0]))
                        return drills[i].run(cli);
        return cli_usage_error(cli, _("there is no drill '%s'; 'hinomi drill' lists them"),
                               cli->arguments[0]);
}
