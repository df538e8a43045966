/*
 * Time comes in through a struct of functions, so that a test can set it.
 * All times are nanoseconds; wall time counts from the Unix epoch, UTC.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* Length of "2026-11-23T04:05:06.123456789Z" with its NUL. */
#define CLOCK_RFC3339_SIZE 31

struct clock {
        uint64_t (*wall_ns)(void *userdata);
        uint64_t (*monotonic_ns)(void *userdata);
        void *userdata;
};

extern const struct clock clock_system;

static inline uint64_t clock_wall_ns(const struct clock *clock) {
        return clock->wall_ns(clock->userdata);
}

static inline uint64_t clock_monotonic_ns(const struct clock *clock) {
        return clock->monotonic_ns(clock->userdata);
}

/* RFC 3339, UTC, nine fraction digits. */
void clock_format(uint64_t wall_ns, char ret_text[static CLOCK_RFC3339_SIZE]);

/*
 * Parses RFC 3339 with any offset and 0 to 9 fraction digits, "YYYY-MM-DD",
 * "YYYY-MM-DD HH:MM[:SS]" (both local time), or "@SECONDS".
 * Returns 0 or -EINVAL; `ret_wall_ns` is untouched on failure.
 */
int clock_parse(const char *text, uint64_t *ret_wall_ns);
