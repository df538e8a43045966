#include "event/change.h"

struct change *change_new(void) {
        return calloc(1, sizeof(struct change));
}

struct change *change_free(struct change *change) {
        if (change) {
                free(change->path);
                node_deinit(&change->before);
                node_deinit(&change->after);
                actor_free(change->actor);
                free(change);
        }
        return NULL;
}

const char *zone_name(enum zone zone) {
        static const char *const names[] = {
                [ZONE_NONE] = "none", [ZONE_CODE] = "code",       [ZONE_EDITABLE] = "editable",
                [ZONE_DATA] = "data", [ZONE_IGNORED] = "ignored",
        };
        return (size_t)zone < ARRAY_SIZE(names) ? names[zone] : "unknown";
}
