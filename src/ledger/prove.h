/*
 * Proof that one entry is in the log, for somebody who has nothing but the log's verifier key:
 *
 *   c2sp.org/tlog-proof@v1
 *   extra BASE64(the entry's bytes)
 *   index INDEX
 *   BASE64(hash)            the inclusion path (RFC 6962, 2.1.1), leaf's sibling first
 *   …
 *
 *   the signed checkpoint
 *
 * Under 1 KB beside the entry for a log of a million entries. Any tool that knows the format can check it;
 * the record is SHA-256(0x00, entry). Proofs are parsed as hostile.
 */
#pragma once

#include "ledger/checkpoint.h"
#include "ledger/format.h"
#include "ledger/tree.h"

#define PROOF_BYTES_MAX ((size_t)256 << 10)

struct proof {
        uint64_t index;
        struct buffer entry;
        struct digest path[TREE_DEPTH_MAX];
        size_t n_path;
        struct buffer note;           /* the checkpoint's text */
        struct checkpoint checkpoint; /* set by proof_make() and proof_check() */
};

void proof_init(struct proof *proof);
void proof_deinit(struct proof *proof);

/*
 * Makes the proof of an entry from a state directory or a copy, and checks it before giving it out. Sets the
 * log's key. Returns 0, -ERANGE (no such entry; ret_proof->checkpoint says how many there are), -EBADMSG (the
 * log is damaged: verify says where), -ENOENT (no log).
 */
int proof_make(const char *path, uint64_t index, struct proof *ret_proof, struct verifier_key *ret_key);

int proof_format(const struct proof *proof, struct buffer *text);

/* Returns 0, -EBADMSG (not such a text) or -ENOMEM. Says nothing about truth. */
int proof_parse(const char *text, size_t size, struct proof *ret_proof);

/* Returns 0, -ENOKEY, -EKEYREJECTED (checkpoint_open()), -EBADMSG (the path does not lead to the root). */
int proof_check(struct proof *proof, const struct verifier_key *key);
