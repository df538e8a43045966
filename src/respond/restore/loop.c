#include "respond/restore/loop.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/i18n.h"
#include "base/procfs.h"
#include "respond/hold/spare.h"

enum { LIMIT_MAX = 64, HELD_MAX = 256 };

/* The latest restores of one path, or by one lineage: a ring of times. */
struct counter {
        struct digest key;
        uint64_t used_ns;
        unsigned next;
        unsigned n_times;
        uint64_t times_ns[LIMIT_MAX];
};

/* Who was chosen, and whose child it was. */
struct held {
        pid_t pid, parent;
        uint64_t start_ns, parent_start_ns;
};

struct loop {
        struct loop_options options;
        loop_is_alive is_alive;
        void *userdata;
        struct held held[HELD_MAX];
        size_t next_held;
        size_t n_counters;
        struct counter counters[LOOP_ENTRIES_MAX];
};

static bool process_is_alive(pid_t pid, uint64_t start_ns, _unused_ void *userdata) {
        return procfs_is_alive(pid, start_ns);
}

int loop_new(const struct loop_options *options, loop_is_alive is_alive, void *userdata,
             struct loop **ret_loop) {
        struct loop *loop = calloc(1, sizeof(*loop));
        if (!loop)
                return -ENOMEM;
        struct loop_options o = *options;
        o.limit = o.limit ?: 3;
        o.limit_lineage = o.limit_lineage ?: 30;
        o.window_ns = o.window_ns ?: 60 * NS_PER_S;
        if (o.limit > LIMIT_MAX)
                o.limit = LIMIT_MAX;
        if (o.limit_lineage > LIMIT_MAX)
                o.limit_lineage = LIMIT_MAX;
        loop->options = o;
        loop->is_alive = is_alive ?: process_is_alive;
        loop->userdata = userdata;
        *ret_loop = loop;
        return 0;
}

struct loop *loop_free(struct loop *loop) {
        free(loop);
        return NULL;
}

uint64_t loop_clock_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_BOOTTIME, &t);
        return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct counter *counter_get(struct loop *loop, const struct digest *key) {
        struct counter *oldest = loop->counters;
        for (size_t i = 0; i < loop->n_counters; i++) {
                if (digest_equal(&loop->counters[i].key, key))
                        return &loop->counters[i];
                if (loop->counters[i].used_ns < oldest->used_ns)
                        oldest = &loop->counters[i];
        }
        if (loop->n_counters < LOOP_ENTRIES_MAX)
                oldest = &loop->counters[loop->n_counters++];
        *oldest = (struct counter){.key = *key};
        return oldest;
}

/*
 * Notes a restore. Returns how many lie in the window when those are at least `limit`, and the time of the
 * first of the last `limit`; otherwise 0.
 */
static unsigned counter_note(struct counter *counter, uint64_t now_ns, uint64_t window_ns, unsigned limit,
                             uint64_t *ret_first_ns) {
        counter->times_ns[counter->next] = counter->used_ns = now_ns;
        counter->next = (counter->next + 1) % LIMIT_MAX;
        if (counter->n_times < LIMIT_MAX)
                counter->n_times++;

        unsigned n = 0;
        for (unsigned i = 1; i <= counter->n_times; i++) {
                uint64_t at = counter->times_ns[(counter->next + LIMIT_MAX - i) % LIMIT_MAX];
                if (now_ns - at > window_ns)
                        break;
                if (++n == limit)
                        *ret_first_ns = at;
        }
        return n >= limit ? n : 0;
}

static const char *base_name(const char *path) {
        const char *slash = path ? strrchr(path, '/') : NULL;
        return slash ? slash + 1 : path;
}

static bool may_be_held(const struct actor *actor, size_t i, const char **ret_reason) {
        const char *name = base_name(actor->processes[i].executable);
        if (actor->processes[i].pid <= 1 || !name) {
                *ret_reason = name ? N_("it is started by init") : N_("its ancestors are not known");
                return false;
        }
        enum service service = spare_service(actor->processes[i].executable);
        if (service == SERVICE_SINGLE) {
                *ret_reason = N_("it is started anew by a service that must not be stopped");
                return false;
        }
        if (spare_is_above_us(actor->processes[i].pid)) {
                *ret_reason = N_("hinomi itself was started from there");
                return false;
        }
        if (service != SERVICE_POOL)
                return true;
        const char *parent =
                i + 1 < actor->n_processes ? base_name(actor->processes[i + 1].executable) : NULL;
        if (parent && !strcmp(parent, name))
                return true;
        *ret_reason = N_("it is started anew by the master of a server, which must not be stopped");
        return false;
}

static bool pool_is_spent(const struct loop *loop, const struct process *process,
                          const struct process *parent) {
        unsigned n = 0;
        for (size_t i = 0; i < HELD_MAX; i++) {
                const struct held *held = &loop->held[i];
                if (held->pid == process->pid && held->start_ns == process->start_ns)
                        return false; /* the same again: it was let go, or had more writes under way */
                if (parent && held->pid && held->parent == parent->pid &&
                    held->parent_start_ns == parent->start_ns &&
                    loop->is_alive(held->pid, held->start_ns, loop->userdata))
                        n++;
        }
        return n >= LOOP_HELD_PER_PARENT_MAX;
}

static void remember_held(struct loop *loop, const struct process *process, const struct process *parent) {
        for (size_t i = 0; i < HELD_MAX; i++)
                if (loop->held[i].pid == process->pid && loop->held[i].start_ns == process->start_ns)
                        return;
        loop->held[loop->next_held] = (struct held){process->pid, parent ? parent->pid : 0, process->start_ns,
                                                    parent ? parent->start_ns : 0};
        loop->next_held = (loop->next_held + 1) % HELD_MAX;
}

static enum loop_verdict choose(struct loop *loop, const struct actor *actor, uint64_t first_ns,
                                struct loop_choice *choice) {
        choice->reason = N_("nobody was seen doing it");
        for (size_t i = 0; actor && i < actor->n_processes; i++) {
                const struct process *process = &actor->processes[i];
                const struct process *parent = i + 1 < actor->n_processes ? process + 1 : NULL;
                if (!may_be_held(actor, i, &choice->reason))
                        return LOOP_NOBODY; /* nor anything above it */
                if (process->start_ns > first_ns ||
                    !loop->is_alive(process->pid, process->start_ns, loop->userdata)) {
                        choice->reason = N_("it is started anew each time, and by whom is not known");
                        continue;
                }
                if (pool_is_spent(loop, process, parent)) {
                        choice->reason = N_("enough workers of that server are held already");
                        return LOOP_NOBODY;
                }
                remember_held(loop, process, parent);
                choice->pid = process->pid;
                choice->start_ns = process->start_ns;
                choice->ancestor = i;
                choice->reason =
                        i ? "it starts what puts the change back" : "it puts the change back each time";
                return LOOP_HOLD;
        }
        return LOOP_NOBODY;
}

/* Executables and users, not pids: a tool that is started anew each time is one lineage. */
static int lineage_key(const struct actor *actor, struct digest *ret_key) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 0);
        int r = 0;
        for (size_t i = 0; r == 0 && i < actor->n_processes; i++)
                r = buffer_format(&text, "%u %s%c", actor->processes[i].uid,
                                  actor->processes[i].executable ?: "", '\0');
        return r < 0 ? r : digest_bytes(text.data, text.size, ret_key);
}

enum loop_verdict loop_note(struct loop *loop, const char *path, const struct actor *actor, uint64_t boot_ns,
                            struct loop_choice *ret_choice) {
        const struct loop_options *options = &loop->options;
        *ret_choice = (struct loop_choice){0};
        struct digest key;
        uint64_t first_ns = 0, lineage_first_ns = 0;
        unsigned n = 0;
        if (digest_bytes(path, strlen(path) + 1, &key) == 0)
                n = counter_note(counter_get(loop, &key), boot_ns, options->window_ns, options->limit,
                                 &first_ns);
        if (actor && actor->n_processes && lineage_key(actor, &key) == 0) {
                unsigned m = counter_note(counter_get(loop, &key), boot_ns, options->window_ns,
                                          options->limit_lineage, &lineage_first_ns);
                if (!n) {
                        n = m;
                        first_ns = lineage_first_ns;
                }
        }
        if (!n)
                return LOOP_NONE;
        ret_choice->n_restores = n;
        return choose(loop, actor, first_ns, ret_choice);
}
