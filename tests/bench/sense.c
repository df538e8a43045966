/*
 * What the senses cost and how fast they are, on the file system of a directory:
 *   sense DIRECTORY
 * Prints one line a figure. Ratios are of medians of runs that alternate with and without the watch. They
 * are of the working program's own processor time, so that what else the machine does is not in
 * them; the reader's own is given beside them.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "sense/files/watch.h"
#include "sense/processes/table.h"

#define ROUNDS    15
#define N_WRITES  40000
#define N_FILES   4000
#define N_SINGLE  1000
#define N_BURST   12000
#define N_PROGRAM 1000

struct shared {
        _Atomic uint64_t n_seen, seen_ns, written_ns, marker_ns, should_end, is_ready, reader_ns;
};

static struct shared *shared;
static char base[4096];

static uint64_t now_ns(void) {
        return clock_monotonic_ns(&clock_system);
}

static uint64_t cpu_ns(clockid_t clock) {
        struct timespec time;
        clock_gettime(clock, &time);
        return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
        return x < y ? -1 : x > y;
}

static uint64_t quantile(uint64_t *values, size_t n, double q) {
        qsort(values, n, sizeof(*values), compare);
        return values[(size_t)((double)(n - 1) * q)];
}

static const char *path_in(const char *directory, const char *name) {
        static char path[8192];
        snprintf(path, sizeof(path), "%s/%s/%s", base, directory, name);
        return path;
}

static void take(const struct file_event *event, void *userdata) {
        (void)userdata;
        uint64_t seen_ns = now_ns();
        if (event->path && strstr(event->path, "/marker"))
                shared->marker_ns = seen_ns;
        if (event->what & FILE_MODIFIED)
                shared->seen_ns = seen_ns;
        shared->n_seen++;
}

/* The reader, in a process of its own as the sentry is. */
static pid_t start_watch(void) {
        shared->is_ready = shared->should_end = 0;
        pid_t pid = fork();
        if (pid)
                return pid;
        struct watch *watch = NULL;
        struct watch_counters counters = {0};
        struct rlimit files = {65536, 65536};
        (void)setrlimit(RLIMIT_NOFILE, &files);
        int r = watch_new(watch_group_open(), &watch);
        r = r < 0 ? r : watch_add_tree(watch, path_in("inside", "."), 0);
        if (r < 0) {
                fprintf(stderr, "sense: %s\n", strerror(-r));
                _exit(1);
        }
        do {
                watch_dispatch(watch, take, NULL);
                watch_counters(watch, &counters);
        } while (counters.is_scanning);
        shared->is_ready = 1;
        uint64_t begin_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
        struct pollfd ready = {.fd = watch_fd(watch), .events = POLLIN};
        while (!shared->should_end)
                if (poll(&ready, 1, 20) > 0)
                        watch_dispatch(watch, take, NULL);
        shared->reader_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_ns;
        watch_counters(watch, &counters);
        if (counters.n_overflows)
                fprintf(stderr, "sense: %" PRIu64 " overflows\n", counters.n_overflows);
        watch_free(watch);
        _exit(0);
}

static void await_ready(void) {
        while (!shared->is_ready)
                usleep(1000);
}

static void end_watch(pid_t pid) {
        shared->should_end = 1;
        waitpid(pid, NULL, 0);
}

static void write_often(void) {
        char block[4096] = {0};
        int fd = open(path_in("outside", "data"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        for (int i = 0; i < N_WRITES; i++)
                if (pwrite(fd, block, sizeof(block), 0) < 0)
                        exit(3);
        close(fd);
}

static void create_often(void) {
        char name[32];
        for (int i = 0; i < N_FILES; i++) {
                snprintf(name, sizeof(name), "f%d", i);
                int fd = open(path_in("outside", name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (write(fd, "x", 1) != 1)
                        exit(3);
                close(fd);
        }
}

static void open_often(void) {
        for (int i = 0; i < N_WRITES; i++)
                close(open(path_in("outside", "data"), O_RDWR | O_CLOEXEC));
}

static void unlink_often(void) {
        char name[32];
        for (int i = 0; i < N_FILES; i++) {
                snprintf(name, sizeof(name), "f%d", i);
                unlink(path_in("outside", name));
        }
}

static void measure_outside(void) {
        static const struct {
                const char *name;
                void (*run)(void);
                int n;
        } works[] = {{"write", write_often, N_WRITES},
                     {"open", open_often, N_WRITES},
                     {"create", create_often, N_FILES},
                     {"unlink", unlink_often, N_FILES}};
        static uint64_t took[4][2][ROUNDS];
        uint64_t reader_ns = 0;
        for (int round = 0; round < ROUNDS; round++)
                for (int watched = 0; watched < 2; watched++) {
                        pid_t pid = watched ? start_watch() : -1;
                        if (watched)
                                await_ready();
                        for (size_t w = 0; w < 4; w++) {
                                uint64_t begin_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
                                works[w].run();
                                took[w][watched][round] = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_ns;
                        }
                        if (watched) {
                                end_watch(pid);
                                reader_ns += shared->reader_ns;
                        }
                }
        printf("outside_reader_ns_per_operation %.0f\n",
               (double)reader_ns / ROUNDS / (2 * N_WRITES + 2 * N_FILES));
        for (size_t w = 0; w < 4; w++) {
                double without = (double)quantile(took[w][0], ROUNDS, 0.5),
                       with = (double)quantile(took[w][1], ROUNDS, 0.5);
                printf("outside_%s_ns %.0f\n", works[w].name, without / works[w].n);
                printf("outside_%s_ratio %.3f\n", works[w].name, with / without);
        }
}

static void measure_latency(void) {
        static uint64_t took[N_SINGLE];
        pid_t pid = start_watch();
        await_ready();
        int fd = open(path_in("inside", "data"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        usleep(50000);
        for (int i = 0; i < N_SINGLE; i++) {
                shared->seen_ns = 0;
                uint64_t begin_ns = now_ns();
                if (write(fd, "x", 1) != 1)
                        exit(3);
                while (!shared->seen_ns)
                        ;
                took[i] = shared->seen_ns - begin_ns;
                usleep(500);
        }
        close(fd);
        end_watch(pid);
        printf("write_to_callback_p50_us %.1f\n", (double)quantile(took, N_SINGLE, 0.5) / 1e3);
        printf("write_to_callback_p99_us %.1f\n", (double)quantile(took, N_SINGLE, 0.99) / 1e3);
}

static void measure_burst(void) {
        char name[32];
        pid_t pid = start_watch();
        await_ready();
        shared->n_seen = shared->marker_ns = 0;
        uint64_t begin_ns = now_ns();
        for (int i = 0; i < N_BURST; i++) {
                snprintf(name, sizeof(name), "b%d", i);
                close(open(path_in("inside", name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        }
        uint64_t created_ns = now_ns();
        close(open(path_in("inside", "marker"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        while (!shared->marker_ns)
                usleep(100);
        uint64_t seen_ns = shared->marker_ns;
        usleep(50000);
        printf("burst_creates_ms %.1f\n", (double)(created_ns - begin_ns) / 1e6);
        printf("burst_marker_to_callback_ms %.2f\n", (double)(seen_ns - created_ns) / 1e6);
        printf("burst_events_per_file %.3f\n", (double)shared->n_seen / (N_BURST + 1));
        end_watch(pid);
}

static void measure_programs(void) {
        static const struct {
                const char *name, *arguments[4];
        } programs[] = {{"2ms", {"sleep", "0.002"}}, {"true", {"true", "marker"}}};
        struct process_table *table = NULL;
        int fd = process_connector_open();
        if (fd < 0 || process_table_new(fd, &table) < 0) {
                fprintf(stderr, "sense: no process connector\n");
                return;
        }
        usleep(300000);
        for (size_t p = 0; p < 2; p++) {
                unsigned n_named = 0;
                uint64_t begin_ns = now_ns();
                for (int i = 0; i < N_PROGRAM; i++) {
                        pid_t pid = fork();
                        if (pid == 0) {
                                execvp(programs[p].arguments[0], (char *const *)programs[p].arguments);
                                _exit(127);
                        }
                        waitpid(pid, NULL, 0);
                        struct actor *actor = process_table_actor(table, pid);
                        const char *line = actor->n_processes ? actor->processes[0].command_line : NULL;
                        n_named += line && !strncmp(line, programs[p].arguments[0], 4) && strstr(line, " ");
                        actor_free(actor);
                }
                printf("process_%s_lifetime_us %.0f\n", programs[p].name,
                       (double)(now_ns() - begin_ns) / 1e3 / N_PROGRAM);
                printf("process_%s_named_percent %.1f\n", programs[p].name, 100.0 * n_named / N_PROGRAM);
        }
        struct process_counters counters;
        process_table_counters(table, &counters);
        printf("process_table_entries %" PRIu64 "\nprocess_table_text_bytes %" PRIu64 "\n", counters.n_known,
               counters.n_text_bytes);
        process_table_free(table);
        close(fd);
}

int main(int argc, char **argv) {
        if (argc != 2)
                return 2;
        snprintf(base, sizeof(base), "%s/sense-bench-XXXXXX", argv[1]);
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED || !mkdtemp(base) || mkdir(path_in("inside", ""), 0700) < 0 ||
            mkdir(path_in("outside", ""), 0700) < 0)
                return 3;
        measure_outside();
        measure_latency();
        measure_burst();
        measure_programs();
        char command[8300];
        snprintf(command, sizeof(command), "rm -rf '%s'", base);
        return system(command) == 0 ? 0 : 3;
}
