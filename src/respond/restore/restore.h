/*
 * Puts the approved state back at one path, from the vault.
 *
 * Every path is resolved from the tree's descriptor, beneath it and through no symbolic link (openat2(2),
 * Linux 5.6), so that a component swapped while we work cannot make us write elsewhere. The approved object
 * is made complete under a temporary name in the same directory and then takes the place of what stands
 * there in one step (RENAME_EXCHANGE). What stood there is put into the vault as evidence *after* it was
 * taken out of its place, so what is kept is what is removed, whoever changed it last; when the vault
 * cannot take it, it is left beside under a name of restore_is_temporary(). Nothing is ever destroyed
 * that is not kept. Where the object's content is as approved, only its attributes are put right.
 *
 * The result is verified by looking: opened again from the tree's root, hashed, compared.
 * A process that has the old object open or mapped keeps the old one; the new one is another inode (a hard
 * link from elsewhere keeps the old one too). struct node knows no inode flags: immutable and
 * append-only are cleared where they are in the way, which the notes say. A socket is not restored.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event/node.h"
#include "vault/store.h"

#define RESTORE_EVIDENCE_BYTES_MAX ((uint64_t)1 << 30) /* of one file; past that it is left beside */
#define RESTORE_REMOVED_MAX        200000              /* entries of a directory removed in one call */

/* What one restore needs beside the path. Borrowed; one thread at a time. */
struct restore_context {
        int tree_fd; /* the tree's root: a directory, O_PATH will do */
        struct store *store;
        bool durable; /* fsync what is written; evidence is on the disk before it is removed in any case */
        struct restore_journal *journal; /* NULL: what a crash leaves is not known to be ours */

        /* Called for each object put into the vault as evidence, with its path in the tree. May be NULL. */
        void (*kept)(const char *path, const struct node *node, void *userdata);
        void *userdata;
};

struct restore_request {
        const char *path;            /* relative to the tree; "" for its root */
        const struct node *approved; /* mode 0: nothing shall stand there */
        const struct node *seen;     /* what the finding saw there, or NULL */
        bool only_empty;             /* a directory goes only when nothing is in it: else -ENOTEMPTY */
};

enum restore_state {
        RESTORE_FAILED,
        RESTORE_DONE,
        RESTORE_NEEDLESS, /* it was as approved */
};

/* Bits of restore_result.notes. */
enum restore_note {
        RESTORE_NOTE_FLAGS_CLEARED = 1 << 0, /* immutable or append-only was in the way */
        RESTORE_NOTE_UNSEEN = 1 << 1,        /* what stood there was neither approved nor what was seen */
        RESTORE_NOTE_LEFT_BESIDE = 1 << 2,   /* evidence did not go into the vault, it is at `beside` */
        RESTORE_NOTE_XATTR_LOST = 1 << 3,    /* the approved extended attributes were not kept */
        RESTORE_NOTE_LINKED = 1 << 4,        /* the old object has further names, which still show it */
        RESTORE_NOTE_ATTRIBUTES = 1 << 5,    /* only attributes were put right */
};

struct restore_result {
        enum restore_state state;
        bool verified;
        int error; /* negative errno of a failure */
        unsigned notes;
        uint64_t n_kept;    /* objects put into the vault as evidence */
        struct node before; /* what stood there, with its digest; owned */
        struct node after;  /* what stands there now; owned; inode and times for catalog_touch() */
        char beside[64];    /* name beside the path, see RESTORE_NOTE_LEFT_BESIDE */
        char detail[256];   /* in words, one line of plain ASCII, for the ledger and for people */
};

/*
 * Returns 0 when the attempt was made (see result->state) or a negative errno when it could not be tried
 * (no memory). The parent directory must stand: restore_with_parents() in plan.h sees to that.
 */
int restore_node(const struct restore_context *context, const struct restore_request *request,
                 struct restore_result *ret_result);
void restore_result_deinit(struct restore_result *result);

/* A name of the form this file makes; anybody can make one, too. */
bool restore_is_temporary(const char *name);

/*
 * The temporary names that the restore at work uses, in a file only root reads, so that after a crash what it left
 * in a tree is told from what somebody else gave such a name. Survives the process; a power cut may lose it, and then
 * the left-over is a finding like any other.
 */
struct restore_journal {
        int fd;
};
int restore_journal_open(const char *state, struct restore_journal *ret_journal);
void restore_journal_close(struct restore_journal *journal);

/*
 * Takes what a restore that was cut off left in this tree: evidence into the vault, then removed. Calls `taken` with
 * the path of each, relative to the tree. Through no symbolic link. Returns how many there were, or an errno.
 */
int restore_collect_left(const struct restore_context *context,
                         void (*taken)(const char *path, void *userdata), void *userdata);
/* No restore is at work: forgets the names, in every tree. */
void restore_journal_clear(const struct restore_journal *journal);

/* Opens a tree's root for restore_context. */
int restore_open_tree(const char *path);
