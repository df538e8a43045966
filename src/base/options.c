#include "base/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/i18n.h"

struct unit {
        const char *name;
        uint64_t factor;
};

#define KIB UINT64_C(1024)
#define SEC UINT64_C(1000000000)

/* From large to small. The first name of a factor is the one written; the others are read as well. */
static const struct unit size_units[] = {
        {"PiB", KIB *KIB *KIB *KIB *KIB},
        {"P", KIB *KIB *KIB *KIB *KIB},
        {"TiB", KIB *KIB *KIB *KIB},
        {"T", KIB *KIB *KIB *KIB},
        {"GiB", KIB *KIB *KIB},
        {"G", KIB *KIB *KIB},
        {"MiB", KIB *KIB},
        {"M", KIB *KIB},
        {"KiB", KIB},
        {"K", KIB},
        {"k", KIB},
        {"TB", SEC * 1000},
        {"GB", SEC},
        {"MB", 1000000},
        {"kB", 1000},
        {"KB", 1000},
        {"B", 1},
        {"", 1},
};
#define SIZE_UNITS_WRITTEN 11

static const struct unit duration_units[] = {
        {"d", 86400 * SEC}, {"h", 3600 * SEC}, {"min", 60 * SEC}, {"s", SEC}, {"ms", SEC / 1000},
};

static int quantity_parse(const char *text, const struct unit *units, size_t n_units, uint64_t *ret_value) {
        if (*text < '0' || *text > '9')
                return -EINVAL;
        char *end;
        errno = 0;
        unsigned long long number = strtoull(text, &end, 10);
        if (errno)
                return -EINVAL;
        end += *end == ' ';
        for (size_t i = 0; i < n_units; i++) {
                uint64_t value;
                if (strcmp(end, units[i].name))
                        continue;
                if (__builtin_mul_overflow(number, units[i].factor, &value))
                        return -EINVAL;
                *ret_value = value;
                return 0;
        }
        return -EINVAL;
}

int duration_parse(const char *text, uint64_t *ret_ns) {
        return quantity_parse(text, duration_units, ARRAY_SIZE(duration_units), ret_ns);
}

int size_parse(const char *text, uint64_t *ret_bytes) {
        return quantity_parse(text, size_units, ARRAY_SIZE(size_units), ret_bytes);
}

static int boolean_parse(const char *text, uint64_t *ret_value) {
        bool yes = !strcmp(text, "yes") || !strcmp(text, "true");
        if (!yes && strcmp(text, "no") && strcmp(text, "false"))
                return -EINVAL;
        *ret_value = yes;
        return 0;
}

static int choice_parse(const char *choices, const char *text, uint64_t *ret_value) {
        size_t length = strlen(text);
        for (uint64_t i = 0; length; i++) {
                size_t n = strcspn(choices, "|");
                if (n == length && !memcmp(choices, text, n)) {
                        *ret_value = i;
                        return 0;
                }
                if (!choices[n])
                        break;
                choices += n + 1;
        }
        return -EINVAL;
}

static int value_parse(const struct option_row *row, const char *text, uint64_t *ret_value) {
        static const struct unit one = {"", 1};
        switch (row->type) {
        case OPTION_BYTES:
                return size_parse(text, ret_value);
        case OPTION_DURATION:
                return duration_parse(text, ret_value);
        case OPTION_COUNT:
                return quantity_parse(text, &one, 1, ret_value);
        case OPTION_BOOLEAN:
                return boolean_parse(text, ret_value);
        default:
                return choice_parse(row->range, text, ret_value);
        }
}

/* Splits "64 MiB .. 1 PiB". False: the row has no bounds. */
static bool range_split(const char *range, char least[static OPTION_TEXT_SIZE],
                        char most[static OPTION_TEXT_SIZE]) {
        const char *dots = strstr(range, " .. ");
        if (!dots)
                return false;
        snprintf(least, OPTION_TEXT_SIZE, "%.*s", (int)(dots - range), range);
        snprintf(most, OPTION_TEXT_SIZE, "%s", dots + 4);
        return true;
}

int option_parse(const struct option_row *row, const char *text, uint64_t *ret_value) {
        char least_text[OPTION_TEXT_SIZE], most_text[OPTION_TEXT_SIZE];
        uint64_t value, least, most;
        int r = value_parse(row, text, &value);
        if (r < 0)
                return r;
        if (range_split(row->range, least_text, most_text)) {
                if (value_parse(row, least_text, &least) < 0 || value_parse(row, most_text, &most) < 0)
                        return -EINVAL;
                if (value < least || value > most)
                        return -ERANGE;
        }
        *ret_value = value;
        return 0;
}

static void quantity_format(uint64_t value, const struct unit *units, size_t n_units,
                            char ret_text[static OPTION_TEXT_SIZE]) {
        for (size_t i = 0; i < n_units; i++)
                if (value && value % units[i].factor == 0 && units[i].name[0]) {
                        snprintf(ret_text, OPTION_TEXT_SIZE, "%" PRIu64 " %s", value / units[i].factor,
                                 units[i].name);
                        return;
                }
        snprintf(ret_text, OPTION_TEXT_SIZE, "%" PRIu64, value);
}

static void choice_format(const char *choices, uint64_t value, char ret_text[static OPTION_TEXT_SIZE]) {
        while (value-- && choices[strcspn(choices, "|")])
                choices += strcspn(choices, "|") + 1;
        snprintf(ret_text, OPTION_TEXT_SIZE, "%.*s", (int)strcspn(choices, "|"), choices);
}

void option_format(const struct option_row *row, uint64_t value, char ret_text[static OPTION_TEXT_SIZE]) {
        switch (row->type) {
        case OPTION_BYTES:
                quantity_format(value, size_units, SIZE_UNITS_WRITTEN, ret_text);
                break;
        case OPTION_DURATION:
                quantity_format(value, duration_units, ARRAY_SIZE(duration_units), ret_text);
                if (!value)
                        snprintf(ret_text, OPTION_TEXT_SIZE, "0 s");
                break;
        case OPTION_BOOLEAN:
                snprintf(ret_text, OPTION_TEXT_SIZE, "%s", value ? "yes" : "no");
                break;
        case OPTION_CHOICE:
                choice_format(row->range, value, ret_text);
                break;
        default:
                snprintf(ret_text, OPTION_TEXT_SIZE, "%" PRIu64, value);
        }
}

void options_set_defaults(const struct option_row *rows, size_t n_rows, void *values) {
        for (size_t i = 0; i < n_rows; i++)
                if (option_parse(&rows[i], rows[i].otherwise,
                                 (uint64_t *)(void *)((char *)values + rows[i].offset)) < 0)
                        abort();
}

const char *option_type_name(enum option_type type) {
        static const char *const names[] = {
                [OPTION_BYTES] = N_("size"),
                [OPTION_DURATION] = N_("duration"),
                [OPTION_COUNT] = N_("number"),
                [OPTION_BOOLEAN] = N_("yes or no"),
                [OPTION_CHOICE] = N_("one of these words"),
        };
        return (size_t)type < ARRAY_SIZE(names) ? names[type] : "";
}

static char *_printf_(1, 2) format_string(const char *format, ...) {
        va_list ap;
        char *text;
        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        return n < 0 ? NULL : text;
}

char *option_expected(const struct option_row *row) {
        char least[OPTION_TEXT_SIZE], most[OPTION_TEXT_SIZE];
        bool bounded = range_split(row->range, least, most);
        const char *otherwise = row->otherwise;
        switch (row->type) {
        case OPTION_BYTES:
                return bounded ? format_string(_("a size such as %s, from %s to %s"), otherwise, least, most)
                               : format_string(_("a size such as %s"), otherwise);
        case OPTION_DURATION:
                return bounded ? format_string(_("a duration such as %s, from %s to %s"), otherwise, least,
                                               most)
                               : format_string(_("a duration such as %s"), otherwise);
        case OPTION_COUNT:
                return bounded ? format_string(_("a whole number such as %s, from %s to %s"), otherwise,
                                               least, most)
                               : format_string(_("a whole number such as %s"), otherwise);
        case OPTION_BOOLEAN:
                return strdup(_("yes or no"));
        default:
                return format_string(_("one of %s"), row->range);
        }
}
