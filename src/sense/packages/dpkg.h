/*
 * What dpkg says about a path: which package it belongs to, and the MD5 the package came with.
 *
 * Model: dpkg's own files are the truth and are read when asked: info/ *.list (which paths), info/ *.md5sums
 * (which content), the Conffiles of `status`, `diversions`. Only an index of 32-bit path hashes is held in
 * memory (8 bytes a path); it is brought up to date when the info directory has changed, re-reading the lists
 * that did. Merged /usr is seen through: /bin/x and /usr/bin/x are the same where /bin is a symbolic link.
 *
 * While dpkg unpacks, names like x.dpkg-new come and go and the sums are not yet there: the caller
 * defers its verdict until the dpkg process of the lineage has exited, then asks dpkg_check().
 *
 * Limits: MD5 is what dpkg keeps; nobody makes a second file for a given sum, but a package's author could
 * make a pair. A root attacker can alter the database. Mode and owner are not in it. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/actor.h"
#include "sense/packages/dpkg-text.h"

#define DPKG_PACKAGE_SIZE 192

struct dpkg;

/*
 * `root` is prepended to nothing that is looked up but is where merged /usr is looked at ("/" or a test's
 * --root); `admindir` is NULL for root's var/lib/dpkg. -ENOENT: no dpkg here.
 */
int dpkg_open(const char *root, const char *admindir, struct dpkg **ret_dpkg);
struct dpkg *dpkg_close(struct dpkg *dpkg);
DEFINE_CLEANUP(struct dpkg *, dpkg_close);

enum dpkg_state {
        DPKG_UNOWNED,  /* in no package's list */
        DPKG_NO_SUM,   /* in a list, but without a sum: a directory, a link, generated, or a package without
                          sums */
        DPKG_SUM,      /* `md5` is the content the package came with */
        DPKG_CONFFILE, /* `md5` is the content the package came with; an administrator may have edited it */
};

struct dpkg_expected {
        enum dpkg_state state;
        char package[DPKG_PACKAGE_SIZE]; /* "name" or "name:arch" */
        uint8_t md5[DPKG_MD5_BYTES];
};

/* What should stand at an absolute path (as seen from `root`). Returns 0, -EBADMSG (database corrupt) or an
 * errno. */
int dpkg_expected(struct dpkg *dpkg, const char *path, struct dpkg_expected *ret_expected);

enum dpkg_verdict {
        DPKG_EQUAL,              /* content is the package's own */
        DPKG_DIFFERENT,          /* it is not */
        DPKG_CONFFILE_EQUAL,     /* a configuration file as the package came with it */
        DPKG_CONFFILE_DIFFERENT, /* a configuration file that was edited, or not taken over */
        DPKG_GENERATED,          /* belongs to a package that has no sum for it */
        DPKG_FOREIGN,            /* belongs to no package */
        DPKG_REMOVED,            /* nothing regular stands there, and a package had it that has it no more */
};

/*
 * Compares the content of a regular file (read by pread(2) from `fd`) with what dpkg expects at `path`. `fd`
 * -1: nothing regular stands there; the answer is then GENERATED (listed without a sum), DIFFERENT or
 * FOREIGN. Returns enum dpkg_verdict or a negative errno. `ret_package` may be NULL.
 */
int dpkg_check(struct dpkg *dpkg, const char *path, int fd, char ret_package[DPKG_PACKAGE_SIZE]);

const char *dpkg_verdict_name(enum dpkg_verdict verdict);

/* Names dpkg makes while it unpacks and takes away again: .dpkg-new, .dpkg-tmp. */
bool dpkg_is_transient(const char *path);

/*
 * Is dpkg itself, run by root, among the actor's processes? Gives the outermost such process. It is known by
 * the path of its executable: limit: in another mount namespace that path may be another file.
 */
bool dpkg_is_running_lineage(const struct actor *actor, pid_t *ret_pid, uint64_t *ret_start_ns);
