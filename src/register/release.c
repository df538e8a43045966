#include "register/release.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/procfs.h"
#include "base/text.h"
#include "event/json.h"

#define FILE_NAME      "releases.json"
#define FILE_BYTES_MAX ((size_t)1 << 20)

struct releases {
        struct releases_options options;
        int directory_fd; /* STATE/vault */
        char boot[PROCFS_BOOT_ID_SIZE];
        size_t n;
        struct release *items[RELEASES_MAX]; /* each stays where it is until its grace is over */
};

/* 65 bits of chance: unique, and nothing to guess. */
static void make_uid(char ret_uid[static 32]) {
        uint64_t random = 0;
        while (getrandom(&random, sizeof(random), 0) < 0 && errno == EINTR)
                ;
        snprintf(ret_uid, 32, "rel-%016llx", (unsigned long long)random);
}

static json_t *release_encode(const struct release *release) {
        json_t *trees = json_array();
        for (size_t i = 0; i < release->n_trees; i++)
                json_array_append_new(trees, json_pack("[I,I]", (json_int_t)release->trees[i].tree,
                                                       (json_int_t)release->trees[i].row));
        return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "uid", release->uid, "name", release->name,
                         "holder", (json_int_t)release->holder, "holder_start_ns",
                         (json_int_t)release->holder_start_ns, "opened_by", (json_int_t)release->opened_by,
                         "begin_ns", (json_int_t)release->begin_ns, "trees", trees);
}

static int save(const struct releases *releases) {
        json_t *list = json_array();
        for (size_t i = 0; i < releases->n; i++)
                if (!releases->items[i]->end_monotonic_ns)
                        json_array_append_new(list, release_encode(releases->items[i]));
        json_t *file = json_pack("{s:i, s:s, s:o}", "format", 1, "boot", releases->boot, "releases", list);
        _cleanup_(freep) char *text = file ? json_dumps(file, JSON_INDENT(1)) : NULL;
        json_decref(file);
        return text ? io_replace_file(releases->directory_fd, FILE_NAME, text, strlen(text), 0600) : -ENOMEM;
}

static struct release *release_free(struct release *release) {
        if (release)
                free(release->name);
        free(release);
        return NULL;
}
DEFINE_CLEANUP(struct release *, release_free);

static int release_decode(const json_t *object, struct release **ret_release) {
        const char *uid = json_get_string(object, "uid"), *name = json_get_string(object, "name");
        const json_t *trees = json_object_get(object, "trees");
        _cleanup_(release_freep) struct release *release = calloc(1, sizeof(*release));
        if (!release)
                return -ENOMEM;
        *release = (struct release){
                .holder = (pid_t)json_get_integer(object, "holder", 0),
                .holder_start_ns = (uint64_t)json_get_integer(object, "holder_start_ns", 0),
                .opened_by = (uid_t)json_get_integer(object, "opened_by", 0),
                .begin_ns = (uint64_t)json_get_integer(object, "begin_ns", 0),
                .n_trees = json_array_size(trees),
        };
        if (!uid || !name || strlen(uid) >= sizeof(release->uid) || release->holder <= 0 ||
            !release->n_trees || release->n_trees > RELEASE_TREES_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < release->n_trees; i++) {
                const json_t *tree = json_array_get(trees, i);
                release->trees[i].tree = json_integer_value(json_array_get(tree, 0));
                release->trees[i].row = json_integer_value(json_array_get(tree, 1));
        }
        memcpy(release->uid, uid, strlen(uid) + 1);
        if (!(release->name = strdup(name)))
                return -ENOMEM;
        *ret_release = STEAL(release);
        return 0;
}

/* What cannot be read is forgotten: then nothing is approved by it, which is the safe side. */
static void load(struct releases *releases) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, FILE_BYTES_MAX);
        if (io_read_file(releases->directory_fd, FILE_NAME, &text) < 0)
                return;
        json_t *file = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
        const char *boot = json_get_string(file, "boot");
        bool same_boot = boot && *boot && !strcmp(boot, releases->boot);
        const json_t *list = json_object_get(file, "releases"), *object;
        size_t i;
        json_array_foreach (list, i, object) {
                if (releases->n == RELEASES_MAX || release_decode(object, &releases->items[releases->n]) < 0)
                        continue;
                if (!same_boot)
                        releases->items[releases->n]->holder = -1; /* nobody: releases_expire() ends it */
                releases->n++;
        }
        json_decref(file);
}

int releases_open(const struct releases_options *options, struct releases **ret_releases) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof(path), "%s/vault", options->state) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        _cleanup_(releases_closep) struct releases *releases = calloc(1, sizeof(*releases));
        if (!releases)
                return -ENOMEM;
        releases->options = *options;
        if (!releases->options.clock)
                releases->options.clock = &clock_system;
        releases->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (releases->directory_fd < 0)
                return -errno;
        procfs_boot_id(releases->boot);
        load(releases);
        *ret_releases = STEAL(releases);
        return 0;
}

struct releases *releases_close(struct releases *releases) {
        if (releases) {
                fd_closep(&releases->directory_fd);
                for (size_t i = 0; i < releases->n; i++)
                        release_free(releases->items[i]);
                free(releases);
        }
        return NULL;
}

static struct release *find_open(struct releases *releases, const char *uid_or_name) {
        for (size_t i = 0; i < releases->n; i++) {
                struct release *release = releases->items[i];
                if (!release->end_monotonic_ns &&
                    (!strcmp(release->uid, uid_or_name) || !strcmp(release->name, uid_or_name)))
                        return release;
        }
        return NULL;
}

static bool is_name(const char *name) {
        size_t size = name ? strlen(name) : 0;
        if (!size || size > RELEASE_NAME_MAX || !text_is_utf8(name, size))
                return false;
        for (size_t i = 0; i < size; i++)
                if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
                        return false;
        return true;
}

static void close_rows(struct releases *releases, const struct release *release, release_summary summary,
                       void *userdata) {
        uint64_t now_ns = clock_wall_ns(releases->options.clock);
        for (size_t i = 0; i < release->n_trees; i++) {
                struct catalog_release row = {0};
                if (release->trees[i].row && catalog_end_release(releases->options.catalog,
                                                                 release->trees[i].row, now_ns, &row) == 0) {
                        if (summary)
                                summary(release, &row, userdata);
                        catalog_release_deinit(&row);
                }
        }
}

static int open_rows(struct releases *releases, struct release *release) {
        for (size_t i = 0; i < release->n_trees; i++) {
                int r = catalog_begin_release(releases->options.catalog, release->trees[i].tree, release->uid,
                                              release->name, "release", release->begin_ns,
                                              &release->trees[i].row);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void forget(struct releases *releases, size_t i) {
        release_free(releases->items[i]);
        memmove(&releases->items[i], &releases->items[i + 1],
                (releases->n - i - 1) * sizeof(*releases->items));
        releases->n--;
}

/* Those that ended are only kept for events that come late. */
static void forget_ended(struct releases *releases, bool all) {
        uint64_t now_ns = clock_monotonic_ns(releases->options.clock);
        for (size_t i = releases->n; i-- > 0;) {
                uint64_t end_ns = releases->items[i]->end_monotonic_ns;
                if (end_ns && (all || now_ns - end_ns > RELEASE_GRACE_NS))
                        forget(releases, i);
        }
}

int release_begin(struct releases *releases, const struct release_request *request,
                  const struct release **ret_release) {
        struct procfs_stat holder;
        if (!is_name(request->name) || !request->n_trees || request->n_trees > RELEASE_TREES_MAX)
                return -EINVAL;
        if (request->holder <= 1 || procfs_stat(request->holder, &holder) < 0 ||
            !procfs_is_alive(request->holder, request->holder_start_ns))
                return -ESRCH;
        if (find_open(releases, request->name))
                return -EEXIST;
        forget_ended(releases, releases->n == RELEASES_MAX);
        if (releases->n == RELEASES_MAX)
                return -ENOSPC;

        _cleanup_(release_freep) struct release *release = calloc(1, sizeof(*release));
        if (!release)
                return -ENOMEM;
        *release = (struct release){
                .holder = request->holder,
                .holder_start_ns = holder.start_ns,
                .opened_by = request->opened_by,
                .begin_ns = clock_wall_ns(releases->options.clock),
                .n_trees = request->n_trees,
        };
        make_uid(release->uid);
        for (size_t i = 0; i < request->n_trees; i++)
                release->trees[i].tree = request->trees[i];
        if (!(release->name = strdup(request->name)))
                return -ENOMEM;
        int r = open_rows(releases, release);
        if (r < 0) {
                close_rows(releases, release, NULL, NULL);
                return r;
        }
        releases->items[releases->n++] = STEAL(release);
        r = save(releases);
        if (r < 0) { /* it would not survive a restart: then it does not begin */
                close_rows(releases, releases->items[releases->n - 1], NULL, NULL);
                forget(releases, releases->n - 1);
                return r;
        }
        *ret_release = releases->items[releases->n - 1];
        return 0;
}

static void end(struct releases *releases, struct release *release, release_summary summary, void *userdata) {
        release->end_monotonic_ns = clock_monotonic_ns(releases->options.clock) ?: 1;
        close_rows(releases, release, summary, userdata);
}

int release_end(struct releases *releases, const char *uid_or_name, release_summary summary, void *userdata) {
        struct release *release = find_open(releases, uid_or_name);
        if (!release)
                return -ENOENT;
        end(releases, release, summary, userdata);
        return save(releases);
}

int releases_expire(struct releases *releases, release_summary summary, void *userdata) {
        int n = 0;
        for (size_t i = 0; i < releases->n; i++) {
                struct release *release = releases->items[i];
                if (release->end_monotonic_ns ||
                    (release->holder > 0 && procfs_is_alive(release->holder, release->holder_start_ns)))
                        continue;
                release->abandoned = true;
                end(releases, release, summary, userdata);
                n++;
        }
        forget_ended(releases, false);
        int r = n ? save(releases) : 0;
        return r < 0 ? r : n;
}

static bool is_held_by(const struct releases *releases, const struct release *release,
                       const struct actor *actor) {
        for (size_t i = 0; i < actor->n_processes; i++)
                if (actor->processes[i].pid == release->holder &&
                    procfs_same_start(actor->processes[i].start_ns, release->holder_start_ns))
                        return true;
        const struct releases_options *options = &releases->options;
        return options->descends && actor->n_processes &&
               options->descends(actor->processes[0].pid, release->holder, release->holder_start_ns,
                                 options->userdata);
}

const struct release *release_of(const struct releases *releases, const struct actor *actor, int64_t tree,
                                 uint64_t monotonic_ns) {
        if (!actor)
                return NULL;
        for (size_t i = 0; i < releases->n; i++) {
                const struct release *release = releases->items[i];
                if (release->end_monotonic_ns && release->end_monotonic_ns < monotonic_ns)
                        continue;
                if (release_row(release, tree) && is_held_by(releases, release, actor))
                        return release;
        }
        return NULL;
}

int64_t release_row(const struct release *release, int64_t tree) {
        for (size_t i = 0; i < release->n_trees; i++)
                if (release->trees[i].tree == tree)
                        return release->trees[i].row;
        return 0;
}

const struct release *releases_get(const struct releases *releases, size_t index) {
        for (size_t i = 0; i < releases->n; i++)
                if (!releases->items[i]->end_monotonic_ns && index-- == 0)
                        return releases->items[i];
        return NULL;
}
