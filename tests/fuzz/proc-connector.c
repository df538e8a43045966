/* Datagrams of the process connector. */
#include <stdint.h>

#include "sense/processes/connector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct process_event event;
        (void)process_event_decode(data, size, &event);
        return 0;
}
