#include "ledger/verify-host.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/io.h"

#define WALK_DEPTH_MAX 12

int report_problem(struct ledger_report *report, enum ledger_problem problem, uint64_t index, uint64_t other,
                   const char *path) {
        if (report->problem != LEDGER_SOUND)
                return 0;
        report->problem = problem;
        report->index = index;
        report->other = other;
        snprintf(report->path, sizeof(report->path), "%.*s", (int)sizeof(report->path) - 1, path ?: "");
        return 0;
}

void marks_deinit(struct marks *marks) {
        free(STEAL(marks->items));
        marks->n = 0;
}

int marks_add(struct marks *marks, const struct mark *mark) {
        if ((marks->n & (marks->n - 1)) == 0) {
                size_t capacity = marks->n ? marks->n * 2 : 1;
                struct mark *items = reallocarray(marks->items, capacity, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                marks->items = items;
        }
        marks->items[marks->n++] = *mark;
        return 0;
}

static int mark_compare(const void *a, const void *b) {
        const struct mark *left = a, *right = b;
        return left->size < right->size ? -1 : left->size > right->size;
}

void marks_sort(struct marks *marks) {
        if (marks->n)
                qsort(marks->items, marks->n, sizeof(*marks->items), mark_compare);
}

void host_deinit(struct host *host) {
        journal_image_deinit(&host->journal);
        digester_free(host->digester);
        fd_closep(&host->journal_fd);
        fd_closep(&host->keys_fd);
        fd_closep(&host->directory_fd);
}

static int child_open(const char *path, const char *name) {
        char child[4096];
        if (snprintf(child, sizeof(child), "%s/%s", path, name) >= (int)sizeof(child))
                return -ENAMETOOLONG;
        int fd = open(child, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static void keys_open(struct host *host, const char *path, bool expected, struct ledger_report *report) {
        host->keys_fd = child_open(path, "keys");
        if (host->keys_fd >= 0) {
                host->journal_fd = openat(host->keys_fd, JOURNAL_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
                if (host->journal_fd < 0)
                        host->journal_fd = -errno;
        }
        int r = host->keys_fd < 0 ? host->keys_fd : host->journal_fd < 0 ? host->journal_fd : 0;
        if (r == -EACCES)
                report->notes |= LEDGER_NOTE_UNREADABLE;
        else if (r < 0 && host->keys_fd < 0 && !expected)
                report->notes |= LEDGER_NOTE_COPY;
        else if (r < 0)
                report_problem(report, LEDGER_KEYS_MISSING, 0, 0,
                               host->keys_fd < 0 ? "keys" : "keys/" JOURNAL_NAME);
}

int host_open(struct host *host, const char *path, bool expect_keys, struct ledger_report *report) {
        host->digester = digester_new();
        if (!host->digester)
                return -ENOMEM;
        host->directory_fd = child_open(path, "ledger");
        if (host->directory_fd >= 0) {
                keys_open(host, path, expect_keys, report);
                return 0;
        }
        if (host->directory_fd != -ENOENT)
                return host->directory_fd;
        host->directory_fd = child_open(path, ".");
        if (host->directory_fd < 0)
                return host->directory_fd;
        if (faccessat(host->directory_fd, "checkpoint", F_OK, 0) < 0)
                return report_problem(report, LEDGER_NOT_FOUND, 0, 0, NULL);
        report->notes |= LEDGER_NOTE_COPY;
        return 0;
}

bool host_live(const struct host *host) {
        if (host->journal_fd < 0)
                return false;
        if (flock(host->journal_fd, LOCK_SH | LOCK_NB) < 0)
                return errno == EWOULDBLOCK;
        flock(host->journal_fd, LOCK_UN);
        return false;
}

int host_journal_load(struct host *host, struct marks *marks, struct ledger_report *report) {
        if (host->journal_fd < 0)
                return 0;
        journal_image_deinit(&host->journal);
        int r = journal_load(host->journal_fd, host->digester, &host->journal);
        if (r == -EBADMSG)
                return report_problem(report, LEDGER_KEYS_MISSING, 0, 0, "keys/" JOURNAL_NAME);
        if (r < 0)
                return r;
        host->has_journal = r > 0;
        struct journal_record record;
        size_t offset = 0;
        while (marks && host->has_journal &&
               journal_next(&host->journal, host->digester, &offset, &record) > 0) {
                const struct mark mark = {record.first_index, record.root_before, MARK_JOURNAL};
                r = marks_add(marks, &mark);
                if (r < 0)
                        return r;
        }
        return 0;
}

struct chain {
        struct verifier_key key;   /* that must have signed the next seal */
        uint8_t signer[KEY_BYTES]; /* of the last one */
        struct digest log;
        struct seal last;
        uint64_t n;
};

/* The chain's beginning: the first line is the log's key, the second the first seal's. */
static int chain_begin(const char *identity, size_t identity_bytes, struct chain *ret_chain) {
        const char *newline = memchr(identity, '\n', identity_bytes);
        if (!newline)
                return -EINVAL;
        size_t line = (size_t)(newline - identity);
        int r = verifier_key_parse(newline + 1, identity_bytes - line - 1, &ret_chain->key);
        return r < 0 ? r : digest_bytes(identity, line, &ret_chain->log);
}

/* Returns 1, 0 (forged or out of order), or an error. */
static int chain_follow(struct chain *chain, const uint8_t bytes[static SEAL_BYTES]) {
        struct seal seal;
        seal_decode(bytes, &seal);
        if (seal.epoch != chain->n || !digest_equal(&seal.log, &chain->log) ||
            (chain->n && (seal.size < chain->last.size || seal.time_s < chain->last.time_s)))
                return 0;
        int r = seal_check(&seal, &chain->key);
        if (r < 0)
                return r == -EKEYREJECTED ? 0 : r;
        memcpy(chain->signer, chain->key.public_key, KEY_BYTES);
        memcpy(chain->key.public_key, seal.next_public_key, KEY_BYTES);
        chain->last = seal;
        chain->n++;
        return 1;
}

/* The key file knows how many seals there must be, and its key must be the one the last seal names. */
static int seal_key_check(const struct host *host, const struct chain *chain, struct ledger_report *report) {
        if (host->keys_fd < 0)
                return 0;
        _cleanup_(buffer_deinit) struct buffer bytes = {0};
        struct seal_key key = {0};
        uint8_t public_key[KEY_BYTES];
        int r = io_read_file(host->keys_fd, SEAL_KEY_NAME, &bytes);
        if (r == -EACCES)
                return 0;
        if (r == 0)
                r = seal_key_decode(bytes.data, bytes.size, &key);
        if (r == 0)
                r = seal_key_public(&key, public_key);
        if (bytes.data)
                explicit_bzero(bytes.data, bytes.size);
        uint64_t epoch = key.epoch;
        seal_key_erase(&key);
        if (r < 0)
                return report_problem(report, LEDGER_KEYS_MISSING, 0, 0, "keys/" SEAL_KEY_NAME);
        /* one more seal than the key has made known: it ended between the two */
        const uint8_t *expected = epoch + 1 == chain->n ? chain->signer : chain->key.public_key;
        if ((epoch != chain->n && epoch + 1 != chain->n) || memcmp(public_key, expected, KEY_BYTES))
                report_problem(report, LEDGER_SEALS, chain->n, epoch, NULL);
        return 0;
}

int host_seals_check(const struct host *host, const char *identity, size_t identity_bytes,
                     struct marks *marks, struct ledger_report *report) {
        _cleanup_(buffer_deinit) struct buffer seals;
        buffer_init(&seals, (size_t)1 << 30);
        struct chain chain = {0};
        if (chain_begin(identity, identity_bytes, &chain) < 0)
                return report_problem(report, LEDGER_KEY, 0, 0, NULL);
        int r = io_read_file(host->directory_fd, SEALS_NAME, &seals);
        if (r < 0 && r != -ENOENT)
                return r;
        for (size_t offset = 0; offset < seals.size; offset += SEAL_BYTES) {
                r = seals.size - offset < SEAL_BYTES
                            ? 0
                            : chain_follow(&chain, (const uint8_t *)seals.data + offset);
                if (r < 0)
                        return r;
                if (r == 0)
                        return report_problem(report, LEDGER_SEALS, chain.n, 0, NULL);
                const struct mark mark = {chain.last.size, chain.last.root, MARK_SEAL};
                r = marks_add(marks, &mark);
                if (r < 0)
                        return r;
        }
        report->seals = chain.n;
        return seal_key_check(host, &chain, report);
}

struct walk {
        uint64_t size;
        char path[TILE_PATH_SIZE * 2];
};

static void walk_file(struct walk *walk, const char *path, bool regular) {
        int level;
        uint64_t index, size = UINT64_MAX;
        unsigned width;
        if (regular && tile_path_parse(path, &level, &index, &width) == 0 && index < UINT64_MAX >> 16) {
                unsigned shift = level == TILE_ENTRIES ? 0 : 8 * (unsigned)level;
                uint64_t hashes = index * TILE_WIDTH + width;
                size = hashes > UINT64_MAX >> shift ? UINT64_MAX : hashes << shift;
        }
        if (size <= walk->size)
                return;
        walk->size = size;
        snprintf(walk->path, sizeof(walk->path), "%s", path);
}

static int tree_walk(int parent_fd, const char *name, const char *path, unsigned depth, struct walk *walk) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        DIR *directory = fdopendir(fd);
        if (!directory) {
                close(fd);
                return -ENOMEM;
        }
        int r = 0;
        for (struct dirent *entry; r == 0 && (entry = readdir(directory));) {
                char child[TILE_PATH_SIZE * 2];
                struct stat status;
                if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                        continue;
                if (snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= (int)sizeof(child) ||
                    depth == WALK_DEPTH_MAX)
                        walk_file(walk, path, false);
                else if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                        r = errno == ENOENT ? 0 : -errno;
                else if (S_ISDIR(status.st_mode))
                        r = tree_walk(fd, entry->d_name, child, depth + 1, walk);
                else
                        walk_file(walk, child, S_ISREG(status.st_mode));
        }
        closedir(directory);
        return r;
}

int host_extent(const struct host *host, uint64_t *ret_size, char ret_path[static TILE_PATH_SIZE * 2]) {
        struct walk walk = {.size = 0};
        int r = tree_walk(host->directory_fd, "tile", "tile", 0, &walk);
        if (r < 0)
                return r;
        *ret_size = walk.size;
        memcpy(ret_path, walk.path, sizeof(walk.path));
        return 0;
}

int host_set_aside_check(const struct host *host, struct ledger_report *report) {
        int fd = openat(host->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        if (!directory)
                return -errno;
        for (struct dirent *entry; (entry = readdir(directory));)
                if (!strncmp(entry->d_name, "damaged-", 8))
                        report_problem(report, LEDGER_SET_ASIDE, 0, 0, entry->d_name);
        closedir(directory);
        return 0;
}
