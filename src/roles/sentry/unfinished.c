/* See unfinished.h. */
#include "roles/sentry/unfinished.h"

#include <pthread.h>
#include <string.h>

#include "base/slots.h"

/* What stands in a slot; in the machine's own byte order, the memory does not outlive a boot. */
struct record_head {
        uint64_t first_ns, last_ns, start_ns;
        int32_t pid;
        uint32_t kind, what, n_closes, was_different, unused;
};

struct unfinished {
        struct slots slots;
        uint16_t *n_holders; /* by slot */
        pthread_mutex_t lock;
};

int unfinished_encode(const struct unfinished_record *record, uint8_t *bytes, size_t size) {
        size_t length = strlen(record->path) + 1;
        struct record_head head = {
                .first_ns = record->first_ns,
                .last_ns = record->last_ns,
                .start_ns = record->start_ns,
                .pid = record->pid,
                .kind = record->kind,
                .what = record->what,
                .n_closes = record->n_closes,
                .was_different = record->was_different,
        };
        if (length > size - sizeof(head))
                return -ENAMETOOLONG;
        memcpy(bytes, &head, sizeof(head));
        memcpy(bytes + sizeof(head), record->path, length);
        return 0;
}

int unfinished_decode(const uint8_t *bytes, size_t size, struct unfinished_record *ret_record) {
        struct record_head head;
        if (size <= sizeof(head))
                return -EBADMSG;
        memcpy(&head, bytes, sizeof(head));
        const char *path = (const char *)bytes + sizeof(head);
        bool has_path = memchr(path, '\0', size - sizeof(head)) && (*path == '/' || !*path);
        if (head.kind >= UNFINISHED_KINDS || head.pid < 0 || !has_path ||
            (*path == '/') == (head.kind == UNFINISHED_EXEC))
                return -EBADMSG;
        *ret_record = (struct unfinished_record){
                .kind = head.kind,
                .what = head.what,
                .n_closes = head.n_closes,
                .was_different = head.was_different,
                .first_ns = head.first_ns,
                .last_ns = head.last_ns,
                .pid = head.pid,
                .start_ns = head.start_ns,
                .path = path,
        };
        return 0;
}

int unfinished_open(void) {
        return slots_open("unfinished", UNFINISHED_MAX);
}

int unfinished_new(int fd, struct unfinished **ret_unfinished) {
        _cleanup_(unfinished_freep) struct unfinished *unfinished = calloc(1, sizeof(*unfinished));
        if (!unfinished)
                return -ENOMEM;
        pthread_mutex_init(&unfinished->lock, NULL);
        int r = slots_init(&unfinished->slots, fd, UNFINISHED_MAX);
        if (r < 0)
                return r;
        unfinished->n_holders = calloc(unfinished->slots.n, sizeof(*unfinished->n_holders));
        if (!unfinished->n_holders)
                return -ENOMEM;
        *ret_unfinished = STEAL(unfinished);
        return 0;
}

struct unfinished *unfinished_free(struct unfinished *unfinished) {
        if (unfinished) {
                slots_deinit(&unfinished->slots);
                free(unfinished->n_holders);
                pthread_mutex_destroy(&unfinished->lock);
                free(unfinished);
        }
        return NULL;
}

uint32_t unfinished_begin(struct unfinished *unfinished, const struct unfinished_record *record) {
        if (!unfinished)
                return 0;
        pthread_mutex_lock(&unfinished->lock);
        uint32_t slot = slots_take(&unfinished->slots);
        if (slot != SLOT_NONE) {
                int r = unfinished_encode(record, slots_at(&unfinished->slots, slot), SLOT_BYTES_MAX);
                unfinished->n_holders[slot] = r == 0;
                if (r == 0)
                        slots_publish(&unfinished->slots, slot);
                else
                        slots_give(&unfinished->slots, slot);
                slot = r == 0 ? slot : SLOT_NONE;
        }
        pthread_mutex_unlock(&unfinished->lock);
        return slot == SLOT_NONE ? 0 : slot + 1;
}

void unfinished_note(struct unfinished *unfinished, uint32_t ticket, unsigned what, unsigned n_closes,
                     uint64_t last_ns) {
        if (!unfinished || !ticket)
                return;
        struct record_head *head = slots_at(&unfinished->slots, ticket - 1);
        head->what = what;
        head->n_closes = n_closes;
        head->last_ns = last_ns;
}

void unfinished_mark(struct unfinished *unfinished, uint32_t ticket, bool was_different) {
        if (unfinished && ticket)
                ((struct record_head *)slots_at(&unfinished->slots, ticket - 1))->was_different =
                        was_different;
}

void unfinished_hold(struct unfinished *unfinished, uint32_t ticket) {
        if (!unfinished || !ticket)
                return;
        pthread_mutex_lock(&unfinished->lock);
        unfinished->n_holders[ticket - 1] += unfinished->n_holders[ticket - 1] < UINT16_MAX;
        pthread_mutex_unlock(&unfinished->lock);
}

void unfinished_drop(struct unfinished *unfinished, uint32_t ticket) {
        if (!unfinished || !ticket)
                return;
        pthread_mutex_lock(&unfinished->lock);
        uint16_t *n = &unfinished->n_holders[ticket - 1];
        /* So many that they were not counted: finished by the last process, or never. */
        if (*n != UINT16_MAX && --*n == 0)
                slots_give(&unfinished->slots, ticket - 1);
        pthread_mutex_unlock(&unfinished->lock);
}

void unfinished_inherit(struct unfinished *unfinished, unfinished_visit visit, void *userdata) {
        struct slots *slots = &unfinished->slots;
        for (uint32_t slot = 0; (slot = slots_next(slots, slot)) != SLOT_NONE; slot++) {
                struct unfinished_record record;
                uint8_t bytes[SLOT_BYTES_MAX];
                pthread_mutex_lock(&unfinished->lock);
                bool is_own = unfinished->n_holders[slot] > 0;
                memcpy(bytes, slots_at(slots, slot), sizeof(bytes));
                bool is_good = !is_own && unfinished_decode(bytes, sizeof(bytes), &record) == 0;
                if (!is_own && !is_good)
                        slots_give(slots, slot);
                unfinished->n_holders[slot] += is_good;
                pthread_mutex_unlock(&unfinished->lock);
                if (is_good)
                        visit(slot + 1, &record, userdata);
        }
}
