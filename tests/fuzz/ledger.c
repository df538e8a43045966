/*
 * Everything the ledger reads that somebody else may have written. The first byte chooses the decoder:
 * checkpoint, bundle, proof, tile path, keys, journal, seal key.
 */
#include <stdint.h>
#include <string.h>

#include "ledger/checkpoint.h"
#include "ledger/format.h"
#include "ledger/journal.h"
#include "ledger/prove.h"
#include "ledger/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VERIFIER "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

static void fuzz_bundle(const char *text, size_t size) {
        const char *entry;
        size_t offset = 0, entry_size, sum = 0;
        while (bundle_next(text, size, &offset, &entry, &entry_size) > 0) {
                if (entry < text || entry + entry_size > text + size)
                        __builtin_trap();
                sum += 2 + entry_size;
        }
        if (sum != offset)
                __builtin_trap();
}

static void fuzz_proof(const char *text, size_t size, const struct verifier_key *key) {
        _cleanup_(proof_deinit) struct proof proof, again;
        _cleanup_(buffer_deinit) struct buffer formatted = {0};
        proof_init(&proof);
        proof_init(&again);
        if (proof_parse(text, size, &proof) < 0)
                return;
        proof_check(&proof, key);
        /* what is parsed has one spelling */
        if (proof_format(&proof, &formatted) < 0)
                return;
        if (formatted.size != size || memcmp(formatted.data, text, size))
                __builtin_trap();
}

static void fuzz_path(const char *text, size_t size) {
        char path[256], again[TILE_PATH_SIZE];
        int level;
        uint64_t index;
        unsigned width;
        if (size >= sizeof(path))
                return;
        memcpy(path, text, size);
        path[size] = '\0';
        if (tile_path_parse(path, &level, &index, &width) < 0)
                return;
        tile_path_format(level, index, width, again);
        if (strcmp(path, again))
                __builtin_trap();
}

static void fuzz_keys(const char *text, size_t size) {
        struct verifier_key key;
        _cleanup_(signing_key_freep) struct signing_key *signer = NULL;
        if (verifier_key_parse(text, size, &key) == 0)
                verifier_key_id(&key, KEY_TYPE_TIMED);
        signing_key_parse(text, size, &signer);
}

static void fuzz_journal(const char *text, size_t size) {
        static struct digester *digester;
        struct journal_record record;
        if (!digester)
                digester = digester_new();
        if (journal_record_decode(digester, text, size, &record) > 0 && journal_record_bytes(&record) > size)
                __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct verifier_key key;
        struct checkpoint checkpoint;
        struct seal_key seal_key;
        if (size < 1 || verifier_key_parse(VERIFIER, strlen(VERIFIER), &key) < 0)
                return 0;
        const char *text = (const char *)data + 1;
        size--;
        switch (data[0] % 7) {
        case 0:
                checkpoint_open(text, size, &key, &checkpoint);
                break;
        case 1:
                fuzz_bundle(text, size);
                break;
        case 2:
                fuzz_proof(text, size, &key);
                break;
        case 3:
                fuzz_path(text, size);
                break;
        case 4:
                fuzz_keys(text, size);
                break;
        case 5:
                fuzz_journal(text, size);
                break;
        default:
                seal_key_decode(text, size, &seal_key);
        }
        return 0;
}
