#include "vault/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/io.h"
#include "vault/checksum.h"
#include "vault/store-private.h"

#define FREE_CHECK_BYTES ((uint64_t)8 << 20)
#define FREE_CHECK_NS    UINT64_C(1000000000)

uint64_t store_now_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

struct store_worker *worker_free(struct store_worker *worker) {
        if (worker) {
                digester_free(worker->digester);
                ZSTD_freeCCtx(worker->compress);
                ZSTD_freeDCtx(worker->decompress);
                free(worker->raw);
                free(worker->stored);
                free(worker);
        }
        return NULL;
}

static struct store_worker *worker_new(void) {
        struct store_worker *worker = calloc(1, sizeof(*worker));
        if (!worker)
                return NULL;
        worker->digester = digester_new();
        worker->compress = ZSTD_createCCtx();
        worker->decompress = ZSTD_createDCtx();
        worker->raw = malloc(PACK_OBJECT_BYTES_MAX + 1);
        worker->stored = malloc(RECORD_BYTES + ZSTD_compressBound(PACK_OBJECT_BYTES_MAX));
        if (!worker->digester || !worker->compress || !worker->decompress || !worker->raw || !worker->stored)
                return worker_free(worker);
        ZSTD_CCtx_setParameter(worker->compress, ZSTD_c_compressionLevel, LEVEL);
        /* The table is cleared for each object, and most are small. */
        ZSTD_CCtx_setParameter(worker->compress, ZSTD_c_hashLog, 13);
        return worker;
}

struct store_worker *worker_take(struct store *store) {
        pthread_mutex_lock(&store->pool_mutex);
        struct store_worker *worker = store->pool;
        if (worker)
                store->pool = worker->next;
        pthread_mutex_unlock(&store->pool_mutex);
        return worker ?: worker_new();
}

void worker_give(struct store *store, struct store_worker *worker) {
        if (!worker)
                return;
        pthread_mutex_lock(&store->pool_mutex);
        worker->next = store->pool;
        store->pool = worker;
        pthread_mutex_unlock(&store->pool_mutex);
}

void store_trim(struct store *store) {
        pthread_mutex_lock(&store->pool_mutex);
        while (store->pool) {
                struct store_worker *worker = store->pool;
                store->pool = worker->next;
                worker_free(worker);
        }
        pthread_mutex_unlock(&store->pool_mutex);
        if (store->index.database.handle) {
                pthread_mutex_lock(&store->mutex);
                index_trim(&store->index);
                sqlite3_db_release_memory(store->index.database.handle);
                pthread_mutex_unlock(&store->mutex);
        }
}

static int worker_digest(struct store_worker *worker, const void *data, size_t size,
                         struct digest *ret_digest) {
        int r = digester_begin(worker->digester);
        if (r == 0)
                r = digester_update(worker->digester, data, size);
        return r < 0 ? r : digester_end(worker->digester, ret_digest);
}

static int open_directory(int at_fd, const char *name, bool create) {
        if (create && mkdirat(at_fd, name, 0700) < 0 && errno != EEXIST)
                return -errno;
        int fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

static int open_directories(struct store *store, const char *state) {
        _cleanup_(fd_closep) int state_fd = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (state_fd < 0)
                return -errno;
        store->vault_fd = open_directory(state_fd, "vault", !store->read_only);
        if (store->vault_fd < 0)
                return store->vault_fd;
        store->packs_fd = open_directory(store->vault_fd, "packs", !store->read_only);
        store->large_fd = open_directory(store->vault_fd, "large", !store->read_only);
        if (store->packs_fd < 0 || store->large_fd < 0)
                return store->packs_fd < 0 ? store->packs_fd : store->large_fd;
        if (store->read_only)
                return 0;
        store->lock_fd = openat(store->vault_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (store->lock_fd < 0)
                return -errno;
        return flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

/* What is done under the mutex is mostly shorter than a sleep and a wake-up. */
static void init_adaptive(pthread_mutex_t *mutex) {
        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
        pthread_mutex_init(mutex, &attributes);
        pthread_mutexattr_destroy(&attributes);
}

static int open_store(const char *state, const struct store_options *options, struct store **ret_store) {
        _cleanup_(store_closep) struct store *store = calloc(1, sizeof(*store));
        if (!store)
                return -ENOMEM;
        store->vault_fd = store->packs_fd = store->large_fd = store->lock_fd = -EBADF;
        store->read_only = !options;
        if (options)
                store->options = *options;
        init_adaptive(&store->mutex);
        pthread_mutex_init(&store->pool_mutex, NULL);
        pthread_cond_init(&store->written, NULL);
        if (asprintf(&store->index_path, "%s/vault/index.sqlite", state) < 0)
                return -ENOMEM;
        int r = options ? io_make_directories(state, 0700) : 0;
        if (r == 0)
                r = open_directories(store, state);
        if (r == 0)
                r = store_recover(store);
        if (r < 0)
                return r;
        *ret_store = STEAL(store);
        return 0;
}

int store_open(const char *state, const struct store_options *options, struct store **ret_store) {
        static const struct store_options unbounded;
        return open_store(state, options ?: &unbounded, ret_store);
}

int store_open_readonly(const char *state, struct store **ret_store) {
        return open_store(state, NULL, ret_store);
}

struct store *store_close(struct store *store) {
        if (store) {
                if (!store->read_only && store->index.database.handle)
                        store_sync(store); /* a failure loses no object: the packs are read again at the next
                                              start */
                store_trim(store);
                index_close(&store->index);
                packs_close(store);
                fd_closep(&store->lock_fd);
                fd_closep(&store->large_fd);
                fd_closep(&store->packs_fd);
                fd_closep(&store->vault_fd);
                pthread_cond_destroy(&store->written);
                pthread_mutex_destroy(&store->pool_mutex);
                pthread_mutex_destroy(&store->mutex);
                free(store->index_path);
                free(store);
        }
        return NULL;
}

uint64_t store_stored_bytes(const struct store *store) {
        uint64_t bytes = store->large_bytes;
        for (size_t i = 0; i < store->n_packs; i++)
                bytes += store->packs[i].end;
        return bytes;
}

static int refresh_free(struct store *store, uint64_t now_ns) {
        struct statvfs fs;
        if (fstatvfs(store->vault_fd, &fs) < 0)
                return -errno;
        store->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        store->checked_bytes = 0;
        store->checked_ns = now_ns;
        return 0;
}

static int refuse(struct store *store, uint64_t bytes) {
        if (!store->refused_bytes || bytes < store->refused_bytes)
                store->refused_bytes = bytes ?: 1;
        return -ENOSPC;
}

int store_reserve(struct store *store, uint64_t bytes) {
        uint64_t budget = store->options.budget_bytes, stored = store_stored_bytes(store);
        if (budget && (bytes > budget || stored > budget - bytes))
                return refuse(store, bytes);
        uint64_t now_ns = store_now_ns(), wanted = bytes + store->options.reserve_bytes;
        bool near = store->free_bytes < wanted + store->checked_bytes + FREE_CHECK_BYTES;
        if (near || store->checked_bytes > FREE_CHECK_BYTES || now_ns - store->checked_ns > FREE_CHECK_NS) {
                int r = refresh_free(store, now_ns);
                if (r < 0)
                        return r;
        }
        return store->free_bytes < wanted ? refuse(store, bytes) : 0;
}

static int out_of_room(struct store *store, int r) {
        if (r != -ENOSPC && r != -EDQUOT && r != -EFBIG)
                return r;
        return store->refused_bytes ? -ENOSPC : refuse(store, 1); /* the disk is full to the last byte */
}

static int sync_large(struct store *store) {
        for (size_t i = 0; i < store->index.n_pending; i++) {
                if (store->index.pending[i].pack)
                        continue;
                int r = large_sync(store, &store->index.pending[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What of a pack the index may rely on after a power cut. */
static int flush_index(struct store *store, bool synced) {
        if (!store->index.n_pending && !(synced && store->index.spilled))
                return 0;
        _cleanup_(freep) struct index_pack *ends = calloc(store->n_packs + 1, sizeof(*ends));
        if (!ends)
                return -ENOMEM;
        for (size_t i = 0; i < store->n_packs; i++)
                ends[i] = (struct index_pack){store->packs[i].number, store->packs[i].synced};
        return index_flush(&store->index, ends, store->n_packs, synced);
}

int store_flush(struct store *store) {
        packs_drain(store);
        int r = packs_sync(store);
        if (r == 0)
                r = sync_large(store);
        return r < 0 ? r : flush_index(store, true);
}

int store_spill(struct store *store) {
        int r = sync_large(store);
        return r < 0 ? r : flush_index(store, false);
}

int store_sync(struct store *store) {
        pthread_mutex_lock(&store->mutex);
        int r = out_of_room(store, store_flush(store));
        pthread_mutex_unlock(&store->mutex);
        return r;
}

int store_enter(struct store *store, const struct index_entry *entry) {
        int r = index_is_full(&store->index) ? store_spill(store) : 0;
        if (r == 0)
                r = index_add(&store->index, entry);
        if (r < 0)
                return r;
        store->n_objects++;
        store->raw_bytes += entry->raw_bytes;
        if (!entry->pack)
                store->large_bytes += entry->stored_bytes;
        store->checked_bytes += entry->stored_bytes + RECORD_BYTES;
        if (entry->stored_bytes + RECORD_BYTES >= store->refused_bytes)
                store->refused_bytes = 0;
        return 0;
}

/* Formats that are compressed already, by their first bytes: trying again costs time and gains nothing. */
static bool is_compressed(const uint8_t *data, size_t size) {
        static const struct {
                const char *bytes;
                size_t size;
        } magics[] = {
                {"\x1f\x8b", 2},
                {"PK\x03\x04", 4},
                {"\x89PNG", 4},
                {"\xff\xd8\xff", 3},
                {"\xfd"
                 "7zXZ",
                 5},
                {"\x28\xb5\x2f\xfd", 4},
                {"BZh", 3},
                {"wOFF", 4},
                {"wOF2", 4},
                {"7z\xbc\xaf", 4},
        };
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
                if (size > magics[i].size && !memcmp(data, magics[i].bytes, magics[i].size))
                        return true;
        return size > 12 && !memcmp(data, "RIFF", 4) && !memcmp(data + 8, "WEBP", 4);
}

/* Makes worker->stored + RECORD_BYTES the payload: compressed where that gains something. */
static int compress_small(struct store_worker *worker, const void *data, size_t size,
                          struct index_entry *entry) {
        uint8_t *payload = worker->stored + RECORD_BYTES;
        size_t n = size;
        if (!is_compressed(data, size))
                n = ZSTD_compress2(worker->compress, payload, ZSTD_compressBound(PACK_OBJECT_BYTES_MAX), data,
                                   size);
        if (ZSTD_isError(n))
                return -EIO;
        bool gains = n < size - size / 32;
        if (!gains && size)
                memcpy(payload, data, size);
        entry->codec = gains ? CODEC_ZSTD : CODEC_RAW;
        entry->stored_bytes = gains ? n : size;
        packs_encode(entry, worker->stored);
        return 0;
}

/* Nothing was flushed since the digest was looked for: then what is new to the index is pending. */
static int find_again(struct store *store, const struct digest *digest, unsigned n_flushes) {
        struct index_entry present;
        return n_flushes == store->index.n_flushes ? index_find_pending(&store->index, digest, &present)
                                                   : index_find(&store->index, digest, &present);
}

static bool is_being_written(const struct store *store, const struct digest *digest) {
        const struct writing *writing = store->writing;
        while (writing && !digest_equal(&writing->digest, digest))
                writing = writing->next;
        return writing != NULL;
}

/* Unlocked meanwhile; entered where it lies when it is written. */
static int write_small(struct store *store, const struct store_worker *worker, struct index_entry *entry,
                       int fd) {
        struct writing writing = {.next = store->writing, .digest = entry->digest};
        /* Taken off the list below, under the lock, before this returns. */
        // cppcheck-suppress autoVariables
        store->writing = &writing;
        pthread_mutex_unlock(&store->mutex);
        int r = packs_write(fd, entry, worker->stored);
        pthread_mutex_lock(&store->mutex);
        struct writing **at = &store->writing;
        while (*at != &writing)
                at = &(*at)->next;
        *at = writing.next;
        packs_finish(store, entry, r);
        return r < 0 ? r : store_enter(store, entry);
}

static int append_small(struct store *store, struct store_worker *worker, struct index_entry *entry,
                        unsigned n_flushes) {
        while (store->draining || is_being_written(store, &entry->digest))
                pthread_cond_wait(&store->written, &store->mutex);
        int fd, r = find_again(store, &entry->digest, n_flushes);
        if (r != -ENOENT)
                return r;
        r = store_reserve(store, RECORD_BYTES + entry->stored_bytes);
        if (r == 0)
                r = packs_reserve(store, entry, &fd);
        return r < 0 ? r : write_small(store, worker, entry, fd);
}

static int put_small(struct store *store, struct store_worker *worker, const void *data, size_t size,
                     struct digest *ret_digest) {
        struct index_entry entry = {.raw_bytes = size, .time_ns = store_now_ns()}, present;
        int r = worker_digest(worker, data, size, &entry.digest);
        if (r < 0)
                return r;
        pthread_mutex_lock(&store->mutex);
        r = index_find(&store->index, &entry.digest, &present);
        unsigned n_flushes = store->index.n_flushes;
        pthread_mutex_unlock(&store->mutex);
        if (r == -ENOENT) {
                r = compress_small(worker, data, size, &entry);
                if (r < 0)
                        return r;
                pthread_mutex_lock(&store->mutex);
                r = out_of_room(store, append_small(store, worker, &entry, n_flushes));
                pthread_mutex_unlock(&store->mutex);
        }
        if (r == 0)
                *ret_digest = entry.digest;
        return r;
}

static int put_file(struct store *store, struct store_worker *worker, int fd, struct digest *ret_digest,
                    uint64_t *ret_size_bytes) {
        ssize_t n = io_pread_full(fd, worker->raw, PACK_OBJECT_BYTES_MAX + 1, 0);
        if (n < 0)
                return (int)n;
        if ((uint64_t)n > PACK_OBJECT_BYTES_MAX) {
                int r = large_put(store, worker, fd, ret_digest, ret_size_bytes);
                return r < 0 ? out_of_room(store, r) : 0;
        }
        int r = put_small(store, worker, worker->raw, (size_t)n, ret_digest);
        if (r == 0 && ret_size_bytes)
                *ret_size_bytes = (uint64_t)n;
        return r;
}

int store_put_file(struct store *store, int fd, struct digest *ret_digest, uint64_t *ret_size_bytes) {
        if (store->read_only)
                return -EROFS;
        struct store_worker *worker = worker_take(store);
        int r = worker ? put_file(store, worker, fd, ret_digest, ret_size_bytes) : -ENOMEM;
        worker_give(store, worker);
        return r;
}

/* More than a pack takes goes through a file, as any large object. */
static int put_large_bytes(struct store *store, struct store_worker *worker, const void *data, size_t size,
                           struct digest *ret_digest) {
        _cleanup_(fd_closep) int fd = openat(store->large_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int r = io_pwrite_all(fd, data, size, 0);
        return out_of_room(store, r < 0 ? r : large_put(store, worker, fd, ret_digest, NULL));
}

int store_put_bytes(struct store *store, const void *data, size_t size, struct digest *ret_digest) {
        if (store->read_only)
                return -EROFS;
        struct store_worker *worker = worker_take(store);
        int r = -ENOMEM;
        if (worker)
                r = size > PACK_OBJECT_BYTES_MAX ? put_large_bytes(store, worker, data, size, ret_digest)
                                                 : put_small(store, worker, data, size, ret_digest);
        worker_give(store, worker);
        return r;
}

bool store_has(struct store *store, const struct digest *digest) {
        struct index_entry entry;
        pthread_mutex_lock(&store->mutex);
        int r = index_find(&store->index, digest, &entry);
        pthread_mutex_unlock(&store->mutex);
        return r == 0;
}

int zstd_errno(size_t code) {
        return ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? -ENOMEM : -EBADMSG;
}

/* The payload in worker->stored becomes the content in worker->raw. */
static int unpack(struct store_worker *worker, const struct record *record) {
        const uint8_t *payload = worker->stored + RECORD_BYTES;
        if (record->codec == CODEC_RAW) {
                memcpy(worker->raw, payload, record->stored_bytes);
                return 0;
        }
        size_t size = ZSTD_decompressDCtx(worker->decompress, worker->raw, PACK_OBJECT_BYTES_MAX, payload,
                                          record->stored_bytes);
        if (ZSTD_isError(size))
                return zstd_errno(size);
        return size == record->raw_bytes ? 0 : -EBADMSG;
}

int store_read_small(struct store *store, struct store_worker *worker, const struct index_entry *entry) {
        uint64_t need = RECORD_BYTES + entry->stored_bytes;
        _cleanup_(fd_closep) int fd = packs_open(store, entry->pack, O_RDONLY);
        if (fd < 0)
                return fd == -ENOENT ? -EBADMSG : fd;
        if (entry->stored_bytes > PACK_OBJECT_BYTES_MAX || entry->raw_bytes > PACK_OBJECT_BYTES_MAX)
                return -EBADMSG;
        ssize_t n = io_pread_full(fd, worker->stored, need, entry->offset);
        if (n < 0)
                return (int)n;
        struct record record;
        if ((uint64_t)n < need || record_decode(worker->stored, &record) < 0 ||
            !digest_equal(&record.digest, &entry->digest) || record.stored_bytes != entry->stored_bytes ||
            record.raw_bytes != entry->raw_bytes)
                return -EBADMSG;

        int r = unpack(worker, &record);
        struct digest digest;
        if (r == 0)
                r = worker_digest(worker, worker->raw, record.raw_bytes, &digest);
        if (r == 0 && !digest_equal(&digest, &entry->digest))
                r = -EBADMSG;
        return r;
}

/* A pack may be repacked between the look-up and the reading: then the index has the new place. */
static int find_and_read(struct store *store, struct store_worker *worker, const struct digest *digest,
                         struct index_entry *entry) {
        int r = -EBADMSG;
        for (int attempt = 0; attempt < 3 && r == -EBADMSG; attempt++) {
                pthread_mutex_lock(&store->mutex);
                r = index_find(&store->index, digest, entry);
                pthread_mutex_unlock(&store->mutex);
                if (r == 0 && entry->pack)
                        r = store_read_small(store, worker, entry);
        }
        return r;
}

int store_get_file(struct store *store, const struct digest *digest, int fd) {
        struct store_worker *worker = worker_take(store);
        struct index_entry entry;
        int r = worker ? find_and_read(store, worker, digest, &entry) : -ENOMEM;
        if (r == 0)
                r = entry.pack ? io_pwrite_all(fd, worker->raw, entry.raw_bytes, 0)
                               : large_get(store, worker, &entry, fd);
        worker_give(store, worker);
        return r;
}

/* A large object becomes bytes by way of a file without a name. */
static int large_bytes(struct store *store, struct store_worker *worker, const struct index_entry *entry,
                       struct buffer *buffer) {
        _cleanup_(fd_closep) int fd = memfd_create("object", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = buffer_reserve(buffer, entry->raw_bytes);
        if (r == 0)
                r = large_get(store, worker, entry, fd);
        if (r < 0)
                return r;
        ssize_t n = io_pread_full(fd, buffer->data + buffer->size, entry->raw_bytes, 0);
        if (n < 0)
                return (int)n;
        buffer->size += (size_t)n;
        buffer->data[buffer->size] = '\0';
        return 0;
}

int store_get_bytes(struct store *store, const struct digest *digest, struct buffer *buffer) {
        struct store_worker *worker = worker_take(store);
        struct index_entry entry;
        int r = worker ? find_and_read(store, worker, digest, &entry) : -ENOMEM;
        if (r == 0)
                r = entry.pack ? buffer_append(buffer, worker->raw, entry.raw_bytes)
                               : large_bytes(store, worker, &entry, buffer);
        worker_give(store, worker);
        return r;
}

/* What was refused would fit now: somebody made room. `free_bytes` as just looked up. */
static bool has_room_again(const struct store *store, uint64_t free_bytes) {
        uint64_t budget = store->options.budget_bytes, stored = store_stored_bytes(store);
        return (!budget || (store->refused_bytes <= budget && stored <= budget - store->refused_bytes)) &&
               free_bytes >= store->refused_bytes + store->options.reserve_bytes + FREE_CHECK_BYTES;
}

int store_usage(struct store *store, struct store_usage *ret_usage) {
        struct statvfs fs;
        if (fstatvfs(store->vault_fd, &fs) < 0)
                return -errno;
        pthread_mutex_lock(&store->mutex);
        if (store->refused_bytes && has_room_again(store, (uint64_t)fs.f_bavail * fs.f_frsize))
                store->refused_bytes = 0;
        *ret_usage = (struct store_usage){
                .n_objects = store->n_objects,
                .stored_bytes = store_stored_bytes(store),
                .raw_bytes = store->raw_bytes,
                .budget_bytes = store->options.budget_bytes,
                .free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
                .full = store->refused_bytes > 0,
                .rebuilt = store->rebuilt,
        };
        pthread_mutex_unlock(&store->mutex);
        return 0;
}
