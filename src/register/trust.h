/*
 * Grants of trust: a running image, by the SHA-256 of its bytes, may for a time do in one tree what the shield would
 * otherwise stop. Given by a person, with a reason and an end; no program is trusted for its name or its path, and
 * none for good. A grant to an interpreter covers whatever script it runs: trust_interprets() is there to say so.
 *
 *   STATE/vault/trust.json   format, trusts: [{uid, image, tree, path, program, reason, interprets, begin_ns, end_ns}]
 *
 * Replaced as a whole. What of it makes no sense when read back is left out: then nobody is trusted by it. Times are
 * wall clock; before its beginning (a clock set back) a grant does not hold. Bound: TRUSTS_MAX.
 *
 * trust_holds() may be asked by any thread; everything else is one thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/digest.h"

#define TRUSTS_MAX           256
#define TRUST_UID_SIZE       24 /* "trust-" and 16 hexadecimal digits */
#define TRUST_REASON_MAX     500
#define TRUST_PATH_MAX       4096
#define TRUST_TIME_MAX_NS    (UINT64_C(365) * 24 * 3600 * NS_PER_S)
#define TRUST_FILE_BYTES_MAX ((size_t)16 << 20)

struct trust {
        char uid[TRUST_UID_SIZE];
        struct digest image;
        int64_t tree;  /* catalog id */
        char *path;    /* of the tree, as raw bytes */
        char *program; /* where the image stood when it was granted, as raw bytes: for people */
        char *reason;  /* one line of UTF-8 */
        bool interprets;
        uint64_t begin_ns, end_ns;
};

void trust_deinit(struct trust *trust);

struct trusts;

/*
 * Reads what was granted. 0; 1: the file is there and cannot be read as one, nobody is trusted by it; or a negative
 * errno.
 */
int trusts_open(const char *state, struct trusts **ret_trusts);
struct trusts *trusts_close(struct trusts *trusts);
DEFINE_CLEANUP(struct trusts *, trusts_close);

/* Is a process that runs this image trusted in that tree now? */
bool trust_holds(const struct trusts *trusts, const struct digest *image, int64_t tree, uint64_t now_ns);

/*
 * Grants what `grant` says (copied; its uid is made here) and keeps it. `ret_trust` is borrowed until the next change.
 * -EINVAL: no reason, or more than one line; -ERANGE: no end, or more than TRUST_TIME_MAX_NS away; -ENOSPC: TRUSTS_MAX
 * hold; otherwise it could not be kept, and does not hold.
 */
int trust_grant(struct trusts *trusts, const struct trust *grant, const struct trust **ret_trust);

typedef void (*trust_ended)(const struct trust *trust, void *userdata);

/* Ends one at once, also where that cannot be kept (negative errno; trusts_expire() tries again). -ENOENT: no such. */
int trust_revoke(struct trusts *trusts, const char *uid, trust_ended ended, void *userdata);

/* Forgets those whose time is over. Returns how many. */
int trusts_expire(struct trusts *trusts, uint64_t now_ns, trust_ended ended, void *userdata);

/* Index from 0, NULL past the end. */
const struct trust *trusts_get(const struct trusts *trusts, size_t index);

/* Is a program of that name known to run whatever it is told to? A hint for people, by name. */
bool trust_interprets(const char *path);

/*
 * The file's text. Returns how many entries make sense (each to be freed by trust_deinit()), or -EBADMSG when it is
 * no such file. Pure.
 */
int trusts_decode(const char *text, size_t size, struct trust ret_items[static TRUSTS_MAX]);
/* Owned, NULL-terminated; NULL: out of memory. */
char *trusts_encode(const struct trust *items, size_t n);
