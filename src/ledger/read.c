/* Reads entries while a writer may be at work: a partial file that is gone means that the log has grown. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "ledger/checkpoint.h"
#include "ledger/ledger.h"
#include "ledger/log.h"

#define LIVE_TRIES    100
#define LIVE_PAUSE_NS 2000000

static int key_read(int directory_fd, struct verifier_key *ret_key) {
        _cleanup_(buffer_deinit) struct buffer text = {0};
        int r = io_read_file(directory_fd, "key.pub", &text);
        if (r < 0)
                return r;
        return verifier_key_parse(text.data ?: "", text.size, ret_key) < 0 ? -EBADMSG : 0;
}

int ledger_name(const char *state, char ret_name[static LEDGER_NAME_SIZE]) {
        struct verifier_key key;
        char path[4096];
        if (snprintf(path, sizeof(path), "%s/ledger", state) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = fd < 0 ? -errno : key_read(fd, &key);
        if (r == 0)
                snprintf(ret_name, LEDGER_NAME_SIZE, "%s", key.name);
        return r;
}

int log_open(struct log *log, const char *path) {
        char child[4096];
        *log = (struct log){.directory_fd = -EBADF};
        if (snprintf(child, sizeof(child), "%s/ledger", path) >= (int)sizeof(child))
                return -ENAMETOOLONG;
        log->directory_fd = open(child, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (log->directory_fd < 0 && errno == ENOENT)
                log->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (log->directory_fd < 0)
                return -errno;
        int r = key_read(log->directory_fd, &log->key);
        return r < 0 ? r : log_refresh(log);
}

void log_close(struct log *log) {
        fd_closep(&log->directory_fd);
        log->directory_fd = -EBADF;
        buffer_deinit(&log->note);
}

int log_refresh(struct log *log) {
        buffer_clear(&log->note);
        int r = io_read_file(log->directory_fd, "checkpoint", &log->note);
        if (r == 0)
                r = checkpoint_open(log->note.data, log->note.size, &log->key, &log->checkpoint);
        return r == -ENOKEY || r == -EKEYREJECTED ? -EBADMSG : r;
}

int log_grown(struct log *log, unsigned *tries) {
        uint64_t before = log->checkpoint.size;
        nanosleep(&(struct timespec){.tv_nsec = LIVE_PAUSE_NS}, NULL);
        int r = log_refresh(log);
        if (r < 0)
                return r;
        return log->checkpoint.size > before && ++*tries < LIVE_TRIES;
}

/* The bundle with the entry; its bytes may cover more entries than the log had when it was opened. */
static int bundle_load(struct log *log, struct reader *reader, uint64_t index, struct buffer *bundle) {
        unsigned tries = 0;
        for (;;) {
                buffer_clear(bundle);
                reader->size = log->checkpoint.size;
                int r = reader_bundle(reader, index, bundle);
                if (r != -ENOENT)
                        return r;
                r = log_grown(log, &tries);
                if (r <= 0)
                        return r < 0 ? r : -EBADMSG;
        }
}

static int bundle_visit(const struct buffer *bundle, const uint64_t range[2], ledger_visit visit,
                        void *userdata) {
        size_t offset = 0, size;
        const char *entry;
        for (uint64_t index = range[0] & ~(uint64_t)(TILE_WIDTH - 1); index < range[1]; index++) {
                if (!bundle->size || bundle_next(bundle->data, bundle->size, &offset, &entry, &size) <= 0)
                        return -EBADMSG;
                int r = index < range[0] ? 0 : visit(index, entry, size, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}

int ledger_read(const char *state, uint64_t from, uint64_t to, ledger_visit visit, void *userdata) {
        _cleanup_(log_close) struct log log;
        _cleanup_(buffer_deinit) struct buffer bundle;
        _cleanup_(freep) struct reader *reader = malloc(sizeof(*reader));
        buffer_init(&bundle, BUNDLE_BYTES_MAX + 8192);
        int r = log_open(&log, state);
        if (r < 0 || !reader)
                return r < 0 ? r : -ENOMEM;
        reader_init(reader, log.directory_fd, log.checkpoint.size, NULL);
        if (to > log.checkpoint.size)
                to = log.checkpoint.size;
        while (from < to) {
                uint64_t end = (from / TILE_WIDTH + 1) * TILE_WIDTH;
                const uint64_t range[2] = {from, end < to ? end : to};
                r = bundle_load(&log, reader, from / TILE_WIDTH, &bundle);
                if (r == 0)
                        r = bundle_visit(&bundle, range, visit, userdata);
                if (r != 0)
                        return r;
                from = range[1];
        }
        return 0;
}
