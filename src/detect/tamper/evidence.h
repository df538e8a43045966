/*
 * What the content detectors share: a view of bytes, and how often each indicator was seen in
 * it. Counts let an edit be told from what stood there before: only what became more is
 * reported. Private to detect/tamper.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
        const unsigned char *data;
        size_t size;
};

enum indicator {
        INDICATOR_WEB_SHELL,
        INDICATOR_REQUEST_EXFIL,
        INDICATOR_JS_SKIMMER,
        INDICATOR_FAKE_PAYMENT_FORM,
        INDICATOR_PHP_TAG_IN_IMAGE,
        INDICATOR_PHP_TAG_IN_TEXT,
        INDICATOR_HANDLER_OVERRIDE,
        INDICATOR_IMAGE_BYTES_MISMATCH,
        INDICATOR_CARDS,
        INDICATOR_RECORDS,
        INDICATOR_OBFUSCATED,
        INDICATOR_APPENDED_TO_IMAGE,
        INDICATOR_EXECUTABLE,
        INDICATOR_SCRIPT_IN_SVG,
        INDICATOR_COUNT,
};

#define EVIDENCE_DETAIL_SIZE 120

struct evidence {
        unsigned count;
        char detail[EVIDENCE_DETAIL_SIZE]; /* raw bytes around the first, NUL-terminated; may be "" */
};

struct evidences {
        struct evidence of[INDICATOR_COUNT];
};

const char *indicator_name(enum indicator indicator);

/* Counts one more; the first one's bytes are kept as detail. */
void evidence_add(struct evidences *evidences, enum indicator indicator, const void *detail, size_t size);

static inline struct view view_from(struct view view, size_t offset) {
        return offset < view.size ? (struct view){view.data + offset, view.size - offset}
                                  : (struct view){view.data + view.size, 0};
}

static inline struct view view_head(struct view view, size_t size) {
        return (struct view){view.data, view.size < size ? view.size : size};
}

static inline bool view_starts(struct view view, const char *text) {
        size_t size = strlen(text);
        return view.size >= size && !memcmp(view.data, text, size);
}

/* Offset of `text` at or after `from`, or SIZE_MAX. */
static inline size_t view_find(struct view view, size_t from, const char *text, size_t size) {
        if (from >= view.size)
                return SIZE_MAX;
        const unsigned char *found = memmem(view.data + from, view.size - from, text, size);
        return found ? (size_t)(found - view.data) : SIZE_MAX;
}
