/*
 * Text copied without what must not travel: card numbers, mail addresses, passwords and keys
 * in settings, password hashes. Linear time.
 */
#pragma once

#include "base/buffer.h"
#include "detect/tamper/evidence.h"

/* Appends one line (or a piece of one). Returns 0, -ENOMEM or -EFBIG. */
int mask_append(struct buffer *buffer, struct view line);
