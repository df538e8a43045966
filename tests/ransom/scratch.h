/* A tree that was made to be destroyed.
 *
 * Only a directory that scratch_make() made, and that therefore carries its marker, is ever opened for alteration.
 * Everything below it is reached with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV), a folder
 * at a time, and then by a single name that is not followed: no link and no mount leads out of it. A file with a
 * second name might stand outside as well, and is listed only when the caller says that it may be.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRATCH_MARKER ".hinomi-scratch"

struct target {
        char *path; /* below the root, without a leading '/' */
        uint64_t size_bytes, mtime_ns, inode;
};

struct targets {
        struct target *rows;
        size_t n;
};

/* Makes a new directory and its marker. -EEXIST: something stands there already. */
int scratch_make(const char *path);

/* The directory's descriptor, or -EPERM when it does not carry the marker. */
int scratch_open(const char *path);

/* Every regular file below root but the marker, in the order of the directories. */
int scratch_list(int root, bool with_links, struct targets *ret);
void targets_free(struct targets *targets);

/* The folder in which `path` stands, opened for reading; *ret_name is its last component, inside `path`. */
int scratch_folder(int root, const char *path, const char **ret_name);

/* A single name in a folder, never followed; the descriptor or a negative errno. */
int scratch_at(int folder, const char *name, int flags);
