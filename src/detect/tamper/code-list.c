/*
 * Addresses in PHP's lists: a menu, the shop's pages elsewhere. An element of an array that is assigned or
 * returned is only named there; what calls a function, is printed, joined to other text, or is named
 * like something that is loaded or sent to, is used.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "detect/tamper/code.h"

#define REACH      400 /* tokens back */
#define NAME_BYTES 64

static bool has_word(struct view text, const char *const *words) {
        char lower[NAME_BYTES];
        size_t size = text.size < sizeof(lower) - 1 ? text.size : sizeof(lower) - 1;
        for (size_t i = 0; i < size; i++)
                lower[i] = (char)tolower(text.data[i]);
        lower[size] = '\0';
        for (; *words; words++)
                if (strstr(lower, *words))
                        return true;
        return false;
}

/* 'script' => …, $endpoints = […] */
static bool names_a_use(const struct code *code, const struct token *token) {
        static const char *const words[] = {
                "script", "src", "js",    "action",  "endpoint", "api",  "hook", "frame", "import", "include",
                "beacon", "cdn", "asset", "gateway", "pay",      "post", "send", "load",  NULL};
        return (token->kind == TOKEN_STRING || token->kind == TOKEN_WORD) &&
               has_word(token_text(code, token), words);
}

static bool is_program(struct view address) {
        static const char *const ends[] = {".js", ".mjs", ".php", ".wasm", NULL};
        if (address.size > NAME_BYTES - 1)
                return has_word(address, ends) ||
                       has_word(view_from(address, address.size - NAME_BYTES + 1), ends);
        return has_word(address, ends);
}

static bool is_arrow(const struct code *code, size_t i) {
        return i && token_is_mark(&code->tokens[i], '>') && token_is_mark(&code->tokens[i - 1], '=');
}

/* Place of the bracket that is open before `i`; SIZE_MAX: none within reach. */
static size_t find_opener(const struct code *code, size_t i) {
        unsigned depth = 0;
        for (size_t n = 0; i-- > 0 && n < REACH; n++) {
                const struct token *token = &code->tokens[i];
                if (token->kind != TOKEN_MARK)
                        continue;
                if (strchr(")]}", token->mark))
                        depth++;
                else if (strchr("([{", token->mark) && depth-- == 0)
                        return i;
                else if (token->mark == ';' && !depth)
                        break;
        }
        return SIZE_MAX;
}

static bool is_word(const struct code *code, size_t i, const char *text) {
        const struct token *token = &code->tokens[i];
        return token->kind == TOKEN_WORD && token->size == strlen(text) &&
               !memcmp(code->view.data + token->offset, text, token->size);
}

/* Where an array begins whose bracket is at `i`: at "array" or the bracket; SIZE_MAX: it is none. */
static size_t array_start(const struct code *code, size_t i) {
        if (!i || code->tokens[i].mark == '{')
                return SIZE_MAX;
        if (code->tokens[i].mark == '(')
                return is_word(code, i - 1, "array") ? i - 1 : SIZE_MAX;
        const struct token *before = &code->tokens[i - 1];
        bool is_index = (before->kind == TOKEN_WORD && !is_word(code, i - 1, "return")) ||
                        token_is_mark(before, ']') || token_is_mark(before, ')');
        return is_index ? SIZE_MAX : i;
}

bool code_is_listed(const struct code *code, size_t i) {
        const struct token *token = code_token(code, i), *next = code_token(code, i + 1);
        if (!token->is_php || is_program(token_text(code, token)) ||
            !(token_is_mark(next, ',') || token_is_mark(next, ']') || token_is_mark(next, ')')))
                return false;
        for (size_t at = i; at;) {
                bool has_key = is_arrow(code, at - 1);
                if (has_key && (at < 3 || names_a_use(code, &code->tokens[at - 3])))
                        return false;
                if (!has_key &&
                    !strchr("[(,", code->tokens[at - 1].kind == TOKEN_MARK ? code->tokens[at - 1].mark : '?'))
                        return false;
                size_t opener = find_opener(code, at);
                at = opener == SIZE_MAX ? SIZE_MAX : array_start(code, opener);
                if (at == SIZE_MAX || !at)
                        return false;
                if (is_word(code, at - 1, "return"))
                        return true;
                if (token_is_mark(&code->tokens[at - 1], '='))
                        return at >= 2 && !names_a_use(code, &code->tokens[at - 2]);
        }
        return false;
}

unsigned code_count_uses(struct view view) {
        static const char *const uses[] = {"<script",   "<iframe",           "<form",        "<embed",
                                           ".src",      "action=",           "fetch(",       "curl_",
                                           "include",   "require",           "fopen",        "fsock",
                                           "stream_",   "wp_remote",         "enqueue",      "header(",
                                           "location.", "location=",         "import(",      "request(",
                                           "socket",    "file_get_contents", "eval(",        "copy(",
                                           "->get(",    "->post(",           "createelement"};
        unsigned n = 0;
        for (size_t at = 0; at < view.size; at++)
                for (size_t i = 0; i < ARRAY_SIZE(uses); i++)
                        n += tolower(view.data[at]) == uses[i][0] && view.size - at >= strlen(uses[i]) &&
                             !strncasecmp((const char *)view.data + at, uses[i], strlen(uses[i]));
        return n;
}
