#include "cli/cli.h"

#include <stdio.h>

int cli_run(int argc, char **argv) {
        (void)argv;
        fprintf(stderr, "hinomi: %d arguments, no commands yet\n", argc - 1);
        return EXIT_USAGE_ERROR;
}
