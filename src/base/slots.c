/* See slots.h. */
#include "base/slots.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"

#define SLOTS_MAGIC UINT64_C(0x3173746f6c736968)
#define SLOTS_AT    4096
#define SLOTS_MAX   (1u << 20)
#define WORD_BITS   64
#define PAGE_SLOTS  64 /* this many more were in use once: worth a system call */

struct slots_head {
        uint64_t magic;
        uint32_t slot_bytes, n;
        _Atomic uint32_t high;
};

static struct slots_head *slots_head(const struct slots *slots) {
        return (struct slots_head *)slots->map;
}

static size_t map_bytes(uint32_t n) {
        return SLOTS_AT + (size_t)n * SLOT_BYTES;
}

static _Atomic uint32_t *slots_state(const struct slots *slots, uint32_t slot) {
        return (_Atomic uint32_t *)(slots->map + SLOTS_AT + (size_t)slot * SLOT_BYTES);
}

int slots_open(const char *name, uint32_t n) {
        const struct slots_head head = {.magic = SLOTS_MAGIC, .slot_bytes = SLOT_BYTES, .n = n};
        _cleanup_(fd_closep) int fd = memfd_create(name, MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, (off_t)map_bytes(n)) < 0)
                return -errno;
        int r = io_pwrite_all(fd, &head, sizeof(head), 0);
        return r < 0 ? r : fd_steal(&fd);
}

bool slots_fit(int fd) {
        struct slots_head head;
        struct stat st;
        return io_pread_full(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) && fstat(fd, &st) == 0 &&
               head.magic == SLOTS_MAGIC && head.slot_bytes == SLOT_BYTES && head.n && head.n <= SLOTS_MAX &&
               st.st_size == (off_t)map_bytes(head.n);
}

/* Slots of another shape are another version's: all are free. */
static void check_shape(struct slots *slots) {
        struct slots_head *head = slots_head(slots);
        if (head->magic == SLOTS_MAGIC && head->slot_bytes == SLOT_BYTES && head->n == slots->n &&
            head->high <= slots->n)
                return;
        memset(slots->map + SLOTS_AT, 0, (size_t)slots->n * SLOT_BYTES);
        *head = (struct slots_head){.magic = SLOTS_MAGIC, .slot_bytes = SLOT_BYTES, .n = slots->n};
}

static void find_used(struct slots *slots) {
        uint32_t high = slots_head(slots)->high;
        for (uint32_t i = 0; i < high; i++)
                if (atomic_load(slots_state(slots, i)) == 1) {
                        slots->taken[i / WORD_BITS] |= UINT64_C(1) << i % WORD_BITS;
                        slots->n_used++;
                }
}

int slots_init(struct slots *slots, int fd, uint32_t n) {
        _cleanup_(fd_closep) int own = -EBADF;
        struct stat st;
        if (fd < 0)
                fd = own = slots_open("slots", n);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < (off_t)map_bytes(1) || st.st_size > (off_t)map_bytes(SLOTS_MAX))
                return -EBADMSG;
        *slots = (struct slots){.n = (uint32_t)((st.st_size - SLOTS_AT) / SLOT_BYTES)};
        slots->taken = calloc(slots->n / WORD_BITS + 1, sizeof(*slots->taken));
        void *map = mmap(NULL, map_bytes(slots->n), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        slots->map = map == MAP_FAILED ? NULL : map;
        if (!slots->taken || !slots->map) {
                slots_deinit(slots);
                return -ENOMEM;
        }
        check_shape(slots);
        find_used(slots);
        return 0;
}

void slots_deinit(struct slots *slots) {
        if (slots->map)
                munmap(slots->map, map_bytes(slots->n));
        free(slots->taken);
        *slots = (struct slots){0};
}

uint32_t slots_take(struct slots *slots) {
        for (uint32_t word = 0; word <= slots->n / WORD_BITS && slots->map; word++) {
                if (slots->taken[word] == UINT64_MAX)
                        continue;
                uint32_t slot = word * WORD_BITS + (uint32_t)__builtin_ctzll(~slots->taken[word]);
                if (slot >= slots->n)
                        break;
                slots->taken[word] |= UINT64_C(1) << slot % WORD_BITS;
                slots->n_used++;
                if (slot >= slots_head(slots)->high)
                        slots_head(slots)->high = slot + 1;
                return slot;
        }
        slots->n_refused++;
        return SLOT_NONE;
}

void slots_publish(struct slots *slots, uint32_t slot) {
        atomic_store(slots_state(slots, slot), 1);
}

void slots_withdraw(struct slots *slots, uint32_t slot) {
        atomic_store(slots_state(slots, slot), 0);
}

static void give_memory_back(struct slots *slots) {
        uint32_t high = slots_head(slots)->high;
        if (high < PAGE_SLOTS)
                return;
        (void)madvise(slots->map + SLOTS_AT, (size_t)high * SLOT_BYTES, MADV_REMOVE);
        slots_head(slots)->high = 0;
}

void slots_give(struct slots *slots, uint32_t slot) {
        if (slot >= slots->n || !(slots->taken[slot / WORD_BITS] >> slot % WORD_BITS & 1))
                return;
        slots_withdraw(slots, slot);
        slots->taken[slot / WORD_BITS] &= ~(UINT64_C(1) << slot % WORD_BITS);
        if (--slots->n_used == 0)
                give_memory_back(slots);
}

void *slots_at(const struct slots *slots, uint32_t slot) {
        return slots->map + SLOTS_AT + (size_t)slot * SLOT_BYTES + (SLOT_BYTES - SLOT_BYTES_MAX);
}

uint32_t slots_next(const struct slots *slots, uint32_t slot) {
        uint32_t high = slots->map ? slots_head(slots)->high : 0;
        for (; slot < high && slot < slots->n; slot++)
                if (atomic_load(slots_state(slots, slot)) == 1)
                        return slot;
        return SLOT_NONE;
}
