/*
 * The engine's findings: a view of the ledger in SQLite, thrown away and rebuilt at will.
 *
 *   STATE/engine/findings.sqlite
 *     finding(uid, first, last, severity, created_ms, tree, json)   json as event/finding.h, with metadata
 *     release(uid, sequence, json)                                  as in the newest entry about it
 *     more(sequence, uid, json)                                     updates of a finding with many files
 *     meta(key, value)                                              applied: entries taken over so far
 *
 * Entries are applied in the order of their indices, each exactly once. One process.
 * A finding of thousands of files is never one object here: it is visited piece by piece,
 * and finding_merge() joins the pieces where somebody wants them whole.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

struct findings;

/* A database that cannot be used is moved aside and made anew: the ledger has everything. */
int findings_open(const char *directory, struct findings **ret_findings);
struct findings *findings_close(struct findings *findings);
DEFINE_CLEANUP(struct findings *, findings_close);

/*
 * Whether the view was made of the log of this name (ledger_name()); a view of no log yet is this one's from
 * now on. Returns 1, 0, or a negative errno.
 */
int findings_claim(struct findings *findings, const char *log);

/* Puts a view of another log aside and begins anew. */
int findings_renew(const char *directory, struct findings **findings);

/* The ledger index that is applied next. */
uint64_t findings_next(const struct findings *findings);

/*
 * Applies one ledger entry. Returns 1 and what is new where the entry was about a finding (new
 * reference; for an action: the finding without evidences, with that action alone), 0 for any
 * other entry, -EINVAL for an index that is not the next.
 */
int findings_apply(struct findings *findings, uint64_t index, const json_t *entry, json_t **ret_news);

/* Applies many in one transaction: begin, any number of findings_apply(), end. */
int findings_begin(struct findings *findings);
int findings_end(struct findings *findings);

struct findings_query {
        uint64_t since_ms, until_ms; /* until 0: no end */
        int severity_min;
        uint64_t limit;   /* newest so many; 0: all */
        const char *tree; /* NULL: any */
};
/* `more`: the next piece belongs to the same finding. */
typedef int (*findings_visit)(const json_t *piece, bool more, void *userdata);
int findings_select(struct findings *findings, const struct findings_query *query, findings_visit visit,
                    void *userdata);

/* By uid, by a unique prefix of it (8 characters or more) or by ledger index. -ENOENT, -EEXIST: several. */
int findings_get(struct findings *findings, const char *id, findings_visit visit, void *userdata);

/* Releases, oldest first: what the ledger says of each, with "sequence". */
int findings_releases(struct findings *findings, uint64_t limit, findings_visit visit, void *userdata);

/* {"Critical":N, …} of those created since. */
json_t *findings_count(struct findings *findings, uint64_t since_ms);
