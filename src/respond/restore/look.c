#include "respond/restore/look.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "event/xattr.h"

#define RESOLVE_STRICT (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

static int open_beneath(int directory_fd, const char *path, uint64_t flags, uint64_t resolve) {
        struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
        long fd;
        do
                fd = syscall(SYS_openat2, directory_fd, path, &how, sizeof(how));
        while (fd < 0 && errno == EINTR);
        return fd < 0 ? -errno : (int)fd;
}

static bool is_name(const char *name, size_t size) {
        return size > 0 && size <= NAME_MAX && !(size == 1 && name[0] == '.') &&
               !(size == 2 && name[0] == '.' && name[1] == '.');
}

static bool is_path(const char *path) {
        for (;;) {
                size_t size = strcspn(path, "/");
                if (!is_name(path, size))
                        return false;
                if (!path[size])
                        return true;
                path += size + 1;
        }
}

/* Opens the directory named by the first `size` bytes, in steps that the kernel takes. */
static int open_directory(int tree_fd, const char *path, size_t size) {
        _cleanup_(fd_closep) int fd = open_beneath(tree_fd, ".", O_PATH | O_DIRECTORY, RESOLVE_STRICT);
        while (fd >= 0 && size) {
                char step[PATH_MAX];
                size_t n = size;
                if (n >= sizeof(step))
                        for (n = sizeof(step) - 1; path[n] != '/';)
                                n--;
                memcpy(step, path, n);
                step[n] = '\0';
                int next = open_beneath(fd, step, O_PATH | O_DIRECTORY | O_NOFOLLOW, RESOLVE_STRICT);
                close(fd);
                fd = next;
                size_t taken = n + (n < size);
                path += taken;
                size -= taken;
        }
        return fd_steal(&fd);
}

int look_open_parent(int tree_fd, const char *path, int *ret_fd, const char **ret_name) {
        if (!is_path(path))
                return -EINVAL;
        const char *slash = strrchr(path, '/');
        int fd = open_directory(tree_fd, path, slash ? (size_t)(slash - path) : 0);
        if (fd < 0)
                return fd;
        *ret_fd = fd;
        *ret_name = slash ? slash + 1 : path;
        return 0;
}

int look_open(int directory_fd, const char *name) {
        return open_beneath(directory_fd, name, O_PATH | O_NOFOLLOW, RESOLVE_STRICT);
}

int look_open_unmounted(int directory_fd, const char *name) {
        return open_beneath(directory_fd, name, O_PATH | O_NOFOLLOW, RESOLVE_STRICT | RESOLVE_NO_XDEV);
}

int look_open_path(int tree_fd, const char *path) {
        if (!*path)
                return open_directory(tree_fd, path, 0);
        _cleanup_(fd_closep) int parent_fd = -EBADF;
        const char *name;
        int r = look_open_parent(tree_fd, path, &parent_fd, &name);
        return r < 0 ? r : look_open(parent_fd, name);
}

int look_reopen(int path_fd, int flags) {
        char path[32];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
        int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

static int read_target(int path_fd, char **ret_target) {
        _cleanup_(freep) char *target = malloc(PATH_MAX);
        if (!target)
                return -ENOMEM;
        ssize_t n = readlinkat(path_fd, "", target, PATH_MAX - 1);
        if (n < 0)
                return -errno;
        target[n] = '\0';
        *ret_target = STEAL(target);
        return 0;
}

static int read_content(int path_fd, struct node *node) {
        _cleanup_(fd_closep) int fd = look_reopen(path_fd, O_RDONLY);
        if (fd < 0)
                return fd;
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        return digester ? digester_file(digester, fd, &node->digest, &node->size_bytes) : -ENOMEM;
}

static int read_attributes(int path_fd, struct node *node) {
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, XATTR_BYTES_MAX);
        int r = xattr_read(path_fd, &bytes);
        return r < 0 ? r : xattr_digest(bytes.data, bytes.size, &node->xattr_digest);
}

int look_node(int path_fd, bool with_content, struct node *ret_node) {
        struct stat st;
        if (fstatat(path_fd, "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        _cleanup_(node_deinit) struct node node = NODE_INIT;
        node_from_stat(&st, &node);
        int r = read_attributes(path_fd, &node);
        if (r == 0 && S_ISLNK(st.st_mode))
                r = read_target(path_fd, &node.link_target);
        if (r == 0 && S_ISREG(st.st_mode) && with_content)
                r = read_content(path_fd, &node);
        if (r == 0) {
                *ret_node = node;
                node.link_target = NULL;
        }
        return r;
}

int look_clear_flags(int path_fd, int *ret_flags) {
        struct stat st;
        if (fstatat(path_fd, "", &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return 0;
        _cleanup_(fd_closep) int fd = look_reopen(path_fd, O_RDONLY);
        if (fd < 0)
                return fd;
        int flags;
        if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
                return errno == ENOTTY || errno == EOPNOTSUPP ? 0 : -errno;
        int cleared = flags & ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
        if (cleared == flags)
                return 0;
        if (ioctl(fd, FS_IOC_SETFLAGS, &cleared) < 0)
                return -errno;
        if (ret_flags)
                *ret_flags = flags;
        return 1;
}

int look_set_flags(int path_fd, int flags) {
        _cleanup_(fd_closep) int fd = look_reopen(path_fd, O_RDONLY);
        if (fd < 0)
                return fd;
        return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}
