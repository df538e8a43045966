#include "vault/retention.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"

#define BUDGET  4000000
#define SIZE    20000 /* of a content, which does not compress */
#define DAY_NS  (UINT64_C(86400) * 1000000000)
#define NOW_NS  (UINT64_C(20000) * DAY_NS)
#define KEPT_NS (100 * DAY_NS)

struct world {
        char state[64];
        struct retention retention;
        int64_t tree;
};

static int world_new(void **state) {
        struct world *world = calloc(1, sizeof(*world));
        const struct store_options options = {.budget_bytes = BUDGET};
        snprintf(world->state, sizeof(world->state), "/var/tmp/retention-test-XXXXXX");
        struct retention *retention = &world->retention;
        if (!mkdtemp(world->state) || store_open(world->state, &options, &retention->store) < 0 ||
            catalog_open(world->state, false, &retention->catalog) < 0 ||
            observed_open(world->state, &retention->observed) < 0)
                return -1;
        *state = world;
        return catalog_add_tree(retention->catalog, "/srv/shop", "mirror", "none", &world->tree);
}

static int world_free(void **state) {
        struct world *world = *state;
        char command[128];
        snprintf(command, sizeof(command), "rm -rf -- '%s'", world->state);
        observed_close(world->retention.observed);
        catalog_close(world->retention.catalog);
        store_close(world->retention.store);
        free(world);
        return system(command);
}

/* Content that differs by its number. */
static void content_of(unsigned number, unsigned char ret_data[static SIZE]) {
        uint64_t x = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
        for (size_t i = 0; i < SIZE; i++) {
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                ret_data[i] = (unsigned char)(x >> 32);
        }
}

static int put(struct world *world, unsigned number, struct node *ret_node) {
        unsigned char data[SIZE];
        content_of(number, data);
        *ret_node = (struct node){.mode = S_IFREG | 0644, .size_bytes = SIZE};
        return store_put_bytes(world->retention.store, data, SIZE, &ret_node->digest);
}

static bool is_kept(struct world *world, unsigned number) {
        unsigned char data[SIZE];
        struct digest digest;
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        content_of(number, data);
        digest_bytes(data, SIZE, &digest);
        int r = store_get_bytes(world->retention.store, &digest, &buffer);
        assert_true(r == -ENOENT || (r == 0 && buffer.size == SIZE && !memcmp(buffer.data, data, SIZE)));
        return r == 0;
}

static unsigned count_kept(struct world *world, unsigned from, unsigned to) {
        unsigned n = 0;
        for (unsigned i = from; i < to; i++)
                n += is_kept(world, i);
        return n;
}

static int collect(struct world *world, uint64_t wanted_bytes, struct retention_result *ret_result) {
        return retention_collect(&world->retention, wanted_bytes, NOW_NS, ret_result);
}

/* Approves the content at a path, as the sentry does: room is made when there is none. */
static void approve(struct world *world, const char *path, unsigned number, uint64_t at_ns, int64_t release) {
        struct node node;
        int r = put(world, number, &node);
        if (r == -ENOSPC) {
                assert_true(collect(world, STORE_BYTES_FOR(SIZE), NULL) >= 0);
                r = put(world, number, &node);
        }
        assert_int_equal(r, 0);
        assert_int_equal(catalog_approve(world->retention.catalog, world->tree, path, &node, at_ns, release),
                         0);
}

static void make_evidence(struct world *world, unsigned number, const char *finding, uint64_t at_ns) {
        struct node node;
        char path[32];
        snprintf(path, sizeof(path), "evidence-%u", number);
        int r = put(world, number, &node);
        if (r == -ENOSPC) {
                assert_true(collect(world, STORE_BYTES_FOR(SIZE), NULL) >= 0);
                r = put(world, number, &node);
        }
        assert_int_equal(r, 0);
        assert_int_equal(observed_set(world->retention.observed, world->tree, path, finding, &node, at_ns),
                         0);
}

static uint64_t stored_bytes(struct world *world) {
        struct store_usage usage;
        assert_int_equal(store_usage(world->retention.store, &usage), 0);
        return usage.stored_bytes;
}

static void many_releases_stay_within_the_budget_and_the_last_is_whole(void **state) {
        struct world *world = *state;
        char path[16];
        for (unsigned release = 1; release <= 60; release++) {
                for (unsigned i = 0; i < 20; i++) {
                        snprintf(path, sizeof(path), "f%u", i);
                        approve(world, path, release * 100 + i, NOW_NS - DAY_NS + release * 1000, release);
                }
                assert_true(stored_bytes(world) <= BUDGET);
                assert_int_equal(count_kept(world, release * 100, release * 100 + 20), 20);
        }
        /* The oldest went, the newest are there, and the catalog says from when on it is complete. */
        assert_int_equal(count_kept(world, 100, 120), 0);
        assert_int_equal(count_kept(world, 5900, 5920), 20);
        uint64_t since_ns = catalog_forgotten(world->retention.catalog, CATALOG_RELEASED);
        assert_true(since_ns > NOW_NS - DAY_NS);
        for (unsigned release = 1; release < 60; release++) {
                if (NOW_NS - DAY_NS + release * 1000 < since_ns)
                        continue;
                assert_int_equal(count_kept(world, release * 100, release * 100 + 20), 20);
        }
}

static void what_is_past_its_time_goes_although_there_is_room(void **state) {
        struct world *world = *state;
        struct retention_result result;
        world->retention.keep_ns = KEPT_NS;
        approve(world, "f", 1, NOW_NS - 300 * DAY_NS, 1);
        approve(world, "f", 2, NOW_NS - 200 * DAY_NS, 2);
        approve(world, "f", 3, NOW_NS - 50 * DAY_NS, 3);
        make_evidence(world, 4, "old", NOW_NS - 150 * DAY_NS);
        make_evidence(world, 5, "new", NOW_NS - 50 * DAY_NS);
        assert_int_equal(retention_collect(&world->retention, 0, NOW_NS, &result), 0);
        /* Contents were put just now by the clock of the store: only what is noted has an age. */
        assert_false(is_kept(world, 4));
        assert_true(is_kept(world, 5));
        assert_true(is_kept(world, 2)); /* until 50 days ago */
        assert_true(is_kept(world, 3));
        assert_int_equal(result.n_expired, 1);
        assert_int_equal(result.n_given_up + result.n_displaced, 0);
        assert_int_equal(catalog_forgotten(world->retention.catalog, CATALOG_RELEASED), NOW_NS - KEPT_NS);
}

static void evidence_keeps_to_its_share(void **state) {
        struct world *world = *state;
        struct retention_result result;
        world->retention.evidence_bytes_max = BUDGET / 4;
        approve(world, "f", 1, NOW_NS - DAY_NS, 1);
        approve(world, "f", 2, NOW_NS - DAY_NS + 1, 2);
        make_evidence(world, 3, "back door", NOW_NS - 2000);
        for (unsigned i = 0; i < 400; i++) {
                make_evidence(world, 100 + i, "flood", NOW_NS - 1000 + i);
                assert_true(stored_bytes(world) <= BUDGET);
        }
        make_evidence(world, 4, "newer", NOW_NS - 10);
        assert_true(collect(world, 0, &result) >= 0);
        assert_true(result.evidence_bytes <= BUDGET / 4);
        assert_true(result.n_given_up > 0);
        assert_int_equal(result.n_displaced, 0);
        assert_true(is_kept(world, 3)); /* a flood does not wash away what another finding has */
        assert_true(is_kept(world, 4));
        assert_true(is_kept(world, 1));
        assert_true(is_kept(world, 2));
        assert_true(stored_bytes(world) <= BUDGET / 2);
}

static void what_came_and_went_by_itself_goes_before_releases(void **state) {
        struct world *world = *state;
        approve(world, "code", 1, NOW_NS - 2 * DAY_NS, 1);
        approve(world, "code", 2, NOW_NS - DAY_NS, 2);
        for (unsigned i = 0; i < 600; i++) {
                approve(world, "upload", 100 + i, NOW_NS - 1000 + i, 0);
                assert_true(stored_bytes(world) <= BUDGET);
        }
        assert_true(is_kept(world, 1));
        assert_true(is_kept(world, 2));
        assert_true(is_kept(world, 699));
        assert_false(is_kept(world, 100));
        assert_int_equal(catalog_forgotten(world->retention.catalog, CATALOG_RELEASED), 0);
        assert_true(catalog_forgotten(world->retention.catalog, CATALOG_UNRELEASED) > 0);
}

static void what_is_approved_now_never_goes(void **state) {
        struct world *world = *state;
        char path[16];
        for (unsigned i = 0; i < 180; i++) {
                snprintf(path, sizeof(path), "f%u", i);
                approve(world, path, i, NOW_NS - DAY_NS, 1);
        }
        make_evidence(world, 1000, "finding", NOW_NS - 1000);
        struct retention_result result;
        assert_int_equal(collect(world, BUDGET / 2, &result), -ENOSPC);
        assert_int_equal(count_kept(world, 0, 180), 180);
        assert_false(is_kept(world, 1000));
        assert_int_equal(result.n_given_up, 1);
}

static void within_a_transaction_history_stays(void **state) {
        struct world *world = *state;
        for (unsigned i = 0; i < 150; i++)
                approve(world, "f", i, NOW_NS - DAY_NS + i, 1);
        assert_int_equal(catalog_begin(world->retention.catalog), 0);
        assert_int_equal(collect(world, BUDGET / 2, NULL), -ENOSPC);
        assert_int_equal(count_kept(world, 0, 150), 150);
        assert_int_equal(catalog_rollback(world->retention.catalog), 0);
        assert_true(collect(world, BUDGET / 2, NULL) >= 0);
        assert_false(is_kept(world, 0));
        assert_true(is_kept(world, 149));
}

int main(void) {
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_new, world_free)
        const struct CMUnitTest tests[] = {
                WITH_WORLD(many_releases_stay_within_the_budget_and_the_last_is_whole),
                WITH_WORLD(what_is_past_its_time_goes_although_there_is_room),
                WITH_WORLD(evidence_keeps_to_its_share),
                WITH_WORLD(what_came_and_went_by_itself_goes_before_releases),
                WITH_WORLD(what_is_approved_now_never_goes),
                WITH_WORLD(within_a_transaction_history_stays),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
