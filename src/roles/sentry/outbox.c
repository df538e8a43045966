/*
 * Entries on their way to the ledger: numbered, sent in order, kept as text until acknowledged, sent
 * again when the ledger was restarted. While it takes none (disk full) at most OUTBOX_BYTES_MAX wait; what comes
 * after that is counted, and every tree is swept again until its changes could be entered.
 */
#include <errno.h>
#include <string.h>

#include "base/message.h"
#include "roles/sentry/sentry.h"

#define OUTBOX_BYTES_MAX ((size_t)32 << 20)

struct letter {
        struct letter *next;
        uint64_t id;
        char *text; /* owned */
        size_t size;
        outbox_done done;
        void *userdata;
};

struct outbox {
        struct letter *first, **end; /* all that is not acknowledged, in order */
        struct letter *unsent;       /* first of those not sent yet */
        size_t n, n_bytes;
        uint64_t next_id, n_refused;
        sd_event_source *writable;
};

static void letter_free(struct letter *letter) {
        free(letter->text);
        free(letter);
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)fd, (void)revents;
        outbox_push(userdata);
        return 0;
}

int outbox_new(struct sentry *sentry, struct outbox **ret_outbox) {
        struct outbox *outbox = calloc(1, sizeof(*outbox));
        if (!outbox)
                return -ENOMEM;
        outbox->end = &outbox->first;
        /* Numbers differ between lives, so that a late answer to the last one is not taken for this one's. */
        outbox->next_id = clock_monotonic_ns(&clock_system);
        int r = sd_event_add_io(sentry->event, &outbox->writable, sentry->context->peers[ROLE_LEDGER],
                                EPOLLOUT, on_writable, sentry);
        if (r < 0) {
                free(outbox);
                return r;
        }
        sd_event_source_set_enabled(outbox->writable, SD_EVENT_OFF);
        *ret_outbox = outbox;
        return 0;
}

struct outbox *outbox_free(struct outbox *outbox) {
        if (!outbox)
                return NULL;
        while (outbox->first) {
                struct letter *letter = outbox->first;
                outbox->first = letter->next;
                letter_free(letter);
        }
        sd_event_source_disable_unref(outbox->writable);
        free(outbox);
        return NULL;
}

size_t outbox_count(const struct outbox *outbox) {
        return outbox->n;
}

void outbox_push(struct sentry *sentry) {
        struct outbox *outbox = sentry->outbox;
        while (outbox->unsent) {
                struct letter *letter = outbox->unsent;
                int r = message_send_text(sentry->context->peers[ROLE_LEDGER], letter->text, letter->size,
                                          NULL, 0);
                if (r == -EAGAIN || r == -ENOBUFS) {
                        sd_event_source_set_enabled(outbox->writable, SD_EVENT_ON);
                        return;
                }
                outbox->unsent = letter->next;
        }
        sd_event_source_set_enabled(outbox->writable, SD_EVENT_OFF);
}

uint64_t outbox_refused(const struct outbox *outbox) {
        return outbox->n_refused;
}

static int refuse(struct sentry *sentry) {
        sentry->outbox->n_refused++;
        for (size_t i = 0; i < sentry->n_trees; i++)
                sentry->trees[i].is_behind = true;
        return -ENOBUFS;
}

int outbox_append(struct sentry *sentry, json_t *entry, outbox_done done, void *userdata) {
        struct outbox *outbox = sentry->outbox;
        uint64_t id = ++outbox->next_id;
        json_auto_t *body =
                json_pack("{s:s,s:I,s:o}", "type", "append", "id", (json_int_t)id, "entry", entry);
        struct letter *letter = outbox->n_bytes < OUTBOX_BYTES_MAX ? calloc(1, sizeof(*letter)) : NULL;
        if (!letter || !(letter->text = json_dumps(body, JSON_COMPACT))) {
                free(letter);
                return refuse(sentry);
        }
        letter->id = id;
        letter->size = strlen(letter->text);
        letter->done = done;
        letter->userdata = userdata;
        *outbox->end = letter;
        outbox->end = &letter->next;
        outbox->n++;
        outbox->n_bytes += letter->size;
        if (!outbox->unsent)
                outbox->unsent = letter;
        outbox_push(sentry);
        return 0;
}

void outbox_acknowledged(struct sentry *sentry, uint64_t id, uint64_t index) {
        struct outbox *outbox = sentry->outbox;
        struct letter **link = &outbox->first;
        while (*link && (*link)->id != id)
                link = &(*link)->next;
        struct letter *letter = *link;
        if (!letter)
                return;
        *link = letter->next;
        if (outbox->end == &letter->next)
                outbox->end = link;
        if (outbox->unsent == letter)
                outbox->unsent = letter->next;
        outbox->n--;
        outbox->n_bytes -= letter->size;
        if (letter->done)
                letter->done(index, letter->userdata);
        letter_free(letter);
        if (!outbox->n)
                reports_flush(sentry);
}

void outbox_resend(struct sentry *sentry) {
        sentry->outbox->unsent = sentry->outbox->first;
        outbox_push(sentry);
}
