/* `hinomi held`: processes that are stopped, for a person to decide about. */
#include <stdio.h>

#include "base/i18n.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "event/json.h"

struct listing {
        const struct cli *cli;
        size_t n;
};

static void print_member(const json_t *held, const char *key, const char *label) {
        const char *text = json_get_string(held, key);
        if (!text || !*text)
                return;
        fputs("  ", stdout);
        output_pad(stdout, label, 12);
        output_path(stdout, text, 14);
        putchar('\n');
}

static int print_held(const json_t *held, void *userdata) {
        struct listing *listing = userdata;
        listing->n++;
        if (listing->cli->json)
                return output_json(stdout, held) < 0 ? EXIT_FAILED : -1;
        char since[OUTPUT_TIME_SIZE];
        output_time(json_get_integer(held, "since", 0), since);
        output_bytes(stdout, json_get_string(held, "id") ?: "?", 0);
        fputs("  ", stdout);
        output_path(stdout, json_get_string(held, "command") ?: "?", 4);
        putchar('\n');
        fputs("  ", stdout);
        output_pad(stdout, _("since"), 12);
        puts(since);
        print_member(held, "executable", _("image"));
        print_member(held, "tree", _("tree"));
        print_member(held, "finding", _("finding"));
        return -1;
}

int cli_held(const struct cli *cli) {
        struct listing listing = {.cli = cli};
        int status = client_ask(cli, json_pack("{s:s}", "request", "held"), print_held, &listing);
        if (status == EXIT_DONE && !cli->json && !listing.n)
                puts(_("No process is held."));
        return status;
}
