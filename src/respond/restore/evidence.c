#include "respond/restore/evidence.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/buffer.h"
#include "respond/restore/look.h"

#define TEMPORARY_PREFIX ".hinomi-restore-"
#define DEPTH_MAX        64

void temporary_name_make(char ret_name[static TEMPORARY_NAME_SIZE]) {
        uint64_t random = 0;
        while (getrandom(&random, sizeof(random), 0) < 0 && errno == EINTR)
                ;
        snprintf(ret_name, TEMPORARY_NAME_SIZE, TEMPORARY_PREFIX "%016llx", (unsigned long long)random);
}

bool restore_is_temporary(const char *name) {
        size_t prefix = strlen(TEMPORARY_PREFIX);
        return !strncmp(name, TEMPORARY_PREFIX, prefix) && strlen(name + prefix) == 16 &&
               strspn(name + prefix, "0123456789abcdef") == 16;
}

void evidence_deinit(struct evidence *evidence) {
        node_deinit(&evidence->first);
}

static int remove_entry(struct evidence *evidence, int directory_fd, const char *name, int fd, int flags) {
        if (unlinkat(directory_fd, name, flags) == 0 || errno == ENOENT)
                return 0;
        if (errno != EPERM && errno != EACCES)
                return -errno;
        if (look_clear_flags(fd, NULL) != 1)
                return -EPERM;
        evidence->notes |= RESTORE_NOTE_FLAGS_CLEARED;
        return unlinkat(directory_fd, name, flags) < 0 ? -errno : 0;
}

static int keep_content(struct evidence *evidence, int path_fd, struct node *node) {
        if (node->size_bytes > RESTORE_EVIDENCE_BYTES_MAX)
                return -EFBIG;
        _cleanup_(fd_closep) int fd = look_reopen(path_fd, O_RDONLY);
        if (fd < 0)
                return fd;
        int r = store_put_file(evidence->context->store, fd, &node->digest, &node->size_bytes);
        return r < 0 ? r
                     : store_sync(evidence->context->store); /* on the disk before its only other copy goes */
}

/* Anything but a directory. */
static int take_object(struct evidence *evidence, int directory_fd, const char *name, int fd,
                       const char *path) {
        _cleanup_(node_deinit) struct node node = NODE_INIT;
        int r = look_node(fd, false, &node);
        if (r == 0 && S_ISREG(node.mode))
                r = keep_content(evidence, fd, &node);
        if (r < 0)
                return r;
        evidence->n_kept++;
        if (evidence->context->kept)
                evidence->context->kept(path, &node, evidence->context->userdata);
        if (node.n_links > 1)
                evidence->notes |= RESTORE_NOTE_LINKED;
        r = remove_entry(evidence, directory_fd, name, fd, 0);
        if (r == 0 && !node_exists(&evidence->first)) {
                evidence->first = node;
                node.link_target = NULL;
        }
        return r;
}

/* Where a removal is at work: the directory it began with takes what lies too deep. */
struct descent {
        struct evidence *evidence;
        int top_fd;
        struct buffer path; /* of the directory at work */
        unsigned depth;
};

static int take_directory(struct descent *descent, int fd);

static int take_below(struct descent *descent, int directory_fd, const char *name, int fd) {
        if (descent->depth >= DEPTH_MAX) {
                char temporary[TEMPORARY_NAME_SIZE];
                temporary_name_make(temporary);
                return renameat(directory_fd, name, descent->top_fd, temporary) < 0 ? -errno : 0;
        }
        descent->depth++;
        int r = take_directory(descent, fd);
        descent->depth--;
        return r < 0 ? r : remove_entry(descent->evidence, directory_fd, name, fd, AT_REMOVEDIR);
}

static int take_entry(struct descent *descent, int directory_fd, const char *name) {
        if (descent->evidence->n_entries++ >= RESTORE_REMOVED_MAX)
                return -E2BIG;
        _cleanup_(fd_closep) int fd = look_open_unmounted(directory_fd, name);
        struct stat st;
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
                return -errno;

        size_t before = descent->path.size;
        int r = buffer_format(&descent->path, "/%s", name);
        if (r == 0)
                r = S_ISDIR(st.st_mode)
                            ? take_below(descent, directory_fd, name, fd)
                            : take_object(descent->evidence, directory_fd, name, fd, descent->path.data);
        descent->path.size = before;
        descent->path.data[before] = '\0';
        return r;
}

/* Reads the directory again until it is empty: what is removed while it is read may hide what is not. */
static int take_directory(struct descent *descent, int path_fd) {
        int fd = look_reopen(path_fd, O_RDONLY | O_DIRECTORY);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory) {
                int error = fd < 0 ? fd : -errno;
                fd_closep(&fd);
                return error;
        }
        int r = 0;
        for (bool met = true; r == 0 && met;) {
                met = false;
                rewinddir(directory);
                for (struct dirent *entry; r == 0 && (entry = readdir(directory));) {
                        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                                continue;
                        met = true;
                        r = take_entry(descent, dirfd(directory), entry->d_name);
                }
        }
        closedir(directory);
        return r;
}

static int take_tree(struct evidence *evidence, int directory_fd, const char *name, int fd) {
        int r = look_node(fd, false, &evidence->first);
        if (r < 0)
                return r;
        /* Nobody but us shall reach what is in it from now on. A directory has no second name. */
        char self[32];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        if (chmod(self, 0700) == 0)
                (void)!fchownat(fd, "", geteuid(), (gid_t)-1, AT_EMPTY_PATH);

        struct descent descent = {.evidence = evidence, .top_fd = fd};
        buffer_init(&descent.path, 0);
        r = buffer_append_string(&descent.path, evidence->path);
        if (r == 0)
                r = take_directory(&descent, fd);
        buffer_deinit(&descent.path);
        return r < 0 ? r : remove_entry(evidence, directory_fd, name, fd, AT_REMOVEDIR);
}

int evidence_take(struct evidence *evidence, int directory_fd, const char *name) {
        _cleanup_(fd_closep) int fd = look_open_unmounted(directory_fd, name);
        struct stat st;
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (fstatat(fd, "", &st, AT_EMPTY_PATH) < 0)
                return -errno;
        int r = S_ISDIR(st.st_mode) ? take_tree(evidence, directory_fd, name, fd)
                                    : take_object(evidence, directory_fd, name, fd, evidence->path);
        /* Left where it is: out of reach, unless further names share its mode. */
        if (r < 0 && S_ISREG(st.st_mode) && st.st_nlink == 1) {
                char self[32];
                snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
                (void)!chmod(self, 0);
        }
        return r;
}
