/*
 * Makes what a new log needs, in an order that a crash may interrupt anywhere: keys first, each as a
 * whole, the journal last. No journal means: not finished, go on with the keys that are there.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "ledger/writer.h"

#define KEY_NAME    "ledger.key"
#define LOCK_TRIES  50
#define HOST_BYTES  64
#define LEDGER_MODE 0750
#define KEYS_MODE   0700

static int directory_open(const char *state, const char *name, mode_t mode) {
        char path[4096];
        if (snprintf(path, sizeof(path), "%s/%s", state, name) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return -errno;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* "hinomi/HOST-12345678": tells logs of several machines apart; not a name that resolves. */
static int origin_make(const struct ledger_world *world, char ret_origin[static KEY_NAME_SIZE]) {
        char host[HOST_BYTES + 1] = "";
        uint8_t random[4];
        int r = world->random(world->userdata, random, sizeof(random));
        if (r < 0)
                return r;
        gethostname(host, HOST_BYTES);
        for (char *p = host; *p; p++)
                if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", *p))
                        *p = '-';
        snprintf(ret_origin, KEY_NAME_SIZE, "hinomi/%s-%08x", *host ? host : "host", get_u32(random));
        return 0;
}

static int key_create(struct ledger *ledger) {
        char origin[KEY_NAME_SIZE];
        uint8_t seed[KEY_BYTES];
        int r = origin_make(ledger->world, origin);
        if (r == 0)
                r = ledger->world->random(ledger->world->userdata, seed, sizeof(seed));
        if (r == 0)
                r = signing_key_new(origin, seed, &ledger->key);
        explicit_bzero(seed, sizeof(seed));
        if (r < 0)
                return r;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        r = signing_key_format(ledger->key, &text);
        if (r == 0)
                r = buffer_append(&text, "\n", 1);
        if (r < 0)
                return r;
        const struct iovec content = {.iov_base = text.data, .iov_len = text.size};
        r = world_replace_file(ledger->world, ledger->keys_fd, KEY_NAME, &content, 0400);
        explicit_bzero(text.data, text.size);
        return r;
}

/* Returns 0, -ENOENT, or -EBADMSG. */
static int key_load(struct ledger *ledger) {
        _cleanup_(buffer_deinit) struct buffer text = {0};
        int r = io_read_file(ledger->keys_fd, KEY_NAME, &text);
        if (r == 0)
                r = signing_key_parse(text.data, text.size, &ledger->key) == -EINVAL ? -EBADMSG : 0;
        if (text.data)
                explicit_bzero(text.data, text.size);
        return r;
}

static int seal_key_load(struct ledger *ledger) {
        _cleanup_(buffer_deinit) struct buffer bytes = {0};
        int r = io_read_file(ledger->keys_fd, SEAL_KEY_NAME, &bytes);
        if (r == 0)
                r = seal_key_decode(bytes.data, bytes.size, &ledger->seal_key);
        if (bytes.data)
                explicit_bzero(bytes.data, bytes.size);
        return r;
}

static int seal_key_create(struct ledger *ledger) {
        ledger->seal_key = (struct seal_key){0};
        int r = ledger->world->random(ledger->world->userdata, ledger->seal_key.seed, KEY_BYTES);
        return r < 0 ? r : seal_key_store(&ledger->seal_key, ledger->world, ledger->keys_fd);
}

int writer_identity_format(const struct signing_key *key, const uint8_t seal_public_key[static KEY_BYTES],
                           struct buffer *text) {
        const struct verifier_key *log = signing_key_verifier(key);
        struct verifier_key seal;
        if (snprintf(seal.name, sizeof(seal.name), "%s/seal", log->name) >= (int)sizeof(seal.name))
                return -ENAMETOOLONG;
        memcpy(seal.public_key, seal_public_key, KEY_BYTES);
        int r = verifier_key_format(log, text);
        if (r == 0)
                r = buffer_append(text, "\n", 1);
        if (r == 0)
                r = verifier_key_format(&seal, text);
        return r < 0 ? r : buffer_append(text, "\n", 1);
}

static int line_publish(struct ledger *ledger, const char *name, const char *line, size_t size) {
        _cleanup_(buffer_deinit) struct buffer published = {0};
        if (io_read_file(ledger->directory_fd, name, &published) == 0 && published.size == size &&
            !memcmp(published.data, line, size))
                return 0;
        const struct iovec content = {.iov_base = (char *)line, .iov_len = size};
        return world_replace_file(ledger->world, ledger->directory_fd, name, &content, 0640);
}

int writer_identity_publish(struct ledger *ledger, const char *identity, size_t size) {
        const char *newline = memchr(identity, '\n', size);
        if (!newline)
                return -EBADMSG;
        size_t line = (size_t)(newline + 1 - identity);
        int r = line_publish(ledger, "key.pub", identity, line);
        return r < 0 ? r : line_publish(ledger, "seal.pub", identity + line, size - line);
}

static int journal_create(struct ledger *ledger, const struct buffer *identity) {
        _cleanup_(buffer_deinit) struct buffer journal = {0};
        int r = journal_header_encode(&journal, identity->data, identity->size);
        if (r == 0)
                r = buffer_reserve(&journal, JOURNAL_BYTES - journal.size);
        if (r < 0)
                return r;
        memset(journal.data + journal.size, 0, JOURNAL_BYTES - journal.size);
        journal.size = JOURNAL_BYTES;
        const struct iovec content = {.iov_base = journal.data, .iov_len = journal.size};
        return world_replace_file(ledger->world, ledger->keys_fd, JOURNAL_NAME, &content, 0600);
}

static int log_create(struct ledger *ledger) {
        if (faccessat(ledger->directory_fd, "checkpoint", F_OK, 0) == 0)
                return -EBADMSG; /* a log whose journal is gone */
        uint8_t seal_public_key[KEY_BYTES];
        _cleanup_(buffer_deinit) struct buffer identity = {0};
        int r = ledger->key ? 0 : key_create(ledger);
        if (r == 0) {
                r = seal_key_load(ledger);
                if (r == -ENOENT)
                        r = seal_key_create(ledger);
        }
        if (r == 0)
                r = seal_key_public(&ledger->seal_key, seal_public_key);
        if (r == 0)
                r = writer_identity_format(ledger->key, seal_public_key, &identity);
        if (r < 0)
                return r;
        r = writer_identity_publish(ledger, identity.data, identity.size);
        return r < 0 ? r : journal_create(ledger, &identity);
}

/* A verifier that looks whether a writer lives holds the lock for an instant: try again. */
static int journal_lock(struct ledger *ledger) {
        ledger->journal_fd = openat(ledger->keys_fd, JOURNAL_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (ledger->journal_fd < 0)
                return -errno;
        for (int i = 0; flock(ledger->journal_fd, LOCK_EX | LOCK_NB) < 0; i++) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (i == LOCK_TRIES)
                        return -EBUSY;
                nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        return 0;
}

int writer_journal_create(struct ledger *ledger) {
        int r = journal_create(ledger, &ledger->identity_text);
        if (r < 0)
                return r;
        fd_closep(&ledger->journal_fd);
        ledger->journal_fd = -EBADF;
        return journal_lock(ledger);
}

int writer_create(struct ledger *ledger, const char *state) {
        ledger->directory_fd = directory_open(state, "ledger", LEDGER_MODE);
        if (ledger->directory_fd < 0)
                return ledger->directory_fd;
        ledger->keys_fd = directory_open(state, "keys", KEYS_MODE);
        if (ledger->keys_fd < 0)
                return ledger->keys_fd;
        int r = key_load(ledger);
        if (r < 0 && r != -ENOENT)
                return r;
        if (faccessat(ledger->keys_fd, JOURNAL_NAME, F_OK, 0) < 0) {
                r = log_create(ledger);
                if (r < 0)
                        return r;
        }
        if (!ledger->key)
                return -EBADMSG;
        r = journal_lock(ledger);
        /* a process may have ended between a rename here and its fsync: build on nothing that could go back */
        if (r == 0)
                r = ledger->world->sync(ledger->world->userdata, ledger->keys_fd, 0);
        if (r == 0)
                r = seal_key_load(ledger);
        return r == -ENOENT ? -EBADMSG : r;
}
