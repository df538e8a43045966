#include "detect/ransom/signs.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "event/json.h"

static const struct flag {
        const char *name;
        size_t offset;
} flags[] = {
        {"random", offsetof(struct ransom_signs, random)},
        {"type_lost", offsetof(struct ransom_signs, type_lost)},
        {"decodes", offsetof(struct ransom_signs, decodes)},
        {"structure_lost", offsetof(struct ransom_signs, structure_lost)},
        {"wiped", offsetof(struct ransom_signs, wiped)},
        {"encoded_random", offsetof(struct ransom_signs, encoded_random)},
        {"note", offsetof(struct ransom_signs, note)},
};

void ransom_signs_say(struct ransom_signs *signs, const char *reason, const char *format, ...) {
        if (signs->n_reasons == RANSOM_REASONS_MAX)
                return;
        char *text = signs->reasons[signs->n_reasons++];
        int n = snprintf(text, RANSOM_REASON_SIZE, format ? "%s: " : "%s", reason);
        if (!format || n < 0 || n >= RANSOM_REASON_SIZE)
                return;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text + n, RANSOM_REASON_SIZE - (size_t)n, format, arguments);
        va_end(arguments);
}

json_t *ransom_signs_encode(const struct ransom_signs *signs) {
        json_t *json = json_pack("{s:i,s:i,s:[]}", "changed_permille", (int)signs->changed_permille,
                                 "suspicion", (int)signs->suspicion, "reasons");
        for (size_t i = 0; json && i < ARRAY_SIZE(flags); i++)
                json_object_set_new(json, flags[i].name,
                                    json_boolean(*(const bool *)((const char *)signs + flags[i].offset)));
        json_t *reasons = json_object_get(json, "reasons");
        for (unsigned i = 0; i < signs->n_reasons; i++)
                json_array_append_new(reasons, json_string(signs->reasons[i]));
        return json;
}

int ransom_signs_decode(const json_t *json, struct ransom_signs *ret_signs) {
        struct ransom_signs signs = {0};
        json_int_t permille = json_get_integer(json, "changed_permille", -1);
        json_int_t suspicion = json_get_integer(json, "suspicion", -1);
        if (permille < 0 || permille > 1000 || suspicion < 0 || suspicion > 100)
                return -EBADMSG;
        signs.changed_permille = (unsigned)permille;
        signs.suspicion = (unsigned)suspicion;
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                *(bool *)((char *)&signs + flags[i].offset) =
                        json_is_true(json_object_get(json, flags[i].name));
        size_t i;
        json_t *reason;
        json_array_foreach (json_object_get(json, "reasons"), i, reason) {
                const char *text = json_string_value(reason);
                if (text && signs.n_reasons < RANSOM_REASONS_MAX)
                        snprintf(signs.reasons[signs.n_reasons++], RANSOM_REASON_SIZE, "%s", text);
        }
        *ret_signs = signs;
        return 0;
}
