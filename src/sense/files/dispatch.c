/*
 * One event after the other: dropped when outside, named when inside; what changes where
 * things are (a directory moved, a spine switched, something mounted) is taken in before it is called back.
 */
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "sense/files/watch-state.h"

/* An outside directory is left alone by the kernel from this event on, and asked again at each IGNORE_AGAIN.
 */
#define IGNORE_AFTER 2
#define IGNORE_AGAIN 1024

/* Of the object, whatever name it was reached by. */
#define OBJECT_EVENTS (FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB)

#define USELESS_MAX     8
#define PAUSE_NS        (1 * NS_PER_MS)
#define EVENT_BYTES_MAX 1024 /* an event with the longest name and two handles */

unsigned watch_what_of(uint64_t mask) {
        static const struct {
                uint64_t mask;
                unsigned what;
        } table[] = {
                {FAN_MODIFY, FILE_MODIFIED},
                {FAN_CLOSE_WRITE, FILE_CLOSED},
                {FAN_CREATE, FILE_CREATED},
                {FAN_MOVED_TO, FILE_CREATED | FILE_MOVED},
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
                        (void)watch_relocate(watch, true);
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

/* A directory came, went or moved: marks, and what is remembered of it and of all below it, follow. */
static void follow_directory(struct watch *watch, const struct notice *notice, size_t tree) {
        bool came = notice->mask & (FAN_CREATE | FAN_MOVED_TO);
        if (notice->mask & (FAN_MOVED_TO | FAN_MOVED_FROM))
                directories_forget_all(watch->directories);
        if (came)
                watch_mark_new(watch, watch->path.data, notice->object, notice->object_size,
                               notice->mask & FAN_MOVED_TO);
        if (notice->mask & FAN_MOVED_TO)
                links_scan_below(watch->links, watch->path.data);
        if (!came || !notice->object)
                return;
        /* Named by its parent, so that what happens in it has a path even when it is gone by then. */
        struct directory *directory = directories_put(watch->directories, notice->object, notice->object_size,
                                                      tree, watch->path.data);
        if (directory)
                directory->marked_at = watch->emptied;
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
        unsigned what = watch_what_of(notice->mask);
        /* Made before its directory was marked: nobody reported whether it was written since. */
        if ((notice->mask & FAN_CREATE) && !(notice->mask & FAN_ONDIR) &&
            directory->marked_at == watch->emptied)
                what |= FILE_MODIFIED | FILE_CLOSED;
        if (watch->is_wide && (notice->mask & OBJECT_EVENTS))
                (void)links_written(watch->links, notice); /* its other names */
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
        call_back(watch, notice, what, watch->path.data, watch->trees[tree].index);
}

static void handle_outside(struct watch *watch, const struct notice *notice, struct directory *directory) {
        if (watch->is_wide && (notice->mask & OBJECT_EVENTS) && links_written(watch->links, notice))
                return;
        watch->counters.n_outside++;
        directory->n_hits++;
        if (directory->n_hits == IGNORE_AFTER || directory->n_hits % IGNORE_AGAIN == 0)
                locate_ignore(watch, directory);
}

static void handle_overflow(struct watch *watch) {
        (void)watch_relocate(watch, true);
        links_rescan(watch->links);
        watch_call_back_overflow(watch);
}

static void handle_notice(struct watch *watch, const struct notice *notice) {
        if (notice->mask & FAN_Q_OVERFLOW) {
                handle_overflow(watch);
                return;
        }
        if (!notice->directory) { /* the object alone: its link count changed */
                if (!notice->object || (notice->mask & FAN_ONDIR) ||
                    !links_count_changed(watch->links, notice->object, notice->object_size, notice->pid))
                        watch->counters.n_outside++;
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
                handle_outside(watch, notice, directory);
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
                int r = watch_refresh_tree(watch, &watch->trees[i], &mounts, false);
                if (r > 0 && i < ARRAY_SIZE(changed))
                        any = changed[i] = true;
        }
        mounts_deinit(&mounts);
        if (any)
                directories_forget_all(watch->directories);
        for (size_t i = 0; i < watch->n_trees && i < ARRAY_SIZE(changed); i++)
                if (changed[i])
                        call_back(watch, NULL, FILE_MOUNTS | FILE_DIRECTORY,
                                  *watch->trees[i].path ? watch->trees[i].path : "/", watch->trees[i].index);
}

/*
 * Only events outside, again and again: somebody else is busy. Reading them one by one would wake this process, and
 * slow that one down, for each: a pause lets them gather.
 */
static void pause_or_not(struct watch *watch, uint64_t n_outside, bool was_empty) {
        bool is_useless = n_outside && !watch->n_called;
        bool must_pause;
        watch->n_useless = is_useless ? watch->n_useless + 1 : 0;
        must_pause = watch->n_useless > USELESS_MAX || (watch->is_pausing && is_useless);
        if (must_pause) {
                const struct itimerspec pause = {.it_value = {.tv_nsec = PAUSE_NS}};
                (void)timerfd_settime(watch->timer_fd, 0, &pause, NULL);
        }
        if (must_pause != watch->is_pausing) {
                struct epoll_event event = {.events = must_pause ? 0 : EPOLLIN, .data.fd = watch->group_fd};
                (void)epoll_ctl(watch->epoll_fd, EPOLL_CTL_MOD, watch->group_fd, &event);
                watch->is_pausing = must_pause;
        }
        watch->emptied += was_empty;
}

static int dispatch_events(struct watch *watch) {
        uint64_t n_outside = watch->counters.n_outside, expired;
        (void)!read(watch->timer_fd, &expired, sizeof(expired));
        int r = pending_fill(&watch->pending, watch->group_fd);
        if (r < 0)
                return r;
        work_off(watch, true);
        pause_or_not(watch, watch->counters.n_outside - n_outside,
                     (size_t)r < PENDING_DATA_BYTES - EVENT_BYTES_MAX);
        return 0;
}

int watch_dispatch(struct watch *watch, watch_callback callback, void *userdata) {
        uint64_t done;
        if (watch->is_dispatching) /* by the callback */
                return 0;
        watch->is_dispatching = true;
        watch->callback = callback;
        watch->userdata = userdata;
        watch->now_ns = clock_monotonic_ns(&clock_system);
        watch->n_called = 0;
        check_mounts(watch);
        (void)eventfd_read(watch->work_fd, &done);
        if (watch->has_inherited)
                work_off(watch, false);
        watch->has_inherited = false;
        int r = dispatch_events(watch);
        if (r >= 0 && links_dispatch(watch->links))
                eventfd_write(watch->work_fd, 1);
        watch->is_dispatching = false;
        return r < 0 ? r : watch->n_called;
}
