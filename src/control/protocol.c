/*
 * Checks a request against the table of requests: client and server call the same function,
 * so neither can send or accept what the table does not name.
 */
#include "control/protocol.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "event/json.h"

#define ROW(name, answerer, arguments) {name, answerer, arguments},
static const struct protocol_request requests[] = {PROTOCOL_REQUESTS(ROW)};

const struct protocol_request *protocol_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
                if (!strcmp(requests[i].name, name))
                        return &requests[i];
        return NULL;
}

/* The type letter of an argument named in `arguments`, or 0. */
static char argument_type(const char *arguments, const char *name) {
        size_t length = strlen(name);
        for (const char *p = arguments; *p;) {
                size_t token = strcspn(p, " ");
                if (token > length + 1 && !strncmp(p, name, length) && p[length] == ':')
                        return p[length + 1];
                p += token + (p[token] == ' ');
        }
        return 0;
}

static bool is_string_array(const json_t *value) {
        size_t i;
        json_t *item;
        json_array_foreach (value, i, item)
                if (!json_is_string(item))
                        return false;
        return json_is_array(value);
}

static bool has_type(const json_t *value, char type) {
        switch (type) {
        case 's':
                return json_is_string(value);
        case 'i':
                return json_is_integer(value);
        case 'b':
                return json_is_boolean(value);
        default:
                return is_string_array(value);
        }
}

/* Name of the first required argument that is not there, or NULL. */
static const char *missing_argument(const char *arguments, const json_t *request, char name[static 32]) {
        for (const char *p = arguments; *p;) {
                size_t token = strcspn(p, " "), length = strcspn(p, ":");
                snprintf(name, 32, "%.*s", (int)length, p);
                json_t *value = json_object_get(request, name);
                if (p[token - 1] == '!' && (!value || json_is_null(value)))
                        return name;
                p += token + (p[token] == ' ');
        }
        return NULL;
}

static int refuse(char **ret_error, const char *what, const char *which) {
        char *error;
        if (asprintf(&error, "%s: %.64s", what, which) < 0)
                return -ENOMEM;
        *ret_error = error;
        return -EINVAL;
}

int protocol_check(const json_t *request, const struct protocol_request **ret_request, char **ret_error) {
        const char *name = json_get_string(request, "request");
        const struct protocol_request *row = name ? protocol_find(name) : NULL;
        if (!row)
                return refuse(ret_error, "unknown request", name ?: "(none)");

        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)request, key, value) {
                if (!strcmp(key, "request") || json_is_null(value))
                        continue;
                char type = argument_type(row->arguments, key);
                if (!type)
                        return refuse(ret_error, "unknown argument", key);
                if (!has_type(value, type))
                        return refuse(ret_error, "argument of the wrong type", key);
        }
        char missing[32];
        if (missing_argument(row->arguments, request, missing))
                return refuse(ret_error, "missing argument", missing);
        if (ret_request)
                *ret_request = row;
        return 0;
}
