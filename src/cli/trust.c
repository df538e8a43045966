/* `hinomi trust`: what a running image may do in a tree, for a time and a reason. */
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "event/json.h"

struct listing {
        const struct cli *cli;
        const char *head; /* before each; NULL: none */
        size_t n;
};

static void print_member(const char *label, const char *text) {
        fputs("  ", stdout);
        output_pad(stdout, label, 12);
        output_path(stdout, text, 14);
        putchar('\n');
}

static int print_trust(const json_t *trust, void *userdata) {
        struct listing *listing = userdata;
        const char *program = json_get_string(trust, "program") ?: "?";
        bool interprets = json_is_true(json_object_get(trust, "interprets"));
        listing->n++;
        if (listing->cli->json)
                return output_json(stdout, trust) < 0 ? EXIT_FAILED : -1;
        char end[OUTPUT_TIME_SIZE];
        output_time(json_get_integer(trust, "end", 0), end);
        if (listing->head)
                printf("%s ", listing->head);
        output_bytes(stdout, json_get_string(trust, "id") ?: "?", 0);
        fputs("  ", stdout);
        output_path(stdout, program, 4);
        putchar('\n');
        print_member(_("tree"), json_get_string(trust, "tree") ?: "?");
        print_member(_("until"), end);
        print_member(_("reason"), json_get_string(trust, "reason") ?: "?");
        print_member(_("image"), json_get_string(trust, "image") ?: "?");
        if (interprets)
                print_member(_("caution"), _("an interpreter: every script that it runs is trusted"));
        return -1;
}

static int print_added(const json_t *trust, void *userdata) {
        struct listing *listing = userdata;
        int status = print_trust(trust, userdata);
        if (listing->cli->json && json_is_true(json_object_get(trust, "interprets")))
                fprintf(stderr, "hinomi: %s\n", _("an interpreter: every script that it runs is trusted"));
        return status;
}

static bool is_number(const char *text) {
        return *text && strspn(text, "0123456789") == strlen(text);
}

static int trust_add(const struct cli *cli) {
        const char *reason = cli_get(cli, "reason"), *time = cli_get(cli, "for"),
                   *tree = cli_get(cli, "tree");
        const char *what = cli->n_arguments > 1 ? cli->arguments[1] : NULL;
        json_t *milliseconds = NULL;
        if (!what)
                return cli_usage_error(cli, _("what is to be trusted? A program's path, or a process id"));
        if (!reason || !time)
                return cli_usage_error(cli, _("a grant needs --reason TEXT and an end, --for TIME"));
        int status = client_duration(cli, "--for", time, &milliseconds);
        if (status)
                return status;
        json_t *request =
                json_pack("{s:s,s:s,s:o}", "request", "trust-add", "reason", reason, "for", milliseconds);
        if (!request)
                return cli_usage_error(cli, _("'%s' is not text"), reason);
        if (is_number(what))
                json_object_set_new(request, "pid", json_integer(strtoll(what, NULL, 10)));
        else
                json_object_set_new(request, "path", client_path(what));
        if (tree)
                json_object_set_new(request, "tree", client_path(tree));
        struct listing listing = {.cli = cli, .head = _("granted")};
        return client_ask(cli, request, print_added, &listing);
}

static int trust_list(const struct cli *cli) {
        struct listing listing = {.cli = cli};
        int status = client_ask(cli, json_pack("{s:s}", "request", "trusts"), print_trust, &listing);
        if (status == EXIT_DONE && !cli->json && !listing.n)
                puts(_("Nothing is trusted."));
        return status;
}

static int trust_revoke(const struct cli *cli) {
        if (cli->n_arguments < 2)
                return cli_usage_error(cli, _("which grant? 'hinomi trust list' has their ids"));
        struct listing listing = {.cli = cli, .head = _("revoked")};
        return client_ask(cli, json_pack("{s:s,s:s}", "request", "trust-revoke", "id", cli->arguments[1]),
                          print_trust, &listing);
}

int cli_trust(const struct cli *cli) {
        static const struct {
                const char *name;
                int (*run)(const struct cli *cli);
        } verbs[] = {{"add", trust_add}, {"list", trust_list}, {"revoke", trust_revoke}};
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                if (!strcmp(verbs[i].name, cli->arguments[0]))
                        return verbs[i].run(cli);
        return cli_usage_error(cli, _("'trust' knows add, list and revoke, not '%s'"), cli->arguments[0]);
}
