#include "roles/baseline-look.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "event/xattr.h"
#include "sense/files/walk.h"

#define ATTEMPTS 4 /* a file that is being written is read again so many times */

static int open_file(int directory_fd, const char *name) {
        int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        int fd = openat(directory_fd, name, flags | O_NOATIME);
        if (fd < 0 && errno == EPERM)
                fd = openat(directory_fd, name, flags);
        return fd < 0 ? -errno : fd;
}

static bool wants_keeping(struct looker *looker, const struct node *node) {
        return looker->store && looker->keep_bytes_max && node->size_bytes <= looker->keep_bytes_max;
}

/* A store that fails is no reason to see less. */
static void note_unkept(struct looker *looker, uint64_t bytes, int r) {
        looker->n_unkept++;
        looker->unkept_bytes += STORE_BYTES_FOR(bytes);
        if (looker->store_error == 0)
                looker->store_error = r;
}

static int hash_content(struct looker *looker, int fd, struct node *node) {
        uint64_t size_bytes;
        int r = digester_file(looker->digester, fd, &node->digest, &size_bytes);
        return r == 0 && size_bytes != node->size_bytes ? -EAGAIN : r;
}

static int keep_content(struct looker *looker, int fd, struct node *node) {
        uint64_t size_bytes;
        int r = store_put_file(looker->store, fd, &node->digest, &size_bytes);
        return r == 0 && size_bytes != node->size_bytes ? -EAGAIN : r;
}

/* Where the content is most likely known it is hashed first and kept only when it is not. */
static int read_content(struct looker *looker, int fd, struct node *node) {
        bool keep = wants_keeping(looker, node);
        int r;
        if (!keep || looker->known) {
                r = hash_content(looker, fd, node);
                if (r < 0 || !keep || digest_equal(&node->digest, looker->known))
                        return r;
        }
        int kept = keep_content(looker, fd, node);
        if (kept == 0 || kept == -EAGAIN)
                return kept;
        r = hash_content(looker, fd, node);
        if (r == 0) /* so it was not the file that could not be read */
                note_unkept(looker, node->size_bytes, kept);
        return r;
}

static int read_attributes(struct looker *looker, int fd, const char *name, struct node *node) {
        if (!name && flistxattr(fd, NULL, 0) == 0)
                return 0; /* nearly always, and cheaper than a path through /proc */
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, XATTR_BYTES_MAX);
        int r = name && *name ? xattr_read_at(fd, name, &bytes) : xattr_read(fd, &bytes);
        if (r == 0)
                r = xattr_digest(bytes.data, bytes.size, &node->xattr_digest);
        if (r < 0 || !bytes.size || !looker->store || !looker->keep_bytes_max)
                return r;
        struct digest digest;
        int kept = store_put_bytes(looker->store, bytes.data, bytes.size, &digest);
        if (kept < 0)
                note_unkept(looker, bytes.size, kept);
        return 0;
}

/* 0, or -EAGAIN when it changed meanwhile; then `node` still holds what was read. */
static int look_once(struct looker *looker, int fd, struct node *node) {
        _cleanup_(node_deinit) struct node after = NODE_INIT;
        int r = node_stat(fd, "", node);
        if (r < 0)
                return r;
        if (!S_ISREG(node->mode))
                return -ESTALE; /* something else than a moment ago */
        int changed = read_content(looker, fd, node);
        if (changed < 0 && changed != -EAGAIN)
                return changed;
        r = read_attributes(looker, fd, NULL, node);
        if (r == 0)
                r = node_stat(fd, "", &after);
        if (r < 0)
                return r;
        return changed < 0 || !node_stat_equal(node, &after) ? -EAGAIN : 0;
}

int look_at_open(struct looker *looker, int fd, struct node *node) {
        int r = -EAGAIN;
        for (int attempt = 0; r == -EAGAIN && attempt < ATTEMPTS; attempt++)
                r = look_once(looker, fd, node);
        looker->n_hashed++;
        return r == -EAGAIN ? 0 : r;
}

static int look_at_file(struct looker *looker, int directory_fd, const char *name, struct node *node) {
        _cleanup_(fd_closep) int fd = open_file(directory_fd, name);
        if (fd < 0)
                return fd == -ELOOP || fd == -ENXIO ? -ESTALE : fd;
        return look_at_open(looker, fd, node);
}

int look_at(struct looker *looker, int directory_fd, const char *name, struct node *node) {
        int r = -ESTALE;
        /* A regular file a moment ago is opened at once; whether it still is one is seen then. */
        if (S_ISREG(node->mode))
                r = look_at_file(looker, directory_fd, name, node);
        for (int attempt = 0; r == -ESTALE && attempt < ATTEMPTS; attempt++) {
                node_deinit(node);
                r = node_stat(directory_fd, name, node);
                if (r == -EINVAL)
                        r = -ESTALE; /* was a symbolic link, is none now */
                if (r < 0)
                        continue;
                r = S_ISREG(node->mode) ? look_at_file(looker, directory_fd, name, node)
                                        : read_attributes(looker, directory_fd, name, node);
        }
        if (r == -ENOENT)
                node_deinit(node);
        return r;
}
