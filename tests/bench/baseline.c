/*
 * Takes or re-checks a baseline as the daemon would, alone, for tests/bench/baseline.sh:
 *   baseline take|sweep STATE TREE watch|mirror
 * Prints one line: nodes, files, bytes, hashed, changes, milliseconds, peak resident KiB.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "roles/baseline.h"

static int print_change(struct change *change, _unused_ void *userdata) {
        fprintf(stderr, "%s: differs (%#x)\n", change->path, change->difference);
        change_free(change);
        return 0;
}

static int run(char **argv, struct baseline_result *result) {
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(catalog_closep) struct catalog *catalog = NULL;
        struct baseline_tree tree = {.path = argv[3], .mirror = !strcmp(argv[4], "mirror")};
        const struct baseline_callbacks callbacks = {.change = print_change};
        int64_t release = 0;
        int r = store_open(argv[2], NULL, &store);
        if (r == 0)
                r = catalog_open(argv[2], false, &catalog);
        if (r == 0)
                r = catalog_add_tree(catalog, tree.path, argv[4], "none", &tree.id);
        if (r < 0)
                return r;
        const struct baseline baseline = {.catalog = catalog, .store = store};
        if (!strcmp(argv[1], "sweep"))
                return baseline_sweep(&baseline, &tree, &callbacks, result);
        r = catalog_begin_release(catalog, tree.id, "bench", "baseline", "baseline", 1, &release);
        return r < 0 ? r : baseline_take(&baseline, &tree, release, &callbacks, result);
}

int main(int argc, char **argv) {
        struct baseline_result result = {.n_nodes = 0};
        struct rusage usage;
        if (argc != 5)
                return 2;
        uint64_t begin_ns = clock_monotonic_ns(&clock_system);
        int r = run(argv, &result);
        uint64_t took_ns = clock_monotonic_ns(&clock_system) - begin_ns;
        if (r < 0) {
                fprintf(stderr, "baseline: %s\n", strerror(-r));
                return 3;
        }
        getrusage(RUSAGE_SELF, &usage);
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.1f %ld\n", result.n_nodes,
               result.n_files, result.n_bytes, result.n_hashed, result.n_changes, (double)took_ns / 1e6,
               usage.ru_maxrss);
        return 0;
}
