/*
 * Who destroys files: changes in shields, put together by lineage, user and tree until a verdict (detect/ransom), and
 * what is then done: the lineage is ended (or held), what it altered or removed since its first touch comes back,
 * what it made becomes evidence, and one finding says all of it.
 *
 * A lineage is named by its root: the topmost ancestor below init, a service, an interactive session's leader, and what
 * hinomi was started from (respond/hold/spare.h). Leaving a session or losing a parent changes no root.
 *
 * Bounded: CASES_MAX at a time, CASE_FILES_MAX files of each; the case used least, and the file touched first, makes
 * room. What was forgotten, and what was touched before a sentry was killed, comes back by `hinomi restore --at`.
 *
 * Limit: what a convicted lineage did rightly within the last hour is undone with the rest; it is kept as versions and
 * evidence.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "event/actor.h"

#define CASES_MAX      64
#define CASE_FILES_MAX 4096

struct cases;
struct change;
struct sentry;
struct tree;

int cases_new(struct sentry *sentry, struct cases **ret_cases);
struct cases *cases_free(struct cases *cases);

/* A change in a shield that became a version. Its content is asked about where that tells something. */
void cases_note(struct sentry *sentry, struct tree *tree, const struct change *change);

/* Index in actor->processes. Any thread; reads /proc. */
size_t lineage_root(const struct actor *actor);
