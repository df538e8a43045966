/* The configuration: whatever the bytes, an outcome; and what is accepted keeps the parser's promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

static void check_tree(const struct config_tree *tree) {
        check(tree->path[0] == '/' && tree->path[1] && tree->path[strlen(tree->path) - 1] != '/');
        check(!strstr(tree->path, "//") && !strstr(tree->path, "/../"));
        check(tree->protect <= PROTECT_WATCH);
        check(tree->protect == PROTECT_MIRROR || tree->respond == RESPOND_OBSERVE);
        check(config_profile_text(tree->profile) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct config *config = NULL;
        char *error = NULL;
        int r = config_parse((const char *)data, size, "f", &config, &error);
        if (r < 0) {
                check(!config && error && strlen(error) < 8000 && !strpbrk(error, "\n\r\033"));
        } else {
                check(config && !error && config->n_trees > 0 && config->n_trees <= CONFIG_TREES_MAX);
                for (size_t i = 0; i < config->n_trees; i++) {
                        check_tree(&config->trees[i]);
                        check(config_find_tree(config, config->trees[i].path) == &config->trees[i]);
                }
        }
        config_free(config);
        free(error);
        return 0;
}
