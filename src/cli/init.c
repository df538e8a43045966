/* `hinomi init`: writes a first configuration, and checks that hinomi itself accepts it. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/i18n.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "config/discover.h"

static int write_text(const struct proposals *proposals, char **ret_text, size_t *ret_size) {
        FILE *memory = open_memstream(ret_text, ret_size);
        if (!memory)
                return -ENOMEM;
        int r = config_write(memory, proposals->items, proposals->n);
        return fclose(memory) == EOF ? -ENOMEM : r;
}

/* Directory part opened, made where it is missing; `ret_name` points into `path`. */
static int open_parent(const char *path, const char **ret_name) {
        char directory[PATH_MAX];
        const char *slash = strrchr(path, '/');
        if (snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) : 1,
                     slash ? path : ".") >= (int)sizeof(directory))
                return -ENAMETOOLONG;
        *ret_name = slash ? slash + 1 : path;
        const char *parent = *directory ? directory : "/";
        int r = io_make_directories(parent, 0755);
        if (r < 0)
                return r;
        int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int write_configuration(const struct cli *cli, const char *text, size_t size) {
        const char *name = NULL;
        _cleanup_(fd_closep) int directory = open_parent(cli->config, &name);
        if (directory < 0)
                return directory;
        return io_replace_file(directory, name, text, size, 0644);
}

static void print_proposals(const struct cli *cli, const struct proposals *proposals) {
        printf(_("%s: written.\n"), cli->config);
        for (size_t i = 0; i < proposals->n; i++) {
                const struct config_proposal *item = &proposals->items[i];
                printf("  %-7s %-12s ", protect_name(item->protect), item->profile);
                output_bytes(stdout, item->path, 23);
                putchar('\n');
        }
        puts(_("Read it, change what does not fit, then: hinomi watch"));
}

static int write_and_say(const struct cli *cli, const struct proposals *proposals, const char *text,
                         size_t size) {
        int r = write_configuration(cli, text, size);
        if (r < 0)
                return cli_failed(_("cannot write %s: %s"), cli->config, strerror(-r));
        if (cli->json)
                printf("{\"configuration\":\"%s\",\"n_trees\":%zu}\n", "written", proposals->n);
        else
                print_proposals(cli, proposals);
        return EXIT_DONE;
}

int cli_init(const struct cli *cli) {
        const char *root = cli_get(cli, "root") ?: "/";
        struct stat st;
        if (!cli_get(cli, "print") && !cli_get(cli, "force") && !lstat(cli->config, &st)) {
                cli_failed(_("%s is there already and is left alone; --print shows a new one, --force "
                             "overwrites it"),
                           cli->config);
                return EXIT_NO;
        }
        _cleanup_(fd_closep) int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return cli_failed(_("cannot look into %s: %s"), root, strerror(errno));
        _cleanup_(freep) struct proposals *proposals = calloc(1, sizeof(*proposals));
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *text = NULL, *error = NULL;
        size_t size = 0;
        if (!proposals || discover(root_fd, proposals) < 0)
                return cli_failed("%s", strerror(ENOMEM));
        int status;
        if (write_text(proposals, &text, &size) < 0)
                status = cli_failed("%s", strerror(ENOMEM));
        else if (proposals->n && config_parse(text, size, cli->config, &config, &error) < 0)
                status = cli_failed(_("the configuration made would not be valid; please report this: %s"),
                                    error ?: "?");
        else if (cli_get(cli, "print"))
                status = fwrite(text, 1, size, stdout) == size ? EXIT_DONE : EXIT_FAILED;
        else
                status = write_and_say(cli, proposals, text, size);
        proposals_deinit(proposals);
        return status;
}
