/*
 * The ledger: an append-only Merkle log (RFC 6962, SHA-256) in C2SP tlog-tiles files.
 *
 *   STATE/ledger/checkpoint               signed note (Ed25519), rewritten per batch and heartbeat
 *   STATE/ledger/tile/<L>/<N>[.p/<W>]     hash tiles, 256 hashes wide
 *   STATE/ledger/tile/entries/<N>[.p/<W>] entry bundles: big-endian u16 length, then the entry
 *   STATE/keys/ledger.key (0400)          signing key;  STATE/ledger/key.pub  the note's verifier key
 *
 * An entry is one JSON object of at most 65,535 bytes. Each carries "time" (RFC 3339) and
 * times never go back. Only the ledger role writes; anyone may read the files.
 * Time, disk and randomness come in through struct ledger_world, so that tests fail them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/digest.h"

#define LEDGER_ENTRY_BYTES_MAX 65535

struct ledger;
struct ledger_world; /* ledger/world.h: open, write, fsync, rename …; NULL is the real one */

/* Creates key and log at first use. Recovers from a crash: an unacknowledged batch is there whole or not at
 * all. */
int ledger_open(const char *state, const struct clock *clock, const struct ledger_world *world,
                struct ledger **ret_ledger);
struct ledger *ledger_close(struct ledger *ledger);
DEFINE_CLEANUP(struct ledger *, ledger_close);

uint64_t ledger_size(const struct ledger *ledger);

/* Adds an entry to the batch and says which index it will have. Not durable yet. */
int ledger_add(struct ledger *ledger, const void *entry, size_t size, uint64_t *ret_index);

/* Writes the batch and a new checkpoint and fsyncs; with an empty batch: a heartbeat. Entries are
 * acknowledged after this. */
int ledger_commit(struct ledger *ledger);

/* Reading, by anyone: entries [from, to) in order. -EBADMSG: damaged. */
typedef int (*ledger_visit)(uint64_t index, const char *entry, size_t size, void *userdata);
int ledger_read(const char *state, uint64_t from, uint64_t to, ledger_visit visit, void *userdata);
