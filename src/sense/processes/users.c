/* See users.h. A small table, overwritten by slot: a host has few uids at work at one time. */
#include "sense/processes/users.h"

#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define N_SLOTS 128
#define KEPT_NS (300 * NS_PER_S)

static struct {
        bool is_set;
        uid_t uid;
        uint64_t read_ns;
        char name[64]; /* empty: there is none */
} slots[N_SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool find(uid_t uid, uint64_t now_ns, char **ret_name) {
        bool found = false;
        pthread_mutex_lock(&lock);
        __typeof__(slots[0]) *slot = &slots[uid % N_SLOTS];
        if (slot->is_set && slot->uid == uid && now_ns - slot->read_ns < KEPT_NS) {
                found = true;
                *ret_name = *slot->name ? strdup(slot->name) : NULL;
        }
        pthread_mutex_unlock(&lock);
        return found;
}

char *user_name(uid_t uid) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        struct passwd entry, *result = NULL;
        char space[4096], *name = NULL;
        if (uid == (uid_t)-1 || find(uid, now_ns, &name))
                return name;
        bool found = getpwuid_r(uid, &entry, space, sizeof(space), &result) == 0 && result &&
                     strlen(result->pw_name) < sizeof(slots[0].name);
        pthread_mutex_lock(&lock);
        __typeof__(slots[0]) *slot = &slots[uid % N_SLOTS];
        slot->is_set = true;
        slot->uid = uid;
        slot->read_ns = now_ns;
        strcpy(slot->name, found ? result->pw_name : "");
        pthread_mutex_unlock(&lock);
        return found ? strdup(result->pw_name) : NULL;
}
