/*
 * Reads the public files of a log of a given size: hashes for proofs, bundles of entries.
 * Where a partial file is gone because it has been filled since, the full one is taken.
 * Nothing read is trusted: whoever uses it compares with a signed root.
 */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "ledger/format.h"

struct reader {
        int directory_fd; /* borrowed */
        uint64_t size;
        struct digester *digester; /* borrowed */
        struct {
                bool valid;
                uint64_t index;
                struct digest hashes[TILE_WIDTH];
        } tiles[TILE_LEVELS]; /* the last one of each level */
};

void reader_init(struct reader *reader, int directory_fd, uint64_t size, struct digester *digester);

/* The first `width` hashes of a tile. Returns 0, -ENOENT or -EBADMSG (too short). */
int reader_tile(const struct reader *reader, unsigned level, uint64_t index, unsigned width,
                struct digest *ret_hashes);

/* Appends the bundle's bytes, which may hold more entries than the log of this size has. */
int reader_bundle(const struct reader *reader, uint64_t index, struct buffer *bundle);

/* One entry; `bundle` keeps its bytes. Returns 0, -ENOENT, -EBADMSG. */
int reader_entry(const struct reader *reader, uint64_t index, struct buffer *bundle, const char **ret_entry,
                 size_t *ret_size);

/* tree_lookup (ledger/tree.h) with the reader as userdata. */
int reader_lookup(void *reader, unsigned height, uint64_t position, struct digest *ret_hash);
