/* Words that matter, and the names of a card's fields. Lookups cost one hash; most words are none. */
#include <ctype.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "detect/tamper/code.h"

#define WORD_MAX   32
#define SLOT_COUNT 512

struct keyword {
        const char *text;
        uint32_t bits;
};

static const struct keyword php_keywords[] = {
        {"eval", PHP_EVAL},
        {"assert", PHP_EVAL},
        {"create_function", PHP_EVAL},
        {"system", PHP_EXEC},
        {"exec", PHP_EXEC},
        {"shell_exec", PHP_EXEC},
        {"passthru", PHP_EXEC},
        {"popen", PHP_EXEC},
        {"proc_open", PHP_EXEC},
        {"pcntl_exec", PHP_EXEC},
        {"call_user_func", PHP_CALLBACK},
        {"call_user_func_array", PHP_CALLBACK},
        {"array_map", PHP_CALLBACK},
        {"array_filter", PHP_APPLY},
        {"array_walk", PHP_APPLY},
        {"array_reduce", PHP_APPLY},
        {"usort", PHP_APPLY},
        {"uasort", PHP_APPLY},
        {"uksort", PHP_APPLY},
        {"register_shutdown_function", PHP_CALLBACK},
        {"ob_start", PHP_CALLBACK},
        {"forward_static_call", PHP_CALLBACK},
        {"iterator_apply", PHP_APPLY},
        {"include", PHP_INCLUDE},
        {"include_once", PHP_INCLUDE},
        {"require", PHP_INCLUDE},
        {"require_once", PHP_INCLUDE},
        {"base64_decode", PHP_DECODE},
        {"gzinflate", PHP_DECODE},
        {"gzuncompress", PHP_DECODE},
        {"gzdecode", PHP_DECODE},
        {"str_rot13", PHP_DECODE},
        {"strrev", PHP_DECODE},
        {"rawurldecode", PHP_UNESCAPE},
        {"urldecode", PHP_UNESCAPE},
        {"hex2bin", PHP_DECODE},
        {"convert_uudecode", PHP_DECODE},
        {"openssl_decrypt", PHP_DECODE},
        {"mcrypt_decrypt", PHP_DECODE},
        {"$_get", PHP_INPUT},
        {"$_post", PHP_INPUT | PHP_POSTED},
        {"$_request", PHP_INPUT | PHP_POSTED},
        {"$_cookie", PHP_INPUT},
        {"$_server", PHP_SERVER},
        {"getallheaders", PHP_INPUT},
        {"apache_request_headers", PHP_INPUT},
        {"$http_raw_post_data", PHP_INPUT | PHP_POSTED},
        {"$globals", PHP_GLOBALS},
        {"file_put_contents", PHP_FILE},
        {"fwrite", PHP_FILE},
        {"fputs", PHP_FILE},
        {"error_log", PHP_FILE},
        {"mail", PHP_MAIL},
        {"mb_send_mail", PHP_MAIL},
        {"wp_mail", PHP_MAIL},
        {"imap_mail", PHP_MAIL},
        {"curl_init", PHP_NET},
        {"curl_setopt", PHP_NET},
        {"curl_setopt_array", PHP_NET},
        {"file_get_contents", PHP_NET},
        {"stream_context_create", PHP_NET},
        {"fopen", PHP_NET},
        {"readfile", PHP_NET},
        {"fsockopen", PHP_NET | PHP_CONNECT},
        {"pfsockopen", PHP_NET | PHP_CONNECT},
        {"stream_socket_client", PHP_NET | PHP_CONNECT},
        {"chr", PHP_CHR},
        {"json_encode", PHP_DUMP},
        {"serialize", PHP_DUMP},
        {"print_r", PHP_DUMP},
        {"var_export", PHP_DUMP},
        {"http_build_query", PHP_DUMP},
        {"implode", PHP_DUMP},
        {"join", PHP_DUMP},
        {"base64_encode", PHP_DUMP},
        {"escapeshellarg", PHP_CLEAN},
        {"escapeshellcmd", PHP_CLEAN},
        {"intval", PHP_CLEAN},
        {"absint", PHP_CLEAN},
        {"preg_replace", PHP_REPLACE},
        {"exit", PHP_EXIT},
        {"die", PHP_EXIT},
        {"goto", PHP_GOTO},
        {"$request", PHP_REQUEST},
        {"all", PHP_ALL},
        {"getcontent", PHP_ALL},
        {"function", PHP_FUNCTION},
        {"fn", PHP_FUNCTION},
        {"isset", PHP_PASS},
        {"empty", PHP_PASS},
        {"trim", PHP_PASS},
        {"stripslashes", PHP_PASS},
        {"wp_unslash", PHP_PASS},
        {"strval", PHP_PASS},
        {"array_key_exists", PHP_PASS},
};

static const struct keyword js_keywords[] = {
        {"eval", JS_EVAL},           {"execScript", JS_EVAL},
        {"Function", JS_FUNCTION},   {"setTimeout", JS_TIMER},
        {"setInterval", JS_TIMER},   {"atob", JS_DECODE},
        {"unescape", JS_DECODE},     {"decodeURIComponent", JS_DECODE},
        {"decodeURI", JS_DECODE},    {"fromCharCode", JS_CHAR},
        {"fromCodePoint", JS_CHAR},  {"value", JS_READ},
        {"FormData", JS_READ},       {"serialize", JS_READ},
        {"serializeArray", JS_READ}, {"val", JS_READ},
        {"fetch", JS_SEND},          {"XMLHttpRequest", JS_SEND},
        {"sendBeacon", JS_SEND},     {"WebSocket", JS_SEND},
        {"Image", JS_SEND},          {"EventSource", JS_SEND},
        {"ajax", JS_SEND},           {"importScripts", JS_SEND},
        {"btoa", JS_ENCODE},         {"encodeURIComponent", JS_ENCODE},
        {"stringify", JS_ENCODE},    {"escape", JS_ENCODE},
        {"return", JS_OPERATOR},     {"typeof", JS_OPERATOR},
        {"case", JS_OPERATOR},       {"in", JS_OPERATOR},
        {"of", JS_OPERATOR},         {"delete", JS_OPERATOR},
        {"void", JS_OPERATOR},       {"throw", JS_OPERATOR},
        {"new", JS_OPERATOR},        {"else", JS_OPERATOR},
        {"do", JS_OPERATOR},         {"instanceof", JS_OPERATOR},
};

struct table {
        const struct keyword *slots[SLOT_COUNT];
        bool filled;
};

static uint32_t hash_word(const char *word, size_t size) {
        uint32_t hash = 2166136261u;
        for (size_t i = 0; i < size; i++)
                hash = (hash ^ (unsigned char)word[i]) * 16777619u;
        return hash;
}

static const struct keyword **find_slot(struct table *table, const char *word, size_t size) {
        for (uint32_t i = hash_word(word, size) % SLOT_COUNT;; i = (i + 1) % SLOT_COUNT) {
                const struct keyword *keyword = table->slots[i];
                if (!keyword || (strlen(keyword->text) == size && !memcmp(keyword->text, word, size)))
                        return &table->slots[i];
        }
}

static uint32_t look_up(struct table *table, const struct keyword *keywords, size_t n, const char *word,
                        size_t size) {
        if (!table->filled) {
                for (size_t i = 0; i < n; i++)
                        *find_slot(table, keywords[i].text, strlen(keywords[i].text)) = &keywords[i];
                table->filled = true;
        }
        const struct keyword *keyword = *find_slot(table, word, size);
        return keyword ? keyword->bits : 0;
}

/* PHP's functions are the same in any case. */
uint32_t keyword_php(struct view word) {
        static struct table table;
        char lower[WORD_MAX];
        if (word.size < 2 || word.size >= WORD_MAX)
                return 0;
        for (size_t i = 0; i < word.size; i++)
                lower[i] = (char)tolower(word.data[i]);
        return look_up(&table, php_keywords, ARRAY_SIZE(php_keywords), lower, word.size);
}

uint32_t keyword_js(struct view word) {
        static struct table table;
        if (word.size < 2 || word.size >= WORD_MAX)
                return 0;
        return look_up(&table, js_keywords, ARRAY_SIZE(js_keywords), (const char *)word.data, word.size);
}

bool keyword_is_suspicious(const char *name, bool is_php) {
        static const char *const js_names[] = {
                "atob",           "constructor",    "fromCharCode",     "charCodeAt",
                "sendBeacon",     "WebSocket",      "unescape",         "Function",
                "eval",           "XMLHttpRequest", "createElement",    "appendChild",
                "getElementById", "innerHTML",      "querySelectorAll", "addEventListener"};
        struct view view = {(const unsigned char *)name, strlen(name)};
        if (is_php)
                return (keyword_php(view) & (PHP_EVAL | PHP_EXEC | PHP_DECODE)) ||
                       !strcmp(name, "file_put_contents") || !strcmp(name, "_POST") ||
                       !strcmp(name, "_REQUEST");
        for (size_t i = 0; i < ARRAY_SIZE(js_names); i++)
                if (!strcmp(name, js_names[i]))
                        return true;
        return false;
}

/* --- a card's fields --- */

/* Letters in order, whatever separates or capitalises them: "card_number", "cardNumber", "card-number". */
static const struct {
        const char *text;
        unsigned field;
} field_names[] = {
        {"cardnum", CARD_NUMBER},
        {"cardno", CARD_NUMBER},
        {"ccnum", CARD_NUMBER},
        {"ccno", CARD_NUMBER},
        {"creditno", CARD_NUMBER},
        {"creditnum", CARD_NUMBER},
        {"cvv", CARD_CODE},
        {"cvc", CARD_CODE},
        {"cvn", CARD_CODE},
        {"cardcode", CARD_CODE},
        {"cardsec", CARD_CODE},
        {"cccid", CARD_CODE},
        {"cccode", CARD_CODE},
        {"cccsc", CARD_CODE},
        {"securitycode", CARD_CODE},
        {"securitycd", CARD_CODE},
        {"verificationvalue", CARD_CODE},
        {"expmonth", CARD_EXPIRY},
        {"expyear", CARD_EXPIRY},
        {"expdate", CARD_EXPIRY},
        {"expirydate", CARD_EXPIRY},
        {"expirymonth", CARD_EXPIRY},
        {"expiryyear", CARD_EXPIRY},
        {"expiremonth", CARD_EXPIRY},
        {"expireyear", CARD_EXPIRY},
        {"expirationmonth", CARD_EXPIRY},
        {"expirationdate", CARD_EXPIRY},
        {"cardexp", CARD_EXPIRY},
        {"ccexp", CARD_EXPIRY},
        {"cardlimit", CARD_EXPIRY},
        {"cardvalid", CARD_EXPIRY},
        {"cardholder", CARD_HOLDER},
        {"cardname", CARD_HOLDER},
        {"ccname", CARD_HOLDER},
        {"ccowner", CARD_HOLDER},
        {"holdername", CARD_HOLDER},
        {"nameoncard", CARD_HOLDER},
};

static bool is_separator(unsigned char c) {
        return c == '_' || c == '-' || c == '.' || c == ' ' || c == '[' || c == ']';
}

static bool matches_letters(struct view name, size_t at, const char *letters) {
        for (; *letters; letters++, at++) {
                for (unsigned i = 0; i < 2 && at < name.size && is_separator(name.data[at]); i++)
                        at++;
                if (at >= name.size || tolower(name.data[at]) != *letters)
                        return false;
        }
        return true;
}

/* Two letters that begin one of the names: most places are turned away here. */
static bool may_begin(unsigned char a, unsigned char b) {
        switch (a | 0x20) {
        case 'c':
                b |= 0x20;
                return b == 'a' || b == 'c' || b == 'r' || b == 'v';
        case 'e':
                return (b | 0x20) == 'x';
        case 's':
        case 'v':
                return (b | 0x20) == 'e';
        case 'h':
                return (b | 0x20) == 'o';
        case 'n':
                return (b | 0x20) == 'a';
        default:
                return false;
        }
}

unsigned card_fields(struct view name) {
        unsigned fields = 0;
        name = view_head(name, 512);
        for (size_t i = 0; i + 3 <= name.size; i++) {
                unsigned char c = (unsigned char)tolower(name.data[i]);
                if (!may_begin(c, name.data[i + 1]))
                        continue;
                for (size_t f = 0; f < ARRAY_SIZE(field_names); f++)
                        if (field_names[f].text[0] == (char)c &&
                            matches_letters(name, i, field_names[f].text))
                                fields |= field_names[f].field;
        }
        return fields;
}

bool card_fields_suffice(unsigned fields) {
        return (fields & (CARD_NUMBER | CARD_CODE)) && (fields & (fields - 1));
}
