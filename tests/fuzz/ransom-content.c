/* The comparison of any two files: it comes to an end, within its bounds, and says what can be sent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detect/ransom/content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

static struct ransom_signs compare(bool has_before, struct view before, struct view after, bool is_cut) {
        struct ransom_request request = {
                .has_before = has_before,
                .before = {before, before.size, before.size + (is_cut ? 1000000 : 0)},
                .after = {after, after.size, after.size + (is_cut ? 1000000 : 0)},
                .seed = after.size * 7919};
        struct ransom_signs signs, back;
        ransom_compare(&request, &signs);
        check(signs.suspicion <= 100 && signs.changed_permille <= 1000 &&
              signs.n_reasons <= RANSOM_REASONS_MAX);
        json_t *json = ransom_signs_encode(&signs);
        check(ransom_signs_decode(json, &back) == 0);
        check(back.suspicion == signs.suspicion && back.n_reasons == signs.n_reasons);
        json_decref(json);
        return signs;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const struct view none = {(const unsigned char *)"", 0};
        if (size < 2)
                return 0;
        size_t split = 2 + (size_t)data[0] * (size - 2) / 255;
        struct view before = {data + 2, split - 2}, after = {data + split, size - split};
        compare(true, before, after, data[1] & 1);
        compare(true, after, before, data[1] & 1);
        compare(false, none, after, data[1] & 1);
        struct ransom_signs same = compare(true, after, after, data[1] & 1);
        check(same.suspicion == 0 && same.changed_permille == 0);
        return 0;
}
