/*
 * See shield.h. Record of the journal, in this machine's byte order:
 *
 *   magic (4), length of the path (4), tree (8), time (8), struct node, path
 *
 * Lock order: `lock` is the innermost; nothing is opened, read or kept while it is held.
 */
#include "roles/sentry/shield.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "roles/baseline-look.h"
#include "roles/sentry/cases.h"
#include "roles/sentry/sentry.h"
#include "sense/files/walk.h"

#define KNOWN_MAX         65536
#define ALWAYS_READ_BYTES ((uint64_t)1 << 20) /* larger ones are remembered although they changed just now */
#define JOURNAL_BYTES_MAX ((size_t)64 << 20)
#define JOURNAL_MAGIC     0x68697331u
#define COPY_NS_PER_BYTE  100 /* of the time that a copy may take: 10 MB/s */

struct known {
        uint64_t device, inode, size_bytes, mtime_ns, ctime_ns;
};

#define LINEAGES_MAX  64
#define OPENS_MAX     32
#define UNJUDGED_NS   (250 * NS_PER_MS) /* then nothing was changed, or the judge is behind */
#define LET_APART_NS  (10 * NS_PER_MS)
#define BAD_NS        (2 * NS_PER_S)
#define WELL_A_CREDIT 8
#define ASK_AGAIN_NS  (NS_PER_MS / 4)

/* Who opened what for writing, until it is judged. */
struct hand {
        pid_t root;
        uint64_t start_ns, used_ns;
        bool is_convicted;
        unsigned n_well;
        uint64_t bad_ns; /* when something was lost by it, last */
        uint64_t let_ns; /* when it was let through, last */
        struct {
                uint64_t inode, since_ns; /* 0: none */
        } opens[OPENS_MAX];
};

struct record {
        uint32_t magic, path_bytes;
        int64_t tree;
        uint64_t time_ns;
        struct node node; /* link_target is NULL */
};

struct shield {
        struct catalog *catalog; /* reads what is committed; the loop's may be in the middle of a batch */
        pthread_mutex_t lock;
        struct known *known; /* KNOWN_MAX, by inode */
        int journal_fd;
        uint64_t taken, end; /* of the journal: up to where it is in the catalog, and what there is */
        struct hand hands[LINEAGES_MAX];
        bool is_suspicious; /* some lineage may have to wait: nobody is let through at a glance */
        bool has_refusing;  /* some tree refuses: the path decides, too */
        struct shield_counters counters;
};

int shield_new(struct sentry *sentry, struct shield **ret_shield) {
        const char *state = sentry->context->state;
        _cleanup_(freep) char *path = NULL;
        bool is_wanted = false, has_refusing = false;
        for (size_t i = 0; i < sentry->config->n_trees; i++) {
                is_wanted |= sentry->config->trees[i].protect == PROTECT_SHIELD;
                has_refusing |= sentry->config->trees[i].respond == RESPOND_REFUSE;
        }
        if (!is_wanted)
                return 0;
        struct shield *shield = calloc(1, sizeof(*shield));
        if (!shield)
                return -ENOMEM;
        pthread_mutex_init(&shield->lock, NULL);
        shield->journal_fd = -EBADF;
        shield->has_refusing = has_refusing;
        shield->known = calloc(KNOWN_MAX, sizeof(*shield->known));
        int r = shield->known && asprintf(&path, "%s/vault/preserved", state) >= 0 ? 0 : -ENOMEM;
        if (r == 0) {
                shield->journal_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                r = shield->journal_fd < 0 ? -errno : 0;
        }
        struct stat st;
        if (r == 0)
                r = fstat(shield->journal_fd, &st) < 0 ? -errno : 0;
        if (r == 0) {
                shield->end = (uint64_t)st.st_size;
                r = catalog_open(state, true, &shield->catalog);
        }
        if (r < 0) {
                shield_free(shield);
                return r;
        }
        *ret_shield = shield;
        return 0;
}

struct shield *shield_free(struct shield *shield) {
        if (!shield)
                return NULL;
        catalog_close(shield->catalog);
        fd_closep(&shield->journal_fd);
        free(shield->known);
        pthread_mutex_destroy(&shield->lock);
        free(shield);
        return NULL;
}

static uint64_t ns_of(const struct timespec *time) {
        return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

static struct known known_of(const struct stat *st) {
        return (struct known){.device = st->st_dev,
                              .inode = st->st_ino,
                              .size_bytes = (uint64_t)st->st_size,
                              .mtime_ns = ns_of(&st->st_mtim),
                              .ctime_ns = ns_of(&st->st_ctim)};
}

static struct known *place_of(struct shield *shield, const struct known *known) {
        return &shield->known[known->inode * UINT64_C(0x9e3779b97f4a7c15) >> 48];
}
_Static_assert(KNOWN_MAX == 1 << 16, "place_of() takes 16 bits");

static void count(struct shield *shield, uint64_t *counter) {
        pthread_mutex_lock(&shield->lock);
        ++*counter;
        pthread_mutex_unlock(&shield->lock);
}

/* A tree that refuses is asked about whatever stands there. */
static bool is_refusing(struct sentry *sentry, int fd) {
        char link[32], path[PATH_MAX];
        if (!sentry->shield->has_refusing)
                return false;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        if (n < 0)
                return true;
        path[n] = '\0';
        const struct tree *tree = tree_of_path(sentry, path);
        return !tree || tree->config->protect != PROTECT_SHIELD;
}

bool shield_glance(int fd, bool is_late, void *userdata) {
        struct sentry *sentry = userdata;
        struct shield *shield = sentry->shield;
        struct stat st;
        if (!shield || fstat(fd, &st) < 0 || is_refusing(sentry, fd))
                return false;
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
                return true;
        struct known known = known_of(&st);
        pthread_mutex_lock(&shield->lock);
        bool is_known = (is_late || !shield->is_suspicious) &&
                        !memcmp(place_of(shield, &known), &known, sizeof(known));
        shield->counters.n_known += is_known;
        pthread_mutex_unlock(&shield->lock);
        return is_known;
}

/* `seen_ns`: the wall clock before its content was read. */
static void remember(struct shield *shield, int fd, const struct node *node, uint64_t seen_ns) {
        struct stat st;
        if (fstat(fd, &st) < 0)
                return;
        struct known known = known_of(&st);
        bool is_fresh = known.ctime_ns + BASELINE_DIRTY_NS > seen_ns;
        if (known.size_bytes != node->size_bytes || known.mtime_ns != node->mtime_ns ||
            known.ctime_ns != node->ctime_ns || (is_fresh && known.size_bytes < ALWAYS_READ_BYTES))
                return;
        pthread_mutex_lock(&shield->lock);
        *place_of(shield, &known) = known;
        pthread_mutex_unlock(&shield->lock);
}

static int append(struct shield *shield, const struct tree *tree, const char *relative,
                  const struct node *node) {
        uint64_t now_ns = clock_wall_ns(&clock_system);
        struct record record = {
                .magic = JOURNAL_MAGIC,
                .path_bytes = (uint32_t)strlen(relative),
                .tree = tree->id,
                .time_ns = node->ctime_ns < now_ns ? node->ctime_ns : now_ns,
                .node = *node,
        };
        _cleanup_(buffer_deinit) struct buffer bytes = {0};
        int r = buffer_append(&bytes, &record, sizeof(record));
        r = r < 0 ? r : buffer_append(&bytes, relative, record.path_bytes);
        if (r < 0)
                return r;
        pthread_mutex_lock(&shield->lock);
        r = shield->end + bytes.size > JOURNAL_BYTES_MAX
                    ? -ENOSPC
                    : io_pwrite_all(shield->journal_fd, bytes.data, bytes.size, shield->end);
        if (r == 0)
                shield->end += bytes.size;
        pthread_mutex_unlock(&shield->lock);
        return r;
}

/* 1: it was preserved; 0: it was safe; or a negative errno. */
static int preserve(struct sentry *sentry, struct tree *tree, const char *relative, int fd) {
        struct shield *shield = sentry->shield;
        uint64_t seen_ns = clock_wall_ns(&clock_system);
        _cleanup_(node_deinit) struct node approved = NODE_INIT;
        _cleanup_(node_deinit) struct node node = NODE_INIT;
        int r = node_stat(fd, "", &node);
        if (r < 0 || !S_ISREG(node.mode))
                return r;
        bool is_kept = catalog_get(shield->catalog, tree->id, relative, &approved) == 0 &&
                       S_ISREG(approved.mode) && store_has(sentry->store, &approved.digest);
        if (is_kept && node_stat_equal(&approved, &node)) {
                remember(shield, fd, &node, seen_ns);
                return 0;
        }
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        if (!digester)
                return -ENOMEM;
        struct looker looker = {
                .digester = digester,
                .store = sentry->store,
                .keep_bytes_max = UINT64_MAX,
                .known = is_kept ? &approved.digest : NULL,
        };
        r = look_at_open(&looker, fd, &node);
        if (r == 0 && looker.n_unkept)
                r = looker.store_error ?: -ENOSPC;
        if (r < 0)
                return r;
        bool is_same = is_kept && !node_compare(&approved, &node);
        r = is_same ? 0 : append(shield, tree, relative, &node);
        if (r < 0)
                return r;
        remember(shield, fd, &node, seen_ns);
        return !is_same;
}

/* With the lock, as what follows. */
static struct hand *hand_of(struct shield *shield, pid_t root, uint64_t start_ns, uint64_t now_ns) {
        struct hand *oldest = NULL;
        for (size_t i = 0; i < LINEAGES_MAX; i++) {
                struct hand *hand = &shield->hands[i];
                if (hand->root == root && hand->start_ns == start_ns) {
                        hand->used_ns = now_ns;
                        return hand;
                }
                if (!oldest || (hand->used_ns < oldest->used_ns && !hand->is_convicted))
                        oldest = hand;
        }
        *oldest = (struct hand){.root = root, .start_ns = start_ns, .used_ns = now_ns};
        return oldest;
}

static unsigned unjudged(struct hand *hand, uint64_t now_ns) {
        unsigned n = 0;
        for (size_t i = 0; i < OPENS_MAX; i++) {
                if (hand->opens[i].inode && now_ns - hand->opens[i].since_ns > UNJUDGED_NS)
                        hand->opens[i].inode = 0;
                n += hand->opens[i].inode != 0;
        }
        return n;
}

static void note_open(struct hand *hand, uint64_t inode, uint64_t now_ns) {
        size_t at = OPENS_MAX;
        for (size_t i = 0; i < OPENS_MAX; i++)
                if (hand->opens[i].inode == inode || (at == OPENS_MAX && !hand->opens[i].inode))
                        at = i;
        if (at == OPENS_MAX)
                return;
        hand->opens[at].inode = inode;
        hand->opens[at].since_ns = now_ns;
}

static void look_for_suspicion(struct shield *shield, uint64_t now_ns) {
        bool is_suspicious = false;
        for (size_t i = 0; i < LINEAGES_MAX && !is_suspicious; i++) {
                struct hand *hand = &shield->hands[i];
                is_suspicious = hand->is_convicted || (hand->root && unjudged(hand, now_ns) >= CREDITS);
        }
        shield->is_suspicious = is_suspicious;
}

void shield_judged(struct sentry *sentry, uint64_t inode, bool is_well) {
        struct shield *shield = sentry->shield;
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        if (!shield || !inode)
                return;
        pthread_mutex_lock(&shield->lock);
        for (size_t i = 0; i < LINEAGES_MAX; i++)
                for (size_t k = 0; shield->hands[i].root && k < OPENS_MAX; k++)
                        if (shield->hands[i].opens[k].inode == inode) {
                                shield->hands[i].opens[k].inode = 0;
                                shield->hands[i].n_well = is_well ? shield->hands[i].n_well + 1 : 0;
                                shield->hands[i].bad_ns = is_well ? shield->hands[i].bad_ns : now_ns;
                        }
        look_for_suspicion(shield, now_ns);
        pthread_mutex_unlock(&shield->lock);
}

void shield_convict(struct sentry *sentry, pid_t root, uint64_t start_ns, bool is_convicted) {
        struct shield *shield = sentry->shield;
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        if (!shield)
                return;
        pthread_mutex_lock(&shield->lock);
        hand_of(shield, root, start_ns, now_ns)->is_convicted = is_convicted;
        look_for_suspicion(shield, now_ns);
        pthread_mutex_unlock(&shield->lock);
}

/* False: it has to wait. Who is convicted waits until he is ended or held, or for the gate's deadline. */
static bool has_credit(struct sentry *sentry, const struct gate_request *request, uint64_t inode) {
        struct shield *shield = sentry->shield;
        _cleanup_(actor_freep) struct actor *actor = process_table_actor(sentry->processes, request->pid);
        if (!actor || !actor->n_processes)
                return true;
        const struct process *root = &actor->processes[lineage_root(actor)];
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        pthread_mutex_lock(&shield->lock);
        struct hand *hand = hand_of(shield, root->pid, root->start_ns, now_ns);
        bool is_bad = hand->bad_ns && now_ns - hand->bad_ns < BAD_NS;
        uint64_t waited_ns = request->asked_ns ? now_ns - request->asked_ns : CREDIT_WAIT_BAD_NS;
        /* Not all that wait at once: they may be hundreds. */
        bool is_patient = waited_ns < (is_bad ? CREDIT_WAIT_BAD_NS : CREDIT_WAIT_NS) ||
                          (waited_ns < CREDIT_WAIT_BAD_NS && now_ns - hand->let_ns < LET_APART_NS);
        unsigned extra = hand->n_well / WELL_A_CREDIT;
        unsigned credits = CREDITS + (extra < CREDITS_MAX - CREDITS ? extra : CREDITS_MAX - CREDITS);
        bool is_given = !hand->is_convicted && (!is_patient || unjudged(hand, now_ns) < credits);
        if (is_given) {
                note_open(hand, inode, now_ns);
                hand->let_ns = now_ns;
        }
        look_for_suspicion(shield, now_ns);
        pthread_mutex_unlock(&shield->lock);
        return is_given;
}

static bool make_safe(struct sentry *sentry, struct tree *tree, const struct gate_request *request,
                      const struct stat *st) {
        struct shield *shield = sentry->shield;
        bool is_large = (uint64_t)st->st_size > sentry->config->options.shield_copy_limit_bytes;
        if (!is_large || tree->config->large_file == LARGE_FILE_HOLD)
                gate_wait_longer(sentry->gate, request, NS_PER_S + (uint64_t)st->st_size * COPY_NS_PER_BYTE);
        int r = is_large && tree->config->large_file != LARGE_FILE_HOLD
                        ? -EFBIG
                        : preserve(sentry, tree, tree_relative(tree, request->path), request->fd);
        if (r >= 0) {
                count(shield, r > 0 ? &shield->counters.n_preserved : &shield->counters.n_safe);
                return true;
        }
        bool is_accepted = tree->config->large_file == LARGE_FILE_ACCEPT;
        count(shield, is_accepted ? &shield->counters.n_accepted : &shield->counters.n_refused);
        return is_accepted;
}

bool shield_allow(struct sentry *sentry, struct tree *tree, const struct gate_request *request) {
        struct stat st;
        if (fstat(request->fd, &st) < 0)
                return false;
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
                return true;
        if (!has_credit(sentry, request, st.st_ino)) {
                gate_ask_later(sentry->gate, request, ASK_AGAIN_NS);
                return false;
        }
        return make_safe(sentry, tree, request, &st);
}
static void take_record(struct sentry *sentry, const struct record *record, const char *path) {
        _cleanup_(node_deinit) struct node approved = NODE_INIT;
        if (!store_has(sentry->store, &record->node.digest))
                return;
        struct node node = record->node;
        node.link_target = NULL;
        node.ctime_ns = 0; /* what stands there now is read again */
        int r = catalog_get(sentry->catalog, record->tree, path, &approved);
        if (r == 0 && !node_compare(&approved, &node))
                return;
        catalog_approve(sentry->catalog, record->tree, path, &node, record->time_ns, 0);
}

/* 0, or a negative errno. */
static int take_records(struct sentry *sentry, const char *data, size_t size) {
        struct record record;
        char path[PATH_MAX];
        for (size_t at = 0; at + sizeof(record) <= size; at += record.path_bytes) {
                memcpy(&record, data + at, sizeof(record));
                at += sizeof(record);
                if (record.magic != JOURNAL_MAGIC || record.path_bytes >= PATH_MAX ||
                    at + record.path_bytes > size)
                        return -EBADMSG;
                memcpy(path, data + at, record.path_bytes);
                path[record.path_bytes] = '\0';
                take_record(sentry, &record, path);
        }
        return 0;
}

void shield_settle(struct sentry *sentry) {
        struct shield *shield = sentry->shield;
        if (!shield)
                return;
        pthread_mutex_lock(&shield->lock);
        uint64_t end = shield->end;
        pthread_mutex_unlock(&shield->lock);
        size_t size = end - shield->taken;
        _cleanup_(freep) char *data = size ? malloc(size) : NULL;
        if (!data || io_pread_full(shield->journal_fd, data, size, shield->taken) != (ssize_t)size ||
            catalog_begin(sentry->catalog) < 0)
                return;
        (void)take_records(sentry, data, size);
        store_sync(sentry->store);
        if (catalog_commit(sentry->catalog) < 0)
                return;
        shield->taken = end;
        pthread_mutex_lock(&shield->lock);
        if (shield->end == end && ftruncate(shield->journal_fd, 0) == 0)
                shield->end = shield->taken = 0;
        pthread_mutex_unlock(&shield->lock);
}

void shield_counters(struct shield *shield, struct shield_counters *ret_counters) {
        *ret_counters = (struct shield_counters){0};
        if (!shield)
                return;
        pthread_mutex_lock(&shield->lock);
        *ret_counters = shield->counters;
        pthread_mutex_unlock(&shield->lock);
}
