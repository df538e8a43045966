/* `hinomi restore`, `approve`, `resume` and `kill`: what is done to files and processes, line by line. */
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "event/json.h"

struct results {
        const struct cli *cli;
        bool dry_run;
        size_t n_done, n_same, n_failed;
};

static const char *result_label(const char *result, bool dry_run) {
        static const struct {
                const char *name, *done, *would;
        } labels[] = {
                {"restored", N_("put back"), N_("would put back")},
                {"removed", N_("removed"), N_("would remove")},
                {"same", N_("as it should be"), N_("as it should be")},
                {"skipped", N_("skipped"), N_("would skip")},
                {"failed", N_("FAILED"), N_("would fail")},
                {"approved", N_("approved"), N_("approved")},
                {"changed", N_("changed since; left alone"), N_("changed since; left alone")},
                {"resumed", N_("goes on"), N_("goes on")},
                {"trusted", N_("trusted"), N_("trusted")},
                {"killed", N_("killed"), N_("killed")},
                {"gone", N_("has ended already"), N_("has ended already")},
        };
        for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
                if (!strcmp(labels[i].name, result))
                        return dry_run ? _(labels[i].would) : _(labels[i].done);
        return result;
}

static void count_result(struct results *results, const char *result) {
        if (!strcmp(result, "failed") || !strcmp(result, "changed"))
                results->n_failed++;
        else if (!strcmp(result, "same") || !strcmp(result, "skipped") || !strcmp(result, "gone"))
                results->n_same++;
        else
                results->n_done++;
}

static int print_result(const json_t *line, void *userdata) {
        struct results *results = userdata;
        const char *result = json_get_string(line, "result") ?: "?";
        count_result(results, result);
        if (results->cli->json)
                return output_json(stdout, line) < 0 ? EXIT_FAILED : -1;
        const char *path = json_get_string(line, "path") ?: json_get_string(line, "command_line");
        const char *detail = json_get_string(line, "detail");
        if (!strcmp(result, "same"))
                return -1;
        output_bytes(stdout, result_label(result, results->dry_run), 0);
        fputs("  ", stdout);
        if (json_object_get(line, "pid"))
                printf("pid %lld  ", (long long)json_get_integer(line, "pid", 0));
        output_path(stdout, path ?: "?", 4);
        bool is_plain = !results->dry_run && (!strcmp(result, "restored") || !strcmp(result, "removed"));
        if (detail && *detail && !is_plain) {
                _cleanup_(freep) char *translated = output_translate(detail);
                fputs("  ", stdout);
                output_bytes(stdout, translated ?: detail, 4);
        }
        putchar('\n');
        return -1;
}

static json_t *paths_array(const struct cli *cli) {
        json_t *paths = json_array();
        for (int i = 0; i < cli->n_arguments; i++)
                json_array_append_new(paths, client_path(cli->arguments[i]));
        return paths;
}

static void print_summary(const struct results *results, int status) {
        if (results->cli->json || (status != EXIT_DONE && !results->n_done && !results->n_failed))
                return;
        if (!results->n_done && !results->n_failed)
                puts(_("Nothing to do: everything is as it should be."));
        else if (results->dry_run)
                printf(ngettext("%lu file would be put back or removed; nothing was done.\n",
                                "%lu files would be put back or removed; nothing was done.\n",
                                results->n_done),
                       (unsigned long)results->n_done);
        else
                printf(_("%lu done, %lu failed.\n"), (unsigned long)results->n_done,
                       (unsigned long)results->n_failed);
}

static int set_at(const struct cli *cli, json_t *request) {
        json_t *milliseconds = NULL;
        const char *text = cli_get(cli, "at");
        int status = text ? client_time(cli, text, &milliseconds) : 0;
        if (milliseconds)
                json_object_set_new(request, "at", milliseconds);
        return status;
}

int restore_ask(const struct cli *cli, json_t *request) {
        struct results results = {.cli = cli, .dry_run = json_is_true(json_object_get(request, "dry_run"))};
        int status = client_ask(cli, request, print_result, &results);
        if (status <= EXIT_NO)
                print_summary(&results, status);
        return status;
}

int cli_restore(const struct cli *cli) {
        const char *finding = cli_get(cli, "finding"), *release = cli_get(cli, "release"),
                   *all = cli_get(cli, "all");
        int n_ways = !!finding + !!release + !!all + (cli->n_arguments > 0);
        if (!n_ways)
                return cli_usage_error(
                        cli, _("what is to be restored? Paths, --finding ID, --release NAME or --all"));
        if (n_ways > 1)
                return cli_usage_error(cli, _("paths, --finding, --release and --all exclude one another"));
        json_t *request =
                json_pack("{s:s,s:b}", "request", "restore", "dry_run", cli_get(cli, "dry-run") != NULL);
        if (!request || set_at(cli, request)) {
                json_decref(request);
                return EXIT_USAGE_ERROR;
        }
        if (finding)
                json_object_set_new(request, "finding", json_string(finding));
        if (release)
                json_object_set_new(request, "release", json_string(release));
        if (all)
                json_object_set_new(request, "all", json_true());
        if (cli->n_arguments)
                json_object_set_new(request, "paths", paths_array(cli));
        return restore_ask(cli, request);
}

int cli_approve(const struct cli *cli) {
        bool paths = strchr(cli->arguments[0], '/');
        if (!paths && cli->n_arguments > 1)
                return cli_usage_error(cli, _("one finding at a time; a path has a '/' in it: ./%s"),
                                       cli->arguments[1]);
        json_t *request = json_pack("{s:s}", "request", "approve");
        if (paths)
                json_object_set_new(request, "paths", paths_array(cli));
        else
                json_object_set_new(request, "finding", json_string(cli->arguments[0]));
        return restore_ask(cli, request);
}

int cli_resume(const struct cli *cli) {
        struct results results = {.cli = cli};
        const char *trust = cli_get(cli, "trust");
        json_t *milliseconds = NULL;
        if (trust && !cli->n_arguments)
                return cli_usage_error(cli, _("--trust goes with the ID of what is held"));
        if (trust && client_duration(cli, "--trust", trust, &milliseconds))
                return EXIT_USAGE_ERROR;
        json_t *request = json_pack("{s:s,s:o*}", "request", "resume", "trust", milliseconds);
        if (cli->n_arguments)
                json_object_set_new(request, "id", json_string(cli->arguments[0]));
        int status = client_ask(cli, request, print_result, &results);
        if (status == EXIT_DONE && !cli->json && !results.n_done && !results.n_same)
                puts(_("No process is held."));
        return status;
}

int cli_kill(const struct cli *cli) {
        return restore_ask(cli, json_pack("{s:s,s:s}", "request", "kill", "id", cli->arguments[0]));
}
