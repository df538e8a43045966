/*
 * Extended attributes as one run of bytes, so that they can be hashed, kept in the vault and put back.
 *
 * Covered: security.*, user.*, system.posix_acl_access, system.posix_acl_default. Canonical form: the
 * attributes in byte order of their names, each as
 *
 *     u32 little-endian  length of the name
 *     name               without NUL
 *     u32 little-endian  length of the value
 *     value
 *
 * No attributes: no bytes, and struct node's xattr_digest is zero. Otherwise xattr_digest is the SHA-256
 * of these bytes, which a mirrored tree keeps in the vault under that digest.
 */
#pragma once

#include "base/buffer.h"
#include "base/digest.h"

#define XATTR_BYTES_MAX ((size_t)1 << 20) /* of the canonical form */

/*
 * Appends the canonical form of what `fd` refers to (any type; O_PATH will do). A file system without
 * attributes has none. Returns 0, -EFBIG or a negative errno.
 */
int xattr_read(int fd, struct buffer *bytes);

/* The same for `name` in a directory; a symbolic link is not followed. */
int xattr_read_at(int directory_fd, const char *name, struct buffer *bytes);

/* Zero for no bytes. */
int xattr_digest(const void *bytes, size_t size, struct digest *ret_digest);

/* Reads and digests. */
int xattr_digest_at(int directory_fd, const char *name, struct digest *ret_digest);

/*
 * Makes the covered attributes of `fd` exactly those in `bytes`: removes what is not among them.
 * -EBADMSG: not the canonical form, nothing was changed.
 */
int xattr_write(int fd, const void *bytes, size_t size);

/*
 * Takes the attribute at `*offset` and moves on. Returns 1, 0 at the end, -EBADMSG. Name (not terminated)
 * and value point into `bytes`.
 */
struct xattr {
        const char *name;
        size_t name_size;
        const void *value;
        size_t value_size;
};
int xattr_next(const void *bytes, size_t size, size_t *offset, struct xattr *ret_attribute);
