/*
 * Slots of one size in memory that outlives the process: a memfd that the parent holds, so that a successor
 * finds what a killed process had in hand.
 *
 *   byte 0      magic, slot size and number (slots.c), `high`: no slot from here on was ever in use
 *   byte 4096   the slots: in use or not (4), unused (4), SLOT_BYTES_MAX of the owner's
 *
 * A slot is in use from slots_publish() on: a process killed while it fills one leaves it free. Nothing that
 * a predecessor left is trusted: slots of another shape are all free, and their owner checks what stands in each.
 * Memory is given back when the last slot is. Not locked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOT_BYTES     512
#define SLOT_BYTES_MAX (SLOT_BYTES - 8) /* that are the owner's */
#define SLOT_NONE      UINT32_MAX

struct slots {
        uint8_t *map;
        uint32_t n, n_used;
        uint64_t *taken;    /* one bit a slot */
        uint64_t n_refused; /* there was no room */
};

/* In the parent: `n` free slots. Returns the descriptor or a negative errno. */
int slots_open(const char *name, uint32_t n);

/* Is it a memory of slots, by its head? What stands in the slots is another matter. */
bool slots_fit(int fd);

/* `fd` -1: private memory of `n` slots. Else as many as are there. Returns 0 or a negative errno. */
int slots_init(struct slots *slots, int fd, uint32_t n);
void slots_deinit(struct slots *slots);

/* A free slot, SLOT_NONE when there is none. It stays free for a successor until it is published. */
uint32_t slots_take(struct slots *slots);
void slots_publish(struct slots *slots, uint32_t slot);

/* The owner may write it anew, and a kill in between leaves it free. */
void slots_withdraw(struct slots *slots, uint32_t slot);

/* SLOT_NONE does nothing. */
void slots_give(struct slots *slots, uint32_t slot);

/* SLOT_BYTES_MAX bytes, aligned to 8. */
void *slots_at(const struct slots *slots, uint32_t slot);

/* The first slot in use from `slot` on; SLOT_NONE: no more. */
uint32_t slots_next(const struct slots *slots, uint32_t slot);
