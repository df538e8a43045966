/* See mounts.h. */
#include "sense/files/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/io.h"

#define MOUNTINFO_BYTES_MAX ((size_t)32 << 20)

/* Blank, tab, newline and backslash are written as \040 and so on. In place; a copy is returned. */
static char *unescape_octal(const char *field) {
        char *text = strdup(field), *to = text;
        if (!text)
                return NULL;
        for (const char *from = text; *from; to++) {
                if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                    from[3] >= '0' && from[3] <= '7') {
                        *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
                        from += 4;
                } else {
                        *to = *from++;
                }
        }
        *to = '\0';
        return text;
}

static void mount_deinit(struct mount *mount) {
        free(mount->root);
        free(mount->point);
        free(mount->type);
        free(mount->source);
}

/* Cuts a line at single blanks; fields after the last wanted one are dropped. */
static size_t split(char *line, char **fields, size_t n_max) {
        size_t n = 0;
        char *rest = line;
        for (char *field; n < n_max && (field = strsep(&rest, " "));)
                fields[n++] = field;
        return n;
}

/* Returns 1, 0 (not a mount line) or -ENOMEM. */
static int decode_line(char *line, struct mount *ret_mount) {
        char *fields[64];
        unsigned long long id;
        unsigned major_number, minor_number;
        size_t n = split(line, fields, ARRAY_SIZE(fields)), dash = 6;
        while (dash < n && strcmp(fields[dash], "-"))
                dash++;
        if (dash + 2 >= n || sscanf(fields[0], "%llu", &id) != 1 ||
            sscanf(fields[2], "%u:%u", &major_number, &minor_number) != 2)
                return 0;
        struct mount mount = {
                .id = id,
                .device = makedev(major_number, minor_number),
                .root = unescape_octal(fields[3]),
                .point = unescape_octal(fields[4]),
                .type = unescape_octal(fields[dash + 1]),
                .source = unescape_octal(fields[dash + 2]),
        };
        if (!mount.root || !mount.point || !mount.type || !mount.source) {
                mount_deinit(&mount);
                return -ENOMEM;
        }
        *ret_mount = mount;
        return 1;
}

static int mounts_append(struct mounts *mounts, const struct mount *mount) {
        if (!(mounts->n & (mounts->n - 1))) { /* room is a power of two */
                struct mount *items =
                        reallocarray(mounts->items, mounts->n ? 2 * mounts->n : 1, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                mounts->items = items;
        }
        mounts->items[mounts->n++] = *mount;
        return 0;
}

int mounts_decode(const char *text, size_t size, struct mounts *ret_mounts) {
        _cleanup_(freep) char *copy = strndup(text, size);
        struct mounts mounts = {0};
        char *rest = copy;
        if (!copy)
                return -ENOMEM;
        for (char *line; (line = strsep(&rest, "\n"));) {
                struct mount mount = {0};
                int r = decode_line(line, &mount);
                if (r > 0) {
                        r = mounts_append(&mounts, &mount);
                        if (r < 0)
                                mount_deinit(&mount);
                }
                if (r < 0) {
                        mounts_deinit(&mounts);
                        return r;
                }
        }
        *ret_mounts = mounts;
        return 0;
}

int mounts_read(struct mounts *ret_mounts) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, MOUNTINFO_BYTES_MAX);
        int r = io_read_file(AT_FDCWD, "/proc/self/mountinfo", &text);
        return r < 0 ? r : mounts_decode(text.data, text.size, ret_mounts);
}

void mounts_deinit(struct mounts *mounts) {
        for (size_t i = 0; i < mounts->n; i++)
                mount_deinit(&mounts->items[i]);
        free(mounts->items);
        *mounts = (struct mounts){0};
}

const struct mount *mounts_find(const struct mounts *mounts, uint64_t id) {
        for (size_t i = 0; i < mounts->n; i++)
                if (mounts->items[i].id == id)
                        return &mounts->items[i];
        return NULL;
}
