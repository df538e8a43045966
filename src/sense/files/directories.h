/*
 * Which directory a key names, remembered: inside a guarded tree (with its path), part of a
 * tree's own path (a spine), or outside. Bounded to DIRECTORIES_MAX entries; the one not asked
 * for since the hand came by last is forgotten first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define DIRECTORIES_MAX   16384
#define DIRECTORY_OUTSIDE SIZE_MAX

struct directory {
        struct directory *next; /* in its bucket */
        uint64_t hash;
        size_t tree; /* place in the watch's list of trees, or DIRECTORY_OUTSIDE */
        char *path;  /* as shown; NULL outside */
        uint32_t n_hits;
        uint64_t
                marked_at; /* watch.emptied when it was marked: until then its files' events may be missing */
        bool is_spine;     /* a path component of some tree is an entry of it */
        bool is_recent;
        uint16_t key_size;
        uint8_t key[];
};

struct directories;

struct directories *directories_new(void);
struct directories *directories_free(struct directories *directories);
DEFINE_CLEANUP(struct directories *, directories_free);

struct directory *directories_find(struct directories *directories, const uint8_t *key, size_t key_size);

/* Adds, or replaces what is remembered. `path` NULL: outside. NULL when out of memory. Valid until the next
 * call that adds or forgets. */
struct directory *directories_put(struct directories *directories, const uint8_t *key, size_t key_size,
                                  size_t tree, const char *path);
void directories_forget_all(struct directories *directories);
size_t directories_count(const struct directories *directories);
