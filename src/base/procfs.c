#include "base/procfs.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"

#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD in the flags, field 9 */

static uint64_t tick_ns(void) {
        return NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
}

int procfs_stat_path(const char *path, struct procfs_stat *ret_stat) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 8192);
        int r = io_read_file(-EBADF, path, &text);
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        /* The name in parentheses may hold anything, so count from the last one. */
        const char *p = text.data ? strrchr(text.data, ')') : NULL;
        char state;
        int parent;
        unsigned flags;
        unsigned long long ticks;
        if (!p ||
            sscanf(p + 1, " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                   &state, &parent, &flags, &ticks) != 4)
                return -EBADMSG;
        *ret_stat = (struct procfs_stat){state, parent, flags & KERNEL_THREAD, ticks * tick_ns()};
        return 0;
}

int procfs_stat(pid_t pid, struct procfs_stat *ret_stat) {
        char path[40];
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        return procfs_stat_path(path, ret_stat);
}

bool procfs_same_start(uint64_t a_ns, uint64_t b_ns) {
        uint64_t apart = a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns;
        return apart <= 2 * tick_ns();
}

bool procfs_is_alive(pid_t pid, uint64_t start_ns) {
        struct procfs_stat now;
        return procfs_stat(pid, &now) == 0 && !strchr("ZX", now.state) &&
               (!start_ns || procfs_same_start(now.start_ns, start_ns));
}
