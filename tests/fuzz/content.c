/*
 * The whole assay of any bytes under any name, with and without what stood before: an object,
 * every string of it valid, nothing reported as new that stood there already.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detect/tamper/content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

static json_t *assay(const char *name, enum zone zone, const uint8_t *before, size_t before_size,
                     const uint8_t *after, size_t after_size) {
        struct content_request request = {.name = name,
                                          .zone = zone,
                                          .before = before,
                                          .before_size = before_size,
                                          .after = after,
                                          .after_size = after_size,
                                          .want_diff = true};
        json_t *content = content_assay(NULL, &request);
        check(content && json_is_array(json_object_get(content, "indicators")) &&
              json_is_array(json_object_get(content, "hosts")) &&
              json_is_array(json_object_get(content, "new_hosts")));
        char *text = json_dumps(content, 0);
        check(text != NULL);
        free(text);
        return content;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const names[] = {"a.php", "a.js",  "a.html", "a.jpg", "a.svg",     ".htaccess",
                                            "a.txt", "a.log", "a.twig", "a",     ".user.ini", "a.php.png"};
        if (size < 3)
                return 0;
        const char *name = names[data[0] % (sizeof(names) / sizeof(*names))];
        enum zone zone = data[1] % (ZONE_IGNORED + 1);
        size_t split = 3 + (size_t)data[2] * (size - 3) / 255;
        json_decref(assay(name, zone, NULL, 0, data + 3, size - 3));
        json_decref(assay(name, zone, data + 3, split - 3, data + split, size - split));

        json_t *content = assay(name, zone, data + 3, size - 3, data + 3, size - 3);
        check(size == 3 || zone == ZONE_DATA || json_array_size(json_object_get(content, "indicators")) == 0);
        check(json_array_size(json_object_get(content, "new_hosts")) == 0 &&
              !json_object_get(content, "diff"));
        json_decref(content);
        json_decref(content_hosts(name, data + 3, size - 3));
        return 0;
}
