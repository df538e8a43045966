/*
 * A checkpoint (C2SP tlog-checkpoint): a signed note that says how long the log is and what is in it.
 *
 *   ORIGIN\n SIZE\n BASE64(root)\n
 *   \n
 *   — ORIGIN BASE64(id, signature)\n             over the three lines
 *   — ORIGIN BASE64(id, u64 time, signature)\n   over "cosignature/v1\ntime TIME\n" and the three lines
 *
 * The second signature (C2SP tlog-cosignature, by the log's own key) dates it, so that a heartbeat
 * over an unchanged log differs from the one before. Signatures of others (witnesses) are passed over.
 */
#pragma once

#include "base/digest.h"
#include "ledger/key.h"

#define CHECKPOINT_BYTES_MAX ((size_t)16 << 10)

struct checkpoint {
        char origin[KEY_NAME_SIZE];
        uint64_t size;
        struct digest root;
        uint64_t time_s; /* Unix; 0: not dated by this key */
};

/* Appends the note. `origin` is the key's name. */
int checkpoint_sign(const struct signing_key *key, uint64_t size, const struct digest *root, uint64_t time_s,
                    struct buffer *note);

/*
 * Parses and checks a note. Returns 0, -EBADMSG (not a checkpoint), -ENOKEY (not signed by this key),
 * or -EKEYREJECTED (a signature that claims to be of this key is not).
 */
int checkpoint_open(const char *note, size_t size, const struct verifier_key *key,
                    struct checkpoint *ret_checkpoint);
