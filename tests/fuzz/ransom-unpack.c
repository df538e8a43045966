/* The decoders on any bytes: bounded output, no more input taken than there is, and equal means equal. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "detect/ransom/form.h"
#include "detect/ransom/note.h"
#include "detect/ransom/spelling.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

static void unpack_as(enum packing packing, struct view packed, bool is_cut) {
        static unsigned char head[UNPACK_HEAD_BYTES];
        struct unpack_task task = {.packing = packing, .packed = packed, .is_cut = is_cut, .head = head};
        struct unpacked unpacked, again;
        check(unpack(&task, &unpacked) == 0);
        check(unpacked.n_used <= packed.size && unpacked.n_head <= UNPACK_HEAD_BYTES &&
              unpacked.n_head <= unpacked.size && unpacked.size < UNPACK_BYTES_MAX + ((uint64_t)1 << 20));
        check(!unpacked.is_equal && (unpacked.is_sound || !unpacked.is_whole));
        if (!unpacked.is_sound || unpacked.n_head < unpacked.size || !unpacked.size)
                return;
        unsigned char *copy = malloc(unpacked.n_head);
        check(copy != NULL);
        memcpy(copy, head, unpacked.n_head);
        task.expected = (struct view){copy, unpacked.n_head};
        task.expected_bytes = unpacked.size;
        check(unpack(&task, &again) == 0 && again.is_equal);
        copy[unpacked.n_head / 2] ^= 1;
        check(unpack(&task, &again) == 0 && !again.is_equal);
        free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        unsigned char out[1000];
        if (size < 1)
                return 0;
        struct view view = {data + 1, size - 1};
        struct form_file file = {.head = view, .size_bytes = view.size + (data[0] & 8 ? 5000 : 0)};
        struct form_check form_check;
        unpack_as(PACKING_GZIP + data[0] % 6u, view, data[0] & 8);
        form_examine(form_of(view), &file, &form_check);
        check(form_check.unpacked < FORM_UNPACK_MAX + UNPACK_BYTES_MAX + ((uint64_t)1 << 20));
        check(spelling_base64(view, out, sizeof(out)) <= sizeof(out));
        check(spelling_hex(view, out, sizeof(out)) <= sizeof(out));
        check(spelling_ascii85(view, out, sizeof(out)) <= sizeof(out));
        spelling_is_typed(view);
        check(note_parts(view) <= 4);
        return 0;
}
