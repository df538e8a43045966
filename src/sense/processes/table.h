/*
 * Who is running, and who was: a table of processes kept up by the kernel's process
 * connector (fork, exec, uid, exit over netlink; Documentation/driver-api/connector.rst), so that a
 * process that lived two milliseconds still has a name, a command line and ancestors.
 *
 * A thread of its own reads the connector; every function may be called from any thread.
 * Bounded: PROCESS_TABLE_MAX live and recently exited processes, oldest exited forgotten first.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/actor.h"

#define PROCESS_TABLE_MAX          32768
#define PROCESSES_KEPT_MAX         16384
#define PROCESS_KEPT_AFTER_EXIT_NS UINT64_C(120000000000)

struct process_table;

/*
 * In the parent: a netlink socket bound to the connector's process group, subscribed and answered.
 * -EOPNOTSUPP or -EPERM where there is none (a container, no CAP_NET_ADMIN).
 */
int process_connector_open(void);

/*
 * Follows the connector in a thread and reads /proc once. With `connector_fd` -1 there is no thread:
 * every question is answered from /proc as it is at that time (counters say so), and no callback comes.
 * The descriptor stays the caller's.
 */
int process_table_new(int connector_fd, struct process_table **ret_table);

/* In the parent: memory in which a table is kept for its successor. Returns the descriptor or a negative errno. */
int process_table_kept_open(void);

/*
 * As process_table_new(), and begins with what a predecessor knew, recent exits and true parents included. Kept are
 * PROCESSES_KEPT_MAX processes; names are cut to some 450 bytes there.
 */
int process_table_new_kept(int connector_fd, int kept_fd, struct process_table **ret_table);
struct process_table *process_table_free(struct process_table *table);
DEFINE_CLEANUP(struct process_table *, process_table_free);

/*
 * The actor for a pid as named by an event read just now (it may have exited). What the connector
 * has ready is taken in first, so that the answer is not behind the event. n_processes 0: nobody
 * knows the pid; NULL only when out of memory.
 */
struct actor *process_table_actor(struct process_table *table, pid_t pid);

/* The actor that had this pid and start time; NULL: not known any more, or out of memory. */
struct actor *process_table_actor_since(struct process_table *table, pid_t pid, uint64_t start_ns);

/* Is `pid` the process (root, root_start_ns) or descended from it by fork, whoever has died in between? */
bool process_table_descends(struct process_table *table, pid_t pid, pid_t root, uint64_t root_start_ns);

/* Start time of a live or kept process; 0: unknown. */
uint64_t process_table_start_ns(struct process_table *table, pid_t pid);

/* Called from the table's thread for each exec, with the new image's actor. */
typedef void (*process_exec_callback)(const struct actor *actor, void *userdata);
void process_table_on_exec(struct process_table *table, process_exec_callback callback, void *userdata);

/* Called for each exit. */
typedef void (*process_exit_callback)(pid_t pid, uint64_t start_ns, void *userdata);
void process_table_on_exit(struct process_table *table, process_exit_callback callback, void *userdata);

struct process_counters {
        uint64_t n_forks, n_execs, n_exits;
        uint64_t n_lost;       /* ENOBUFS: the kernel lost events; each was followed by a reading of /proc */
        uint64_t n_unnamed;    /* gone before executable and command line could be read */
        uint64_t n_refused;    /* not remembered: the table was full of live processes */
        uint64_t n_unnotified; /* execs and exits that were not called back: the queue was full */
        uint64_t n_known;      /* remembered now, ancestors included */
        uint64_t n_text_bytes;
        bool has_connector; /* false: /proc only, short-lived processes are not seen */
};
void process_table_counters(struct process_table *table, struct process_counters *ret_counters);
