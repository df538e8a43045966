/*
 * Large files are read aside, by one thread that gives way to everything else, so that nobody blinds the guard
 * by a file of terabytes, which costs him nothing (truncate(2)). The smallest goes first.
 *
 *   asked for (inspect, sweep) -> waits -> read -> looked at again by intake, and forgotten
 *
 * Bounded: TASKS_MAX; past that a file is told by the next sweep. A file that never holds still is taken as it was
 * read last, after READS_MAX times.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "roles/baseline-look.h"
#include "roles/sentry/sentry.h"

#define TASKS_MAX      1024
#define READS_MAX      3
#define THREAD_NICE    10
#define KEPT_BYTES_MAX ((uint64_t)1 << 30) /* larger ones are hashed only: keeping cannot be broken off */

enum task_state {
        TASK_WAITS,
        TASK_READING,
        TASK_READ,
        TASK_TOLD, /* intake looks at it again */
};

struct task {
        struct task *next;
        enum task_state state;
        struct tree *tree;
        uint64_t size_bytes;
        unsigned n_reads;
        int error;
        struct node node; /* as read */
        struct actor *actor;
        unsigned what;
        char relative[];
};

struct large {
        struct sentry *sentry;
        pthread_mutex_t lock; /* tasks; sweeps ask from several threads */
        pthread_cond_t asked;
        pthread_t thread;
        bool has_thread;
        atomic_bool is_ending;
        struct digester *digester;
        struct task *tasks;
        size_t n;
        int event_fd;
        sd_event_source *source;
};

static void task_free(struct task *task) {
        node_deinit(&task->node);
        actor_free(task->actor);
        free(task);
}

/* With the lock. */
static struct task **find(struct large *large, const struct tree *tree, const char *relative) {
        struct task **link = &large->tasks;
        while (*link && ((*link)->tree != tree || strcmp((*link)->relative, relative)))
                link = &(*link)->next;
        return link;
}

static struct task *smallest(const struct large *large) {
        struct task *found = NULL;
        for (struct task *task = large->tasks; task; task = task->next)
                if (task->state == TASK_WAITS && (!found || task->size_bytes < found->size_bytes))
                        found = task;
        return found;
}

static void read_one(struct large *large, struct task *task) {
        struct baseline baseline = {.store = large->sentry->store};
        struct node node = NODE_INIT;
        task->state = TASK_READING;
        pthread_mutex_unlock(&large->lock);
        unsigned flags =
                task->tree->baseline.mirror && task->size_bytes <= KEPT_BYTES_MAX ? BASELINE_KEEP : 0;
        int r = baseline_read(&baseline, &task->tree->baseline, task->relative, flags, large->digester,
                              &node);
        pthread_mutex_lock(&large->lock);
        node_deinit(&task->node);
        task->node = node;
        task->error = r;
        task->n_reads++;
        task->state = TASK_READ;
        eventfd_write(large->event_fd, 1);
}

static void *run(void *userdata) {
        struct large *large = userdata;
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), THREAD_NICE);
        pthread_mutex_lock(&large->lock);
        while (!atomic_load(&large->is_ending)) {
                struct task *task = smallest(large);
                if (task)
                        read_one(large, task);
                else
                        pthread_cond_wait(&large->asked, &large->lock);
        }
        pthread_mutex_unlock(&large->lock);
        return NULL;
}

/* The next that was read and not told, as an observation; the caller frees `ret_relative`. */
static bool take_read(struct large *large, struct observation *ret_observation, char **ret_relative) {
        bool taken = false;
        pthread_mutex_lock(&large->lock);
        for (struct task *task = large->tasks; task && !taken; task = task->next) {
                if (task->state != TASK_READ || !(*ret_relative = strdup(task->relative)))
                        continue;
                *ret_observation = (struct observation){
                        .tree = task->tree, .what = task->what | FILE_CLOSED, .actor = task->actor};
                task->actor = NULL;
                task->state = TASK_TOLD;
                taken = true;
        }
        pthread_mutex_unlock(&large->lock);
        return taken;
}

static int on_read(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct large *large = userdata;
        eventfd_t count;
        eventfd_read(fd, &count);
        struct observation observation;
        char *relative = NULL;
        while (take_read(large, &observation, &relative)) {
                observation.relative = relative;
                intake_again(large->sentry, &observation);
                actor_free((struct actor *)observation.actor);
                free(STEAL(relative));
        }
        return 0;
}

static bool is_as_read(const struct task *task, const struct node *now) {
        return task->state >= TASK_READ && task->error != -ECANCELED &&
               (task->n_reads >= READS_MAX || task->error < 0 || node_stat_equal(&task->node, now));
}

static struct task *task_new(struct large *large, struct tree *tree, const char *relative) {
        size_t length = strlen(relative) + 1;
        struct task *task = large->n < TASKS_MAX ? calloc(1, sizeof(*task) + length) : NULL;
        if (!task) {
                tree->is_behind = true;
                return NULL;
        }
        memcpy(task->relative, relative, length);
        task->tree = tree;
        task->next = large->tasks;
        large->tasks = task;
        large->n++;
        return task;
}

int large_ask(const struct baseline_tree *baseline, const char *relative, const struct node *now,
              struct node *ret_node, void *userdata) {
        struct sentry *sentry = userdata;
        struct large *large = sentry->large;
        struct tree *tree = (struct tree *)((char *)baseline - offsetof(struct tree, baseline));
        pthread_mutex_lock(&large->lock);
        struct task *task = *find(large, tree, relative) ?: task_new(large, tree, relative);
        int r = 0;
        if (task && is_as_read(task, now)) {
                r = node_copy(task->error < 0 ? now : &task->node, ret_node) < 0 ? -ENOMEM : 1;
        } else if (task && task->state != TASK_READING) {
                task->state = TASK_WAITS;
                task->size_bytes = now->size_bytes;
                pthread_cond_signal(&large->asked);
        }
        pthread_mutex_unlock(&large->lock);
        return r;
}

void large_note(struct sentry *sentry, const struct observation *observation) {
        struct large *large = sentry->large;
        pthread_mutex_lock(&large->lock);
        struct task *task = *find(large, observation->tree, observation->relative);
        if (task) {
                task->what |= observation->what & (FILE_CREATED | FILE_MODIFIED);
                if (!task->actor && observation->actor)
                        task->actor = actor_copy(observation->actor);
        }
        pthread_mutex_unlock(&large->lock);
}

void large_forget(struct sentry *sentry, const struct tree *tree, const char *relative) {
        struct large *large = sentry->large;
        pthread_mutex_lock(&large->lock);
        struct task **link = find(large, tree, relative), *task = *link;
        if (task && task->state != TASK_READING) {
                *link = task->next;
                large->n--;
                task_free(task);
        }
        pthread_mutex_unlock(&large->lock);
}

int large_new(struct sentry *sentry, struct large **ret_large) {
        struct large *large = calloc(1, sizeof(*large));
        if (!large)
                return -ENOMEM;
        large->sentry = sentry;
        pthread_mutex_init(&large->lock, NULL);
        pthread_cond_init(&large->asked, NULL);
        large->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        large->digester = digester_new();
        int r = large->event_fd < 0 || !large->digester ? -ENOMEM : 0;
        if (r == 0) {
                digester_set_stop(large->digester, &large->is_ending);
                r = sd_event_add_io(sentry->event, &large->source, large->event_fd, EPOLLIN, on_read, large);
        }
        if (r >= 0) {
                r = -pthread_create(&large->thread, NULL, run, large);
                large->has_thread = r == 0;
        }
        if (r < 0) {
                large_free(large);
                return r;
        }
        *ret_large = large;
        return 0;
}

struct large *large_free(struct large *large) {
        if (!large)
                return NULL;
        pthread_mutex_lock(&large->lock);
        atomic_store(&large->is_ending, true);
        pthread_cond_signal(&large->asked);
        pthread_mutex_unlock(&large->lock);
        if (large->has_thread)
                pthread_join(large->thread, NULL);
        while (large->tasks) {
                struct task *task = large->tasks;
                large->tasks = task->next;
                task_free(task);
        }
        sd_event_source_disable_unref(large->source);
        fd_closep(&large->event_fd);
        digester_free(large->digester);
        free(large);
        return NULL;
}
