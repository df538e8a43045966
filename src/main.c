/* hinomi: the entry. What a word on the command line does is a row in cli/. */
#include "cli/cli.h"

int main(int argc, char **argv) {
        return cli_run(argc, argv);
}
