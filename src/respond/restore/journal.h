/*
 * The names a restore has in use, written before it uses them. See restore.h.
 *
 *   STATE/vault/restoring   "PATH\0PATH\0\0", relative to a tree; overwritten by each attempt
 */
#pragma once

#include "respond/restore/restore.h"

/* Notes names in the directory of `path`. Either of journal and `other` may be NULL. */
int journal_note(const struct restore_journal *journal, const char *path, const char *name,
                 const char *other);
