/*
 * A view of bytes that somebody else owns. What all detectors read their input through.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
        const unsigned char *data;
        size_t size;
};

static inline struct view view_from(struct view view, size_t offset) {
        return offset < view.size ? (struct view){view.data + offset, view.size - offset}
                                  : (struct view){view.data + view.size, 0};
}

static inline struct view view_head(struct view view, size_t size) {
        return (struct view){view.data, view.size < size ? view.size : size};
}

static inline bool view_starts(struct view view, const char *text) {
        size_t size = strlen(text);
        return view.size >= size && !memcmp(view.data, text, size);
}

/* Offset of `text` at or after `from`, or SIZE_MAX. */
static inline size_t view_find(struct view view, size_t from, const char *text, size_t size) {
        if (from >= view.size)
                return SIZE_MAX;
        const unsigned char *found = memmem(view.data + from, view.size - from, text, size);
        return found ? (size_t)(found - view.data) : SIZE_MAX;
}
