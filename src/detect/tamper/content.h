/*
 * What content means: bytes in, indicators out. Runs in the assayer only, on bytes an
 * attacker chose; pure but for YARA's compiled rules. Time and memory are linear in the
 * bytes, which the caller bounds with CONTENT_BYTES_MAX.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "event/change.h"

#define CONTENT_BYTES_MAX ((size_t)32 << 20) /* past that the head and the tail are looked at */
#define CONTENT_DIFF_MAX  ((size_t)16 << 10)

struct content_rules; /* YARA rules compiled from packs/yara */

/* Returns 0, -ENOENT (no rules there), -EBADMSG (ret_error names file and line; owned) or another errno. */
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
 * Returns {"media":"text/x-php",
 *  "php":bool (it holds PHP that does something; absent where nothing could hold PHP),
 *  "indicators":[{"id":"php_tag_in_image","detail":"…"}…] (what `before` did not have already; a YARA
 *   match has also "rule", "severity", "technique"),
 *  "hosts":["…"] (servers that scripts, forms and code in `after` name), "new_hosts":["…"] (not in `before`),
 *  "diff":"…" (unified, bounded, valid UTF-8, card numbers, mail addresses and secrets masked; absent for
 *   binary or equal content), "diff_truncated":bool}.
 * `rules` may be NULL. New reference; NULL: out of memory.
 */
json_t *content_assay(const struct content_rules *rules, const struct content_request *request);

/* Only "hosts", for learning what an application names. New reference; NULL: out of memory. */
json_t *content_hosts(const char *name, const unsigned char *data, size_t size);
