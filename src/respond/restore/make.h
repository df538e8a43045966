/*
 * Makes an approved object complete, from the vault, under a temporary name.
 */
#pragma once

#include "respond/restore/restore.h"

struct making {
        const struct restore_context *context;
        const struct node *approved;
        int directory_fd; /* O_PATH will do */
        const char *name; /* temporary */
        unsigned notes;   /* enum restore_note; added to */
};

/*
 * Returns an O_PATH descriptor of the new object, which stands under `name`, or a negative errno; then
 * nothing stands there. -ENOENT: its content is not in the vault; -EBADMSG: damaged there; -EOPNOTSUPP: a
 * socket, or a device whose number is not known.
 */
int make_object(struct making *making);

/*
 * Gives the object behind a descriptor owner, extended attributes, mode and times of a node, in that
 * order: a change of owner clears set-uid bits and capabilities, an ACL sets mode bits.
 */
int make_attributes(struct making *making, int fd);
