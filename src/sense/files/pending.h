/*
 * Events read and not yet worked off, in memory that outlives the process.
 *
 *   byte 0     magic (8), done (8): offset in the data up to which events were worked off
 *   byte 64    scratch: what the place's owner notes for its successor
 *   byte 4096  the data of one read(2): whole events, then zeroes
 *
 * The memory is a memfd that the parent holds. Zeroes end the data, not a size: a process killed
 * between the kernel's copy and its next instruction leaves no gap. The event being worked
 * off at the kill is worked off again by the successor.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PENDING_DATA_AT       4096
#define PENDING_DATA_BYTES    ((size_t)64 << 10)
#define PENDING_BYTES         (PENDING_DATA_AT + PENDING_DATA_BYTES)
#define PENDING_SCRATCH_AT    64
#define PENDING_SCRATCH_BYTES (PENDING_DATA_AT - PENDING_SCRATCH_AT)

/* One memory has a place for each group. */
enum pending_place {
        PENDING_WATCH,
        PENDING_GATE,
        PENDING_PLACES,
};

struct pending {
        uint8_t *map;
};

/* In the parent: the memory, empty. Returns the descriptor or a negative errno. */
int pending_open(void);

/* `pending_fd` -1: private memory. Returns 0 or a negative errno (-EBADMSG: not such a memory). */
int pending_init(struct pending *pending, int pending_fd, enum pending_place place);
void pending_deinit(struct pending *pending);

/* PENDING_SCRATCH_BYTES for the owner of the place, zero at first. */
void *pending_scratch(const struct pending *pending);

/* What is left to work off; never past the data. */
const uint8_t *pending_data(const struct pending *pending, size_t *ret_size);

/* `used` bytes at pending_data() are worked off. */
void pending_advance(struct pending *pending, size_t used);

/* Everything is worked off: clears it and reads on. Bytes read, 0 when nothing is ready, or negative. */
int pending_fill(struct pending *pending, int fd);
