/*
 * Preserving what a writer is about to get at: called by the gate's threads while the open waits.
 *
 * A content is safe when the catalog has it with the file's stat data and the store holds it. Otherwise it is put
 * into the store now, and a record of it goes to a journal (STATE/vault/preserved) before the open goes on. The
 * loop takes the journal into the catalog as a version, before it looks at what happened afterwards; a
 * sentry that was killed leaves the journal to its successor.
 *
 * A file whose content is known to be safe need not be asked about: KNOWN_MAX of them are remembered by inode and stat
 * data. What changed within BASELINE_DIRTY_NS is not remembered (a store through a mapping leaves no new time) unless
 * it is too large to be read at each open.
 *
 * Who alters much waits for its verdict: past CREDITS opens for writing of files whose change nobody has judged yet, a
 * lineage's next open waits until one is, CREDIT_WAIT_NS at most (CREDIT_WAIT_BAD_NS). What was judged well adds to its credits.
 *
 * Limits: a mapping that is stored through while the file is opened by another writer: what it stores after the
 * content was read is kept when the mapping ends. The journal survives the process, not a power cut.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CREDITS        2
#define CREDITS_MAX    8
#define CREDIT_WAIT_NS UINT64_C(50000000)
/* Within the gate's deadline: of a lineage by which something was lost a moment ago. */
#define CREDIT_WAIT_BAD_NS UINT64_C(200000000)

struct sentry;
struct shield;
struct gate_request;
struct tree;

struct shield_counters {
        uint64_t n_known;     /* opens let through at a glance */
        uint64_t n_safe;      /* the catalog had it */
        uint64_t n_preserved; /* copied while the open waited */
        uint64_t n_refused;   /* denied: could not be kept */
        uint64_t n_accepted;  /* let through though it could not be kept */
};

/* After the vault was opened and before the gate is. */
int shield_new(struct sentry *sentry, struct shield **ret_shield);
struct shield *shield_free(struct shield *shield);

/* gate_glance. */
bool shield_glance(int fd, bool is_late, void *sentry);

/* Of a tree with `protect: shield`: is what is being opened safe now, or may it go through all the same? */
bool shield_allow(struct sentry *sentry, struct tree *tree, const struct gate_request *request);

/* What was done to the file with this inode is judged; `is_well`: nothing was lost by it. Any thread. */
void shield_judged(struct sentry *sentry, uint64_t inode, bool is_well);

/* This lineage opens nothing for writing any more; or may again. */
void shield_convict(struct sentry *sentry, pid_t root, uint64_t start_ns, bool is_convicted);

/* In the loop, outside of a transaction: what was preserved becomes versions. */
void shield_settle(struct sentry *sentry);

void shield_counters(struct shield *shield, struct shield_counters *ret_counters);
