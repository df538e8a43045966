/* hinomi watch: guard this machine in the foreground. systemd runs the same. */
#include "cli/cli.h"
#include "roles/parent.h"

int cli_watch(const struct cli *cli) {
        struct parent_options options = {
                .config = cli->config,
                .state = cli->state,
                .socket = cli->socket,
                .packs = cli->packs,
                .json = cli->json,
        };
        return parent_run(&options);
}
