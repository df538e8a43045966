/*
 * A unified diff of two texts for people to read: bounded, masked, and never the whole of a long line.
 *
 * Method: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), linear
 * space. Where more than DIFF_COST_MAX differences lie in a stretch, that stretch is shown
 * as removed and added whole: still right, only longer. Memory is linear in lines.
 */
#pragma once

#include "base/buffer.h"
#include "detect/tamper/evidence.h"

#define DIFF_COST_MAX  512
#define DIFF_LINES_MAX 200000 /* of the stretch that differs; past that it is shown whole */

/*
 * Appends at most `limit` bytes to `out` (valid UTF-8, but for one byte a line that is not: shown as \xNN),
 * nothing when the texts are equal. `has_before` false: "--- /dev/null". Returns 0, or 1 when it was cut, or
 * -ENOMEM. A text with a NUL or a private key gives nothing.
 */
int diff_unified(const char *name, bool has_before, struct view before, struct view after, size_t limit,
                 struct buffer *out);
