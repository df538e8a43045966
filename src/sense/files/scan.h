/*
 * A walk of the regular files below some directories, in small steps, for links.h: it tells each file's key and
 * whether it has more than one link. Entries that come and go meanwhile may be told or not.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "sense/files/notice.h"

struct scan;

struct scan *scan_new(void);
struct scan *scan_free(struct scan *scan);
DEFINE_CLEANUP(struct scan *, scan_free);

/* -ENOMEM. The path itself may be a symbolic link to a directory; below it none is followed. */
int scan_push(struct scan *scan, const char *path);
void scan_clear(struct scan *scan);

/* Some entries. False: there is nothing left. */
typedef void (*scan_visit)(const char *path, const struct file_key *key, bool is_linked, void *userdata);
bool scan_step(struct scan *scan, scan_visit visit, void *userdata);

/* Key of what stands at a path, a symbolic link not followed. */
int scan_key_of(const char *path, struct file_key *ret_key);
