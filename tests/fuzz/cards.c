/* Card numbers and records: every number found lies within the text; a mask leaves none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detect/tamper/cards.h"
#include "detect/tamper/mask.h"
#include "detect/tamper/records.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct view view = {data, size};
        struct evidences evidences = {0};
        for (size_t i = 0; i < size; i++) {
                size_t n = card_at(view, i);
                check(n == 0 || (n >= 13 && n <= 23 && i + n <= size));
        }
        cards_assay(view, &evidences);
        records_assay(view_head(view, size / 2), view, &evidences);
        records_assay((struct view){data, 0}, view, &evidences);

        _cleanup_(buffer_deinit) struct buffer masked = {0};
        check(mask_append(&masked, view) == 0);
        struct view shown = {(const unsigned char *)masked.data, masked.size};
        for (size_t i = 0; i < shown.size; i++)
                check(card_at(shown, i) == 0);
        return 0;
}
