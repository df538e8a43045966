/*
 * Every directory of a subtree, by descriptor, no symbolic link followed: to put marks on it. A directory that
 * is made meanwhile may be missed; one that cannot be opened (gone) is passed over.
 */
#pragma once

/* A negative return ends the walk and is returned, but for -ENOENT and -ESTALE. */
typedef int (*subtree_visit)(int directory_fd, void *userdata);

/*
 * Returns how many were visited, or a negative errno: -ENAMETOOLONG when the subtree is deeper than
 * SUBTREE_DEPTH_MAX (a descriptor is held open for each level); what is above was visited then.
 */
#define SUBTREE_DEPTH_MAX 256
int subtree_walk(const char *path, subtree_visit visit, void *userdata);
