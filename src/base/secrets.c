#include "base/secrets.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

#define NAME_BYTES_MAX 64
#define MASK           "***"

bool secrets_is_name(const char *name, size_t size) {
        static const char *const words[] = {"password", "passwd",     "passphrase", "_pass",
                                            "secret",   "_key",       "apikey",     "token",
                                            "_salt",    "privatekey", "dsn",        "_pwd"};
        static const char *const whole[] = {"pass", "database_url", "mailer_url"};
        static const char *const places[] = {"_file", "_path", "_fd", "_stdin", "_prompt"};
        char lower[NAME_BYTES_MAX];
        if (size >= sizeof(lower)) {
                name += size - sizeof(lower) + 1;
                size = sizeof(lower) - 1;
        }
        for (size_t i = 0; i < size; i++)
                lower[i] = (char)(name[i] == '-' ? '_' : tolower((unsigned char)name[i]));
        lower[size] = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(places); i++)
                if (size > strlen(places[i]) && !strcmp(lower + size - strlen(places[i]), places[i]))
                        return false;
        for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
                if (!strcmp(lower + strspn(lower, "_"), whole[i]))
                        return true;
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strstr(lower, words[i]))
                        return true;
        return false;
}

/* --- programs whose short options take a secret --- */

static const struct short_option {
        const char *program; /* its name begins so */
        char letter;
        char behind;   /* secret is what follows this character, as in user:secret; 0: all of it */
        bool attached; /* only "-psecret": in "-p secret" the word is something else */
} short_options[] = {
        {"mysql", 'p', 0, true},        {"mariadb", 'p', 0, true}, {"sshpass", 'p', 0, false},
        {"curl", 'u', ':', false},      {"curl", 'U', ':', false}, {"redis-cli", 'a', 0, false},
        {"mongo", 'p', 0, false},       {"ldap", 'w', 0, false},   {"smbclient", 'U', '%', false},
        {"rpcclient", 'U', '%', false}, {"7z", 'p', 0, true},      {"zip", 'P', 0, false},
        {"unzip", 'P', 0, false},
};

struct scan {
        char *text;
        size_t size;
        size_t at;   /* read */
        size_t kept; /* written, never past `at`: what is behind `at` may be read, what lies before it not */
        const char *program; /* the last program of the table that was named since a command began, or NULL */
};

static bool is_name(char c) {
        return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* Where a word of a script ends. */
static bool ends_word(char c) {
        return !c || isspace((unsigned char)c) || strchr("'\"`;|&<>()", c);
}

static bool is_quote(char c) {
        return c == '"' || c == '\'';
}

static bool at_argument(const struct scan *scan, size_t at) {
        return at == 0 || !scan->text[at - 1];
}

static bool at_word(const struct scan *scan, size_t at) {
        return at == 0 || ends_word(scan->text[at - 1]);
}

/* In an argument of its own that is an option: all of it; else one word. */
static size_t value_end(const struct scan *scan, size_t from, bool whole_argument) {
        size_t end = from;
        while (whole_argument && end < scan->size && scan->text[end])
                end++;
        while (!whole_argument && end < scan->size && !ends_word(scan->text[end]))
                end++;
        return end;
}

static bool is_expanded(const char *value, size_t size) {
        return size && (value[0] == '$' || memchr(value, '`', size) || memmem(value, size, "$(", 2));
}

static void keep(struct scan *scan, size_t to) {
        memmove(scan->text + scan->kept, scan->text + scan->at, to - scan->at);
        scan->kept += to - scan->at;
        scan->at = to;
}

static void replace(struct scan *scan, size_t from, size_t to) {
        size_t size = to - from < strlen(MASK) ? to - from : strlen(MASK);
        keep(scan, from);
        memcpy(scan->text + scan->kept, MASK, size);
        scan->kept += size;
        scan->at = to;
}

/* Skips a quote that begins the value; returns where the value ends, before the quote that closes it. */
static size_t value_bounds(const struct scan *scan, size_t *start, bool whole_argument) {
        char quote = *start < scan->size && is_quote(scan->text[*start]) ? scan->text[*start] : '\0';
        if (!quote)
                return value_end(scan, *start, whole_argument);
        size_t end = ++*start;
        while (end < scan->size && scan->text[end] && scan->text[end] != quote)
                end++;
        return end;
}

/* The value from `from` on, quotes around it kept. */
static bool mask_value(struct scan *scan, size_t from, bool whole_argument) {
        size_t end = value_bounds(scan, &from, whole_argument);
        if (end == from || (!whole_argument && is_expanded(scan->text + from, end - from)))
                return false;
        replace(scan, from, end);
        return true;
}

static size_t next_word(const struct scan *scan, size_t at) {
        if (at < scan->size && !scan->text[at])
                return at + 1;
        while (at < scan->size && (scan->text[at] == ' ' || scan->text[at] == '\t'))
                at++;
        return at;
}

/* NAME=value and --name=value; --name value. */
static bool mask_named(struct scan *scan) {
        size_t end = scan->at;
        while (end < scan->size && is_name(scan->text[end]))
                end++;
        if (end == scan->at || !secrets_is_name(scan->text + scan->at, end - scan->at))
                return false;
        bool is_option = scan->text[scan->at] == '-';
        if (end < scan->size && scan->text[end] == '=')
                return mask_value(scan, end + 1, is_option && at_argument(scan, scan->at));
        size_t value = next_word(scan, end);
        if (!is_option || value == end || value >= scan->size || scan->text[value] == '-')
                return false;
        return mask_value(scan, value, !scan->text[value - 1]);
}

/* "Authorization: Bearer value", "X-Api-Key: value". */
static bool mask_header(struct scan *scan) {
        size_t colon = scan->at;
        while (colon < scan->size && is_name(scan->text[colon]))
                colon++;
        size_t size = colon - scan->at, value = next_word(scan, colon + 1);
        if (colon + 1 >= scan->size || scan->text[colon] != ':' || value == colon + 1 || value >= scan->size)
                return false;
        bool is_authorization = size >= 13 && !strncasecmp(scan->text + colon - 13, "authorization", 13);
        if (!is_authorization && !secrets_is_name(scan->text + scan->at, size))
                return false;
        size_t end = value_end(scan, value, false);
        if (is_authorization && end < scan->size && scan->text[end] == ' ')
                value = next_word(scan, end); /* behind the scheme */
        return value < scan->size && mask_value(scan, value, false);
}

/* scheme://user:value@host */
static bool mask_url(struct scan *scan) {
        size_t colon = 0, at = scan->at + 3;
        if (scan->size - scan->at < 3 || memcmp(scan->text + scan->at, "://", 3))
                return false;
        for (; at < scan->size && !ends_word(scan->text[at]) && scan->text[at] != '/'; at++) {
                if (scan->text[at] == ':' && !colon)
                        colon = at;
                else if (scan->text[at] == '@')
                        break;
        }
        if (!colon || at >= scan->size || scan->text[at] != '@' || at == colon + 1 ||
            is_expanded(scan->text + colon + 1, at - colon - 1))
                return false;
        replace(scan, colon + 1, at);
        return true;
}

static void note_program(struct scan *scan) {
        size_t name = scan->at;
        for (size_t end = name; end < scan->size && !ends_word(scan->text[end]); end++)
                if (scan->text[end] == '/')
                        name = end + 1;
        const char *word = scan->text + name;
        for (size_t i = 0; i < ARRAY_SIZE(short_options); i++) {
                size_t n = strlen(short_options[i].program);
                if (scan->size - name >= n && !memcmp(word, short_options[i].program, n))
                        scan->program = short_options[i].program;
        }
}

/* Where the value of an option starts whose own letters end at `end`. */
static size_t value_start(const struct scan *scan, size_t end) {
        bool is_quoted = end < scan->size && (is_quote(scan->text[end]) || scan->text[end] == '=');
        return is_quoted ? end + (scan->text[end] == '=') : next_word(scan, end);
}

/* Length of the option at the start of a word, its dash and letters; 0: it takes no secret. */
static size_t option_size(const struct scan *scan, const struct short_option *option) {
        const char *word = scan->text + scan->at;
        size_t size = 0, room = scan->size - scan->at;
        if (strcmp(option->program, scan->program) || room < 2 || word[0] != '-')
                return 0;
        if (word[1] == option->letter)
                return option->attached && (room == 2 || (ends_word(word[2]) && !is_quote(word[2]))) ? 0 : 2;
        for (size = 1; size < room && is_name(word[size]);)
                size++;
        if (option->behind == ':' && size >= 6 &&
            !memcmp(word + size - 4, "user", 4)) /* --user, --proxy-user */
                return size;
        return !option->attached && size > 2 && word[1] != '-' && word[size - 1] == option->letter ? size : 0;
}

static bool mask_option(struct scan *scan, const struct short_option *option, size_t size) {
        size_t value = scan->at + size;
        bool is_attached = value < scan->size && !ends_word(scan->text[value]) && scan->text[value] != '=';
        value = is_attached ? value : value_start(scan, value);
        if (value >= scan->size)
                return false;
        bool whole = at_argument(scan, is_attached ? scan->at : value);
        if (!option->behind)
                return mask_value(scan, value, whole);
        size_t end = value_bounds(scan, &value, whole);
        const char *mark = memchr(scan->text + value, option->behind, end - value);
        size_t from = mark ? (size_t)(mark - scan->text) + 1 : end;
        if (from == end || (!whole && is_expanded(scan->text + from, end - from)))
                return false;
        replace(scan, from, end);
        return true;
}

static bool mask_short(struct scan *scan) {
        for (size_t i = 0; scan->program && i < ARRAY_SIZE(short_options); i++) {
                size_t size = option_size(scan, &short_options[i]);
                if (size)
                        return mask_option(scan, &short_options[i], size);
        }
        return false;
}

size_t secrets_mask_arguments(char *text, size_t size) {
        struct scan scan = {.text = text, .size = size};
        while (scan.at < size) {
                char c = text[scan.at];
                bool starts_name = is_name(c) && (scan.at == 0 || !is_name(text[scan.at - 1]));
                if (strchr(";|&\n", c) && c)
                        scan.program = NULL;
                if (at_word(&scan, scan.at))
                        note_program(&scan);
                if (at_word(&scan, scan.at) && mask_short(&scan))
                        continue;
                if (starts_name && (mask_named(&scan) || mask_header(&scan)))
                        continue;
                if (c == ':' && mask_url(&scan))
                        continue;
                keep(&scan, scan.at + 1);
        }
        return scan.kept;
}
