/*
 * `hinomi drill skimmer`: a rehearsal of an altered payment application, timed, harmless.
 *
 * A scratch shop (or a copy of --tree) is made in a private directory, a private guard of this same
 * binary watches it, then one line of script from a reserved host (skimmer.example, RFC 2606) goes into the
 * checkout template and a PHP file with no effect into the uploads. Measured from the write: seen (a finding
 * came), shown (it has the diff, or the hash of a new file among data, and the process), undone (the approved content stands there again), proved
 * (the private ledger verifies and holds the finding). Everything is removed afterwards.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct drill_options {
        const char *binary; /* this program, e.g. /proc/self/exe */
        const char *packs;
        const char *tree;    /* NULL: a shop of the drill's own making */
        const char *scratch; /* parent of the private directory; NULL: $TMPDIR or /var/tmp */
        const char *socket;  /* the main daemon's, to record the drill as training evidence */
        unsigned wait_ms;    /* for each of the four; 0: 10 s */
};

enum drill_question {
        DRILL_SEEN,
        DRILL_SHOWN,
        DRILL_UNDONE,
        DRILL_PROVED,
        DRILL_QUESTIONS,
};

struct drill_answer {
        const char *plant; /* "checkout template", "upload" */
        const char *path;  /* in the scratch copy */
        bool held[DRILL_QUESTIONS];
        uint64_t after_ns[DRILL_QUESTIONS]; /* since the write; 0 where not held */
};

/* Called with progress ("baseline", "planting", …; answer NULL) and with each answer. */
typedef void (*drill_report)(const char *stage, const struct drill_answer *answer, void *userdata);

struct drill_result {
        bool all_held;
        bool recorded;    /* in the main daemon's ledger */
        char detail[256]; /* when something went wrong, in words */
};

/* Returns 0 when the drill was held (see result) or a negative errno when it could not be. */
int drill_skimmer(const struct drill_options *options, drill_report report, void *userdata,
                  struct drill_result *ret_result);

const char *drill_question_name(enum drill_question question);
