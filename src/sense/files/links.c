/* See links.h. This file keeps the table and the marks; scan.c walks the trees. */
#include "sense/files/links.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "sense/files/fingerprints.h"
#include "sense/files/paths.h"
#include "sense/files/scan.h"
#include "sense/files/watch-state.h"

#define N_BUCKETS     4096
#define LINKED_EVENTS (FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB)
#define READ_BYTES    ((size_t)16 << 10)
#define SLICE_NS      (2 * NS_PER_MS)
#define NAMES_MAX     64 /* of one file, inside */
#define SINGLES_MAX   4096
#define RECENT_MAX    64

struct link_name {
        struct link_name *next;
        char path[];
};

struct linked {
        struct linked *next;
        struct link_name *names; /* inside; none: being looked for */
        size_t n_names;
        uint64_t added_at; /* number of the full scan that was running or last */
        dev_t device;
        ino_t inode;
        unsigned what; /* seen before a name was known */
        pid_t pid;
        struct file_key key;
};

struct links {
        struct watch *watch;
        int group_fd;
        struct linked *buckets[N_BUCKETS];
        struct fingerprints files;
        struct fingerprints fresh; /* being made by a full scan */
        struct scan *scan;
        bool is_full_scan;                    /* the running scan goes over everything */
        bool is_scan_wanted;                  /* another, when it has ended */
        bool was_scanned;                     /* `files` is complete */
        uint64_t scan_number;                 /* of full scans begun */
        uint64_t n_nameless;                  /* entries whose name inside is being looked for */
        struct file_key singles[SINGLES_MAX]; /* have one link now; oldest forgotten first */
        size_t next_single;
        uint64_t recent[RECENT_MAX]; /* hashes of unknown objects whose link count changed last */
        size_t next_recent;
        struct links_counters counters;
        uint8_t events[READ_BYTES] __attribute__((aligned(8)));
};

int links_new(struct watch *watch, struct links **ret_links) {
        _cleanup_(links_freep) struct links *links = calloc(1, sizeof(*links));
        if (!links)
                return -ENOMEM;
        links->watch = watch;
        links->group_fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC | FAN_NONBLOCK |
                                                FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS,
                                        O_RDONLY | O_CLOEXEC | O_LARGEFILE);
        if (links->group_fd < 0)
                return -errno;
        links->scan = scan_new();
        if (!links->scan)
                return -ENOMEM;
        *ret_links = STEAL(links);
        return 0;
}

static void linked_free(struct linked *linked) {
        while (linked->names) {
                struct link_name *name = linked->names;
                linked->names = name->next;
                free(name);
        }
        free(linked);
}

static void forget_all(struct links *links) {
        for (size_t i = 0; i < N_BUCKETS; i++)
                while (links->buckets[i]) {
                        struct linked *linked = links->buckets[i];
                        links->buckets[i] = linked->next;
                        linked_free(linked);
                }
        links->counters.n_links = links->n_nameless = 0;
}

struct links *links_free(struct links *links) {
        if (!links)
                return NULL;
        forget_all(links);
        fingerprints_deinit(&links->files);
        fingerprints_deinit(&links->fresh);
        scan_free(links->scan);
        fd_closep(&links->group_fd);
        free(links);
        return NULL;
}

int links_fd(const struct links *links) {
        return links->group_fd;
}

static struct linked **find_link(struct links *links, const uint8_t *key, size_t key_size) {
        struct linked **link = &links->buckets[file_key_hash(key, key_size) % N_BUCKETS];
        while (*link && ((*link)->key.size != key_size || memcmp((*link)->key.bytes, key, key_size)))
                link = &(*link)->next;
        return link;
}

static void mark(struct links *links, unsigned operation, int fd) {
        char link[32];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        (void)fanotify_mark(links->group_fd, operation, LINKED_EVENTS, AT_FDCWD, link);
}

/* `link` points at it. */
static void drop(struct links *links, struct linked **link) {
        struct linked *linked = *link;
        _cleanup_(fd_closep) int fd =
                locate_open(links->watch, linked->key.bytes, linked->key.size, O_PATH | O_CLOEXEC);
        if (fd >= 0)
                mark(links, FAN_MARK_REMOVE, fd);
        *link = linked->next;
        links->n_nameless -= !linked->names;
        linked_free(linked);
        links->counters.n_links--;
}

static struct linked **add(struct links *links, const uint8_t *key, size_t key_size, int fd,
                           const struct stat *st) {
        struct linked **link = find_link(links, key, key_size);
        if (*link)
                return link;
        struct linked *linked = links->counters.n_links < LINKS_MAX ? calloc(1, sizeof(*linked)) : NULL;
        if (!linked) {
                links->counters.n_refused++;
                return NULL;
        }
        linked->key.size = key_size;
        memcpy(linked->key.bytes, key, key_size);
        linked->device = st->st_dev;
        linked->inode = st->st_ino;
        linked->added_at = links->scan_number;
        *link = linked;
        links->counters.n_links++;
        links->n_nameless++;
        mark(links, FAN_MARK_ADD, fd);
        return link;
}

/* Returns true when the name is new. */
static bool add_name(struct linked *linked, const char *path) {
        for (const struct link_name *name = linked->names; name; name = name->next)
                if (!strcmp(name->path, path))
                        return false;
        size_t size = strlen(path) + 1;
        struct link_name *name = linked->n_names < NAMES_MAX ? malloc(sizeof(*name) + size) : NULL;
        if (!name)
                return false;
        memcpy(name->path, path, size);
        name->next = linked->names;
        linked->names = name;
        linked->n_names++;
        return true;
}

static bool stands_at(const struct linked *linked, const char *path) {
        struct stat st;
        return path_stat(path, &st) == 0 && st.st_ino == linked->inode && st.st_dev == linked->device;
}

/* Calls back under every name that it still has. */
static void call_back_names(struct links *links, struct linked *linked, unsigned what, pid_t pid,
                            int pid_fd) {
        struct link_name **link = &linked->names;
        while (*link) {
                struct link_name *name = *link;
                if (stands_at(linked, name->path)) {
                        watch_call_back_path(links->watch, what | FILE_LINKED, name->path, pid, pid_fd);
                        link = &name->next;
                } else {
                        *link = name->next;
                        linked->n_names--;
                        links->n_nameless += !linked->names;
                        free(name);
                }
        }
}

/* One of ours that has, or had, another name stands at `path`: has it looked at, marked before that. */
static void found_name(struct links *links, struct linked *linked, const char *path) {
        bool was_nameless = !linked->names;
        if (!add_name(linked, path))
                return;
        links->n_nameless -= was_nameless;
        watch_call_back_path(links->watch, linked->what | FILE_ATTRIBUTES | FILE_LINKED, path, linked->pid,
                             -1);
        linked->what = 0;
        linked->pid = 0;
}

/* Only one link is left, but a descriptor may be open by a name that is gone: the mark stays for a while. */
static void keep_single(struct links *links, const struct linked *linked) {
        struct file_key *place = &links->singles[links->next_single++ % SINGLES_MAX], old = *place;
        *place = linked->key;
        struct linked **link = old.size ? find_link(links, old.bytes, old.size) : NULL;
        struct stat st;
        if (!link || !*link || *link == linked)
                return;
        _cleanup_(fd_closep) int fd = locate_open(links->watch, old.bytes, old.size, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_nlink < 2)
                drop(links, link);
}

/* A file with more than one link stands at `path`. */
static void found_linked(struct links *links, const char *path, const uint8_t *key, size_t key_size,
                         pid_t pid) {
        struct stat st;
        _cleanup_(fd_closep) int fd = path_open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        struct linked **link = add(links, key, key_size, fd, &st);
        if (!link)
                return;
        if (pid)
                (*link)->pid = pid;
        found_name(links, *link, path);
}

static void remember_file(struct links *links, const uint8_t *key, size_t key_size) {
        uint64_t hash = file_key_hash(key, key_size);
        fingerprints_add(&links->files, hash);
        if (links->is_full_scan)
                fingerprints_add(&links->fresh, hash);
}

static void scanned_file(const char *path, const struct file_key *key, bool is_linked, void *userdata) {
        struct links *links = userdata;
        remember_file(links, key->bytes, key->size);
        if (is_linked || (links->n_nameless && *find_link(links, key->bytes, key->size)))
                found_linked(links, path, key->bytes, key->size, 0);
}

/*
 * An object that was not known had its link count changed a moment ago, and now it came into a tree: linkat(2) of
 * an O_TMPFILE. Its descriptor goes on writing under a directory that may be anywhere.
 */
static bool was_recent(const struct links *links, uint64_t hash) {
        for (size_t i = 0; i < RECENT_MAX; i++)
                if (links->recent[i] == hash)
                        return true;
        return false;
}

void links_entry_came(struct links *links, const char *path, const uint8_t *key, size_t key_size) {
        struct file_key own;
        struct stat st;
        if (path_stat(path, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        if (!key) {
                if (scan_key_of(path, &own) < 0)
                        return;
                key = own.bytes;
                key_size = own.size;
        }
        remember_file(links, key, key_size);
        if (st.st_nlink > 1 || was_recent(links, file_key_hash(key, key_size)))
                found_linked(links, path, key, key_size, 0);
}

void links_entry_went(struct links *links, const char *path, const uint8_t *key, size_t key_size) {
        struct linked *linked = key ? *find_link(links, key, key_size) : NULL;
        for (struct link_name **link = linked ? &linked->names : NULL; link && *link; link = &(*link)->next)
                if (!strcmp((*link)->path, path)) {
                        struct link_name *name = *link;
                        *link = name->next;
                        linked->n_names--;
                        links->n_nameless += !linked->names;
                        free(name);
                        return;
                }
}

/* Marks one of ours, or one that may be, and looks for its name. */
static void follow_object(struct links *links, const uint8_t *key, size_t key_size, int fd, pid_t pid) {
        struct stat st;
        _cleanup_(freep) char *path = locate_object(links->watch, fd);
        if (path) {
                found_linked(links, path, key, key_size, pid);
                return;
        }
        struct linked **link = fstat(fd, &st) < 0 ? NULL : add(links, key, key_size, fd, &st);
        if (link) {
                (*link)->pid = pid;
                links->is_scan_wanted = true;
        }
}

/*
 * One link of ours can mean that there were two a moment ago, and that it was written through the
 * other: it is looked at as well.
 */
bool links_count_changed(struct links *links, const uint8_t *key, size_t key_size, pid_t pid) {
        struct stat st;
        uint64_t hash = file_key_hash(key, key_size);
        struct linked **link = find_link(links, key, key_size);
        bool is_known = fingerprints_has(&links->files, hash);
        if (!is_known)
                links->recent[links->next_recent++ % RECENT_MAX] = hash;
        if (!*link && links->was_scanned && !is_known)
                return false;
        _cleanup_(fd_closep) int fd = locate_open(links->watch, key, key_size, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                if (*link)
                        drop(links, link);
        } else if (*link) {
                if (st.st_nlink < 2)
                        keep_single(links, *link);
                call_back_names(links, *link, FILE_ATTRIBUTES, pid, -1);
        } else if (is_known || st.st_nlink > 1) {
                follow_object(links, key, key_size, fd, pid);
                link = find_link(links, key, key_size);
                if (*link && st.st_nlink < 2)
                        keep_single(links, *link);
        }
        return true;
}

void links_scan_below(struct links *links, const char *path) {
        if (scan_push(links->scan, path) < 0)
                links->is_scan_wanted = true;
}

void links_rescan(struct links *links) {
        (void)fanotify_mark(links->group_fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL);
        forget_all(links);
        scan_clear(links->scan);
        links->is_full_scan = links->was_scanned = false;
        links->is_scan_wanted = true;
}

static void begin_full_scan(struct links *links) {
        fingerprints_deinit(&links->fresh);
        links->is_scan_wanted = false;
        links->is_full_scan = true;
        links->scan_number++;
        for (size_t i = 0; i < links->watch->n_trees; i++)
                if (links->watch->trees[i].real)
                        (void)scan_push(links->scan,
                                        *links->watch->trees[i].path ? links->watch->trees[i].path : "/");
}

/* Files that were marked before the scan began and have no name inside are not ours. */
static void end_full_scan(struct links *links) {
        links->is_full_scan = false;
        links->was_scanned = true;
        fingerprints_deinit(&links->files);
        links->files = links->fresh;
        links->fresh = (struct fingerprints){0};
        for (size_t i = 0; i < N_BUCKETS; i++)
                for (struct linked **link = &links->buckets[i]; *link;)
                        if (!(*link)->names && (*link)->added_at < links->scan_number)
                                drop(links, link);
                        else
                                link = &(*link)->next;
}

bool links_written(struct links *links, const struct notice *notice) {
        struct linked *linked =
                notice->object ? *find_link(links, notice->object, notice->object_size) : NULL;
        unsigned what = watch_what_of(notice->mask) & ~(unsigned)FILE_DIRECTORY;
        if (!linked || notice->pid == links->watch->own_pid)
                return linked;
        call_back_names(links, linked, what, notice->pid, -1);
        if (!linked->names) { /* it moved: kept until its name is found again */
                linked->what |= what;
                linked->pid = notice->pid;
                links->is_scan_wanted = true;
        }
        return true;
}

static void handle_event(struct links *links, const struct notice *notice) {
        if (notice->mask & FAN_Q_OVERFLOW)
                watch_call_back_overflow(links->watch);
        else
                (void)links_written(links, notice);
}

static void read_events(struct links *links) {
        for (;;) {
                ssize_t n = read(links->group_fd, links->events, sizeof(links->events));
                struct notice notice;
                size_t used;
                if (n <= 0)
                        return;
                for (const uint8_t *data = links->events; notice_decode(data, (size_t)n, &notice, &used) > 0;
                     data += used, n -= (ssize_t)used)
                        handle_event(links, &notice);
        }
}

bool links_dispatch(struct links *links) {
        uint64_t end_ns = clock_monotonic_ns(&clock_system) + SLICE_NS;
        read_events(links);
        do {
                if (!links->is_full_scan && links->is_scan_wanted)
                        begin_full_scan(links);
                if (!scan_step(links->scan, scanned_file, links)) {
                        if (links->is_full_scan)
                                end_full_scan(links);
                        if (!links->is_scan_wanted)
                                return false;
                }
        } while (clock_monotonic_ns(&clock_system) < end_ns);
        return true;
}

void links_counters(const struct links *links, struct links_counters *ret_counters) {
        *ret_counters = links->counters;
        ret_counters->n_files = links->files.n;
        ret_counters->is_scanning = links->is_full_scan || links->is_scan_wanted;
}
