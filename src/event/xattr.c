#include "event/xattr.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

enum { LIST_BYTES = 65536, VALUE_BYTES = 65536, NAMES_MAX = 4096 }; /* the kernel's own bounds (limits.h) */

/*
 * An object named for the path calls of xattr(7): by the magic link of its descriptor, which must be
 * followed and leads to the object itself (a symbolic link opened with O_PATH included), or by
 * directory and name, which must not be followed.
 */
struct object {
        char path[32 + NAME_MAX + 1];
        bool is_name;
};

static int object_init(struct object *object, int fd, const char *name) {
        object->is_name = name != NULL;
        int n = snprintf(object->path, sizeof(object->path), "/proc/self/fd/%d%s%s", fd, name ? "/" : "",
                         name ?: "");
        return n < (int)sizeof(object->path) ? 0 : -ENAMETOOLONG;
}

static ssize_t object_list(const struct object *object, char *list, size_t size) {
        ssize_t n = (object->is_name ? llistxattr : listxattr)(object->path, list, size);
        if (n < 0)
                return errno == EOPNOTSUPP ? 0 : -errno;
        return n;
}

static ssize_t object_get(const struct object *object, const char *name, void *value, size_t size) {
        ssize_t n = (object->is_name ? lgetxattr : getxattr)(object->path, name, value, size);
        return n < 0 ? -errno : n;
}

static bool is_covered(const char *name) {
        return !strncmp(name, "security.", 9) || !strncmp(name, "user.", 5) ||
               !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Lists the covered attributes in order; names point into `list`. Returns their number or an errno. */
static int list_names(const struct object *object, char *list, const char **names) {
        ssize_t n = object_list(object, list, LIST_BYTES);
        if (n < 0)
                return (int)n;
        int count = 0;
        for (ssize_t i = 0; i < n; i += (ssize_t)strlen(list + i) + 1) {
                if (!is_covered(list + i))
                        continue;
                if (count == NAMES_MAX)
                        return -EFBIG;
                names[count++] = list + i;
        }
        qsort(names, (size_t)count, sizeof(*names), compare_names);
        return count;
}

static int append_sized(struct buffer *bytes, const void *data, size_t size) {
        uint8_t length[4] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                             (uint8_t)(size >> 24)};
        int r = buffer_append(bytes, length, sizeof(length));
        return r < 0 ? r : buffer_append(bytes, data, size);
}

static int append_attribute(struct buffer *bytes, const char *name, const void *value, size_t size) {
        if (bytes->size + size + strlen(name) + 8 > XATTR_BYTES_MAX)
                return -EFBIG;
        int r = append_sized(bytes, name, strlen(name));
        return r < 0 ? r : append_sized(bytes, value, size);
}

static int object_read(const struct object *object, struct buffer *bytes) {
        ssize_t any = object_list(object, NULL, 0); /* most objects have none: ask before allocating */
        if (any <= 0)
                return (int)any;

        _cleanup_(freep) char *list = malloc(LIST_BYTES + VALUE_BYTES);
        _cleanup_(freep) const char **names = calloc(NAMES_MAX, sizeof(*names));
        if (!list || !names)
                return -ENOMEM;
        int n = list_names(object, list, names);
        for (int i = 0; i < n; i++) {
                ssize_t size = object_get(object, names[i], list + LIST_BYTES, VALUE_BYTES);
                if (size == -ENODATA)
                        continue; /* removed since it was listed */
                int r = size < 0 ? (int)size
                                 : append_attribute(bytes, names[i], list + LIST_BYTES, (size_t)size);
                if (r < 0)
                        return r;
        }
        return n < 0 ? n : 0;
}

int xattr_read(int fd, struct buffer *bytes) {
        struct object object;
        int r = object_init(&object, fd, NULL);
        return r < 0 ? r : object_read(&object, bytes);
}

int xattr_read_at(int directory_fd, const char *name, struct buffer *bytes) {
        struct object object;
        int r = object_init(&object, directory_fd, name);
        return r < 0 ? r : object_read(&object, bytes);
}

int xattr_digest(const void *bytes, size_t size, struct digest *ret_digest) {
        if (size)
                return digest_bytes(bytes, size, ret_digest);
        *ret_digest = (struct digest){0};
        return 0;
}

int xattr_digest_at(int directory_fd, const char *name, struct digest *ret_digest) {
        _cleanup_(buffer_deinit) struct buffer bytes;
        buffer_init(&bytes, XATTR_BYTES_MAX);
        int r = xattr_read_at(directory_fd, name, &bytes);
        return r < 0 ? r : xattr_digest(bytes.data, bytes.size, ret_digest);
}

static bool take_sized(const uint8_t *bytes, size_t size, size_t *offset, const void **ret_data,
                       size_t *ret_size) {
        if (size - *offset < 4)
                return false;
        const uint8_t *p = bytes + *offset;
        size_t length = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
        *offset += 4;
        if (size - *offset < length)
                return false;
        *ret_data = bytes + *offset;
        *ret_size = length;
        *offset += length;
        return true;
}

int xattr_next(const void *bytes, size_t size, size_t *offset, struct xattr *ret_attribute) {
        if (*offset == size)
                return 0;
        if (*offset > size)
                return -EBADMSG;
        const void *name, *value;
        size_t name_size, value_size;
        if (!take_sized(bytes, size, offset, &name, &name_size) ||
            !take_sized(bytes, size, offset, &value, &value_size))
                return -EBADMSG;
        if (name_size == 0 || name_size > XATTR_NAME_MAX || memchr(name, '\0', name_size))
                return -EBADMSG;
        *ret_attribute = (struct xattr){name, name_size, value, value_size};
        return 1;
}

/* Each name covered, and in order: also keeps system.* of any other kind out of our hands. */
static int check_canonical(const void *bytes, size_t size) {
        char previous[XATTR_NAME_MAX + 1] = "";
        size_t offset = 0;
        struct xattr attribute;
        int r;
        while ((r = xattr_next(bytes, size, &offset, &attribute)) > 0) {
                char name[XATTR_NAME_MAX + 1];
                memcpy(name, attribute.name, attribute.name_size);
                name[attribute.name_size] = '\0';
                if (!is_covered(name) || strcmp(previous, name) >= 0)
                        return -EBADMSG;
                memcpy(previous, name, sizeof(previous));
        }
        return r;
}

static bool is_among(const void *bytes, size_t size, const char *name) {
        size_t offset = 0;
        struct xattr attribute;
        while (xattr_next(bytes, size, &offset, &attribute) > 0)
                if (attribute.name_size == strlen(name) && !memcmp(attribute.name, name, attribute.name_size))
                        return true;
        return false;
}

static int remove_others(const struct object *object, const void *bytes, size_t size) {
        ssize_t any = object_list(object, NULL, 0);
        if (any <= 0)
                return (int)any;
        _cleanup_(freep) char *list = malloc(LIST_BYTES);
        _cleanup_(freep) const char **names = calloc(NAMES_MAX, sizeof(*names));
        if (!list || !names)
                return -ENOMEM;
        int n = list_names(object, list, names);
        for (int i = 0; i < n; i++)
                if (!is_among(bytes, size, names[i]) && removexattr(object->path, names[i]) < 0 &&
                    errno != ENODATA)
                        return -errno;
        return n < 0 ? n : 0;
}

int xattr_write(int fd, const void *bytes, size_t size) {
        struct object object;
        int r = check_canonical(bytes, size);
        if (r == 0)
                r = object_init(&object, fd, NULL);
        if (r == 0)
                r = remove_others(&object, bytes, size);
        if (r < 0)
                return r;

        size_t offset = 0;
        struct xattr attribute;
        while ((r = xattr_next(bytes, size, &offset, &attribute)) > 0) {
                char name[XATTR_NAME_MAX + 1];
                memcpy(name, attribute.name, attribute.name_size);
                name[attribute.name_size] = '\0';
                if (setxattr(object.path, name, attribute.value, attribute.value_size, 0) < 0)
                        return -errno;
        }
        return r;
}
