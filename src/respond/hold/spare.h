/*
 * Who is not stopped, whatever is said of it: hinomi and what it was started from, and the services that everybody
 * else depends on. An attack that comes in through a service is ended at what the service started, or at its client.
 *
 * A service is known by the image that runs, and never by what it calls itself: installed where only root installs,
 * owned by root and writable by root alone, and a child of init, or of another service.
 *
 * Limit: who loads his own code into a service's program and has it run as a child of init is taken for the service.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum service {
        SERVICE_NONE,
        SERVICE_SINGLE, /* stopping it stops the machine and not the attack */
        SERVICE_POOL,   /* a master with workers: a worker may be held */
};

/* What the executable of that path is, where only root installs programs; NULL: none. Pure. */
enum service spare_service(const char *executable);

/*
 * Serves it others: a file, web or database server, a login service, a service manager, and one of its workers as
 * well? `ret_since_ns` (may be NULL): when the eldest of its line below init was started, as in struct procfs_stat.
 */
bool spare_serves(pid_t pid, uint64_t *ret_since_ns);

/* Runs it our own executable? */
bool spare_is_ours(pid_t pid);

/* Were we started from it: a shell or terminal multiplexer that is everybody's who works there? */
bool spare_is_above_us(pid_t pid);
