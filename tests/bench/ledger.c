/*
 * The ledger beside what the disk itself takes: ledger DIRECTORY, which must lie on a real file system.
 *
 * Single appends of 1,500 bytes, turn by turn with the same bytes written in place and fdatasync'ed (the floor
 * of any log on this disk), appended to a growing file and fdatasync'ed, and inserted into SQLite (WAL, full
 * synchronous). Then appends in batches, verification and proofs of what was written.
 * One "name value" a line; ratios are of medians in this run.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "ledger/ledger.h"
#include "ledger/prove.h"
#include "ledger/verify.h"

#define ENTRY_BYTES 1500
#define N_SINGLE    2000
#define N_BATCHED   200000
#define N_BATCH     256
#define N_PROOFS    200
#define PLACE_BYTES (4 << 20)

enum way { WAY_PLACE, WAY_GROW, WAY_SQLITE, WAY_LEDGER, WAYS };

static uint64_t times_ns[WAYS][N_SINGLE];

struct bench {
        const char *directory;
        char entry[ENTRY_BYTES];
        int place_fd, grow_fd;
        sqlite3 *database;
        sqlite3_stmt *insert;
        struct ledger *ledger;
};

static uint64_t now_ns(void) {
        return clock_monotonic_ns(&clock_system);
}

static int compare(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;
        return *x < *y ? -1 : *x > *y;
}

static int say(const char *what, int r) {
        fprintf(stderr, "ledger: %s: %s\n", what, strerror(-r));
        return 3;
}

static void entry_make(struct bench *bench) {
        char time[CLOCK_RFC3339_SIZE];
        clock_format(ledger_time(bench->ledger), time);
        memset(bench->entry, 'x', ENTRY_BYTES);
        int n = snprintf(bench->entry, ENTRY_BYTES, "{\"time\":\"%s\",\"kind\":\"state\",\"text\":\"", time);
        bench->entry[n] = 'x';
        memcpy(bench->entry + ENTRY_BYTES - 2, "\"}", 2);
}

static int path_open(const struct bench *bench, const char *name) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", bench->directory, name);
        return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static int database_open(struct bench *bench) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/sqlite", bench->directory);
        return sqlite3_open(path, &bench->database) == SQLITE_OK &&
                               sqlite3_exec(bench->database,
                                            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                            "CREATE TABLE entry(number INTEGER PRIMARY KEY, text BLOB);",
                                            NULL, NULL, NULL) == SQLITE_OK &&
                               sqlite3_prepare_v2(bench->database, "INSERT INTO entry(text) VALUES(?1)", -1,
                                                  &bench->insert, NULL) == SQLITE_OK
                       ? 0
                       : -EIO;
}

static int setup(struct bench *bench) {
        _cleanup_(freep) char *zeros = calloc(1, PLACE_BYTES);
        bench->place_fd = path_open(bench, "place");
        bench->grow_fd = path_open(bench, "grow");
        if (!zeros || bench->place_fd < 0 || bench->grow_fd < 0)
                return -errno;
        int r = io_write_all(bench->place_fd, zeros, PLACE_BYTES);
        if (r == 0 && fsync(bench->place_fd) < 0)
                r = -errno;
        if (r == 0)
                r = database_open(bench);
        return r < 0 ? r : ledger_open(bench->directory, &clock_system, NULL, &bench->ledger);
}

static int write_once(struct bench *bench, enum way way, unsigned i) {
        uint64_t index, offset = (uint64_t)i * ENTRY_BYTES;
        int r;
        switch (way) {
        case WAY_PLACE:
                r = io_pwrite_all(bench->place_fd, bench->entry, ENTRY_BYTES,
                                  offset % (PLACE_BYTES - ENTRY_BYTES));
                return r < 0 ? r : fdatasync(bench->place_fd) < 0 ? -errno : 0;
        case WAY_GROW:
                r = io_pwrite_all(bench->grow_fd, bench->entry, ENTRY_BYTES, offset);
                return r < 0 ? r : fdatasync(bench->grow_fd) < 0 ? -errno : 0;
        case WAY_SQLITE:
                sqlite3_reset(bench->insert);
                sqlite3_bind_blob(bench->insert, 1, bench->entry, ENTRY_BYTES, SQLITE_STATIC);
                return sqlite3_step(bench->insert) == SQLITE_DONE ? 0 : -EIO;
        default:
                r = ledger_add(bench->ledger, bench->entry, ENTRY_BYTES, &index);
                return r < 0 ? r : ledger_commit(bench->ledger);
        }
}

static int measure_single(struct bench *bench) {
        static const char *const names[WAYS] = {"in_place", "growing_file", "sqlite", "ledger"};
        for (unsigned i = 0; i < N_SINGLE; i++)
                for (enum way way = 0; way < WAYS; way++) {
                        entry_make(bench);
                        uint64_t begin_ns = now_ns();
                        int r = write_once(bench, way, i);
                        if (r < 0)
                                return r;
                        times_ns[way][i] = now_ns() - begin_ns;
                }
        for (enum way way = 0; way < WAYS; way++) {
                qsort(times_ns[way], N_SINGLE, sizeof(uint64_t), compare);
                printf("single_%s_median_us %.0f\n", names[way], (double)times_ns[way][N_SINGLE / 2] / 1e3);
                printf("single_%s_p99_us %.0f\n", names[way],
                       (double)times_ns[way][N_SINGLE * 99 / 100] / 1e3);
        }
        for (enum way way = 0; way < WAY_LEDGER; way++)
                printf("ratio_ledger_to_%s %.2f\n", names[way],
                       (double)times_ns[WAY_LEDGER][N_SINGLE / 2] / (double)times_ns[way][N_SINGLE / 2]);
        return 0;
}

static int measure_batched(struct bench *bench) {
        uint64_t index, begin_ns = now_ns();
        for (unsigned i = 0; i < N_BATCHED; i++) {
                entry_make(bench);
                int r = ledger_add(bench->ledger, bench->entry, ENTRY_BYTES, &index);
                if (r == 0 && i % N_BATCH == N_BATCH - 1)
                        r = ledger_commit(bench->ledger);
                if (r < 0)
                        return r;
        }
        int r = ledger_commit(bench->ledger);
        printf("batched_%u_appends_per_s %.0f\n", N_BATCH, N_BATCHED / ((double)(now_ns() - begin_ns) / 1e9));
        begin_ns = now_ns();
        if (r == 0)
                r = ledger_seal(bench->ledger, true);
        printf("seal_us %.0f\n", (double)(now_ns() - begin_ns) / 1e3);
        begin_ns = now_ns();
        if (r >= 0)
                r = ledger_settle(bench->ledger);
        printf("settle_us %.0f\n", (double)(now_ns() - begin_ns) / 1e3);
        return r < 0 ? r : 0;
}

static int measure_reading(struct bench *bench) {
        const struct ledger_verify_options options = {.path = bench->directory};
        struct ledger_report report;
        uint64_t begin_ns = now_ns();
        int r = ledger_verify(&options, &report);
        if (r < 0 || report.problem != LEDGER_SOUND)
                return r < 0 ? r : -EBADMSG;
        printf("verify_entries_per_s %.0f\n", (double)report.entries / ((double)(now_ns() - begin_ns) / 1e9));
        begin_ns = now_ns();
        for (unsigned i = 0; i < N_PROOFS; i++) {
                _cleanup_(proof_deinit) struct proof proof;
                struct verifier_key key;
                proof_init(&proof);
                r = proof_make(bench->directory, report.entries * i / N_PROOFS, &proof, &key);
                if (r < 0)
                        return r;
        }
        printf("prove_us %.0f\n", (double)(now_ns() - begin_ns) / 1e3 / N_PROOFS);
        return 0;
}

int main(int argc, char **argv) {
        static struct bench bench;
        if (argc != 2)
                return 2;
        bench.directory = argv[1];
        int r = setup(&bench);
        if (r < 0)
                return say("setup", r);
        r = measure_single(&bench);
        if (r == 0)
                r = measure_batched(&bench);
        if (r == 0)
                r = measure_reading(&bench);
        ledger_close(bench.ledger);
        sqlite3_finalize(bench.insert);
        sqlite3_close(bench.database);
        return r < 0 ? say("measure", r) : 0;
}
