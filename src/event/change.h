/*
 * A change in a guarded tree: what stood there, what stands there now, and who did it.
 * Made by sense/files and roles/sentry, judged by detect/tamper, undone by respond/restore.
 */
#pragma once

#include "event/actor.h"
#include "event/node.h"

/* How an application's profile sees a path (packs/profiles). */
enum zone {
        ZONE_NONE,     /* the tree has no profile: every change matters, none is judged by content */
        ZONE_CODE,     /* changes only in a release */
        ZONE_EDITABLE, /* its own admin pages write here: judged by content */
        ZONE_DATA,     /* uploads, cache: judged by what arrives */
        ZONE_IGNORED,  /* sessions, lock files: not looked at */
};

enum change_how {
        CHANGE_SEEN,     /* reported by the kernel while it happened */
        CHANGE_REVERTED, /* content is as approved again, but it was written in between */
        CHANGE_FOUND,    /* found by a sweep: made while hinomi was down, or through a mapping */
        CHANGE_REFUSED,  /* denied before it happened */
};

struct change {
        const char *tree; /* path of the tree; not owned */
        char *path;       /* absolute, raw bytes; owned */
        enum zone zone;
        bool php_expected; /* the application generates PHP here (profile_expects_php) */
        enum change_how how;
        unsigned difference; /* enum node_difference */
        struct node before;
        struct node after;
        uint64_t time_ns;    /* wall clock */
        struct actor *actor; /* owned; NULL: nobody was seen doing it */
        uint32_t ticket;     /* the sentry's, of what it has in hand (roles/sentry/unfinished.h) */
};

struct change *change_new(void);
struct change *change_free(struct change *change);
DEFINE_CLEANUP(struct change *, change_free);

const char *zone_name(enum zone zone);
