/* See watch.h. Life of a watch, its trees and marks; locate.c finds paths, dispatch.c works off events. */
#include "sense/files/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/sysmacros.h>

#include "base/io.h"
#include "sense/files/watch-state.h"

#define TREES_MAX       64
#define PATH_BYTES_MAX  ((size_t)1 << 20)
#define FDINFO_MAX      ((size_t)256 << 20)
#define WATCHED_EVENTS  (FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB | ENTRY_EVENTS | FAN_ONDIR)
#define SPINE_EVENTS    (ENTRY_EVENTS | FAN_ONDIR)
#define REQUIRED_EVENTS (FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB | ENTRY_EVENTS)

int watch_group_open(void) {
        static const unsigned names = FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_REPORT_FID;
        static const unsigned basis = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS;
        static const unsigned extras[] = {
                FAN_REPORT_TARGET_FID | FAN_REPORT_PIDFD, /* Linux 5.17 */
                FAN_REPORT_PIDFD,                         /* 5.15 */
                0,                                        /* 5.9 */
        };
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
        if (watch->epoll_fd < 0 || watch->mounts_fd < 0 || watch->mounts_wake_fd < 0 || watch->work_fd < 0)
                return -errno;
        int r = add_source(watch, watch->group_fd, EPOLLIN);
        if (r >= 0)
                r = add_source(watch, watch->mounts_wake_fd, EPOLLPRI);
        if (r >= 0)
                r = add_source(watch, links_fd(watch->links), EPOLLIN);
        return r < 0 ? r : add_source(watch, watch->work_fd, EPOLLIN);
}

int watch_new_pending(int group_fd, int pending_fd, struct watch **ret_watch) {
        _cleanup_(watch_freep) struct watch *watch = calloc(1, sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        watch->group_fd = watch->epoll_fd = watch->work_fd = -EBADF;
        watch->mounts_fd = watch->mounts_wake_fd = -EBADF;
        buffer_init(&watch->path, PATH_BYTES_MAX);
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
        free(watch);
        return NULL;
}

static void mark_spine(int directory_fd, void *userdata) {
        struct watch *watch = userdata;
        char link[32];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", directory_fd);
        (void)fanotify_mark(watch->group_fd, FAN_MARK_ADD, SPINE_EVENTS, AT_FDCWD, link);
}

/* Marks the file system, and makes sure that its handles lead back to paths. */
static int mark_root(struct watch *watch, struct root *root) {
        struct file_key key;
        if (fanotify_mark(watch->group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, WATCHED_EVENTS, AT_FDCWD,
                          root->point) < 0)
                return errno == ENODEV || errno == EXDEV || errno == EINVAL ? -EOPNOTSUPP : -errno;
        int r = file_key_of(AT_FDCWD, root->point, root->fsid, &key);
        if (r < 0)
                return r;
        _cleanup_(fd_closep) int mount_fd = open(root->point, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        _cleanup_(fd_closep) int fd =
                mount_fd < 0 ? -errno : file_key_open(mount_fd, key.bytes, key.size, O_PATH | O_CLOEXEC);
        return fd < 0 ? -EOPNOTSUPP : 0;
}

int watch_refresh_tree(struct watch *watch, struct tree *tree, const struct mounts *mounts) {
        struct tree fresh = {.index = tree->index, .path = tree->path};
        int r = tree_resolve(&fresh, mounts, mark_spine, watch);
        if (r < 0)
                return r;
        for (size_t i = 0; i < fresh.n_roots; i++)
                if (!fresh.roots[i].error)
                        fresh.roots[i].error = mark_root(watch, &fresh.roots[i]);
        r = !tree_same_mounts(tree, &fresh);
        tree->path = NULL;
        tree_deinit(tree);
        *tree = fresh;
        if (r > 0) {
                links_rescan(watch->links);
                eventfd_write(watch->work_fd, 1);
        }
        return r;
}

int watch_relocate(struct watch *watch) {
        struct mounts mounts = {0};
        locate_forget(watch, true);
        int r = mounts_read(&mounts), first_error = 0;
        for (size_t i = 0; r >= 0 && i < watch->n_trees; i++) {
                int refreshed = watch_refresh_tree(watch, &watch->trees[i], &mounts);
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
                return watch_relocate(watch) ?: tree_usable(tree);
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
        int r = watch_relocate(watch); /* what was outside may be inside now */
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
        return watch_relocate(watch);
}

int watch_fd(const struct watch *watch) {
        return watch->epoll_fd;
}

/* Does fdinfo name a mark on the superblock with every event we need? proc_pid_fdinfo(5), "fanotify". */
static bool has_mark(const char *fdinfo, dev_t device) {
        unsigned want = (unsigned)(major(device) << 20 | minor(device));
        for (const char *line = fdinfo; line; line = strchr(line, '\n')) {
                unsigned sdev, flags;
                unsigned long long mask;
                line += *line == '\n';
                if (sscanf(line, "fanotify sdev:%x mflags:%x mask:%llx", &sdev, &flags, &mask) == 3 &&
                    sdev == want && (mask & REQUIRED_EVENTS) == REQUIRED_EVENTS)
                        return true;
        }
        return false;
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
                if (tree->roots[i].error || !has_mark(text.data, tree->roots[i].device))
                        return 0;
        return 1;
}

void watch_counters(const struct watch *watch, struct watch_counters *ret_counters) {
        struct links_counters links;
        links_counters(watch->links, &links);
        *ret_counters = watch->counters;
        ret_counters->n_directories = directories_count(watch->directories);
        ret_counters->n_files = links.n_files;
        ret_counters->n_links = links.n_links;
        ret_counters->n_links_refused = links.n_refused;
        ret_counters->is_scanning = links.is_scanning;
}
