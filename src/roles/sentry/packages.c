/*
 * Changes by dpkg. While it unpacks, its sums are not there yet: the paths are noted, and when that
 * dpkg has exited each is compared with the package's own sums. What is equal is approved, as
 * one release of kind "dpkg"; the remainder is judged like any other change. Bounded: RUNS_MAX dpkg
 * runs at a time, PATHS_MAX paths a run; past that a path is judged at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "event/finding.h"
#include "event/json.h"
#include "roles/sentry/sentry.h"

#include <uthash.h>

#define RUNS_MAX  16
#define PATHS_MAX 200000

struct path {
        struct tree *tree;
        uint32_t ticket;
        UT_hash_handle hh;
        char key[]; /* absolute */
};

struct run {
        pid_t pid;
        uint64_t start_ns;
        struct path *paths;
        struct actor *actor;
};

struct packages {
        struct dpkg *dpkg; /* NULL: none, or not read yet */
        pthread_t reader;
        bool is_reading;
        int error;
        struct run runs[RUNS_MAX];
};

static void *read_database(void *userdata) {
        struct packages *packages = userdata;
        packages->error = dpkg_open("/", NULL, &packages->dpkg);
        return NULL;
}

/* Reading takes tens of milliseconds, which nobody waits for but a change by dpkg. */
static struct dpkg *database(struct sentry *sentry) {
        struct packages *packages = sentry->packages;
        if (packages->is_reading)
                pthread_join(packages->reader, NULL);
        if (packages->is_reading && packages->error < 0 && packages->error != -ENOENT)
                fprintf(stderr, "hinomi: sentry: dpkg's database: %s\n", strerror(-packages->error));
        packages->is_reading = false;
        return packages->dpkg;
}

int packages_new(struct sentry *sentry, struct packages **ret_packages) {
        (void)sentry;
        struct packages *packages = calloc(1, sizeof(*packages));
        int r = packages ? -pthread_create(&packages->reader, NULL, read_database, packages) : -ENOMEM;
        if (r < 0) {
                free(packages);
                return r;
        }
        packages->is_reading = true;
        *ret_packages = packages;
        return 0;
}

static void run_clear(struct run *run) {
        struct path *path, *next;
        HASH_ITER (hh, run->paths, path, next) {
                HASH_DEL(run->paths, path);
                free(path);
        }
        actor_free(run->actor);
        *run = (struct run){0};
}

struct packages *packages_free(struct packages *packages) {
        for (size_t i = 0; packages && i < RUNS_MAX; i++)
                run_clear(&packages->runs[i]);
        if (packages && packages->is_reading)
                pthread_join(packages->reader, NULL);
        if (packages)
                dpkg_close(packages->dpkg);
        free(packages);
        return NULL;
}

static struct run *run_find(struct packages *packages, pid_t pid, uint64_t start_ns) {
        for (size_t i = 0; i < RUNS_MAX; i++)
                if (packages->runs[i].pid == pid && packages->runs[i].start_ns == start_ns)
                        return &packages->runs[i];
        return NULL;
}

static struct run *run_open(struct sentry *sentry, pid_t pid, uint64_t start_ns, const struct actor *actor) {
        struct run *run = run_find(sentry->packages, 0, 0);
        if (!run)
                return NULL;
        *run = (struct run){.pid = pid, .start_ns = start_ns, .actor = actor_copy(actor)};
        mailbox_want_exit(sentry->mailbox, pid);
        return run;
}

int packages_defer(struct sentry *sentry, const struct observation *observation) {
        struct tree *tree = observation->tree;
        const struct actor *actor = observation->actor;
        pid_t pid;
        uint64_t start_ns;
        if (!dpkg_is_running_lineage(actor, &pid, &start_ns) || !database(sentry))
                return 0;
        /* It may be gone already: then its sums are there. */
        bool is_gone = process_table_start_ns(sentry->processes, pid) != start_ns || kill(pid, 0) < 0;
        struct run *run = run_find(sentry->packages, pid, start_ns) ?: run_open(sentry, pid, start_ns, actor);
        if (!run || HASH_COUNT(run->paths) >= PATHS_MAX)
                return 0;
        _cleanup_(freep) char *absolute = NULL;
        if (asprintf(&absolute, "%s/%s", tree->config->path, observation->relative) < 0)
                return 0;
        size_t length = strlen(absolute);
        struct path *path;
        HASH_FIND(hh, run->paths, absolute, length, path);
        if (path)
                return 1;
        path = calloc(1, sizeof(*path) + length + 1);
        if (!path)
                return 0;
        memcpy(path->key, absolute, length + 1);
        path->tree = tree;
        path->ticket = observation->ticket;
        unfinished_hold(sentry->unfinished, path->ticket);
        HASH_ADD(hh, run->paths, key, length, path);
        if (is_gone)
                packages_exited(sentry, pid, start_ns);
        return 1;
}

static bool is_packages_own(struct sentry *sentry, const struct path *path, const struct change *change) {
        _cleanup_(fd_closep) int fd = tree_open_file(path->tree, tree_relative(path->tree, path->key),
                                                     O_RDONLY | O_NONBLOCK | O_NOCTTY);
        int verdict = dpkg_check(database(sentry), path->key, fd, NULL);
        return verdict == DPKG_EQUAL || verdict == DPKG_CONFFILE_EQUAL ||
               (verdict == DPKG_GENERATED && fd < 0) ||
               (verdict == DPKG_REMOVED && !node_exists(&change->after));
}

/* apt unpacks and configures in two runs of dpkg: between them stands NAME.dpkg-new for a configuration file. */
static bool is_on_its_way(struct sentry *sentry, const char *path) {
        struct dpkg_expected expected;
        _cleanup_(freep) char *name =
                dpkg_is_transient(path) ? strndup(path, strlen(path) - strlen(".dpkg-new")) : NULL;
        return name && dpkg_expected(database(sentry), name, &expected) >= 0 &&
               expected.state != DPKG_UNOWNED;
}

struct settlement {
        struct tree *tree;
        int64_t release;
        uint64_t n_approved;
};

static int64_t release_for(struct sentry *sentry, struct settlement *settlements, size_t *n,
                           struct tree *tree) {
        for (size_t i = 0; i < *n; i++)
                if (settlements[i].tree == tree) {
                        settlements[i].n_approved++;
                        return settlements[i].release;
                }
        if (*n == RELEASE_TREES_MAX)
                return 0;
        char uid[32];
        finding_uid_make(clock_wall_ns(&clock_system), uid);
        struct settlement *settlement = &settlements[(*n)++];
        *settlement = (struct settlement){.tree = tree, .n_approved = 1};
        catalog_begin_release(sentry->catalog, tree->id, uid, "dpkg", "dpkg", clock_wall_ns(&clock_system),
                              &settlement->release);
        return settlement->release;
}

static void settle_path(struct sentry *sentry, struct run *run, struct path *path,
                        struct settlement *settlements, size_t *n) {
        struct tree *tree = path->tree;
        const char *relative = tree_relative(tree, path->key);
        struct baseline baseline = sentry_baseline(sentry);
        struct change *change = NULL;
        unsigned flags = BASELINE_FORCE | (tree->baseline.mirror ? BASELINE_KEEP : 0);
        if (baseline_examine(&baseline, &tree->baseline, relative, flags, &change) <= 0)
                return;
        if (is_on_its_way(sentry, path->key)) {
                change_free(change);
                return;
        }
        change->time_ns = clock_wall_ns(&clock_system);
        if (is_packages_own(sentry, path, change)) {
                catalog_approve(sentry->catalog, tree->id, relative, &change->after, change->time_ns,
                                release_for(sentry, settlements, n, tree));
                notes_clear(sentry, tree, relative);
                change_free(change);
                return;
        }
        change->actor = run->actor ? actor_copy(run->actor) : NULL;
        change->ticket = path->ticket;
        inspect_change(sentry, tree, change);
}

static void record(struct sentry *sentry, const struct settlement *settlement) {
        struct catalog_release row = {0};
        if (catalog_end_release(sentry->catalog, settlement->release, clock_wall_ns(&clock_system), &row) < 0)
                return;
        outbox_append(sentry,
                      json_pack("{s:s,s:{s:s,s:s,s:s,s:o,s:o,s:[o],s:I,s:I,s:I}}", "kind", "release",
                                "release", "uid", row.uid, "name", "dpkg", "kind", "dpkg", "begin",
                                json_time(row.begin_ns), "end", json_time(row.end_ns), "trees",
                                json_bytes(settlement->tree->config->path), "n_added",
                                (json_int_t)row.n_added, "n_changed", (json_int_t)row.n_changed, "n_removed",
                                (json_int_t)row.n_removed),
                      NULL, NULL);
        catalog_release_deinit(&row);
}

void packages_exited(struct sentry *sentry, pid_t pid, uint64_t start_ns) {
        struct run *run = run_find(sentry->packages, pid, start_ns);
        if (!run)
                return;
        watch_dispatch(sentry->watch, intake_event, sentry);
        intake_flush(sentry);
        struct settlement settlements[RELEASE_TREES_MAX];
        size_t n = 0;
        struct run taken = *run;
        *run = (struct run){0};
        struct path *path, *next;
        HASH_ITER (hh, taken.paths, path, next) {
                settle_path(sentry, &taken, path, settlements, &n);
                unfinished_drop(sentry->unfinished, path->ticket);
        }
        for (size_t i = 0; i < n; i++)
                record(sentry, &settlements[i]);
        run_clear(&taken);
}

/* An exit can go untold: the table of processes and the mailbox are bounded. */
void packages_tick(struct sentry *sentry) {
        for (size_t i = 0; i < RUNS_MAX; i++) {
                const struct run *run = &sentry->packages->runs[i];
                if (run->pid && (kill(run->pid, 0) < 0 ||
                                 process_table_start_ns(sentry->processes, run->pid) != run->start_ns))
                        packages_exited(sentry, run->pid, run->start_ns);
        }
}
