/*
 * Programs as tokens: PHP between its tags, JavaScript in files and in <script>. A window of tokens moves
 * over the file; each place in it is looked at once, with a bounded look ahead, so that time is linear and
 * memory constant. Comments and layout do not hide anything: they are no tokens.
 *
 * Private to detect/tamper. lexer.c makes tokens, keywords.c knows words, code.c moves the
 * window, code-php.c and code-js.c know what is bad, html.c reads markup.
 */
#pragma once

#include "detect/tamper/evidence.h"
#include "detect/tamper/hosts.h"
#include "detect/tamper/media.h"

/* --- tokens --- */

enum token_kind {
        TOKEN_END,
        TOKEN_WORD, /* names and keywords; PHP variables with their '$' */
        TOKEN_STRING,
        TOKEN_SHELL, /* PHP's backticks */
        TOKEN_NUMBER,
        TOKEN_MARK,    /* one character of punctuation */
        TOKEN_PATTERN, /* JavaScript regular expression */
};

struct token {
        uint32_t offset, size; /* a string's content, without its quotes */
        uint32_t word;         /* what keywords.c says of it, or 0 */
        uint8_t kind;
        bool is_php;
        unsigned char mark; /* the character, or a string's quote */
};

struct lexer {
        struct view view;
        size_t at;
        enum { MODE_MARKUP, MODE_PHP, MODE_JS } mode, outer;
        bool in_element; /* JS between <script> and </script> */
        bool may_hold_php, is_program;
        unsigned lost_heredocs;
        size_t lost_steps;
        struct token last;
};

void lexer_init(struct lexer *lexer, struct view view, const struct media *media);
/* False at the end. */
bool lexer_next(struct lexer *lexer, struct token *ret_token);

/* --- words --- */

enum php_word {
        PHP_EVAL = 1 << 0,
        PHP_EXEC = 1 << 1,
        PHP_CALLBACK = 1 << 2, /* calls its first argument */
        PHP_INCLUDE = 1 << 3,
        PHP_DECODE = 1 << 4,
        PHP_INPUT = 1 << 5,  /* what a visitor sent */
        PHP_POSTED = 1 << 6, /* …as a form */
        PHP_SERVER = 1 << 7,
        PHP_FILE = 1 << 8, /* writes a file */
        PHP_MAIL = 1 << 9,
        PHP_NET = 1 << 10,
        PHP_CHR = 1 << 11,
        PHP_DUMP = 1 << 12, /* makes one string of many fields */
        PHP_CLEAN = 1 << 13,
        PHP_REPLACE = 1 << 14,
        PHP_EXIT = 1 << 15,
        PHP_GOTO = 1 << 16,
        PHP_GLOBALS = 1 << 17,
        PHP_REQUEST = 1 << 18, /* a framework's request object */
        PHP_ALL = 1 << 19,     /* …and its method that gives everything */
        PHP_FUNCTION = 1 << 20,
        PHP_CONNECT = 1 << 21,  /* first argument is a host */
        PHP_APPLY = 1 << 22,    /* calls its second argument */
        PHP_UNESCAPE = 1 << 24, /* decodes what browsers encode: hides nothing by itself */
        PHP_PASS = 1 << 23,     /* gives back, or asks for, what it is given */
};

enum js_word {
        JS_EVAL = 1 << 0,
        JS_TIMER = 1 << 1,
        JS_DECODE = 1 << 2,
        JS_CHAR = 1 << 3,
        JS_READ = 1 << 4, /* reads what a visitor typed */
        JS_SEND = 1 << 5,
        JS_ENCODE = 1 << 6,
        JS_FUNCTION = 1 << 7, /* the constructor */
        JS_OPERATOR = 1 << 8, /* a regular expression may follow */
};

uint32_t keyword_php(struct view word);
uint32_t keyword_js(struct view word);

/* Names of things that hide: "base64_decode", "eval" …, whole and in lower case. */
bool keyword_is_suspicious(const char *name, bool is_php);

/* Which fields of a card a name speaks of: bits of enum card_field. */
enum card_field {
        CARD_NUMBER = 1 << 0,
        CARD_CODE = 1 << 1,
        CARD_EXPIRY = 1 << 2,
        CARD_HOLDER = 1 << 3,
};
unsigned card_fields(struct view name);
/* Number or code, and one thing more. */
bool card_fields_suffice(unsigned fields);

/* --- the window --- */

#define VARIABLES_MAX 768

enum variable_bit {
        VARIABLE_INPUT = 1 << 0,   /* holds what a visitor sent */
        VARIABLE_DECODED = 1 << 1, /* holds what was encoded */
        VARIABLE_BUILT = 1 << 2,   /* holds a name put together from pieces */
        VARIABLE_DUMP = 1 << 3,    /* holds all that a visitor sent */
        VARIABLE_CARD = 1 << 4,    /* holds a card's fields */
};

struct code {
        struct view view;
        struct evidences *evidences;
        struct hosts *hosts;
        struct token *tokens; /* the window */
        size_t n;
        size_t budget; /* tokens that may still be looked ahead at */

        struct variable {
                uint32_t hash, bits;
        } variables[1024];
        size_t n_variables;

        uint32_t php_words, js_words; /* seen anywhere */
        unsigned js_fields;           /* enum card_field in scripts */
        unsigned strange_names, gotos, long_literals, mixed_strings;
        unsigned bracket_run; /* marks of "[]()!+" since the last other token */
        uint32_t first_strange, first_long, first_field;
        bool has_php, exits_first;
};

extern const struct token token_end;

static inline const struct token *code_token(const struct code *code, size_t i) {
        return i < code->n ? &code->tokens[i] : &token_end;
}

static inline bool token_is_mark(const struct token *token, unsigned char mark) {
        return token->kind == TOKEN_MARK && token->mark == mark;
}

static inline struct view token_text(const struct code *code, const struct token *token) {
        return (struct view){code->view.data + token->offset, token->size};
}

/* Index of the mark that closes the bracket at `open`, or of where looking ahead ends. */
size_t code_close(struct code *code, size_t open);
void code_report(struct code *code, enum indicator indicator, uint32_t offset);
uint32_t code_variable(const struct code *code, const struct token *token);
/* Forgets some bits of every variable: another function begins. */
void code_forget_variables(struct code *code, uint32_t bits);
void code_set_variable(struct code *code, const struct token *token, uint32_t bits);

/* Strings of either language: hidden text, escapes, addresses; names put together from pieces. */
void code_look_at_string(struct code *code, size_t i);
/* Joins "ev" . "al" from i on; returns the index behind the last piece, ret_text at most 64 bytes. */
size_t code_join(const struct code *code, size_t i, char ret_text[static 65]);

/* Each looks at the place i. */
void code_php(struct code *code, size_t i);
void code_js(struct code *code, size_t i);

/* Is the PHP string at `i` an element of a list that only names it? (code-list.c) */
bool code_is_listed(const struct code *code, size_t i);

/* Places that load, include, send or print a page's scripts and forms, by their words. */
unsigned code_count_uses(struct view view);

/* Markup: hosts and forms. */
void html_assay(struct view view, struct hosts *hosts, struct evidences *evidences);

/* Settings of the web server and of PHP: .htaccess, .user.ini. */
void settings_assay(const struct media *media, struct view view, struct evidences *evidences);

/*
 * The whole: hosts are added, evidence counted; ret_has_php says whether the file holds PHP that does
 * something. Returns 0 or -ENOMEM.
 */
int code_assay(const struct media *media, struct view view, struct hosts *hosts, struct evidences *evidences,
               bool *ret_has_php);
