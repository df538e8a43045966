#include "detect/tamper/mask.h"

#include <ctype.h>
#include <strings.h>

#include "base/secrets.h"
#include "detect/tamper/cards.h"

#define LOCAL_PART_MAX 64
#define DOMAIN_MAX     255
#define SECRET_MAX     512

static bool is_local(unsigned char c) {
        return isalnum(c) || (c && strchr("._%+-", c));
}

static bool is_domain(unsigned char c) {
        return isalnum(c) || c == '.' || c == '-';
}

/* "logo@2x.png" is a picture, "user@host" a prompt: a dot, a name for a top level, no digit and 'x' first. */
static size_t domain_size(struct view view, size_t at) {
        size_t n = 0, dot = 0;
        while (n < DOMAIN_MAX && at + n < view.size && is_domain(view.data[at + n]))
                n++;
        while (n && !isalnum(view.data[at + n - 1]))
                n--;
        for (size_t i = 0; i < n; i++)
                if (view.data[at + i] == '.')
                        dot = i;
        if (!dot || n < dot + 3 || (n > 2 && isdigit(view.data[at]) && view.data[at + 1] == 'x'))
                return 0;
        for (size_t i = dot + 1; i < n; i++)
                if (!isalpha(view.data[at + i]))
                        return 0;
        return n;
}

/* Length of the mail address that starts at `at`; one long run of letters is only walked once a caller. */
static size_t mail_at(struct view view, size_t at) {
        if (!is_local(view.data[at]) || (at && is_local(view.data[at - 1])))
                return 0;
        size_t n = 0;
        while (n < LOCAL_PART_MAX && at + n < view.size && is_local(view.data[at + n]))
                n++;
        if (at + n >= view.size || view.data[at + n] != '@')
                return 0;
        size_t domain = domain_size(view, at + n + 1);
        return domain ? n + 1 + domain : 0;
}

/* "$6$salt$hash", "$2y$10$hash", "$argon2id$…" */
static size_t hash_at(struct view view, size_t at) {
        size_t n = 0, dollars = 0;
        if (view.data[at] != '$')
                return 0;
        while (at + n < view.size && n < SECRET_MAX &&
               (isalnum(view.data[at + n]) || strchr("./$=,+-_", view.data[at + n])) && view.data[at + n])
                dollars += view.data[at + n++] == '$';
        return n >= 24 && dollars >= 3 && isalnum(view.data[at + 1]) ? n : 0;
}

/* --- settings: a name that says secret, then the value --- */

static bool is_name(unsigned char c) {
        return isalnum(c) || c == '_';
}

/*
 * At the start of a name: if it says secret and a value follows, where the value stands. NAME=value,
 * 'NAME' => 'value', define('NAME', 'value'), "name": "value", $name = 'value'. A value is one word
 * of a setting, so code that calls something stays readable.
 */
static bool secret_at(struct view view, size_t at, size_t *ret_value, size_t *ret_size) {
        size_t end = at;
        while (end < view.size && end - at < 64 && is_name(view.data[end]))
                end++;
        if (end == at || !secrets_is_name((const char *)view.data + at, end - at))
                return false;
        size_t p = end, operators = 0;
        while (p < view.size && p - end < 12 && strchr("'\" \t=>:,", view.data[p]) && view.data[p])
                operators += strchr("=:,", view.data[p++]) != NULL;
        if (!operators || p >= view.size)
                return false;
        unsigned char quote = view.data[p - 1] == '\'' || view.data[p - 1] == '"' ? view.data[p - 1] : 0;
        size_t n = 0;
        while (p + n < view.size && n < SECRET_MAX &&
               (quote ? view.data[p + n] != quote : !isspace(view.data[p + n])))
                n++;
        if (!quote)
                for (size_t i = 0; i < n; i++)
                        if (strchr("()$;{}[]<>", view.data[p + i]))
                                return false;
        if (n < 4)
                return false;
        *ret_value = p;
        *ret_size = n;
        return true;
}

static int append(struct buffer *buffer, struct view line, size_t from, size_t to, const char *mask) {
        int r = buffer_append(buffer, line.data + from, to - from);
        return r < 0 || !mask ? r : buffer_append_string(buffer, mask);
}

int mask_append(struct buffer *buffer, struct view line) {
        size_t done = 0, value, size;
        int r = 0;
        for (size_t i = 0; r >= 0 && i < line.size; i++) {
                unsigned char c = line.data[i];
                bool starts_name = is_name(c) && (i == 0 || !is_name(line.data[i - 1]));
                if (starts_name && secret_at(line, i, &value, &size)) {
                        r = append(buffer, line, done, value, "[secret]");
                        done = value + size;
                } else if (isdigit(c) && (size = card_at(line, i))) {
                        r = append(buffer, line, done, i, "[card number]");
                        done = i + size;
                } else if ((size = mail_at(line, i))) {
                        r = append(buffer, line, done, i, "[mail address]");
                        done = i + size;
                } else if ((size = hash_at(line, i))) {
                        r = append(buffer, line, done, i, "[secret]");
                        done = i + size;
                }
                if (done > i)
                        i = done - 1;
        }
        return r < 0 ? r : append(buffer, line, done, line.size, NULL);
}
