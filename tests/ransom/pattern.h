/* What a locker does to a file: one row for each pattern of behaviour, one function for each row.
 *
 * Nothing is lost for good: contents are XORed with a keystream that --seed and the file's first name determine,
 * so that the same pattern with the same seed undoes the patterns that work in place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "scratch.h"

enum {
        BLOCK_BYTES = 1 << 20,
        UNTOUCHED = 1, /* nothing in this file to alter: empty, or smaller than the pattern's first step */
        MEMORY_MAX = 1 << 28,
};

struct counters {
        uint64_t n_started, n_altered, n_denied, n_failed, n_untouched;
};

struct job {
        const char *pattern, *extension, *note, *order;
        int root, elsewhere, log; /* elsewhere: a second marked directory, or -1; log: or -1 */
        uint64_t seed, start_ns;
        double rate;
        unsigned n_processes, n_threads;
        size_t n_files;
        bool with_links, fork_per_file, skip_hidden, keep_times;
        struct targets targets;
        struct counters *counters; /* shared by all processes */
};

struct victim {
        const struct job *job;
        int folder;
        const char *name;
        uint64_t key, size_bytes;
};

struct pattern {
        const char *name, *says;
        int (*alter)(struct victim *victim);     /* one file: 0, UNTOUCHED, or a negative errno */
        int (*alter_all)(const struct job *job); /* in place of alter: the whole list at once */
        double rate;                             /* files per second unless --rate says otherwise */
        unsigned n_processes;
        bool needs_root, needs_elsewhere;
};

const struct pattern *pattern_find(const char *name);
extern const struct pattern patterns[];
extern const size_t n_patterns;

/* cipher.c */
struct shape { /* which bytes; 0 stands for no limit */
        uint64_t skip_bytes, on_bytes, off_bytes, cap_bytes;
        unsigned percent, n_spots;
};
uint64_t cipher_key(uint64_t seed, const char *path);
uint64_t cipher_random(uint64_t value);
void cipher_apply(uint64_t key, uint64_t offset, uint8_t *bytes, size_t n);
bool shape_range(const struct shape *shape, uint64_t size, uint64_t offset, uint64_t *ret_from,
                 uint64_t *ret_to);
void shape_apply(const struct shape *shape, uint64_t key, uint64_t size, uint64_t offset, uint8_t *bytes,
                 size_t n);
int cipher_in_place(int fd, uint64_t key, uint64_t size, const struct shape *shape);
int cipher_copy(int from, int to, uint64_t key);
int read_whole(int fd, uint8_t **ret_bytes, size_t *ret_n);
int write_all(int fd, const void *bytes, size_t n, uint64_t offset);
int extended_name(const struct victim *victim, char *ret_name, size_t n);

/* Alterations; see the table in pattern.c. */
int alter_full(struct victim *victim);
int alter_uring_in_place(struct victim *victim);
int alter_uring_copy(struct victim *victim);
int alter_uring_poll(struct victim *victim);
int alter_by_handle(struct victim *victim);
int alter_by_reopen(struct victim *victim);
int alter_by_hard_link(struct victim *victim);
int alter_by_symlink(struct victim *victim);
int alter_by_mount(struct victim *victim);
int alter_by_openssl(struct victim *victim);
int alter_by_zip(struct victim *victim);
int alter_by_python(struct victim *victim);
int alter_by_perl(struct victim *victim);
int alter_by_shell(struct victim *victim);
int alter_by_punch(struct victim *victim);
int alter_by_exchange(struct victim *victim);
int alter_by_copy_range(struct victim *victim);
int alter_by_clone(struct victim *victim);
int alter_by_direct(struct victim *victim);
int alter_all_early(const struct job *job);
int alter_all_archive(const struct job *job);
int alter_all_folders(const struct job *job);

/* job.c: what stands around each alteration. */
int job_begin(const struct job *job, const struct target *target, struct victim *ret);
void job_end(const struct job *job, const struct target *target, struct victim *victim, int result);
int job_run(const struct job *job, const struct pattern *pattern);
