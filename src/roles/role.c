#include "roles/role.h"

#include <stddef.h>

const char *role_name(enum role_id id) {
        static const char *const names[ROLE_COUNT] = {"parent", "sentry", "assayer", "engine", "ledger"};
        return id < ROLE_COUNT ? names[id] : NULL;
}
