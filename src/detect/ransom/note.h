/*
 * Ransom notes: a text that says files are encrypted, offers them back, and says how to pay or whom to write to.
 * It is the combination that tells, in any of the languages known; a manual about it may have it, too, so a note
 * alone is no attack. Pure; looks at NOTE_BYTES_MAX.
 */
#pragma once

#include "detect/view.h"

#define NOTE_BYTES_MAX ((size_t)64 << 10)

/* 0: none; else how many of its parts are there (claim, offer, payment or contact, threat), 3 or 4. */
unsigned note_parts(struct view text);
