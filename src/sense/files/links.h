/*
 * Files of a tree that have another name: written through a hard link outside, they change without an event
 * in any directory of the tree, and the directory outside may be one that the kernel was asked to be silent about.
 *
 * So a second group has a mark on every such file itself. They are found by a scan of the trees, done in
 * slices between events (the first at the start), and while the guard runs by the kernel's FAN_ATTRIB of an object
 * whose link count changed, which comes without a name and is never ignored: is the object one of ours
 * (fingerprints.h), it is marked at once and its name inside is looked for. What was written before the mark is
 * caught too: each file that is found is called back once, after it was marked, to be looked at.
 *
 * The second group is this process's own. When it is killed, the next one scans and looks again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "sense/files/notice.h"

#define LINKS_MAX 65536

struct watch;
struct links;

int links_new(struct watch *watch, struct links **ret_links);
struct links *links_free(struct links *links);
DEFINE_CLEANUP(struct links *, links_free);

int links_fd(const struct links *links);

/* The trees are others, or events were lost: forgets the names and scans everything. */
void links_rescan(struct links *links);

/* A directory came from somewhere: scans it and what is below. */
void links_scan_below(struct links *links, const char *path);

/* An entry of a tree came or went that is no directory. `key` may be NULL: not told by the kernel. */
void links_entry_came(struct links *links, const char *path, const uint8_t *key, size_t key_size);
void links_entry_went(struct links *links, const char *path, const uint8_t *key, size_t key_size);

/* FAN_ATTRIB without a name, done by `pid`. False: no file of a tree. */
bool links_count_changed(struct links *links, const uint8_t *key, size_t key_size, pid_t pid);

/*
 * A write through a directory outside, where the file systems report all writes: marks on single objects may
 * not be had there (subvolumes). False: no file of a tree.
 */
bool links_written(struct links *links, const struct notice *notice);

/* Works off events of the group and a slice of the scan. True: there is more to scan. */
bool links_dispatch(struct links *links);

struct links_counters {
        uint64_t n_files; /* fingerprints */
        uint64_t n_links;
        uint64_t n_refused; /* past LINKS_MAX: their other names are not watched */
        bool is_scanning;
};
void links_counters(const struct links *links, struct links_counters *ret_counters);
