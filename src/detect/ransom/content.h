/*
 * One file's approved content against what stands there now: is it lost? Runs in the assayer only, on bytes an
 * attacker chose.
 *
 * Model: blocks that differ are picked at random, and of each the bytes that were overwritten are looked at, apart
 * from those that were left. So a stripe of 16 bytes in 32 or of one block in thirty is as visible as the whole.
 * Where what is new is even as ciphertext and what stood there was not, content went. Where both are, the file's
 * type decides: does it still hold together, does what it packs unpack. A compressed form of the old
 * content, a re-encoded image, a rewritten document and pages of a database do. Evenness alone decides nothing.
 *
 * Without approved content the same questions are put to a created file, and the answers weigh less: nothing is lost
 * by it. A caller who knows which original a created file came from hands that over as what stood before.
 *
 * Limits: what RANSOM_HEAD_BYTES and the samples hold; FORM_UNPACK_MAX bytes unpacked a file. Static buffers: one thread.
 */
#pragma once

#include "detect/ransom/signs.h"
#include "detect/view.h"

#define RANSOM_HEAD_BYTES    ((size_t)8 << 20) /* looked at whole; past it samples */
#define RANSOM_SAMPLES_MAX   256
#define RANSOM_SAMPLE_BYTES  ((size_t)16 << 10)
#define RANSOM_CONTENT_BYTES (RANSOM_HEAD_BYTES + RANSOM_SAMPLES_MAX * RANSOM_SAMPLE_BYTES)

struct ransom_content {
        struct view bytes; /* the beginning, then samples, which stand at the same offsets in both files */
        size_t head_bytes; /* of `bytes`: the beginning, without a gap */
        uint64_t size_bytes;
};

struct ransom_request {
        bool has_before;
        struct ransom_content before, after;
        uint64_t seed; /* from getrandom(2): who knows where it is looked writes elsewhere */
};

/*
 * Where the samples lie: ret_offsets in order, ret_n of RANSOM_SAMPLE_BYTES each. `size_bytes` is the smaller
 * file's; none where RANSOM_HEAD_BYTES hold it.
 */
void ransom_places(uint64_t size_bytes, uint64_t seed, uint64_t ret_offsets[static RANSOM_SAMPLES_MAX],
                   size_t *ret_n);

void ransom_compare(const struct ransom_request *request, struct ransom_signs *ret_signs);
