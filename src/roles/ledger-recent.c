#include "roles/ledger-recent.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "ledger/ledger.h"

struct recent {
        size_t n;
        struct {
                struct digest content;
                uint64_t index;
        } items[RECENT_MAX];
};

/* The entry without what the ledger itself adds. */
static int content_digest(const json_t *entry, struct digest *ret_digest) {
        json_auto_t *copy = json_copy((json_t *)entry);
        json_object_del(copy, "time");
        json_object_del(copy, "clock");
        _cleanup_(freep) char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
        return text ? digest_bytes(text, strlen(text), ret_digest) : -ENOMEM;
}

static int recent_add(uint64_t index, const char *text, size_t size, void *userdata) {
        struct recent *recent = userdata;
        json_auto_t *entry = json_loadb(text, size, 0, NULL);
        if (recent->n == RECENT_MAX || !entry || content_digest(entry, &recent->items[recent->n].content) < 0)
                return 0;
        recent->items[recent->n++].index = index;
        return 0;
}

int recent_load(const char *state, uint64_t size, struct recent **ret_recent) {
        struct recent *recent = calloc(1, sizeof(*recent));
        if (!recent)
                return -ENOMEM;
        int r = ledger_read(state, size > RECENT_MAX ? size - RECENT_MAX : 0, size, recent_add, recent);
        if (r < 0) {
                free(recent);
                return r;
        }
        *ret_recent = recent;
        return 0;
}

struct recent *recent_free(struct recent *recent) {
        free(recent);
        return NULL;
}

int recent_take(struct recent *recent, const json_t *entry, uint64_t *ret_index) {
        struct digest content;
        if (!recent || !recent->n || content_digest(entry, &content) < 0)
                return 0;
        for (size_t i = 0; i < recent->n; i++) {
                if (!digest_equal(&recent->items[i].content, &content))
                        continue;
                *ret_index = recent->items[i].index;
                recent->items[i] = recent->items[--recent->n];
                return 1;
        }
        return 0;
}
