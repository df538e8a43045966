/*
 * Looks around on a machine for what is worth guarding: what its web servers serve, which
 * shop applications those are, and the usual places. Reads only; everything below one
 * root descriptor, so that another machine's mounted disk can be looked at as well.
 */
#pragma once

#include <stddef.h>

#include "config/write.h"

struct proposals {
        struct config_proposal items[CONFIG_TREES_MAX];
        size_t n;
};

/* `root_fd`: the machine's root directory. 0 or -ENOMEM; what cannot be read is passed over. */
int discover(int root_fd, struct proposals *ret_proposals);
void proposals_deinit(struct proposals *proposals);
