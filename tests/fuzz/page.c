/* A finding of any shape, printed for people: one head, indented lines below it, and no control character. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_page(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char)text[i];
                if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
                        abort();
                if (c == '\n' && i + 1 < size && text[i + 1] != '\n' && strncmp(&text[i + 1], "  ", 2))
                        abort();
        }
}

static void print(void (*function)(FILE *file, const json_t *finding, bool colour), const json_t *finding) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        if (!file)
                return;
        function(file, finding, false);
        fclose(file);
        check_page(text, size);
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_t *finding = json_loadb((const char *)data, size, 0, NULL);
        if (json_is_object(finding)) {
                print(finding_print, finding);
                print(finding_print_full, finding);
        }
        json_decref(finding);
        return 0;
}
