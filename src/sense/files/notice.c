/* See notice.h. Every length that the bytes claim is checked against the bytes that are there. */
#include "sense/files/notice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/random.h>

#include "base/cleanup.h"

/* enum fid_type of include/linux/exportfs.h */
#define BTRFS_HANDLE_FIRST 0x4d
#define BTRFS_HANDLE_LAST  0x4f
#define BTRFS_TOP          5

/* The key at the start of an info record's payload; its size, or 0. */
static size_t key_measure(const uint8_t *payload, size_t size) {
        uint32_t handle_bytes;
        if (size < FILE_KEY_HEAD)
                return 0;
        memcpy(&handle_bytes, payload + 8, sizeof(handle_bytes));
        if (handle_bytes > size - FILE_KEY_HEAD || handle_bytes > FILE_KEY_BYTES_MAX - FILE_KEY_HEAD)
                return 0;
        return FILE_KEY_HEAD + handle_bytes;
}

static bool decode_name(const uint8_t *payload, size_t size, size_t key_size, struct notice *notice) {
        const char *name = (const char *)payload + key_size;
        size_t length = strnlen(name, size - key_size);
        if (length == size - key_size || !length || memchr(name, '/', length))
                return false;
        notice->name = name;
        return true;
}

static bool decode_record(uint8_t type, const uint8_t *payload, size_t size, struct notice *notice) {
        size_t key_size;
        switch (type) {
        case FAN_EVENT_INFO_TYPE_FID:
                notice->object_size = key_measure(payload, size);
                notice->object = payload;
                return notice->object_size != 0;
        case FAN_EVENT_INFO_TYPE_DFID:
        case FAN_EVENT_INFO_TYPE_DFID_NAME:
                key_size = key_measure(payload, size);
                notice->directory = payload;
                notice->directory_size = key_size;
                return key_size &&
                       (type == FAN_EVENT_INFO_TYPE_DFID || decode_name(payload, size, key_size, notice));
        case FAN_EVENT_INFO_TYPE_PIDFD:
                if (size < sizeof(int32_t))
                        return false;
                memcpy(&notice->pid_fd, payload, sizeof(int32_t));
                if (notice->pid_fd < 0)
                        notice->pid_fd = -1;
                return true;
        default: /* a kind that a newer kernel added */
                return true;
        }
}

int notice_decode(const uint8_t *data, size_t size, struct notice *ret_notice, size_t *ret_used) {
        struct fanotify_event_metadata head;
        if (size < sizeof(head))
                return 0;
        memcpy(&head, data, sizeof(head));
        if (head.event_len == 0)
                return 0;
        if (head.vers != FANOTIFY_METADATA_VERSION || head.event_len > size ||
            head.metadata_len < sizeof(head) || head.metadata_len > head.event_len)
                return -EBADMSG;
        struct notice notice = {.mask = head.mask, .pid = head.pid, .pid_fd = -1, .fd = head.fd};
        size_t at = head.metadata_len;
        while (at < head.event_len) {
                struct fanotify_event_info_header info;
                if (head.event_len - at < sizeof(info))
                        return -EBADMSG;
                memcpy(&info, data + at, sizeof(info));
                if (info.len < sizeof(info) || info.len > head.event_len - at ||
                    !decode_record(info.info_type, data + at + sizeof(info), info.len - sizeof(info),
                                   &notice))
                        return -EBADMSG;
                at += info.len;
        }
        *ret_notice = notice;
        *ret_used = head.event_len;
        return 1;
}

/*
 * btrfs' statfs folds the number of the subvolume into the fsid (fs/btrfs/super.c), and its handles tell the
 * number; the top's is 5. So one fsid is turned into the other.
 */
static void name_by_top(uint8_t *key, const struct file_handle *handle) {
        uint32_t fsid[2];
        uint64_t subvolume;
        if (handle->handle_type < BTRFS_HANDLE_FIRST || handle->handle_type > BTRFS_HANDLE_LAST ||
            handle->handle_bytes < 16)
                return;
        memcpy(fsid, key, sizeof(fsid));
        memcpy(&subvolume, handle->f_handle + 8, sizeof(subvolume));
        subvolume ^= BTRFS_TOP;
        fsid[0] ^= (uint32_t)(subvolume >> 32);
        fsid[1] ^= (uint32_t)subvolume;
        memcpy(key, fsid, sizeof(fsid));
}

int file_key_of(int directory_fd, const char *name, const uint32_t fsid[2], struct file_key *ret_key) {
        union {
                struct file_handle handle;
                uint8_t space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } u;
        int mount_id;
        u.handle.handle_bytes = MAX_HANDLE_SZ;
        if (name_to_handle_at(directory_fd, name, &u.handle, &mount_id, *name ? 0 : AT_EMPTY_PATH) < 0)
                return -errno;
        memcpy(ret_key->bytes, fsid, 8);
        memcpy(ret_key->bytes + 8, u.space, 8 + u.handle.handle_bytes);
        ret_key->size = FILE_KEY_HEAD + u.handle.handle_bytes;
        name_by_top(ret_key->bytes, &u.handle);
        return 0;
}

int file_key_open(int mount_fd, const uint8_t *key, size_t key_size, int flags) {
        union {
                struct file_handle handle;
                uint8_t space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } u;
        if (key_size < FILE_KEY_HEAD || key_size > FILE_KEY_BYTES_MAX)
                return -EINVAL;
        memcpy(u.space, key + 8, key_size - 8);
        int fd = open_by_handle_at(mount_fd, &u.handle, flags);
        return fd < 0 ? -errno : fd;
}

/* Seeded, so that nobody can choose inode numbers that fall into one bucket. */
static uint64_t hash_seed(void) {
        static uint64_t seed;
        if (!seed && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
                seed = UINT64_C(0x9e3779b97f4a7c15);
        return seed | 1;
}

uint64_t file_key_hash(const uint8_t *key, size_t key_size) {
        uint64_t hash = hash_seed() ^ key_size;
        while (key_size) {
                uint64_t word = 0;
                size_t n = key_size < 8 ? key_size : 8;
                memcpy(&word, key, n);
                hash = (hash ^ word) * UINT64_C(0xd6e8feb86659fd93);
                hash ^= hash >> 32;
                key += n;
                key_size -= n;
        }
        return hash;
}
