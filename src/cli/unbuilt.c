/* Parts whose rooms are not built yet: replaced by theirs at link time. */
#include "base/i18n.h"
#include "cli/cli.h"
#include "roles/role.h"

__attribute__((weak)) int cli_ledger(const struct cli *cli) {
        return cli_failed(_("'%s' is not built"), cli->command->name);
}

__attribute__((weak)) int cli_drill(const struct cli *cli) {
        return cli_failed(_("'%s' is not built"), cli->command->name);
}
