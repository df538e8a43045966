/* `hinomi release`: a deployment that is approved while it happens. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "base/secrets.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "event/json.h"

#define NAME_BYTES_MAX 200

static void print_release_name(const json_t *release) {
        output_bytes(stdout, json_get_string(release, "name") ?: "?", 8);
}

static int print_begun(const json_t *line, void *userdata) {
        const struct cli *cli = userdata;
        const json_t *release = json_object_get(line, "release"),
                     *holder = json_object_get(release, "holder");
        if (cli->json)
                return output_json(stdout, line) < 0 ? EXIT_FAILED : -1;
        fputs(_("Release begun: "), stdout);
        print_release_name(release);
        printf(_("\nApproved is what process %lld and its descendants change, until 'hinomi release end'.\n"),
               (long long)json_get_integer(holder, "pid", 0));
        return -1;
}

static int print_ended(const json_t *line, void *userdata) {
        const struct cli *cli = userdata;
        const json_t *release = json_object_get(line, "release");
        if (cli->json)
                return output_json(stdout, line) < 0 ? EXIT_FAILED : -1;
        fputs(_("Release ended: "), stdout);
        print_release_name(release);
        printf(_("\n%lld files added, %lld changed, %lld removed.\n"),
               (long long)json_get_integer(release, "n_added", 0),
               (long long)json_get_integer(release, "n_changed", 0),
               (long long)json_get_integer(release, "n_removed", 0));
        json_int_t n_foreign = json_get_integer(release, "n_foreign", 0);
        if (n_foreign)
                printf(ngettext("%lld change was made by others meanwhile and is not part of it; see 'hinomi "
                                "findings'.\n",
                                "%lld changes were made by others meanwhile and are not part of it; see "
                                "'hinomi "
                                "findings'.\n",
                                (unsigned long)n_foreign),
                       (long long)n_foreign);
        return -1;
}

static int print_listed(const json_t *line, void *userdata) {
        const struct cli *cli = userdata;
        const json_t *release = json_object_get(line, "release");
        if (cli->json)
                return output_json(stdout, line) < 0 ? EXIT_FAILED : -1;
        char begin[OUTPUT_TIME_SIZE], end[OUTPUT_TIME_SIZE];
        output_time(json_get_integer(release, "begin", 0), begin);
        output_time(json_get_integer(release, "end", 0), end);
        bool open = !json_is_integer(json_object_get(release, "end"));
        printf("%s  ", begin);
        output_pad(stdout, open ? _("still open") : end, 19);
        printf("  +%lld ~%lld -%lld  ", (long long)json_get_integer(release, "n_added", 0),
               (long long)json_get_integer(release, "n_changed", 0),
               (long long)json_get_integer(release, "n_removed", 0));
        print_release_name(release);
        putchar('\n');
        return -1;
}

static json_t *begin_request(const struct cli *cli, const char *name, const char *holder, bool held) {
        json_t *request = json_pack("{s:s,s:o,s:s,s:b}", "request", "release-begin", "name", json_bytes(name),
                                    "holder", holder, "held", held);
        if (request && cli_get(cli, "tree"))
                json_object_set_new(request, "trees", json_pack("[o]", client_path(cli_get(cli, "tree"))));
        return request;
}

/* Words of the command, for a name; it is recorded, so without the secrets among them. */
static char *command_name(char **command) {
        struct buffer name = {0};
        for (char **word = command; *word; word++)
                if (buffer_append(&name, *word, strlen(*word) + 1) < 0)
                        break;
        size_t size = name.size ? secrets_mask_arguments(name.data, name.size) : 0;
        while (size && !name.data[size - 1])
                size--;
        for (size_t i = 0; i < size; i++)
                if (!name.data[i])
                        name.data[i] = ' ';
        char *text =
                size ? strndup(name.data, size < NAME_BYTES_MAX ? size : NAME_BYTES_MAX) : strdup("release");
        buffer_deinit(&name);
        return text;
}

/* Runs the command with the signals a terminal sends going to it alone. Exit status, as a shell has it. */
static int run_command(char **command) {
        struct sigaction ignore = {.sa_handler = SIG_IGN}, interrupt, quit;
        sigaction(SIGINT, &ignore, &interrupt);
        sigaction(SIGQUIT, &ignore, &quit);
        pid_t pid = fork();
        if (pid == 0) {
                sigaction(SIGINT, &interrupt, NULL);
                sigaction(SIGQUIT, &quit, NULL);
                execvp(command[0], command);
                int error = errno;
                cli_failed("%s: %s", command[0], strerror(error));
                _exit(error == ENOENT ? 127 : 126);
        }
        int status = 0;
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        sigaction(SIGINT, &interrupt, NULL);
        sigaction(SIGQUIT, &quit, NULL);
        if (pid < 0)
                return cli_failed(_("cannot start %s: %s"), command[0], strerror(errno));
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int release_command(const struct cli *cli) {
        if (!cli->tail[0])
                return cli_usage_error(cli, _("which command? hinomi release -- COMMAND…"));
        _cleanup_(client_freep) struct client *client = NULL;
        int r = client_open(cli->socket, &client);
        if (r < 0) {
                client_say_unreachable(cli, r);
                return cli_failed(_("nothing was started"));
        }
        _cleanup_(freep) char *made = command_name(cli->tail);
        const char *name = cli_get(cli, "name") ?: made ?: "release";
        fflush(stdout);
        int status = client_ask_on(cli, client, begin_request(cli, name, "client", true), NULL, NULL);
        if (status != EXIT_DONE) {
                cli_failed(_("nothing was started"));
                return status;
        }
        int command_status = run_command(cli->tail);
        json_t *request = json_pack("{s:s,s:o,s:i}", "request", "release-end", "name", json_bytes(name),
                                    "command_status", command_status);
        status = client_ask_on(cli, client, request, print_ended, (void *)cli);
        return command_status ?: status;
}

static int release_begin(const struct cli *cli) {
        if (cli->n_arguments < 2)
                return cli_usage_error(cli, _("a release needs a name: hinomi release begin NAME"));
        return client_ask(cli, begin_request(cli, cli->arguments[1], cli_get(cli, "pid") ?: "parent", false),
                          print_begun, (void *)cli);
}

static int release_end(const struct cli *cli) {
        json_t *request = json_pack("{s:s}", "request", "release-end");
        if (cli->n_arguments > 1)
                json_object_set_new(request, "name", json_bytes(cli->arguments[1]));
        return client_ask(cli, request, print_ended, (void *)cli);
}

static int release_list(const struct cli *cli) {
        return client_ask(cli, json_pack("{s:s,s:i}", "request", "releases", "limit", 100), print_listed,
                          (void *)cli);
}

static int release_revert(const struct cli *cli) {
        if (cli->n_arguments < 2)
                return cli_usage_error(cli, _("which release? 'hinomi release list' has their names"));
        return restore_ask(cli, json_pack("{s:s,s:o,s:b}", "request", "restore", "release",
                                          json_bytes(cli->arguments[1]), "dry_run",
                                          cli_get(cli, "dry-run") != NULL));
}

int cli_release(const struct cli *cli) {
        static const struct {
                const char *name;
                int (*run)(const struct cli *cli);
        } verbs[] = {{"begin", release_begin},
                     {"end", release_end},
                     {"list", release_list},
                     {"revert", release_revert}};
        if (cli->tail) {
                if (cli->n_arguments)
                        return cli_usage_error(cli, _("'%s' does not go with a command after --"),
                                               cli->arguments[0]);
                return release_command(cli);
        }
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                if (!strcmp(verbs[i].name, cli->arguments[0]))
                        return verbs[i].run(cli);
        return cli_usage_error(cli, _("'release' knows begin, end, list, revert and -- COMMAND…, not '%s'"),
                               cli->arguments[0]);
}
