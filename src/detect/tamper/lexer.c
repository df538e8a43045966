/*
 * PHP and JavaScript cut into tokens, tolerant of anything: what cannot be read is one mark and
 * the reading goes on. Every byte is passed a bounded number of times.
 *
 * Known gap: a template literal of JavaScript is one string, code in its ${…} included.
 */
#include <ctype.h>
#include <strings.h>

#include "detect/tamper/code.h"

#define TAG_BYTES_MAX     4096
#define HEREDOC_BYTES_MAX ((size_t)256 << 10)
#define HEREDOCS_LOST_MAX 32
#define PATTERN_MAX       512
#define PATTERN_STEPS_MAX ((size_t)16 << 20) /* spent on slashes that turn out to divide */

void lexer_init(struct lexer *lexer, struct view view, const struct media *media) {
        *lexer = (struct lexer){
                .view = view, .may_hold_php = media->has_php, .is_program = media->is_php_name};
        lexer->mode = media->language == LANGUAGE_JS ? MODE_JS : MODE_MARKUP;
        if (media->family != FAMILY_TEXT && media->has_php)
                lexer->at = media->php_offset;
}

static unsigned char peek(const struct lexer *lexer, size_t ahead) {
        return lexer->at + ahead < lexer->view.size ? lexer->view.data[lexer->at + ahead] : 0;
}

static bool stands(const struct lexer *lexer, const char *text) {
        size_t size = strlen(text);
        return lexer->view.size - lexer->at >= size &&
               !strncasecmp((const char *)lexer->view.data + lexer->at, text, size);
}

static bool opens_php(const struct lexer *lexer) {
        return lexer->may_hold_php && peek(lexer, 0) == '<' && peek(lexer, 1) == '?' &&
               (peek(lexer, 2) == '=' || isspace(peek(lexer, 2)) || stands(lexer, "<?php") ||
                (lexer->is_program && !stands(lexer, "<?xml")));
}

static void enter_php(struct lexer *lexer) {
        lexer->outer = lexer->mode;
        lexer->mode = MODE_PHP;
        lexer->at += stands(lexer, "<?php") ? 5 : peek(lexer, 2) == '=' ? 3 : 2;
        lexer->last = (struct token){0};
}

static void enter_script(struct lexer *lexer) {
        size_t end = lexer->at + TAG_BYTES_MAX;
        unsigned char quote = 0;
        for (; lexer->at < lexer->view.size && lexer->at < end; lexer->at++) {
                unsigned char c = peek(lexer, 0);
                if (quote ? c == quote : c == '"' || c == '\'')
                        quote = quote ? 0 : c;
                else if (!quote && c == '>')
                        break;
        }
        if (lexer->at < lexer->view.size)
                lexer->at++;
        lexer->mode = MODE_JS;
        lexer->in_element = true;
        lexer->last = (struct token){0};
}

/* To the next place where code begins; false when there is none. */
static bool skip_markup(struct lexer *lexer) {
        while (lexer->at < lexer->view.size) {
                const unsigned char *found =
                        memchr(lexer->view.data + lexer->at, '<', lexer->view.size - lexer->at);
                if (!found)
                        break;
                lexer->at = (size_t)(found - lexer->view.data);
                if (opens_php(lexer)) {
                        enter_php(lexer);
                        return true;
                }
                if (stands(lexer, "<script") && !isalnum(peek(lexer, 7))) {
                        enter_script(lexer);
                        return true;
                }
                lexer->at++;
        }
        lexer->at = lexer->view.size;
        return false;
}

static void skip_to(struct lexer *lexer, const char *text) {
        size_t found = view_find(lexer->view, lexer->at, text, strlen(text));
        lexer->at = found == SIZE_MAX ? lexer->view.size : found + strlen(text);
}

/* A line comment of PHP also ends before "?>", one of a script element before "</script". */
static void skip_line(struct lexer *lexer) {
        for (; lexer->at < lexer->view.size; lexer->at++) {
                unsigned char c = peek(lexer, 0);
                if (c == '\n' || c == '\r')
                        return;
                if (lexer->mode == MODE_PHP && c == '?' && peek(lexer, 1) == '>')
                        return;
                if (lexer->mode == MODE_JS && c == '<' &&
                    (opens_php(lexer) || (lexer->in_element && stands(lexer, "</script"))))
                        return;
        }
}

/* White space and comments; true when something was skipped. */
static bool skip_space(struct lexer *lexer) {
        unsigned char c = peek(lexer, 0), next = peek(lexer, 1);
        if (c > ' ' && c != '/' && c != '#')
                return false;
        if (lexer->at < lexer->view.size && c <= ' ') {
                lexer->at++;
                return true;
        }
        if (c == '/' && next == '*') {
                lexer->at += 2;
                skip_to(lexer, "*/");
                return true;
        }
        if ((c == '/' && next == '/') || (lexer->mode == MODE_PHP && c == '#' && next != '[')) {
                lexer->at++;
                skip_line(lexer);
                return true;
        }
        return false;
}

/* True when another language begins here. */
static bool change_mode(struct lexer *lexer) {
        if (peek(lexer, 0) != '?' && peek(lexer, 0) != '<')
                return false;
        if (lexer->mode == MODE_PHP && peek(lexer, 0) == '?' && peek(lexer, 1) == '>') {
                lexer->at += 2;
                lexer->mode = lexer->outer;
                return true;
        }
        if (lexer->mode == MODE_JS && opens_php(lexer)) {
                enter_php(lexer);
                return true;
        }
        if (lexer->mode == MODE_JS && lexer->in_element && peek(lexer, 0) == '<' &&
            stands(lexer, "</script")) {
                lexer->mode = MODE_MARKUP;
                lexer->in_element = false;
                return true;
        }
        return false;
}

static const bool word_bytes[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
        ['_'] = true,         ['$'] = true,         [0x80 ... 0xff] = true,
};

static bool is_word_byte(unsigned char c) {
        return word_bytes[c];
}

static void read_word(struct lexer *lexer, struct token *token) {
        const unsigned char *start = lexer->view.data + lexer->at, *end = lexer->view.data + lexer->view.size;
        const unsigned char *p = start + 1;
        while (p < end && word_bytes[*p] && !(token->is_php && *p == '$'))
                p++;
        token->kind = TOKEN_WORD;
        token->size = (uint32_t)(p - start);
        lexer->at += token->size;
        struct view word = {start, token->size};
        token->word = token->is_php ? keyword_php(word) : keyword_js(word);
}

static void read_number(struct lexer *lexer, struct token *token) {
        token->kind = TOKEN_NUMBER;
        size_t start = lexer->at;
        while (isalnum(peek(lexer, 0)) || peek(lexer, 0) == '_' ||
               (peek(lexer, 0) == '.' && isdigit(peek(lexer, 1))))
                lexer->at++;
        token->size = (uint32_t)(lexer->at - start);
}

/* A string of JavaScript does not cross a line; one that is not closed is a mark. */
static bool read_string(struct lexer *lexer, struct token *token) {
        unsigned char quote = peek(lexer, 0);
        bool crosses = token->is_php || quote == '`';
        size_t i = lexer->at + 1;
        for (; i < lexer->view.size; i++) {
                unsigned char c = lexer->view.data[i];
                if (c == '\\')
                        i++;
                else if (c == quote)
                        break;
                else if (!crosses && c == '\n')
                        return false;
        }
        if (i > lexer->view.size)
                i = lexer->view.size;
        token->kind = token->is_php && quote == '`' ? TOKEN_SHELL : TOKEN_STRING;
        token->mark = quote;
        token->offset++;
        token->size = (uint32_t)(i - token->offset);
        lexer->at = i < lexer->view.size ? i + 1 : i;
        return true;
}

/* <<<"NAME" … NAME; the first line that holds nothing but white space before NAME ends it. */
static bool read_heredoc(struct lexer *lexer, struct token *token) {
        size_t at = lexer->at + 3, name = 0;
        if (!stands(lexer, "<<<") || lexer->lost_heredocs >= HEREDOCS_LOST_MAX)
                return false;
        while (at < lexer->view.size && strchr(" \t\"'", lexer->view.data[at]) && lexer->view.data[at])
                at++;
        while (at + name < lexer->view.size &&
               (isalnum(lexer->view.data[at + name]) || lexer->view.data[at + name] == '_'))
                name++;
        struct view rest = view_head(view_from(lexer->view, at + name), HEREDOC_BYTES_MAX);
        for (size_t i = 0; name && i < rest.size; i++) {
                const unsigned char *newline = memchr(rest.data + i, '\n', rest.size - i);
                if (!newline)
                        break;
                size_t end = i = (size_t)(newline - rest.data);
                while (i + 1 < rest.size && (rest.data[i + 1] == ' ' || rest.data[i + 1] == '\t'))
                        i++;
                if (rest.size - i - 1 < name || memcmp(rest.data + i + 1, lexer->view.data + at, name) ||
                    (i + 1 + name < rest.size && is_word_byte(rest.data[i + 1 + name])))
                        continue;
                token->kind = TOKEN_STRING;
                token->mark = '"';
                token->offset = (uint32_t)(at + name);
                token->size = (uint32_t)end;
                lexer->at = at + name + i + 1 + name;
                return true;
        }
        lexer->lost_heredocs++;
        return false;
}

/* A slash divides behind a value and begins a regular expression elsewhere. */
static bool read_pattern(struct lexer *lexer, struct token *token) {
        const struct token *last = &lexer->last;
        bool value = last->kind == TOKEN_NUMBER || last->kind == TOKEN_STRING ||
                     last->kind == TOKEN_PATTERN ||
                     (last->kind == TOKEN_WORD && !(last->word & JS_OPERATOR)) ||
                     (last->kind == TOKEN_MARK && strchr(")]}", last->mark));
        bool in_class = false;
        if (token->is_php || peek(lexer, 0) != '/' || value || lexer->lost_steps > PATTERN_STEPS_MAX)
                return false;
        for (size_t i = 1; i < PATTERN_MAX && lexer->at + i < lexer->view.size; i++) {
                unsigned char c = peek(lexer, i);
                lexer->lost_steps++;
                if (c == '\n')
                        return false;
                if (c == '\\') {
                        i++;
                } else if (c == '[' || c == ']') {
                        in_class = c == '[';
                } else if (c == '/' && !in_class) {
                        token->kind = TOKEN_PATTERN;
                        lexer->lost_steps -= i;
                        token->size = (uint32_t)i + 1;
                        lexer->at += i + 1;
                        return true;
                }
        }
        return false;
}

static void read_token(struct lexer *lexer, struct token *token) {
        unsigned char c = peek(lexer, 0);
        *token = (struct token){.offset = (uint32_t)lexer->at, .is_php = lexer->mode == MODE_PHP};
        if (isdigit(c)) {
                read_number(lexer, token);
        } else if (word_bytes[c] &&
                   (c != '$' || !token->is_php || (word_bytes[peek(lexer, 1)] && peek(lexer, 1) != '$'))) {
                read_word(lexer, token);
        } else if ((c == '\'' || c == '"' || c == '`') && read_string(lexer, token)) {
                return;
        } else if (c == '<' && token->is_php && read_heredoc(lexer, token)) {
                return;
        } else if (!read_pattern(lexer, token)) {
                token->kind = TOKEN_MARK;
                token->mark = c;
                token->size = 1;
                lexer->at++;
        }
}

bool lexer_next(struct lexer *lexer, struct token *ret_token) {
        while (lexer->at < lexer->view.size) {
                if (lexer->mode == MODE_MARKUP) {
                        if (!skip_markup(lexer))
                                return false;
                } else if (!skip_space(lexer) && !change_mode(lexer)) {
                        read_token(lexer, ret_token);
                        lexer->last = *ret_token;
                        return true;
                }
        }
        return false;
}
