/*
 * What a process runs, by its bytes, also where it has exited since: each exec is noted by the identity of its image
 * (device, inode, size, times), and the bytes are hashed when somebody asks, once for each identity.
 *
 * Asked about is the image that a process ran when its deed was seen, by the path it had then: who encrypts and then
 * executes a trusted program is not that program. Where two images had that path (a mount of one's own), and where the
 * image was altered within IMAGE_FRESH_NS of its use, nothing is known.
 *
 * Bounds: NOTED_MAX execs, the oldest is forgotten; KNOWN_MAX digests. images_note() is called by the process table's
 * thread, everything else by the loop.
 *
 * Limit: what a process did right before its exec, and was seen to have done after it, passes for its new image's doing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/procfs.h"
#include "roles/sentry/sentry.h"

#define NOTED_MAX      4096
#define KNOWN_MAX      64
#define IMAGE_FRESH_NS (2 * NS_PER_S)

struct identity {
        dev_t device;
        ino_t inode;
        off_t size;
        struct timespec modified, changed;
};

struct noted {
        pid_t pid;
        uint64_t start_ns;
        char *executable;
        struct identity identity;
        bool is_stable;
};

struct images {
        pthread_mutex_t lock; /* over noted */
        struct noted noted[NOTED_MAX];
        size_t next;
        struct {
                struct identity identity;
                struct digest digest;
        } known[KNOWN_MAX];
        size_t next_known;
};

int images_new(struct images **ret_images) {
        struct images *images = calloc(1, sizeof(*images));
        if (!images)
                return -ENOMEM;
        pthread_mutex_init(&images->lock, NULL);
        *ret_images = images;
        return 0;
}

struct images *images_free(struct images *images) {
        if (!images)
                return NULL;
        for (size_t i = 0; i < NOTED_MAX; i++)
                free(images->noted[i].executable);
        pthread_mutex_destroy(&images->lock);
        free(images);
        return NULL;
}

static struct identity identity_of(const struct stat *st) {
        struct identity identity;
        memset(&identity, 0, sizeof(identity)); /* compared as bytes */
        identity.device = st->st_dev;
        identity.inode = st->st_ino;
        identity.size = st->st_size;
        identity.modified = st->st_mtim;
        identity.changed = st->st_ctim;
        return identity;
}

static bool is_same(const struct identity *a, const struct identity *b) {
        return !memcmp(a, b, sizeof(*a));
}

static bool is_stable(const struct identity *identity) {
        uint64_t changed_ns =
                (uint64_t)identity->changed.tv_sec * NS_PER_S + (uint64_t)identity->changed.tv_nsec;
        uint64_t now_ns = clock_wall_ns(&clock_system);
        return now_ns > changed_ns && now_ns - changed_ns > IMAGE_FRESH_NS;
}

/* Of one that runs still, and under the same path. */
static int open_running(const struct process *process) {
        char link[40], path[4096];
        snprintf(link, sizeof(link), "/proc/%d/exe", (int)process->pid);
        _cleanup_(fd_closep) int fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        if (fd < 0 || n <= 0)
                return -ESRCH;
        path[n] = '\0';
        if (strcmp(path, process->executable) != 0)
                return -ESRCH;
        /* Afterwards: else it may be the image of another process with that id. */
        struct procfs_stat line;
        if (procfs_stat(process->pid, &line) < 0 || !procfs_same_start(line.start_ns, process->start_ns))
                return -ESRCH;
        return fd_steal(&fd);
}

void images_note(struct images *images, const struct process *process) {
        char link[40];
        struct stat st;
        struct noted noted = {.pid = process->pid, .start_ns = process->start_ns};
        snprintf(link, sizeof(link), "/proc/%d/exe", (int)process->pid);
        noted.executable = process->executable ? strdup(process->executable) : NULL;
        if (!noted.executable)
                return;
        if (stat(link, &st) == 0) {
                noted.identity = identity_of(&st);
                noted.is_stable = is_stable(&noted.identity);
        }
        pthread_mutex_lock(&images->lock);
        struct noted *place = &images->noted[images->next++ % NOTED_MAX];
        free(place->executable);
        *place = noted;
        pthread_mutex_unlock(&images->lock);
}

/* 1: what it ran under that path; 0: nothing is noted; -ESRCH: several were, or one that cannot be relied on. */
static int noted_of(struct images *images, const struct process *process, struct identity *ret_identity) {
        int r = 0;
        pthread_mutex_lock(&images->lock);
        for (size_t i = 0; r >= 0 && i < NOTED_MAX; i++) {
                const struct noted *noted = &images->noted[i];
                if (noted->pid != process->pid || !procfs_same_start(noted->start_ns, process->start_ns) ||
                    strcmp(noted->executable, process->executable) != 0)
                        continue;
                bool is_other = r > 0 && !is_same(&noted->identity, ret_identity);
                r = is_other || !noted->is_stable ? -ESRCH : 1;
                *ret_identity = noted->identity;
        }
        pthread_mutex_unlock(&images->lock);
        return r;
}

static int hash(struct images *images, int fd, const struct identity *identity, struct digest *ret_digest) {
        for (size_t i = 0; i < KNOWN_MAX; i++)
                if (is_same(&images->known[i].identity, identity)) {
                        *ret_digest = images->known[i].digest;
                        return 0;
                }
        uint64_t size;
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        int r = fd < 0 ? -ESRCH : digester ? digester_file(digester, fd, ret_digest, &size) : -ENOMEM;
        if (r < 0 || !is_stable(identity))
                return r;
        size_t at = images->next_known++ % KNOWN_MAX;
        images->known[at].identity = *identity;
        images->known[at].digest = *ret_digest;
        return 0;
}

int images_digest(struct images *images, const struct process *process, struct digest *ret_digest) {
        struct identity noted, identity;
        struct stat st;
        int n = process->executable ? noted_of(images, process, &noted) : -ESRCH;
        if (n < 0)
                return n;
        _cleanup_(fd_closep) int fd = open_running(process);
        if (fd < 0 && n > 0) /* it has exited: the same file, where it still stands */
                fd = open(process->executable, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
                return -ESRCH;
        if (fd >= 0) {
                identity = identity_of(&st);
                if (n > 0 && !is_same(&identity, &noted))
                        return -ESRCH;
        } else if (n == 0) {
                return -ESRCH;
        }
        return hash(images, fd, fd >= 0 ? &identity : &noted, ret_digest);
}
