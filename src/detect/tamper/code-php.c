/*
 * What is bad in PHP. Each rule needs two things that ordinary code does not have together: a
 * function that runs things and what a visitor sent; a function that runs things and one that
 * decodes; a card's fields and a place to keep them.
 */
#include <ctype.h>
#include <strings.h>

#include "base/cleanup.h"
#include "detect/tamper/code.h"

#define STATEMENT_MAX 400

/* What a stretch of tokens holds. */
struct summary {
        uint32_t words;
        uint32_t variables; /* enum variable_bit of every variable in it */
        unsigned fields;    /* enum card_field */
        bool input;         /* a superglobal, php://input, a request header */
        bool whole_form;    /* $_POST without an index, or the request's raw body */
};

static bool is_index(const struct code *code, size_t i) {
        return token_is_mark(code_token(code, i), '[') || token_is_mark(code_token(code, i), '{');
}

static bool text_is(const struct code *code, const struct token *token, const char *text) {
        return token->kind == TOKEN_STRING && token->size == strlen(text) &&
               !strncasecmp((const char *)code->view.data + token->offset, text, token->size);
}

/* $_SERVER['HTTP_…'] and the query string come from the visitor, the rest does not. */
static bool is_header(const struct code *code, size_t i) {
        const struct token *key = code_token(code, i + 2);
        if (!(code_token(code, i)->word & PHP_SERVER) || !is_index(code, i + 1) || key->kind != TOKEN_STRING)
                return false;
        return view_starts(token_text(code, key), "HTTP_") || text_is(code, key, "QUERY_STRING");
}

static bool is_input(const struct code *code, size_t i) {
        const struct token *token = code_token(code, i);
        return (token->kind == TOKEN_WORD && (token->word & PHP_INPUT)) || is_header(code, i) ||
               text_is(code, token, "php://input");
}

/* $request->request->all(), $request->getContent() */
static bool is_request_object(const struct code *code, size_t i) {
        if (!(code_token(code, i)->word & PHP_REQUEST))
                return false;
        for (size_t k = i + 1; k < i + 7; k++)
                if (code_token(code, k)->word & PHP_ALL)
                        return true;
        return false;
}

static bool is_whole_form(const struct code *code, size_t i) {
        const struct token *token = code_token(code, i);
        if ((token->word & PHP_POSTED) && !is_index(code, i + 1))
                return true;
        return text_is(code, token, "php://input") || is_request_object(code, i);
}

static struct summary summarise(struct code *code, size_t from, size_t to) {
        struct summary summary = {0};
        for (size_t i = from; i < to && i < code->n && code->budget; i++, code->budget--) {
                const struct token *token = &code->tokens[i];
                if (token->kind == TOKEN_WORD && code->view.data[token->offset] == '$')
                        summary.variables |= code_variable(code, token);
                if (token->kind == TOKEN_WORD || token->kind == TOKEN_STRING)
                        summary.fields |= card_fields(token_text(code, token));
                summary.words |= token->word;
                summary.input |= is_input(code, i);
                summary.whole_form |= is_whole_form(code, i);
        }
        return summary;
}

/* A function of that name is called here: not defined, not a method of some object. */
static bool is_call(const struct code *code, size_t i) {
        const struct token *before = i ? code_token(code, i - 1) : &token_end;
        if (!token_is_mark(code_token(code, i + 1), '('))
                return false;
        if (i >= 2 && ((token_is_mark(before, '>') && token_is_mark(code_token(code, i - 2), '-')) ||
                       (token_is_mark(before, ':') && token_is_mark(code_token(code, i - 2), ':'))))
                return false;
        return !(before->kind == TOKEN_WORD && (before->word & PHP_FUNCTION));
}

static void report(struct code *code, enum indicator indicator, size_t i) {
        code_report(code, indicator, code_token(code, i)->offset);
}

/* --- calls --- */

static void look_at_eval(struct code *code, size_t i) {
        struct summary in = summarise(code, i + 2, code_close(code, i + 1));
        if (in.input || (in.variables & VARIABLE_INPUT))
                report(code, INDICATOR_WEB_SHELL, i);
        else if ((in.words & (PHP_DECODE | PHP_UNESCAPE)) ||
                 (in.variables & (VARIABLE_DECODED | VARIABLE_BUILT)))
                report(code, INDICATOR_OBFUSCATED, i);
}

static void look_at_exec(struct code *code, size_t i) {
        struct summary in = summarise(code, i + 2, code_close(code, i + 1));
        if (in.words & PHP_CLEAN)
                return;
        if (in.input || (in.variables & VARIABLE_INPUT))
                report(code, INDICATOR_WEB_SHELL, i);
        else if ((in.words & PHP_DECODE) || (in.variables & VARIABLE_DECODED))
                report(code, INDICATOR_OBFUSCATED, i);
}

/* Index behind the comma that ends the argument at i. */
static size_t next_argument(struct code *code, size_t i, size_t close) {
        while (i < close && !token_is_mark(code_token(code, i), ',')) {
                bool opens = token_is_mark(code_token(code, i), '(') || is_index(code, i);
                i = opens ? code_close(code, i) + 1 : i + 1;
        }
        return i + 1;
}

/* call_user_func($_GET['f'], …), array_map('assert', …), usort($a, $_POST['f']) */
static void look_at_callback(struct code *code, size_t i, uint32_t word) {
        size_t close = code_close(code, i + 1);
        size_t place = word & PHP_APPLY ? next_argument(code, i + 2, close) : i + 2;
        const struct token *function = code_token(code, place);
        if (place >= close)
                return;
        bool is_variable = function->kind == TOKEN_WORD &&
                           (token_is_mark(code_token(code, place + 1), ',') || place + 1 == close);
        if (is_input(code, place) || (is_variable && (code_variable(code, function) & VARIABLE_INPUT)))
                report(code, INDICATOR_WEB_SHELL, i);
        if (function->kind == TOKEN_STRING &&
            (keyword_php(token_text(code, function)) & (PHP_EVAL | PHP_EXEC)))
                report(code, INDICATOR_WEB_SHELL, i);
}

/* preg_replace('/…/e', …): the replacement is run. */
static bool runs_replacement(struct view pattern) {
        static const char pairs[] = "(){}[]<>";
        size_t i = 0;
        while (i < pattern.size && isspace(pattern.data[i]))
                i++;
        if (i + 2 >= pattern.size || isalnum(pattern.data[i]) || pattern.data[i] == '\\')
                return false;
        const char *pair = strchr(pairs, pattern.data[i]);
        unsigned char close = pair && (pair - pairs) % 2 == 0 ? (unsigned char)pair[1] : pattern.data[i];
        for (size_t end = pattern.size - 1; end > i; end--) {
                unsigned char c = pattern.data[end];
                if (c == close)
                        return memchr(pattern.data + end, 'e', pattern.size - end) != NULL;
                if (!strchr("imsxADSUXJue \n", c) || !c)
                        return false;
        }
        return false;
}

static void look_at_replace(struct code *code, size_t i) {
        const struct token *pattern = code_token(code, i + 2);
        if (pattern->kind == TOKEN_STRING && token_is_mark(code_token(code, i + 3), ',') &&
            runs_replacement(token_text(code, pattern)))
                report(code, INDICATOR_OBFUSCATED, i);
}

static bool has_image_extension(struct view text) {
        static const char *const extensions[] = {".jpg", ".jpeg", ".png", ".gif", ".ico", ".webp", ".bmp"};
        for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
                size_t n = strlen(extensions[i]);
                if (text.size > n && !strncasecmp((const char *)text.data + text.size - n, extensions[i], n))
                        return true;
        }
        return false;
}

/* include $_GET['page'], include 'favicon.ico' */
static void look_at_include(struct code *code, size_t i) {
        for (size_t k = i + 1; k < i + 40; k++) {
                const struct token *token = code_token(code, k);
                if (token->kind == TOKEN_END || token_is_mark(token, ';') || !token->is_php)
                        return;
                if (is_input(code, k)) {
                        report(code, INDICATOR_WEB_SHELL, i);
                        return;
                }
                if ((token->kind == TOKEN_STRING && has_image_extension(token_text(code, token))) ||
                    (token->word & PHP_DECODE)) {
                        report(code, INDICATOR_OBFUSCATED, i);
                        return;
                }
        }
}

/* A sink that keeps or sends what customers typed. */
static void look_at_sink(struct code *code, size_t i, uint32_t word) {
        size_t close = code_close(code, i + 1);
        struct summary in = summarise(code, i + 2, close);
        if (word & PHP_CONNECT) {
                const struct token *host = code_token(code, i + 2);
                if (host->kind == TOKEN_STRING)
                        hosts_add_name(code->hosts, token_text(code, host), HOST_CODE);
        }
        bool typed = in.input || in.variables & (VARIABLE_INPUT | VARIABLE_DUMP);
        bool card = card_fields_suffice(in.fields) && (typed || (word & (PHP_FILE | PHP_MAIL)));
        bool whole = in.whole_form || (in.variables & VARIABLE_DUMP);
        if (card || (in.variables & VARIABLE_CARD) || ((word & PHP_FILE) && whole))
                report(code, INDICATOR_REQUEST_EXFIL, i);
        /* file_put_contents($_GET['f'], $_POST['c']) */
        if ((word & PHP_FILE) && is_input(code, i + 2) && in.input)
                report(code, INDICATOR_WEB_SHELL, i);
}

/* --- chains --- */

/* chr(101).chr(118)… and $s[3].$s[17]…: a text put together so that nobody can search for it. */
static size_t chr_link(const struct code *code, size_t i) {
        return (code_token(code, i)->word & PHP_CHR) && token_is_mark(code_token(code, i + 1), '(') &&
                               code_token(code, i + 2)->kind == TOKEN_NUMBER &&
                               token_is_mark(code_token(code, i + 3), ')')
                       ? i + 4
                       : 0;
}

static size_t index_link(const struct code *code, size_t i) {
        const struct token *name = code_token(code, i);
        return name->kind == TOKEN_WORD && code->view.data[name->offset] == '$' && is_index(code, i + 1) &&
                               code_token(code, i + 2)->kind == TOKEN_NUMBER &&
                               (token_is_mark(code_token(code, i + 3), ']') ||
                                token_is_mark(code_token(code, i + 3), '}'))
                       ? i + 4
                       : 0;
}

static unsigned chain(const struct code *code, size_t i, size_t (*link)(const struct code *, size_t)) {
        unsigned n = 0;
        if (i && token_is_mark(code_token(code, i - 1), '.'))
                return 0;
        for (size_t next; (next = link(code, i)); n++) {
                if (!token_is_mark(code_token(code, next), '.'))
                        return n + 1;
                i = next + 1;
        }
        return n;
}

static long number_of(const struct code *code, const struct token *token) {
        struct view number = token_text(code, token);
        char text[8] = {0};
        memcpy(text, number.data, number.size < 7 ? number.size : 7);
        return strtol(text, NULL, 0);
}

/* Letters only: headers of binary formats are put together this way, too. */
static bool chr_chain_is_text(const struct code *code, size_t i) {
        for (; chr_link(code, i); i += 5) {
                long value = number_of(code, code_token(code, i + 2));
                if (value < 0x20 || value > 0x7e)
                        return false;
        }
        return true;
}

/* An alphabet has more than ten letters; parts of dates and colours are fewer. */
static bool index_chain_is_alphabet(const struct code *code, size_t i) {
        for (; index_link(code, i); i += 5)
                if (number_of(code, code_token(code, i + 2)) >= 10)
                        return true;
        return false;
}

static void look_at_chains(struct code *code, size_t i) {
        if (chr_link(code, i) && chain(code, i, chr_link) >= 6 && chr_chain_is_text(code, i))
                report(code, INDICATOR_OBFUSCATED, i);
        else if (index_link(code, i) && chain(code, i, index_link) >= 6 && index_chain_is_alphabet(code, i))
                report(code, INDICATOR_OBFUSCATED, i);
}

/* --- variables --- */

static size_t statement_end(struct code *code, size_t i) {
        size_t end = i + STATEMENT_MAX < code->n ? i + STATEMENT_MAX : code->n;
        for (; i < end && code->budget; i++, code->budget--)
                if (token_is_mark(&code->tokens[i], ';') || !code->tokens[i].is_php)
                        break;
        return i;
}

/* 'system', "base64_" . "decode": a name to be called later */
static bool builds_a_name(const struct code *code, size_t i, size_t end) {
        char text[65];
        size_t next = code_join(code, i, text);
        return next && next == end && keyword_is_suspicious(text, true);
}

/* The value itself is what a visitor sent, perhaps trimmed or with a word before; not something looked up by it. */
static bool is_taken_from_input(const struct code *code, size_t i, size_t end) {
        for (; i < end; i++) {
                const struct token *token = code_token(code, i);
                if (is_input(code, i))
                        return true;
                if (token->kind == TOKEN_WORD && !(token->word & PHP_PASS))
                        return code->view.data[token->offset] == '$' && !is_index(code, i + 1) &&
                               !token_is_mark(code_token(code, i + 1), '-') &&
                               (code_variable(code, token) & VARIABLE_INPUT);
                if (token->kind == TOKEN_MARK && !strchr("@(!.", token->mark))
                        return false;
        }
        return false;
}

static void look_at_assignment(struct code *code, size_t i) {
        size_t from = i + 2;
        if (token_is_mark(code_token(code, i + 1), '.') && token_is_mark(code_token(code, i + 2), '='))
                from = i + 3;
        else if (!token_is_mark(code_token(code, i + 1), '=') ||
                 token_is_mark(code_token(code, i + 2), '=') || token_is_mark(code_token(code, i + 2), '>'))
                return;
        size_t end = statement_end(code, from);
        struct summary in = summarise(code, from, end);
        uint32_t bits = in.variables & (VARIABLE_DECODED | VARIABLE_DUMP | VARIABLE_CARD);
        if (is_taken_from_input(code, from, end))
                bits |= VARIABLE_INPUT;
        if (in.words & PHP_DECODE)
                bits |= in.input ? VARIABLE_INPUT : VARIABLE_DECODED;
        if (builds_a_name(code, from, end) || chain(code, from, index_link) >= 4 ||
            chain(code, from, chr_link) >= 4)
                bits |= VARIABLE_BUILT;
        if (in.whole_form && (in.words & PHP_DUMP))
                bits |= VARIABLE_DUMP;
        if (card_fields_suffice(in.fields) && in.input)
                bits |= VARIABLE_CARD;
        code_set_variable(code, code_token(code, i), bits);
}

/* $f(…) where $f holds a visitor's word or a name built from pieces; $_GET['f'](…) */
static void look_at_dynamic_call(struct code *code, size_t i) {
        const struct token *token = code_token(code, i);
        if (token_is_mark(code_token(code, i + 1), '(')) {
                uint32_t bits = code_variable(code, token);
                if (bits & VARIABLE_INPUT)
                        report(code, INDICATOR_WEB_SHELL, i);
                else if (bits & (VARIABLE_BUILT | VARIABLE_DECODED))
                        report(code, INDICATOR_OBFUSCATED, i);
        } else if ((token->word & (PHP_INPUT | PHP_GLOBALS)) && is_index(code, i + 1)) {
                size_t close = i;
                while (is_index(code, close + 1) && close < i + 64)
                        close = code_close(code, close + 1);
                if (token_is_mark(code_token(code, close + 1), '('))
                        report(code, token->word & PHP_INPUT ? INDICATOR_WEB_SHELL : INDICATOR_OBFUSCATED, i);
        }
}

/* ${"\x47…"}, ("a" ^ "b") */
static void look_at_mark(struct code *code, size_t i) {
        const struct token *token = code_token(code, i), *next = code_token(code, i + 1);
        if (token->mark == '$' && token_is_mark(next, '{') && code_token(code, i + 2)->kind == TOKEN_STRING &&
            memchr(code->view.data + code_token(code, i + 2)->offset, '\\', code_token(code, i + 2)->size))
                report(code, INDICATOR_OBFUSCATED, i);
        if (token->mark == '^' && next->kind == TOKEN_STRING && i &&
            code_token(code, i - 1)->kind == TOKEN_STRING)
                code->mixed_strings++;
}

/* Labels of letters in both cases, as obfuscators make them; parser generators number theirs. */
static bool is_random_label(struct view label) {
        bool upper = false, lower = false;
        for (size_t i = 0; i < label.size; i++) {
                upper |= isupper(label.data[i]) != 0;
                lower |= islower(label.data[i]) != 0;
        }
        return upper && lower && label.size <= 8 && !memchr(label.data, '_', label.size);
}

static void look_at_word(struct code *code, size_t i, uint32_t word) {
        if (word & PHP_INCLUDE)
                look_at_include(code, i);
        if (word & PHP_GOTO)
                code->gotos += code_token(code, i + 1)->kind == TOKEN_WORD &&
                               is_random_label(token_text(code, code_token(code, i + 1)));
        if ((word & PHP_FUNCTION) && code_token(code, i + 1)->kind == TOKEN_WORD)
                code_forget_variables(code, VARIABLE_DECODED | VARIABLE_BUILT);
        if (!is_call(code, i))
                return;
        if (word & PHP_EVAL)
                look_at_eval(code, i);
        if (word & PHP_EXEC)
                look_at_exec(code, i);
        if (word & (PHP_CALLBACK | PHP_APPLY))
                look_at_callback(code, i, word);
        if (word & PHP_REPLACE)
                look_at_replace(code, i);
        if (word & (PHP_FILE | PHP_MAIL | PHP_NET))
                look_at_sink(code, i, word);
}

/* `…$_GET[…]…` */
static void look_at_shell(struct code *code, size_t i) {
        struct view text = token_text(code, code_token(code, i));
        if (view_find(text, 0, "$_", 2) != SIZE_MAX || view_find(text, 0, "{$_", 3) != SIZE_MAX)
                report(code, INDICATOR_WEB_SHELL, i);
}

void code_php(struct code *code, size_t i) {
        const struct token *token = &code->tokens[i];
        switch (token->kind) {
        case TOKEN_WORD:
                if (code->view.data[token->offset] == '$') {
                        look_at_assignment(code, i);
                        look_at_dynamic_call(code, i);
                } else if (token->word) {
                        look_at_word(code, i, token->word);
                }
                look_at_chains(code, i);
                break;
        case TOKEN_SHELL:
                look_at_shell(code, i);
                break;
        case TOKEN_MARK:
                look_at_mark(code, i);
                break;
        default:
                break;
        }
}
