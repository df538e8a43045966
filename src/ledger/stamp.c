#include "ledger/stamp.h"

static int64_t offset_ns(const struct clock *clock) {
        return (int64_t)(clock_wall_ns(clock) - clock_monotonic_ns(clock));
}

void stamp_init(struct stamp *stamp, const struct clock *clock, uint64_t last_ns) {
        uint64_t wall_ns = clock_wall_ns(clock);
        *stamp = (struct stamp){
                .clock = clock,
                .last_ns = last_ns,
                .last_monotonic_ns = clock_monotonic_ns(clock),
                .offset_ns = offset_ns(clock),
        };
        if (last_ns > wall_ns)
                stamp->offset_ns += (int64_t)(last_ns - wall_ns);
}

uint64_t stamp_next(struct stamp *stamp) {
        uint64_t wall_ns = clock_wall_ns(stamp->clock), monotonic_ns = clock_monotonic_ns(stamp->clock);
        if (wall_ns < stamp->last_ns)
                wall_ns = stamp->last_ns + (monotonic_ns - stamp->last_monotonic_ns);
        stamp->last_ns = wall_ns;
        stamp->last_monotonic_ns = monotonic_ns;
        return wall_ns;
}

int64_t stamp_step(struct stamp *stamp) {
        int64_t now = offset_ns(stamp->clock), step = now - stamp->offset_ns;
        if (step > -(int64_t)STAMP_STEP_NS && step < (int64_t)STAMP_STEP_NS)
                return 0; /* slewing adds up: the offset that counts stays the one seen last */
        stamp->offset_ns = now;
        return step;
}
