/*
 * The processes that are remembered: by pid, with their ancestors, bounded.
 *
 * An entry is kept while it lives, PROCESS_KEPT_AFTER_EXIT_NS after, and longer as the ancestor
 * of one that is kept. Bounds: PROCESS_TABLE_MAX entries and ENTRIES_TEXT_BYTES_MAX of names (each
 * text is stored once): past one of them the oldest exited goes first. Not locked.
 *
 * They are also kept in slots that outlive this process (kept.h), for a successor to start from.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define ENTRIES_TEXT_BYTES_MAX ((size_t)4 << 20)
#define ENTRIES_DEPTH_MAX      64 /* ancestors remembered past this are forgotten once they have exited */

struct text;

struct entry {
        struct entry *next;        /* in its bucket */
        struct entry *next_exited; /* in order of exit */
        struct entry *parent;      /* by fork; holds a reference */
        uint32_t n_references;
        pid_t pid;
        uint64_t start_ns;  /* /proc/PID/stat; 0: not known yet */
        uint64_t forked_ns; /* since boot, by the connector's clock; 0: not seen */
        uint64_t exited_ns; /* monotonic; 0: lives */
        uid_t uid;
        uint32_t login_uid;
        uint32_t session;
        struct text *executable; /* may be NULL */
        struct text *command_line;
        bool is_listed; /* found by pid */
        uint32_t slot;  /* where it is kept for a successor, or SLOT_NONE */
};

struct entries;

struct entries *entries_new(void);

/* With those that a predecessor kept in the slots (base/slots.h); -1: kept for nobody. NULL: out of memory. */
struct entries *entries_new_kept(int kept_fd);
struct entries *entries_free(struct entries *entries);
DEFINE_CLEANUP(struct entries *, entries_free);

/* The newest with this pid, exited or not. */
struct entry *entries_find(struct entries *entries, pid_t pid);

/*
 * A new one under `pid`; an older one of that pid is no longer found by it. It has its parent's
 * image and owners. NULL: out of memory, or the table is full of live processes.
 */
struct entry *entries_add(struct entries *entries, pid_t pid, struct entry *parent);
void entries_set_parent(struct entries *entries, struct entry *entry, struct entry *parent);

/* Empty text is none. */
int entries_set_image(struct entries *entries, struct entry *entry, const char *executable,
                      const char *command_line);

/* Keeps an entry as it is now. The functions here that change one do it; who writes into one calls it afterwards. */
void entries_keep(struct entries *entries, struct entry *entry);
void entries_exit(struct entries *entries, struct entry *entry, uint64_t now_ns);

/* Forgets what is over its time or over a bound. */
void entries_trim(struct entries *entries, uint64_t now_ns);

struct entry *entry_reference(struct entry *entry);
void entries_unreference(struct entries *entries, struct entry *entry);

const char *text_of(const struct text *text); /* NULL for NULL */

/* Calls for each that is found by pid and lives. */
void entries_for_each_live(struct entries *entries, void (*visit)(struct entry *entry, void *userdata),
                           void *userdata);
size_t entries_count(const struct entries *entries);
size_t entries_text_bytes(const struct entries *entries);
