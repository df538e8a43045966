/*
 * The ledger: an append-only Merkle log (RFC 6962, SHA-256) in C2SP tlog-tiles files.
 *
 *   STATE/ledger/checkpoint               signed note (Ed25519), rewritten per batch and heartbeat
 *   STATE/ledger/checkpoint.before        the one before, or the next one being written
 *   STATE/ledger/tile/<L>/<N>[.p/<W>]     hash tiles, 256 hashes wide
 *   STATE/ledger/tile/entries/<N>[.p/<W>] entry bundles: big-endian u16 length, then the entry
 *   STATE/ledger/key.pub                  the log's verifier key, one line
 *   STATE/ledger/seal.pub                 the first key of the seals, likewise
 *   STATE/ledger/seals                    forward-secure seals (ledger/seal.h)
 *   STATE/keys/{ledger.key,seal.key}      signing keys
 *   STATE/keys/journal                    what a commit makes durable (ledger/journal.h)
 *
 * An entry is one JSON object of at most 65,535 bytes. Each carries "time" (RFC 3339) and
 * times never go back. Only the ledger role writes; the group of STATE/ledger may read.
 * Time, disk and randomness come in through struct clock and struct ledger_world, so that tests fail them.
 *
 * Model of a commit: one record (entries and signed checkpoint) goes to the journal with one fdatasync, then
 * the public files are brought up to it without fsync. They are complete when ledger_commit() returns 0, and
 * are rebuilt from the journal when the ledger is opened after a crash.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/digest.h"
#include "ledger/format.h"

/* Most bytes and entries one batch takes. */
#define LEDGER_BATCH_BYTES_MAX   ((size_t)1 << 20)
#define LEDGER_BATCH_ENTRIES_MAX 4096

/* ledger_commit(): entries are durable and acknowledged, public files lag behind (disk full?). */
#define LEDGER_UNPUBLISHED 1

struct ledger;
struct ledger_world; /* ledger/world.h: open, write, fsync, rename …; NULL is the real one */

/*
 * Called by root before the ledger role starts: makes STATE/ledger (readable for the group `gid`) and
 * STATE/keys (for nobody else) and gives them and what is in them to `uid`. Returns 0 or a negative errno.
 */
int ledger_prepare(const char *state, uid_t uid, gid_t gid);

/*
 * Creates keys and log at first use. Recovers from a crash: an unacknowledged batch is there whole or not at
 * all. Returns 0, -EBUSY (another writer), -EBADMSG (the log, its keys and its journal do not belong
 * together: damaged or set back) or another negative errno.
 */
int ledger_open(const char *state, const struct clock *clock, const struct ledger_world *world,
                struct ledger **ret_ledger);
struct ledger *ledger_close(struct ledger *ledger);
DEFINE_CLEANUP(struct ledger *, ledger_close);

/* Puts a log that ledger_open() calls -EBADMSG aside, as damaged-TIME below STATE/ledger and STATE/keys. */
int ledger_set_aside(const char *state, const struct clock *clock);

/* Entries committed. */
uint64_t ledger_size(const struct ledger *ledger);

/* Entries that were durable but not in the public files when the ledger was opened: a crash, or a rollback.
 */
uint64_t ledger_recovered(const struct ledger *ledger);

/* The time for an entry: now, and never before one given out earlier. */
uint64_t ledger_time(struct ledger *ledger);

/* How far the wall clock was set since this was asked last, in ns (negative: back), or 0. */
int64_t ledger_clock_step(struct ledger *ledger);

/*
 * Adds an entry to the batch and says which index it will have. Not durable yet. Returns 0, -EMSGSIZE
 * (no or too many bytes), -ENOBUFS (the batch is full: commit first), -ENOMEM.
 */
int ledger_add(struct ledger *ledger, const void *entry, size_t size, uint64_t *ret_index);

/*
 * Writes the batch and a new checkpoint; with an empty batch: a heartbeat. Entries are acknowledged after
 * this returns 0 or LEDGER_UNPUBLISHED. On a negative errno the batch is kept and the call may be repeated,
 * but for -ENOTRECOVERABLE: close and open again (what was acknowledged is safe).
 */
int ledger_commit(struct ledger *ledger);

/* fsyncs the public files. Never needed for durability; call it when idle, to keep recovery short. */
int ledger_settle(struct ledger *ledger);

/*
 * Looks whether somebody altered the checkpoint, the newest files or the keys' journal under the open ledger, and
 * puts right what was. Returns 0 (nothing), 1 (something was altered), or a negative errno. Older files are
 * for ledger_verify().
 */
int ledger_repair(struct ledger *ledger);

/* Seals the log as it is (ledger/seal.h). Returns 1, 0 (nothing new since the last seal and `force` unset).
 */
int ledger_seal(struct ledger *ledger, bool force);

#define LEDGER_NAME_SIZE 128

/* The name in the log's key and checkpoints. A log that was begun anew has another one. */
int ledger_name(const char *state, char ret_name[static LEDGER_NAME_SIZE]);

/*
 * Reading, by anyone: entries [from, to) in order, without checking anything but the checkpoint's
 * signature. Stops when `visit` returns other than 0 and returns that. -EBADMSG: damaged.
 */
typedef int (*ledger_visit)(uint64_t index, const char *entry, size_t size, void *userdata);
int ledger_read(const char *state, uint64_t from, uint64_t to, ledger_visit visit, void *userdata);
