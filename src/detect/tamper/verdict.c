#include "detect/tamper/verdict.h"

#include <string.h>

#include "base/text.h"

int verdict_init(struct verdict *verdict) {
        *verdict =
                (struct verdict){.types = json_array(), .techniques = json_array(), .reasons = json_array()};
        if (verdict->types && verdict->techniques && verdict->reasons)
                return 0;
        verdict_deinit(verdict);
        return -ENOMEM;
}

void verdict_deinit(struct verdict *verdict) {
        json_decref(STEAL(verdict->types));
        json_decref(STEAL(verdict->techniques));
        json_decref(STEAL(verdict->reasons));
        *verdict = (struct verdict){0};
}

static void add_once(json_t *array, const char *text, size_t size) {
        size_t i;
        json_t *value;
        json_array_foreach (array, i, value)
                if (json_string_length(value) == size && !memcmp(json_string_value(value), text, size))
                        return;
        json_array_append_new(array, json_stringn(text, size));
}

static void add_reason(struct verdict *verdict, const char *reason, const char *detail) {
        _cleanup_(buffer_deinit) struct buffer text = {0};
        if (buffer_append_string(&text, reason) < 0)
                return;
        if (detail && *detail) {
                size_t size = strnlen(detail, VERDICT_DETAIL_MAX);
                bool whole = !detail[size];
                while (whole && size && strchr(" \t\r\n", detail[size - 1]))
                        size--;
                if (buffer_append_string(&text, ": ") < 0 || text_escape(&text, detail, size) < 0)
                        return;
                if (!whole)
                        buffer_append_string(&text, "…");
        }
        add_once(verdict->reasons, text.data, text.size);
}

void verdict_state(struct verdict *verdict, const struct statement *statement, const char *detail) {
        if (statement->severity > verdict->severity) {
                verdict->severity = statement->severity;
                verdict->title = statement->title;
        }
        add_once(verdict->types, statement->type, strlen(statement->type));
        for (const char *t = statement->techniques ?: ""; *t;) {
                size_t size = strcspn(t, " ");
                add_once(verdict->techniques, t, size);
                t += size + strspn(t + size, " ");
        }
        add_reason(verdict, statement->reason, detail);
}

void program_name_from(const char *path, size_t size, char ret_name[static PROGRAM_NAME_SIZE]) {
        static const char deleted[] = " (deleted)", architecture[] = "-linux-gnu-";
        size_t n = sizeof(deleted) - 1;
        if (size > n && !memcmp(path + size - n, deleted, n))
                size -= n;
        const char *slash = memrchr(path, '/', size);
        if (slash) {
                size -= (size_t)(slash + 1 - path);
                path = slash + 1;
        }
        const char *found = memmem(path, size, architecture, sizeof(architecture) - 1);
        if (found) {
                found += sizeof(architecture) - 1;
                size -= (size_t)(found - path);
                path = found;
        }
        const char *dot = memchr(path, '.', size);
        if (dot && dot > path)
                size = (size_t)(dot - path);
        while (size > 1 && strchr("0123456789-", path[size - 1]))
                size--;
        if (size >= PROGRAM_NAME_SIZE)
                size = PROGRAM_NAME_SIZE - 1;
        memcpy(ret_name, path, size);
        ret_name[size] = '\0';
}

void program_name(const struct process *process, char ret_name[static PROGRAM_NAME_SIZE]) {
        const char *path = process->executable ?: process->command_line ?: "";
        size_t size = process->executable ? strlen(path) : strcspn(path, " :");
        if (!process->executable && *path == '-') { /* a login shell calls itself "-bash" */
                path++;
                size--;
        }
        program_name_from(path, size, ret_name);
}

bool program_is_web(const struct process *process) {
        static const char *const names[] = {
                "php-fpm",       "php-cgi",   "nginx",   "apache",    "httpd",      "lighttpd",  "caddy",
                "openlitespeed", "litespeed", "lshttpd", "lsphp",     "frankenphp", "uwsgi",     "gunicorn",
                "unitd",         "hhvm",      "h2o",     "fcgiwrap",  "angie",      "openresty", "tengine",
                "swoole",        "rr",        "puma",    "passenger", "tomcat",
        };
        char name[PROGRAM_NAME_SIZE];
        program_name(process, name);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (!strcmp(name, names[i]))
                        return true;
        /* PHP's own development server */
        return !strcmp(name, "php") && process->command_line && strstr(process->command_line, " -S ");
}

bool actor_is_web(const struct actor *actor) {
        for (size_t i = 0; actor && i < actor->n_processes; i++)
                if (program_is_web(&actor->processes[i]))
                        return true;
        return false;
}
