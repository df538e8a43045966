/*
 * What the machine itself knows of the log beside the log's files, and the list of sizes with known roots
 * that is made of it. For verify.c alone.
 */
#pragma once

#include "ledger/journal.h"
#include "ledger/seal.h"
#include "ledger/verify.h"

/* The log had this root at this size, says `source`. */
struct mark {
        uint64_t size;
        struct digest root;
        enum { MARK_JOURNAL, MARK_SEAL, MARK_AGAINST } source;
};

struct marks {
        struct mark *items; /* sorted by size */
        size_t n;
};

void marks_deinit(struct marks *marks);
int marks_add(struct marks *marks, const struct mark *mark);
void marks_sort(struct marks *marks);

struct host {
        int directory_fd;
        int keys_fd;    /* -EBADF: a copy, or not readable */
        int journal_fd; /* likewise */
        struct digester *digester;
        struct journal_image journal;
        bool has_journal; /* with a record */
};

void host_deinit(struct host *host);

/* Opens the log's directory and, where there are any, the keys. Sets notes or a problem in the report. */
int host_open(struct host *host, const char *path, bool expect_keys, struct ledger_report *report);

/* True while somebody has the log open for writing. */
bool host_live(const struct host *host);

/* Reads the journal again. The roots it knows are added to `marks` if not NULL. */
int host_journal_load(struct host *host, struct marks *marks, struct ledger_report *report);

/*
 * Checks the chain of seals and adds what they say to `marks`. `identity` is key.pub, then seal.pub.
 */
int host_seals_check(const struct host *host, const char *identity, size_t identity_bytes,
                     struct marks *marks, struct ledger_report *report);

/*
 * Walks all tiles: the least number of entries that explains every file there is, and the file that demands
 * it. UINT64_MAX for a file that belongs to no log.
 */
int host_extent(const struct host *host, uint64_t *ret_size, char ret_path[static TILE_PATH_SIZE * 2]);

/* Looks for logs that were put aside. */
int host_set_aside_check(const struct host *host, struct ledger_report *report);

/* Notes the first problem alone. Always returns 0. */
int report_problem(struct ledger_report *report, enum ledger_problem problem, uint64_t index, uint64_t other,
                   const char *path);
