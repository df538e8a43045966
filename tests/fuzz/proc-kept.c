/* Slots of processes that a predecessor left: decoded, and a table made of many of them. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/slots.h"
#include "sense/processes/entries.h"
#include "sense/processes/kept.h"

#define N 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct kept kept;
        (void)kept_decode(data, size, &kept);

        /* Each 64 bytes are the start of a slot, so that small inputs make many. */
        int fd = slots_open("fuzz", N);
        struct slots slots;
        if (fd < 0 || slots_init(&slots, fd, 0) < 0)
                return 0;
        for (size_t at = 0; at < size && at < N * 64; at += 64) {
                uint32_t slot = slots_take(&slots);
                memcpy(slots_at(&slots, slot), data + at, size - at < 64 ? size - at : 64);
                slots_publish(&slots, slot);
        }
        slots_deinit(&slots);
        struct entries *entries = entries_new_kept(fd);
        if (entries)
                entries_trim(entries, UINT64_MAX / 2);
        entries_free(entries);
        close(fd);
        return 0;
}
