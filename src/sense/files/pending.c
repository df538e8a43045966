/* See pending.h. A kill can come between any two stores: each order below is chosen for that. */
#include "sense/files/pending.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

#define PENDING_MAGIC UINT64_C(0x31646e65706e6968)

struct pending_head {
        uint64_t magic;
        _Atomic uint64_t done;
};

static struct pending_head *pending_head(const struct pending *pending) {
        return (struct pending_head *)pending->map;
}

int pending_open(void) {
        const struct pending_head head = {.magic = PENDING_MAGIC};
        _cleanup_(fd_closep) int fd = memfd_create("pending", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, PENDING_PLACES * PENDING_BYTES) < 0)
                return -errno;
        for (unsigned place = 0; place < PENDING_PLACES; place++) {
                int r = io_pwrite_all(fd, &head, sizeof(head), place * PENDING_BYTES);
                if (r < 0)
                        return r;
        }
        return fd_steal(&fd);
}

int pending_init(struct pending *pending, int pending_fd, enum pending_place place) {
        _cleanup_(fd_closep) int own = -EBADF;
        if (pending_fd < 0) {
                own = pending_open();
                if (own < 0)
                        return own;
                pending_fd = own;
        }
        if (lseek(pending_fd, 0, SEEK_END) < (off_t)(PENDING_PLACES * PENDING_BYTES))
                return -EBADMSG;
        void *map = mmap(NULL, PENDING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, pending_fd,
                         (off_t)(place * PENDING_BYTES));
        if (map == MAP_FAILED)
                return -errno;
        if (((struct pending_head *)map)->magic != PENDING_MAGIC) {
                munmap(map, PENDING_BYTES);
                return -EBADMSG;
        }
        pending->map = map;
        return 0;
}

void *pending_scratch(const struct pending *pending) {
        return pending->map + PENDING_SCRATCH_AT;
}

void pending_deinit(struct pending *pending) {
        if (pending->map)
                munmap(pending->map, PENDING_BYTES);
        pending->map = NULL;
}

const uint8_t *pending_data(const struct pending *pending, size_t *ret_size) {
        uint64_t done = atomic_load(&pending_head(pending)->done);
        if (done > PENDING_DATA_BYTES)
                done = PENDING_DATA_BYTES;
        *ret_size = PENDING_DATA_BYTES - done;
        return pending->map + PENDING_DATA_AT + done;
}

void pending_advance(struct pending *pending, size_t used) {
        atomic_fetch_add(&pending_head(pending)->done, used);
}

int pending_fill(struct pending *pending, int fd) {
        uint64_t done = atomic_load(&pending_head(pending)->done);
        uint8_t *data = pending->map + PENDING_DATA_AT;
        /* Zeroes first, then the offset: in between, the rest after `done` is already zero. */
        memset(data, 0, done < PENDING_DATA_BYTES ? done : PENDING_DATA_BYTES);
        atomic_thread_fence(memory_order_seq_cst);
        atomic_store(&pending_head(pending)->done, 0);
        ssize_t n = read(fd, data, PENDING_DATA_BYTES);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        return (int)n;
}
