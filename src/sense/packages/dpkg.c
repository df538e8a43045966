#include "sense/packages/dpkg.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define PACKAGES_MAX   65536
#define GONE_MAX       65536 /* paths that packages had and have no more: the latest */

/* A package's list as it was indexed. */
struct package {
        char *name;
        ino_t inode;
        uint64_t mtime_ns;
        uint64_t size_bytes;
        bool present; /* met in the present reading of the directory */
        bool stale;   /* its list is to be read anew */
};

struct entry {
        uint32_t hash; /* of the path with merged /usr seen through */
        uint32_t package;
};

struct dpkg {
        int admin_fd, info_fd;
        unsigned merged; /* bit i: root/merged_names[i] is a link into usr/ */
        uint64_t info_mtime_ns;
        bool settled; /* the directory had been quiet when it was read */
        struct package *packages;
        size_t n_packages;
        struct entry *entries;
        size_t n_entries, capacity;
        bool unsorted;
        uint32_t *gone; /* a ring of path hashes */
        size_t n_gone, next_gone;
};

static const char *const merged_names[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};

static uint64_t stat_mtime_ns(const struct stat *st) {
        return (uint64_t)st->st_mtim.tv_sec * NS_PER_S + (uint64_t)st->st_mtim.tv_nsec;
}

static unsigned look_for_merged_usr(const char *root) {
        unsigned merged = 0;
        for (size_t i = 0; i < ARRAY_SIZE(merged_names); i++) {
                char path[PATH_MAX], target[64];
                if (snprintf(path, sizeof(path), "%s/%s", root, merged_names[i]) >= (int)sizeof(path))
                        continue;
                ssize_t n = readlink(path, target, sizeof(target) - 1);
                if (n < 0)
                        continue;
                target[n] = '\0';
                const char *relative = target[0] == '/' ? target + 1 : target;
                if (!strncmp(relative, "usr/", 4) && !strcmp(relative + 4, merged_names[i]))
                        merged |= 1u << i;
        }
        return merged;
}

/* The name below /usr of a path in a merged directory, e.g. "/bin/x" -> "/usr/bin/x"; or the path itself. */
static const char *merge_path(unsigned merged, const char *path, size_t size, char *space, size_t space_size,
                              size_t *ret_size) {
        for (size_t i = 0; i < ARRAY_SIZE(merged_names); i++) {
                size_t length = strlen(merged_names[i]);
                if ((merged & 1u << i) && size > length + 1 && path[0] == '/' &&
                    !memcmp(path + 1, merged_names[i], length) && path[1 + length] == '/' &&
                    size + 4 < space_size) {
                        memcpy(space, "/usr", 4);
                        memcpy(space + 4, path, size);
                        space[4 + size] = '\0';
                        *ret_size = size + 4;
                        return space;
                }
        }
        *ret_size = size;
        return path;
}

/* FNV-1a; a collision costs the reading of one more list, nothing else. */
static uint32_t path_hash(unsigned merged, const char *path, size_t size) {
        char space[PATH_MAX];
        size_t n;
        const char *p = merge_path(merged, path, size, space, sizeof(space), &n);
        uint32_t hash = 2166136261u;
        for (size_t i = 0; i < n; i++)
                hash = (hash ^ (uint8_t)p[i]) * 16777619u;
        return hash;
}

struct dpkg *dpkg_close(struct dpkg *dpkg) {
        if (dpkg) {
                fd_closep(&dpkg->admin_fd);
                fd_closep(&dpkg->info_fd);
                for (size_t i = 0; i < dpkg->n_packages; i++)
                        free(dpkg->packages[i].name);
                free(dpkg->packages);
                free(dpkg->entries);
                free(dpkg->gone);
                free(dpkg);
        }
        return NULL;
}

static int read_info(const struct dpkg *dpkg, const char *package, const char *kind, struct buffer *buffer) {
        char name[NAME_MAX + 1];
        if (snprintf(name, sizeof(name), "%s.%s", package, kind) >= (int)sizeof(name))
                return -ENOENT;
        return io_read_file(dpkg->info_fd, name, buffer);
}

static int index_add(struct dpkg *dpkg, uint32_t hash, uint32_t package) {
        if (dpkg->n_entries == dpkg->capacity) {
                size_t capacity = dpkg->capacity ? dpkg->capacity * 3 / 2 : 16384;
                struct entry *entries = reallocarray(dpkg->entries, capacity, sizeof(*entries));
                if (!entries)
                        return -ENOMEM;
                dpkg->entries = entries;
                dpkg->capacity = capacity;
        }
        dpkg->entries[dpkg->n_entries++] = (struct entry){hash, package};
        dpkg->unsorted = true;
        return 0;
}

static int index_package(struct dpkg *dpkg, uint32_t number) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, FILE_BYTES_MAX);
        int r = read_info(dpkg, dpkg->packages[number].name, "list", &text);
        if (r < 0)
                return r == -ENOENT ? 0 : r; /* removed since the directory was read: its mtime will tell */
        size_t offset = 0, size;
        const char *line;
        while (r == 0 && dpkg_next_line(text.data, text.size, &offset, &line, &size))
                if (size > 1 && line[0] == '/')
                        r = index_add(dpkg, path_hash(dpkg->merged, line, size), number);
        return r;
}

/* Package lists are few hundred: found by a plain search, and only for what changed. */
static struct package *package_get(struct dpkg *dpkg, const char *name, size_t size) {
        for (size_t i = 0; i < dpkg->n_packages; i++)
                if (strlen(dpkg->packages[i].name) == size && !memcmp(dpkg->packages[i].name, name, size))
                        return &dpkg->packages[i];
        if (dpkg->n_packages == PACKAGES_MAX)
                return NULL;
        struct package *packages = reallocarray(dpkg->packages, dpkg->n_packages + 1, sizeof(*packages));
        if (!packages)
                return NULL;
        dpkg->packages = packages;
        char *copy = strndup(name, size);
        if (!copy)
                return NULL;
        packages[dpkg->n_packages] = (struct package){.name = copy};
        return &packages[dpkg->n_packages++];
}

static int note_list(struct dpkg *dpkg, const char *file_name) {
        size_t length = strlen(file_name);
        struct stat st;
        if (length <= 5 || strcmp(file_name + length - 5, ".list") || length - 5 >= DPKG_PACKAGE_SIZE ||
            fstatat(dpkg->info_fd, file_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                return 0;
        struct package *package = package_get(dpkg, file_name, length - 5);
        if (!package)
                return -ENOMEM;
        package->present = true;
        if (package->inode != st.st_ino || package->mtime_ns != stat_mtime_ns(&st) ||
            package->size_bytes != (uint64_t)st.st_size) {
                package->stale = true;
                package->inode = st.st_ino;
                package->mtime_ns = stat_mtime_ns(&st);
                package->size_bytes = (uint64_t)st.st_size;
        }
        return 0;
}

static int read_directory(struct dpkg *dpkg) {
        int fd = openat(dpkg->info_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory) {
                int error = -errno;
                fd_closep(&fd);
                return error;
        }
        for (size_t i = 0; i < dpkg->n_packages; i++)
                dpkg->packages[i].present = false;
        int r = 0;
        for (struct dirent *entry; r == 0 && (entry = readdir(directory));)
                r = note_list(dpkg, entry->d_name);
        closedir(directory);
        return r;
}

static int compare_entries(const void *a, const void *b) {
        const struct entry *x = a, *y = b;
        if (x->hash != y->hash)
                return x->hash < y->hash ? -1 : 1;
        return x->package < y->package ? -1 : x->package > y->package;
}

/* The first entry of a hash, or where it would be. */
static size_t index_find(const struct dpkg *dpkg, uint32_t hash) {
        size_t low = 0, high = dpkg->n_entries;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (dpkg->entries[middle].hash < hash)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool index_has(const struct dpkg *dpkg, uint32_t hash) {
        size_t i = index_find(dpkg, hash);
        return i < dpkg->n_entries && dpkg->entries[i].hash == hash;
}

static void remember_gone(struct dpkg *dpkg, uint32_t hash) {
        if (!dpkg->gone && !(dpkg->gone = calloc(GONE_MAX, sizeof(*dpkg->gone))))
                return;
        dpkg->gone[dpkg->next_gone] = hash;
        dpkg->next_gone = (dpkg->next_gone + 1) % GONE_MAX;
        if (dpkg->n_gone < GONE_MAX)
                dpkg->n_gone++;
}

static bool is_gone(const struct dpkg *dpkg, uint32_t hash) {
        for (size_t i = 0; i < dpkg->n_gone; i++)
                if (dpkg->gone[i] == hash)
                        return true;
        return false;
}

/* Takes the entries of packages that went or changed out of the index; `ret_dropped` gets their hashes. */
static int index_drop(struct dpkg *dpkg, uint32_t **ret_dropped, size_t *ret_n) {
        size_t kept = 0, n = 0;
        uint32_t *dropped = calloc(dpkg->n_entries + 1, sizeof(*dropped));
        if (!dropped)
                return -ENOMEM;
        for (size_t i = 0; i < dpkg->n_entries; i++) {
                const struct package *package = &dpkg->packages[dpkg->entries[i].package];
                if (package->present && !package->stale)
                        dpkg->entries[kept++] = dpkg->entries[i];
                else
                        dropped[n++] = dpkg->entries[i].hash;
        }
        dpkg->n_entries = kept;
        *ret_dropped = dropped;
        *ret_n = n;
        return 0;
}

/* Drops what went or changed, reads what changed. */
static int index_renew(struct dpkg *dpkg) {
        _cleanup_(freep) uint32_t *dropped = NULL;
        size_t n_dropped = 0;
        int r = index_drop(dpkg, &dropped, &n_dropped);
        for (uint32_t i = 0; r == 0 && i < dpkg->n_packages; i++) {
                struct package *package = &dpkg->packages[i];
                if (!package->present)
                        package->inode = 0; /* read anew when it comes back */
                if (!package->stale || !package->present)
                        continue;
                r = index_package(dpkg, i);
                package->stale = r < 0;
        }
        if (dpkg->unsorted)
                qsort(dpkg->entries, dpkg->n_entries, sizeof(*dpkg->entries), compare_entries);
        dpkg->unsorted = false;
        for (size_t i = 0; r == 0 && i < n_dropped; i++)
                if (!index_has(dpkg, dropped[i]))
                        remember_gone(dpkg, dropped[i]);
        return r;
}

static int refresh(struct dpkg *dpkg) {
        struct stat st;
        if (fstat(dpkg->info_fd, &st) < 0)
                return -errno;
        uint64_t mtime_ns = stat_mtime_ns(&st);
        if (dpkg->settled && mtime_ns == dpkg->info_mtime_ns)
                return 0;
        /* Two changes within one tick of the file system's clock show one mtime: so a directory that was
         * changed just now is read once more next time. */
        uint64_t now_ns = clock_wall_ns(&clock_system);
        int r = read_directory(dpkg);
        if (r == 0)
                r = index_renew(dpkg);
        dpkg->settled = r == 0 && now_ns > mtime_ns && now_ns - mtime_ns > NS_PER_S;
        dpkg->info_mtime_ns = mtime_ns;
        return r;
}

int dpkg_open(const char *root, const char *admindir, struct dpkg **ret_dpkg) {
        char path[PATH_MAX];
        if (!admindir) {
                if (snprintf(path, sizeof(path), "%s/var/lib/dpkg", root) >= (int)sizeof(path))
                        return -ENAMETOOLONG;
                admindir = path;
        }
        _cleanup_(dpkg_closep) struct dpkg *dpkg = calloc(1, sizeof(*dpkg));
        if (!dpkg)
                return -ENOMEM;
        dpkg->info_fd = -EBADF;
        dpkg->admin_fd = open(admindir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dpkg->admin_fd < 0)
                return -errno;
        dpkg->info_fd = openat(dpkg->admin_fd, "info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dpkg->info_fd < 0)
                return -errno;
        dpkg->merged = look_for_merged_usr(root);
        int r = refresh(dpkg); /* now, so that it is known what an upgrade takes away */
        if (r < 0)
                return r;
        *ret_dpkg = STEAL(dpkg);
        return 0;
}

/* A path as it may be spelled in dpkg's files: as given, and without the /usr that a link adds. */
struct spellings {
        const char *paths[2];
        size_t n;
        char space[PATH_MAX];
};

static void spell(const struct dpkg *dpkg, const char *path, struct spellings *spellings) {
        size_t n;
        spellings->paths[0] = path;
        spellings->n = 1;
        const char *other =
                merge_path(dpkg->merged, path, strlen(path), spellings->space, sizeof(spellings->space), &n);
        if (other == path && !strncmp(path, "/usr/", 5)) {
                char again[PATH_MAX];
                other = path + 4;
                if (merge_path(dpkg->merged, other, strlen(other), again, sizeof(again), &n) == other)
                        return;
        } else if (other == path)
                return;
        spellings->paths[spellings->n++] = other;
}

static bool package_is(const char *package, const char *by, size_t by_size) {
        size_t length = strcspn(package, ":");
        return by_size == length && !memcmp(package, by, length);
}

/* What one package has at one of the spellings. Returns true when it lists the path. */
static int ask_package(struct dpkg *dpkg, const char *package, const struct spellings *at,
                       struct dpkg_expected *expected) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, FILE_BYTES_MAX);
        int r = read_info(dpkg, package, "list", &text);
        bool listed = false;
        for (size_t i = 0; r == 0 && i < at->n; i++)
                listed |= dpkg_list_has(text.data, text.size, at->paths[i]);
        if (r < 0 || !listed)
                return r == -ENOENT ? 0 : r;

        *expected = (struct dpkg_expected){.state = DPKG_NO_SUM};
        snprintf(expected->package, sizeof(expected->package), "%s", package);

        buffer_clear(&text);
        if (read_info(dpkg, package, "conffiles", &text) == 0) {
                buffer_clear(&text);
                r = io_read_file(dpkg->admin_fd, "status", &text);
                for (size_t i = 0; r == 0 && i < at->n; i++)
                        if (dpkg_conffile_find(text.data, text.size, package, at->paths[i], expected->md5)) {
                                expected->state = DPKG_CONFFILE;
                                return 1;
                        }
                if (r < 0)
                        return r;
        }
        buffer_clear(&text);
        r = read_info(dpkg, package, "md5sums", &text);
        for (size_t i = 0; r == 0 && i < at->n; i++)
                if (dpkg_sums_find(text.data, text.size, at->paths[i], expected->md5)) {
                        expected->state = DPKG_SUM;
                        return 1;
                }
        return r < 0 && r != -ENOENT ? r : 1;
}

/* Whose content stands at a path when diversions are taken into account. */
struct search {
        char path[PATH_MAX]; /* as in the packages' lists */
        char by[DPKG_PACKAGE_SIZE];
        size_t by_size;
        bool only_by; /* only that package; else: any but that one */
};

static int resolve_diversion(struct dpkg *dpkg, const char *path, struct search *search) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, FILE_BYTES_MAX);
        *search = (struct search){0};
        if (snprintf(search->path, sizeof(search->path), "%s", path) >= (int)sizeof(search->path))
                return -ENAMETOOLONG;
        int r = io_read_file(dpkg->admin_fd, "diversions", &text);
        if (r < 0)
                return r == -ENOENT ? 0 : r;

        struct spellings at;
        spell(dpkg, path, &at);
        struct dpkg_diversion diversion;
        enum dpkg_diversion_kind kind = DPKG_NOT_DIVERTED;
        for (size_t i = 0; kind == DPKG_NOT_DIVERTED && i < at.n; i++)
                kind = dpkg_diversion_find(text.data, text.size, at.paths[i], &diversion);
        if (kind == DPKG_NOT_DIVERTED)
                return 0;
        if (diversion.by_size >= sizeof(search->by) || diversion.other_size >= sizeof(search->path))
                return -EBADMSG;
        memcpy(search->by, diversion.by, search->by_size = diversion.by_size);
        search->only_by = kind == DPKG_DIVERTED_AWAY;
        if (kind == DPKG_DIVERTED_HERE) {
                memcpy(search->path, diversion.other, diversion.other_size);
                search->path[diversion.other_size] = '\0';
        }
        return 0;
}

int dpkg_expected(struct dpkg *dpkg, const char *path, struct dpkg_expected *ret_expected) {
        struct dpkg_expected best = {.state = DPKG_UNOWNED};
        struct search search;
        if (path[0] != '/')
                return -EINVAL;
        int r = refresh(dpkg);
        if (r == 0)
                r = resolve_diversion(dpkg, path, &search);
        if (r < 0)
                return r;

        struct spellings at;
        spell(dpkg, search.path, &at);
        uint32_t hash = path_hash(dpkg->merged, search.path, strlen(search.path));
        for (size_t i = index_find(dpkg, hash); i < dpkg->n_entries && dpkg->entries[i].hash == hash; i++) {
                const char *package = dpkg->packages[dpkg->entries[i].package].name;
                if (search.by_size && package_is(package, search.by, search.by_size) != search.only_by)
                        continue;
                struct dpkg_expected one;
                r = ask_package(dpkg, package, &at, &one);
                if (r < 0)
                        return r;
                if (r > 0 && one.state > best.state)
                        best = one;
        }
        *ret_expected = best;
        return 0;
}

static int md5_file(int fd, uint8_t ret_md5[DPKG_MD5_BYTES]) {
        char block[65536];
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        int r = context && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 ? 0 : -EIO;
        for (uint64_t offset = 0; r == 0;) {
                ssize_t n = io_pread_full(fd, block, sizeof(block), offset);
                if (n <= 0) {
                        r = (int)n;
                        break;
                }
                if (EVP_DigestUpdate(context, block, (size_t)n) != 1)
                        r = -EIO;
                offset += (uint64_t)n;
        }
        unsigned size = 0;
        uint8_t md5[EVP_MAX_MD_SIZE];
        if (r == 0 && EVP_DigestFinal_ex(context, md5, &size) != 1)
                r = -EIO;
        if (r == 0)
                memcpy(ret_md5, md5, DPKG_MD5_BYTES);
        EVP_MD_CTX_free(context);
        return r;
}

/* A package's own version of a configuration file, laid beside the one an administrator edited. */
static int expected_beside(struct dpkg *dpkg, const char *path, struct dpkg_expected *expected) {
        static const char ending[] = ".dpkg-dist";
        size_t length = strlen(path);
        if (expected->state != DPKG_UNOWNED || length < sizeof(ending) ||
            strcmp(path + length - strlen(ending), ending))
                return 0;
        _cleanup_(freep) char *conffile = strndup(path, length - strlen(ending));
        struct dpkg_expected beside;
        int r = conffile ? dpkg_expected(dpkg, conffile, &beside) : -ENOMEM;
        if (r == 0 && beside.state == DPKG_CONFFILE)
                *expected = beside;
        return r;
}

int dpkg_check(struct dpkg *dpkg, const char *path, int fd, char ret_package[DPKG_PACKAGE_SIZE]) {
        struct dpkg_expected expected;
        int r = dpkg_expected(dpkg, path, &expected);
        if (r == 0)
                r = expected_beside(dpkg, path, &expected);
        if (r < 0)
                return r;
        if (ret_package)
                memcpy(ret_package, expected.package, DPKG_PACKAGE_SIZE);
        if (expected.state == DPKG_UNOWNED)
                return fd < 0 && is_gone(dpkg, path_hash(dpkg->merged, path, strlen(path))) ? DPKG_REMOVED
                                                                                            : DPKG_FOREIGN;
        if (expected.state == DPKG_NO_SUM)
                return DPKG_GENERATED;
        uint8_t md5[DPKG_MD5_BYTES] = {0};
        r = fd >= 0 ? md5_file(fd, md5) : 0;
        if (r < 0)
                return r;
        bool is_equal = fd >= 0 && !memcmp(md5, expected.md5, sizeof(md5));
        if (expected.state == DPKG_CONFFILE)
                return is_equal ? DPKG_CONFFILE_EQUAL : DPKG_CONFFILE_DIFFERENT;
        return is_equal ? DPKG_EQUAL : DPKG_DIFFERENT;
}

const char *dpkg_verdict_name(enum dpkg_verdict verdict) {
        static const char *const names[] = {"equal",     "different", "conffile-equal", "conffile-different",
                                            "generated", "foreign",   "removed"};
        return (size_t)verdict < ARRAY_SIZE(names) ? names[verdict] : "unknown";
}

bool dpkg_is_transient(const char *path) {
        static const char *const endings[] = {".dpkg-new", ".dpkg-tmp"};
        size_t length = strlen(path);
        for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
                if (length > strlen(endings[i]) && !strcmp(path + length - strlen(endings[i]), endings[i]))
                        return true;
        return false;
}

bool dpkg_is_running_lineage(const struct actor *actor, pid_t *ret_pid, uint64_t *ret_start_ns) {
        for (size_t i = actor ? actor->n_processes : 0; i-- > 0;) {
                const struct process *process = &actor->processes[i];
                /* "(deleted)": dpkg has just replaced itself. */
                if (process->uid != 0 || !process->executable ||
                    (strcmp(process->executable, "/usr/bin/dpkg") &&
                     strcmp(process->executable, "/usr/bin/dpkg (deleted)")))
                        continue;
                *ret_pid = process->pid;
                *ret_start_ns = process->start_ns;
                return true;
        }
        return false;
}
