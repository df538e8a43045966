/* A web server's configuration: the first byte chooses nginx or Apache. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/webroots.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check_root(const char *path, unsigned line, void *userdata) {
        unsigned *n = userdata;
        if (path[0] != '/' || strlen(path) >= PATH_MAX || strpbrk(path, "$%*") || !line ||
            ++*n > WEBROOTS_MAX)
                abort();
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        unsigned n = 0;
        if (size)
                webroots_parse(data[0] & 1 ? WEB_APACHE : WEB_NGINX, (const char *)data + 1, size - 1,
                               check_root, &n);
        return 0;
}
