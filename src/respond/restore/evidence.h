/*
 * What stood in the way: put into the vault, then removed.
 *
 * Called for an object that was taken out of its place and stands under a temporary name. A directory is
 * taken with everything in it, through no symbolic link and no mount, at most RESTORE_REMOVED_MAX
 * entries; however deeply nested, since what lies too deep is first moved up. What the vault cannot take
 * stays where it is and the answer is negative.
 */
#pragma once

#include "respond/restore/restore.h"

#define TEMPORARY_NAME_SIZE 40

/* A fresh name of restore_is_temporary(). */
void temporary_name_make(char ret_name[static TEMPORARY_NAME_SIZE]);

struct evidence {
        const struct restore_context *context;
        const char *path; /* where it stood, relative to the tree */
        uint64_t n_kept;
        uint64_t n_entries;
        unsigned notes;    /* enum restore_note */
        struct node first; /* the object itself; owned */
};

/* Returns 0, also when nothing stands there. -ENOSPC: no room in the vault; -EXDEV: something is mounted in
 * it. */
int evidence_take(struct evidence *evidence, int directory_fd, const char *name);
void evidence_deinit(struct evidence *evidence);
