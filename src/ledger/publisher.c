#include "ledger/publisher.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/io.h"

void publisher_init(struct publisher *publisher, const struct ledger_world *world, int directory_fd) {
        *publisher = (struct publisher){.world = world, .directory_fd = directory_fd};
}

static void files_drop(struct publisher *publisher) {
        for (size_t i = 0; i < publisher->n_files; i++)
                free(publisher->files[i].data);
        publisher->n_files = 0;
}

void publisher_deinit(struct publisher *publisher) {
        files_drop(publisher);
        free(STEAL(publisher->files));
}

int publisher_take(void *userdata, int level, uint64_t index, const void *data, size_t size) {
        struct publisher *publisher = userdata;
        struct public_file *files =
                reallocarray(publisher->files, publisher->n_files + 1, sizeof(*publisher->files));
        if (!files)
                return -ENOMEM;
        publisher->files = files;
        struct public_file *file = &files[publisher->n_files];
        *file = (struct public_file){.data = malloc(size), .size = size};
        if (!file->data)
                return -ENOMEM;
        memcpy(file->data, data, size);
        tile_path_format(level, index, TILE_WIDTH, file->path);
        publisher->n_files++;
        return 0;
}

static bool content_is(int directory_fd, const char *path, const void *data, size_t size) {
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, size + 8192);
        return io_read_file(directory_fd, path, &buffer) == 0 && buffer.size == size &&
               !memcmp(buffer.data, data, size);
}

/* A file that is right already is not touched, so that someone reading it is not disturbed. */
static int file_write(struct publisher *publisher, const char *path, const void *data, size_t size) {
        publisher->dirty = true;
        if (publisher->recovering && content_is(publisher->directory_fd, path, data, size))
                return 0;
        return world_write_file(publisher->world, publisher->directory_fd, path, data, size);
}

struct partial {
        int level;
        uint64_t index;
        unsigned width;
};

/* The partial file of a level (TILE_ENTRIES: of the bundle) in a log of this size. False: there is none. */
static bool partial_of(uint64_t size, int level, struct partial *ret_partial) {
        uint64_t hashes = tile_level_size(size, level == TILE_ENTRIES ? 0 : (unsigned)level);
        *ret_partial = (struct partial){level, hashes / TILE_WIDTH, (unsigned)(hashes % TILE_WIDTH)};
        return ret_partial->width > 0;
}

static bool partial_shared(const struct partial *partial, uint64_t size) {
        struct partial other;
        return partial_of(size, partial->level, &other) && other.index == partial->index &&
               other.width == partial->width;
}

static bool partial_kept(const struct publisher *publisher, const struct partial *partial) {
        if (partial_shared(partial, publisher->base_size))
                return true;
        for (size_t i = 0; i < PUBLISHER_SIZES_KEPT; i++)
                if (partial_shared(partial, publisher->sizes[i]))
                        return true;
        return false;
}

static const void *partial_content(const struct edge *edge, const struct partial *partial,
                                   size_t *ret_bytes) {
        if (partial->level == TILE_ENTRIES) {
                *ret_bytes = edge->bundle.size;
                return edge->bundle.data;
        }
        *ret_bytes = partial->width * DIGEST_BYTES;
        return edge->hashes[partial->level];
}

bool publisher_intact(const struct publisher *publisher, const struct edge *edge, const char *note,
                      size_t note_bytes) {
        bool intact = content_is(publisher->directory_fd, "checkpoint", note, note_bytes);
        for (int level = TILE_ENTRIES; intact && level < (int)TILE_LEVELS; level++) {
                struct partial partial;
                char path[TILE_PATH_SIZE];
                size_t bytes;
                if (!partial_of(edge->frontier.size, level, &partial))
                        continue;
                tile_path_format(level, partial.index, partial.width, path);
                const void *data = partial_content(edge, &partial, &bytes);
                intact = content_is(publisher->directory_fd, path, data, bytes);
        }
        return intact;
}

static int partials_write(struct publisher *publisher, const struct edge *edge) {
        uint64_t size = edge->frontier.size;
        for (int level = TILE_ENTRIES; level < (int)TILE_LEVELS; level++) {
                struct partial partial;
                if (!partial_of(size, level, &partial))
                        continue;
                if (!publisher->recovering && partial_kept(publisher, &partial))
                        continue;
                char path[TILE_PATH_SIZE];
                tile_path_format(level, partial.index, partial.width, path);
                size_t bytes;
                const void *data = partial_content(edge, &partial, &bytes);
                int r = file_write(publisher, path, data, bytes);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Remembers the newest size; the partial files of the one that falls out go if no other needs them. */
static void sizes_push(struct publisher *publisher, uint64_t size) {
        uint64_t oldest = publisher->sizes[PUBLISHER_SIZES_KEPT - 1];
        if (publisher->sizes[0] == size)
                return;
        memmove(publisher->sizes + 1, publisher->sizes, (PUBLISHER_SIZES_KEPT - 1) * sizeof(size));
        publisher->sizes[0] = size;
        for (int level = TILE_ENTRIES; level < (int)TILE_LEVELS; level++) {
                struct partial partial;
                if (!partial_of(oldest, level, &partial) || partial_kept(publisher, &partial))
                        continue;
                char path[TILE_PATH_SIZE];
                tile_path_format(level, partial.index, partial.width, path);
                publisher->world->unlink(publisher->world->userdata, publisher->directory_fd, path, 0);
        }
}

int publisher_publish(struct publisher *publisher, const struct edge *edge, const char *note,
                      size_t note_bytes) {
        for (size_t i = 0; i < publisher->n_files; i++) {
                struct public_file *file = &publisher->files[i];
                if (file->written)
                        continue;
                int r = file_write(publisher, file->path, file->data, file->size);
                if (r < 0)
                        return r;
                file->written = true;
        }
        int r = partials_write(publisher, edge);
        if (r < 0)
                return r;
        publisher->dirty = true;
        const struct iovec content = {.iov_base = (char *)note, .iov_len = note_bytes};
        r = world_turn_file(publisher->world, publisher->directory_fd, "checkpoint", "checkpoint.before",
                            &content);
        if (r < 0)
                return r;
        sizes_push(publisher, edge->frontier.size);
        return 0;
}

/* fsyncs a file and every directory above it that `last` did not lie in: names are durable only then. */
static int path_sync(const struct publisher *publisher, const char *path, const char *last) {
        char copy[TILE_PATH_SIZE];
        snprintf(copy, sizeof(copy), "%s", path);
        for (;;) {
                int r = world_sync_path(publisher->world, publisher->directory_fd, copy);
                if (r < 0)
                        return r;
                char *slash = strrchr(copy, '/');
                if (!slash)
                        return 0;
                slash[1] = '\0';
                if (last && !strncmp(copy, last, strlen(copy)) && !strchr(last + strlen(copy), '/'))
                        return 0;
                *slash = '\0';
        }
}

static int partials_sync(const struct publisher *publisher) {
        for (int level = TILE_ENTRIES; level < (int)TILE_LEVELS; level++) {
                struct partial partial;
                char path[TILE_PATH_SIZE];
                if (!partial_of(publisher->sizes[0], level, &partial))
                        continue;
                tile_path_format(level, partial.index, partial.width, path);
                int r = path_sync(publisher, path, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A full and durable tile makes its partial ones superfluous. Failing to remove them harms nothing. */
static void partials_remove(const struct publisher *publisher, const char *path) {
        char partials[TILE_PATH_SIZE + 2], name[TILE_PATH_SIZE + 264];
        snprintf(partials, sizeof(partials), "%s.p", path);
        int fd = openat(publisher->directory_fd, partials, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        const struct ledger_world *world = publisher->world;
        for (struct dirent *entry; (entry = readdir(directory));) {
                if (entry->d_name[0] == '.')
                        continue;
                snprintf(name, sizeof(name), "%s/%s", partials, entry->d_name);
                world->unlink(world->userdata, publisher->directory_fd, name, 0);
        }
        closedir(directory);
        world->unlink(world->userdata, publisher->directory_fd, partials, AT_REMOVEDIR);
}

static int all_sync(const struct publisher *publisher) {
        for (size_t i = 0; i < publisher->n_files; i++) {
                /* bundles and tiles alternate: a directory shared with the one before the last is done */
                const char *last = i >= 2 ? publisher->files[i - 2].path : NULL;
                int r = path_sync(publisher, publisher->files[i].path, last);
                if (r < 0)
                        return r;
        }
        int r = partials_sync(publisher);
        if (r == 0)
                r = world_sync_path(publisher->world, publisher->directory_fd, "checkpoint");
        return r < 0 ? r : world_sync_path(publisher->world, publisher->directory_fd, ".");
}

int publisher_settle(struct publisher *publisher) {
        if (!publisher->dirty)
                return 0;
        int r = all_sync(publisher);
        if (r < 0) {
                /* what failed to reach the disk may be gone from memory too: write it all again */
                for (size_t i = 0; i < publisher->n_files; i++)
                        publisher->files[i].written = false;
                memset(publisher->sizes, 0, sizeof(publisher->sizes));
                return r;
        }
        for (size_t i = 0; i < publisher->n_files; i++)
                partials_remove(publisher, publisher->files[i].path);
        files_drop(publisher);
        publisher->dirty = false;
        return 0;
}
