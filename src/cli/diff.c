/* `hinomi diff`: what stands there against what is approved. */
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "event/json.h"

static void print_node(const char *label, const json_t *node) {
        char size[OUTPUT_TIME_SIZE];
        const char *type = json_get_string(node, "type");
        if (!type)
                return;
        output_size((uint64_t)json_get_integer(node, "size", 0), size);
        printf("    %s %s  %s  %lld:%lld  %s", label, type, json_get_string(node, "mode") ?: "-",
               (long long)json_get_integer(node, "uid", -1), (long long)json_get_integer(node, "gid", -1),
               size);
        const char *digest = json_get_string(node, "sha256"), *target = json_get_string(node, "target");
        if (digest)
                printf("  %.16s…", digest);
        if (target) {
                fputs(" -> ", stdout);
                output_bytes(stdout, target, 8);
        }
        putchar('\n');
}

static int print_line(const json_t *line, void *userdata) {
        const struct cli *cli = userdata;
        if (cli->json)
                return output_json(stdout, line) < 0 ? EXIT_FAILED : -1;
        const char *kind = json_get_string(line, "kind"), *diff = json_get_string(line, "diff");
        static const char *const kinds[] = {"created", "modified", "deleted", "attributes"};
        for (size_t i = 0; kind && i < ARRAY_SIZE(kinds); i++)
                if (!strcmp(kind, kinds[i]))
                        printf("%s  ", _(kinds[i]));
        output_path(stdout, json_get_string(line, "path") ?: "?", 2);
        putchar('\n');
        if (diff && *diff) {
                diff_print(stdout, diff, 4, 0, output_colour(stdout));
                if (json_is_true(json_object_get(line, "diff_truncated")))
                        printf("    %s\n", _("… (the rest is too long to show)"));
        } else {
                print_node("-", json_object_get(line, "before"));
                print_node("+", json_object_get(line, "after"));
        }
        return -1;
}

int cli_diff(const struct cli *cli) {
        const char *finding = cli_get(cli, "finding");
        if (finding && cli->n_arguments)
                return cli_usage_error(cli, _("give a path or --finding, not both"));
        json_t *request = json_pack("{s:s}", "request", "diff");
        if (finding)
                json_object_set_new(request, "finding", json_string(finding));
        if (cli->n_arguments)
                json_object_set_new(request, "path", client_path(cli->arguments[0]));
        int status = client_ask(cli, request, print_line, (void *)cli);
        if (status == EXIT_DONE && !cli->json)
                puts(_("No differences: everything is as approved."));
        return status;
}
