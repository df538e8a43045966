/*
 * Takes or re-checks a baseline as the daemon would, alone, for tests/bench/baseline.sh:
 *   baseline take|sweep STATE TREE watch|mirror
 *   baseline examine STATE TREE watch|mirror     each file of up to 16 KiB, read and hashed, one after the other
 * Prints one line: nodes, files, bytes, hashed, changes, milliseconds, peak resident KiB, resident KiB when the
 * work is done and store and catalog are still open.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "roles/baseline.h"

static int print_change(struct change *change, _unused_ void *userdata) {
        fprintf(stderr, "%s: differs (%#x)\n", change->path, change->difference);
        change_free(change);
        return 0;
}

static long resident_kib(void) {
        long pages = 0;
        FILE *file = fopen("/proc/self/statm", "re");
        if (file && fscanf(file, "%*d %ld", &pages) != 1)
                pages = 0;
        if (file)
                fclose(file);
        return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

struct round {
        const struct baseline *baseline;
        const struct baseline_tree *tree;
        struct baseline_result *result;
};

static int examine_one(const char *path, const struct node *node, void *userdata) {
        const struct round *round = userdata;
        struct change *change = NULL;
        if (!S_ISREG(node->mode) || node->size_bytes > 16384)
                return 0;
        round->result->n_hashed++;
        int r = baseline_examine(round->baseline, round->tree, path, BASELINE_FORCE, &change);
        round->result->n_changes += r == 1;
        change_free(change);
        return r < 0 ? r : 0;
}

static int work(char **argv, struct baseline *baseline, struct baseline_tree *tree,
                struct baseline_result *result) {
        const struct baseline_callbacks callbacks = {.change = print_change};
        int64_t release = 0;
        if (!strcmp(argv[1], "sweep"))
                return baseline_sweep(baseline, tree, &callbacks, result);
        struct round round = {.baseline = baseline, .tree = tree, .result = result};
        if (!strcmp(argv[1], "examine"))
                return catalog_walk(baseline->catalog, tree->id, "", 0, examine_one, &round);
        int r = catalog_begin_release(baseline->catalog, tree->id, "bench", "baseline", "baseline", 1,
                                      &release);
        return r < 0 ? r : baseline_take(baseline, tree, release, &callbacks, result);
}

static int run(char **argv, struct baseline_result *result, long *ret_resident_kib) {
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(catalog_closep) struct catalog *catalog = NULL;
        struct baseline_tree tree = {.path = argv[3], .mirror = !strcmp(argv[4], "mirror")};
        int r = store_open(argv[2], NULL, &store);
        if (r == 0)
                r = catalog_open(argv[2], false, &catalog);
        if (r == 0)
                r = catalog_add_tree(catalog, tree.path, argv[4], "none", &tree.id);
        if (r < 0)
                return r;
        struct baseline baseline = {.catalog = catalog, .store = store};
        r = work(argv, &baseline, &tree, result);
        *ret_resident_kib = resident_kib();
        return r;
}

int main(int argc, char **argv) {
        struct baseline_result result = {.n_nodes = 0};
        struct rusage usage;
        if (argc != 5)
                return 2;
        uint64_t begin_ns = clock_monotonic_ns(&clock_system);
        long resident = 0;
        int r = run(argv, &result, &resident);
        uint64_t took_ns = clock_monotonic_ns(&clock_system) - begin_ns;
        if (r < 0) {
                fprintf(stderr, "baseline: %s\n", strerror(-r));
                return 3;
        }
        getrusage(RUSAGE_SELF, &usage);
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.1f %ld %ld\n", result.n_nodes,
               result.n_files, result.n_bytes, result.n_hashed, result.n_changes, (double)took_ns / 1e6,
               usage.ru_maxrss, resident);
        return 0;
}
