/* A diff of any two texts: bounded, valid UTF-8, without a NUL, and nothing for equal texts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "detect/tamper/diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size < 2)
                return 0;
        size_t limit = data[0] * 64u, split = 1 + (size_t)data[1] * (size - 1) / 256;
        struct view before = {data + 1, split - 1}, after = {data + split, size - split};
        _cleanup_(buffer_deinit) struct buffer out = {0}, same = {0};
        int r = diff_unified("name", data[0] & 1, before, after, limit, &out);
        check(r == 0 || r == 1);
        check(out.size <= limit && text_is_utf8(out.data ?: "", out.size) &&
              !memchr(out.data ?: "", 0, out.size));
        check(!(before.size == after.size && !memcmp(before.data, after.data, after.size)) || out.size == 0);
        check(diff_unified("name", true, after, after, limit, &same) == 0 && same.size == 0);
        return 0;
}
