/* The patterns that a process performs with ordinary calls, and the table of all of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "pattern.h"

static int open_victim(const struct victim *victim, int flags) {
        return scratch_at(victim->folder, victim->name, flags);
}

static int closed(int fd, int r) {
        if (fd >= 0)
                close(fd);
        return r;
}

static int in_place(struct victim *victim, const struct shape *shape) {
        int fd = open_victim(victim, O_RDWR);
        return fd < 0 ? fd : closed(fd, cipher_in_place(fd, victim->key, victim->size_bytes, shape));
}

static int add_extension(const struct victim *victim) {
        char name[256];
        int r = extended_name(victim, name, sizeof(name));
        if (r == 0 && renameat(victim->folder, victim->name, victim->folder, name) < 0)
                r = -errno;
        return r;
}

int alter_full(struct victim *victim) {
        return in_place(victim, &(struct shape){0});
}

static int alter_head(struct victim *victim) {
        int r = in_place(victim, &(struct shape){.cap_bytes = 4096});
        return r < 0 ? r : add_extension(victim);
}

static int alter_with_trailer(struct victim *victim) {
        uint8_t trailer[534] = {0};
        size_t n = 32 + victim->key % (sizeof(trailer) - 32);
        int fd = open_victim(victim, O_RDWR);
        if (fd < 0)
                return fd;
        int r = cipher_in_place(fd, victim->key, victim->size_bytes, &(struct shape){.cap_bytes = 512 << 20});
        cipher_apply(~victim->key, 0, trailer, n);
        if (r >= 0)
                r = write_all(fd, trailer, n, victim->size_bytes);
        return closed(fd, r < 0 ? r : add_extension(victim));
}

static int alter_step(struct victim *victim) {
        return in_place(victim, &(struct shape){.on_bytes = 64 << 10, .off_bytes = 192 << 10});
}

static int alter_percent(struct victim *victim) {
        return in_place(victim, &(struct shape){.percent = 15});
}

static int alter_spots(struct victim *victim) {
        return in_place(victim, &(struct shape){.percent = 20, .n_spots = 4});
}

static int alter_dots(struct victim *victim) {
        return in_place(victim, &(struct shape){.on_bytes = 64, .off_bytes = 128});
}

static int alter_alternate(struct victim *victim) {
        return in_place(victim, &(struct shape){.skip_bytes = 64, .on_bytes = 16, .off_bytes = 16});
}

static int alter_four_percent(struct victim *victim) {
        return in_place(victim, &(struct shape){.skip_bytes = 64, .percent = 4, .n_spots = 8});
}

/* An encrypted copy beside the original, complete and on disk. */
static int make_copy(struct victim *victim, const char *name) {
        int from = open_victim(victim, O_RDONLY);
        if (from < 0)
                return from;
        int to = scratch_at(victim->folder, name, O_WRONLY | O_CREAT | O_EXCL);
        int r = to < 0 ? to : cipher_copy(from, to, victim->key);
        if (r == 0 && fsync(to) < 0)
                r = -errno;
        close(from);
        return closed(to, r);
}

static int alter_copy_unlink(struct victim *victim) {
        char name[256];
        int r = extended_name(victim, name, sizeof(name));
        if (r == 0)
                r = make_copy(victim, name);
        return r == 0 && unlinkat(victim->folder, victim->name, 0) < 0 ? -errno : r;
}

static int alter_copy_over(struct victim *victim) {
        char name[256];
        int r = extended_name(victim, name, sizeof(name));
        if (r == 0)
                r = make_copy(victim, name);
        return r == 0 && renameat(victim->folder, name, victim->folder, victim->name) < 0 ? -errno : r;
}

/* Everything read first; then `empty` makes the file empty in one of three ways, and it is written again. */
static int alter_emptied(struct victim *victim, int flags, int (*empty)(const struct victim *, int fd)) {
        uint8_t *bytes = NULL;
        size_t n = 0;
        int fd = open_victim(victim, O_RDONLY), r = fd < 0 ? fd : read_whole(fd, &bytes, &n);
        closed(fd, 0);
        if (r < 0)
                return r;
        cipher_apply(victim->key, 0, bytes, n);
        fd = -1;
        if (empty != NULL)
                r = empty(victim, -1);
        if (r == 0)
                r = fd = open_victim(victim, O_WRONLY | flags);
        if (fd >= 0 && !(flags & O_TRUNC) && ftruncate(fd, 0) < 0)
                r = -errno;
        if (r >= 0)
                r = write_all(fd, bytes, n, 0);
        free(bytes);
        return closed(fd, r);
}

static int truncate_by_path(const struct victim *victim, int fd) {
        char path[320];
        (void)fd;
        snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", victim->folder, victim->name);
        return truncate(path, 0) < 0 ? -errno : 0;
}

static int alter_truncated_at_open(struct victim *victim) {
        return alter_emptied(victim, O_TRUNC, NULL);
}

static int alter_truncated_by_path(struct victim *victim) {
        return alter_emptied(victim, 0, truncate_by_path);
}

static int alter_truncated_by_fd(struct victim *victim) {
        return alter_emptied(victim, 0, NULL);
}

static int alter_renamed_first(struct victim *victim) {
        char name[256];
        int r = extended_name(victim, name, sizeof(name)), fd;
        if (r == 0)
                r = add_extension(victim);
        if (r < 0)
                return r;
        r = fd = scratch_at(victim->folder, name, O_RDWR);
        if (fd >= 0)
                r = closed(fd, cipher_in_place(fd, victim->key, victim->size_bytes, &(struct shape){0}));
        if (r < 0)
                renameat(victim->folder, name, victim->folder, victim->name);
        return r < 0 ? r : 0;
}

static int alter_mapped(struct victim *victim) {
        if (!victim->size_bytes)
                return UNTOUCHED;
        int fd = open_victim(victim, O_RDWR);
        if (fd < 0)
                return fd;
        uint8_t *bytes = mmap(NULL, victim->size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        int r = bytes == MAP_FAILED ? -errno : 0;
        close(fd);
        if (r == 0) {
                cipher_apply(victim->key, 0, bytes, victim->size_bytes);
                munmap(bytes, victim->size_bytes);
        }
        return r;
}

/* What stands in place of the content: encoded, or behind bytes that look like something else. */
enum dress { BASE64, HEX, GZIP, MAGIC };

static size_t encode(enum dress dress, const uint8_t *bytes, size_t n, char *out) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t at = 0;
        if (dress == HEX)
                for (size_t i = 0; i < n; i++) {
                        out[at++] = "0123456789abcdef"[bytes[i] >> 4];
                        out[at++] = "0123456789abcdef"[bytes[i] & 15];
                }
        for (size_t i = 0; dress == BASE64 && i < n; i += 3) {
                uint32_t word = (uint32_t)bytes[i] << 16;
                word |= i + 1 < n ? (uint32_t)bytes[i + 1] << 8 : 0;
                word |= i + 2 < n ? bytes[i + 2] : 0;
                for (int k = 18; k >= 0; k -= 6)
                        out[at++] = digits[word >> k & 63];
                if (i % 57 == 54)
                        out[at++] = '\n';
        }
        return at;
}

static int write_dressed(int fd, enum dress dress, const uint8_t *plain, uint8_t *bytes, size_t n) {
        static const uint8_t gzip[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
        if (dress == MAGIC) {
                memcpy(bytes, plain, n < 16 ? n : 16);
                return write_all(fd, bytes, n, 0);
        }
        if (dress == GZIP) {
                int r = write_all(fd, gzip, sizeof(gzip), 0);
                return r < 0 ? r : write_all(fd, bytes, n, sizeof(gzip));
        }
        char *text = malloc(2 * n + 8);
        int r = text ? write_all(fd, text, encode(dress, bytes, n, text), 0) : -ENOMEM;
        free(text);
        return r;
}

static int alter_dressed(struct victim *victim, enum dress dress) {
        uint8_t *plain = NULL, *bytes = NULL;
        size_t n = 0;
        int fd = open_victim(victim, O_RDWR), r = fd < 0 ? fd : read_whole(fd, &plain, &n);
        if (r == 0 && (n <= 16 && dress == MAGIC))
                r = UNTOUCHED;
        if (r == 0 && !(bytes = malloc(n + 1)))
                r = -ENOMEM;
        if (r == 0) {
                memcpy(bytes, plain, n);
                cipher_apply(victim->key, 0, bytes, n);
                r = write_dressed(fd, dress, plain, bytes, n);
        }
        free(plain);
        free(bytes);
        return closed(fd, r);
}

static int alter_to_base64(struct victim *victim) {
        return alter_dressed(victim, BASE64);
}

static int alter_to_hex(struct victim *victim) {
        return alter_dressed(victim, HEX);
}

static int alter_to_gzip(struct victim *victim) {
        return alter_dressed(victim, GZIP);
}

static int alter_behind_magic(struct victim *victim) {
        return alter_dressed(victim, MAGIC);
}

static int overwrite(struct victim *victim, unsigned n_passes, bool is_random) {
        static const uint8_t zeros[BLOCK_BYTES];
        if (!victim->size_bytes)
                return UNTOUCHED;
        uint8_t *block = malloc(BLOCK_BYTES);
        int fd = open_victim(victim, O_WRONLY), r = fd < 0 ? fd : block ? 0 : -ENOMEM;
        for (unsigned pass = 0; r == 0 && pass < n_passes; pass++)
                for (uint64_t at = 0; r == 0 && at < victim->size_bytes; at += BLOCK_BYTES) {
                        size_t left = victim->size_bytes - at, n = left < BLOCK_BYTES ? left : BLOCK_BYTES;
                        memcpy(block, zeros, n);
                        if (is_random)
                                cipher_apply(victim->key + pass, at, block, n);
                        r = write_all(fd, block, n, at);
                }
        free(block);
        return closed(fd, r);
}

static int alter_to_zeros(struct victim *victim) {
        return overwrite(victim, 1, false);
}

static int alter_remove(struct victim *victim) {
        return unlinkat(victim->folder, victim->name, 0) < 0 ? -errno : 0;
}

static int alter_shred(struct victim *victim) {
        int r = overwrite(victim, 3, true);
        return r < 0 ? r : alter_remove(victim);
}

static int alter_lock_out(struct victim *victim) {
        int fd = open_victim(victim, O_RDONLY), r = 0;
        if (fd < 0)
                return fd;
        if (fsetxattr(fd, "user.locked", "1", 1, 0) < 0 || fchmod(fd, 0) < 0)
                r = -errno;
        if (r == 0 && geteuid() == 0 && fchown(fd, 65534, 65534) < 0)
                r = -errno;
        return closed(fd, r);
}

static int alter_name_only(struct victim *victim) {
        char name[64];
        snprintf(name, sizeof(name), "%016llx%.40s", (unsigned long long)victim->key, victim->job->extension);
        return renameat(victim->folder, victim->name, victim->folder, name) < 0 ? -errno : 0;
}

static int alter_move_away(struct victim *victim) {
        char name[64];
        snprintf(name, sizeof(name), "%016llx", (unsigned long long)victim->key);
        int from = open_victim(victim, O_RDONLY), to = -1;
        int r = from < 0 ? from
                         : (to = scratch_at(victim->job->elsewhere, name, O_WRONLY | O_CREAT | O_EXCL));
        if (r >= 0)
                r = cipher_copy(from, to, victim->key);
        closed(from, 0);
        return closed(to, r < 0 ? r : alter_remove(victim));
}

static int alter_move_name(struct victim *victim) {
        char name[64];
        snprintf(name, sizeof(name), "%016llx", (unsigned long long)victim->key);
        return renameat(victim->folder, victim->name, victim->job->elsewhere, name) < 0 ? -errno : 0;
}

/* A look and a new time first, as if to see who minds; then in place. Names with a dot are left out by job.c. */
static int alter_after_touch(struct victim *victim) {
        char byte;
        int fd = open_victim(victim, O_RDONLY);
        if (fd < 0)
                return fd;
        int r = read(fd, &byte, 1) < 0 || futimens(fd, NULL) < 0 ? -errno : 0;
        if (r == 0)
                r = alter_full(victim);
        return closed(fd, r < 0 ? r : 0);
}

static int alter_pages(struct victim *victim) {
        uint8_t page[8192];
        uint64_t n_pages = (victim->size_bytes + sizeof(page) - 1) / sizeof(page);
        int fd = open_victim(victim, O_RDWR), r = fd < 0 ? fd : UNTOUCHED;
        for (uint64_t i = 0; r >= 0 && i < (n_pages + 3) / 4; i++) {
                uint64_t at = cipher_random(victim->key + i) % n_pages * sizeof(page);
                ssize_t n = pread(fd, page, sizeof(page), (off_t)at);
                cipher_apply(victim->key + i, at, page, n > 0 ? (size_t)n : 0);
                r = n < 0 ? -errno : write_all(fd, page, (size_t)n, at);
        }
        return closed(fd, r);
}

/* A 16-character extension of its own for each file; logs are emptied instead. */
static int alter_at_the_end(struct victim *victim) {
        char name[256];
        const char *dot = strrchr(victim->name, '.');
        if (dot && !strcmp(dot, ".log")) {
                int fd = open_victim(victim, O_WRONLY | O_TRUNC);
                return fd < 0 ? fd : closed(fd, 0);
        }
        int n = snprintf(name, sizeof(name), "%s.%016llx", victim->name, (unsigned long long)victim->key);
        int r = n < 0 || n >= (int)sizeof(name) ? -ENAMETOOLONG : make_copy(victim, name);
        return r < 0 ? r : alter_remove(victim);
}

const struct pattern patterns[] = {
        {.name = "P1", .says = "read and written in place, 1 MiB at a time", .alter = alter_full},
        {.name = "P2", .says = "the first 4 KiB, then renamed", .alter = alter_head},
        {.name = "P3", .says = "the first 512 MiB, a trailer, renamed", .alter = alter_with_trailer},
        {.name = "P4-step", .says = "64 KiB of every 256", .alter = alter_step},
        {.name = "P4-percent", .says = "the first 15 %", .alter = alter_percent},
        {.name = "P4-spots", .says = "20 % in four places", .alter = alter_spots},
        {.name = "P4-dots", .says = "64 of every 192 bytes", .alter = alter_dots},
        {.name = "P5-alternate", .says = "every other 16 bytes, header intact", .alter = alter_alternate},
        {.name = "P5-percent", .says = "4 % in eight places, header intact", .alter = alter_four_percent},
        {.name = "P6", .says = "an encrypted copy, the original unlinked", .alter = alter_copy_unlink},
        {.name = "P7", .says = "an encrypted copy renamed over the original", .alter = alter_copy_over},
        {.name = "P9", .says = "opened with O_TRUNC, written back", .alter = alter_truncated_at_open},
        {.name = "P10-path", .says = "truncate(path), written back", .alter = alter_truncated_by_path},
        {.name = "P10-fd", .says = "ftruncate, written back", .alter = alter_truncated_by_fd},
        {.name = "P11", .says = "renamed first, then in place", .alter = alter_renamed_first},
        {.name = "P12", .says = "stores through a shared mapping", .alter = alter_mapped},
        {.name = "P15", .says = "io_uring, in place", .alter = alter_uring_in_place},
        {.name = "P15-copy", .says = "io_uring, copy and unlinkat", .alter = alter_uring_copy},
        {.name = "P15-poll", .says = "io_uring with SQPOLL, in place", .alter = alter_uring_poll},
        {.name = "P16-handle", .says = "open_by_handle_at", .alter = alter_by_handle, .needs_root = true},
        {.name = "P16-reopen", .says = "O_PATH, then /proc/self/fd", .alter = alter_by_reopen},
        {.name = "P16-link", .says = "through a hard link made first", .alter = alter_by_hard_link},
        {.name = "P16-symlink", .says = "through a symbolic link", .alter = alter_by_symlink},
        {.name = "P16-mount", .says = "a bind mount of its own", .alter = alter_by_mount, .needs_root = true},
        {.name = "P17", .says = "descriptors from before, passed on", .alter_all = alter_all_early},
        {.name = "P18", .says = "P6 by 18 processes", .alter = alter_copy_unlink, .n_processes = 18},
        {.name = "P19-openssl", .says = "openssl enc, rm, a process a file", .alter = alter_by_openssl},
        {.name = "P19-zip", .says = "zip -m with a password", .alter = alter_by_zip},
        {.name = "P19-shell", .says = "head, cat and mv by a shell", .alter = alter_by_shell},
        {.name = "P20-python", .says = "inside python", .alter = alter_by_python},
        {.name = "P20-perl", .says = "inside perl", .alter = alter_by_perl},
        {.name = "P21", .says = "P1, one file a minute", .alter = alter_full, .rate = 1.0 / 60},
        {.name = "P22-base64", .says = "base64 in place", .alter = alter_to_base64},
        {.name = "P22-hex", .says = "hexadecimal in place", .alter = alter_to_hex},
        {.name = "P22-gzip", .says = "behind a gzip header", .alter = alter_to_gzip},
        {.name = "P22-magic", .says = "behind the first 16 bytes", .alter = alter_behind_magic},
        {.name = "P23-zeros", .says = "overwritten with zeros", .alter = alter_to_zeros},
        {.name = "P23-remove", .says = "unlinked", .alter = alter_remove},
        {.name = "P23-shred", .says = "overwritten three times, unlinked", .alter = alter_shred},
        {.name = "P23-lockout", .says = "mode 0, another owner, an xattr", .alter = alter_lock_out},
        {.name = "P23-rename", .says = "renamed only", .alter = alter_name_only},
        {.name = "P24-archive",
         .says = "one encrypted archive, then unlinked",
         .alter_all = alter_all_archive},
        {.name = "P24-copy",
         .says = "copied away, unlinked",
         .alter = alter_move_away,
         .needs_elsewhere = true},
        {.name = "P24-move", .says = "renamed away", .alter = alter_move_name, .needs_elsewhere = true},
        {.name = "P24-folder",
         .says = "folders renamed away",
         .alter_all = alter_all_folders,
         .needs_elsewhere = true},
        {.name = "P28", .says = "touched first; hidden files left out", .alter = alter_after_touch},
        {.name = "P29", .says = "8 KiB pages at random", .alter = alter_pages},
        {.name = "P30", .says = "P6 with random extensions; logs wiped", .alter = alter_at_the_end},
        {.name = "X-punch", .says = "fallocate: holes", .alter = alter_by_punch},
        {.name = "X-exchange", .says = "RENAME_EXCHANGE, unlinked", .alter = alter_by_exchange},
        {.name = "X-range", .says = "copy_file_range into it", .alter = alter_by_copy_range},
        {.name = "X-clone", .says = "FICLONE over it", .alter = alter_by_clone},
        {.name = "X-direct", .says = "O_DIRECT", .alter = alter_by_direct},
};
const size_t n_patterns = sizeof(patterns) / sizeof(*patterns);

const struct pattern *pattern_find(const char *name) {
        for (size_t i = 0; i < n_patterns; i++)
                if (!strcmp(patterns[i].name, name))
                        return &patterns[i];
        return NULL;
}
