/* Keys and checkpoints: known answers of golang.org/x/mod/sumdb/note, and what must be refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/checkpoint.h"
#include "ledger/key.h"

#define GO_SIGNER   "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
#define GO_VERIFIER "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define GO_TEXT                                                                                              \
        "If you think cryptography is the answer to your problem,\n"                                         \
        "then you don't know what your problem is.\n"
#define GO_SIGNATURE                                                                                         \
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="

static void the_signature_is_the_one_go_makes(void **state) {
        (void)state;
        _cleanup_(signing_key_freep) struct signing_key *key = NULL;
        _cleanup_(buffer_deinit) struct buffer text = {0}, signer = {0};
        uint8_t signature[KEY_SIGNATURE_BYTES], expected[4 + KEY_SIGNATURE_BYTES];
        assert_int_equal(signing_key_parse(GO_SIGNER, strlen(GO_SIGNER), &key), 0);
        assert_int_equal(verifier_key_format(signing_key_verifier(key), &text), 0);
        assert_string_equal(text.data, GO_VERIFIER);
        assert_int_equal(signing_key_format(key, &signer), 0);
        assert_string_equal(signer.data, GO_SIGNER);
        assert_int_equal(signing_key_sign(key, GO_TEXT, strlen(GO_TEXT), signature), 0);
        assert_int_equal(base64_decode(GO_SIGNATURE, strlen(GO_SIGNATURE), expected, sizeof(expected)),
                         sizeof(expected));
        assert_memory_equal(signature, expected + 4, KEY_SIGNATURE_BYTES);
        assert_int_equal(expected[0], 0xc7);
}

static void keys_that_are_not_are_refused(void **state) {
        (void)state;
        static const char *const texts[] = {
                "",
                "PeterNeumann",
                "PeterNeumann+c74f20a3",
                "PeterNeumann+c74f20a3+",
                "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", /* other id */
                "PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", /* other name */
                "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", /* other type */
                "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
                "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n\n",
                "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        };
        struct verifier_key key;
        assert_int_equal(verifier_key_parse(GO_VERIFIER "\n", strlen(GO_VERIFIER) + 1, &key), 0);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_int_equal(verifier_key_parse(texts[i], strlen(texts[i]), &key), -EINVAL);
}

static void base64_takes_one_spelling_only(void **state) {
        (void)state;
        uint8_t bytes[8];
        assert_int_equal(base64_decode("", 0, bytes, sizeof(bytes)), 0);
        assert_int_equal(base64_decode("AQI=", 4, bytes, sizeof(bytes)), 2);
        assert_int_equal(base64_decode("AQ==", 4, bytes, sizeof(bytes)), 1);
        static const char *const texts[] = {
                "AQ", "AQI", "A===", "AQJ=", "AR==", "AQ=A", "AQI\n", "AQ-_", "===="};
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_int_equal(base64_decode(texts[i], strlen(texts[i]), bytes, sizeof(bytes)), -EINVAL);
        assert_int_equal(base64_decode("AQIDBAUGBwgJ", 12, bytes, sizeof(bytes)), -EINVAL); /* nine bytes */
}

static struct signing_key *key_new(const char *name, uint8_t seed_byte) {
        uint8_t seed[KEY_BYTES];
        struct signing_key *key = NULL;
        memset(seed, seed_byte, sizeof(seed));
        assert_int_equal(signing_key_new(name, seed, &key), 0);
        return key;
}

static void a_checkpoint_says_what_was_signed(void **state) {
        (void)state;
        _cleanup_(signing_key_freep) struct signing_key *key = key_new("hinomi/shop-1", 1);
        _cleanup_(signing_key_freep) struct signing_key *other = key_new("hinomi/shop-1", 2);
        _cleanup_(signing_key_freep) struct signing_key *renamed = key_new("hinomi/shop-2", 1);
        _cleanup_(buffer_deinit) struct buffer note = {0};
        struct checkpoint checkpoint;
        struct digest root;
        assert_int_equal(digest_bytes("root", 4, &root), 0);
        assert_int_equal(checkpoint_sign(key, 20852163, &root, 1700000000, &note), 0);
        static const char begin[] = "hinomi/shop-1\n20852163\n";
        assert_memory_equal(note.data, begin, strlen(begin));
        assert_int_equal(checkpoint_open(note.data, note.size, signing_key_verifier(key), &checkpoint), 0);
        assert_string_equal(checkpoint.origin, "hinomi/shop-1");
        assert_int_equal(checkpoint.size, 20852163);
        assert_int_equal(checkpoint.time_s, 1700000000);
        assert_true(digest_equal(&checkpoint.root, &root));
        assert_int_equal(checkpoint_open(note.data, note.size, signing_key_verifier(other), &checkpoint),
                         -ENOKEY);
        assert_int_equal(checkpoint_open(note.data, note.size, signing_key_verifier(renamed), &checkpoint),
                         -ENOKEY);
}

static void no_bit_of_a_checkpoint_can_change(void **state) {
        (void)state;
        _cleanup_(signing_key_freep) struct signing_key *key = key_new("hinomi/shop-1", 1);
        _cleanup_(buffer_deinit) struct buffer note = {0};
        struct checkpoint checkpoint;
        struct digest root = {{0}};
        assert_int_equal(checkpoint_sign(key, 7, &root, 1700000000, &note), 0);
        const struct verifier_key *verifier = signing_key_verifier(key);
        for (size_t i = 0; i < note.size; i++)
                for (int bit = 0; bit < 8; bit++) {
                        note.data[i] ^= (char)(1 << bit);
                        int r = checkpoint_open(note.data, note.size, verifier, &checkpoint);
                        /* a signature line that names another key is passed over: then it is not dated */
                        if (r == 0)
                                assert_int_equal(checkpoint.time_s, 0);
                        note.data[i] ^= (char)(1 << bit);
                }
        for (size_t n = 0; n < note.size; n++)
                if (checkpoint_open(note.data, n, verifier, &checkpoint) == 0)
                        assert_int_equal(checkpoint.time_s, 0); /* cut behind the first signature */
}

static void signatures_of_witnesses_are_passed_over(void **state) {
        (void)state;
        _cleanup_(signing_key_freep) struct signing_key *key = key_new("hinomi/shop-1", 1);
        _cleanup_(buffer_deinit) struct buffer note = {0};
        struct checkpoint checkpoint;
        struct digest root = {{0}};
        assert_int_equal(checkpoint_sign(key, 7, &root, 1700000000, &note), 0);
        assert_int_equal(buffer_append_string(&note, "\u2014 witness.example/w1 " GO_SIGNATURE "\n"), 0);
        assert_int_equal(checkpoint_open(note.data, note.size, signing_key_verifier(key), &checkpoint), 0);
        assert_int_equal(buffer_append_string(&note, "no signature\n"), 0);
        assert_int_equal(checkpoint_open(note.data, note.size, signing_key_verifier(key), &checkpoint),
                         -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_signature_is_the_one_go_makes),
                cmocka_unit_test(keys_that_are_not_are_refused),
                cmocka_unit_test(base64_takes_one_spelling_only),
                cmocka_unit_test(a_checkpoint_says_what_was_signed),
                cmocka_unit_test(no_bit_of_a_checkpoint_can_change),
                cmocka_unit_test(signatures_of_witnesses_are_passed_over),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
