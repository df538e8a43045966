/* The directory of packs: which there are, appending to the last, syncing, removing. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/io.h"
#include "vault/checksum.h"
#include "vault/store-private.h"

#define WRITEBACK_BYTES ((uint64_t)4 << 20)
#define NAME_FORMAT     "%08" PRIu32 ".pack"

static void pack_name(uint32_t number, char ret_name[static 24]) {
        snprintf(ret_name, 24, NAME_FORMAT, number);
}

static int pack_add(struct store *store, uint32_t number, uint64_t end) {
        struct pack *packs = reallocarray(store->packs, store->n_packs + 1, sizeof(*packs));
        if (!packs)
                return -ENOMEM;
        store->packs = packs;
        packs[store->n_packs++] =
                (struct pack){.number = number, .fd = -EBADF, .end = end, .synced = end, .started = end};
        return 0;
}

static void close_idle(struct pack *pack) {
        if (pack->n_writing == 0) {
                fd_closep(&pack->fd);
                pack->fd = -EBADF;
        }
}

static int compare_packs(const void *a, const void *b) {
        uint32_t x = ((const struct pack *)a)->number, y = ((const struct pack *)b)->number;
        return x < y ? -1 : x > y;
}

/* 1: a pack of ours, 0: something else. */
static int parse_name(const char *name, uint32_t *ret_number) {
        char again[24];
        uint32_t number;
        if (sscanf(name, "%8" SCNu32, &number) != 1 || number == 0)
                return 0;
        pack_name(number, again);
        if (strcmp(again, name))
                return 0;
        *ret_number = number;
        return 1;
}

static void closedirp(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

int packs_list(struct store *store) {
        int fd = openat(store->packs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        _cleanup_(closedirp) DIR *directory = fdopendir(fd);
        if (!directory) {
                close(fd);
                return -ENOMEM;
        }
        packs_close(store);
        for (struct dirent *entry; (entry = readdir(directory));) {
                uint32_t number;
                struct stat st;
                if (!parse_name(entry->d_name, &number) ||
                    fstatat(store->packs_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !S_ISREG(st.st_mode))
                        continue;
                int r = pack_add(store, number, (uint64_t)st.st_size);
                if (r < 0)
                        return r;
        }
        if (store->n_packs)
                qsort(store->packs, store->n_packs, sizeof(*store->packs), compare_packs);
        return 0;
}

struct pack *packs_find(struct store *store, uint32_t number) {
        struct pack key = {.number = number};
        if (!store->n_packs)
                return NULL;
        return bsearch(&key, store->packs, store->n_packs, sizeof(key), compare_packs);
}

int packs_open(const struct store *store, uint32_t number, int flags) {
        char name[24];
        pack_name(number, name);
        int fd = openat(store->packs_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
        return fd < 0 ? -errno : fd;
}

int packs_rotate(struct store *store) {
        uint32_t number = store->n_packs ? store->packs[store->n_packs - 1].number + 1 : 1;
        _cleanup_(fd_closep) int fd = packs_open(store, number, O_RDWR | O_CREAT | O_EXCL);
        if (fd < 0)
                return fd;
        int r = pack_add(store, number, 0);
        if (r < 0)
                return r;
        if (store->n_packs > 1)
                close_idle(&store->packs[store->n_packs - 2]);
        store->packs[store->n_packs - 1].fd = fd_steal(&fd);
        store->any_new_pack = true;
        return 0;
}

static int open_last(struct store *store, uint64_t need) {
        struct pack *last = store->n_packs ? &store->packs[store->n_packs - 1] : NULL;
        if (!last || (last->end && last->end + need > PACK_BYTES_MAX))
                return packs_rotate(store);
        if (last->fd >= 0)
                return 0;
        last->fd = packs_open(store, last->number, O_RDWR);
        return last->fd < 0 ? last->fd : 0;
}

/* The disk works while we compress, so that the sync at the end has little left to wait for. */
static void start_writeback(struct pack *pack) {
        if (pack->end - pack->started < WRITEBACK_BYTES)
                return;
        sync_file_range(pack->fd, (off_t)pack->started, (off_t)(pack->end - pack->started),
                        SYNC_FILE_RANGE_WRITE);
        pack->started = pack->end;
}

void packs_encode(const struct index_entry *entry, uint8_t *record) {
        struct record header = {
                .digest = entry->digest,
                .raw_bytes = entry->raw_bytes,
                .stored_bytes = entry->stored_bytes,
                .time_ns = entry->time_ns,
                .codec = entry->codec,
                .checksum = checksum_update(0, record + RECORD_BYTES, entry->stored_bytes),
        };
        record_encode(&header, record);
}

int packs_reserve(struct store *store, struct index_entry *entry, int *ret_fd) {
        uint64_t need = RECORD_BYTES + entry->stored_bytes;
        int r = open_last(store, need);
        if (r < 0)
                return r;
        struct pack *last = &store->packs[store->n_packs - 1];
        entry->pack = last->number;
        entry->offset = last->end;
        last->end += need;
        last->n_writing++;
        store->n_writing++;
        *ret_fd = last->fd;
        return 0;
}

int packs_write(int fd, const struct index_entry *entry, const uint8_t *record) {
        return io_pwrite_all(fd, record, RECORD_BYTES + entry->stored_bytes, entry->offset);
}

/* What was written of it is no record. At the end of the pack it is cut off, elsewhere it is dead space. */
static void give_back(struct pack *pack, const struct index_entry *entry) {
        if (pack->end == entry->offset + RECORD_BYTES + entry->stored_bytes &&
            ftruncate(pack->fd, (off_t)entry->offset) == 0)
                pack->end = entry->offset;
}

void packs_finish(struct store *store, const struct index_entry *entry, int result) {
        struct pack *pack = packs_find(store, entry->pack);
        if (result < 0)
                give_back(pack, entry);
        else
                pack->live_bytes += RECORD_BYTES + entry->stored_bytes;
        pack->n_writing--;
        store->n_writing--;
        start_writeback(pack);
        if (pack != &store->packs[store->n_packs - 1])
                close_idle(pack);
        pthread_cond_broadcast(&store->written);
}

int packs_append(struct store *store, struct index_entry *entry, const uint8_t *record) {
        int fd, r = packs_reserve(store, entry, &fd);
        if (r < 0)
                return r;
        r = packs_write(fd, entry, record);
        packs_finish(store, entry, r);
        return r;
}

void packs_drain(struct store *store) {
        while (store->draining) /* one at a time */
                pthread_cond_wait(&store->written, &store->mutex);
        store->draining = true;
        while (store->n_writing)
                pthread_cond_wait(&store->written, &store->mutex);
        store->draining = false;
        pthread_cond_broadcast(&store->written);
}

/* Nothing is being written. */
int packs_sync(struct store *store) {
        for (size_t i = 0; i < store->n_packs; i++) {
                struct pack *pack = &store->packs[i];
                if (pack->synced == pack->end)
                        continue;
                _cleanup_(fd_closep) int fd = packs_open(store, pack->number, O_RDONLY);
                if (fd < 0)
                        return fd;
                if (fdatasync(fd) < 0)
                        return -errno;
                pack->synced = pack->end;
        }
        if (store->any_new_pack && fsync(store->packs_fd) < 0)
                return -errno;
        store->any_new_pack = false;
        return 0;
}

void packs_close(struct store *store) {
        for (size_t i = 0; i < store->n_packs; i++)
                fd_closep(&store->packs[i].fd);
        free(STEAL(store->packs));
        store->n_packs = 0;
}

int packs_remove(struct store *store, uint32_t number) {
        struct pack *pack = packs_find(store, number);
        char name[24];
        pack_name(number, name);
        if (unlinkat(store->packs_fd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        if (pack) {
                size_t i = (size_t)(pack - store->packs);
                fd_closep(&pack->fd);
                store->n_packs--;
                memmove(pack, pack + 1, (store->n_packs - i) * sizeof(*pack));
        }
        return 0;
}
