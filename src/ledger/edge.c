#include "ledger/edge.h"

void edge_init(struct edge *edge) {
        memset(edge->counts, 0, sizeof(edge->counts));
        edge->frontier = (struct frontier){0};
        buffer_init(&edge->bundle, BUNDLE_BYTES_MAX);
}

void edge_deinit(struct edge *edge) {
        buffer_deinit(&edge->bundle);
}

/* Cuts what a fuller bundle holds beyond `count` entries. */
static int bundle_cut(struct buffer *bundle, unsigned count) {
        const char *entry;
        size_t offset = 0, size;
        for (unsigned i = 0; i < count; i++)
                if (bundle_next(bundle->data, bundle->size, &offset, &entry, &size) <= 0)
                        return -EBADMSG;
        bundle->size = offset;
        return 0;
}

/* The roots of perfect subtrees, largest first: bit by bit of the tree's size. */
static int frontier_load(struct edge *edge, const struct reader *reader) {
        struct frontier *frontier = &edge->frontier;
        frontier->size = reader->size;
        for (int level = (int)TILE_LEVELS - 1; level >= 0; level--) {
                unsigned offset = 0;
                for (unsigned width = TILE_WIDTH / 2; width; width /= 2) {
                        if (!(edge->counts[level] & width))
                                continue;
                        int r = tree_range_hash(reader->digester, &edge->hashes[level][offset], width,
                                                &frontier->nodes[frontier->n_nodes++]);
                        if (r < 0)
                                return r;
                        offset += width;
                }
        }
        return 0;
}

int edge_load(struct edge *edge, const struct reader *reader) {
        edge->frontier = (struct frontier){0};
        buffer_clear(&edge->bundle);
        for (unsigned level = 0; level < TILE_LEVELS; level++) {
                uint64_t hashes = tile_level_size(reader->size, level);
                edge->counts[level] = (unsigned)(hashes % TILE_WIDTH);
                if (edge->counts[level] && reader_tile(reader, level, hashes / TILE_WIDTH,
                                                       edge->counts[level], edge->hashes[level]) < 0)
                        return -EBADMSG;
        }
        if (edge->counts[0] && (reader_bundle(reader, reader->size / TILE_WIDTH, &edge->bundle) < 0 ||
                                bundle_cut(&edge->bundle, edge->counts[0]) < 0))
                return -EBADMSG;
        return frontier_load(edge, reader);
}

/* Hands out each tile that is full, from the leaves up. */
static int edge_carry(struct edge *edge, struct digester *digester, edge_full full, void *userdata) {
        for (unsigned level = 0; level < TILE_LEVELS && edge->counts[level] == TILE_WIDTH; level++) {
                uint64_t index = tile_level_size(edge->frontier.size, level) / TILE_WIDTH - 1;
                int r = full(userdata, (int)level, index, edge->hashes[level], TILE_BYTES);
                if (r == 0 && level == 0)
                        r = full(userdata, TILE_ENTRIES, index, edge->bundle.data, edge->bundle.size);
                if (r < 0)
                        return r;
                if (level == 0)
                        buffer_clear(&edge->bundle);
                edge->counts[level] = 0;
                if (level + 1 == TILE_LEVELS)
                        continue;
                r = tree_range_hash(digester, edge->hashes[level], TILE_WIDTH,
                                    &edge->hashes[level + 1][edge->counts[level + 1]]);
                if (r < 0)
                        return r;
                edge->counts[level + 1]++;
        }
        return 0;
}

int edge_add(struct edge *edge, struct digester *digester, const void *entry, size_t size, edge_full full,
             void *userdata) {
        struct digest leaf;
        int r = tree_leaf_hash(digester, entry, size, &leaf);
        if (r == 0)
                r = bundle_append(&edge->bundle, entry, size);
        if (r == 0)
                r = frontier_add(digester, &edge->frontier, &leaf);
        if (r < 0)
                return r;
        edge->hashes[0][edge->counts[0]++] = leaf;
        return edge_carry(edge, digester, full, userdata);
}
