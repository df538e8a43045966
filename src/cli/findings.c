/* `hinomi findings` and `hinomi show`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/i18n.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "event/finding.h"

/* Scripts get all there is; a person the newest. */
#define PEOPLE_LIMIT 50

#define RECENT_MAX 64

struct printing {
        const struct cli *cli;
        bool full;
        bool colour;
        size_t n_printed;
        char recent[RECENT_MAX][32]; /* uids on the page already: what comes for them is more of the same */
};

static bool is_recent(const struct printing *printing, const char *uid) {
        for (size_t i = 0; i < RECENT_MAX; i++)
                if (!strcmp(printing->recent[i], uid))
                        return true;
        return false;
}

/* A finding that was updated since is whole all the same where it is printed for the first time. */
static void print_block(struct printing *printing, const json_t *finding) {
        const char *uid = finding_uid(finding) ?: "";
        json_auto_t *whole = NULL;
        if (!is_recent(printing, uid)) {
                whole = json_copy((json_t *)finding);
                json_object_set_new(whole, "activity_id", json_integer(1));
        }
        snprintf(printing->recent[printing->n_printed % RECENT_MAX], sizeof(printing->recent[0]), "%s", uid);
        if (printing->full)
                finding_print_full(stdout, whole ?: finding, printing->colour);
        else
                finding_print(stdout, whole ?: finding, printing->colour);
}

static int print_line(const json_t *finding, void *userdata) {
        struct printing *printing = userdata;
        if (printing->cli->json) {
                if (output_json(stdout, finding) < 0)
                        return EXIT_FAILED;
        } else {
                print_block(printing, finding);
        }
        printing->n_printed++;
        return ferror(stdout) ? EXIT_FAILED : -1;
}

/* A severity as a person writes it, in the protocol's lower case; NULL: no such. */
static const char *find_severity(const char *text) {
        static const char *const names[] = {"informational", "low", "medium", "high", "critical"};
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (!strcasecmp(names[i], text) || (i == 0 && !strcasecmp(text, "info")))
                        return names[i];
        return NULL;
}

static int set_time(const struct cli *cli, json_t *request, const char *option) {
        const char *text = cli_get(cli, option);
        json_t *milliseconds = NULL;
        if (!text)
                return 0;
        int status = client_time(cli, text, &milliseconds);
        if (!status)
                json_object_set_new(request, option, milliseconds);
        return status;
}

static int set_severity(const struct cli *cli, json_t *request) {
        const char *text = cli_get(cli, "severity");
        const char *name = text ? find_severity(text) : NULL;
        if (text && !name)
                return cli_usage_error(cli, _("'%s' is no severity; expected one of %s"), text,
                                       "informational, low, medium, high, critical");
        if (name)
                json_object_set_new(request, "severity", json_string(name));
        return 0;
}

static int set_limit(const struct cli *cli, json_t *request) {
        const char *text = cli_get(cli, "limit");
        char *end = NULL;
        long limit = text ? strtol(text, &end, 10) : cli_get(cli, "since") || cli->json ? 0 : PEOPLE_LIMIT;
        if (text && (end == text || *end || limit < 1 || limit > 1000000))
                return cli_usage_error(cli, _("--limit takes a number from 1 to %d, not '%s'"), 1000000,
                                       text);
        if (limit)
                json_object_set_new(request, "limit", json_integer(limit));
        return 0;
}

static int fill_request(const struct cli *cli, json_t *request) {
        int status = set_time(cli, request, "since");
        status = status ?: set_time(cli, request, "until");
        status = status ?: set_severity(cli, request);
        status = status ?: set_limit(cli, request);
        if (cli_get(cli, "tree"))
                json_object_set_new(request, "tree", client_path(cli_get(cli, "tree")));
        if (cli_get(cli, "follow"))
                json_object_set_new(request, "follow", json_true());
        return status;
}

int cli_findings(const struct cli *cli) {
        struct printing printing = {.cli = cli, .colour = output_colour(stdout)};
        json_t *request = json_pack("{s:s}", "request", "findings");
        int status = request ? fill_request(cli, request) : EXIT_FAILED;
        if (status) {
                json_decref(request);
                return status;
        }
        status = client_ask(cli, request, print_line, &printing);
        if (status == EXIT_DONE && !printing.n_printed && !cli->json)
                puts(_("No findings."));
        return status;
}

int cli_show(const struct cli *cli) {
        struct printing printing = {.cli = cli, .colour = output_colour(stdout), .full = true};
        return client_ask(cli, json_pack("{s:s,s:s}", "request", "show", "id", cli->arguments[0]), print_line,
                          &printing);
}
