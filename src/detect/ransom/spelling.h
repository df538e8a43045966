/*
 * Bytes written in letters: base64 (both alphabets), hexadecimal, Ascii85. Decodes the beginning to see whether it is
 * something known: a picture in base64 is as even as ciphertext, and is none. Pure.
 */
#pragma once

#include "detect/view.h"

#define SPELLING_BYTES_MAX ((size_t)16 << 10)

/* Bytes written to `out`, 0 where the text is not of that spelling. White space between is skipped. */
size_t spelling_base64(struct view text, unsigned char *out, size_t out_size);
size_t spelling_hex(struct view text, unsigned char *out, size_t out_size);
size_t spelling_ascii85(struct view text, unsigned char *out, size_t out_size);

/* What stands there decodes to something that is not even, or of a known type. */
bool spelling_is_typed(struct view text);
