/*
 * What was reported: the state a finding recorded at a path, so that it is reported once, and
 * so that `approve` and `restore` know what a finding was about after a restart.
 *
 *   STATE/vault/observed.sqlite   observed(tree, path, finding, time_ns, standing, …struct node…)
 *
 * `standing`: that state is (as far as known) what stands there, unapproved. One row a path and
 * finding; the oldest rows that stand no more are forgotten past OBSERVED_ROWS_MAX. One process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/node.h"

#define OBSERVED_ROWS_MAX 200000

struct observed;

int observed_open(const char *state, struct observed **ret_observed);
struct observed *observed_close(struct observed *observed);
DEFINE_CLEANUP(struct observed *, observed_close);

int observed_begin(struct observed *observed);
int observed_commit(struct observed *observed);

/* Notes what `finding` saw at a path; it stands there from now on, and nothing noted before does. */
int observed_set(struct observed *observed, int64_t tree, const char *path, const char *finding,
                 const struct node *node, uint64_t time_ns);

/* Nothing unapproved stands at the path any more (undone, approved, or as approved again). */
int observed_clear(struct observed *observed, int64_t tree, const char *path);

/* 1 when exactly this state stands there and was reported; ret_finding (32 bytes, or NULL) gets its uid. */
int observed_has(struct observed *observed, int64_t tree, const char *path, const struct node *node,
                 char *ret_finding);

/* The paths of a finding, or (finding NULL) all that stand unapproved in a tree. */
typedef int (*observed_visit)(int64_t tree, const char *path, const struct node *node, bool standing,
                              void *userdata);
int observed_list(struct observed *observed, const char *finding, int64_t tree, observed_visit visit,
                  void *userdata);

/* Everything noted: which content is evidence of which finding. */
typedef int (*observed_evidence_visit)(const struct digest *digest, const char *finding, uint64_t time_ns,
                                       void *userdata);
int observed_each_evidence(struct observed *observed, observed_evidence_visit visit, void *userdata);

/* How many reported states of a tree were noted in a span of time. */
int64_t observed_count_between(struct observed *observed, int64_t tree, uint64_t from_ns, uint64_t to_ns);

/* How many paths of a tree stand unapproved. */
int64_t observed_count(struct observed *observed, int64_t tree);
