#include "config/webroots.h"

#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

struct scanner {
        const char *p, *end;
        unsigned line;
        char word[PATH_MAX]; /* empty and `broken` set when it was longer or held a NUL */
        bool broken;
};

static void put(struct scanner *scanner, size_t *size, char c) {
        if (!c || *size + 1 >= sizeof(scanner->word))
                scanner->broken = true;
        else
                scanner->word[(*size)++] = c;
}

static void skip_line(struct scanner *scanner) {
        while (scanner->p < scanner->end && *scanner->p != '\n')
                scanner->p++;
}

/* One word, quoted or not; `ends` are characters that end it beside blanks. False: none before an end. */
static bool scan_word(struct scanner *scanner, const char *ends) {
        size_t size = 0;
        char quote = 0;
        scanner->broken = false;
        scanner->word[0] = '\0';
        if (scanner->p == scanner->end || isspace((unsigned char)*scanner->p) || strchr(ends, *scanner->p))
                return false;
        if (*scanner->p == '"' || *scanner->p == '\'')
                quote = *scanner->p++;
        for (; scanner->p < scanner->end; scanner->p++) {
                char c = *scanner->p;
                if (quote ? c == quote : isspace((unsigned char)c) || (c && strchr(ends, c)))
                        break;
                scanner->line += c == '\n';
                if (c == '\\' && scanner->p + 1 < scanner->end && scanner->p[1] != '\n')
                        c = *++scanner->p;
                put(scanner, &size, c);
        }
        if (quote && scanner->p < scanner->end)
                scanner->p++;
        scanner->word[scanner->broken ? 0 : size] = '\0';
        return true;
}

static void skip_blanks(struct scanner *scanner, bool lines) {
        while (scanner->p < scanner->end && isspace((unsigned char)*scanner->p) &&
               (lines || *scanner->p != '\n')) {
                scanner->line += *scanner->p == '\n';
                scanner->p++;
        }
}

static bool is_usable(const struct scanner *scanner) {
        return !scanner->broken && scanner->word[0] == '/' && !strpbrk(scanner->word, "$%*");
}

/* Statements end at ';', '{' or '}'; the first word is the directive. */
static int parse_nginx(struct scanner *scanner, webroots_visit visit, void *userdata) {
        bool first = true, is_root = false;
        for (unsigned n = 0; scanner->p < scanner->end && n < WEBROOTS_MAX;) {
                skip_blanks(scanner, true);
                if (scanner->p == scanner->end)
                        break;
                if (*scanner->p == '#') {
                        skip_line(scanner);
                } else if (scan_word(scanner, ";{}")) {
                        int r = 0;
                        if (!first && is_root && is_usable(scanner) && ++n)
                                r = visit(scanner->word, scanner->line, userdata);
                        if (r < 0)
                                return r;
                        is_root = first && !strcmp(scanner->word, "root");
                        first = false;
                } else {
                        first = true;
                        scanner->p++;
                }
        }
        return 0;
}

/* Which argument of a directive names a directory: 0 none. */
static unsigned apache_argument(const char *directive) {
        if (!strcasecmp(directive, "DocumentRoot"))
                return 1;
        return !strcasecmp(directive, "Alias") || !strcasecmp(directive, "ScriptAlias") ? 2 : 0;
}

/* One directive a line; a line may go on behind a backslash. */
static int parse_apache(struct scanner *scanner, webroots_visit visit, void *userdata) {
        for (unsigned n = 0; scanner->p < scanner->end && n < WEBROOTS_MAX;) {
                skip_blanks(scanner, true);
                unsigned wanted = scan_word(scanner, "") && scanner->word[0] != '#'
                                          ? apache_argument(scanner->word)
                                          : 0;
                for (unsigned i = 1; i <= wanted; i++) {
                        skip_blanks(scanner, false);
                        if (!scan_word(scanner, "\n"))
                                wanted = 0;
                }
                if (wanted && is_usable(scanner) && ++n) {
                        int r = visit(scanner->word, scanner->line, userdata);
                        if (r < 0)
                                return r;
                }
                skip_line(scanner);
        }
        return 0;
}

int webroots_parse(enum web_server server, const char *data, size_t size, webroots_visit visit,
                   void *userdata) {
        struct scanner scanner = {.p = data, .end = data + size, .line = 1};
        return server == WEB_NGINX ? parse_nginx(&scanner, visit, userdata)
                                   : parse_apache(&scanner, visit, userdata);
}
