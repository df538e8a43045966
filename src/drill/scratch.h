/*
 * The stage of a drill: a private directory with a made-up shop or a copy of a real application, and which of
 * its files are played with. Everything is below one directory, which scratch_remove() takes away.
 */
#pragma once

#include <limits.h>

#include "base/cleanup.h"

struct scratch {
        char path[PATH_MAX]; /* the private directory */
        char tree[PATH_MAX]; /* the application in it */
        char *template_path; /* absolute: a file of its code, the checkout where one is found; owned */
        char *upload_path;   /* absolute: where an upload could put PHP; nothing stands there; owned */
        const char *profile; /* static */
};

/*
 * Makes it below `parent` (NULL: $TMPDIR or /var/tmp). `of` is copied with cp(1), reflinked where that can be;
 * NULL: the made-up shop. `packs` names the profiles, by which code and uploads are told apart. -ENOENT: no
 * code was found in the copy.
 */
int scratch_make(struct scratch *scratch, const char *parent, const char *of, const char *packs);
void scratch_remove(struct scratch *scratch);
