/* RFC 6962 hashes: known answers, and every inclusion proof of every size up to 600. */
#include "ledger/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SIZE_MAX_TESTED 600

/* Leaves and roots of the Certificate Transparency project's own tests of RFC 6962. */
static const struct {
        const char *leaf;
        size_t size;
        const char *root; /* of the tree up to this leaf */
} known[] = {
        {"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
        {"\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
        {"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
        {"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
        {"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
        {"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
        {"\x50\x51\x52\x53\x54\x55\x56\x57", 8,
         "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
        {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static struct digester *digester;

static int setup(void **state) {
        (void)state;
        digester = digester_new();
        return digester ? 0 : -1;
}

static int teardown(void **state) {
        (void)state;
        digester = digester_free(digester);
        return 0;
}

static void assert_digest(const struct digest *digest, const char *expected) {
        char hex[DIGEST_HEX_SIZE];
        digest_format(digest, hex);
        assert_string_equal(hex, expected);
}

static void the_empty_tree_is_the_hash_of_nothing(void **state) {
        (void)state;
        struct frontier frontier = {0};
        struct digest root;
        assert_int_equal(frontier_root(digester, &frontier, &root), 0);
        assert_digest(&root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_int_equal(tree_range_hash(digester, NULL, 0, &root), 0);
        assert_digest(&root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void roots_are_the_known_ones(void **state) {
        (void)state;
        struct frontier frontier = {0};
        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                struct digest leaf, root;
                assert_int_equal(tree_leaf_hash(digester, known[i].leaf, known[i].size, &leaf), 0);
                assert_int_equal(frontier_add(digester, &frontier, &leaf), 0);
                assert_int_equal(frontier_root(digester, &frontier, &root), 0);
                assert_digest(&root, known[i].root);
        }
}

/* MTH as RFC 6962, 2.1 writes it: split at the largest power of two below n. */
static struct digest mth(const struct digest *leaves, size_t n) {
        struct digest left, right;
        size_t k = 1;
        if (n == 1)
                return leaves[0];
        while (k * 2 < n)
                k *= 2;
        left = mth(leaves, k);
        right = mth(leaves + k, n - k);
        assert_int_equal(tree_node_hash(digester, &left, &right, &left), 0);
        return left;
}

static struct digest leaves[SIZE_MAX_TESTED];

static void leaves_fill(void) {
        for (unsigned i = 0; i < SIZE_MAX_TESTED; i++)
                assert_int_equal(tree_leaf_hash(digester, &i, sizeof(i), &leaves[i]), 0);
}

static int lookup(void *userdata, unsigned height, uint64_t position, struct digest *ret_hash) {
        const size_t *size = userdata;
        assert_true((position + 1) << height <= *size); /* only perfect subtrees within the tree */
        *ret_hash = mth(leaves + (position << height), (size_t)1 << height);
        return 0;
}

static void the_frontier_agrees_with_the_definition(void **state) {
        (void)state;
        struct frontier frontier = {0};
        struct digest root, expected, range;
        leaves_fill();
        for (size_t n = 1; n <= SIZE_MAX_TESTED; n++) {
                assert_int_equal(frontier_add(digester, &frontier, &leaves[n - 1]), 0);
                assert_int_equal(frontier_root(digester, &frontier, &root), 0);
                expected = mth(leaves, n);
                assert_true(digest_equal(&root, &expected));
                assert_int_equal(tree_lookup_range(digester, lookup, &n, (const uint64_t[]){0, n}, &range),
                                 0);
                assert_true(digest_equal(&range, &expected));
        }
}

/* One size: all proofs hold, and none of them for another index, leaf, root, size or path. */
static void size_check(size_t n, size_t stride) {
        struct digest root = mth(leaves, n), path[TREE_DEPTH_MAX];
        size_t n_path;
        for (size_t i = 0; i < n; i += stride) {
                assert_int_equal(tree_inclusion_path(digester, lookup, &n, i, n, path, &n_path), 0);
                assert_int_equal(tree_inclusion_check(digester, i, n, &leaves[i], path, n_path, &root), 0);
                const struct digest *other = &leaves[(i + 1) % SIZE_MAX_TESTED];
                assert_int_equal(tree_inclusion_check(digester, i, n, other, path, n_path, &root), -EBADMSG);
                if (n > 1)
                        assert_int_equal(tree_inclusion_check(digester, (i + 1) % n, n, &leaves[i], path,
                                                              n_path, &root),
                                         -EBADMSG);
                if (n_path) {
                        assert_int_equal(
                                tree_inclusion_check(digester, i, n, &leaves[i], path, n_path - 1, &root),
                                -EBADMSG);
                        path[i % n_path].bytes[i % DIGEST_BYTES] ^= 1;
                        assert_int_equal(
                                tree_inclusion_check(digester, i, n, &leaves[i], path, n_path, &root),
                                -EBADMSG);
                }
        }
        assert_int_equal(tree_inclusion_check(digester, n, n, &leaves[0], path, 0, &root), -EBADMSG);
}

static void every_proof_of_every_size_holds(void **state) {
        (void)state;
        leaves_fill();
        for (size_t n = 1; n <= SIZE_MAX_TESTED; n++)
                size_check(n, n <= 40 ? 1 : 37);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_empty_tree_is_the_hash_of_nothing),
                cmocka_unit_test(roots_are_the_known_ones),
                cmocka_unit_test(the_frontier_agrees_with_the_definition),
                cmocka_unit_test(every_proof_of_every_size_holds),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
