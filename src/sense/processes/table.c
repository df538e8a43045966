/*
 * See table.h. The connector is read by whoever comes first, the table's thread or a caller who asks
 * for an actor: under the lock, everything that is ready. Notices of exec and exit are queued and called
 * back from the thread alone, without the lock.
 *
 * Known gap: an image that ends before its name is read (some 50 µs after exec on an idle machine) keeps
 * no name of its own; it is counted, and shows its parent's.
 */
#include "sense/processes/table.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "base/slots.h"
#include "sense/processes/connector.h"
#include "sense/processes/entries.h"
#include "sense/processes/proc.h"
#include "sense/processes/users.h"

#define NOTICES_MAX   4096
#define THREAD_NICE   (-10)
#define THREAD_STACK  ((size_t)256 << 10)
#define DRAIN_AT_ONCE 4096
#define SCANS_MAX     2 /* in a row; more comes with the next event */

struct notice {
        struct entry *entry; /* referenced */
        bool is_exit;
};

struct process_table {
        int connector_fd; /* -1: none */
        int wake_fd;
        bool is_ending;
        bool is_behind; /* /proc must be read again */
        bool has_thread;
        pthread_t thread;
        pthread_mutex_t lock;
        struct entries *entries;
        struct process_counters counters;
        struct proc_status scratch; /* large; under the lock */
        uint64_t boot_offset_ns;    /* time since boot minus monotonic: what the machine slept */
        struct notice notices[NOTICES_MAX];
        size_t first_notice, n_notices;
        process_exec_callback on_exec;
        process_exit_callback on_exit;
        void *exec_userdata, *exit_userdata;
};

static uint64_t boot_offset_ns(void) {
        struct timespec boot, monotonic;
        clock_gettime(CLOCK_MONOTONIC, &monotonic);
        clock_gettime(CLOCK_BOOTTIME, &boot);
        int64_t ns = (boot.tv_sec - monotonic.tv_sec) * (int64_t)NS_PER_S + boot.tv_nsec - monotonic.tv_nsec;
        return ns > 0 ? (uint64_t)ns : 0;
}

static void add_notice(struct process_table *table, struct entry *entry, bool is_exit) {
        if (is_exit ? !table->on_exit : !table->on_exec)
                return;
        if (table->n_notices == NOTICES_MAX) {
                table->counters.n_unnotified++;
                return;
        }
        size_t at = (table->first_notice + table->n_notices++) % NOTICES_MAX;
        table->notices[at] = (struct notice){entry_reference(entry), is_exit};
        if (table->n_notices == 1)
                eventfd_write(table->wake_fd, 1);
}

/* Start time as /proc gives it, asked for once: the connector's own clock is finer and would not be equal. */
static uint64_t start_of(struct entry *entry) {
        if (!entry->start_ns && !entry->exited_ns)
                entry->start_ns = proc_start_ns(entry->pid);
        if (!entry->start_ns && entry->forked_ns) {
                uint64_t tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
                entry->start_ns = entry->forked_ns / tick_ns * tick_ns;
        }
        return entry->start_ns;
}

static void fill_entry(struct process_table *table, struct entry *entry, const struct proc_status *status) {
        entry->start_ns = status->stat.start_ns;
        entry->login_uid = status->login_uid;
        entry->session = status->session;
        (void)entries_set_image(table->entries, entry, status->executable, status->command_line); /* keeps */
}

/* Reads a process that the connector did not tell of, and its ancestors. NULL: gone. */
static struct entry *learn(struct process_table *table, pid_t pid, unsigned depth) {
        struct proc_status *status = &table->scratch;
        if (pid <= 0 || depth > ENTRIES_DEPTH_MAX || proc_read(pid, status) < 0)
                return NULL;
        struct entry *entry = entries_find(table->entries, pid);
        if (!entry || entry->exited_ns ||
            (entry->start_ns && !procfs_same_start(entry->start_ns, status->stat.start_ns))) {
                entry = entries_add(table->entries, pid, NULL);
                if (!entry) {
                        table->counters.n_refused++;
                        return NULL;
                }
        }
        entry->uid = status->uid;
        fill_entry(table, entry, status);
        pid_t parent = status->stat.parent;
        if (!entry->parent && parent > 0 && parent != pid) {
                struct entry *known = entries_find(table->entries, parent);
                if (!known || known->exited_ns)
                        known = learn(table, parent, depth + 1);
                entries_set_parent(table->entries, entry, known);
        }
        return entry;
}

static void exit_if_gone(struct entry *entry, void *userdata) {
        struct process_table *table = userdata;
        uint64_t start_ns = proc_start_ns(entry->pid);
        if (start_ns && (!entry->start_ns || procfs_same_start(entry->start_ns, start_ns)))
                return;
        entries_exit(table->entries, entry, clock_monotonic_ns(&clock_system));
        add_notice(table, entry, true);
}

static void handle_fork(struct process_table *table, const struct process_event *event) {
        struct entry *parent = entries_find(table->entries, event->parent);
        if (!parent || parent->exited_ns)
                parent = learn(table, event->parent, 0);
        uint64_t forked_ns = event->monotonic_ns + table->boot_offset_ns;
        struct entry *entry = entries_find(table->entries, event->pid);
        table->counters.n_forks++;
        /* Read from /proc before this event was: the same process, now with its true parent. */
        if (entry && !entry->exited_ns && !entry->forked_ns &&
            procfs_same_start(entry->start_ns, forked_ns)) {
                entries_set_parent(table->entries, entry, parent);
        } else {
                entry = entries_add(table->entries, event->pid, parent);
                if (!entry) {
                        table->counters.n_refused++;
                        return;
                }
        }
        entry->forked_ns = forked_ns;
        entries_keep(table->entries, entry);
}

static void handle_exec(struct process_table *table, const struct process_event *event) {
        struct proc_status *status = &table->scratch;
        int r = proc_read_image(event->pid, status); /* before anything else: it may be gone in a moment */
        struct entry *entry = entries_find(table->entries, event->pid);
        table->counters.n_execs++;
        if (!entry || entry->exited_ns) /* not known; or a thread took over the id of its ended leader */
                entry = entries_add(table->entries, event->pid, entry ? entry->parent : NULL);
        if (!entry) {
                table->counters.n_refused++;
                return;
        }
        if (r == 0)
                fill_entry(table, entry, status);
        else /* unknown, rather than the name of what it was before */
                (void)entries_set_image(table->entries, entry, status->executable, status->command_line);
        if (!status->is_named)
                table->counters.n_unnamed++;
        if (r == 0 && !entry->parent)
                entry = learn(table, event->pid, 0) ?: entry;
        add_notice(table, entry, false);
}

static void handle_event(struct process_table *table, const struct process_event *event) {
        struct entry *entry;
        switch (event->kind) {
        case PROCESS_FORKED:
                handle_fork(table, event);
                break;
        case PROCESS_EXECUTED:
                handle_exec(table, event);
                break;
        case PROCESS_UID_CHANGED:
                entry = entries_find(table->entries, event->pid);
                if (entry && !entry->exited_ns) {
                        entry->uid = event->uid;
                        entries_keep(table->entries, entry);
                }
                break;
        case PROCESS_EXITED:
                table->counters.n_exits++;
                entry = entries_find(table->entries, event->pid);
                if (entry && !entry->exited_ns) {
                        entries_exit(table->entries, entry, event->monotonic_ns);
                        add_notice(table, entry, true);
                }
                break;
        default:
                break;
        }
}

/* Takes in what is ready. Returns 0, -ENOBUFS (something was lost) or the socket's negative errno. */
static int take_ready(struct process_table *table) {
        for (unsigned n = 0; table->connector_fd >= 0 && n < DRAIN_AT_ONCE; n++) {
                struct process_event event;
                int r = connector_receive(table->connector_fd, &event);
                if (r <= 0)
                        return r;
                handle_event(table, &event);
        }
        return 0;
}

/* The whole of /proc: at the start, and when the connector lost something. New processes do not wait for its
 * end. */
static int scan(struct process_table *table) {
        DIR *directory = opendir("/proc");
        int r = 0;
        if (!directory)
                return -errno;
        for (struct dirent *item; (item = readdir(directory));) {
                char *end;
                long pid = strtol(item->d_name, &end, 10);
                if (*end || pid <= 0)
                        continue;
                (void)learn(table, (pid_t)pid, 0);
                r = take_ready(table) ?: r;
        }
        closedir(directory);
        entries_for_each_live(table->entries, exit_if_gone, table);
        return r;
}

/* Takes in what is ready, and /proc where that is not all. With the lock. False: the connector is of no more
 * use. */
static bool drain(struct process_table *table) {
        int r = take_ready(table);
        if (r == 0 && table->is_behind)
                r = -ENOBUFS;
        for (unsigned n = 0; r == -ENOBUFS && n < SCANS_MAX; n++) {
                table->counters.n_lost++;
                r = scan(table);
        }
        table->is_behind = r == -ENOBUFS;
        if (r < 0 && r != -ENOBUFS)
                table->counters.has_connector = false;
        entries_trim(table->entries, clock_monotonic_ns(&clock_system));
        return table->counters.has_connector;
}

static int append_process(struct actor *actor, struct entry *entry) {
        struct process process = {
                .pid = entry->pid,
                .start_ns = start_of(entry),
                .uid = entry->uid,
                .login_uid = entry->login_uid,
                .session = entry->session,
                .executable = (char *)text_of(entry->executable),
                .command_line = (char *)text_of(entry->command_line),
        };
        int r = process_copy(&process, &actor->processes[actor->n_processes]);
        if (r >= 0)
                actor->n_processes++;
        return r;
}

static struct actor *make_actor(struct entry *entry) {
        _cleanup_(actor_freep) struct actor *actor = actor_new();
        if (!actor)
                return NULL;
        for (; entry && actor->n_processes < ACTOR_DEPTH_MAX; entry = entry->parent)
                if (append_process(actor, entry) < 0)
                        return NULL;
        return STEAL(actor);
}

/* Outside of the lock: names may come from a directory service. */
static struct actor *name_users(struct actor *actor) {
        for (size_t i = 0; actor && i < actor->n_processes; i++)
                actor->processes[i].user = user_name(actor->processes[i].uid);
        return actor;
}

/* Calls back for what is queued; the lock is held on entry and on return, not in between. */
static void call_back(struct process_table *table) {
        while (table->n_notices) {
                struct notice notice = table->notices[table->first_notice];
                table->first_notice = (table->first_notice + 1) % NOTICES_MAX;
                table->n_notices--;
                process_exec_callback on_exec = notice.is_exit ? NULL : table->on_exec;
                process_exit_callback on_exit = notice.is_exit ? table->on_exit : NULL;
                _cleanup_(actor_freep) struct actor *actor = on_exec ? make_actor(notice.entry) : NULL;
                pid_t pid = notice.entry->pid;
                uint64_t start_ns = on_exit ? start_of(notice.entry) : 0;
                entries_unreference(table->entries, notice.entry);
                pthread_mutex_unlock(&table->lock);
                if (on_exit)
                        on_exit(pid, start_ns, table->exit_userdata);
                else if (actor)
                        on_exec(name_users(actor), table->exec_userdata);
                pthread_mutex_lock(&table->lock);
        }
}

static void *run_thread(void *userdata) {
        struct process_table *table = userdata;
        struct pollfd ready[] = {{.fd = table->connector_fd, .events = POLLIN},
                                 {.fd = table->wake_fd, .events = POLLIN}};
        /* Names must be read while the process lives: ahead of it, where that is permitted. */
        const struct sched_param ahead = {.sched_priority = 1};
        if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &ahead) < 0)
                (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), THREAD_NICE);
        pthread_mutex_lock(&table->lock);
        (void)scan(table);
        while (!table->is_ending && drain(table)) {
                eventfd_t count;
                call_back(table);
                pthread_mutex_unlock(&table->lock);
                (void)poll(ready, 2, -1);
                (void)eventfd_read(table->wake_fd, &count);
                pthread_mutex_lock(&table->lock);
        }
        pthread_mutex_unlock(&table->lock);
        return NULL;
}

static int start_thread(struct process_table *table) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, THREAD_STACK);
        int r = -pthread_create(&table->thread, &attributes, run_thread, table);
        pthread_attr_destroy(&attributes);
        table->has_thread = r == 0;
        return r;
}

int process_table_kept_open(void) {
        return slots_open("processes", PROCESSES_KEPT_MAX);
}

int process_table_new_kept(int connector_fd, int kept_fd, struct process_table **ret_table) {
        _cleanup_(process_table_freep) struct process_table *table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;
        pthread_mutex_init(&table->lock, NULL);
        table->connector_fd = connector_fd;
        table->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        table->entries = entries_new_kept(kept_fd);
        table->boot_offset_ns = boot_offset_ns();
        table->counters.has_connector = connector_fd >= 0;
        if (table->wake_fd < 0)
                return -errno;
        if (!table->entries)
                return -ENOMEM;
        int r = connector_fd >= 0 ? start_thread(table) : 0;
        if (r < 0)
                return r;
        *ret_table = STEAL(table);
        return 0;
}

int process_table_new(int connector_fd, struct process_table **ret_table) {
        return process_table_new_kept(connector_fd, -1, ret_table);
}

struct process_table *process_table_free(struct process_table *table) {
        if (!table)
                return NULL;
        if (table->has_thread) {
                pthread_mutex_lock(&table->lock);
                table->is_ending = true;
                pthread_mutex_unlock(&table->lock);
                eventfd_write(table->wake_fd, 1);
                pthread_join(table->thread, NULL);
        }
        for (; table->n_notices; table->n_notices--) {
                entries_unreference(table->entries, table->notices[table->first_notice].entry);
                table->first_notice = (table->first_notice + 1) % NOTICES_MAX;
        }
        entries_free(table->entries);
        fd_closep(&table->wake_fd);
        pthread_mutex_destroy(&table->lock);
        free(table);
        return NULL;
}

/* The entry of a pid as of now. With the lock. */
static struct entry *look_up(struct process_table *table, pid_t pid) {
        if (!table->counters.has_connector)
                return learn(table, pid, 0) ?: entries_find(table->entries, pid);
        (void)drain(table);
        return entries_find(table->entries, pid) ?: learn(table, pid, 0);
}

struct actor *process_table_actor(struct process_table *table, pid_t pid) {
        pthread_mutex_lock(&table->lock);
        struct actor *actor = make_actor(look_up(table, pid));
        pthread_mutex_unlock(&table->lock);
        /* A session begins (pam_loginuid) after the process that it belongs to. */
        if (actor && actor->n_processes)
                proc_refresh_session(&actor->processes[0]);
        return name_users(actor);
}

struct actor *process_table_actor_since(struct process_table *table, pid_t pid, uint64_t start_ns) {
        pthread_mutex_lock(&table->lock);
        struct entry *entry = look_up(table, pid);
        bool is_same = entry && procfs_same_start(start_of(entry), start_ns);
        struct actor *actor = is_same ? make_actor(entry) : NULL;
        pthread_mutex_unlock(&table->lock);
        return name_users(actor);
}

bool process_table_descends(struct process_table *table, pid_t pid, pid_t root, uint64_t root_start_ns) {
        bool descends = false;
        pthread_mutex_lock(&table->lock);
        for (struct entry *entry = look_up(table, pid); entry && !descends; entry = entry->parent)
                descends = entry->pid == root && procfs_same_start(start_of(entry), root_start_ns);
        pthread_mutex_unlock(&table->lock);
        return descends;
}

uint64_t process_table_start_ns(struct process_table *table, pid_t pid) {
        pthread_mutex_lock(&table->lock);
        struct entry *entry = look_up(table, pid);
        uint64_t start_ns = entry ? start_of(entry) : 0;
        pthread_mutex_unlock(&table->lock);
        return start_ns;
}

void process_table_on_exec(struct process_table *table, process_exec_callback callback, void *userdata) {
        pthread_mutex_lock(&table->lock);
        table->on_exec = callback;
        table->exec_userdata = userdata;
        pthread_mutex_unlock(&table->lock);
}

void process_table_on_exit(struct process_table *table, process_exit_callback callback, void *userdata) {
        pthread_mutex_lock(&table->lock);
        table->on_exit = callback;
        table->exit_userdata = userdata;
        pthread_mutex_unlock(&table->lock);
}

void process_table_counters(struct process_table *table, struct process_counters *ret_counters) {
        pthread_mutex_lock(&table->lock);
        *ret_counters = table->counters;
        ret_counters->n_known = entries_count(table->entries);
        ret_counters->n_text_bytes = entries_text_bytes(table->entries);
        pthread_mutex_unlock(&table->lock);
}
