/*
 * One fanotify event taken out of the bytes that read(2) gave: fanotify(7), "Reading
 * fanotify events". Pure: no system call, no memory; what it returns points into the bytes.
 *
 * A file system object is named by its *key*: fsid (8 bytes), length (4), type (4) and
 * bytes of its file handle, as they stand in the event, so that a key is compared and hashed
 * as one run of bytes and file_key_of() can make the same key for a path.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FILE_KEY_HEAD      16                    /* fsid, handle length, handle type */
#define FILE_KEY_BYTES_MAX (FILE_KEY_HEAD + 128) /* MAX_HANDLE_SZ */

struct file_key {
        size_t size;
        uint8_t bytes[FILE_KEY_BYTES_MAX];
};

struct notice {
        uint64_t mask;
        pid_t pid;
        int pid_fd;               /* a descriptor of the process that read it, or -1 */
        int fd;                   /* permission groups: the object, opened; or -1 */
        const uint8_t *directory; /* key of the directory, or NULL */
        size_t directory_size;
        const char *name;      /* entry of that directory, "." for itself, or NULL; NUL-terminated */
        const uint8_t *object; /* key of the object itself (or of the entry's target), or NULL */
        size_t object_size;
};

/*
 * Decodes the event at the start of `size` bytes. Returns 1 and how many bytes it took,
 * 0 when there is none left (end of the bytes, or zeroes), or -EBADMSG: what follows cannot be trusted.
 */
int notice_decode(const uint8_t *data, size_t size, struct notice *ret_notice, size_t *ret_used);

/*
 * Key of what stands at a name (of a directory, or of the descriptor itself with ""), symbolic links
 * not followed; `fsid` is the file system's as statfs(2) gives it there. In a subvolume of a btrfs, which
 * has an fsid of its own, the key has that of the top, as the file system's mark reports it. 0 or a negative errno.
 */
int file_key_of(int directory_fd, const char *name, const uint32_t fsid[2], struct file_key *ret_key);

/* Opens the object with a key below a mount; returns a descriptor or a negative errno (-ESTALE: gone). */
int file_key_open(int mount_fd, const uint8_t *key, size_t key_size, int flags);

uint64_t file_key_hash(const uint8_t *key, size_t key_size);
