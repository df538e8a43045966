#include "base/procfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"

#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD in the flags, field 9 */

static uint64_t tick_ns(void) {
        return NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
}

int procfs_decode_stat(const char *text, size_t size, struct procfs_stat *ret_stat) {
        /* The name in parentheses may hold anything, so count from the last one. */
        const char *end = size ? memrchr(text, ')', size) : NULL;
        char fields[1024], state;
        int parent, session, terminal;
        unsigned flags;
        unsigned long long ticks;
        size_t rest = end ? size - (size_t)(end + 1 - text) : 0;
        if (!end || rest >= sizeof(fields))
                return -EBADMSG;
        memcpy(fields, end + 1, rest);
        fields[rest] = '\0';
        if (sscanf(fields, " %c %d %*d %d %d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                   &state, &parent, &session, &terminal, &flags, &ticks) != 6 ||
            parent < 0 || ticks > UINT64_MAX / tick_ns())
                return -EBADMSG;
        *ret_stat = (struct procfs_stat){state,   parent,  flags & KERNEL_THREAD, ticks * tick_ns(),
                                         session, terminal};
        return 0;
}

int procfs_stat_path(const char *path, struct procfs_stat *ret_stat) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 8192);
        int r = io_read_file(-EBADF, path, &text);
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        return procfs_decode_stat(text.data, text.size, ret_stat);
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

void procfs_boot_id(char ret_boot[static PROCFS_BOOT_ID_SIZE]) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 65536);
        ret_boot[0] = '\0';
        if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text) == 0)
                snprintf(ret_boot, PROCFS_BOOT_ID_SIZE, "%.*s", (int)strcspn(text.data ?: "", "\n"),
                         text.data ?: "");
}
