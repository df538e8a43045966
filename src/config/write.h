/* Writes a configuration for people: trees with the reason for each, and every option, commented out. */
#pragma once

#include <stdio.h>

#include "config/config.h"

struct config_proposal {
        char *path; /* owned by whoever holds it */
        enum protect protect;
        const char *profile;
        enum respond respond;
        char *why; /* one sentence in the reader's language; may name the file it was found in */
};

/* Without proposals: an example tree, commented out. A path that YAML cannot hold is left out with a comment.
 * 0 or -EIO. */
int config_write(FILE *file, const struct config_proposal *proposals, size_t n_proposals);
