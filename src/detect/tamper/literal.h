/*
 * What a string stands for: escapes undone, and the common ways of hiding text undone once
 * (base64, hexadecimal, percent, reversed, ROT13). Bounded by the caller's buffer; a result
 * is only given when it is text a person could read.
 */
#pragma once

#include "detect/tamper/evidence.h"

/*
 * Undoes \xNN, \NNN (octal), \uNNNN and \u{NN} (one byte each), \/ and the like. Returns the bytes written.
 * ret_escapes counts numeric escapes that gave printable ASCII, ret_others those that did not.
 */
size_t literal_unescape(struct view literal, unsigned char *out, size_t out_size, unsigned *ret_escapes,
                        unsigned *ret_others);

/* Each returns the length of the readable text written, or 0. */
size_t literal_decode_base64(struct view literal, unsigned char *out, size_t out_size);
size_t literal_decode_hex(struct view literal, unsigned char *out, size_t out_size);
size_t literal_decode_percent(struct view literal, unsigned char *out, size_t out_size);
size_t literal_decode_any(struct view literal, unsigned char *out,
                          size_t out_size); /* base64, then hexadecimal */

bool literal_is_base64(struct view literal); /* of its alphabet, and not a word or a path */
bool literal_is_readable(struct view text);
