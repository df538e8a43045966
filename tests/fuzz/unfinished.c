/* Slots of what a predecessor had in hand. */
#include <stdint.h>
#include <string.h>

#include "roles/sentry/unfinished.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct unfinished_record record, again;
        uint8_t bytes[1024];
        if (unfinished_decode(data, size, &record) < 0 ||
            unfinished_encode(&record, bytes, sizeof(bytes)) < 0)
                return 0;
        if (unfinished_decode(bytes, sizeof(bytes), &again) < 0 || strcmp(record.path, again.path))
                __builtin_trap();
        return 0;
}
