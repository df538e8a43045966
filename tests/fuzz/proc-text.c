/* Texts of /proc/PID: the first byte chooses stat, syscall or cmdline. A process chooses its name and arguments. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/procfs.h"
#include "base/secrets.h"
#include "sense/files/intent.h"
#include "sense/processes/proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void join(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);
        if (!text)
                abort();
        memcpy(text, data, size);
        text[size] = '\0';
        size_t kept = secrets_mask_arguments(text, size);
        if (kept > size)
                abort();
        memset(text + kept, 0, size - kept);
        proc_join_arguments(text, size);
        size_t length = strlen(text);
        for (size_t i = length; i < size; i++)
                if (text[i])
                        abort();
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct procfs_stat stat;
        struct syscall_registers registers;
        uint64_t how;
        if (!size)
                return 0;
        switch (data[0] % 3) {
        case 0:
                (void)procfs_decode_stat((const char *)data + 1, size - 1, &stat);
                break;
        case 1:
                if (syscall_decode((const char *)data + 1, size - 1, &registers) == 0) {
                        struct intent intent = intent_decode(&registers, &how);
                        if (!intent.is_write && !intent.is_certain)
                                abort();
                }
                break;
        default:
                join(data + 1, size - 1);
        }
        return 0;
}
