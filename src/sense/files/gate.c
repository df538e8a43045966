/*
 * See gate.h. The reader takes events and answers reads and this process's own opens at once; the deciders ask
 * the policy about the rest, several at a time, because one may have a file to copy. So an own open is answered even
 * while the policy waits for a lock, and the reader answers what the deciders left past its deadline.
 *
 * What is not answered yet stands in memory that the parent holds (pending.h): events read, and
 * a slot for each question, with the descriptor's number, by which the kernel knows an answer.
 */
#include "sense/files/gate.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/io.h"
#include "sense/files/gate-marks.h"
#include "sense/files/intent.h"
#include "sense/files/notice.h"
#include "sense/files/pending.h"

#define GATE_TREES_MAX   64
#define N_DECIDERS       6
#define N_FILE_BUCKETS   1024
#define THREAD_NICE      (-10)
#define TRIES            20  /* then the decider goes on */
#define PATIENT_TRIES    200 /* 100 ms: preempted on the way to sleep, on a machine that is busy */
#define PATIENT_PAUSE_US 500

#define THREAD_STACK ((size_t)1 << 20)

enum slot_state {
        SLOT_FREE,
        SLOT_ASKED,    /* waits for the decider */
        SLOT_DECIDING, /* the policy is at work */
        SLOT_LATE,     /* answered by the deadline; the decider frees it */
};

struct slot {
        int32_t state;
        int32_t fd;
        int32_t tid;
        uint8_t is_create, is_certain, is_early, unused;
        uint64_t asked_ns; /* its deadline counts from there */
        uint64_t first_ns; /* when it was asked first */
        uint64_t later_ns; /* not to be asked before; 0: at once */
        uint64_t number;   /* order of asking */
};

#define N_SLOTS (PENDING_SCRATCH_BYTES / sizeof(struct slot))

struct gate_tree {
        size_t index;
        char *path; /* as given */
        char *real;
};

/* A file that is marked itself, because it has names elsewhere. */
struct gate_file {
        struct gate_file *next;
        dev_t device;
        ino_t inode;
        char path[];
};

struct gate {
        int group_fd;
        int wake_fd;
        bool is_ending;
        bool is_started;
        gate_policy policy;
        gate_glance glance; /* or NULL */
        void *userdata;
        struct pending pending;
        struct slot *slots; /* N_SLOTS */
        uint64_t next_number;
        pthread_t reader, deciders[N_DECIDERS];
        unsigned n_deciders;
        bool has_reader;
        pthread_mutex_t lock; /* slots, trees, counters */
        pthread_cond_t asked;
        struct gate_tree trees[GATE_TREES_MAX];
        size_t n_trees;
        struct gate_file *files[N_FILE_BUCKETS];
        size_t n_files;
        struct gate_counters counters;
};

int gate_group_open(void) {
        /* O_NONBLOCK: the kernel opens the object for us, and a FIFO would hold the reader up. */
        int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE |
                                       FAN_UNLIMITED_MARKS | FAN_REPORT_TID,
                               O_RDONLY | O_CLOEXEC | O_LARGEFILE | O_NONBLOCK | O_NOATIME);
        return fd < 0 ? -errno : fd;
}

/* Did somebody wait for it? Not, when the one who waited was killed, or when it is answered already. */
static bool answer(struct gate *gate, int fd, bool allow) {
        const struct fanotify_response response = {.fd = fd, .response = allow ? FAN_ALLOW : FAN_DENY};
        return write(gate->group_fd, &response, sizeof(response)) == (ssize_t)sizeof(response);
}

static bool is_own_thread(pid_t tid) {
        char path[48];
        snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
        return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

/* The one who opens queued its event and may not be asleep yet: a moment later it is. */
static struct intent read_intent(pid_t tid, unsigned n_tries, unsigned pause_us) {
        struct intent intent = intent_read(tid);
        while (intent.is_early && n_tries--) {
                if (pause_us)
                        usleep(pause_us);
                else
                        sched_yield();
                intent = intent_read(tid);
        }
        return intent;
}

/* Puts a question to the decider; false: there is no room. With the lock. */
static bool ask(struct gate *gate, const struct notice *notice, struct intent intent) {
        for (size_t i = 0; i < N_SLOTS; i++) {
                struct slot *slot = &gate->slots[i];
                if (slot->state != SLOT_FREE)
                        continue;
                slot->fd = notice->fd;
                slot->tid = notice->pid;
                slot->is_create = intent.is_create;
                slot->is_certain = intent.is_certain;
                slot->is_early = intent.is_early;
                slot->asked_ns = slot->first_ns = clock_monotonic_ns(&clock_system);
                slot->later_ns = 0;
                slot->number = ++gate->next_number;
                __atomic_store_n(&slot->state, SLOT_ASKED, __ATOMIC_RELEASE);
                pthread_cond_signal(&gate->asked);
                return true;
        }
        return false;
}

static bool glance(struct gate *gate, int fd, bool is_late) {
        gate_glance ask_first = __atomic_load_n(&gate->glance, __ATOMIC_ACQUIRE);
        return ask_first && ask_first(fd, is_late, gate->userdata);
}

static void handle_event(struct gate *gate, const struct notice *notice) {
        if (notice->fd < 0 || !(notice->mask & FAN_OPEN_PERM))
                return;
        bool own = is_own_thread(notice->pid) || glance(gate, notice->fd, false);
        struct intent intent = {0};
        if (!own)
                intent = intent_read(notice->pid);
        bool allow = !intent.is_write;
        pthread_mutex_lock(&gate->lock);
        if (!own && allow)
                gate->counters.n_reads++;
        bool is_asked = !allow && ask(gate, notice, intent);
        if (!allow && !is_asked)
                gate->counters.n_late++;
        pthread_mutex_unlock(&gate->lock);
        if (is_asked)
                return;
        answer(gate, notice->fd, allow);
        close(notice->fd);
}

static void read_events(struct gate *gate) {
        while (pending_fill(&gate->pending, gate->group_fd) > 0)
                for (;;) {
                        struct notice notice;
                        size_t size, used;
                        const uint8_t *data = pending_data(&gate->pending, &size);
                        if (notice_decode(data, size, &notice, &used) <= 0)
                                break;
                        handle_event(gate, &notice);
                        pending_advance(&gate->pending, used);
                }
}

/* Denies each write that is past its deadline. Returns how long until the next one, in ms; -1: none waits. */
static int check_deadlines(struct gate *gate) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system), next_ns = UINT64_MAX;
        pthread_mutex_lock(&gate->lock);
        for (size_t i = 0; i < N_SLOTS; i++) {
                struct slot *slot = &gate->slots[i];
                if (slot->state != SLOT_ASKED && slot->state != SLOT_DECIDING)
                        continue;
                uint64_t deadline_ns =
                        slot->asked_ns + (gate->is_started ? GATE_DEADLINE_NS : GATE_START_DEADLINE_NS);
                if (now_ns < deadline_ns) {
                        next_ns = deadline_ns < next_ns ? deadline_ns : next_ns;
                        continue;
                }
                /* Who was not asleep yet when it was asked about, with a decider that never came to look again. */
                bool is_read =
                        (slot->is_early && !intent_read(slot->tid).is_write) || glance(gate, slot->fd, true);
                answer(gate, slot->fd, is_read);
                gate->counters.n_reads += is_read;
                gate->counters.n_late += !is_read;
                if (slot->state == SLOT_ASKED)
                        close(slot->fd);
                slot->state = slot->state == SLOT_ASKED ? SLOT_FREE : SLOT_LATE;
        }
        pthread_mutex_unlock(&gate->lock);
        return next_ns == UINT64_MAX ? -1 : (int)((next_ns - now_ns) / NS_PER_MS) + 1;
}

static void *run_reader(void *userdata) {
        struct gate *gate = userdata;
        struct pollfd ready[] = {{.fd = gate->group_fd, .events = POLLIN},
                                 {.fd = gate->wake_fd, .events = POLLIN}};
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), THREAD_NICE);
        while (!__atomic_load_n(&gate->is_ending, __ATOMIC_ACQUIRE)) {
                read_events(gate);
                (void)poll(ready, 2, check_deadlines(gate));
        }
        return NULL;
}

static pid_t process_of_thread(pid_t tid) {
        char path[32];
        pid_t pid;
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 16384);
        snprintf(path, sizeof(path), "/proc/%d/status", tid);
        const char *line = io_read_file(AT_FDCWD, path, &text) < 0 ? NULL : strstr(text.data, "\nTgid:");
        return line && sscanf(line, " Tgid: %d", &pid) == 1 ? pid : tid;
}

/* The tree that a real path lies in, and the path as shown. False: in none. With the lock. */
static bool find_tree(const struct gate *gate, const char *real, size_t *ret_index, char **ret_path) {
        const struct gate_tree *found = NULL;
        size_t longest = 0;
        for (size_t i = 0; i < gate->n_trees; i++) {
                size_t length = strlen(gate->trees[i].real);
                if (length >= longest && !strncmp(real, gate->trees[i].real, length) &&
                    (real[length] == '/' || !real[length])) {
                        found = &gate->trees[i];
                        longest = length;
                }
        }
        if (!found || asprintf(ret_path, "%s%s", found->path, real + longest) < 0)
                return false;
        *ret_index = found->index;
        return true;
}

static struct gate_file **file_bucket(struct gate *gate, ino_t inode) {
        return &gate->files[inode % N_FILE_BUCKETS];
}

/* The path by which a file was marked that is being opened by another name. With the lock. */
static const char *find_file(struct gate *gate, int fd) {
        struct stat st;
        if (fstat(fd, &st) < 0)
                return NULL;
        for (const struct gate_file *file = *file_bucket(gate, st.st_ino); file; file = file->next)
                if (file->inode == st.st_ino && file->device == st.st_dev)
                        return file->path;
        return NULL;
}

/* What is being opened, as the policy knows it. False: it lies in no tree (moved out). */
static bool find_path(struct gate *gate, int fd, size_t *ret_index, char **ret_path) {
        char link[32], real[PATH_MAX];
        const char *known;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, real, sizeof(real) - 1);
        if (n < 0) /* longer than the kernel can say: asked about without a path */
                return true;
        real[n] = '\0';
        pthread_mutex_lock(&gate->lock);
        bool inside = find_tree(gate, real, ret_index, ret_path);
        if (!inside && (known = find_file(gate, fd)))
                inside = find_tree(gate, known, ret_index, ret_path);
        pthread_mutex_unlock(&gate->lock);
        return inside;
}

/* Without the lock: the policy may take its time. */
static bool decide(struct gate *gate, struct slot *slot) {
        _cleanup_(freep) char *path = NULL;
        struct gate_request request = {.pid = process_of_thread(slot->tid),
                                       .tree = SIZE_MAX,
                                       .is_create = slot->is_create,
                                       .is_certain = slot->is_certain,
                                       .fd = slot->fd,
                                       .asked_ns = slot->first_ns,
                                       .question = slot};
        if (slot->fd >= 0 && !find_path(gate, slot->fd, &request.tree, &path))
                return true;
        request.path = path;
        return gate->policy(&request, gate->userdata);
}

void gate_wait_longer(struct gate *gate, const struct gate_request *request, uint64_t for_ns) {
        struct slot *slot = request->question;
        pthread_mutex_lock(&gate->lock);
        slot->asked_ns = clock_monotonic_ns(&clock_system) + for_ns - GATE_DEADLINE_NS;
        pthread_mutex_unlock(&gate->lock);
}

void gate_ask_later(struct gate *gate, const struct gate_request *request, uint64_t after_ns) {
        struct slot *slot = request->question;
        pthread_mutex_lock(&gate->lock);
        slot->later_ns = clock_monotonic_ns(&clock_system) + after_ns;
        pthread_mutex_unlock(&gate->lock);
}

/* With the lock. `ret_later_ns`: when the next one is to be asked, should there be none now; 0: none waits. */
static struct slot *oldest_question(struct gate *gate, uint64_t *ret_later_ns) {
        struct slot *oldest = NULL;
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        *ret_later_ns = 0;
        for (size_t i = 0; i < N_SLOTS; i++) {
                struct slot *slot = &gate->slots[i];
                if (slot->state != SLOT_ASKED)
                        continue;
                if (slot->later_ns > now_ns)
                        *ret_later_ns = !*ret_later_ns || slot->later_ns < *ret_later_ns ? slot->later_ns
                                                                                         : *ret_later_ns;
                else if (!oldest || slot->number < oldest->number)
                        oldest = slot;
        }
        return oldest;
}

static void wait_for_question(struct gate *gate, uint64_t until_ns) {
        if (!until_ns) {
                pthread_cond_wait(&gate->asked, &gate->lock);
                return;
        }
        struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
        pthread_cond_clockwait(&gate->asked, &gate->lock, CLOCK_MONOTONIC, &until);
}

static void count_write(struct gate *gate, const struct slot *slot, bool allow) {
        if (allow)
                gate->counters.n_writes_allowed++;
        else
                gate->counters.n_writes_denied++;
        gate->counters.n_uncertain += !slot->is_certain;
}

/* Back to the end of the queue. Its deadline begins anew: who has not gone to sleep does not wait for us. */
static void put_back(struct gate *gate, struct slot *slot) {
        slot->asked_ns = clock_monotonic_ns(&clock_system);
        slot->number = ++gate->next_number;
        slot->state = SLOT_ASKED;
}

/* Looks again at one that was too early. False: it still is. Without the lock. */
static bool look_again(struct slot *slot, bool *ret_is_write) {
        struct intent intent = read_intent(slot->tid, PATIENT_TRIES, PATIENT_PAUSE_US);
        *ret_is_write = intent.is_write;
        slot->is_create = intent.is_create;
        slot->is_certain = intent.is_certain;
        slot->is_early = intent.is_early;
        return !intent.is_early;
}

static void *run_decider(void *userdata) {
        struct gate *gate = userdata;
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), THREAD_NICE);
        pthread_mutex_lock(&gate->lock);
        while (!gate->is_ending) {
                uint64_t later_ns = 0;
                struct slot *slot = gate->is_started ? oldest_question(gate, &later_ns) : NULL;
                if (!slot) {
                        wait_for_question(gate, later_ns);
                        continue;
                }
                slot->later_ns = 0;
                slot->state = SLOT_DECIDING;
                pthread_mutex_unlock(&gate->lock);
                bool is_write = true, is_seen = !slot->is_early || look_again(slot, &is_write);
                bool allow = is_seen && (!is_write || decide(gate, slot));
                pthread_mutex_lock(&gate->lock);
                if (!is_seen && slot->state == SLOT_DECIDING) {
                        put_back(gate, slot);
                        continue;
                }
                if (slot->later_ns && slot->state == SLOT_DECIDING) {
                        slot->state = SLOT_ASKED;
                        continue;
                }
                if (slot->state == SLOT_DECIDING)
                        answer(gate, slot->fd, allow);
                count_write(gate, slot, allow && slot->state == SLOT_DECIDING);
                close(slot->fd);
                slot->state = SLOT_FREE;
        }
        pthread_mutex_unlock(&gate->lock);
        return NULL;
}

/* One open that a predecessor had read: its descriptor is gone, its number is what the kernel knows it by. */
static void answer_inherited(struct gate *gate, int fd, pid_t tid, struct intent intent) {
        struct slot slot = {.fd = -1,
                            .tid = tid,
                            .is_create = intent.is_create,
                            .is_certain = intent.is_certain,
                            .is_early = intent.is_early};
        bool allow = !intent.is_write || decide(gate, &slot);
        gate->counters.n_inherited += answer(gate, fd, allow);
}

/* Before anything is read: new descriptors would have the old numbers. */
static void answer_predecessor(struct gate *gate) {
        for (size_t i = 0; i < N_SLOTS; i++) {
                struct slot *slot = &gate->slots[i];
                if (slot->state == SLOT_ASKED || slot->state == SLOT_DECIDING)
                        answer_inherited(
                                gate, slot->fd, slot->tid,
                                (struct intent){true, slot->is_create, slot->is_certain, slot->is_early});
                slot->state = SLOT_FREE;
        }
        for (;;) {
                struct notice notice;
                size_t size, used;
                const uint8_t *data = pending_data(&gate->pending, &size);
                int r = notice_decode(data, size, &notice, &used);
                if (r > 0 && notice.fd >= 0)
                        answer_inherited(gate, notice.fd, notice.pid, read_intent(notice.pid, TRIES, 0));
                pending_advance(&gate->pending, r > 0 ? used : size);
                if (r <= 0)
                        return;
        }
}

static int start_threads(struct gate *gate) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, THREAD_STACK);
        int r = 0;
        for (size_t i = 0; r == 0 && i < N_DECIDERS; i++) {
                r = pthread_create(&gate->deciders[i], &attributes, run_decider, gate);
                gate->n_deciders += r == 0;
        }
        if (r == 0) {
                r = pthread_create(&gate->reader, &attributes, run_reader, gate);
                gate->has_reader = r == 0;
        }
        pthread_attr_destroy(&attributes);
        return -r;
}

int gate_new(int group_fd, int pending_fd, gate_policy policy, void *userdata, struct gate **ret_gate) {
        _cleanup_(gate_freep) struct gate *gate = calloc(1, sizeof(*gate));
        if (!gate)
                return -ENOMEM;
        pthread_mutex_init(&gate->lock, NULL);
        pthread_cond_init(&gate->asked, NULL);
        gate->policy = policy;
        gate->userdata = userdata;
        gate->group_fd = fcntl(group_fd, F_DUPFD_CLOEXEC, 3);
        gate->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (gate->group_fd < 0 || gate->wake_fd < 0)
                return -errno;
        int r = pending_init(&gate->pending, pending_fd, PENDING_GATE);
        if (r < 0)
                return r;
        gate->slots = pending_scratch(&gate->pending);
        answer_predecessor(gate);
        r = start_threads(gate);
        if (r < 0)
                return r;
        *ret_gate = STEAL(gate);
        return 0;
}

void gate_start(struct gate *gate) {
        pthread_mutex_lock(&gate->lock);
        gate->is_started = true;
        for (size_t i = 0; i < N_SLOTS; i++)
                gate->slots[i].asked_ns = clock_monotonic_ns(&clock_system);
        pthread_cond_broadcast(&gate->asked);
        pthread_mutex_unlock(&gate->lock);
}

void gate_on_glance(struct gate *gate, gate_glance ask_first) {
        __atomic_store_n(&gate->glance, ask_first, __ATOMIC_RELEASE);
}

/* What is still asked is denied: the process ends, and its successor would not know the paths. */
static void end_threads(struct gate *gate) {
        pthread_mutex_lock(&gate->lock);
        __atomic_store_n(&gate->is_ending, true, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&gate->asked);
        pthread_mutex_unlock(&gate->lock);
        eventfd_write(gate->wake_fd, 1);
        for (size_t i = 0; i < gate->n_deciders; i++)
                pthread_join(gate->deciders[i], NULL);
        if (gate->has_reader)
                pthread_join(gate->reader, NULL);
        for (size_t i = 0; gate->slots && i < N_SLOTS; i++)
                if (gate->slots[i].state == SLOT_ASKED) {
                        answer(gate, gate->slots[i].fd, false);
                        close(gate->slots[i].fd);
                        gate->slots[i].state = SLOT_FREE;
                }
}

struct gate *gate_free(struct gate *gate) {
        if (!gate)
                return NULL;
        end_threads(gate);
        for (size_t i = 0; i < gate->n_trees; i++) {
                free(gate->trees[i].path);
                free(gate->trees[i].real);
        }
        for (size_t i = 0; i < N_FILE_BUCKETS; i++)
                while (gate->files[i]) {
                        struct gate_file *file = gate->files[i];
                        gate->files[i] = file->next;
                        free(file);
                }
        pending_deinit(&gate->pending);
        fd_closep(&gate->group_fd);
        fd_closep(&gate->wake_fd);
        pthread_cond_destroy(&gate->asked);
        pthread_mutex_destroy(&gate->lock);
        free(gate);
        return NULL;
}

static int count_marks(struct gate *gate, int n_marks) {
        if (n_marks < 0)
                return n_marks;
        pthread_mutex_lock(&gate->lock);
        gate->counters.n_marks += (uint64_t)n_marks;
        pthread_mutex_unlock(&gate->lock);
        return 0;
}

/* Notes where the tree is, under its index. Returns 0 or a negative errno. */
static int put_tree(struct gate *gate, const char *path, size_t index) {
        size_t length = strlen(path), at = 0;
        while (length && path[length - 1] == '/')
                length--;
        struct gate_tree tree = {.index = index, .path = strndup(path, length), .real = realpath(path, NULL)};
        int r = tree.path && tree.real ? 0 : -errno;
        if (r == 0 && !strcmp(tree.real, "/"))
                *tree.real = '\0';
        pthread_mutex_lock(&gate->lock);
        while (at < gate->n_trees && gate->trees[at].index != index)
                at++;
        if (r == 0 && at == GATE_TREES_MAX)
                r = -ENOSPC;
        if (r == 0) {
                struct gate_tree old = at < gate->n_trees ? gate->trees[at] : (struct gate_tree){0};
                gate->trees[at] = tree;
                gate->n_trees += at == gate->n_trees;
                tree = old;
        }
        pthread_mutex_unlock(&gate->lock);
        free(tree.path);
        free(tree.real);
        return r;
}

int gate_add_tree(struct gate *gate, const char *path, size_t index) {
        int r = *path == '/' ? put_tree(gate, path, index) : -EINVAL;
        return r < 0 ? r : gate_add_directory(gate, path);
}

int gate_remove_tree(struct gate *gate, size_t index) {
        struct gate_tree removed = {0};
        pthread_mutex_lock(&gate->lock);
        for (size_t i = 0; i < gate->n_trees && !removed.path; i++)
                if (gate->trees[i].index == index) {
                        removed = gate->trees[i];
                        gate->trees[i] = gate->trees[--gate->n_trees];
                }
        pthread_mutex_unlock(&gate->lock);
        if (!removed.path)
                return -ENOENT;
        int r = gate_unmark_below(gate->group_fd, removed.path);
        free(removed.path);
        free(removed.real);
        return r < 0 ? r : 0;
}

/* A tree's path may lead elsewhere than before. */
static void refresh_trees(struct gate *gate) {
        pthread_mutex_lock(&gate->lock);
        for (size_t i = 0; i < gate->n_trees; i++) {
                char *real = realpath(gate->trees[i].path, NULL);
                if (!real)
                        continue;
                free(gate->trees[i].real);
                gate->trees[i].real = real;
        }
        pthread_mutex_unlock(&gate->lock);
}

int gate_add_directory(struct gate *gate, const char *path) {
        refresh_trees(gate);
        return count_marks(gate, gate_mark_below(gate->group_fd, path));
}

static int put_file(struct gate *gate, const char *path) {
        struct stat st;
        if (lstat(path, &st) < 0)
                return -errno;
        size_t length = strlen(path) + 1;
        struct gate_file *file = malloc(sizeof(*file) + length);
        if (!file)
                return -ENOMEM;
        *file = (struct gate_file){.device = st.st_dev, .inode = st.st_ino};
        memcpy(file->path, path, length);
        pthread_mutex_lock(&gate->lock);
        struct gate_file **bucket = file_bucket(gate, st.st_ino);
        bool is_full = gate->n_files == GATE_FILES_MAX, is_known = false;
        for (const struct gate_file *other = *bucket; other; other = other->next)
                is_known |= other->inode == st.st_ino && other->device == st.st_dev;
        if (!is_full && !is_known) {
                file->next = *bucket;
                *bucket = STEAL(file);
                gate->n_files++;
        }
        pthread_mutex_unlock(&gate->lock);
        free(file);
        return is_full && !is_known ? -ENOSPC : 0;
}

int gate_add_file(struct gate *gate, const char *path) {
        int r = put_file(gate, path);
        return r < 0 ? r : count_marks(gate, gate_mark_file(gate->group_fd, path));
}

int gate_is_armed(struct gate *gate, size_t index) {
        _cleanup_(freep) char *path = NULL;
        pthread_mutex_lock(&gate->lock);
        for (size_t i = 0; i < gate->n_trees; i++)
                if (gate->trees[i].index == index)
                        path = strdup(*gate->trees[i].path ? gate->trees[i].path : "/");
        pthread_mutex_unlock(&gate->lock);
        return path ? gate_has_mark(gate->group_fd, path) : 0;
}

void gate_counters(struct gate *gate, struct gate_counters *ret_counters) {
        pthread_mutex_lock(&gate->lock);
        *ret_counters = gate->counters;
        pthread_mutex_unlock(&gate->lock);
}
