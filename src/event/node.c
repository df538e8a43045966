#include "event/node.h"

#include <string.h>
#include <sys/stat.h>

void node_deinit(struct node *node) {
        free(node->link_target);
        *node = (struct node)NODE_INIT;
}

int node_copy(const struct node *from, struct node *ret_to) {
        struct node copy = *from;
        if (from->link_target && !(copy.link_target = strdup(from->link_target)))
                return -ENOMEM;
        *ret_to = copy;
        return 0;
}

static uint64_t time_ns(const struct timespec *time) {
        return (uint64_t)time->tv_sec * UINT64_C(1000000000) + (uint64_t)time->tv_nsec;
}

void node_from_stat(const struct stat *st, struct node *ret_node) {
        *ret_node = (struct node){
                .mode = st->st_mode,
                .uid = st->st_uid,
                .gid = st->st_gid,
                .n_links = (uint32_t)st->st_nlink,
                .size_bytes =
                        S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? st->st_rdev : (uint64_t)st->st_size,
                .inode = st->st_ino,
                .mtime_ns = time_ns(&st->st_mtim),
                .ctime_ns = time_ns(&st->st_ctim),
        };
}

unsigned node_compare(const struct node *a, const struct node *b) {
        if (!node_exists(a) || !node_exists(b))
                return node_exists(a) == node_exists(b) ? 0 : NODE_EXISTENCE;
        if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
                return NODE_TYPE;

        unsigned difference = 0;
        if (S_ISREG(a->mode) && (a->size_bytes != b->size_bytes || !digest_equal(&a->digest, &b->digest)))
                difference |= NODE_CONTENT;
        if ((S_ISCHR(a->mode) || S_ISBLK(a->mode)) && a->size_bytes != b->size_bytes)
                difference |= NODE_CONTENT;
        if (S_ISLNK(a->mode) && strcmp(a->link_target ?: "", b->link_target ?: ""))
                difference |= NODE_CONTENT;
        if (!S_ISLNK(a->mode) && (a->mode & 07777) != (b->mode & 07777))
                difference |= NODE_MODE;
        if (a->uid != b->uid || a->gid != b->gid)
                difference |= NODE_OWNER;
        if (!digest_equal(&a->xattr_digest, &b->xattr_digest))
                difference |= NODE_XATTR;
        return difference;
}
