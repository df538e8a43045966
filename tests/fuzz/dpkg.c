/* dpkg's files: the first byte chooses the decoder, the first line is the path, the rest is the file. */
#include <stdint.h>
#include <string.h>

#include "sense/packages/dpkg-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char path[256];
        const uint8_t *end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
        if (!end || (size_t)(end - data) > sizeof(path))
                return 0;
        size_t length = (size_t)(end - data) - 1;
        memcpy(path, data + 1, length);
        path[length] = '\0';
        const char *text = (const char *)end + 1;
        size_t text_size = size - length - 2;

        uint8_t md5[DPKG_MD5_BYTES];
        struct dpkg_diversion diversion;
        switch (data[0] % 4) {
        case 0:
                dpkg_list_has(text, text_size, path);
                break;
        case 1:
                dpkg_sums_find(text, text_size, path, md5);
                break;
        case 2: /* the path up to a blank is the package */
                if (strchr(path, ' '))
                        *strchr(path, ' ') = '\0';
                dpkg_conffile_find(text, text_size, path, path + strlen(path) + (length > strlen(path)), md5);
                break;
        default:
                dpkg_diversion_find(text, text_size, path, &diversion);
        }
        return 0;
}
