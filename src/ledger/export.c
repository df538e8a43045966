#include "ledger/export.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "ledger/log.h"
#include "ledger/seal.h"
#include "ledger/world.h"

struct copy {
        struct log log;
        struct reader reader;
        struct digester *digester;
        struct buffer buffer;
        int to_fd;
        uint64_t size; /* of the log when the copy began */
};

static int target_open(const char *to) {
        if (mkdir(to, 0755) < 0 && errno != EEXIST)
                return -errno;
        int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int again_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = again_fd < 0 ? NULL : fdopendir(again_fd);
        bool empty = directory;
        for (struct dirent *entry; directory && (entry = readdir(directory));)
                empty &= !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
        if (directory)
                closedir(directory);
        if (!empty) {
                close(fd);
                return -ENOTEMPTY;
        }
        return fd;
}

static int copy_write(struct copy *copy, const char *path, const void *data, size_t size) {
        return world_write_file(&ledger_world_system, copy->to_fd, path, data, size);
}

/* Cuts a bundle that has grown since to the entries that were asked for. */
static int bundle_cut(struct buffer *bundle, unsigned width) {
        const char *entry;
        size_t offset = 0, size;
        for (unsigned i = 0; i < width; i++)
                if (!bundle->size || bundle_next(bundle->data, bundle->size, &offset, &entry, &size) <= 0)
                        return -EBADMSG;
        bundle->size = offset;
        return 0;
}

/* One file for the size that is copied; read from a log of any later size. */
static int file_copy(struct copy *copy, int level, uint64_t index) {
        unsigned width = tile_width(copy->size, level, index), tries = 0;
        struct digest hashes[TILE_WIDTH];
        char path[TILE_PATH_SIZE];
        int r;
        do {
                copy->reader.size = copy->log.checkpoint.size;
                unsigned there = tile_width(copy->reader.size, level, index);
                buffer_clear(&copy->buffer);
                r = level == TILE_ENTRIES ? reader_bundle(&copy->reader, index, &copy->buffer)
                                          : reader_tile(&copy->reader, (unsigned)level, index, there, hashes);
                if (r != -ENOENT)
                        break;
                r = log_grown(&copy->log, &tries);
        } while (r > 0);
        if (r < 0)
                return r == -ENOENT ? -EBADMSG : r;
        tile_path_format(level, index, width, path);
        if (level != TILE_ENTRIES)
                return copy_write(copy, path, hashes, width * DIGEST_BYTES);
        r = bundle_cut(&copy->buffer, width);
        return r < 0 ? r : copy_write(copy, path, copy->buffer.data, copy->buffer.size);
}

static int level_copy(struct copy *copy, int level) {
        uint64_t hashes = tile_level_size(copy->size, level == TILE_ENTRIES ? 0 : (unsigned)level);
        for (uint64_t index = 0; index * TILE_WIDTH < hashes; index++) {
                int r = file_copy(copy, level, index);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int plain_copy(struct copy *copy, const char *name, size_t multiple) {
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, (size_t)1 << 30);
        int r = io_read_file(copy->log.directory_fd, name, &buffer);
        return r < 0 ? r : copy_write(copy, name, buffer.data, buffer.size - buffer.size % multiple);
}

/* Seals before the checkpoint: a seal over more than the copy has would read as a rollback. */
static int copy_run(struct copy *copy) {
        int r = plain_copy(copy, "key.pub", 1);
        if (r == 0)
                r = plain_copy(copy, "seal.pub", 1);
        if (r == 0)
                r = plain_copy(copy, SEALS_NAME, SEAL_BYTES);
        if (r == -ENOENT)
                r = 0;
        if (r == 0)
                r = log_refresh(&copy->log);
        copy->size = copy->log.checkpoint.size;
        if (r == 0)
                r = copy_write(copy, "checkpoint", copy->log.note.data, copy->log.note.size);
        for (int level = TILE_ENTRIES; r == 0 && level < (int)TILE_LEVELS; level++)
                r = level_copy(copy, level);
        return r;
}

static void copy_freep(struct copy **copy) {
        if (!*copy)
                return;
        log_close(&(*copy)->log);
        digester_free((*copy)->digester);
        buffer_deinit(&(*copy)->buffer);
        fd_closep(&(*copy)->to_fd);
        free(*copy);
}

int ledger_export(const char *path, const char *to, uint64_t *ret_size) {
        _cleanup_(copy_freep) struct copy *copy = calloc(1, sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        copy->to_fd = copy->log.directory_fd = -EBADF;
        copy->digester = digester_new();
        buffer_init(&copy->buffer, BUNDLE_BYTES_MAX + 8192);
        int r = copy->digester ? log_open(&copy->log, path) : -ENOMEM;
        if (r < 0)
                return r;
        copy->to_fd = target_open(to);
        if (copy->to_fd < 0)
                return copy->to_fd;
        reader_init(&copy->reader, copy->log.directory_fd, copy->log.checkpoint.size, copy->digester);
        r = copy_run(copy);
        if (r == 0)
                *ret_size = copy->size;
        return r;
}
