#include "ledger/tree.h"

int tree_leaf_hash(struct digester *digester, const void *entry, size_t size, struct digest *ret_hash) {
        int r = digester_begin(digester);
        if (r == 0)
                r = digester_update(digester, "\x00", 1);
        if (r == 0)
                r = digester_update(digester, entry, size);
        return r < 0 ? r : digester_end(digester, ret_hash);
}

int tree_node_hash(struct digester *digester, const struct digest *left, const struct digest *right,
                   struct digest *ret_hash) {
        uint8_t node[1 + 2 * DIGEST_BYTES] = {0x01};
        memcpy(node + 1, left->bytes, DIGEST_BYTES);
        memcpy(node + 1 + DIGEST_BYTES, right->bytes, DIGEST_BYTES);
        int r = digester_begin(digester);
        if (r == 0)
                r = digester_update(digester, node, sizeof(node));
        return r < 0 ? r : digester_end(digester, ret_hash);
}

int tree_range_hash(struct digester *digester, const struct digest *hashes, size_t n,
                    struct digest *ret_hash) {
        struct frontier frontier = {0};
        for (size_t i = 0; i < n; i++) {
                int r = frontier_add(digester, &frontier, &hashes[i]);
                if (r < 0)
                        return r;
        }
        return frontier_root(digester, &frontier, ret_hash);
}

int frontier_add(struct digester *digester, struct frontier *frontier, const struct digest *leaf) {
        struct digest node = *leaf;
        unsigned n = frontier->n_nodes;
        for (uint64_t bits = frontier->size; bits & 1; bits >>= 1) {
                int r = tree_node_hash(digester, &frontier->nodes[--n], &node, &node);
                if (r < 0)
                        return r;
        }
        frontier->nodes[n] = node;
        frontier->n_nodes = n + 1;
        frontier->size++;
        return 0;
}

int frontier_root(struct digester *digester, const struct frontier *frontier, struct digest *ret_root) {
        if (frontier->n_nodes == 0)
                return digest_bytes("", 0, ret_root);
        struct digest root = frontier->nodes[frontier->n_nodes - 1];
        for (unsigned i = frontier->n_nodes - 1; i > 0; i--) {
                int r = tree_node_hash(digester, &frontier->nodes[i - 1], &root, &root);
                if (r < 0)
                        return r;
        }
        *ret_root = root;
        return 0;
}

int tree_inclusion_check(struct digester *digester, uint64_t index, uint64_t size, const struct digest *leaf,
                         const struct digest *path, size_t n_path, const struct digest *root) {
        if (index >= size)
                return -EBADMSG;
        struct digest node = *leaf;
        uint64_t position = index, last = size - 1;
        for (size_t i = 0; i < n_path; i++) {
                int r;
                if (last == 0)
                        return -EBADMSG;
                if ((position & 1) || position == last) {
                        r = tree_node_hash(digester, &path[i], &node, &node);
                        while (!(position & 1) && position) {
                                position >>= 1;
                                last >>= 1;
                        }
                } else
                        r = tree_node_hash(digester, &node, &path[i], &node);
                if (r < 0)
                        return r;
                position >>= 1;
                last >>= 1;
        }
        return last == 0 && digest_equal(&node, root) ? 0 : -EBADMSG;
}

/* The largest power of two below n (n > 1), as an exponent. */
static unsigned split_height(uint64_t n) {
        return 63u - (unsigned)__builtin_clzll(n - 1);
}

int tree_lookup_range(struct digester *digester, tree_lookup lookup, void *userdata, const uint64_t range[2],
                      struct digest *ret_hash) {
        uint64_t from = range[0], n = range[1] - range[0];
        if (n == 0)
                return digest_bytes("", 0, ret_hash);
        if ((n & (n - 1)) == 0) {
                unsigned height = (unsigned)__builtin_ctzll(n);
                return lookup(userdata, height, from >> height, ret_hash);
        }
        uint64_t middle = from + (UINT64_C(1) << split_height(n));
        struct digest left, right;
        int r = tree_lookup_range(digester, lookup, userdata, (const uint64_t[]){from, middle}, &left);
        if (r == 0)
                r = tree_lookup_range(digester, lookup, userdata, (const uint64_t[]){middle, range[1]},
                                      &right);
        return r < 0 ? r : tree_node_hash(digester, &left, &right, ret_hash);
}

int tree_inclusion_path(struct digester *digester, tree_lookup lookup, void *userdata, uint64_t index,
                        uint64_t size, struct digest ret_path[static TREE_DEPTH_MAX], size_t *ret_n_path) {
        if (index >= size)
                return -EINVAL;
        uint64_t from = 0, to = size;
        size_t n = 0;
        struct digest path[TREE_DEPTH_MAX];
        while (to - from > 1) {
                uint64_t middle = from + (UINT64_C(1) << split_height(to - from));
                uint64_t sibling[2] = {middle, to};
                if (index >= middle) {
                        sibling[0] = from;
                        sibling[1] = middle;
                        from = middle;
                } else
                        to = middle;
                int r = tree_lookup_range(digester, lookup, userdata, sibling, &path[n]);
                if (r < 0)
                        return r;
                n++;
        }
        for (size_t i = 0; i < n; i++)
                ret_path[i] = path[n - 1 - i];
        *ret_n_path = n;
        return 0;
}
