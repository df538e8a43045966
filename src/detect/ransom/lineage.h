/*
 * What the changes by one hand add up to: files lost, put together over days. The sentry keeps one case per
 * (root of a lineage, user, tree) and adds a sign for each change.
 *
 * Model: every file has a weight by what its content became; weights fade with a half-life of RANSOM_HALF_LIFE_NS,
 * so that a slow hand is seen and a year of odd files is not. Content counts most. Extensions, notes, decoys
 * and the number of directories only speed it up: without lost content there is no ATTACK, but for notes in
 * several directories beside many files renamed or removed. A file created as ciphertext and an original that goes
 * are a pair, whichever comes first. Files that the same hand altered well raise what is needed, by a bounded amount.
 *
 * Limits: the tables below; the lightest file makes room. Pure; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "detect/ransom/signs.h"

#define RANSOM_HALF_LIFE_NS    (UINT64_C(72) * 3600 * NS_PER_S)
#define RANSOM_FILES_MAX       64 /* files that a case remembers */
#define RANSOM_LOOSE_MAX       64 /* created or deleted files that wait for their other half */
#define RANSOM_DIRECTORIES_MAX 16
#define RANSOM_YOUNG_MAX       4096
#define RANSOM_YOUNG_NS        (UINT64_C(3600) * NS_PER_S)
#define RANSOM_COPIES_MAX      2048 /* ciphertext whose names are remembered, should the originals go much later */

enum ransom_kind {
        RANSOM_ALTERED, /* also: replaced by a rename over it */
        RANSOM_CREATED,
        RANSOM_DELETED,
        RANSOM_RENAMED,
};

enum ransom_verdict {
        RANSOM_NONE,
        RANSOM_WATCH,
        RANSOM_ATTACK, /* stays; it is the caller who ends a case */
};

/* One change to one file. Hashes are the caller's or those of ransom_sign_name(); 0: not known. */
struct ransom_sign {
        enum ransom_kind kind;
        uint64_t path;
        uint64_t stem;      /* of the path without its last extension */
        uint64_t extension; /* 0: the name has none */
        uint64_t from;      /* renamed: the path before */
        uint64_t directory;
        uint64_t size_bytes; /* deleted: of what stood there */
        uint64_t time_ns;    /* any clock that does not stop; one clock per case */
        bool extension_changed;
        bool decoy;
        bool examined; /* `content` is the assayer's answer */
        struct ransom_signs content;
};

/* Sets path, stem, extension and directory from a path. */
void ransom_sign_name(struct ransom_sign *sign, const char *path);

/* For RANSOM_RENAMED: sets `from`, and `extension_changed` by comparison with what ransom_sign_name() set. */
void ransom_sign_from(struct ransom_sign *sign, const char *path);

struct ransom_case {
        enum ransom_verdict verdict;
        uint64_t last_ns, n_signs;
        struct ransom_file {
                uint64_t path, time_ns;
                float weight;
                bool is_renamed, is_decoy;
        } files[RANSOM_FILES_MAX];
        struct ransom_loose {
                uint64_t path, stem, extension, directory, size_bytes, order;
                bool is_deleted;
        } loose[RANSOM_LOOSE_MAX];
        struct ransom_copy {
                uint32_t stem, path; /* parts of the hashes; the place is given by the rest of the stem's */
        } copies[RANSOM_COPIES_MAX];
        struct ransom_young {
                uint32_t path, second; /* as in copies; 0: free */
        } young[RANSOM_YOUNG_MAX];
        uint64_t directories[RANSOM_DIRECTORIES_MAX]; /* with lost files */
        uint64_t note_directories[RANSOM_DIRECTORIES_MAX];
        unsigned n_files, n_loose, n_directories, n_note_directories;
        unsigned n_well, n_deleted, n_renamed, n_decoys, n_pairs, n_wiped, n_encoded, n_dropped;
        char example[RANSOM_REASON_SIZE]; /* why the content of the heaviest file is lost */
        unsigned example_weight;
};

void ransom_case_init(struct ransom_case *ransom);

/* At once when a file is seen that was not there, of which no other name is known; its sign may come after that
 * of its removal. For RANSOM_YOUNG_NS it is no original of somebody's: caches, packing and builds remove their own. */
void ransom_case_created(struct ransom_case *ransom, const struct ransom_sign *sign);

/* Returns the verdict as it stands with this sign. */
enum ransom_verdict ransom_case_add(struct ransom_case *ransom, const struct ransom_sign *sign);

/* What it weighs at `last_ns`; an ATTACK takes 100 or more. */
unsigned ransom_case_score(const struct ransom_case *ransom);

/* Array of "msgid: numbers", the weightiest first. New reference; NULL: out of memory. */
json_t *ransom_case_reasons(const struct ransom_case *ransom);
