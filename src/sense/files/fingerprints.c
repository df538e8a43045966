/* See fingerprints.h. Open addressing; out of memory is as full: yes to everything. */
#include "sense/files/fingerprints.h"

#include <stdlib.h>

static uint32_t fingerprint_of(uint64_t hash) {
        uint32_t fingerprint = (uint32_t)(hash >> 32);
        return fingerprint ? fingerprint : 1;
}

static bool insert(uint32_t *slots, size_t n_slots, uint32_t fingerprint) {
        /* Spread by multiplication: the slot must not be the fingerprint's own low bits alone. */
        for (size_t i = fingerprint * 2654435761u;; i++) {
                uint32_t *slot = &slots[i & (n_slots - 1)];
                if (*slot == fingerprint)
                        return false;
                if (!*slot) {
                        *slot = fingerprint;
                        return true;
                }
        }
}

static bool grow(struct fingerprints *set) {
        size_t n_slots = set->n_slots ? set->n_slots * 2 : 1024;
        uint32_t *slots = set->n < FINGERPRINTS_MAX ? calloc(n_slots, sizeof(*slots)) : NULL;
        if (!slots)
                return false;
        for (size_t i = 0; i < set->n_slots; i++)
                if (set->slots[i])
                        (void)insert(slots, n_slots, set->slots[i]);
        free(set->slots);
        set->slots = slots;
        set->n_slots = n_slots;
        return true;
}

void fingerprints_add(struct fingerprints *set, uint64_t hash) {
        if (set->is_full)
                return;
        if (set->n + set->n / 2 >= set->n_slots && !grow(set))
                set->is_full = true;
        else
                set->n += insert(set->slots, set->n_slots, fingerprint_of(hash));
}

bool fingerprints_has(const struct fingerprints *set, uint64_t hash) {
        uint32_t fingerprint = fingerprint_of(hash);
        if (set->is_full)
                return true;
        for (size_t i = fingerprint * 2654435761u; set->n_slots; i++) {
                uint32_t slot = set->slots[i & (set->n_slots - 1)];
                if (slot == fingerprint)
                        return true;
                if (!slot)
                        return false;
        }
        return false;
}

void fingerprints_deinit(struct fingerprints *set) {
        free(set->slots);
        *set = (struct fingerprints){0};
}
