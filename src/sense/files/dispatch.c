/*
 * One event after the other: dropped when outside, named when inside; what changes where
 * things are (a directory moved, a spine switched, something mounted) is taken in before it is called back.
 */
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>

#include "base/clock.h"
#include "sense/files/watch-state.h"

/* An outside directory is left alone by the kernel from this event on, and asked again at each IGNORE_AGAIN.
 */
#define IGNORE_AFTER 2
#define IGNORE_AGAIN 1024

unsigned watch_what_of(uint64_t mask) {
        static const struct {
                uint64_t mask;
                unsigned what;
        } table[] = {
                {FAN_MODIFY, FILE_MODIFIED},
                {FAN_CLOSE_WRITE, FILE_CLOSED},
                {FAN_CREATE | FAN_MOVED_TO, FILE_CREATED},
                {FAN_DELETE | FAN_MOVED_FROM, FILE_REMOVED},
                {FAN_ATTRIB, FILE_ATTRIBUTES},
                {FAN_ONDIR, FILE_DIRECTORY},
        };
        unsigned what = 0;
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (mask & table[i].mask)
                        what |= table[i].what;
        return what;
}

static void call_back(struct watch *watch, const struct notice *notice, unsigned what, const char *path,
                      size_t tree) {
        struct file_event event = {
                .what = what,
                .path = path,
                .tree = tree,
                .pid = notice ? notice->pid : 0,
                .pid_fd = notice ? notice->pid_fd : -1,
                .monotonic_ns = watch->now_ns,
        };
        watch->counters.n_events++;
        watch->n_called++;
        watch->callback(&event, watch->userdata);
}

/* The most specific tree that a shown path lies in. */
static const struct tree *tree_of_shown(const struct watch *watch, const char *path) {
        const struct tree *found = NULL;
        size_t longest = 0;
        for (size_t i = 0; i < watch->n_trees; i++) {
                size_t length = strlen(watch->trees[i].path);
                if (length >= longest && !strncmp(path, watch->trees[i].path, length) &&
                    (path[length] == '/' || !path[length])) {
                        found = &watch->trees[i];
                        longest = length;
                }
        }
        return found;
}

void watch_call_back_path(struct watch *watch, unsigned what, const char *path, pid_t pid, int pid_fd) {
        const struct notice notice = {.pid = pid, .pid_fd = pid_fd};
        const struct tree *tree = tree_of_shown(watch, path);
        if (tree)
                call_back(watch, &notice, what, path, tree->index);
}

void watch_call_back_overflow(struct watch *watch) {
        watch->counters.n_overflows++;
        call_back(watch, NULL, FILE_OVERFLOW, NULL, 0);
}

static bool is_own(struct watch *watch, const struct notice *notice) {
        if (notice->pid != watch->own_pid)
                return false;
        watch->counters.n_own++;
        return true;
}

/* An entry of a spine changed: the trees that lead through it stand elsewhere, or nowhere. */
static void handle_spine(struct watch *watch, const struct notice *notice) {
        bool relocated = false;
        bool own = is_own(watch, notice);
        for (size_t i = 0; i < watch->n_trees; i++) {
                struct tree *tree = &watch->trees[i];
                if (!tree_has_joint(tree, notice->directory, notice->directory_size, notice->name))
                        continue;
                if (!relocated)
                        (void)watch_relocate(watch);
                relocated = true;
                if (!own)
                        call_back(watch, notice,
                                  (watch_what_of(notice->mask) & ~FILE_DIRECTORY) |
                                          (tree->is_directory ? FILE_DIRECTORY : 0),
                                  *tree->path ? tree->path : "/", tree->index);
        }
}

static int compose_path(struct watch *watch, const struct directory *directory, const char *name) {
        buffer_clear(&watch->path);
        int r = buffer_append_string(&watch->path, directory->path);
        if (r >= 0 && name && strcmp(name, "."))
                r = buffer_format(&watch->path, "/%s", name);
        if (r >= 0 && !watch->path.size)
                r = buffer_append_string(&watch->path, "/");
        return r;
}

/* A directory came, went or moved: what is remembered of it and of all below it follows. */
static void follow_directory(struct watch *watch, const struct notice *notice, size_t tree) {
        if (notice->mask & FAN_MOVED_TO)
                (void)watch_relocate(watch);
        else if (notice->mask & FAN_MOVED_FROM)
                locate_forget(watch, false);
        if (notice->mask & FAN_MOVED_TO)
                links_scan_below(watch->links, watch->path.data);
        /* Named by its parent, so that what happens in it has a path even when it is gone by then. */
        if ((notice->mask & (FAN_CREATE | FAN_MOVED_TO)) && notice->object)
                (void)directories_put(watch->directories, notice->object, notice->object_size, tree,
                                      watch->path.data);
}

static void follow_file(struct watch *watch, const struct notice *notice) {
        if (notice->mask & (FAN_DELETE | FAN_MOVED_FROM))
                links_entry_went(watch->links, watch->path.data, notice->object, notice->object_size);
        if (notice->mask & (FAN_CREATE | FAN_MOVED_TO))
                links_entry_came(watch->links, watch->path.data, notice->object, notice->object_size);
}

static void handle_inside(struct watch *watch, const struct notice *notice,
                          const struct directory *directory) {
        size_t tree = directory->tree;
        if (compose_path(watch, directory, notice->name) < 0) {
                watch->counters.n_unresolved++;
                return;
        }
        if ((notice->mask & FAN_ONDIR) && (notice->mask & ENTRY_EVENTS))
                follow_directory(watch, notice, tree); /* `directory` is no longer valid */
        else if (notice->mask & ENTRY_EVENTS)
                follow_file(watch, notice);
        if (is_own(watch, notice))
                return;
        call_back(watch, notice, watch_what_of(notice->mask), watch->path.data, watch->trees[tree].index);
}

static void handle_outside(struct watch *watch, struct directory *directory) {
        watch->counters.n_outside++;
        directory->n_hits++;
        if (directory->n_hits == IGNORE_AFTER || directory->n_hits % IGNORE_AGAIN == 0)
                locate_ignore(watch, directory);
}

static void handle_overflow(struct watch *watch) {
        (void)watch_relocate(watch);
        links_rescan(watch->links);
        watch_call_back_overflow(watch);
}

static void handle_notice(struct watch *watch, const struct notice *notice) {
        if (notice->mask & FAN_Q_OVERFLOW) {
                handle_overflow(watch);
                return;
        }
        if (!notice->directory) { /* the object alone: its link count changed */
                if (notice->object && !(notice->mask & FAN_ONDIR))
                        links_count_changed(watch->links, notice->object, notice->object_size, notice->pid);
                return;
        }
        struct directory *directory = locate_directory(watch, notice->directory, notice->directory_size);
        if (directory && directory->is_spine && (notice->mask & ENTRY_EVENTS) && notice->name) {
                handle_spine(watch, notice);
                directory = locate_directory(watch, notice->directory, notice->directory_size);
        }
        if (!directory)
                watch->counters.n_unresolved++;
        else if (directory->path)
                handle_inside(watch, notice, directory);
        else
                handle_outside(watch, directory);
}

/* Works off what was read. `is_live`: by this process, so that the descriptors in it are ours. */
static void work_off(struct watch *watch, bool is_live) {
        for (;;) {
                struct notice notice;
                size_t size, used;
                const uint8_t *data = pending_data(&watch->pending, &size);
                int r = notice_decode(data, size, &notice, &used);
                if (r == 0)
                        return;
                if (r < 0) { /* not from the kernel, or damaged: say that something was lost */
                        notice = (struct notice){.mask = FAN_Q_OVERFLOW, .pid_fd = -1};
                        used = size;
                }
                _cleanup_(fd_closep) _unused_ int pid_fd = is_live ? notice.pid_fd : -EBADF;
                if (!is_live)
                        notice.pid_fd = -1;
                handle_notice(watch, &notice);
                pending_advance(&watch->pending, used);
        }
}

static void check_mounts(struct watch *watch) {
        struct pollfd ready = {.fd = watch->mounts_fd, .events = POLLPRI};
        struct mounts mounts = {0};
        if (poll(&ready, 1, 0) <= 0 || mounts_read(&mounts) < 0)
                return;
        bool changed[64] = {false}, any = false;
        for (size_t i = 0; i < watch->n_trees; i++) {
                int r = watch_refresh_tree(watch, &watch->trees[i], &mounts);
                if (r > 0 && i < ARRAY_SIZE(changed))
                        any = changed[i] = true;
        }
        mounts_deinit(&mounts);
        if (any)
                (void)watch_relocate(watch);
        for (size_t i = 0; i < watch->n_trees && i < ARRAY_SIZE(changed); i++)
                if (changed[i])
                        call_back(watch, NULL, FILE_MOUNTS | FILE_DIRECTORY,
                                  *watch->trees[i].path ? watch->trees[i].path : "/", watch->trees[i].index);
}

int watch_dispatch(struct watch *watch, watch_callback callback, void *userdata) {
        uint64_t done;
        watch->callback = callback;
        watch->userdata = userdata;
        watch->now_ns = clock_monotonic_ns(&clock_system);
        watch->n_called = 0;
        check_mounts(watch);
        (void)eventfd_read(watch->work_fd, &done);
        if (watch->has_inherited)
                work_off(watch, false);
        watch->has_inherited = false;
        int r = pending_fill(&watch->pending, watch->group_fd);
        if (r < 0)
                return r;
        work_off(watch, true);
        if (links_dispatch(watch->links))
                eventfd_write(watch->work_fd, 1);
        return watch->n_called;
}
