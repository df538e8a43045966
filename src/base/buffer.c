#include "base/buffer.h"

#include <stdio.h>
#include <string.h>

#define BUFFER_LIMIT_DEFAULT ((size_t)64 << 20)

void buffer_init(struct buffer *buffer, size_t limit) {
        *buffer = (struct buffer){.limit = limit};
}

void buffer_deinit(struct buffer *buffer) {
        free(buffer->data);
        *buffer = (struct buffer){.limit = buffer->limit};
}

void buffer_clear(struct buffer *buffer) {
        buffer->size = 0;
        if (buffer->data)
                buffer->data[0] = '\0';
}

int buffer_reserve(struct buffer *buffer, size_t more) {
        size_t limit = buffer->limit ?: BUFFER_LIMIT_DEFAULT;
        if (more > limit || buffer->size > limit - more)
                return -EFBIG;

        size_t need = buffer->size + more + 1;
        if (need <= buffer->capacity)
                return 0;

        size_t capacity = buffer->capacity ?: 64;
        while (capacity < need)
                capacity *= 2;
        char *data = realloc(buffer->data, capacity);
        if (!data)
                return -ENOMEM;
        data[buffer->size] = '\0';
        buffer->data = data;
        buffer->capacity = capacity;
        return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t size) {
        int r = buffer_reserve(buffer, size);
        if (r < 0)
                return r;
        if (size)
                memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
        buffer->data[buffer->size] = '\0';
        return 0;
}

int buffer_append_string(struct buffer *buffer, const char *string) {
        return buffer_append(buffer, string, strlen(string));
}

int buffer_format(struct buffer *buffer, const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        int length = vsnprintf(NULL, 0, format, arguments);
        va_end(arguments);
        if (length < 0)
                return -EINVAL;

        int r = buffer_reserve(buffer, (size_t)length);
        if (r < 0)
                return r;
        va_start(arguments, format);
        vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, arguments);
        va_end(arguments);
        buffer->size += (size_t)length;
        return 0;
}

char *buffer_steal(struct buffer *buffer) {
        if (buffer_reserve(buffer, 0) < 0)
                return NULL;
        char *data = STEAL(buffer->data);
        buffer->size = buffer->capacity = 0;
        return data;
}
