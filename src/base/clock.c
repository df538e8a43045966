#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t system_ns(clockid_t id) {
        struct timespec now;
        clock_gettime(id, &now);
        return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t system_wall_ns(void *userdata) {
        (void)userdata;
        return system_ns(CLOCK_REALTIME);
}

static uint64_t system_monotonic_ns(void *userdata) {
        (void)userdata;
        return system_ns(CLOCK_BOOTTIME);
}

const struct clock clock_system = {.wall_ns = system_wall_ns, .monotonic_ns = system_monotonic_ns};

void clock_format(uint64_t wall_ns, char ret_text[static CLOCK_RFC3339_SIZE]) {
        time_t seconds = (time_t)(wall_ns / NS_PER_S);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        size_t length = strftime(ret_text, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(ret_text + length, CLOCK_RFC3339_SIZE - length, ".%09uZ", (unsigned)(wall_ns % NS_PER_S));
}

static int fraction_parse(const char **text, uint64_t *ret_ns) {
        uint64_t ns = 0, unit = NS_PER_S / 10;
        const char *p = *text;
        if (*p == '.') {
                p++;
                if (!isdigit((unsigned char)*p))
                        return -EINVAL;
                for (; isdigit((unsigned char)*p); p++, unit /= 10)
                        ns += (uint64_t)(*p - '0') * unit;
        }
        *text = p;
        *ret_ns = ns;
        return 0;
}

static int offset_parse(const char *text, long *ret_seconds) {
        int hours, minutes, used = 0;
        if (!strcmp(text, "Z") || !strcmp(text, "z")) {
                *ret_seconds = 0;
                return 0;
        }
        if ((*text != '+' && *text != '-') || sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 ||
            text[1 + used] || hours > 23 || minutes > 59)
                return -EINVAL;
        *ret_seconds = (*text == '-' ? -1L : 1L) * (hours * 3600L + minutes * 60L);
        return 0;
}

static int finish(time_t seconds, uint64_t ns, uint64_t *ret_wall_ns) {
        if (seconds < 0 || (uint64_t)seconds > UINT64_MAX / NS_PER_S - 1)
                return -EINVAL;
        *ret_wall_ns = (uint64_t)seconds * NS_PER_S + ns;
        return 0;
}

int clock_parse(const char *text, uint64_t *ret_wall_ns) {
        if (*text == '@') {
                char *end;
                errno = 0;
                long long seconds = strtoll(text + 1, &end, 10);
                if (errno || end == text + 1 || *end || seconds < 0)
                        return -EINVAL;
                return finish((time_t)seconds, 0, ret_wall_ns);
        }

        struct tm tm = {.tm_isdst = -1};
        const char *rest = strptime(text, "%Y-%m-%d", &tm);
        if (!rest)
                return -EINVAL;
        if (*rest == '\0')
                return finish(mktime(&tm), 0, ret_wall_ns);
        if (*rest != 'T' && *rest != 't' && *rest != ' ')
                return -EINVAL;

        const char *clock_part = rest + 1;
        rest = strptime(clock_part, "%H:%M:%S", &tm);
        if (!rest) {
                tm.tm_sec = 0;
                rest = strptime(clock_part, "%H:%M", &tm);
        }
        uint64_t ns;
        if (!rest || fraction_parse(&rest, &ns) < 0)
                return -EINVAL;
        if (*rest == '\0')
                return finish(mktime(&tm), ns, ret_wall_ns);

        long offset;
        if (offset_parse(rest, &offset) < 0)
                return -EINVAL;
        return finish(timegm(&tm) - offset, ns, ret_wall_ns);
}
