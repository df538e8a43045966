/*
 * Records of equal size that nobody can read: how a stealer keeps encrypted cards, one for
 * each order. Three lines are enough when each is one base64 or hexadecimal word of the same
 * length, or blocks of a cipher's size without any line.
 */
#pragma once

#include "detect/tamper/evidence.h"

/* `before` is what stood in the file, size 0 when not known; `after` the whole file now. */
void records_assay(struct view before, struct view after, struct evidences *evidences);
