/*
 * A guard of one's own for a drill: `watch` of this same binary with configuration, state and socket in the
 * drill's directory, and the talk with a guard over its control socket (control/protocol.h).
 */
#pragma once

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

struct guard {
        pid_t pid; /* 0: none */
        char directory[PATH_MAX];
};

/* A Ctrl-C or SIGTERM that is blocked and waits: the drill is to end. */
int drill_is_interrupted(void);

/*
 * Writes the configuration (one tree, mirrored, restored) and starts. guard_wait() returns when everything is
 * armed: 0, -ETIMEDOUT, -EINTR, or -ECHILD when it ended; its last words are then in DIRECTORY/guard.log.
 */
int guard_start(struct guard *guard, const char *binary, const char *packs, const char *directory,
                const char *tree, const char *profile);
int guard_wait(const struct guard *guard, unsigned wait_ms);
/* Ends it as Ctrl-C does and waits; after 30 s it is killed. */
void guard_stop(struct guard *guard);

/* Paths of it; into PATH_MAX bytes. */
void guard_path(const struct guard *guard, const char *name, char ret_path[static PATH_MAX]);

/* The last line of the guard's log, raw; empty when there is none. */
void guard_last_words(const struct guard *guard, char *ret_words, size_t size);

/* A connection to a guard: a descriptor or a negative errno. */
int guard_connect(const char *socket_path);

/* Asks and waits for the end; `ret_line` (may be NULL) is the last line's data or NULL, a new reference. Returns the
 * status of the end or a negative errno. Takes the reference of `request`. */
int guard_ask(int fd, json_t *request, unsigned wait_ms, json_t **ret_line);
