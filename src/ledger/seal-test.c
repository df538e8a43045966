/* Seals and their keys: the chain holds, a destroyed key cannot be had back. */
#include "ledger/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct seal_key first_key(void) {
        struct seal_key key = {.epoch = 0};
        memset(key.seed, 7, sizeof(key.seed));
        return key;
}

static void a_seal_is_signed_by_the_key_that_was_named(void **state) {
        (void)state;
        struct seal_key key = first_key();
        struct verifier_key verifier = {.name = "seal"};
        assert_int_equal(seal_key_public(&key, verifier.public_key), 0);
        for (uint64_t epoch = 0; epoch < 5; epoch++) {
                struct seal seal = {.size = 100 * epoch, .time_s = 5}, decoded;
                uint8_t bytes[SEAL_BYTES], seed[KEY_BYTES];
                memcpy(seed, key.seed, sizeof(seed));
                assert_int_equal(seal_key_advance(&key, &ledger_world_system, &seal), 0);
                assert_int_equal(seal.epoch, epoch);
                assert_int_equal(key.epoch, epoch + 1);
                assert_memory_not_equal(key.seed, seed, sizeof(seed));
                seal_encode(&seal, bytes);
                seal_decode(bytes, &decoded);
                assert_int_equal(seal_check(&decoded, &verifier), 0);
                for (size_t i = 0; i < SEAL_BYTES; i++) {
                        bytes[i] ^= 4;
                        seal_decode(bytes, &decoded);
                        assert_int_equal(seal_check(&decoded, &verifier), -EKEYREJECTED);
                        bytes[i] ^= 4;
                }
                memcpy(verifier.public_key, seal.next_public_key, KEY_BYTES);
        }
}

static void the_key_file_is_read_back(void **state) {
        (void)state;
        struct seal_key key = first_key(), read;
        struct seal seal = {.size = 42};
        uint8_t bytes[SEAL_KEY_FILE_BYTES];
        assert_int_equal(seal_key_advance(&key, &ledger_world_system, &seal), 0);
        seal_key_encode(&key, bytes);
        assert_int_equal(seal_key_decode(bytes, sizeof(bytes), &read), 0);
        assert_int_equal(read.epoch, 1);
        assert_memory_equal(read.seed, key.seed, KEY_BYTES);
        assert_int_equal(read.last.size, 42);
        assert_int_equal(seal_key_decode(bytes, sizeof(bytes) - 1, &read), -EBADMSG);
        bytes[0] ^= 1;
        assert_int_equal(seal_key_decode(bytes, sizeof(bytes), &read), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_seal_is_signed_by_the_key_that_was_named),
                cmocka_unit_test(the_key_file_is_read_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
