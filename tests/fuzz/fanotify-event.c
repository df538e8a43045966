/* fanotify's bytes, as they also stand in the memory that outlives a killed reader. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sense/files/notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct notice notice;
        size_t used;
        while (notice_decode(data, size, &notice, &used) > 0) {
                if (!used || used > size)
                        abort();
                if (notice.name && (!*notice.name || strchr(notice.name, '/')))
                        abort();
                if (notice.directory)
                        file_key_hash(notice.directory, notice.directory_size);
                if (notice.object && notice.object_size > FILE_KEY_BYTES_MAX)
                        abort();
                data += used;
                size -= used;
        }
        return 0;
}
