/* The type of any bytes under any name; a PHP tag is found within them and found again from there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detect/tamper/code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char name[64] = {0};
        size_t length = size ? data[0] % 24 : 0;
        if (size < length + 1)
                return 0;
        memcpy(name, data + 1, length);
        struct view view = {data + 1 + length, size - 1 - length};
        struct evidences evidences = {0};
        struct media media = media_of(name, view);
        check(media.type != NULL && media.has_php == (media.php_offset < view.size));
        if (media.has_php)
                check(media_find_php(view, media.php_offset, media_tag_place(&media)) == media.php_offset);
        media_assay(&media, name, view, &evidences);
        media.language = size & 1 ? LANGUAGE_APACHE : LANGUAGE_INI;
        settings_assay(&media, view, &evidences);
        return 0;
}
