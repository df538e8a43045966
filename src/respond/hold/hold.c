#include "respond/hold/hold.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/procfs.h"
#include "respond/hold/spare.h"

/* A process taken hold of by descriptor, after its identity was checked. */
struct target {
        int fd;
        pid_t pid;
        uint64_t start_ns;
};

static void target_deinit(struct target *target) {
        fd_closep(&target->fd);
}

/* Returns HOLD_DONE with `ret_target` open, HOLD_GONE, HOLD_REFUSED or an errno. */
static int target_open(pid_t pid, uint64_t start_ns, struct target *ret_target) {
        if (pid <= 1 || pid == getpid())
                return HOLD_REFUSED;
        _cleanup_(fd_closep) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0)
                return errno == ESRCH || errno == EINVAL ? HOLD_GONE : -errno;

        /* Read after the descriptor was opened: when it still shows the start time that was seen, then the
         * descriptor is that process, or one that has gone and takes no signal. */
        struct procfs_stat line;
        int r = procfs_stat(pid, &line);
        if (r < 0)
                return r == -ESRCH ? HOLD_GONE : r;
        if (start_ns && !procfs_same_start(line.start_ns, start_ns))
                return HOLD_GONE;
        if (line.is_kernel_thread || spare_is_ours(pid))
                return HOLD_REFUSED;
        *ret_target = (struct target){fd_steal(&fd), pid, line.start_ns};
        return HOLD_DONE;
}

static int target_signal(const struct target *target, int signal) {
        if (syscall(SYS_pidfd_send_signal, target->fd, signal, NULL, 0) == 0)
                return HOLD_DONE;
        return errno == ESRCH ? HOLD_GONE : -errno;
}

int hold_signal(pid_t pid, uint64_t start_ns, int signal) {
        _cleanup_(target_deinit) struct target target = {.fd = -EBADF};
        int r = target_open(pid, start_ns, &target);
        return r == HOLD_DONE ? target_signal(&target, signal) : r;
}

int hold_count_threads(pid_t pid, const char *without) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
        DIR *directory = opendir(path);
        if (!directory)
                return errno == ENOENT ? -ESRCH : -errno;
        int n = 0;
        for (struct dirent *entry; (entry = readdir(directory));) {
                struct procfs_stat line;
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", (int)pid, entry->d_name);
                if (procfs_stat_path(path, &line) == 0 && !strchr(without, line.state))
                        n++;
        }
        closedir(directory);
        return n;
}

/* 1: every thread that lives is stopped; 0: one is not. */
static int threads_are_stopped(pid_t pid) {
        int n = hold_count_threads(pid, "TtZX");
        return n < 0 ? n : n == 0;
}

/* Polls for the threads to be stopped (or running) until `wait_ms` have passed. */
static int wait_stopped(const struct target *target, int wanted, unsigned wait_ms) {
        for (unsigned waited = 0;; waited++) {
                int stopped = threads_are_stopped(target->pid);
                if (stopped == -ESRCH)
                        return HOLD_GONE;
                if (stopped == wanted)
                        return HOLD_DONE;
                if (waited >= wait_ms)
                        return HOLD_UNVERIFIED;
                nanosleep(&(struct timespec){.tv_nsec = (long)NS_PER_MS}, NULL);
        }
}

static int stop_or_go(pid_t pid, uint64_t start_ns, int signal, unsigned wait_ms) {
        _cleanup_(target_deinit) struct target target = {.fd = -EBADF};
        int r = target_open(pid, start_ns, &target);
        if (r == HOLD_DONE)
                r = target_signal(&target, signal);
        return r == HOLD_DONE ? wait_stopped(&target, signal == SIGSTOP, wait_ms) : r;
}

int hold_process(pid_t pid, uint64_t start_ns, unsigned wait_ms) {
        return stop_or_go(pid, start_ns, SIGSTOP, wait_ms);
}

int hold_resume(pid_t pid, uint64_t start_ns, unsigned wait_ms) {
        return stop_or_go(pid, start_ns, SIGCONT, wait_ms);
}

int hold_kill(pid_t pid, uint64_t start_ns, unsigned wait_ms) {
        _cleanup_(target_deinit) struct target target = {.fd = -EBADF};
        int r = target_open(pid, start_ns, &target);
        if (r == HOLD_DONE)
                r = target_signal(&target, SIGKILL);
        if (r != HOLD_DONE)
                return r;
        /* A pidfd is readable once the process has ended (pidfd_open(2)). */
        struct pollfd ended = {.fd = target.fd, .events = POLLIN};
        return poll(&ended, 1, (int)wait_ms) > 0 ? HOLD_DONE : HOLD_UNVERIFIED;
}

int hold_is_held(pid_t pid, uint64_t start_ns) {
        struct procfs_stat line;
        int r = procfs_stat(pid, &line);
        if (r < 0)
                return r;
        if (start_ns && !procfs_same_start(line.start_ns, start_ns))
                return -ESRCH;
        return threads_are_stopped(pid);
}

static bool has_open(int process_fd, dev_t device, ino_t inode) {
        int fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory) {
                fd_closep(&fd);
                return false;
        }
        bool found = false;
        for (struct dirent *entry; !found && (entry = readdir(directory));) {
                struct stat st;
                found = entry->d_name[0] != '.' && fstatat(dirfd(directory), entry->d_name, &st, 0) == 0 &&
                        st.st_dev == device && st.st_ino == inode;
        }
        closedir(directory);
        return found;
}

static bool has_mapped_writable(int process_fd, dev_t device, ino_t inode) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 16 << 20);
        if (io_read_file(process_fd, "maps", &text) < 0)
                return false;
        char *save = NULL;
        for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char mode[8];
                unsigned major_number, minor_number;
                unsigned long long number;
                if (sscanf(line, "%*x-%*x %7s %*x %x:%x %llu", mode, &major_number, &minor_number, &number) ==
                            4 &&
                    mode[1] == 'w' && mode[3] == 's' && number == inode && major_number == major(device) &&
                    minor_number == minor(device))
                        return true;
        }
        return false;
}

int hold_find_openers(dev_t device, ino_t inode, pid_t *pids, size_t n_max) {
        DIR *directory = opendir("/proc");
        if (!directory)
                return -errno;
        int n = 0;
        for (struct dirent *entry; (entry = readdir(directory));) {
                pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
                if (pid <= 0 || pid == getpid())
                        continue;
                _cleanup_(fd_closep) int fd =
                        openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0 || (!has_open(fd, device, inode) && !has_mapped_writable(fd, device, inode)))
                        continue;
                if ((size_t)n < n_max)
                        pids[n] = pid;
                n++;
        }
        closedir(directory);
        return n;
}

const char *hold_outcome_name(enum hold_outcome outcome) {
        static const char *const names[] = {"done", "unverified", "gone", "refused"};
        return (size_t)outcome < ARRAY_SIZE(names) ? names[outcome] : "unknown";
}
