/*
 * What was reported and is not in the ledger yet. A state counts as reported when the ledger has
 * acknowledged the entry that says so, and not before: a sentry that dies in between finds it again by its
 * sweep. Until then it is known here, so that it is not reported twice.
 *
 *   added (part of the next entry of its finding) -> taken (the entry is on its way) -> settled (observed)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "roles/sentry/sentry.h"

#include <uthash.h>

struct note {
        struct note *next; /* in its batch */
        struct sentry *sentry;
        int64_t tree;
        struct node node;
        char finding[32];
        uint64_t time_ns;
        uint32_t ticket;   /* held until it is settled */
        bool is_cleared;   /* undone or approved meanwhile */
        char *relative;    /* NULL: the ticket alone */
        UT_hash_handle hh; /* the newest at its path */
        char key[];        /* tree index, '/', relative */
};

struct notes {
        struct note *by_path;
        struct note *added; /* not taken yet, newest first */
};

int notes_new(struct notes **ret_notes) {
        *ret_notes = calloc(1, sizeof(struct notes));
        return *ret_notes ? 0 : -ENOMEM;
}

static void note_free(struct note *note) {
        node_deinit(&note->node);
        free(note);
}

/* Those taken belong to letters of the outbox, which ended before. */
struct notes *notes_free(struct notes *notes) {
        if (!notes)
                return NULL;
        HASH_CLEAR(hh, notes->by_path);
        while (notes->added) {
                struct note *note = notes->added;
                notes->added = note->next;
                note_free(note);
        }
        free(notes);
        return NULL;
}

static struct note *find(struct notes *notes, const struct tree *tree, const char *relative) {
        char *key = NULL;
        struct note *note = NULL;
        int length = asprintf(&key, "%zu/%s", tree->index, relative);
        if (length >= 0)
                HASH_FIND(hh, notes->by_path, key, (size_t)length, note);
        free(key);
        return note;
}

/* Goes with the next entry of the finding. */
static void add(struct sentry *sentry, struct note *note, const char *finding, uint32_t ticket) {
        struct notes *notes = sentry->notes;
        note->sentry = sentry;
        note->ticket = ticket;
        unfinished_hold(sentry->unfinished, ticket);
        snprintf(note->finding, sizeof(note->finding), "%s", finding);
        note->next = notes->added;
        notes->added = note;
}

int notes_add_ticket(struct sentry *sentry, uint32_t ticket, const char *finding) {
        struct note *note = ticket ? calloc(1, sizeof(*note)) : NULL;
        if (!note)
                return ticket ? -ENOMEM : 0;
        add(sentry, note, finding, ticket);
        return 0;
}

int notes_add(struct sentry *sentry, const struct tree *tree, const struct change *change,
              const char *finding) {
        struct notes *notes = sentry->notes;
        const char *relative = tree_relative(tree, change->path);
        struct note *known = find(notes, tree, relative);
        int length = snprintf(NULL, 0, "%zu/%s", tree->index, relative);
        struct note *note = calloc(1, sizeof(*note) + (size_t)length + 1);
        if (!note || node_copy(&change->after, &note->node) < 0) {
                free(note);
                return -ENOMEM;
        }
        snprintf(note->key, (size_t)length + 1, "%zu/%s", tree->index, relative);
        note->relative = strchr(note->key, '/') + 1;
        note->tree = tree->id;
        note->time_ns = change->time_ns;
        if (known) {
                known->is_cleared = true;
                HASH_DEL(notes->by_path, known);
        }
        HASH_ADD(hh, notes->by_path, key, (size_t)length, note);
        add(sentry, note, finding, change->ticket);
        return 0;
}

void notes_clear(struct sentry *sentry, const struct tree *tree, const char *relative) {
        struct note *note = find(sentry->notes, tree, relative);
        if (note)
                note->is_cleared = true;
        observed_clear(sentry->observed, tree->id, relative);
}

bool notes_has(struct sentry *sentry, const struct tree *tree, const char *relative,
               const struct node *node) {
        struct note *note = find(sentry->notes, tree, relative);
        if (note)
                return !note->is_cleared && node_compare(&note->node, node) == 0;
        return observed_has(sentry->observed, tree->id, relative, node, NULL) > 0;
}

void *notes_take(struct sentry *sentry, const char *finding) {
        struct note *taken = NULL, **link = &sentry->notes->added;
        while (finding && *link) {
                struct note *note = *link;
                if (strcmp(note->finding, finding)) {
                        link = &note->next;
                        continue;
                }
                *link = note->next;
                note->next = taken;
                taken = note;
        }
        return taken;
}

static void observe(struct sentry *sentry, struct note *note) {
        struct note *newest = NULL;
        HASH_FIND(hh, sentry->notes->by_path, note->key, strlen(note->key), newest);
        observed_set(sentry->observed, note->tree, note->relative, note->finding, &note->node, note->time_ns);
        if (note->is_cleared)
                observed_clear(sentry->observed, note->tree, note->relative);
        if (newest == note)
                HASH_DEL(sentry->notes->by_path, note);
}

void notes_lost(void *taken) {
        for (struct note *note = taken, *next; note; note = next) {
                struct note *newest = NULL;
                next = note->next;
                if (note->relative)
                        HASH_FIND(hh, note->sentry->notes->by_path, note->key, strlen(note->key), newest);
                if (newest == note)
                        HASH_DEL(note->sentry->notes->by_path, note);
                unfinished_drop(note->sentry->unfinished, note->ticket);
                note_free(note);
        }
}

void notes_settled(uint64_t index, void *taken) {
        (void)index;
        struct note *first = taken;
        struct sentry *sentry = first->sentry;
        observed_begin(sentry->observed);
        for (struct note *note = first; note; note = note->next)
                if (note->relative)
                        observe(sentry, note);
        observed_commit(sentry->observed);
        for (struct note *note = first, *next; note; note = next) {
                next = note->next;
                unfinished_drop(sentry->unfinished, note->ticket);
                note_free(note);
        }
}
