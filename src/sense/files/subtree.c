/* See subtree.h. */
#include "sense/files/subtree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/files/paths.h"

struct subtree {
        subtree_visit visit;
        void *userdata;
        int n_visited;
        bool is_too_deep;
};

static void close_directory(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

static bool may_be_directory(const struct dirent *item) {
        return (item->d_type == DT_DIR || item->d_type == DT_UNKNOWN) && strcmp(item->d_name, ".") &&
               strcmp(item->d_name, "..");
}

/* Takes the descriptor. */
static int visit_directory(struct subtree *subtree, int fd, unsigned depth) {
        _cleanup_(close_directory) DIR *directory = fdopendir(fd);
        if (!directory) {
                int r = -errno;
                close(fd);
                return r;
        }
        int r = subtree->visit(fd, subtree->userdata);
        if (r < 0)
                return r;
        subtree->n_visited++;
        for (struct dirent *item; (item = readdir(directory));) {
                if (!may_be_directory(item))
                        continue;
                if (depth == SUBTREE_DEPTH_MAX) {
                        subtree->is_too_deep = true;
                        continue;
                }
                int child =
                        openat(fd, item->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
                if (child < 0) /* gone, or no directory */
                        continue;
                r = visit_directory(subtree, child, depth + 1);
                if (r < 0 && r != -ENOENT && r != -ESTALE)
                        return r;
        }
        return 0;
}

int subtree_walk(const char *path, subtree_visit visit, void *userdata) {
        struct subtree subtree = {.visit = visit, .userdata = userdata};
        int fd = path_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
        int r = fd < 0 ? fd : visit_directory(&subtree, fd, 1);
        if (r < 0)
                return r;
        return subtree.is_too_deep ? -ENAMETOOLONG : subtree.n_visited;
}
