/*
 * Times that never go back, from a clock that may. While the wall clock stands behind what was
 * given out already, time goes on by the monotonic clock from there. Pure but for the clock.
 */
#pragma once

#include "base/clock.h"

/* A wall clock that moved by more than this against the monotonic one was set. */
#define STAMP_STEP_NS (2 * NS_PER_S)

struct stamp {
        const struct clock *clock;
        uint64_t last_ns;           /* given out last */
        uint64_t last_monotonic_ns; /* and when */
        int64_t offset_ns;          /* wall minus monotonic clock, seen last */
};

/* `last_ns`: the last time the log already holds, 0 for none. */
void stamp_init(struct stamp *stamp, const struct clock *clock, uint64_t last_ns);

/* The time for the next entry. */
uint64_t stamp_next(struct stamp *stamp);

/*
 * How far the wall clock was set since this was asked last (negative: back), or 0. At first after
 * stamp_init() a clock that is behind `last_ns` counts as set back.
 */
int64_t stamp_step(struct stamp *stamp);
