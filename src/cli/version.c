#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/i18n.h"
#include "base/version.h"
#include "cli/cli.h"

#include "base/version.h"

int cli_version(const struct cli *cli) {
        struct utsname name;
        if (uname(&name) < 0)
                return cli_failed("uname: %s", strerror(errno));
        if (cli->json)
                printf("{\"version\":\"%s\",\"compiler\":\"%s\",\"kernel\":\"%s\"}\n", HINOMI_VERSION,
                       __VERSION__, name.release);
        else
                printf(_("hinomi %s, on Linux %s\n"), HINOMI_VERSION, name.release);
        return EXIT_DONE;
}
