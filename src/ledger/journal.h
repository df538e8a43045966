/*
 * STATE/keys/journal: what makes a commit durable with one fdatasync, and what the public
 * files are rebuilt from after a crash. Written in place in a file of fixed size, so that a full
 * disk does not stop it and the file system has nothing but data to flush.
 *
 *   0     16  "hinomi-journal 1"
 *   16     4  bytes of the identity that follows (big-endian, like all numbers here)
 *   20     …  texts of STATE/ledger/key.pub and seal.pub, one after the other
 *   4096      area A, JOURNAL_AREA_BYTES;  then area B
 *
 * An area is a run of records, each one commit:
 *
 *   0      8  magic (begins with NUL, which no entry can forge: an entry is JSON text)
 *   8      8  sequence, one more than the record before
 *   16     8  index of the first entry
 *   24     8  time, nanoseconds since 1970
 *   32     4  entries;  36  4  bytes of the entries;  40  4  bytes of the note;  44  4  zero
 *   48    32  root of the tree before
 *   80    32  digest of the record before in this area; zero for the first
 *   112    …  entries as in a bundle, then the signed checkpoint note
 *   …     32  SHA-256 of all of the above
 *
 * The areas take turns: the other one is begun, over its old content, only when everything in this one is
 * on disk in the public files. The newer area (higher sequence) holds the last commit. As the journal does
 * not lie with the ledger, it also tells when the ledger's files were set back to an older state.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"

#define JOURNAL_NAME         "journal"
#define JOURNAL_HEADER_BYTES 4096
#define JOURNAL_AREA_BYTES   ((size_t)2 << 20)
#define JOURNAL_BYTES        (JOURNAL_HEADER_BYTES + 2 * JOURNAL_AREA_BYTES)
#define JOURNAL_RECORD_EXTRA 144 /* bytes of a record beside entries and note */

struct journal_record {
        uint64_t sequence;
        uint64_t first_index;
        uint64_t time_ns;
        uint32_t n_entries;
        struct digest root_before;
        struct digest previous;
        const char *entries; /* into the decoded bytes */
        size_t entries_bytes;
        const char *note;
        size_t note_bytes;
        struct digest digest; /* of the record itself */
};

static inline size_t journal_record_bytes(const struct journal_record *record) {
        return JOURNAL_RECORD_EXTRA + record->entries_bytes + record->note_bytes;
}

/* Appends the record's bytes and sets record->digest. */
int journal_record_encode(struct digester *digester, struct journal_record *record, struct buffer *buffer);

/* Returns 1, or 0: there is no whole record here. Never reads past `size`. */
int journal_record_decode(struct digester *digester, const char *data, size_t size,
                          struct journal_record *ret_record);

/* A journal in memory. */
struct journal_image {
        char *bytes; /* JOURNAL_BYTES */
        const char *identity;
        size_t identity_bytes;
        unsigned area;               /* the newer one */
        size_t used_bytes;           /* of its records */
        struct journal_record first; /* of the area */
        struct journal_record last;
};

void journal_image_deinit(struct journal_image *image);

/* Returns 1, 0 (a journal without a record), -EBADMSG (not a journal) or read's error. */
int journal_load(int fd, struct digester *digester, struct journal_image *ret_image);

/* The next record of the newer area; `*offset` starts at 0. Returns 1 or 0 at the end. */
int journal_next(const struct journal_image *image, struct digester *digester, size_t *offset,
                 struct journal_record *ret_record);

/* First bytes of a new journal: header and identity, JOURNAL_HEADER_BYTES of them. */
int journal_header_encode(struct buffer *buffer, const char *identity, size_t identity_bytes);

static inline uint64_t journal_area_offset(unsigned area) {
        return JOURNAL_HEADER_BYTES + area * JOURNAL_AREA_BYTES;
}
