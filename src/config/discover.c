#include "config/discover.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "base/io.h"
#include "config/webroots.h"

#define FILES_MAX      1000 /* configuration files read */
#define FILE_BYTES_MAX ((size_t)1 << 20)
#define DEPTH_MAX      6
#define CHILDREN_MAX   200 /* directories below a document root that are looked into */

struct search {
        int root_fd;
        struct proposals *found;
        size_t n_files;
        const char *source; /* the file being read */
};

/* Links, also absolute ones, are followed within the root. Linux 5.6. */
static int open_below(int root_fd, const char *path, int flags) {
        if (!(flags & O_PATH))
                flags |= O_NOCTTY | O_NONBLOCK; /* a FIFO may lie there */
        struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                               .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
        long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        return fd < 0 ? -errno : (int)fd;
}

static bool is_kind(int root_fd, const char *directory, const char *name, mode_t kind) {
        char path[PATH_MAX];
        struct stat st;
        if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
                return false;
        _cleanup_(fd_closep) int fd = open_below(root_fd, path, O_PATH);
        return fd >= 0 && !fstat(fd, &st) && (st.st_mode & S_IFMT) == kind;
}

static bool has_directory(int root_fd, const char *directory, const char *name) {
        return is_kind(root_fd, directory, name, S_IFDIR);
}

static bool has_file(int root_fd, const char *directory, const char *name) {
        return is_kind(root_fd, directory, name, S_IFREG);
}

static DIR *open_directory(int root_fd, const char *path) {
        int fd = open_below(root_fd, path, O_RDONLY | O_DIRECTORY);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory && fd >= 0)
                close(fd);
        return directory;
}

static void directory_closep(DIR **directory) {
        if (*directory)
                closedir(*directory);
}

static bool has_entries(int root_fd, const char *path) {
        _cleanup_(directory_closep) DIR *directory = open_directory(root_fd, path);
        for (struct dirent *entry; directory && (entry = readdir(directory));)
                if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
                        return true;
        return false;
}

static int read_file(int root_fd, const char *path, struct buffer *buffer) {
        struct stat st;
        _cleanup_(fd_closep) int fd = open_below(root_fd, path, O_RDONLY);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)FILE_BYTES_MAX)
                return -EINVAL;
        int r = buffer_reserve(buffer, (size_t)st.st_size);
        if (r < 0)
                return r;
        ssize_t n = io_pread_full(fd, buffer->data, (size_t)st.st_size, 0);
        buffer->size = n < 0 ? 0 : (size_t)n;
        buffer->data[buffer->size] = '\0';
        return n < 0 ? (int)n : 0;
}

static bool names_eccube(int root_fd, const char *directory) {
        char path[PATH_MAX];
        _cleanup_(buffer_deinit) struct buffer composer = {0};
        if (has_directory(root_fd, directory, "src/Eccube"))
                return true;
        return snprintf(path, sizeof(path), "%s/composer.json", directory) < (int)sizeof(path) &&
               read_file(root_fd, path, &composer) >= 0 && composer.data &&
               strstr(composer.data, "ec-cube/ec-cube");
}

static const char *find_profile(int root_fd, const char *directory) {
        if (has_file(root_fd, directory, "wp-config.php") || has_directory(root_fd, directory, "wp-includes"))
                return "wordpress";
        if (names_eccube(root_fd, directory))
                return "eccube4";
        return has_file(root_fd, directory, "index.php") ? "generic-php" : "none";
}

/* The same settings one in the other, which config_parse() would refuse. */
static bool is_covered(const struct proposals *found, const char *path, enum protect protect,
                       const char *profile) {
        for (size_t i = 0; i < found->n; i++) {
                const struct config_proposal *other = &found->items[i];
                if (!strcmp(other->path, path))
                        return true;
                if (!strcmp(profile, "none") && !strcmp(other->profile, "none") &&
                    other->protect == protect && config_path_is_below(path, other->path))
                        return true;
        }
        return false;
}

/* An outer tree makes inner ones of the same settings pointless. */
static void drop_covered(struct proposals *found, const struct config_proposal *outer) {
        size_t n = 0;
        for (size_t i = 0; i < found->n; i++) {
                struct config_proposal *item = &found->items[i];
                if (!strcmp(outer->profile, "none") && !strcmp(item->profile, "none") &&
                    item->protect == outer->protect && config_path_is_below(item->path, outer->path)) {
                        free(item->path);
                        free(item->why);
                } else {
                        found->items[n++] = *item;
                }
        }
        found->n = n;
}

static int _printf_(5, 6) propose(struct search *search, const char *path, enum protect protect,
                                  const char *profile, const char *why, ...) {
        struct proposals *found = search->found;
        if (found->n == ARRAY_SIZE(found->items) || is_covered(found, path, protect, profile))
                return 0;
        struct config_proposal item = {.protect = protect, .profile = profile, .respond = RESPOND_OBSERVE};
        va_list ap;
        va_start(ap, why);
        int n = vasprintf(&item.why, why, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        item.path = strdup(path);
        if (!item.path) {
                free(item.why);
                return -ENOMEM;
        }
        drop_covered(found, &item);
        found->items[found->n++] = item;
        return 0;
}

static int propose_application(struct search *search, const char *path, const char *profile) {
        return propose(search, path, PROTECT_MIRROR, profile, _("%s, served by the web server (%s)."),
                       _(config_profile_text(profile)), search->source);
}

/* /var/www/html/shop: an application in a directory of a document root. */
static int look_below(struct search *search, const char *path) {
        _cleanup_(directory_closep) DIR *directory = open_directory(search->root_fd, path);
        size_t n = 0;
        for (struct dirent *entry; directory && (entry = readdir(directory)) && n < CHILDREN_MAX;) {
                char child[PATH_MAX];
                if (entry->d_name[0] == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_LNK) ||
                    snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= (int)sizeof(child))
                        continue;
                n++;
                const char *profile = find_profile(search->root_fd, child);
                int r = strcmp(profile, "wordpress") && strcmp(profile, "eccube4")
                                ? 0
                                : propose_application(search, child, profile);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Frameworks serve a directory of the application: the tree is the one above. */
static bool is_public_directory(int root_fd, const char *path, char parent[static PATH_MAX]) {
        static const char *const names[] = {"public",  "web", "html",       "htdocs",
                                            "webroot", "www", "public_html"};
        snprintf(parent, PATH_MAX, "%s", path);
        char *slash = strrchr(parent, '/');
        if (!slash || slash == parent)
                return false;
        bool named = false;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                named = named || !strcmp(slash + 1, names[i]);
        *slash = '\0';
        return named && has_file(root_fd, parent, "composer.json");
}

static bool is_guardable(const char *path) {
        static const char *const never[] = {"/proc", "/sys", "/dev", "/run", "/tmp"};
        for (size_t i = 0; i < ARRAY_SIZE(never); i++)
                if (config_path_is_below(path, never[i]))
                        return false;
        return path[1] && !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../");
}

static int take_webroot(const char *given, unsigned line, void *userdata) {
        struct search *search = userdata;
        char path[PATH_MAX], parent[PATH_MAX];
        (void)line;
        snprintf(path, sizeof(path), "%s", given);
        for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
                path[n - 1] = '\0';
        if (!is_guardable(path) || !has_entries(search->root_fd, path))
                return 0;
        const char *profile = find_profile(search->root_fd, path);
        if (strcmp(profile, "wordpress") && is_public_directory(search->root_fd, path, parent)) {
                const char *above = find_profile(search->root_fd, parent);
                return propose_application(search, parent, strcmp(above, "none") ? above : "generic-php");
        }
        int r = strcmp(profile, "none")
                        ? propose_application(search, path, profile)
                        : propose(search, path, PROTECT_MIRROR, profile,
                                  _("Served by the web server (%s); no application was recognised."),
                                  search->source);
        return r < 0 ? r : look_below(search, path);
}

static int read_configuration(struct search *search, enum web_server server, const char *path) {
        _cleanup_(buffer_deinit) struct buffer text = {0};
        if (search->n_files++ >= FILES_MAX || read_file(search->root_fd, path, &text) < 0 || !text.data)
                return 0;
        search->source = path;
        return webroots_parse(server, text.data, text.size, take_webroot, search);
}

static bool ends_with(const char *name, const char *ending) {
        size_t n = strlen(name), m = strlen(ending);
        return n >= m && !strcmp(name + n - m, ending);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in order, so that the same machine gives the same file. `names` is owned by the caller. */
static size_t list_names(DIR *directory, char **names, size_t n_max) {
        size_t n = 0;
        for (struct dirent *entry; n < n_max && (entry = readdir(directory));)
                if (entry->d_name[0] != '.' && (names[n] = strdup(entry->d_name)))
                        n++;
        qsort(names, n, sizeof(*names), compare_names);
        return n;
}

static int walk_configuration(struct search *search, enum web_server server, const char *path,
                              unsigned depth);

static int take_name(struct search *search, enum web_server server, const char *path, const char *name,
                     unsigned depth) {
        char child[PATH_MAX];
        if (snprintf(child, sizeof(child), "%s/%s", path, name) >= (int)sizeof(child) ||
            ends_with(name, "-available"))
                return 0;
        if (has_directory(search->root_fd, path, name))
                return walk_configuration(search, server, child, depth + 1);
        if (!ends_with(name, ".conf") && !ends_with(path, "-enabled"))
                return 0;
        return read_configuration(search, server, child);
}

static int walk_configuration(struct search *search, enum web_server server, const char *path,
                              unsigned depth) {
        if (depth > DEPTH_MAX)
                return 0;
        _cleanup_(directory_closep) DIR *directory = open_directory(search->root_fd, path);
        _cleanup_(freep) char **names = calloc(FILES_MAX, sizeof(*names));
        if (!names)
                return -ENOMEM;
        size_t n = directory ? list_names(directory, names, FILES_MAX) : 0;
        int r = 0;
        for (size_t i = 0; i < n; i++) {
                if (r >= 0)
                        r = take_name(search, server, path, names[i], depth);
                free(names[i]);
        }
        return r;
}

/* Debian's package keeps code and what is written apart. */
static int look_packaged_wordpress(struct search *search) {
        if (!has_directory(search->root_fd, "/usr/share/wordpress", "wp-includes"))
                return 0;
        int r = propose(search, "/usr/share/wordpress", PROTECT_MIRROR, "wordpress",
                        _("Debian's WordPress package: the code."));
        if (r >= 0 && has_directory(search->root_fd, "/var/lib/wordpress", "wp-content"))
                r = propose(search, "/var/lib/wordpress", PROTECT_MIRROR, "wordpress",
                            _("Debian's WordPress package: plugins, themes and uploads."));
        return r;
}

static int look_usual_places(struct search *search) {
        static const struct {
                const char *path, *why;
        } places[] = {
                {"/etc", N_("The configuration of this machine: what starts, who may sign in.")},
                {"/srv", N_("Data that this machine serves.")},
                {"/home", N_("The users' own files.")},
        };
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                if (!has_entries(search->root_fd, places[i].path))
                        continue;
                int r = propose(search, places[i].path, PROTECT_WATCH, "none", "%s", _(places[i].why));
                if (r < 0)
                        return r;
        }
        return 0;
}

int discover(int root_fd, struct proposals *ret_proposals) {
        struct search search = {.root_fd = root_fd, .found = ret_proposals};
        ret_proposals->n = 0;
        int r = walk_configuration(&search, WEB_NGINX, "/etc/nginx", 0);
        r = r < 0 ? r : walk_configuration(&search, WEB_APACHE, "/etc/apache2", 0);
        r = r < 0 ? r : walk_configuration(&search, WEB_APACHE, "/etc/httpd", 0);
        r = r < 0 ? r : look_packaged_wordpress(&search);
        r = r < 0 ? r : look_usual_places(&search);
        if (r < 0)
                proposals_deinit(ret_proposals);
        return r;
}

void proposals_deinit(struct proposals *proposals) {
        for (size_t i = 0; i < proposals->n; i++) {
                free(proposals->items[i].path);
                free(proposals->items[i].why);
        }
        proposals->n = 0;
}
