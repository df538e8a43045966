/*
 * A pack of any bytes: it is scanned, then stands as the only pack of a store whose index is lost.
 * Whatever comes out must be whole: content whose digest is its name, and never more than there is.
 * The mutator mends the checksums most of the time, or nothing behind them would ever be reached.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "vault/checksum.h"
#include "vault/pack.h"
#include "vault/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

#define must(condition) ((condition) ? (void)0 : abort())

static char state_path[64], vault_path[80], packs_path[96], pack_path[128], index_path[3][128];

static void remove_state(void) {
        unlink(pack_path);
        for (size_t i = 0; i < 3; i++)
                unlink(index_path[i]);
}

static void leave(void) {
        char path[128];
        remove_state();
        for (const char *const *name = (const char *const[]){"lock", "large", "packs", NULL}; *name; name++) {
                snprintf(path, sizeof(path), "%s/%s", vault_path, *name);
                remove(path);
        }
        rmdir(vault_path);
        rmdir(state_path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        (void)argc;
        (void)argv;
        snprintf(state_path, sizeof(state_path), "/dev/shm/fuzz-pack-XXXXXX");
        must(mkdtemp(state_path));
        snprintf(vault_path, sizeof(vault_path), "%s/vault", state_path);
        snprintf(packs_path, sizeof(packs_path), "%s/packs", vault_path);
        snprintf(pack_path, sizeof(pack_path), "%s/00000001.pack", packs_path);
        for (size_t i = 0; i < 3; i++)
                snprintf(index_path[i], sizeof(index_path[i]), "%s/index.sqlite%s", vault_path,
                         (const char *const[]){"", "-wal", "-shm"}[i]);
        must(mkdir(vault_path, 0700) == 0 && mkdir(packs_path, 0700) == 0);
        atexit(leave);
        return 0;
}

struct scanned {
        const uint8_t *data;
        size_t size, n;
        uint64_t end;
};

static int check_record(const struct record *record, uint64_t offset, void *userdata) {
        struct scanned *scanned = userdata;
        uint8_t again[RECORD_BYTES];
        must(offset >= scanned->end && offset + RECORD_BYTES + record->stored_bytes <= scanned->size);
        record_encode(record, again);
        struct record decoded;
        must(record_decode(again, &decoded) == 0 && !memcmp(&decoded.digest, &record->digest, DIGEST_BYTES));
        must(decoded.stored_bytes == record->stored_bytes && decoded.raw_bytes == record->raw_bytes);
        scanned->end = offset + RECORD_BYTES + record->stored_bytes;
        scanned->n++;
        return 0;
}

static void ignore_damage(const struct digest *digest, int error, void *userdata) {
        (void)digest;
        must(error == -EBADMSG);
        ++*(int *)userdata;
}

static void rebuild(size_t n_records) {
        struct store *store = NULL;
        struct store_usage first, second;
        int n_damaged = 0;
        must(store_open(state_path, NULL, &store) == 0);
        must(store_verify(store, ignore_damage, &n_damaged) == n_damaged);
        must(store_usage(store, &first) == 0 && first.n_objects <= n_records);
        struct digest digest;
        must(store_put_bytes(store, "after", 5, &digest) == 0);
        store_close(store);
        must(store_open(state_path, NULL, &store) == 0);
        must(store_usage(store, &second) == 0 && second.n_objects >= first.n_objects && !second.rebuilt);
        store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct scanned scanned = {.data = data, .size = size};
        uint64_t end = 0;
        remove_state();
        _cleanup_(fd_closep) int fd = open(pack_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        must(fd >= 0 && io_pwrite_all(fd, data, size, 0) == 0);
        must(pack_scan(fd, 0, check_record, &scanned, &end) == 0);
        must(end == scanned.end);
        if (scanned.n)
                rebuild(scanned.n);
        return 0;
}

static void put32(uint8_t *p, uint32_t value) {
        for (int i = 0; i < 4; i++)
                p[i] = (uint8_t)(value >> 8 * i);
}

static void mend(uint8_t *data, size_t size) {
        for (size_t at = 0; at + RECORD_BYTES <= size;) {
                uint8_t *found = memmem(data + at, size - at, "hnmobj1\n", 8);
                if (!found || size - (size_t)(found - data) < RECORD_BYTES)
                        return;
                at = (size_t)(found - data);
                uint64_t stored;
                memcpy(&stored, found + 48, sizeof(stored));
                size_t left = size - at - RECORD_BYTES;
                if (stored <= left)
                        put32(found + 68, checksum_update(0, found + RECORD_BYTES, stored));
                put32(found + 76, checksum_update(0, found, 76));
                at += RECORD_BYTES + (stored <= left ? stored : 0);
        }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
        size = LLVMFuzzerMutate(data, size, max);
        if (seed % 8)
                mend(data, size);
        return size;
}
