/*
 * Life of a watch, its trees and marks; locate.c finds paths, dispatch.c works off events, links.c follows hard links.
 *
 * What is marked, so that programs elsewhere on the same disk pay next to nothing:
 *   - each file system, for entries that come and go and for attributes (SYSTEM_EVENTS): rare events, and gapless: a
 *     new directory and what is made in it at once has a name before it has a mark of its own;
 *   - each directory inside a tree, for writes to the files in it (DIRECTORY_EVENTS): writing and opening elsewhere
 *     finds no mark at all. A new directory is marked when its creation is read, before that is called back. What
 *     was written in it before is in the files by then, and they are called back as written;
 *   - the directories of each spine (trees.h);
 *   - outside directories that are busy, with an evictable ignore mark (Linux 6.0): their entries' events
 *     are not queued any more. Marking a directory as inside or as spine takes an ignore mark away. FAN_ATTRIB of
 *     an object without a name, which is how a new hard link shows, is not ignored by any of these.
 * Marks on directories keep their inodes in memory, about 1.5 KiB each. Past DIRECTORY_MARKS_MAX
 * the file systems report writes as well and everybody on them pays some 0.3 us a write.
 *
 * Known gap: a file in a directory that is being moved into a tree can be written and put back between the move and
 * the reading of its event.
 */
#include "sense/files/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>

#include "base/io.h"
#include "sense/files/paths.h"
#include "sense/files/subtree.h"
#include "sense/files/watch-state.h"

#define TREES_MAX           64
#define FDINFO_MAX          ((size_t)256 << 20)
#define DIRECTORY_MARKS_MAX 100000

int watch_group_open(void) {
        static const unsigned names = FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_REPORT_FID;
        static const unsigned basis = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;
        /* No FAN_REPORT_PIDFD: a descriptor for every event, and a batch of events would use up the process's. */
        static const unsigned extras[] = {FAN_REPORT_TARGET_FID /* Linux 5.17 */, 0 /* 5.9 */};
        for (size_t i = 0; i < ARRAY_SIZE(extras); i++) {
                int fd = fanotify_init(basis | names | extras[i], O_RDONLY | O_CLOEXEC | O_LARGEFILE);
                if (fd >= 0)
                        return fd;
                if (errno != EINVAL)
                        return -errno;
        }
        return -EINVAL;
}

int watch_pending_open(void) {
        return pending_open();
}

/* The line of /proc/self/fdinfo that says how a group was made; proc_pid_fdinfo(5). */
static bool read_group_flags(int fd, char ret_line[static 128]) {
        char path[48], text[512] = "";
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        _cleanup_(fd_closep) int info = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
        const char *line = n > 0 ? strstr(text, "\nfanotify flags:") : NULL;
        if (line)
                snprintf(ret_line, 128, "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
        return line != NULL;
}

bool watch_group_fits(int group_fd) {
        char theirs[128], ours[128];
        _cleanup_(fd_closep) int fd = watch_group_open();
        return fd >= 0 && read_group_flags(group_fd, theirs) && read_group_flags(fd, ours) &&
               !strcmp(theirs, ours);
}

bool watch_pending_fits(int pending_fd) {
        struct pending pending = {0};
        bool fits = pending_init(&pending, pending_fd, PENDING_WATCH) == 0;
        pending_deinit(&pending);
        return fits;
}

static int add_source(struct watch *watch, int fd, uint32_t events) {
        struct epoll_event event = {.events = events, .data.fd = fd};
        return epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_sources(struct watch *watch) {
        watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        watch->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        watch->mounts_wake_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        /* Readable at once: the first dispatch looks for what a predecessor left. */
        watch->work_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        watch->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (watch->epoll_fd < 0 || watch->mounts_fd < 0 || watch->mounts_wake_fd < 0 || watch->work_fd < 0 ||
            watch->timer_fd < 0)
                return -errno;
        int r = add_source(watch, watch->group_fd, EPOLLIN);
        if (r >= 0)
                r = add_source(watch, watch->mounts_wake_fd, EPOLLPRI);
        if (r >= 0)
                r = add_source(watch, links_fd(watch->links), EPOLLIN);
        if (r >= 0)
                r = add_source(watch, watch->timer_fd, EPOLLIN);
        return r < 0 ? r : add_source(watch, watch->work_fd, EPOLLIN);
}

int watch_new_pending(int group_fd, int pending_fd, struct watch **ret_watch) {
        _cleanup_(watch_freep) struct watch *watch = calloc(1, sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        watch->group_fd = watch->epoll_fd = watch->work_fd = watch->timer_fd = -EBADF;
        watch->emptied = 1;
        watch->mounts_fd = watch->mounts_wake_fd = -EBADF;
        buffer_init(&watch->path, WATCH_PATH_BYTES_MAX);
        watch->own_pid = getpid();
        watch->can_ignore = true;
        watch->directories = directories_new();
        if (!watch->directories)
                return -ENOMEM;
        watch->group_fd = fcntl(group_fd, F_DUPFD_CLOEXEC, 3);
        if (watch->group_fd < 0)
                return -errno;
        int r = pending_init(&watch->pending, pending_fd, PENDING_WATCH);
        watch->has_inherited = true;
        if (r >= 0)
                r = links_new(watch, &watch->links);
        if (r >= 0)
                r = open_sources(watch);
        if (r < 0)
                return r;
        *ret_watch = STEAL(watch);
        return 0;
}

int watch_new(int group_fd, struct watch **ret_watch) {
        return watch_new_pending(group_fd, -1, ret_watch);
}

struct watch *watch_free(struct watch *watch) {
        if (!watch)
                return NULL;
        for (size_t i = 0; i < watch->n_trees; i++)
                tree_deinit(&watch->trees[i]);
        free(watch->trees);
        directories_free(watch->directories);
        links_free(watch->links);
        pending_deinit(&watch->pending);
        buffer_deinit(&watch->path);
        fd_closep(&watch->group_fd);
        fd_closep(&watch->epoll_fd);
        fd_closep(&watch->mounts_fd);
        fd_closep(&watch->mounts_wake_fd);
        fd_closep(&watch->work_fd);
        fd_closep(&watch->timer_fd);
        free(watch);
        return NULL;
}

/* Adds events to a directory's mark, and takes away that it is ignored. Returns 0 or a negative errno. */
static int mark_directory(struct watch *watch, uint64_t events, int fd) {
        char link[32];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        (void)fanotify_mark(watch->group_fd, FAN_MARK_REMOVE | FAN_MARK_IGNORE, IGNORE_EVENTS, AT_FDCWD,
                            link);
        return fanotify_mark(watch->group_fd, FAN_MARK_ADD, events, AT_FDCWD, link) < 0 ? -errno : 0;
}

static void mark_spine(int directory_fd, void *userdata) {
        (void)mark_directory(userdata, SPINE_EVENTS, directory_fd);
}

static uint64_t system_events(const struct watch *watch) {
        return SYSTEM_EVENTS | (watch->is_wide ? FAN_MODIFY | FAN_CLOSE_WRITE : 0);
}

/* The top of a btrfs, mounted nowhere. A descriptor or a negative errno. */
static int open_top(const char *source) {
        _cleanup_(fd_closep) int context = fsopen("btrfs", FSOPEN_CLOEXEC);
        if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
            fsconfig(context, FSCONFIG_SET_STRING, "subvolid", "5", 0) < 0 ||
            fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        int fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
}

/* Not a word from the kernel about a subvolume but by the mark on the whole, and that is put on the top alone. */
static int mark_top(struct watch *watch, const struct root *root) {
        char link[32];
        _cleanup_(fd_closep) int fd = root->source ? open_top(root->source) : -EXDEV;
        if (fd < 0)
                return fd;
        watch->is_wide = true; /* nor are single directories marked there */
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        return fanotify_mark(watch->group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, system_events(watch),
                             AT_FDCWD, link) < 0
                       ? -errno
                       : 0;
}

static int mark_system(struct watch *watch, const struct root *root) {
        int r = 0;
        if (fanotify_mark(watch->group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, system_events(watch), AT_FDCWD,
                          root->point) < 0)
                r = errno == EXDEV ? mark_top(watch, root) : -errno;
        return r == -ENODEV || r == -EXDEV || r == -EINVAL ? -EOPNOTSUPP : r;
}

/* Marks the file system, and makes sure that its handles lead back to paths. */
static int mark_root(struct watch *watch, struct root *root) {
        struct file_key key;
        int r = mark_system(watch, root);
        if (r >= 0)
                r = file_key_of(AT_FDCWD, root->point, root->fsid, &key);
        if (r < 0)
                return r;
        _cleanup_(fd_closep) int mount_fd = open(root->point, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        _cleanup_(fd_closep) int fd =
                mount_fd < 0 ? -errno : file_key_open(mount_fd, key.bytes, key.size, O_PATH | O_CLOEXEC);
        return fd < 0 ? -EOPNOTSUPP : 0;
}

static void go_wide(struct watch *watch) {
        watch->is_wide = true;
        for (size_t i = 0; i < watch->n_trees; i++)
                for (size_t k = 0; k < watch->trees[i].n_roots; k++)
                        if (!watch->trees[i].roots[k].error)
                                (void)mark_system(watch, &watch->trees[i].roots[k]);
}

static int mark_inside(int directory_fd, void *userdata) {
        struct watch *watch = userdata;
        int r = mark_directory(watch, watch->is_wide ? SPINE_EVENTS : DIRECTORY_EVENTS, directory_fd);
        if (watch->is_wide) /* only to take ignore marks away */
                return 0;
        if (r < 0 || ++watch->counters.n_marked <= DIRECTORY_MARKS_MAX)
                return r;
        go_wide(watch);
        return 0;
}

static void mark_below(struct watch *watch, const char *path) {
        int r = subtree_walk(path, mark_inside, watch);
        /* Deeper than that, or out of memory for marks: the file systems report what the directories would have. */
        if (r < 0 && r != -ENOENT && r != -ENOTDIR)
                go_wide(watch);
}

void watch_mark_new(struct watch *watch, const char *path, const uint8_t *key, size_t key_size,
                    bool is_deep) {
        if (is_deep) {
                mark_below(watch, path);
                return;
        }
        _cleanup_(fd_closep) int fd = key ? locate_open(watch, key, key_size, O_PATH | O_CLOEXEC)
                                          : path_open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
                (void)mark_inside(fd, watch);
}

/* The group outlives a killed process, and so do the marks: has a predecessor put them on this place? */
static bool was_marked(struct watch *watch, const struct tree *tree, bool must_mark) {
        uint64_t *places = pending_scratch(&watch->pending), number = tree_place_number(tree);
        size_t at = 0;
        while (at < TREES_MAX && places[at] && places[at] != number)
                at++;
        return !must_mark && at < TREES_MAX && places[at] == number;
}

static void note_marked(struct watch *watch, const struct tree *tree) {
        uint64_t *places = pending_scratch(&watch->pending);
        if (was_marked(watch, tree, false))
                return;
        memmove(places + 1, places, (TREES_MAX - 1) * sizeof(*places));
        places[0] = tree_place_number(tree);
}

static void mark_tree(struct watch *watch, const struct tree *tree, bool must_mark) {
        if (!tree->real || !tree->is_directory || was_marked(watch, tree, must_mark))
                return;
        mark_below(watch, *tree->real ? tree->real : "/");
        note_marked(watch, tree);
}

static bool is_place_of_ours(const struct watch *watch, uint64_t number) {
        for (size_t i = 0; i < watch->n_trees; i++)
                if (watch->trees[i].real && tree_place_number(&watch->trees[i]) == number)
                        return true;
        return false;
}

int watch_drop_others(struct watch *watch) {
        uint64_t *places = pending_scratch(&watch->pending);
        size_t at = 0;
        while (at < TREES_MAX && places[at] && is_place_of_ours(watch, places[at]))
                at++;
        if (at == TREES_MAX || !places[at])
                return 0;
        memset(places, 0, TREES_MAX * sizeof(*places));
        if (fanotify_mark(watch->group_fd, FAN_MARK_FLUSH, 0, AT_FDCWD, "/") < 0 ||
            fanotify_mark(watch->group_fd, FAN_MARK_FLUSH | FAN_MARK_FILESYSTEM, 0, AT_FDCWD, "/") < 0)
                return -errno;
        return watch_relocate(watch, true) ?: 1;
}

int watch_refresh_tree(struct watch *watch, struct tree *tree, const struct mounts *mounts, bool must_mark) {
        struct tree fresh = {.index = tree->index, .path = tree->path};
        int r = tree_resolve(&fresh, mounts, mark_spine, watch);
        if (r < 0)
                return r;
        for (size_t i = 0; i < fresh.n_roots; i++)
                if (!fresh.roots[i].error)
                        fresh.roots[i].error = mark_root(watch, &fresh.roots[i]);
        bool has_moved = !tree_same_place(tree, &fresh);
        tree->path = NULL;
        tree_deinit(tree);
        *tree = fresh;
        if (has_moved || must_mark)
                mark_tree(watch, tree, must_mark);
        if (has_moved || must_mark) {
                links_rescan(watch->links);
                eventfd_write(watch->work_fd, 1);
        }
        return has_moved;
}

int watch_relocate(struct watch *watch, bool must_mark) {
        struct mounts mounts = {0};
        directories_forget_all(watch->directories);
        int r = mounts_read(&mounts), first_error = 0;
        for (size_t i = 0; r >= 0 && i < watch->n_trees; i++) {
                int refreshed = watch_refresh_tree(watch, &watch->trees[i], &mounts, must_mark);
                if (refreshed < 0)
                        first_error = refreshed;
        }
        mounts_deinit(&mounts);
        return r < 0 ? r : first_error;
}

static struct tree *find_tree(const struct watch *watch, size_t index) {
        for (size_t i = 0; i < watch->n_trees; i++)
                if (watch->trees[i].index == index)
                        return &watch->trees[i];
        return NULL;
}

static int tree_usable(const struct tree *tree) {
        if (!tree->real)
                return -ENOENT;
        return tree->is_directory ? tree->roots[0].error : -ENOTDIR;
}

int watch_add_tree(struct watch *watch, const char *path, size_t index) {
        size_t length = strlen(path);
        if (*path != '/')
                return -EINVAL;
        while (length && path[length - 1] == '/')
                length--;
        struct tree *tree = find_tree(watch, index);
        if (tree && (strlen(tree->path) != length || strncmp(tree->path, path, length)))
                return -EEXIST;
        if (tree)
                return watch_relocate(watch, false) ?: tree_usable(tree);
        if (watch->n_trees == TREES_MAX)
                return -ENOSPC;
        struct tree *trees = reallocarray(watch->trees, watch->n_trees + 1, sizeof(*trees));
        if (!trees)
                return -ENOMEM;
        watch->trees = trees;
        tree = &trees[watch->n_trees];
        *tree = (struct tree){.index = index, .path = strndup(path, length)};
        if (!tree->path)
                return -ENOMEM;
        watch->n_trees++;
        int r = watch_relocate(watch, false); /* what was outside may be inside now */
        if (r >= 0)
                r = tree_usable(tree);
        if (r < 0)
                tree_deinit(&watch->trees[--watch->n_trees]);
        return r;
}

int watch_remove_tree(struct watch *watch, size_t index) {
        struct tree *tree = find_tree(watch, index);
        if (!tree)
                return -ENOENT;
        tree_deinit(tree);
        *tree = watch->trees[--watch->n_trees];
        links_rescan(watch->links);
        return watch_relocate(watch, false);
}

int watch_fd(const struct watch *watch) {
        return watch->epoll_fd;
}

struct marks_seen {
        bool has_system, has_directory;
};

/* Which of a root's marks does fdinfo name? proc_pid_fdinfo(5), "fanotify". */
static struct marks_seen find_marks(const char *fdinfo, const struct root *root, uint64_t inode,
                                    uint64_t events) {
        struct marks_seen seen = {false, false};
        unsigned want = (unsigned)(major(root->device) << 20 | minor(root->device));
        for (const char *line = fdinfo; line; line = strchr(line, '\n')) {
                unsigned sdev, flags;
                unsigned long number;
                unsigned long long mask;
                line += *line == '\n';
                if (sscanf(line, "fanotify sdev:%x mflags:%x mask:%llx", &sdev, &flags, &mask) == 3)
                        seen.has_system |= sdev == want && (mask & events) == events;
                else if (sscanf(line, "fanotify ino:%lx sdev:%x mflags:%x mask:%llx", &number, &sdev, &flags,
                                &mask) == 4)
                        seen.has_directory |=
                                number == inode && sdev == want &&
                                (mask & (FAN_MODIFY | FAN_CLOSE_WRITE)) == (FAN_MODIFY | FAN_CLOSE_WRITE);
        }
        return seen;
}

static bool root_is_armed(const struct watch *watch, const struct root *root, const char *fdinfo) {
        struct stat st;
        if (root->error || stat(root->point, &st) < 0)
                return false;
        uint64_t events = system_events(watch) & ~(uint64_t)FAN_ONDIR;
        struct marks_seen seen = find_marks(fdinfo, root, st.st_ino, events);
        return seen.has_system && (seen.has_directory || watch->is_wide || !S_ISDIR(st.st_mode));
}

int watch_is_armed(const struct watch *watch, size_t index) {
        const struct tree *tree = find_tree(watch, index);
        _cleanup_(buffer_deinit) struct buffer text;
        char path[48];
        buffer_init(&text, FDINFO_MAX);
        if (!tree)
                return -ENOENT;
        if (tree_usable(tree) < 0)
                return 0;
        snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", watch->group_fd);
        int r = io_read_file(AT_FDCWD, path, &text);
        if (r < 0)
                return r;
        for (size_t i = 0; i < tree->n_roots; i++)
                if (!root_is_armed(watch, &tree->roots[i], text.data))
                        return 0;
        return 1;
}

void watch_counters(const struct watch *watch, struct watch_counters *ret_counters) {
        struct links_counters links;
        links_counters(watch->links, &links);
        *ret_counters = watch->counters;
        ret_counters->is_wide = watch->is_wide;
        ret_counters->n_directories = directories_count(watch->directories);
        ret_counters->n_files = links.n_files;
        ret_counters->n_links = links.n_links;
        ret_counters->n_links_refused = links.n_refused;
        ret_counters->is_scanning = links.is_scanning;
}
