/*
 * What the vault keeps, for how long, and what goes first when it is at its size.
 *
 *   goes first    what is older than `keep_ns`: past approved states, evidence
 *                 evidence past its share of the budget: of findings with much of it first, then the oldest
 *                 past states that were approved on their own (uploads, an admin's edits), oldest first
 *                 past states of releases, oldest first
 *                 the rest of the evidence, oldest first
 *   never goes    what is approved now
 *
 * Evidence is whatever no approved state claims. It is bounded because anybody who may write in a guarded tree makes
 * it, at any pace: its share is there for newer evidence, and the rest of the budget for what is approved. A
 * finding may fill EVIDENCE_PER_FINDING of that share before its evidence goes before that of others.
 * History is forgotten in the catalog, durably, before its content goes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vault/catalog.h"
#include "vault/observed.h"
#include "vault/store.h"

#define EVIDENCE_PER_FINDING  4      /* a fourth */
#define UNRELEASED_STATES_MAX 500000 /* past ones, in the catalog */

/* Borrowed. */
struct retention {
        struct store *store;
        struct catalog *catalog;
        struct observed *observed;   /* NULL: no findings are known */
        uint64_t evidence_bytes_max; /* 0: no bound */
        uint64_t keep_ns;            /* 0: until the room is needed */
};

struct retention_result {
        uint64_t evidence_bytes;               /* that are kept */
        uint64_t n_given_up, given_up_bytes;   /* evidence that went before its time */
        uint64_t n_displaced, displaced_bytes; /* past states that went before their time */
        uint64_t n_expired, expired_bytes;     /* whatever was older than keep_ns */
};

/*
 * Makes `wanted_bytes` of room and lets go of what is due. One thread at a time, not while others put.
 * Returns 0, 1 when there is dead space left to give back (call again), or -ENOSPC: what is approved now alone does not fit.
 */
int retention_collect(const struct retention *retention, uint64_t wanted_bytes, uint64_t now_ns,
                      struct retention_result *ret_result);
