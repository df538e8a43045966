#include "respond/stop.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/procfs.h"
#include "respond/hold/hold.h"
#include "respond/hold/spare.h"

#define FREEZE_LOOKS_MAX 64 /* in a row: members that wake one another are killed as they are known */
#define CHASES_MAX       256
#define CHASE_BACK       16 /* process ids, back from the newest */
#define POLL_NS          (NS_PER_MS / 5)

struct member {
        pid_t pid;
        uint64_t start_ns;
        bool is_spared, is_killed;
        UT_hash_handle hh;
};

struct stop {
        const struct stop_request *request;
        struct sched_param was_param;
        int was_policy; /* of our thread; -1: as it was */
        struct stop_result *result;
        DIR *proc;
        uint64_t begin_ns, end_ns; /* monotonic */
        uint64_t root_start_ns;
        struct member *members;
        size_t n_vanished; /* in this look: gone before the signal came */
        size_t n_unlisted; /* in this look: past STOP_MEMBERS_MAX */
};

static uint64_t now_ns(void) {
        return clock_monotonic_ns(&clock_system);
}

static bool is_late(const struct stop *stop) {
        return now_ns() >= stop->end_ns;
}

static void stop_deinit(struct stop *stop) {
        struct member *member, *next;
        HASH_ITER (hh, stop->members, member, next) {
                HASH_DEL(stop->members, member);
                free(member);
        }
        if (stop->proc)
                closedir(stop->proc);
        if (stop->was_policy >= 0)
                sched_setscheduler(0, stop->was_policy, &stop->was_param);
}

/* Two hundred that do nothing but fork leave an ordinary thread half a per cent of the machine. */
static void go_ahead(struct stop *stop) {
        const struct sched_param ahead = {.sched_priority = 1};
        int policy = sched_getscheduler(0);
        if (policy >= 0 && sched_getparam(0, &stop->was_param) == 0 &&
            sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &ahead) == 0)
                stop->was_policy = policy;
}

static struct member *find(struct stop *stop, pid_t pid) {
        struct member *member;
        HASH_FIND(hh, stop->members, &pid, sizeof(pid), member);
        return member;
}

/* Also of a process whose first thread has ended before the others. */
static bool has_live_thread(pid_t pid, const struct procfs_stat *process) {
        return !strchr("ZX", process->state) || hold_count_threads(pid, "ZX") > 0;
}

static bool lives(const struct member *member) {
        struct procfs_stat process;
        return procfs_stat(member->pid, &process) == 0 &&
               procfs_same_start(process.start_ns, member->start_ns) &&
               has_live_thread(member->pid, &process);
}

static bool is_root(const struct stop *stop, pid_t pid, const struct procfs_stat *process) {
        return pid == stop->request->root && stop->root_start_ns &&
               procfs_same_start(process->start_ns, stop->root_start_ns);
}

static bool is_child_of_member(struct stop *stop, const struct procfs_stat *process) {
        struct procfs_stat parent;
        const struct member *member = find(stop, process->parent);
        return member && !member->is_spared && procfs_stat(member->pid, &parent) == 0 &&
               procfs_same_start(parent.start_ns, member->start_ns);
}

static bool belongs(struct stop *stop, pid_t pid, const struct procfs_stat *process) {
        const struct stop_request *request = stop->request;
        return is_root(stop, pid, process) || is_child_of_member(stop, process) ||
               (request->belongs && request->belongs(pid, request->userdata));
}

static bool is_spared(const struct stop *stop, pid_t pid, const struct procfs_stat *process) {
        uint64_t since_ns;
        if (pid <= 1 || pid == getpid() || spare_is_ours(pid) || spare_is_above_us(pid))
                return true;
        if (!spare_serves(pid, &since_ns))
                return false;
        if (is_root(stop, pid, process))
                return !stop->request->by_hand;
        return !stop->root_start_ns || since_ns <= stop->root_start_ns;
}

/* 1: a further process of the tree is stopped now; 0: none. */
static int consider(struct stop *stop, pid_t pid) {
        struct procfs_stat process;
        if (procfs_stat(pid, &process) < 0 || process.is_kernel_thread)
                return 0;
        struct member *member = find(stop, pid);
        if (member && procfs_same_start(member->start_ns, process.start_ns))
                return 0;
        if (!belongs(stop, pid, &process) || !has_live_thread(pid, &process))
                return 0;
        bool spared = is_spared(stop, pid, &process);
        if (!spared) {
                int r = hold_signal(pid, process.start_ns, SIGSTOP);
                if (r == HOLD_GONE)
                        stop->n_vanished++;
                if (r != HOLD_DONE)
                        return 0;
        }
        if (!member && HASH_COUNT(stop->members) >= STOP_MEMBERS_MAX) {
                stop->n_unlisted += !spared && hold_signal(pid, process.start_ns, SIGKILL) == HOLD_DONE;
                return 0;
        }
        if (member) { /* its process id is another's now, so it has gone */
                stop->result->n_killed += member->is_killed;
                HASH_DEL(stop->members, member);
        } else if (!(member = malloc(sizeof(*member)))) {
                return -ENOMEM;
        }
        *member = (struct member){.pid = pid, .start_ns = process.start_ns, .is_spared = spared};
        HASH_ADD(hh, stop->members, pid, sizeof(member->pid), member);
        return !spared;
}

/* The process id given last; 0: not known. */
static pid_t newest(void) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 4096);
        if (io_read_file(-EBADF, "/proc/loadavg", &text) < 0)
                return 0;
        const char *last = memrchr(text.data, ' ', text.size);
        return last ? (pid_t)strtol(last + 1, NULL, 10) : 0;
}

/* Who forks and ends at once is elsewhere when a look over all of /proc comes to him: among the newest. */
static int chase(struct stop *stop) {
        int n = 0;
        for (unsigned i = 0; i < CHASES_MAX && !is_late(stop) && n == 0; i++) {
                pid_t last = newest();
                for (pid_t pid = last; n >= 0 && pid > 1 && pid > last - CHASE_BACK; pid--) {
                        int r = consider(stop, pid);
                        n = r < 0 ? r : n + r;
                }
        }
        return n;
}

/* One look over all processes. How many further ones were found and stopped, or a negative errno. */
static int look(struct stop *stop) {
        int n = 0;
        stop->result->n_looks++;
        stop->n_vanished = stop->n_unlisted = 0;
        rewinddir(stop->proc);
        for (struct dirent *entry; (entry = readdir(stop->proc));) {
                char *end;
                long pid = strtol(entry->d_name, &end, 10);
                int r = *end || pid <= 0 ? 0 : consider(stop, (pid_t)pid);
                if (r < 0)
                        return r;
                n += r;
        }
        if (stop->n_vanished) {
                int r = chase(stop);
                return r < 0 ? r : n + (int)stop->n_unlisted + (r ?: 1);
        }
        return n + (int)stop->n_unlisted;
}

/* Until a look finds nobody. 1: so it is; 0: they wake one another, or it takes too long. */
static int freeze(struct stop *stop) {
        for (unsigned i = 0; i < FREEZE_LOOKS_MAX && !is_late(stop); i++) {
                int n = look(stop);
                if (n <= 0)
                        return n < 0 ? n : 1;
        }
        return 0;
}

static void kill_all(struct stop *stop) {
        struct member *member, *next;
        HASH_ITER (hh, stop->members, member, next)
                if (!member->is_spared && hold_signal(member->pid, member->start_ns, SIGKILL) == HOLD_DONE)
                        member->is_killed = true;
}

/* Forgets those that have gone. How many have not. */
static size_t forget_gone(struct stop *stop) {
        size_t n = 0;
        struct member *member, *next;
        HASH_ITER (hh, stop->members, member, next) {
                if (member->is_spared)
                        continue;
                if (lives(member)) {
                        n++;
                        continue;
                }
                stop->result->n_killed += member->is_killed;
                HASH_DEL(stop->members, member);
                free(member);
        }
        return n;
}

static size_t wait_gone(struct stop *stop) {
        size_t n;
        while ((n = forget_gone(stop)) && !is_late(stop))
                nanosleep(&(struct timespec){.tv_nsec = (long)POLL_NS}, NULL);
        return n;
}

/* Freezes and kills once. 1: nobody of the tree is left; 0: somebody is. */
static int round_of(struct stop *stop) {
        int r = freeze(stop);
        if (r < 0)
                return r;
        if (r > 0 && !stop->result->frozen_ns)
                stop->result->frozen_ns = now_ns() - stop->begin_ns;
        kill_all(stop);
        if (wait_gone(stop))
                return 0;
        stop->result->gone_ns = now_ns() - stop->begin_ns;
        for (unsigned i = 0; i < 2; i++) {
                r = look(stop);
                if (r)
                        return r < 0 ? r : 0;
        }
        return 1;
}

static int run(struct stop *stop) {
        /* Before anything else: the first look takes milliseconds. */
        int r = consider(stop, stop->request->root);
        while (r >= 0) {
                r = round_of(stop);
                if (r > 0)
                        stop->result->verified = true;
                if (r != 0 || is_late(stop))
                        break;
        }
        kill_all(stop); /* what a late look stopped is not left standing */
        stop->result->n_left = forget_gone(stop);
        stop->result->n_spared = HASH_COUNT(stop->members) - stop->result->n_left;
        return r < 0 ? r : 0;
}

int stop_tree(const struct stop_request *request, struct stop_result *ret_result) {
        struct procfs_stat root;
        *ret_result = (struct stop_result){0};
        _cleanup_(stop_deinit) struct stop stop = {.was_policy = -1,
                                                   .request = request,
                                                   .result = ret_result,
                                                   .root_start_ns = request->start_ns,
                                                   .begin_ns = now_ns()};
        stop.end_ns = stop.begin_ns + (request->wait_ms ?: STOP_WAIT_MS) * NS_PER_MS;
        bool is_there = procfs_stat(request->root, &root) == 0;
        if (is_there && !stop.root_start_ns)
                stop.root_start_ns = root.start_ns;
        if (request->root <= 1 || (is_there && is_root(&stop, request->root, &root) &&
                                   (root.is_kernel_thread || is_spared(&stop, request->root, &root))))
                return -EPERM;
        stop.proc = opendir("/proc");
        go_ahead(&stop);
        return stop.proc ? run(&stop) : -errno;
}
