#include "base/io.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int io_write_all(int fd, const void *data, size_t size) {
        const char *p = data;
        while (size) {
                ssize_t n = write(fd, p, size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                size -= (size_t)n;
        }
        return 0;
}

int io_pwrite_all(int fd, const void *data, size_t size, uint64_t offset) {
        const char *p = data;
        while (size) {
                ssize_t n = pwrite(fd, p, size, (off_t)offset);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                offset += (uint64_t)n;
                size -= (size_t)n;
        }
        return 0;
}

ssize_t io_pread_full(int fd, void *data, size_t size, uint64_t offset) {
        char *p = data;
        size_t done = 0;
        while (done < size) {
                ssize_t n = pread(fd, p + done, size - done, (off_t)(offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

int io_read_file(int directory_fd, const char *path, struct buffer *buffer) {
        _cleanup_(fd_closep) int fd =
                openat(directory_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        for (;;) {
                int r = buffer_reserve(buffer, 4096);
                if (r < 0)
                        return r;
                ssize_t n = read(fd, buffer->data + buffer->size, buffer->capacity - buffer->size - 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                buffer->size += (size_t)n;
                buffer->data[buffer->size] = '\0';
                if (n == 0)
                        return 0;
        }
}

int io_replace_file(int directory_fd, const char *name, const void *data, size_t size, mode_t mode) {
        char temporary[NAME_MAX + 1];
        if (snprintf(temporary, sizeof(temporary), "%s.new", name) >= (int)sizeof(temporary))
                return -ENAMETOOLONG;

        _cleanup_(fd_closep) int fd =
                openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return -errno;
        int r = io_write_all(fd, data, size);
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (r == 0 && renameat(directory_fd, temporary, directory_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                unlinkat(directory_fd, temporary, 0);
                return r;
        }
        return fsync(directory_fd) < 0 ? -errno : 0;
}

int io_make_directories(const char *path, mode_t mode) {
        _cleanup_(freep) char *copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1;; p++) {
                if (*p && *p != '/')
                        continue;
                char kept = *p;
                *p = '\0';
                if (mkdir(copy, mode) < 0 && errno != EEXIST)
                        return -errno;
                if (!kept)
                        return 0;
                *p = kept;
        }
}
