/*
 * A log opened for reading: its directory, key and signed checkpoint. `path` is a state directory or the
 * directory of a copy.
 */
#pragma once

#include "ledger/checkpoint.h"
#include "ledger/reader.h"

struct log {
        int directory_fd;
        struct verifier_key key;
        struct checkpoint checkpoint;
        struct buffer note; /* the checkpoint's text */
};

/* Returns 0, -ENOENT, -EBADMSG (key or checkpoint is damaged or not signed) or another errno. */
int log_open(struct log *log, const char *path);
void log_close(struct log *log);

/* Reads the checkpoint again. */
int log_refresh(struct log *log);

/* After a file was missing: 1 if the log has grown meanwhile and a look is worth while, 0, or an error. */
int log_grown(struct log *log, unsigned *tries);
