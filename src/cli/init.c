/* `hinomi init`: writes a first configuration. */
#include "base/i18n.h"
#include "cli/cli.h"

int cli_init(const struct cli *cli) {
        return cli_failed(_("'%s' is not built"), cli->command->name);
}
