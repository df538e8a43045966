/* The canonical form of extended attributes, as it comes back from a vault. */
#include <stdint.h>

#include "event/xattr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct xattr attribute;
        size_t offset = 0;
        while (xattr_next(data, size, &offset, &attribute) > 0)
                ;
        return 0;
}
