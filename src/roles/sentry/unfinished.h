/*
 * What the sentry has taken in and not finished: from the kernel's event until the ledger has the finding, or there is
 * none to make. It stands in slots that outlive the process (base/slots.h), so that a successor looks again at each
 * path, knowing what happened there and by whom: the process is named by pid and start time, and the process table,
 * which is kept likewise, knows the rest.
 *
 * A ticket stands for one such path (0: none) and has as many holders as parts of the sentry work on it: intake, then
 * inspect or packages, then notes. Any thread may call.
 *
 * Limits: UNFINISHED_MAX at a time, and paths that fit a slot; what is beyond is found by the sweep, without its
 * process. The one event at work when a process is killed counts twice in its successor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define UNFINISHED_MAX 20480

enum unfinished_kind {
        UNFINISHED_CHANGE,  /* file events at a path */
        UNFINISHED_REFUSED, /* an open that the gate denied */
        UNFINISHED_EXEC,    /* a suspicious execution; no path */
        UNFINISHED_KINDS,
};

struct unfinished_record {
        enum unfinished_kind kind;
        unsigned what, n_closes; /* as in struct observation */
        bool was_different;      /* when it was looked at; and nobody has put it back */
        uint64_t first_ns, last_ns;
        pid_t pid; /* 0: unknown */
        uint64_t start_ns;
        const char *path; /* absolute; points into the bytes when decoded */
};

struct unfinished;

/* In the parent. Returns the descriptor or a negative errno. */
int unfinished_open(void);

/* With what a predecessor left. `fd` -1: for nobody. */
int unfinished_new(int fd, struct unfinished **ret_unfinished);
struct unfinished *unfinished_free(struct unfinished *unfinished);
DEFINE_CLEANUP(struct unfinished *, unfinished_free);

/* Held once. 0: it does not fit. All of these take NULL and ticket 0, and do nothing. */
uint32_t unfinished_begin(struct unfinished *unfinished, const struct unfinished_record *record);
void unfinished_note(struct unfinished *unfinished, uint32_t ticket, unsigned what, unsigned n_closes,
                     uint64_t last_ns);
void unfinished_mark(struct unfinished *unfinished, uint32_t ticket, bool was_different);
void unfinished_hold(struct unfinished *unfinished, uint32_t ticket);
void unfinished_drop(struct unfinished *unfinished, uint32_t ticket);

/* Calls for each that a predecessor left; the callee holds the ticket once. */
typedef void (*unfinished_visit)(uint32_t ticket, const struct unfinished_record *record, void *userdata);
void unfinished_inherit(struct unfinished *unfinished, unfinished_visit visit, void *userdata);

/* Pure. 0, -ENAMETOOLONG; 0 or -EBADMSG. */
int unfinished_encode(const struct unfinished_record *record, uint8_t *bytes, size_t size);
int unfinished_decode(const uint8_t *bytes, size_t size, struct unfinished_record *ret_record);
