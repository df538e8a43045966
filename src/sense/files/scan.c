/* See scan.h. The stack holds paths, not descriptors: a directory is opened when its turn comes. */
#include "sense/files/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/buffer.h"
#include "sense/files/paths.h"

#define STEP_ENTRIES   64
#define PATH_BYTES_MAX ((size_t)1 << 20)

struct scan_item {
        struct scan_item *next;
        bool may_be_link;
        char path[];
};

struct scan {
        struct scan_item *stack;
        DIR *directory; /* at work; NULL: none */
        uint32_t fsid[2];
        struct buffer path; /* of the directory at work, and the entry's name after it */
        size_t path_bytes;  /* of the directory alone */
};

struct scan *scan_new(void) {
        struct scan *scan = calloc(1, sizeof(*scan));
        if (scan)
                buffer_init(&scan->path, PATH_BYTES_MAX);
        return scan;
}

static int push(struct scan *scan, const char *path, bool may_be_link) {
        size_t size = strlen(path) + 1;
        struct scan_item *item = malloc(sizeof(*item) + size);
        if (!item)
                return -ENOMEM;
        *item = (struct scan_item){.next = scan->stack, .may_be_link = may_be_link};
        memcpy(item->path, path, size);
        scan->stack = item;
        return 0;
}

int scan_push(struct scan *scan, const char *path) {
        return push(scan, path, true);
}

static void close_directory(struct scan *scan) {
        if (scan->directory)
                closedir(scan->directory);
        scan->directory = NULL;
}

void scan_clear(struct scan *scan) {
        close_directory(scan);
        while (scan->stack) {
                struct scan_item *item = scan->stack;
                scan->stack = item->next;
                free(item);
        }
}

struct scan *scan_free(struct scan *scan) {
        if (scan) {
                scan_clear(scan);
                buffer_deinit(&scan->path);
                free(scan);
        }
        return NULL;
}

static int fsid_of(int fd, uint32_t ret_fsid[2]) {
        struct statfs fs;
        if (fstatfs(fd, &fs) < 0)
                return -errno;
        memcpy(ret_fsid, &fs.f_fsid, 8);
        return 0;
}

int scan_key_of(const char *path, struct file_key *ret_key) {
        uint32_t fsid[2];
        _cleanup_(fd_closep) int fd = path_open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        int r = fd < 0 ? fd : fsid_of(fd, fsid);
        return r < 0 ? r : file_key_of(fd, "", fsid, ret_key);
}

/* Opens the next directory of the stack. False: the stack is empty. */
static bool open_next(struct scan *scan) {
        while (!scan->directory && scan->stack) {
                struct scan_item *item = scan->stack;
                scan->stack = item->next;
                int fd = path_open(item->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME |
                                                       (item->may_be_link ? 0 : O_NOFOLLOW));
                buffer_clear(&scan->path);
                if (fd >= 0 && fsid_of(fd, scan->fsid) == 0 &&
                    buffer_append_string(&scan->path, strcmp(item->path, "/") ? item->path : "") == 0)
                        scan->directory = fdopendir(fd);
                if (fd >= 0 && !scan->directory)
                        close(fd);
                scan->path_bytes = scan->path.size;
                free(item);
        }
        return scan->directory;
}

static void visit_entry(struct scan *scan, const struct dirent *entry, scan_visit visit, void *userdata) {
        int fd = dirfd(scan->directory);
        struct file_key key;
        struct stat st;
        bool may_matter = entry->d_type == DT_REG || entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
        if (!may_matter || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                return;
        scan->path.size = scan->path_bytes;
        if (buffer_append_string(&scan->path, "/") < 0 ||
            buffer_append_string(&scan->path, entry->d_name) < 0)
                return;
        if (entry->d_type == DT_DIR) {
                (void)push(scan, scan->path.data, false);
                return;
        }
        if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        if (S_ISDIR(st.st_mode))
                (void)push(scan, scan->path.data, false);
        else if (S_ISREG(st.st_mode) && file_key_of(fd, entry->d_name, scan->fsid, &key) == 0)
                visit(scan->path.data, &key, st.st_nlink > 1, userdata);
}

bool scan_step(struct scan *scan, scan_visit visit, void *userdata) {
        if (!open_next(scan))
                return false;
        for (unsigned i = 0; i < STEP_ENTRIES; i++) {
                const struct dirent *entry = readdir(scan->directory);
                if (!entry) {
                        close_directory(scan);
                        break;
                }
                visit_entry(scan, entry, visit, userdata);
        }
        return true;
}
