/*
 * Threads take directories from one stack (last in, first out, so that it stays short) and read
 * them. A thread that finds no directory helps another with the files of its one (walk_share), so
 * that a flat tree keeps all processors busy too.
 *
 * Limits: the entries of a directory are in memory at once, about 150 bytes each.
 */
#include "sense/files/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/buffer.h"

#define LISTING_BYTES ((size_t)64 << 10)
#define THREADS_MAX   64
#define SHARE_MIN     4 /* fewer entries are not worth waking anybody */

/* A directory that waits for a thread. */
struct item {
        struct item *next;
        bool crossed; /* another file system than its parent */
        char path[];
};

/* Entries of one directory that several threads work on; lives on its owner's stack. */
struct job {
        struct job *next;
        walk_work work;
        void *userdata;
        size_t n;
        atomic_size_t taken;
        atomic_int result;
        unsigned n_helpers; /* under the walk's mutex */
};

struct walk {
        const struct walk_callbacks *callbacks;
        int root_fd;
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        struct item *items;
        struct job *jobs;
        unsigned n_busy; /* threads that read a directory: more items may come */
        int result;
};

struct worker {
        struct walk *walk;
        unsigned index;
        pthread_t thread;
        char *listing;
        struct buffer names;
        struct walk_entry *entries;
        size_t n_entries, capacity;
};

static int read_target(int directory_fd, const char *name, char **ret_target) {
        char target[PATH_MAX];
        ssize_t length = readlinkat(directory_fd, name, target, sizeof(target));
        if (length < 0)
                return -errno;
        char *copy = strndup(target, (size_t)length);
        if (!copy)
                return -ENOMEM;
        *ret_target = copy;
        return 0;
}

static int stat_node(int directory_fd, const char *name, struct node *ret_node, dev_t *ret_device) {
        struct stat st;
        if (fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) < 0)
                return -errno;
        struct node node;
        node_from_stat(&st, &node);
        int r = S_ISLNK(st.st_mode) ? read_target(directory_fd, name, &node.link_target) : 0;
        if (r < 0)
                return r;
        *ret_node = node;
        *ret_device = st.st_dev;
        return 0;
}

int node_stat(int directory_fd, const char *name, struct node *ret_node) {
        dev_t device;
        return stat_node(directory_fd, name, ret_node, &device);
}

static int open_part(int directory_fd, const char *path, int flags) {
        struct open_how how = {
                .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        };
        for (;;) {
                long fd = syscall(SYS_openat2, directory_fd, path, &how, sizeof(how));
                if (fd >= 0)
                        return (int)fd;
                if (errno != EINTR && errno != EAGAIN)
                        return -errno;
        }
}

int walk_open(int root_fd, const char *relative_path, int flags) {
        _cleanup_(fd_closep) int owned = -EBADF;
        int from = root_fd;
        /* openat2 takes PATH_MAX at once: a longer path is opened piece by piece. */
        while (strlen(relative_path) >= PATH_MAX) {
                char piece[PATH_MAX];
                memcpy(piece, relative_path, sizeof(piece));
                char *slash = memrchr(piece, '/', sizeof(piece) - 1);
                if (!slash)
                        return -ENAMETOOLONG;
                *slash = '\0';
                int fd = open_part(from, piece, O_PATH | O_DIRECTORY);
                if (fd < 0)
                        return fd;
                fd_closep(&owned);
                from = owned = fd;
                relative_path += slash - piece + 1;
        }
        return open_part(from, *relative_path ? relative_path : ".", flags);
}

static int push_item(struct walk *walk, const char *directory, const char *name, bool crossed) {
        size_t a = strlen(directory), b = strlen(name);
        struct item *item = malloc(sizeof(*item) + a + b + 2);
        if (!item)
                return -ENOMEM;
        item->crossed = crossed;
        char *p = mempcpy(item->path, directory, a);
        if (a)
                *p++ = '/';
        memcpy(p, name, b + 1);

        if (walk->callbacks->enter && *item->path &&
            !walk->callbacks->enter(item->path, walk->callbacks->userdata)) {
                free(item);
                return 0;
        }
        pthread_mutex_lock(&walk->mutex);
        item->next = walk->items;
        walk->items = item;
        pthread_cond_signal(&walk->changed);
        pthread_mutex_unlock(&walk->mutex);
        return 0;
}

static int report_failed(const struct walk *walk, const char *directory, const char *name, int error) {
        if (!walk->callbacks->failed)
                return 0;
        struct buffer path;
        buffer_init(&path, 0);
        int r = buffer_format(&path, "%s%s%s", directory, *directory && *name ? "/" : "", name);
        if (r == 0)
                r = walk->callbacks->failed(path.data, error, walk->callbacks->userdata);
        buffer_deinit(&path);
        return r;
}

/* Kernel file systems hold no files of anybody's; reading them can block or act. */
static bool is_kernel_file_system(int fd) {
        static const long magics[] = {
                PROC_SUPER_MAGIC,    SYSFS_MAGIC,           CGROUP_SUPER_MAGIC,
                CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC,    DEBUGFS_MAGIC,
                TRACEFS_MAGIC,       SECURITYFS_MAGIC,      SELINUX_MAGIC,
                BPF_FS_MAGIC,        PSTOREFS_MAGIC,        EFIVARFS_MAGIC,
                BINFMTFS_MAGIC,      HUGETLBFS_MAGIC,       NSFS_MAGIC,
                AUTOFS_SUPER_MAGIC,  0x19800202 /*mqueue*/, 0x62656570 /*configfs*/,
        };
        struct statfs fs;
        if (fstatfs(fd, &fs) < 0)
                return false;
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
                if (fs.f_type == magics[i])
                        return true;
        return false;
}

/* Collects the names; their count is in `ret_n`. */
static int list_names(struct worker *worker, int fd, size_t *ret_n) {
        size_t n = 0;
        buffer_clear(&worker->names);
        for (;;) {
                ssize_t size = getdents64(fd, worker->listing, LISTING_BYTES);
                if (size < 0)
                        return -errno;
                if (size == 0)
                        break;
                for (char *p = worker->listing; p < worker->listing + size;) {
                        struct dirent64 *entry = (struct dirent64 *)p;
                        p += entry->d_reclen;
                        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                                continue;
                        int r = buffer_append(&worker->names, entry->d_name, strlen(entry->d_name) + 1);
                        if (r < 0)
                                return r;
                        n++;
                }
        }
        *ret_n = n;
        return 0;
}

static int reserve_entries(struct worker *worker, size_t n) {
        if (n <= worker->capacity)
                return 0;
        struct walk_entry *entries = reallocarray(worker->entries, n, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        worker->entries = entries;
        worker->capacity = n;
        return 0;
}

static int compare_entries(const void *a, const void *b) {
        return strcmp(((const struct walk_entry *)a)->name, ((const struct walk_entry *)b)->name);
}

/* Stats every name, queues the directories, sorts. */
static int stat_entries(struct worker *worker, int fd, const char *path, size_t n) {
        struct stat self;
        int r = fstat(fd, &self) < 0 ? -errno : reserve_entries(worker, n);
        const char *name = worker->names.data;
        for (size_t i = 0; r == 0 && i < n; i++, name += strlen(name) + 1) {
                struct walk_entry *entry = &worker->entries[worker->n_entries];
                dev_t device;
                *entry = (struct walk_entry){.name = name};
                r = stat_node(fd, name, &entry->node, &device);
                if (r == -ENOENT || r == -EINVAL) {
                        r = 0; /* gone, or no longer a symbolic link: the next event or sweep has it */
                        continue;
                }
                if (r < 0) {
                        r = r == -ENOMEM ? r : report_failed(worker->walk, path, name, -r);
                        continue;
                }
                worker->n_entries++;
                if (S_ISDIR(entry->node.mode))
                        r = push_item(worker->walk, path, name, device != self.st_dev);
        }
        if (r == 0 && worker->n_entries)
                qsort(worker->entries, worker->n_entries, sizeof(*worker->entries), compare_entries);
        return r;
}

static int visit_directory(struct worker *worker, const char *path, int fd) {
        size_t n = 0;
        int r = list_names(worker, fd, &n);
        if (r < 0)
                return r == -ENOMEM ? r : report_failed(worker->walk, path, "", -r);
        worker->n_entries = 0;
        r = stat_entries(worker, fd, path, n);
        if (r == 0) {
                struct walk_directory directory = {
                        .walk = worker->walk,
                        .fd = fd,
                        .path = path,
                        .entries = worker->entries,
                        .n_entries = worker->n_entries,
                        .thread = worker->index,
                };
                r = worker->walk->callbacks->directory(&directory, worker->walk->callbacks->userdata);
        }
        for (size_t i = 0; i < worker->n_entries; i++)
                free(worker->entries[i].node.link_target);
        return r;
}

static int visit_item(struct worker *worker, const struct item *item) {
        _cleanup_(fd_closep) int fd =
                walk_open(worker->walk->root_fd, item->path, O_RDONLY | O_DIRECTORY | O_NOATIME);
        if (fd == -EPERM)
                fd = walk_open(worker->walk->root_fd, item->path, O_RDONLY | O_DIRECTORY);
        if ((fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) && *item->path)
                return 0; /* gone, or something else by now */
        if (fd < 0)
                return report_failed(worker->walk, item->path, "", -fd);
        if (item->crossed && is_kernel_file_system(fd))
                return 0;
        return visit_directory(worker, item->path, fd);
}

static void work_on(struct job *job, unsigned thread) {
        while (atomic_load_explicit(&job->result, memory_order_relaxed) == 0) {
                size_t i = atomic_fetch_add_explicit(&job->taken, 1, memory_order_relaxed);
                if (i >= job->n)
                        return;
                int r = job->work(i, thread, job->userdata), none = 0;
                if (r < 0)
                        atomic_compare_exchange_strong(&job->result, &none, r);
        }
}

static struct job *find_job(struct walk *walk) {
        struct job *job = walk->jobs;
        while (job && (atomic_load(&job->taken) >= job->n || atomic_load(&job->result)))
                job = job->next;
        return job;
}

int walk_share(const struct walk_directory *directory, size_t n, walk_work work, void *userdata) {
        struct walk *walk = directory->walk;
        struct job job = {.work = work, .userdata = userdata, .n = n};
        if (n < SHARE_MIN) {
                work_on(&job, directory->thread);
                return job.result;
        }

        pthread_mutex_lock(&walk->mutex);
        job.next = walk->jobs;
        walk->jobs = &job;
        pthread_cond_signal(&walk->changed);
        pthread_mutex_unlock(&walk->mutex);

        work_on(&job, directory->thread);

        pthread_mutex_lock(&walk->mutex);
        struct job **at = &walk->jobs;
        while (*at != &job)
                at = &(*at)->next;
        *at = job.next;
        while (job.n_helpers)
                pthread_cond_wait(&walk->changed, &walk->mutex);
        pthread_mutex_unlock(&walk->mutex);
        return job.result;
}

/* One step of a thread, under the mutex: a directory, somebody's files, or a wait. False: the walk is over.
 */
static bool step(struct worker *worker) {
        struct walk *walk = worker->walk;
        struct item *item = walk->result == 0 ? walk->items : NULL;
        struct job *job = item ? NULL : find_job(walk);
        if (item) {
                walk->items = item->next;
                walk->n_busy++;
                pthread_mutex_unlock(&walk->mutex);
                int r = visit_item(worker, item);
                free(item);
                pthread_mutex_lock(&walk->mutex);
                walk->n_busy--;
                if (r < 0 && walk->result == 0)
                        walk->result = r;
                pthread_cond_broadcast(&walk->changed);
        } else if (job) {
                job->n_helpers++;
                pthread_mutex_unlock(&walk->mutex);
                work_on(job, worker->index);
                pthread_mutex_lock(&walk->mutex);
                job->n_helpers--;
                pthread_cond_broadcast(&walk->changed);
        } else if (walk->n_busy) {
                pthread_cond_wait(&walk->changed, &walk->mutex);
        } else {
                return false;
        }
        return true;
}

static void *worker_main(void *userdata) {
        struct worker *worker = userdata;
        pthread_mutex_lock(&worker->walk->mutex);
        while (step(worker))
                ;
        pthread_cond_broadcast(&worker->walk->changed);
        pthread_mutex_unlock(&worker->walk->mutex);
        return NULL;
}

unsigned walk_threads(unsigned n_threads) {
        long n = n_threads ?: sysconf(_SC_NPROCESSORS_ONLN);
        return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

/* The calling thread is worker 0; a thread that cannot be made is done without. */
static int run_workers(struct walk *walk, unsigned n) {
        struct worker workers[THREADS_MAX];
        unsigned n_started = 0;
        int r = 0;
        for (unsigned i = 0; i < n; i++) {
                workers[i] = (struct worker){.walk = walk, .index = i, .listing = malloc(LISTING_BYTES)};
                buffer_init(&workers[i].names, (size_t)1 << 31);
                if (!workers[i].listing)
                        r = -ENOMEM;
        }
        for (unsigned i = 1; r == 0 && i < n; i++, n_started++)
                if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]))
                        break;
        if (r == 0)
                worker_main(&workers[0]);
        for (unsigned i = 1; i <= n_started; i++)
                pthread_join(workers[i].thread, NULL);
        for (unsigned i = 0; i < n; i++) {
                free(workers[i].listing);
                free(workers[i].entries);
                buffer_deinit(&workers[i].names);
        }
        return r;
}

int walk_tree(const char *path, unsigned n_threads, const struct walk_callbacks *callbacks) {
        _cleanup_(fd_closep) int root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return -errno;
        struct walk walk = {
                .callbacks = callbacks,
                .root_fd = root_fd,
                .mutex = PTHREAD_MUTEX_INITIALIZER,
                .changed = PTHREAD_COND_INITIALIZER,
        };
        int r = push_item(&walk, "", "", false);
        if (r == 0)
                r = run_workers(&walk, walk_threads(n_threads));
        while (walk.items) {
                struct item *item = walk.items;
                walk.items = item->next;
                free(item);
        }
        return r < 0 ? r : walk.result;
}
