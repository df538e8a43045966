/*
 * The growing right edge of the log in memory: for each level the hashes of its last, not yet full tile, and
 * the entries of the last bundle. What becomes full is handed out.
 */
#pragma once

#include "base/buffer.h"
#include "ledger/format.h"
#include "ledger/reader.h"
#include "ledger/tree.h"

struct edge {
        struct digest hashes[TILE_LEVELS][TILE_WIDTH];
        unsigned counts[TILE_LEVELS];
        struct buffer bundle;
        struct frontier frontier;
};

/* Called with each tile or bundle that has become full. Returns 0 or a negative errno. */
typedef int (*edge_full)(void *userdata, int level, uint64_t index, const void *data, size_t size);

void edge_init(struct edge *edge);
void edge_deinit(struct edge *edge);

/* Reads the edge of a log of the reader's size. Returns 0, or -EBADMSG (files missing or too short). */
int edge_load(struct edge *edge, const struct reader *reader);

int edge_add(struct edge *edge, struct digester *digester, const void *entry, size_t size, edge_full full,
             void *userdata);
