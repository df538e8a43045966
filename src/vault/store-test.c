#include "vault/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/io.h"
#include "vault/pack.h"

static int scratch_new(void **state) {
        static char path[64];
        snprintf(path, sizeof(path), "/var/tmp/store-test-XXXXXX");
        *state = mkdtemp(path);
        return *state ? 0 : -1;
}

static int scratch_free(void **state) {
        char command[128];
        snprintf(command, sizeof(command), "rm -rf -- '%s'", (char *)*state);
        return system(command);
}

static struct store *open_store(const char *state) {
        struct store *store = NULL;
        assert_int_equal(store_open(state, NULL, &store), 0);
        return store;
}

/* Bytes that zstd cannot make smaller, the same for the same seed. */
static void make_noise(unsigned char *data, size_t size, unsigned seed) {
        uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
        for (size_t i = 0; i < size; i++) {
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                data[i] = (unsigned char)(x >> 32);
        }
}

static struct digest put_noise(struct store *store, size_t size, unsigned seed) {
        _cleanup_(freep) unsigned char *data = malloc(size + 1);
        struct digest digest;
        make_noise(data, size, seed);
        assert_int_equal(store_put_bytes(store, data, size, &digest), 0);
        return digest;
}

static void assert_noise(struct store *store, const struct digest *digest, size_t size, unsigned seed) {
        _cleanup_(freep) unsigned char *data = malloc(size + 1);
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        make_noise(data, size, seed);
        assert_int_equal(store_get_bytes(store, digest, &buffer), 0);
        assert_int_equal(buffer.size, size);
        assert_memory_equal(buffer.data, data, size);
}

static void what_is_put_is_got(void **state) {
        static const size_t sizes[] = {0, 1, 79, 4096, 100000, 1 << 20, (1 << 20) + 1, 5000000};
        _cleanup_(store_closep) struct store *store = open_store(*state);
        struct digest digests[ARRAY_SIZE(sizes)];
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                digests[i] = put_noise(store, sizes[i], (unsigned)i);
        for (int reopened = 0; reopened < 2; reopened++) {
                for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                        assert_noise(store, &digests[i], sizes[i], (unsigned)i);
                store = store_close(store);
                store = open_store(*state);
        }
        struct store_usage usage;
        assert_int_equal(store_usage(store, &usage), 0);
        assert_int_equal(usage.n_objects, ARRAY_SIZE(sizes));
        assert_false(usage.rebuilt);
}

static int file_of(const char *directory, const void *data, size_t size) {
        int fd = open(directory, O_RDWR | O_TMPFILE, 0600);
        assert_true(fd >= 0);
        assert_int_equal(io_pwrite_all(fd, data, size, 0), 0);
        return fd;
}

static void files_go_in_and_out(void **state) {
        static const size_t sizes[] = {0, 5000, 3000000};
        _cleanup_(store_closep) struct store *store = open_store(*state);
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                _cleanup_(freep) char *text = malloc(sizes[i] + 1);
                for (size_t j = 0; j < sizes[i]; j++)
                        text[j] = "the same again "[j % 15];
                _cleanup_(fd_closep) int in = file_of(*state, text, sizes[i]);
                _cleanup_(fd_closep) int out = file_of(*state, "", 0);
                struct digest digest, expected;
                uint64_t size;
                assert_int_equal(store_put_file(store, in, &digest, &size), 0);
                assert_int_equal(size, sizes[i]);
                digest_bytes(text, sizes[i], &expected);
                assert_true(digest_equal(&digest, &expected));
                assert_int_equal(store_get_file(store, &digest, out), 0);
                _cleanup_(freep) char *again = malloc(sizes[i] + 2);
                assert_int_equal(io_pread_full(out, again, sizes[i] + 1, 0), sizes[i]);
                assert_memory_equal(again, text, sizes[i]);
        }
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.raw_bytes, 3005000);
}

static void the_same_content_costs_nothing(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        struct store_usage before, after;
        put_noise(store, 5000, 1);
        put_noise(store, 2000000, 2);
        store_usage(store, &before);
        for (int i = 0; i < 3; i++) {
                put_noise(store, 5000, 1);
                put_noise(store, 2000000, 2);
                assert_int_equal(store_sync(store), 0);
        }
        store_usage(store, &after);
        assert_int_equal(after.stored_bytes, before.stored_bytes);
        assert_int_equal(after.n_objects, 2);
}

static void text_is_compressed(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        static char text[200000];
        memset(text, 'a', sizeof(text));
        struct digest digest;
        struct store_usage usage;
        assert_int_equal(store_put_bytes(store, text, sizeof(text), &digest), 0);
        store_usage(store, &usage);
        assert_in_range(usage.stored_bytes, 1, 2000);
}

static void what_is_not_there_is_not_there(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        struct digest digest;
        struct buffer buffer;
        buffer_init(&buffer, 0);
        digest_bytes("x", 1, &digest);
        assert_false(store_has(store, &digest));
        assert_int_equal(store_get_bytes(store, &digest, &buffer), -ENOENT);
        assert_int_equal(store_get_file(store, &digest, -1), -ENOENT);
        assert_int_equal(store_put_bytes(store, "x", 1, &digest), 0);
        assert_true(store_has(store, &digest));
}

static void one_process_writes(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        struct digest digest = put_noise(store, 100, 7);
        assert_int_equal(store_sync(store), 0);
        struct store *second = NULL;
        assert_int_equal(store_open(*state, NULL, &second), -EWOULDBLOCK);
        assert_int_equal(store_open_readonly(*state, &second), 0);
        assert_noise(second, &digest, 100, 7);
        assert_int_equal(store_put_bytes(second, "y", 1, &digest), -EROFS);
        store_close(second);
}

/* A process that puts and dies: what was put is there, though nothing was synced or closed. */
static void a_killed_process_loses_nothing(void **state) {
        pid_t pid = fork();
        if (pid == 0) {
                struct store *store = open_store(*state);
                for (unsigned i = 0; i < 50; i++)
                        put_noise(store, 1000 + i, i);
                put_noise(store, 1500000, 99);
                _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        _cleanup_(store_closep) struct store *store = open_store(*state);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 51);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
        struct digest digest = put_noise(store, 1049, 49);
        assert_noise(store, &digest, 1049, 49);
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 51);
}

enum { N_MANY = 40000 };

static void put_and_die(const char *state) {
        pid_t pid = fork();
        if (pid == 0) {
                struct store *store = open_store(state);
                struct digest digest;
                for (unsigned i = 0; i < N_MANY; i++)
                        assert_int_equal(store_put_bytes(store, &i, sizeof(i), &digest), 0);
                _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
}

/* More than the index keeps in memory, and no sync: the rest of the pack is gone after a power cut. */
static void what_spilled_is_not_believed_after_a_power_cut(void **state) {
        char path[128];
        put_and_die(*state);
        snprintf(path, sizeof(path), "%s/vault/packs/00000001.pack", (char *)*state);
        assert_int_equal(truncate(path, 1000 * (80 + 4) + 17), 0);
        struct store *store = open_store(*state);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 1000);
        assert_false(usage.rebuilt);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
        unsigned last = 20000;
        struct digest digest;
        assert_int_equal(store_put_bytes(store, &last, sizeof(last), &digest), 0);
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 1001);
        store_close(store);
}

/* The same without the power cut: all is there. */
static void what_spilled_is_there_after_a_kill(void **state) {
        put_and_die(*state);
        for (int again = 0; again < 2; again++) {
                struct store *store = open_store(*state);
                struct store_usage usage;
                store_usage(store, &usage);
                assert_int_equal(usage.n_objects, N_MANY);
                assert_int_equal(usage.raw_bytes, N_MANY * sizeof(unsigned));
                store_close(store);
        }
}

static char *path_in(const char *state, const char *name) {
        static char path[256];
        snprintf(path, sizeof(path), "%s/vault/%s", state, name);
        return path;
}

static void append_to(const char *path, const void *data, size_t size) {
        int fd = open(path, O_WRONLY | O_APPEND);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
        close(fd);
}

static off_t size_of(const char *path) {
        struct stat st;
        return stat(path, &st) < 0 ? -1 : st.st_size;
}

static void a_torn_end_is_cut_off(void **state) {
        struct store *store = open_store(*state);
        struct digest digest = put_noise(store, 3000, 3);
        store_close(store);
        off_t whole = size_of(path_in(*state, "packs/00000001.pack"));
        append_to(path_in(*state, "packs/00000001.pack"), "hnmobj1\nand then the power went", 31);
        store = open_store(*state);
        assert_int_equal(size_of(path_in(*state, "packs/00000001.pack")), whole);
        assert_noise(store, &digest, 3000, 3);
        struct digest next = put_noise(store, 100, 4);
        store_close(store);
        store = open_store(*state);
        assert_noise(store, &next, 100, 4);
        store_close(store);
}

static void fill(const char *state) {
        struct store *store = open_store(state);
        for (unsigned i = 0; i < 20; i++)
                put_noise(store, 1000 * i, i);
        put_noise(store, 1200000, 20);
        store_close(store);
}

static void assert_filled(const char *state, bool rebuilt) {
        struct store *store = open_store(state);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 21);
        assert_int_equal(usage.rebuilt, rebuilt);
        assert_int_equal(usage.raw_bytes, 190 * 1000 + 1200000);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
        store_close(store);
}

static void a_lost_index_is_made_again(void **state) {
        fill(*state);
        assert_int_equal(unlink(path_in(*state, "index.sqlite")), 0);
        assert_filled(*state, false);
}

static void a_damaged_index_is_made_again(void **state) {
        fill(*state);
        assert_int_equal(truncate(path_in(*state, "index.sqlite"), 0), 0);
        append_to(path_in(*state, "index.sqlite"),
                  "this is no database, and it is longer than a header is "
                  "at its least, so that it must be looked at: 0123456789",
                  109);
        assert_filled(*state, true);
}

static void an_index_that_knows_too_much_is_made_again(void **state) {
        fill(*state);
        struct store *store = open_store(*state);
        off_t before = size_of(path_in(*state, "packs/00000001.pack"));
        put_noise(store, 500, 77);
        store_close(store);
        assert_int_equal(truncate(path_in(*state, "packs/00000001.pack"), before), 0);
        assert_filled(*state, true);
}

static void a_pack_that_is_gone_is_noticed(void **state) {
        fill(*state);
        assert_int_equal(unlink(path_in(*state, "packs/00000001.pack")), 0);
        struct store *store = open_store(*state);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_true(usage.rebuilt);
        assert_int_equal(usage.n_objects, 1);
        store_close(store);
}

static void a_store_can_be_read_without_its_index(void **state) {
        fill(*state);
        assert_int_equal(unlink(path_in(*state, "index.sqlite")), 0);
        struct store *store = NULL;
        assert_int_equal(store_open_readonly(*state, &store), 0);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 21);
        store_close(store);
        assert_int_equal(size_of(path_in(*state, "index.sqlite")), -1);
}

static void flip(const char *path, off_t offset) {
        int fd = open(path, O_RDWR);
        unsigned char byte;
        assert_int_equal(pread(fd, &byte, 1, offset), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
        close(fd);
}

static void count_damage(const struct digest *digest, int error, void *userdata) {
        struct digest *damaged = userdata;
        assert_int_equal(error, -EBADMSG);
        *damaged = *digest;
}

static void damage_is_never_given_out(void **state) {
        struct store *store = open_store(*state);
        struct digest digest = put_noise(store, 3000, 3), other = put_noise(store, 3000, 4), found;
        assert_int_equal(store_sync(store), 0);
        flip(path_in(*state, "packs/00000001.pack"), 80 + 1234);
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        assert_int_equal(store_get_bytes(store, &digest, &buffer), -EBADMSG);
        assert_int_equal(buffer.size, 0);
        _cleanup_(fd_closep) int out = file_of(*state, "", 0);
        assert_int_equal(store_get_file(store, &digest, out), -EBADMSG);
        struct stat st;
        fstat(out, &st);
        assert_int_equal(st.st_size, 0);
        assert_noise(store, &other, 3000, 4);
        assert_int_equal(store_verify(store, count_damage, &found), 1);
        assert_true(digest_equal(&found, &digest));
        store_close(store);

        /* Made again from the packs, the rest is there and the damaged one is not. */
        unlink(path_in(*state, "index.sqlite"));
        store = open_store(*state);
        assert_false(store_has(store, &digest));
        assert_noise(store, &other, 3000, 4);
        store_close(store);
}

static char *only_large(const char *state) {
        static char path[512];
        char command[300], name[300] = "";
        snprintf(command, sizeof(command), "find %s/vault/large -type f", state);
        FILE *pipe = popen(command, "r");
        assert_non_null(fgets(name, sizeof(name), pipe));
        pclose(pipe);
        snprintf(path, sizeof(path), "%.*s", (int)strcspn(name, "\n"), name);
        return path;
}

static void damage_in_large_objects_too(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        struct digest digest = put_noise(store, 2000000, 3);
        assert_int_equal(store_sync(store), 0);
        flip(only_large(*state), 1000000);
        _cleanup_(fd_closep) int out = file_of(*state, "", 0);
        assert_int_equal(store_get_file(store, &digest, out), -EBADMSG);
        struct stat st;
        fstat(out, &st);
        assert_int_equal(st.st_size, 0);
        assert_int_equal(truncate(only_large(*state), 5000), 0);
        assert_int_equal(store_get_file(store, &digest, out), -EBADMSG);
        assert_int_equal(unlink(only_large(*state)), 0);
        assert_int_equal(store_get_file(store, &digest, out), -EBADMSG);
}

/* Its frame ends just where the room for its content does. */
static void a_large_object_of_whole_blocks_comes_back(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        _cleanup_(fd_closep) int in = file_of(*state, "", 0);
        _cleanup_(fd_closep) int out = file_of(*state, "", 0);
        struct digest digest;
        struct stat st;
        assert_int_equal(ftruncate(in, 3 * PACK_OBJECT_BYTES_MAX), 0);
        assert_int_equal(store_put_file(store, in, &digest, NULL), 0);
        assert_int_equal(store_get_file(store, &digest, out), 0);
        assert_int_equal(fstat(out, &st), 0);
        assert_int_equal(st.st_size, 3 * PACK_OBJECT_BYTES_MAX);
}

/* Named, but not whole and not indexed: what a power cut leaves. It must not be taken for the object. */
static void half_a_large_object_is_none(void **state) {
        struct store *store = open_store(*state);
        put_noise(store, 2000000, 3);
        store_close(store);
        assert_int_equal(truncate(only_large(*state), 5000), 0);
        unlink(path_in(*state, "index.sqlite"));
        store = open_store(*state);
        struct digest digest = put_noise(store, 2000000, 3);
        assert_noise(store, &digest, 2000000, 3);
        store_close(store);
}

static void the_budget_holds(void **state) {
        const struct store_options options = {.budget_bytes = 100000};
        _cleanup_(store_closep) struct store *store = NULL;
        assert_int_equal(store_open(*state, &options, &store), 0);
        struct digest first = put_noise(store, 90000, 1), digest;
        struct store_usage before, after;
        store_usage(store, &before);
        assert_false(before.full);

        _cleanup_(freep) unsigned char *data = malloc(2000000);
        make_noise(data, 2000000, 2);
        assert_int_equal(store_put_bytes(store, data, 20000, &digest), -ENOSPC);
        assert_int_equal(store_put_bytes(store, data, 2000000, &digest), -ENOSPC);
        store_usage(store, &after);
        assert_true(after.full);
        assert_int_equal(after.stored_bytes, before.stored_bytes);
        assert_int_equal(after.n_objects, 1);
        assert_noise(store, &first, 90000, 1);

        put_noise(store, 5000, 3); /* what fits goes in; what was refused still does not */
        store_usage(store, &after);
        assert_true(after.full);
}

static void the_reserve_is_left_free(void **state) {
        const struct store_options options = {.reserve_bytes = UINT64_MAX / 4};
        _cleanup_(store_closep) struct store *store = NULL;
        struct digest digest;
        assert_int_equal(store_open(*state, &options, &store), 0);
        assert_int_equal(store_put_bytes(store, "x", 1, &digest), -ENOSPC);
}

struct claims {
        struct digest digests[64];
        size_t n;
};

static bool is_claimed(const struct digest *digest, void *userdata) {
        const struct claims *claims = userdata;
        for (size_t i = 0; i < claims->n; i++)
                if (digest_equal(&claims->digests[i], digest))
                        return true;
        return false;
}

/* What is not claimed, oldest first, until enough has gone. */
static ssize_t choose(struct store_object *objects, size_t n, uint64_t missing_bytes, void *userdata) {
        uint64_t freed = 0;
        size_t n_chosen = 0;
        for (size_t i = 0; i < n && freed < missing_bytes; i++) {
                struct store_object object = objects[i];
                if (is_claimed(&object.digest, userdata))
                        continue;
                freed += object.stored_bytes;
                objects[i] = objects[n_chosen];
                objects[n_chosen++] = object;
        }
        return (ssize_t)n_chosen;
}

static void collecting_spares_what_is_claimed(void **state) {
        const struct store_options options = {.budget_bytes = 3000000};
        _cleanup_(store_closep) struct store *store = NULL;
        assert_int_equal(store_open(*state, &options, &store), 0);
        struct claims claims = {.n = 0};
        struct digest digests[40], large;
        for (unsigned i = 0; i < 40; i++) {
                digests[i] = put_noise(store, 20000, i);
                if (i % 2 == 0)
                        claims.digests[claims.n++] = digests[i];
        }
        large = put_noise(store, 1500000, 100);
        claims.digests[claims.n++] = large;

        assert_int_equal(store_collect(store, 500000, choose, &claims), 0);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 41); /* there was room: nothing goes */

        assert_int_equal(store_collect(store, 800000, choose, &claims), 0);
        store_usage(store, &usage);
        assert_true(usage.stored_bytes + 800000 <= options.budget_bytes);
        for (unsigned i = 0; i < 40; i += 2)
                assert_noise(store, &digests[i], 20000, i);
        assert_noise(store, &large, 1500000, 100);
        assert_false(store_has(store, &digests[1])); /* the oldest go first */
        assert_true(store_has(store, &digests[39]));

        assert_int_equal(store_collect(store, 2900000, choose, &claims), -ENOSPC);
        store = store_close(store);
        assert_int_equal(store_open(*state, &options, &store), 0);
        store_usage(store, &usage);
        assert_false(usage.rebuilt);
        assert_int_equal(usage.n_objects, 21);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
        for (unsigned i = 0; i < 40; i += 2)
                assert_noise(store, &digests[i], 20000, i);
        assert_noise(store, &large, 1500000, 100);
}

static ssize_t choose_all(struct store_object *objects, size_t n, uint64_t missing_bytes, void *userdata) {
        (void)objects, (void)missing_bytes, (void)userdata;
        return (ssize_t)n;
}

static uint64_t bytes_on_disk(const char *state) {
        char command[512];
        unsigned long long bytes = 0;
        snprintf(command, sizeof(command),
                 "du -s -B1 %s/vault/packs %s/vault/large | awk '{n+=$1} END {print n}'", state, state);
        FILE *pipe = popen(command, "re");
        assert_int_equal(fscanf(pipe, "%llu", &bytes), 1);
        pclose(pipe);
        return bytes;
}

static ssize_t choose_three_of_four(struct store_object *objects, size_t n, uint64_t missing_bytes,
                                    void *userdata) {
        (void)missing_bytes, (void)userdata;
        size_t n_chosen = 0;
        for (size_t i = 0; i < n; i++) {
                struct store_object object = objects[i];
                if (i % 4 == 0)
                        continue;
                objects[i] = objects[n_chosen];
                objects[n_chosen++] = object;
        }
        return (ssize_t)n_chosen;
}

static void what_is_removed_gives_its_space_back_to_the_disk(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        for (unsigned i = 0; i < 400; i++)
                put_noise(store, 20000, i);
        for (unsigned i = 0; i < 4; i++)
                put_noise(store, 1500000, 1000 + i);
        assert_int_equal(store_sync(store), 0);
        assert_true(bytes_on_disk(*state) > 14000000);
        assert_int_equal(store_collect(store, 0, choose_three_of_four, NULL), 0);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 101);
        assert_true(usage.stored_bytes < 3700000);
        assert_true(bytes_on_disk(*state) < 4000000);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
}

static void large_objects_are_collected_too(void **state) {
        const struct store_options options = {.budget_bytes = 4000000};
        _cleanup_(store_closep) struct store *store = NULL;
        assert_int_equal(store_open(*state, &options, &store), 0);
        put_noise(store, 1500000, 1);
        put_noise(store, 1500000, 2);
        assert_int_equal(store_collect(store, 3900000, choose_all, NULL), 0);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, 0);
        assert_int_equal(usage.stored_bytes, 0);
        assert_int_equal(usage.raw_bytes, 0);
}

enum { N_THREADS = 4, N_PUTS = 300 };
static pthread_barrier_t barrier;

static void *put_many(void *userdata) {
        struct store *store = userdata;
        for (unsigned i = 0; i < N_PUTS; i++) {
                pthread_barrier_wait(&barrier); /* all at once */
                put_noise(store, 100 + i * 7, i);
        }
        return NULL;
}

static void threads_put_the_same_once(void **state) {
        _cleanup_(store_closep) struct store *store = open_store(*state);
        pthread_t threads[N_THREADS];
        pthread_barrier_init(&barrier, NULL, N_THREADS);
        for (int i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, put_many, store), 0);
        for (int i = 0; i < N_THREADS; i++)
                pthread_join(threads[i], NULL);
        struct store_usage usage;
        store_usage(store, &usage);
        assert_int_equal(usage.n_objects, N_PUTS);
        assert_int_equal(usage.stored_bytes, usage.raw_bytes + N_PUTS * 80);
        assert_int_equal(store_verify(store, NULL, NULL), 0);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_new, scratch_free)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_SCRATCH(what_is_put_is_got),
                WITH_SCRATCH(files_go_in_and_out),
                WITH_SCRATCH(the_same_content_costs_nothing),
                WITH_SCRATCH(text_is_compressed),
                WITH_SCRATCH(what_is_not_there_is_not_there),
                WITH_SCRATCH(one_process_writes),
                WITH_SCRATCH(a_killed_process_loses_nothing),
                WITH_SCRATCH(what_spilled_is_not_believed_after_a_power_cut),
                WITH_SCRATCH(what_spilled_is_there_after_a_kill),
                WITH_SCRATCH(a_torn_end_is_cut_off),
                WITH_SCRATCH(a_lost_index_is_made_again),
                WITH_SCRATCH(a_damaged_index_is_made_again),
                WITH_SCRATCH(an_index_that_knows_too_much_is_made_again),
                WITH_SCRATCH(a_pack_that_is_gone_is_noticed),
                WITH_SCRATCH(a_store_can_be_read_without_its_index),
                WITH_SCRATCH(damage_is_never_given_out),
                WITH_SCRATCH(damage_in_large_objects_too),
                WITH_SCRATCH(a_large_object_of_whole_blocks_comes_back),
                WITH_SCRATCH(half_a_large_object_is_none),
                WITH_SCRATCH(the_budget_holds),
                WITH_SCRATCH(the_reserve_is_left_free),
                WITH_SCRATCH(collecting_spares_what_is_claimed),
                WITH_SCRATCH(large_objects_are_collected_too),
                WITH_SCRATCH(what_is_removed_gives_its_space_back_to_the_disk),
                WITH_SCRATCH(threads_put_the_same_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
