#include "ledger/reader.h"

#include "base/io.h"
#include "ledger/tree.h"

void reader_init(struct reader *reader, int directory_fd, uint64_t size, struct digester *digester) {
        reader->directory_fd = directory_fd;
        reader->size = size;
        reader->digester = digester;
        for (unsigned i = 0; i < TILE_LEVELS; i++)
                reader->tiles[i].valid = false;
}

/* The file for a tree of this size, or the full one. */
static int read_either(const struct reader *reader, int level, uint64_t index, unsigned width,
                       struct buffer *buffer) {
        char path[TILE_PATH_SIZE];
        tile_path_format(level, index, width, path);
        int r = io_read_file(reader->directory_fd, path, buffer);
        if (r != -ENOENT || width == TILE_WIDTH)
                return r;
        tile_path_format(level, index, TILE_WIDTH, path);
        return io_read_file(reader->directory_fd, path, buffer);
}

int reader_tile(const struct reader *reader, unsigned level, uint64_t index, unsigned width,
                struct digest *ret_hashes) {
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, TILE_BYTES + 8192);
        int r = read_either(reader, (int)level, index, width, &buffer);
        if (r < 0)
                return r;
        if (buffer.size < width * DIGEST_BYTES)
                return -EBADMSG;
        memcpy(ret_hashes, buffer.data, width * DIGEST_BYTES);
        return 0;
}

int reader_bundle(const struct reader *reader, uint64_t index, struct buffer *bundle) {
        unsigned width = tile_width(reader->size, TILE_ENTRIES, index);
        return width ? read_either(reader, TILE_ENTRIES, index, width, bundle) : -ENOENT;
}

int reader_entry(const struct reader *reader, uint64_t index, struct buffer *bundle, const char **ret_entry,
                 size_t *ret_size) {
        if (index >= reader->size)
                return -ENOENT;
        buffer_clear(bundle);
        int r = reader_bundle(reader, index / TILE_WIDTH, bundle);
        if (r < 0)
                return r;
        size_t offset = 0;
        for (uint64_t i = 0; i <= index % TILE_WIDTH; i++) {
                r = bundle_next(bundle->data, bundle->size, &offset, ret_entry, ret_size);
                if (r <= 0)
                        return -EBADMSG;
        }
        return 0;
}

int reader_lookup(void *userdata, unsigned height, uint64_t position, struct digest *ret_hash) {
        struct reader *reader = userdata;
        unsigned level = height / 8, count = 1u << height % 8;
        if (level >= TILE_LEVELS)
                return -EINVAL;
        uint64_t first = position << height % 8, index = first / TILE_WIDTH;
        unsigned offset = (unsigned)(first % TILE_WIDTH), width = tile_width(reader->size, (int)level, index);
        if (offset + count > width)
                return -EINVAL;
        if (!reader->tiles[level].valid || reader->tiles[level].index != index) {
                reader->tiles[level].valid = false;
                int r = reader_tile(reader, level, index, width, reader->tiles[level].hashes);
                if (r < 0)
                        return r;
                reader->tiles[level].valid = true;
                reader->tiles[level].index = index;
        }
        return tree_range_hash(reader->digester, reader->tiles[level].hashes + offset, count, ret_hash);
}
