/* Servers named in any string or markup: lower case, with a dot or digits alone, never more than the bound. */
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
        struct view view = {data, size};
        struct evidences evidences = {0};
        struct hosts *hosts = hosts_new();
        hosts_add_string(hosts, view, HOST_CODE);
        hosts_add_url(hosts, view, HOST_SCRIPT);
        hosts_add_name(hosts, view, HOST_CODE);
        html_assay(view, hosts, &evidences);
        check(hosts->n <= HOSTS_MAX);
        for (size_t i = 0; i < hosts->n; i++) {
                const char *name = hosts->items[i].name;
                check(strlen(name) >= 4 && strlen(name) <= 253 && hosts->items[i].kinds);
                check(strpbrk(name, "/ \"'<>ABCDEFGHIJKLMNOPQRSTUVWXYZ\n") == NULL);
        }
        json_t *unknown = hosts_encode(hosts, ~(unsigned)HOST_LISTED, hosts);
        check(json_array_size(unknown) == 0);
        json_decref(unknown);
        hosts_free(hosts);
        return 0;
}
