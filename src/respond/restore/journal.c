#include "respond/restore/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/io.h"
#include "respond/restore/evidence.h"
#include "respond/restore/look.h"

#define JOURNAL_BYTES_MAX ((size_t)1 << 20) /* paths have no bound of their own */

int restore_journal_open(const char *state, struct restore_journal *ret_journal) {
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/vault/restoring", state) < 0)
                return -ENOMEM;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        ret_journal->fd = fd;
        return 0;
}

void restore_journal_close(struct restore_journal *journal) {
        fd_closep(&journal->fd);
        journal->fd = -EBADF;
}

static int add_name(struct buffer *buffer, const char *path, const char *name) {
        const char *slash = strrchr(path, '/');
        int r = slash ? buffer_append(buffer, path, (size_t)(slash - path) + 1) : 0;
        return r < 0 ? r : buffer_append(buffer, name, strlen(name) + 1);
}

int journal_note(const struct restore_journal *journal, const char *path, const char *name,
                 const char *other) {
        if (!journal)
                return 0;
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, JOURNAL_BYTES_MAX);
        int r = add_name(&buffer, path, name);
        if (r == 0 && other)
                r = add_name(&buffer, path, other);
        if (r == 0)
                r = buffer_append(&buffer, "", 1);
        return r < 0 ? r : io_pwrite_all(journal->fd, buffer.data, buffer.size, 0);
}

void restore_journal_clear(const struct restore_journal *journal) {
        (void)!ftruncate(journal->fd, 0);
}

/* 1: it was there. */
static int collect_path(const struct restore_context *context, const char *path) {
        _cleanup_(fd_closep) int directory_fd = -EBADF;
        const char *name;
        int r = look_open_parent(context->tree_fd, path, &directory_fd, &name);
        if (r == 0 && !restore_is_temporary(name))
                r = -EINVAL;
        if (r < 0)
                return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? 0 : r;
        _cleanup_(fd_closep) int fd = look_open_unmounted(directory_fd, name);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        struct evidence evidence = {.context = context, .path = path};
        r = evidence_take(&evidence, directory_fd, name);
        evidence_deinit(&evidence);
        return r < 0 ? r : 1;
}

int restore_collect_left(const struct restore_context *context,
                         void (*taken)(const char *path, void *userdata), void *userdata) {
        _cleanup_(freep) char *names = calloc(1, JOURNAL_BYTES_MAX + 2);
        if (!names)
                return -ENOMEM;
        ssize_t size = io_pread_full(context->journal->fd, names, JOURNAL_BYTES_MAX, 0);
        if (size < 0)
                return (int)size;
        int n = 0, failed = 0;
        for (const char *path = names; *path; path += strlen(path) + 1) {
                int r = collect_path(context, path);
                if (r > 0 && taken)
                        taken(path, userdata);
                n += r > 0;
                failed = r < 0 ? r : failed;
        }
        return failed ?: n;
}
