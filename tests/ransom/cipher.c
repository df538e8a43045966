/* Which bytes of a file are altered, and to what: a keystream that the seed determines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pattern.h"

/* splitmix64: https://prng.di.unimi.it/splitmix64.c */
uint64_t cipher_random(uint64_t value) {
        value += 0x9e3779b97f4a7c15;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
        value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
        return value ^ (value >> 31);
}

uint64_t cipher_key(uint64_t seed, const char *path) {
        uint64_t key = cipher_random(seed);
        for (; *path; path++)
                key = cipher_random(key ^ (uint8_t)*path);
        return key;
}

void cipher_apply(uint64_t key, uint64_t offset, uint8_t *bytes, size_t n) {
        uint64_t word = 0;
        for (size_t i = 0; i < n; i++) {
                if (!i || !((offset + i) % 8))
                        word = cipher_random(key + (offset + i) / 8);
                bytes[i] ^= (uint8_t)(word >> (8 * ((offset + i) % 8)));
        }
}

/* The first range of altered bytes that ends after `offset`. */
bool shape_range(const struct shape *shape, uint64_t size, uint64_t offset, uint64_t *ret_from,
                 uint64_t *ret_to) {
        uint64_t end = shape->cap_bytes && shape->cap_bytes < size ? shape->cap_bytes : size;
        uint64_t on = shape->on_bytes ?: end, period = on + shape->off_bytes, first = shape->skip_bytes;
        if (shape->percent) {
                unsigned n_spots = shape->n_spots ?: 1;
                on = (size * shape->percent / 100 + n_spots - 1) / n_spots;
                period = size / n_spots > on ? size / n_spots : on;
        }
        if (!period || !on)
                return false;
        uint64_t from = first + (offset > first ? (offset - first) / period * period : 0);
        if (from + on <= offset)
                from += period;
        if (from >= end)
                return false;
        *ret_from = from;
        *ret_to = from + on < end ? from + on : end;
        return true;
}

void shape_apply(const struct shape *shape, uint64_t key, uint64_t size, uint64_t offset, uint8_t *bytes,
                 size_t n) {
        uint64_t at = offset, from, to;
        while (at < offset + n && shape_range(shape, size, at, &from, &to) && from < offset + n) {
                from = from < offset ? offset : from;
                to = to > offset + n ? offset + n : to;
                cipher_apply(key, from, bytes + (from - offset), to - from);
                at = to;
        }
}

int write_all(int fd, const void *bytes, size_t n, uint64_t offset) {
        for (size_t done = 0; done < n;) {
                ssize_t written = pwrite(fd, (const uint8_t *)bytes + done, n - done, (off_t)(offset + done));
                if (written < 0 && errno != EINTR)
                        return -errno;
                done += written > 0 ? (size_t)written : 0;
        }
        return 0;
}

int cipher_in_place(int fd, uint64_t key, uint64_t size, const struct shape *shape) {
        uint8_t *block = malloc(BLOCK_BYTES);
        uint64_t at = 0, from, to;
        int r = block ? UNTOUCHED : -ENOMEM;
        while (r >= 0 && shape_range(shape, size, at, &from, &to)) {
                from = from > at ? from : at;
                uint64_t last = shape->off_bytes && shape->off_bytes < BLOCK_BYTES / 16 ? size : to;
                size_t n = last - from < BLOCK_BYTES ? last - from : BLOCK_BYTES;
                ssize_t n_read = pread(fd, block, n, (off_t)from);
                if (n_read <= 0) {
                        r = n_read < 0 ? -errno : r;
                        break;
                }
                shape_apply(shape, key, size, from, block, (size_t)n_read);
                r = write_all(fd, block, (size_t)n_read, from);
                at = from + (uint64_t)n_read;
        }
        free(block);
        return r;
}

int cipher_copy(int from, int to, uint64_t key) {
        uint8_t *block = malloc(BLOCK_BYTES);
        uint64_t at = 0;
        int r = block ? 0 : -ENOMEM;
        while (r >= 0) {
                ssize_t n = pread(from, block, BLOCK_BYTES, (off_t)at);
                if (n < 0)
                        r = -errno;
                if (n <= 0)
                        break;
                cipher_apply(key, at, block, (size_t)n);
                r = write_all(to, block, (size_t)n, at);
                at += (uint64_t)n;
        }
        free(block);
        return r;
}

int read_whole(int fd, uint8_t **ret_bytes, size_t *ret_n) {
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size > MEMORY_MAX)
                return -EFBIG;
        uint8_t *bytes = malloc((size_t)st.st_size + 1);
        if (!bytes)
                return -ENOMEM;
        size_t n = 0;
        for (ssize_t more = 1; more > 0 && n<(size_t)st.st_size; n += more> 0 ? (size_t)more : 0)
                more = pread(fd, bytes + n, (size_t)st.st_size - n, (off_t)n);
        *ret_bytes = bytes;
        *ret_n = n;
        return 0;
}

int extended_name(const struct victim *victim, char *ret_name, size_t n) {
        int length = snprintf(ret_name, n, "%s%s", victim->name, victim->job->extension);
        return length < 0 || (size_t)length >= n || length > 255 ? -ENAMETOOLONG : 0;
}
