/*
 * What content means: bytes in, indicators out. Runs in the assayer only, on bytes an
 * attacker chose; pure but for YARA's compiled rules. Bounded in time and memory.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "event/change.h"

#define CONTENT_BYTES_MAX ((size_t)32 << 20) /* past that the head and the tail are looked at */

struct content_rules; /* YARA rules compiled from packs/yara */

int content_rules_load(const char *packs, struct content_rules **ret_rules, char **ret_error);
struct content_rules *content_rules_free(struct content_rules *rules);
DEFINE_CLEANUP(struct content_rules *, content_rules_free);

struct content_request {
        const char *name; /* base name: what the name says it is */
        enum zone zone;
        const unsigned char *before; /* NULL: not known or nothing stood there */
        size_t before_size;
        const unsigned char *after;
        size_t after_size;
        bool want_diff;
};

/*
 * Returns {"media":"text/x-php", "indicators":[{"id":"php_tag_in_image","detail":"…"}…],
 * "hosts":["…"] (named by `after`), "new_hosts":["…"] (not in `before`), "diff":"…" (unified,
 * bounded, card numbers and mail addresses masked), "diff_truncated":bool}. New reference; NULL: out of
 * memory.
 */
json_t *content_assay(const struct content_rules *rules, const struct content_request *request);
