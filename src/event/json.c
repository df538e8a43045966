#include "event/json.h"

#include <string.h>

#include "base/text.h"

json_t *json_bytes_sized(const char *data, size_t size) {
        _cleanup_(buffer_deinit) struct buffer buffer = {0};
        if (text_to_utf8(&buffer, data, size) < 0)
                return NULL;
        return json_stringn(buffer.data, buffer.size);
}

json_t *json_bytes(const char *string) {
        return string ? json_bytes_sized(string, strlen(string)) : json_null();
}

const char *json_get_string(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

json_int_t json_get_integer(const json_t *object, const char *key, json_int_t otherwise) {
        const json_t *value = json_object_get(object, key);
        return json_is_integer(value) ? json_integer_value(value) : otherwise;
}
