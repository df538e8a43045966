/* A profile of any bytes: a profile, or an error with a place; any path has a zone. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detect/tamper/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const paths[] = {"", "a", "a/b.php", "wp-content/uploads/x/y.jpg",
                                            "a/a/a/a/a/a/a/b"};
        struct profile *profile = NULL;
        char *error = NULL;
        int r = profile_parse("x", (const char *)data, size, &profile, &error);
        if (r < 0) {
                check(!profile && r == -EBADMSG && error && !strncmp(error, "x.yaml:", 7));
        } else {
                check(profile && !error);
                for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
                        check(profile_zone(profile, paths[i]) <= ZONE_IGNORED);
                        profile_expects_php(profile, paths[i]);
                }
        }
        profile_free(profile);
        free(error);
        return 0;
}
