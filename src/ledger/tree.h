/*
 * The RFC 6962 Merkle tree over SHA-256: hashes of leaves, nodes and ranges, the root of a
 * growing tree, inclusion and consistency. Pure: no disk.
 *
 * A frontier is the list of the roots of the perfect subtrees that make up a tree of `size`
 * leaves, largest first (one for each bit set in `size`): enough to add leaves and know the root.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

#define TREE_DEPTH_MAX 64

struct frontier {
        uint64_t size;
        unsigned n_nodes;
        struct digest nodes[TREE_DEPTH_MAX];
};

/* Each returns 0 or -EIO (the hash function failed). Outputs may alias inputs. */
int tree_leaf_hash(struct digester *digester, const void *entry, size_t size, struct digest *ret_hash);
int tree_node_hash(struct digester *digester, const struct digest *left, const struct digest *right,
                   struct digest *ret_hash);

/* MTH of `n` consecutive hashes taken as leaves of a subtree; n = 0 gives the hash of nothing. */
int tree_range_hash(struct digester *digester, const struct digest *hashes, size_t n,
                    struct digest *ret_hash);

/* Adds the next leaf. */
int frontier_add(struct digester *digester, struct frontier *frontier, const struct digest *leaf);
int frontier_root(struct digester *digester, const struct frontier *frontier, struct digest *ret_root);

/*
 * Checks PATH(index, D[size]) from the leaf up (RFC 9162, 2.1.3.2).
 * Returns 0, -EBADMSG (proof does not lead to `root`), or -EIO.
 */
int tree_inclusion_check(struct digester *digester, uint64_t index, uint64_t size, const struct digest *leaf,
                         const struct digest *path, size_t n_path, const struct digest *root);

/*
 * Hashes of a tree wherever they are kept: the root of the perfect subtree of 2^height leaves
 * number `position` at that height. Returns 0 or a negative errno.
 */
typedef int (*tree_lookup)(void *userdata, unsigned height, uint64_t position, struct digest *ret_hash);

/* MTH(D[from:to]); `from` must be a multiple of the power of two at or above to - from. */
int tree_lookup_range(struct digester *digester, tree_lookup lookup, void *userdata, const uint64_t range[2],
                      struct digest *ret_hash);

/* PATH(index, D[size]), leaf's sibling first; up to TREE_DEPTH_MAX hashes. */
int tree_inclusion_path(struct digester *digester, tree_lookup lookup, void *userdata, uint64_t index,
                        uint64_t size, struct digest ret_path[static TREE_DEPTH_MAX], size_t *ret_n_path);
