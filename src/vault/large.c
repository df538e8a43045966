/*
 * Objects past PACK_OBJECT_BYTES_MAX have a file each: large/ab/<digest>.raw, sharing its blocks with the
 * original where the file system can (FICLONE), or large/ab/<digest>.zst, a zstd frame that zstd(1) reads.
 *
 * Both are written under a temporary name first. A clone is taken before it is hashed, so that what
 * is named is what was hashed, whoever writes to the original meanwhile.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "vault/store-private.h"

#define NAME_SIZE (3 + 2 * DIGEST_BYTES + 5)

static void object_name(const struct digest *digest, enum codec codec, char ret_name[static NAME_SIZE]) {
        char hex[DIGEST_HEX_SIZE];
        digest_format(digest, hex);
        snprintf(ret_name, NAME_SIZE, "%.2s/%s%s", hex, hex, codec == CODEC_ZSTD ? ".zst" : ".raw");
}

/* A file without a name: nothing is left of it after a crash. */
static int open_temporary(const struct store *store) {
        int fd = openat(store->large_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        return fd < 0 ? -errno : fd;
}

static int give_name(struct store *store, int fd, const struct index_entry *entry) {
        char name[NAME_SIZE], directory[3], self[32];
        object_name(&entry->digest, entry->codec, name);
        snprintf(directory, sizeof(directory), "%.2s", name);
        if (mkdirat(store->large_fd, directory, 0700) < 0 && errno != EEXIST)
                return -errno;
        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        if (linkat(AT_FDCWD, self, store->large_fd, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

/* Compresses `fd` into `to` and hashes on the way. worker->raw and ->stored are the two blocks. */
static int compress_file(struct store *store, struct store_worker *worker, int fd, int to,
                         struct index_entry *entry) {
        size_t capacity = ZSTD_compressBound(PACK_OBJECT_BYTES_MAX);
        uint64_t offset = 0, written = 0;
        int r = digester_begin(worker->digester);
        ZSTD_CCtx_reset(worker->compress, ZSTD_reset_session_only);
        for (bool end = false; r == 0 && !end;) {
                ssize_t n = io_pread_full(fd, worker->raw, PACK_OBJECT_BYTES_MAX, offset);
                if (n < 0)
                        return (int)n;
                end = (uint64_t)n < PACK_OBJECT_BYTES_MAX;
                r = digester_update(worker->digester, worker->raw, (size_t)n);
                ZSTD_inBuffer in = {worker->raw, (size_t)n, 0};
                for (size_t left = 1; r == 0 && (in.pos < in.size || (end && left));) {
                        ZSTD_outBuffer out = {worker->stored, capacity, 0};
                        left = ZSTD_compressStream2(worker->compress, &out, &in,
                                                    end ? ZSTD_e_end : ZSTD_e_continue);
                        r = ZSTD_isError(left) ? -EIO : io_pwrite_all(to, out.dst, out.pos, written);
                        written += out.pos;
                }
                offset += (uint64_t)n;
                if (r == 0)
                        r = store_reserve(store, written);
        }
        entry->raw_bytes = offset;
        entry->stored_bytes = written;
        entry->codec = CODEC_ZSTD;
        sync_file_range(to, 0, 0, SYNC_FILE_RANGE_WRITE); /* begins, does not wait */
        return r < 0 ? r : digester_end(worker->digester, &entry->digest);
}

static int copy_in(struct store *store, struct store_worker *worker, int fd, int to,
                   struct index_entry *entry) {
        if (ioctl(to, FICLONE, fd) < 0)
                return compress_file(store, worker, fd, to, entry);
        int r = digester_file(worker->digester, to, &entry->digest, &entry->raw_bytes);
        entry->stored_bytes = entry->raw_bytes;
        entry->codec = CODEC_RAW;
        return r;
}

int large_put(struct store *store, struct store_worker *worker, int fd, struct digest *ret_digest,
              uint64_t *ret_size_bytes) {
        struct index_entry entry = {.time_ns = store_now_ns()}, present;
        _cleanup_(fd_closep) int to = open_temporary(store);
        if (to < 0)
                return to;
        int r = copy_in(store, worker, fd, to, &entry);
        if (r < 0)
                return r;

        pthread_mutex_lock(&store->mutex);
        r = index_find(&store->index, &entry.digest, &present);
        if (r == -ENOENT) {
                r = store_reserve(store, entry.stored_bytes);
                if (r == 0)
                        r = give_name(store, to, &entry);
                if (r == 0)
                        r = store_enter(store, &entry);
        }
        pthread_mutex_unlock(&store->mutex);
        if (r < 0)
                return r;
        *ret_digest = entry.digest;
        if (ret_size_bytes)
                *ret_size_bytes = entry.raw_bytes;
        return 0;
}

static int open_object(const struct store *store, const struct index_entry *entry) {
        char name[NAME_SIZE];
        object_name(&entry->digest, entry->codec, name);
        int fd = openat(store->large_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

/* Takes decoded bytes: hashed, and written when there is somewhere to write to. */
struct sink {
        struct digester *digester;
        int fd;
        uint64_t offset;
};

static int sink_write(struct sink *sink, const void *data, size_t size) {
        int r = digester_update(sink->digester, data, size);
        if (r == 0 && sink->fd >= 0)
                r = io_pwrite_all(sink->fd, data, size, sink->offset);
        sink->offset += size;
        return r;
}

static int decode_raw(struct store_worker *worker, int fd, struct sink *sink) {
        for (uint64_t offset = 0;;) {
                ssize_t n = io_pread_full(fd, worker->raw, PACK_OBJECT_BYTES_MAX, offset);
                if (n <= 0)
                        return (int)n;
                int r = sink_write(sink, worker->raw, (size_t)n);
                if (r < 0)
                        return r;
                offset += (uint64_t)n;
        }
}

static int decode_zstd(struct store_worker *worker, int fd, struct sink *sink) {
        size_t state = 1;
        ZSTD_DCtx_reset(worker->decompress, ZSTD_reset_session_only);
        for (uint64_t offset = 0;;) {
                ssize_t n = io_pread_full(fd, worker->stored, PACK_OBJECT_BYTES_MAX, offset);
                if (n < 0)
                        return (int)n;
                if (n == 0)
                        return state == 0 ? 0 : -EBADMSG;
                offset += (uint64_t)n;
                ZSTD_inBuffer in = {worker->stored, (size_t)n, 0};
                ZSTD_outBuffer out;
                do {
                        out = (ZSTD_outBuffer){worker->raw, PACK_OBJECT_BYTES_MAX, 0};
                        state = ZSTD_decompressStream(worker->decompress, &out, &in);
                        if (ZSTD_isError(state))
                                return zstd_errno(state);
                        int r = sink_write(sink, out.dst, out.pos);
                        if (r < 0)
                                return r;
                        /* At the end of the frame nothing is left inside, however full the room for it. */
                } while (in.pos < in.size || (state != 0 && out.pos == out.size));
        }
}

static int decode(struct store_worker *worker, int fd, const struct index_entry *entry, int to,
                  uint64_t *ret_size_bytes) {
        struct sink sink = {.digester = worker->digester, .fd = to};
        struct digest digest;
        int r = digester_begin(sink.digester);
        if (r == 0)
                r = entry->codec == CODEC_ZSTD ? decode_zstd(worker, fd, &sink)
                                               : decode_raw(worker, fd, &sink);
        if (r == 0)
                r = digester_end(sink.digester, &digest);
        if (r == 0 && !digest_equal(&digest, &entry->digest))
                r = -EBADMSG;
        if (r == 0)
                *ret_size_bytes = sink.offset;
        return r;
}

int large_get(struct store *store, struct store_worker *worker, const struct index_entry *entry, int fd) {
        _cleanup_(fd_closep) int from = open_object(store, entry);
        if (from < 0)
                return from == -ENOENT ? -EBADMSG : from;
        uint64_t size_bytes;
        int r = decode(worker, from, entry, -1, &size_bytes);
        if (r < 0 || fd < 0)
                return r;
        if (entry->codec == CODEC_RAW && ioctl(fd, FICLONE, from) == 0)
                return 0;
        return decode(worker, from, entry, fd, &size_bytes);
}

int large_measure(struct store *store, struct store_worker *worker, struct index_entry *entry) {
        _cleanup_(fd_closep) int from = open_object(store, entry);
        return from < 0 ? from : decode(worker, from, entry, -1, &entry->raw_bytes);
}

int large_sync(struct store *store, const struct index_entry *entry) {
        _cleanup_(fd_closep) int fd = open_object(store, entry);
        char directory[3];
        snprintf(directory, sizeof(directory), "%02x", entry->digest.bytes[0]);
        if (fd < 0)
                return fd;
        _cleanup_(fd_closep) int directory_fd =
                openat(store->large_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory_fd < 0 || fdatasync(fd) < 0 || fsync(directory_fd) < 0)
                return -errno;
        return 0;
}

int large_remove(struct store *store, const struct index_entry *entry) {
        char name[NAME_SIZE];
        object_name(&entry->digest, entry->codec, name);
        return unlinkat(store->large_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void closedirp(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

static DIR *open_list(int directory_fd, const char *name) {
        int fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory && fd >= 0)
                close(fd);
        return directory;
}

/* "<digest>.zst" or "<digest>.raw". */
static bool parse_name(const char *name, struct index_entry *ret_entry) {
        char hex[DIGEST_HEX_SIZE];
        if (strlen(name) != DIGEST_HEX_SIZE - 1 + 4)
                return false;
        memcpy(hex, name, sizeof(hex) - 1);
        hex[sizeof(hex) - 1] = '\0';
        const char *suffix = name + sizeof(hex) - 1;
        *ret_entry = (struct index_entry){.codec = strcmp(suffix, ".raw") ? CODEC_ZSTD : CODEC_RAW};
        return (!strcmp(suffix, ".raw") || !strcmp(suffix, ".zst")) &&
               digest_parse(hex, &ret_entry->digest) == 0;
}

static int each_in(DIR *directory, index_visit visit, void *userdata) {
        for (struct dirent *item; (item = readdir(directory));) {
                struct index_entry entry;
                struct stat st;
                if (!parse_name(item->d_name, &entry) ||
                    fstatat(dirfd(directory), item->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !S_ISREG(st.st_mode))
                        continue;
                entry.stored_bytes = (uint64_t)st.st_size;
                entry.time_ns = (uint64_t)st.st_mtim.tv_sec * UINT64_C(1000000000);
                int r = visit(&entry, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

int large_each(struct store *store, index_visit visit, void *userdata) {
        _cleanup_(closedirp) DIR *all = open_list(store->large_fd, ".");
        if (!all)
                return -errno;
        for (struct dirent *item; (item = readdir(all));) {
                if (strlen(item->d_name) != 2 || item->d_name[0] == '.')
                        continue;
                _cleanup_(closedirp) DIR *some = open_list(store->large_fd, item->d_name);
                int r = some ? each_in(some, visit, userdata) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}
