/*
 * Text from outside, made safe to show.
 *
 * File names, command lines and diffs are bytes an attacker chose. For people
 * they are written so that nothing can forge a line, a colour or a right-to-left
 * turn; for JSON they are valid UTF-8 with what was not valid escaped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

/*
 * Appends `size` bytes with control characters (C0, DEL, C1), bidirectional and
 * zero-width format characters, line and paragraph separators, invalid UTF-8 and
 * the backslash written as \n, \t, \\, \xNN or \u{NNNN}. The result is one line.
 */
int text_escape(struct buffer *buffer, const char *data, size_t size);

/* As text_escape(), but keeps LF and TAB: for a diff, line by line. */
int text_escape_lines(struct buffer *buffer, const char *data, size_t size);

/*
 * Appends valid UTF-8: what is not valid becomes \xNN and a backslash becomes \\,
 * so that the original bytes can be had back. Control characters stay (JSON escapes them).
 */
int text_to_utf8(struct buffer *buffer, const char *data, size_t size);

/*
 * The bytes that text_to_utf8() was given. -EINVAL for a backslash it would not have written;
 * \x00 is refused as well, since what comes back names files.
 */
int text_from_utf8(struct buffer *buffer, const char *data, size_t size);

bool text_is_utf8(const char *data, size_t size);

/* Length of the valid UTF-8 sequence at `data` (1 to 4), or 0; ret_code may be NULL. */
size_t text_utf8_next(const char *data, size_t size, unsigned *ret_code);
