/*
 * What the content detectors share: how often each indicator was seen in a view of bytes. Counts let an
 * edit be told from what stood there before: only what became more is reported. Private to detect/tamper.
 */
#pragma once

#include "detect/view.h"

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
