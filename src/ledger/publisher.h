/*
 * Brings the log's public files up to a tree: full tiles and bundles once, partial ones for each
 * checkpoint, then the checkpoint. Nothing is fsynced on the way (the journal makes entries durable);
 * publisher_settle() does it for all that was written since, and only then lets go of it.
 *
 * Partial files are kept for the newest checkpoints and for the state the journal's area begins at, from
 * which a crash is recovered. Older ones are removed: up to 255 ever longer copies of one bundle would be
 * kept otherwise. (tlog-tiles would have them kept until the tile is full; a copy of the directory, or
 * `ledger export`, has all that its checkpoint needs.)
 */
#pragma once

#include "ledger/edge.h"
#include "ledger/world.h"

#define PUBLISHER_SIZES_KEPT 4

struct public_file {
        char path[TILE_PATH_SIZE];
        char *data;
        size_t size;
        bool written;
};

struct publisher {
        const struct ledger_world *world;
        int directory_fd;          /* borrowed */
        struct public_file *files; /* full ones, until they are durable */
        size_t n_files;
        uint64_t sizes[PUBLISHER_SIZES_KEPT]; /* newest first; partial files of these exist */
        uint64_t base_size;                   /* and of this one */
        bool recovering;                      /* files may be there already, or wrong */
        bool dirty;                           /* something is written and not durable */
};

void publisher_init(struct publisher *publisher, const struct ledger_world *world, int directory_fd);
void publisher_deinit(struct publisher *publisher);

/* edge_full with the publisher as userdata: takes a copy. */
int publisher_take(void *publisher, int level, uint64_t index, const void *data, size_t size);

/* Writes what is missing for the edge's size, then the checkpoint. May be repeated after a failure. */
int publisher_publish(struct publisher *publisher, const struct edge *edge, const char *note,
                      size_t note_bytes);

/* Whether the files of the edge's size and the checkpoint still are as they were published. */
bool publisher_intact(const struct publisher *publisher, const struct edge *edge, const char *note,
                      size_t note_bytes);

/* Makes durable what was published. After a failure all of it is written again by the next publish. */
int publisher_settle(struct publisher *publisher);
