/* The window over the tokens, what both languages share, and the sums at the end. */
#include "detect/tamper/code.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "detect/tamper/literal.h"

#define WINDOW        8192
#define LOOK_AHEAD    1024
#define CLOSE_MAX     600
#define BUDGET        ((size_t)8 << 20)
#define SNIPPET       96
#define LONG_LITERAL  1000
#define STRANGE_NAMES 6
#define GOTOS         12

const struct token token_end = {.kind = TOKEN_END};

void code_report(struct code *code, enum indicator indicator, uint32_t offset) {
        struct view snippet = view_head(view_from(code->view, offset), SNIPPET);
        evidence_add(code->evidences, indicator, snippet.data, snippet.size);
}

size_t code_close(struct code *code, size_t open) {
        unsigned depth = 0;
        size_t i = open, end = open + CLOSE_MAX < code->n ? open + CLOSE_MAX : code->n;
        for (; i < end && code->budget; i++, code->budget--) {
                const struct token *token = &code->tokens[i];
                if (token->kind != TOKEN_MARK)
                        continue;
                if (strchr("([{", token->mark))
                        depth++;
                else if (strchr(")]}", token->mark) && --depth == 0)
                        return i;
        }
        return i;
}

/* --- variables, by name only: scopes do not matter to a program this small --- */

static uint32_t variable_hash(const struct code *code, const struct token *token) {
        struct view name = token_text(code, token);
        uint32_t hash = 2166136261u;
        for (size_t i = 0; i < name.size; i++)
                hash = (hash ^ name.data[i]) * 16777619u;
        return hash ?: 1;
}

uint32_t code_variable(const struct code *code, const struct token *token) {
        uint32_t hash = variable_hash(code, token);
        for (size_t i = hash % ARRAY_SIZE(code->variables);; i = (i + 1) % ARRAY_SIZE(code->variables))
                if (!code->variables[i].hash || code->variables[i].hash == hash)
                        return code->variables[i].bits;
}

/* What was once suspicious stays so; a name that was never is not kept. */
void code_set_variable(struct code *code, const struct token *token, uint32_t bits) {
        uint32_t hash = variable_hash(code, token);
        size_t i = hash % ARRAY_SIZE(code->variables);
        while (code->variables[i].hash && code->variables[i].hash != hash)
                i = (i + 1) % ARRAY_SIZE(code->variables);
        struct variable *variable = &code->variables[i];
        if (!bits || (!variable->hash && code->n_variables == VARIABLES_MAX))
                return;
        code->n_variables += !variable->hash;
        variable->hash = hash;
        variable->bits |= bits;
}

void code_forget_variables(struct code *code, uint32_t bits) {
        for (size_t i = 0; i < ARRAY_SIZE(code->variables); i++)
                code->variables[i].bits &= ~bits;
}

/* --- strings --- */

static bool has_hidden_url(struct code *code, struct view text) {
        static const char *const marks[] = {"http://", "https://", "wss://"};
        bool any = false;
        for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
                size_t at = view_find(text, 0, marks[i], strlen(marks[i]));
                if (at != SIZE_MAX)
                        any |= hosts_add_url(code->hosts, view_from(text, at), HOST_HIDDEN);
        }
        return any || (view_starts(text, "//") && hosts_add_url(code->hosts, text, HOST_HIDDEN));
}

static size_t reverse(struct view text, unsigned char *out, size_t out_size) {
        if (text.size > out_size)
                return 0;
        for (size_t i = 0; i < text.size; i++)
                out[i] = text.data[text.size - 1 - i];
        return text.size;
}

static size_t rotate(struct view text, unsigned char *out, size_t out_size) {
        size_t n = text.size < out_size ? text.size : out_size;
        for (size_t i = 0; i < n; i++) {
                unsigned char c = text.data[i], base = isupper(c) ? 'A' : 'a';
                out[i] = (unsigned char)(isalpha(c) ? base + (c - base + 13) % 26 : c);
        }
        return n;
}

static size_t uncover(struct view text, unsigned char *out, size_t out_size) {
        if (view_find(text, 0, "//:ptth", 7) != SIZE_MAX || view_find(text, 0, "//:sptth", 8) != SIZE_MAX)
                return reverse(text, out, out_size);
        if (view_starts(text, "uggc://") || view_starts(text, "uggcf://"))
                return rotate(text, out, out_size);
        if (view_starts(text, "%68%74%74%70") || view_starts(text, "%2f%2f") || view_starts(text, "%2F%2F"))
                return literal_decode_percent(text, out, out_size);
        return text.size >= 14 ? literal_decode_any(text, out, out_size) : 0;
}

/* An address a reader would not see: base64, hexadecimal, percent, reversed, ROT13. */
static bool hides_url(struct code *code, struct view text) {
        unsigned char out[1024];
        if (text.size < 10 || text.size > 1300)
                return false;
        size_t n = uncover(text, out, sizeof(out));
        return n && has_hidden_url(code, (struct view){out, n});
}

/*
 * "\x68\x74\x74\x70": escapes of what could have been written plainly. Tables of bytes have escapes that
 * cannot be printed; minifiers escape single characters.
 */
static void look_at_escapes(struct code *code, const struct token *token) {
        unsigned char out[512];
        unsigned escapes, others;
        struct view text = view_head(token_text(code, token), 2048);
        if (token->size < 24 || (token->is_php && token->mark == '\'') || !memchr(text.data, '\\', text.size))
                return;
        size_t n = literal_unescape(text, out, sizeof(out), &escapes, &others), letters = 0;
        for (size_t i = 0; i < n; i++)
                letters += isalpha(out[i]) != 0;
        if (letters * 2 >= n && escapes >= 8 && others * 8 <= escapes && escapes * 10 >= n * 6)
                code_report(code, INDICATOR_OBFUSCATED, token->offset);
        if (escapes >= 4)
                hosts_add_string(code->hosts, (struct view){out, n}, HOST_HIDDEN);
}

size_t code_join(const struct code *code, size_t i, char ret_text[static 65]) {
        size_t size = 0, pieces = 0;
        unsigned char operator= code_token(code, i)->is_php ? '.' : '+';
        for (;; i += 2) {
                const struct token *token = code_token(code, i);
                if (token->kind != TOKEN_STRING || token->size > 24 || size + token->size > 64)
                        break;
                memcpy(ret_text + size, code->view.data + token->offset, token->size);
                size += token->size;
                pieces++;
                if (!token_is_mark(code_token(code, i + 1), operator)) {
                        i++;
                        break;
                }
        }
        ret_text[size] = '\0';
        return pieces ? i : 0;
}

/* "ev" . "al": a name that means trouble, or an address, in pieces so that nobody finds it. */
static void look_at_pieces(struct code *code, size_t i) {
        char text[65];
        const struct token *token = code_token(code, i);
        if (token->size > 24 || !token_is_mark(code_token(code, i + 1), token->is_php ? '.' : '+') ||
            (i && token_is_mark(code_token(code, i - 1), token->is_php ? '.' : '+')) ||
            code_join(code, i, text) < i + 3)
                return;
        if (keyword_is_suspicious(text, token->is_php))
                code_report(code, INDICATOR_OBFUSCATED, token->offset);
        hosts_add_string(code->hosts, (struct view){(const unsigned char *)text, strlen(text)}, HOST_CODE);
}

/* 'https://' + 'host/path' */
static void look_at_split_url(struct code *code, size_t i) {
        struct view text = token_text(code, code_token(code, i));
        const struct token *next = code_token(code, i + 2);
        if (text.size < 2 || text.size > 10 || memcmp(text.data + text.size - 2, "//", 2) ||
            next->kind != TOKEN_STRING ||
            !(token_is_mark(code_token(code, i + 1), '+') || token_is_mark(code_token(code, i + 1), '.')))
                return;
        struct view name = token_text(code, next);
        size_t size = 0;
        while (size < name.size && !strchr("/:?", name.data[size]) && name.data[size])
                size++;
        hosts_add_name(code->hosts, view_head(name, size), HOST_CODE);
}

void code_look_at_string(struct code *code, size_t i) {
        const struct token *token = code_token(code, i);
        struct view text = token_text(code, token);
        if (hides_url(code, text))
                code_report(code, INDICATOR_OBFUSCATED, token->offset);
        look_at_escapes(code, token);
        look_at_pieces(code, i);
        look_at_split_url(code, i);
        if (text.size >= 6)
                hosts_add_string(code->hosts, view_head(text, 1 << 16),
                                 code_is_listed(code, i) ? HOST_LISTED : HOST_CODE);
        if (text.size >= LONG_LITERAL && literal_is_base64(view_head(text, 1000)) && !code->long_literals++)
                code->first_long = token->offset;
}

/* $O0O0O0, $IllIlI, _0x3fa2: names made to be mistaken for each other. */
static bool is_strange_name(struct view name) {
        size_t zeros = 0, bars = 0, i = name.data[0] == '$';
        if (!i && view_starts(name, "_0x") && name.size >= 6 && name.size <= 12)
                return true;
        if (name.size - i < 5)
                return false;
        for (size_t k = i; k < name.size; k++) {
                zeros += name.data[k] == 'O' || name.data[k] == '0' || name.data[k] == '_';
                bars += name.data[k] == 'I' || name.data[k] == 'l' || name.data[k] == '1';
        }
        return (zeros == name.size - i && memchr(name.data, 'O', name.size) &&
                memchr(name.data, '0', name.size)) ||
               (bars == name.size - i && memchr(name.data, 'I', name.size) &&
                memchr(name.data, 'l', name.size));
}

static void look_at(struct code *code, size_t i) {
        const struct token *token = &code->tokens[i];
        if (token->kind == TOKEN_STRING) {
                code_look_at_string(code, i);
        } else if (token->kind == TOKEN_WORD && is_strange_name(token_text(code, token))) {
                if (!code->strange_names++)
                        code->first_strange = token->offset;
        }
        if (token->is_php) {
                code->php_words |= token->word;
                code_php(code, i);
        } else {
                code->js_words |= token->word;
                code_js(code, i);
        }
}

/* --- the window --- */

/* "<?php exit;" or "<?php die('No access');": what follows never runs. */
static bool ends_at_once(const struct code *code) {
        const struct token *first = code_token(code, 0), *second = code_token(code, 1),
                           *third = code_token(code, 2);
        if (!(first->word & PHP_EXIT) || !first->is_php)
                return false;
        if (second->kind == TOKEN_END || token_is_mark(second, ';') || !second->is_php)
                return true;
        if (!token_is_mark(second, '('))
                return false;
        if (token_is_mark(third, ')'))
                return true;
        struct view text = token_text(code, third);
        return third->kind == TOKEN_STRING && !(text.size && memchr(text.data, '$', text.size)) &&
               token_is_mark(code_token(code, 3), ')');
}

static void note_php(struct code *code, bool first) {
        for (size_t i = 0; !code->has_php && i < code->n; i++)
                code->has_php = code->tokens[i].is_php;
        if (first && code->n && code->tokens[0].is_php)
                code->exits_first = ends_at_once(code);
}

static void walk(struct code *code, struct lexer *lexer) {
        bool more = true;
        for (bool first = true; more; first = false) {
                while (code->n < WINDOW && (more = lexer_next(lexer, &code->tokens[code->n])))
                        code->n++;
                note_php(code, first);
                size_t done = more ? code->n - LOOK_AHEAD : code->n;
                for (size_t i = 0; i < done; i++)
                        look_at(code, i);
                memmove(code->tokens, code->tokens + done, (code->n - done) * sizeof(*code->tokens));
                code->n -= done;
        }
}

static bool names_a_server(const struct hosts *hosts) {
        for (size_t i = 0; i < hosts->n; i++)
                if (hosts->items[i].kinds & (HOST_CODE | HOST_HIDDEN))
                        return true;
        return false;
}

/* What only the whole file shows. A program that uses up what may be spent on it was made to. */
static void conclude(struct code *code) {
        bool php_runs = (code->php_words & PHP_EVAL) && (code->php_words & PHP_DECODE);
        bool js_runs = (code->js_words & JS_EVAL) && (code->js_words & (JS_DECODE | JS_CHAR));
        if (code->strange_names >= STRANGE_NAMES)
                code_report(code, INDICATOR_OBFUSCATED, code->first_strange);
        if (code->long_literals && (php_runs || js_runs))
                code_report(code, INDICATOR_OBFUSCATED, code->first_long);
        if (code->gotos >= GOTOS || code->mixed_strings >= 2 || code->budget == 0)
                code_report(code, INDICATOR_OBFUSCATED, 0);
        if (card_fields_suffice(code->js_fields) && (code->js_words & JS_READ) &&
            (code->js_words & JS_SEND) && (code->js_words & JS_ENCODE) && names_a_server(code->hosts))
                code_report(code, INDICATOR_JS_SKIMMER, code->first_field);
}

static bool holds_code(const struct media *media) {
        return media->has_php || media->language == LANGUAGE_PHP || media->language == LANGUAGE_HTML ||
               media->language == LANGUAGE_JS || media->language == LANGUAGE_SVG;
}

int code_assay(const struct media *media, struct view view, struct hosts *hosts, struct evidences *evidences,
               bool *ret_has_php) {
        *ret_has_php = false;
        if (!holds_code(media))
                return 0;
        struct code *code = calloc(1, sizeof(*code));
        struct token *tokens = calloc(WINDOW, sizeof(*tokens));
        int r = code && tokens ? 0 : -ENOMEM;
        if (r >= 0) {
                struct lexer lexer;
                *code = (struct code){.view = view,
                                      .evidences = evidences,
                                      .hosts = hosts,
                                      .tokens = tokens,
                                      .budget = BUDGET};
                lexer_init(&lexer, view, media);
                walk(code, &lexer);
                conclude(code);
                *ret_has_php = code->has_php && !code->exits_first;
        }
        free(tokens);
        free(code);
        if (media->family == FAMILY_TEXT || media->language == LANGUAGE_SVG)
                html_assay(view, hosts, evidences);
        return r;
}
