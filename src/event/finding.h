/*
 * A finding: something that matters, as an OCSF 1.3 Detection Finding (class 2004).
 *
 * One finding has one or more files (evidences). It travels and is stored as JSON:
 *   {"class_uid":2004, "activity_id":1|2|3, "severity_id":1..5, "severity":"Critical",
 *    "time":ms, "finding_info":{"uid","title","desc","types":[…],"created_time","modified_time"},
 *    "attacks":[{"technique":{"uid":"T1505.003"}}],
 *    "evidences":[{"file":{"path","size","hashes":[…]},"actor":{"process":{…}},
 *                  "data":{"kind","zone","reasons":[…],"before":{…},"after":{…},"diff"}}],
 *    "unmapped":{"tree","n_files","response","release"}}
 * `metadata.sequence` (the ledger index) is added by whoever serves it, since an entry
 * cannot hold its own index. An update (activity_id 2) carries only what is new;
 * finding_merge() folds it into the finding it belongs to.
 *
 * An evidence that resembles an earlier one of the same object holds only what differs, and "like":i: the index
 * of the one it resembles, which is whole itself. Members, at every depth, are those of evidences[i] where
 * they are not given; "diff" and "diff_truncated" are never inherited. finding_expand() makes all whole.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "event/change.h"

enum severity {
        SEVERITY_INFORMATIONAL = 1,
        SEVERITY_LOW,
        SEVERITY_MEDIUM,
        SEVERITY_HIGH,
        SEVERITY_CRITICAL,
};

/* Most evidences one finding lists; further files are counted in unmapped.n_files. */
#define FINDING_EVIDENCES_MAX 100000

const char *severity_name(enum severity severity);

/* A fresh unique id: "hnm-" and 26 characters of time and randomness, sortable by time. */
void finding_uid_make(uint64_t wall_ns, char ret_uid[static 32]);

/* `types` are the field's names of what was seen, e.g. "php_in_data". Returns a new reference. */
json_t *finding_new(const char *uid, const char *title, enum severity severity, uint64_t wall_ns);
void finding_add_type(json_t *finding, const char *type);
void finding_add_technique(json_t *finding, const char *technique);
void finding_raise(json_t *finding, enum severity severity);

/*
 * Adds one changed file, told as shortly as its predecessor allows. `actor` (actor_encode()), `reasons` (array of
 * strings) and `diff` (valid UTF-8) are borrowed and may be NULL.
 */
int finding_add_change(json_t *finding, const struct change *change, json_t *actor, json_t *reasons,
                       const char *diff);

/* Folds an update into the finding with the same uid, both expanded or neither. Returns 0 or -EINVAL. */
int finding_merge(json_t *finding, const json_t *update);

/* Makes every evidence whole, in place; what they have in common is shared between them and not to be altered. */
void finding_expand(json_t *finding);

const char *finding_uid(const json_t *finding);
enum severity finding_severity(const json_t *finding);
json_t *node_encode(const struct node *node);
