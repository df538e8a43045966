/* The file of what was granted. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "register/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static struct trust items[TRUSTS_MAX], again[TRUSTS_MAX];
        int n = trusts_decode((const char *)data, size, items);
        if (n < 0)
                return 0;
        char *text = trusts_encode(items, (size_t)n);
        if (!text || trusts_decode(text, strlen(text), again) != n)
                abort();
        for (int i = 0; i < n; i++) {
                if (items[i].end_ns <= items[i].begin_ns ||
                    items[i].end_ns - items[i].begin_ns > TRUST_TIME_MAX_NS || !*items[i].reason ||
                    strcmp(items[i].uid, again[i].uid) || strcmp(items[i].program, again[i].program) ||
                    !digest_equal(&items[i].image, &again[i].image))
                        abort();
                trust_deinit(&items[i]);
                trust_deinit(&again[i]);
        }
        free(text);
        return 0;
}
