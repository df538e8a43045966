/* /proc/self/mountinfo: its mount points are named by whoever mounts. */
#include <stdint.h>
#include <stdlib.h>

#include "sense/files/mounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct mounts mounts = {0};
        if (mounts_decode((const char *)data, size, &mounts) < 0)
                return 0;
        for (size_t i = 0; i < mounts.n; i++)
                if (!mounts.items[i].point || !mounts_find(&mounts, mounts.items[i].id))
                        abort();
        mounts_deinit(&mounts);
        return 0;
}
