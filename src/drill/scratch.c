#include "drill/scratch.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "detect/tamper/profile.h"

#define UPLOAD_NAME "hinomi-drill.php"

extern char **environ;

static const struct {
        const char *path, *text; /* NULL: a directory */
} shop[] = {
        {"includes", NULL},
        {"templates", NULL},
        {"uploads", NULL},
        {"index.php", "<?php\nrequire 'includes/payment.php';\nrequire 'templates/checkout.php';\n"},
        {"includes/payment.php",
         "<?php\nfunction charge(array $order) {\n        return gateway('charge', $order);\n}\n"},
        {"templates/checkout.php",
         "<!doctype html>\n<title>Checkout</title>\n<form method=\"post\" action=\"/pay\">\n"
         "  <input name=\"card\" autocomplete=\"cc-number\">\n  <button>Pay</button>\n</form>\n"},
        {"uploads/readme.txt", "Pictures of products.\n"},
};

static int put(const char *tree, const char *name, const char *text) {
        char path[2 * PATH_MAX];
        snprintf(path, sizeof(path), "%s/%s", tree, name);
        if (!text)
                return mkdir(path, 0755) < 0 ? -errno : 0;
        _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        return fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
}

static int make_shop(const char *tree) {
        int r = mkdir(tree, 0755) < 0 ? -errno : 0;
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(shop); i++)
                r = put(tree, shop[i].path, shop[i].text);
        return r;
}

static int copy_tree(const char *from, const char *to) {
        char *arguments[] = {"cp", "-a", "--reflink=auto", "-T", "--", (char *)from, (char *)to, NULL};
        pid_t pid;
        int status;
        int error = posix_spawnp(&pid, "cp", NULL, NULL, arguments, environ);
        if (error)
                return -error;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static const char *recognise(const char *tree) {
        static const struct {
                const char *path, *profile;
        } signs[] = {{"wp-includes/version.php", "wordpress"}, {"src/Eccube", "eccube4"}};
        for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
                char path[2 * PATH_MAX];
                snprintf(path, sizeof(path), "%s/%s", tree, signs[i].path);
                if (access(path, F_OK) == 0)
                        return signs[i].profile;
        }
        return "generic-php";
}

/* nftw(3) has no userdata. Drills are held one at a time. */
static struct {
        struct scratch *scratch;
        const struct profile *profile;
        int rank; /* of template_path; the lower the better */
} search;

/* How much a name looks like where cards are typed in. */
static int name_rank(const char *name) {
        static const char *const wanted[] = {"*checkout*", "*payment*", "*shopping*", "*cart*",
                                             "*order*",    "index.php", "*.php",      "*.twig"};
        static const char *const kinds[] = {"*.php", "*.phtml", "*.twig", "*.tpl", "*.html", "*.js"};
        bool is_kind = false;
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                is_kind |= fnmatch(kinds[i], name, FNM_CASEFOLD) == 0;
        for (size_t i = 0; is_kind && i < ARRAY_SIZE(wanted); i++)
                if (fnmatch(wanted[i], name, FNM_CASEFOLD) == 0)
                        return (int)i;
        return INT_MAX;
}

static int replace_string(char **string, const char *format, const char *a, const char *b) {
        char *made = NULL;
        if (asprintf(&made, "%s%s%s", a, format, b) < 0)
                return -1;
        free(*string);
        *string = made;
        return 0;
}

static int visit(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        struct scratch *scratch = search.scratch;
        const char *relative = path + strlen(scratch->tree) + (path[strlen(scratch->tree)] == '/');
        if (kind == FTW_D && !scratch->upload_path) {
                char inside[2 * PATH_MAX];
                snprintf(inside, sizeof(inside), "%s%s" UPLOAD_NAME, relative, *relative ? "/" : "");
                if (profile_zone(search.profile, inside) == ZONE_DATA &&
                    !profile_expects_php(search.profile, inside))
                        return replace_string(&scratch->upload_path, "/", path, UPLOAD_NAME);
        }
        if (kind != FTW_F || !S_ISREG(st->st_mode) || st->st_size > 1 << 20 ||
            profile_zone(search.profile, relative) != ZONE_CODE)
                return 0;
        int rank = name_rank(path + ftw->base);
        if (rank >= search.rank)
                return 0;
        search.rank = rank;
        return replace_string(&scratch->template_path, "", path, "");
}

static int choose(struct scratch *scratch, const char *packs) {
        _cleanup_(profile_freep) struct profile *profile = NULL;
        _cleanup_(freep) char *error = NULL;
        int r = profile_load(packs, scratch->profile, &profile, &error);
        if (r < 0)
                return r;
        search.scratch = scratch;
        search.profile = profile;
        search.rank = INT_MAX;
        if (nftw(scratch->tree, visit, 32, FTW_PHYS | FTW_MOUNT) != 0)
                return -ENOMEM;
        if (!scratch->template_path)
                return -ENOENT;
        if (!scratch->upload_path) {
                put(scratch->tree, "uploads", NULL);
                return replace_string(&scratch->upload_path, "/uploads/", scratch->tree, UPLOAD_NAME) < 0
                               ? -ENOMEM
                               : 0;
        }
        return 0;
}

int scratch_make(struct scratch *scratch, const char *parent, const char *of, const char *packs) {
        *scratch = (struct scratch){0};
        parent = parent ?: getenv("TMPDIR") ?: "/var/tmp";
        if (snprintf(scratch->path, sizeof(scratch->path), "%s/hinomi-drill-XXXXXX", parent) >=
            (int)sizeof(scratch->path) - 64) {
                scratch->path[0] = '\0';
                return -ENAMETOOLONG;
        }
        if (!mkdtemp(scratch->path)) {
                scratch->path[0] = '\0';
                return -errno;
        }
        if (chmod(scratch->path, 0711) < 0) /* the guard's roles are other users */
                return -errno;
        snprintf(scratch->tree, sizeof(scratch->tree), "%.*s/shop", (int)sizeof(scratch->tree) - 8,
                 scratch->path);
        int r = of ? copy_tree(of, scratch->tree) : make_shop(scratch->tree);
        if (r < 0)
                return r;
        scratch->profile = of ? recognise(scratch->tree) : "generic-php";
        return choose(scratch, packs);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        (void)st, (void)kind, (void)ftw;
        return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void scratch_remove(struct scratch *scratch) {
        if (*scratch->path)
                nftw(scratch->path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        free(scratch->template_path);
        free(scratch->upload_path);
        *scratch = (struct scratch){0};
}
