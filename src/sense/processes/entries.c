/* See entries.h. */
#include "sense/processes/entries.h"

#include <string.h>

#include "base/slots.h"
#include "sense/processes/kept.h"
#include "sense/processes/table.h"

#define N_BUCKETS      8192 /* of pids: dense, so that the low bits are a good hash */
#define N_TEXT_BUCKETS 4096

struct text {
        struct text *next;
        uint32_t hash;
        uint32_t n_references;
        size_t size;
        char bytes[];
};

struct entries {
        struct entry *buckets[N_BUCKETS];
        struct text *texts[N_TEXT_BUCKETS];
        struct entry *first_exited, *last_exited;
        size_t n; /* entries in memory, ancestors included */
        size_t text_bytes;
        struct slots slots; /* without a map: kept for nobody */
};

struct entries *entries_new(void) {
        return calloc(1, sizeof(struct entries));
}

const char *text_of(const struct text *text) {
        return text ? text->bytes : NULL;
}

static struct text *text_take(struct entries *entries, const char *string) {
        uint32_t hash = 2166136261u;
        for (const char *c = string; *c; c++)
                hash = (hash ^ (uint8_t)*c) * 16777619u;
        struct text **bucket = &entries->texts[hash % N_TEXT_BUCKETS];
        for (struct text *text = *bucket; text; text = text->next)
                if (text->hash == hash && !strcmp(text->bytes, string)) {
                        text->n_references++;
                        return text;
                }
        size_t size = sizeof(struct text) + strlen(string) + 1;
        struct text *text = malloc(size);
        if (!text)
                return NULL;
        *text = (struct text){.next = *bucket, .hash = hash, .n_references = 1, .size = size};
        strcpy(text->bytes, string);
        *bucket = text;
        entries->text_bytes += size;
        return text;
}

static void text_drop(struct entries *entries, struct text *text) {
        if (!text || --text->n_references)
                return;
        struct text **link = &entries->texts[text->hash % N_TEXT_BUCKETS];
        while (*link != text)
                link = &(*link)->next;
        *link = text->next;
        entries->text_bytes -= text->size;
        free(text);
}

static struct text *text_share(struct text *text) {
        if (text)
                text->n_references++;
        return text;
}

struct entry *entry_reference(struct entry *entry) {
        if (entry)
                entry->n_references++;
        return entry;
}

/* A loop, not a recursion: a chain of ancestors can be long. */
void entries_unreference(struct entries *entries, struct entry *entry) {
        while (entry && --entry->n_references == 0) {
                struct entry *parent = entry->parent;
                slots_give(&entries->slots, entry->slot);
                text_drop(entries, entry->executable);
                text_drop(entries, entry->command_line);
                free(entry);
                entries->n--;
                entry = parent;
        }
}

static void unlist(struct entries *entries, struct entry *entry) {
        struct entry **link = &entries->buckets[(unsigned)entry->pid % N_BUCKETS];
        while (*link && *link != entry)
                link = &(*link)->next;
        if (*link)
                *link = entry->next;
        entry->next = NULL;
        entry->is_listed = false;
}

struct entry *entries_find(struct entries *entries, pid_t pid) {
        struct entry *entry = entries->buckets[(unsigned)pid % N_BUCKETS];
        while (entry && entry->pid != pid)
                entry = entry->next;
        return entry;
}

void entries_keep(struct entries *entries, struct entry *entry) {
        if (entry->slot == SLOT_NONE && (entry->slot = slots_take(&entries->slots)) == SLOT_NONE)
                return;
        slots_withdraw(&entries->slots, entry->slot);
        kept_encode(entry, entry->parent ? entry->parent->slot : SLOT_NONE,
                    slots_at(&entries->slots, entry->slot), SLOT_BYTES_MAX);
        slots_publish(&entries->slots, entry->slot);
}

/* Parents that have exited are forgotten past a depth: a chain of forks cannot grow without end. */
static void cut_ancestors(struct entries *entries, struct entry *entry) {
        for (unsigned depth = 0; entry; entry = entry->parent)
                if (++depth > ENTRIES_DEPTH_MAX && entry->parent && entry->parent->exited_ns) {
                        entries_unreference(entries, STEAL(entry->parent));
                        entries_keep(entries, entry);
                }
}

void entries_set_parent(struct entries *entries, struct entry *entry, struct entry *parent) {
        for (struct entry *ancestor = parent; ancestor; ancestor = ancestor->parent)
                if (ancestor == entry)
                        return;
        entry_reference(parent);
        entries_unreference(entries, entry->parent);
        entry->parent = parent;
        entries_keep(entries, entry);
        cut_ancestors(entries, entry);
}

struct entry *entries_add(struct entries *entries, pid_t pid, struct entry *parent) {
        if (entries->n >= PROCESS_TABLE_MAX && !entries->first_exited)
                return NULL;
        struct entry *entry = calloc(1, sizeof(*entry));
        if (!entry)
                return NULL;
        struct entry *old = entries_find(entries, pid);
        if (old) {
                unlist(entries, old);
                if (!old->exited_ns) { /* its exit was lost; the exited hold their own reference */
                        old->exited_ns = 1;
                        entries_keep(entries, old);
                        entries_unreference(entries, old);
                }
        }
        entry->pid = pid;
        entry->slot = SLOT_NONE;
        entry->n_references = 1; /* the list's, later the order of exit's */
        entry->uid = parent ? parent->uid : (uid_t)-1;
        entry->login_uid = parent ? parent->login_uid : ACTOR_UNSET;
        entry->session = parent ? parent->session : ACTOR_UNSET;
        entry->executable = text_share(parent ? parent->executable : NULL);
        entry->command_line = text_share(parent ? parent->command_line : NULL);
        entry->is_listed = true;
        struct entry **bucket = &entries->buckets[(unsigned)pid % N_BUCKETS];
        entry->next = *bucket;
        *bucket = entry;
        entries->n++;
        entries_set_parent(entries, entry, parent);
        return entry;
}

int entries_set_image(struct entries *entries, struct entry *entry, const char *executable,
                      const char *command_line) {
        struct text *new_executable = *executable ? text_take(entries, executable) : NULL;
        struct text *new_command_line = *command_line ? text_take(entries, command_line) : NULL;
        text_drop(entries, entry->executable);
        text_drop(entries, entry->command_line);
        entry->executable = new_executable;
        entry->command_line = new_command_line;
        entries_keep(entries, entry);
        return (*executable && !new_executable) || (*command_line && !new_command_line) ? -ENOMEM : 0;
}

void entries_exit(struct entries *entries, struct entry *entry, uint64_t now_ns) {
        if (entry->exited_ns)
                return;
        entry->exited_ns = now_ns ? now_ns : 1;
        entry->next_exited = NULL;
        if (entries->last_exited)
                entries->last_exited->next_exited = entry;
        else
                entries->first_exited = entry;
        entries->last_exited = entry;
        entries_keep(entries, entry);
}

struct restored {
        struct kept kept;
        uint32_t slot;
        struct entry *entry;
};

/* The exited in order of exit, then those that live: as they would have been added. */
static int compare_restored(const void *a, const void *b) {
        uint64_t x = ((const struct restored *)a)->kept.exited_ns - 1;
        uint64_t y = ((const struct restored *)b)->kept.exited_ns - 1;
        return (x > y) - (x < y);
}

static struct entry *restore_one(struct entries *entries, const struct kept *kept) {
        const struct entry *known = entries_find(entries, kept->pid);
        struct entry *entry = known && !known->exited_ns ? NULL : entries_add(entries, kept->pid, NULL);
        if (!entry)
                return NULL;
        entry->start_ns = kept->start_ns;
        entry->forked_ns = kept->forked_ns;
        entry->uid = kept->uid;
        entry->login_uid = kept->login_uid;
        entry->session = kept->session;
        (void)entries_set_image(entries, entry, kept->executable, kept->command_line);
        if (kept->exited_ns)
                entries_exit(entries, entry, kept->exited_ns);
        return entry;
}

/* Nothing is written to the slots until all are read: a kill in between leaves them as they were. */
static int restore(struct entries *entries, struct slots *slots) {
        _cleanup_(freep) struct restored *list = calloc(slots->n_used ?: 1, sizeof(*list));
        _cleanup_(freep) struct entry **by_slot = calloc(slots->n, sizeof(*by_slot));
        size_t n = 0;
        if (!list || !by_slot)
                return -ENOMEM;
        for (uint32_t slot = 0; (slot = slots_next(slots, slot)) != SLOT_NONE && n < slots->n_used; slot++) {
                list[n].slot = slot;
                n += kept_decode(slots_at(slots, slot), SLOT_BYTES_MAX, &list[n].kept) == 0;
        }
        qsort(list, n, sizeof(*list), compare_restored);
        for (size_t i = 0; i < n; i++)
                by_slot[list[i].slot] = list[i].entry = restore_one(entries, &list[i].kept);
        for (size_t i = 0; i < n; i++)
                if (list[i].entry && list[i].kept.parent < slots->n)
                        entries_set_parent(entries, list[i].entry, by_slot[list[i].kept.parent]);
        for (uint32_t slot = 0; (slot = slots_next(slots, slot)) != SLOT_NONE; slot++)
                if (by_slot[slot])
                        by_slot[slot]->slot = slot;
                else
                        slots_give(slots, slot);
        return 0;
}

struct entries *entries_new_kept(int kept_fd) {
        _cleanup_(entries_freep) struct entries *entries = calloc(1, sizeof(struct entries));
        _cleanup_(slots_deinit) struct slots slots = {0};
        if (!entries || kept_fd < 0)
                return STEAL(entries);
        if (slots_init(&slots, kept_fd, 0) < 0 || restore(entries, &slots) < 0)
                return NULL;
        entries->slots = slots;
        slots = (struct slots){0};
        return STEAL(entries);
}

void entries_trim(struct entries *entries, uint64_t now_ns) {
        for (struct entry *entry; (entry = entries->first_exited);) {
                bool is_old = now_ns - entry->exited_ns > PROCESS_KEPT_AFTER_EXIT_NS;
                if (!is_old && entries->n <= PROCESS_TABLE_MAX &&
                    entries->text_bytes <= ENTRIES_TEXT_BYTES_MAX)
                        return;
                entries->first_exited = entry->next_exited;
                if (!entries->first_exited)
                        entries->last_exited = NULL;
                if (entry->is_listed)
                        unlist(entries, entry);
                entries_unreference(entries, entry);
        }
}

void entries_for_each_live(struct entries *entries, void (*visit)(struct entry *entry, void *userdata),
                           void *userdata) {
        for (size_t i = 0; i < N_BUCKETS; i++)
                for (struct entry *entry = entries->buckets[i], *next; entry; entry = next) {
                        next = entry->next;
                        if (!entry->exited_ns)
                                visit(entry, userdata);
                }
}

struct entries *entries_free(struct entries *entries) {
        if (!entries)
                return NULL;
        slots_deinit(&entries->slots); /* what is kept stays kept */
        while (entries->first_exited) {
                struct entry *entry = entries->first_exited;
                entries->first_exited = entry->next_exited;
                if (entry->is_listed)
                        unlist(entries, entry);
                entries_unreference(entries, entry);
        }
        for (size_t i = 0; i < N_BUCKETS; i++)
                while (entries->buckets[i]) {
                        struct entry *entry = entries->buckets[i];
                        unlist(entries, entry);
                        entries_unreference(entries, entry);
                }
        free(entries);
        return NULL;
}

size_t entries_count(const struct entries *entries) {
        return entries->n;
}

size_t entries_text_bytes(const struct entries *entries) {
        return entries->text_bytes;
}
