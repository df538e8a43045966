/*
 * What bytes look like as a distribution: even as ciphertext is, even over an alphabet as ciphertext written in
 * letters is, text, or one value. Sound from LOOK_BYTES_MIN bytes on; the more, the surer. Pure.
 */
#pragma once

#include "detect/view.h"

#define LOOK_BYTES_MIN  48
#define LOOK_BYTES_SURE 256

struct look {
        size_t n;
        bool is_even; /* chi-squared against the uniform distribution: ciphertext, compressed, keys */
        bool is_spelled; /* even over an alphabet of 16 to 94 letters: base64, hexadecimal, Ascii85 of the like */
        bool is_text; /* no more control characters than texts have; any encoding but UTF-16 and UTF-32 */
        bool is_constant;
};

struct look bytes_look(struct view view);
