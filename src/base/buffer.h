/*
 * A growable run of bytes with a stated bound.
 *
 * Owner: whoever holds the struct; buffer_deinit() frees. `data` is always
 * followed by a NUL that `size` does not count, so that text can be used as is.
 * Every function returns 0, -ENOMEM, or -EFBIG when the bound would be passed;
 * the content is then unchanged.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct buffer {
        char *data;
        size_t size;     /* bytes in use */
        size_t capacity; /* bytes allocated, the NUL included */
        size_t limit;    /* most bytes it may hold; 0: 64 MiB */
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_deinit(struct buffer *buffer);
void buffer_clear(struct buffer *buffer);
int buffer_reserve(struct buffer *buffer, size_t more);
int buffer_append(struct buffer *buffer, const void *data, size_t size);
int buffer_append_string(struct buffer *buffer, const char *string);
int buffer_format(struct buffer *buffer, const char *format, ...) _printf_(2, 3);

/* Takes the bytes out; the buffer is empty afterwards. Never NULL unless out of memory. */
char *buffer_steal(struct buffer *buffer);
