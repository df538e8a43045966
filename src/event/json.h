/*
 * JSON strings from raw bytes: what is not UTF-8 is written \xNN (base/text.h).
 * A NULL string becomes JSON null.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

json_t *json_bytes(const char *string);
json_t *json_bytes_sized(const char *data, size_t size);

/* Nanoseconds since the epoch as OCSF's timestamp_t: milliseconds. */
static inline json_t *json_time(uint64_t wall_ns) {
        return json_integer((json_int_t)(wall_ns / 1000000));
}

/* Member as a string, an integer or an object; NULL or the default when it is not one. */
const char *json_get_string(const json_t *object, const char *key);
json_int_t json_get_integer(const json_t *object, const char *key, json_int_t otherwise);
