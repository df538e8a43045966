/* What is bad in JavaScript: code made from what was encoded, and a card's fields on their way out. */
#include <stdlib.h>

#include "detect/tamper/code.h"

#define CHARS_MIN    8
#define CHARS_MAX    512
#define BRACKETS_MIN 300

static void report(struct code *code, enum indicator indicator, size_t i) {
        code_report(code, indicator, code_token(code, i)->offset);
}

static uint32_t words_in(struct code *code, size_t from, size_t to) {
        uint32_t words = 0;
        for (size_t i = from; i < to && i < code->n && code->budget; i++, code->budget--)
                words |= code->tokens[i].word;
        return words;
}

/* eval(function(p,a,c,k,e,d){…}): the packer of the 2000s, today used to hide. */
static bool is_packer(const struct code *code, size_t i) {
        static const char letters[] = "packe";
        struct view name = token_text(code, code_token(code, i + 2));
        if (!view_starts(name, "function") || !token_is_mark(code_token(code, i + 3), '('))
                return false;
        for (size_t k = 0; letters[k]; k++) {
                const struct token *letter = code_token(code, i + 4 + 2 * k);
                if (letter->size != 1 || code->view.data[letter->offset] != (unsigned char)letters[k])
                        return false;
        }
        return true;
}

static void look_at_eval(struct code *code, size_t i, uint32_t word) {
        if (!token_is_mark(code_token(code, i + 1), '('))
                return;
        size_t close = code_close(code, i + 1);
        if (word & JS_TIMER) /* only what is given as text is run */
                close = code_token(code, i + 2)->word & (JS_DECODE | JS_CHAR) ? close : i + 2;
        if (is_packer(code, i) || (words_in(code, i + 2, close) & (JS_DECODE | JS_CHAR)))
                report(code, INDICATOR_OBFUSCATED, i);
}

/* String.fromCharCode(104,116,116,112,…): text as numbers. */
static void look_at_chars(struct code *code, size_t i) {
        unsigned char text[CHARS_MAX];
        size_t n = 0;
        for (size_t k = i + 2; token_is_mark(code_token(code, i + 1), '(') && n < CHARS_MAX; k += 2) {
                const struct token *number = code_token(code, k);
                char digits[12] = {0};
                if (number->kind != TOKEN_NUMBER || number->size >= sizeof(digits))
                        break;
                memcpy(digits, code->view.data + number->offset, number->size);
                long value = strtol(digits, NULL, 0);
                if (value < 0x20 || value > 0x7e)
                        return;
                text[n++] = (unsigned char)value;
                if (!token_is_mark(code_token(code, k + 1), ','))
                        break;
        }
        if (n < CHARS_MIN)
                return;
        report(code, INDICATOR_OBFUSCATED, i);
        hosts_add_string(code->hosts, (struct view){text, n}, HOST_HIDDEN);
}

static void look_at_fields(struct code *code, size_t i) {
        const struct token *token = &code->tokens[i];
        unsigned fields = token->size >= 3 ? card_fields(token_text(code, token)) : 0;
        if (fields && !code->js_fields)
                code->first_field = token->offset;
        code->js_fields |= fields;
}

/* [][(![]+[])[+[]]…: a script written with brackets alone. */
static void look_at_brackets(struct code *code, size_t i) {
        const struct token *token = &code->tokens[i];
        code->bracket_run =
                token->kind == TOKEN_MARK && strchr("[]()!+", token->mark) ? code->bracket_run + 1 : 0;
        if (code->bracket_run == BRACKETS_MIN)
                report(code, INDICATOR_OBFUSCATED, i);
}

void code_js(struct code *code, size_t i) {
        const struct token *token = &code->tokens[i];
        look_at_brackets(code, i);
        if (token->kind != TOKEN_WORD && token->kind != TOKEN_STRING)
                return;
        look_at_fields(code, i);
        if (token->word & (JS_EVAL | JS_FUNCTION | JS_TIMER))
                look_at_eval(code, i, token->word);
        if (token->word & JS_CHAR)
                look_at_chars(code, i);
}
