/* Tokens of any bytes lie in order within them and the lexer comes to an end; every rule survives them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detect/tamper/code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

static void read_tokens(struct view view, const struct media *media) {
        struct lexer lexer;
        struct token token;
        size_t end = 0, n = 0;
        lexer_init(&lexer, view, media);
        while (lexer_next(&lexer, &token)) {
                check(token.kind != TOKEN_END && token.offset >= end &&
                      token.offset + (size_t)token.size <= view.size);
                end = token.offset + token.size;
                check(++n <= view.size);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const names[] = {"a.php", "a.js", "a.html", "a.svg"};
        if (size < 1)
                return 0;
        struct view view = {data + 1, size - 1};
        struct media media = media_of(names[data[0] & 3], view);
        struct evidences evidences = {0};
        struct hosts *hosts = hosts_new();
        bool has_php;
        read_tokens(view, &media);
        check(code_assay(&media, view, hosts, &evidences, &has_php) == 0);
        hosts_free(hosts);
        return 0;
}
