/*
 * A self-contained copy of a log for somebody else: key, checkpoint, seals, and exactly the tiles and bundles
 * that the checkpoint needs. Taken from a log that may be growing meanwhile. Nothing is verified on the way:
 * what is checked is the copy.
 */
#pragma once

#include <stdint.h>

/*
 * `to` is made if it is not there, and must be empty. Returns 0, -ENOENT (no log), -ENOTEMPTY, -EBADMSG
 * (files are missing or damaged), or a negative errno. `ret_size`: entries in the copy.
 */
int ledger_export(const char *path, const char *to, uint64_t *ret_size);
