/*
 * YARA rules of our own writing (packs/yara): compiled once at start, then only matched.
 * Private to detect/tamper; content.h has the public functions.
 */
#pragma once

#include <jansson.h>

#include "detect/tamper/content.h"
#include "detect/tamper/evidence.h"

#define YARA_TIMEOUT_S 1

/*
 * Appends {"id":"yara","rule","severity","technique","detail"} for every rule that matches `after` and does
 * not match `before` (size 0: nothing before). Returns 0 or -ENOMEM; a scan that runs out of time reports
 * what it had.
 */
int rules_match(const struct content_rules *rules, struct view after, struct view before, json_t *indicators);

/* How many rules there are. */
size_t content_rules_count(const struct content_rules *rules);
