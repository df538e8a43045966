/*
 * Checks a log from its files alone: no daemon, nothing written, nothing trusted but the keys.
 *
 * Checked: the key, the checkpoint's signatures and date; every entry against the hash tiles, every tile
 * against the one above, the root; that each entry is a JSON object with a time and that times never go
 * back; that nothing is missing and nothing stands behind the end; the chain of seals and that the log
 * still is what each of them says. On the machine itself also the journal and the seal key in STATE/keys,
 * which do not lie with the ledger: setting the ledger's files back to an older genuine state is found by
 * them.
 *
 * What a root intruder can still do: forge entries from his arrival on (he has the keys); take out what
 * is younger than the last seal by rewriting journal and log; set the whole of STATE back to a copy he took
 * himself on an earlier day. Only what left the machine shows that: a checkpoint kept elsewhere (`against`),
 * a key.pub kept elsewhere
 * (`key`). Nothing here can tell that the machine's clock was right.
 *
 * A log that is being written is checked up to the checkpoint that stands there towards the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/checkpoint.h"
#include "ledger/format.h"

/* What is wrong. `index` is the first bad entry where there is one; the other members are named per row. */
enum ledger_problem {
        LEDGER_SOUND,
        LEDGER_NOT_FOUND,       /* no log here */
        LEDGER_KEY,             /* key.pub missing or damaged */
        LEDGER_KEY_OTHER,       /* key.pub is not the key that was expected */
        LEDGER_CHECKPOINT,      /* checkpoint missing or damaged */
        LEDGER_SIGNATURE,       /* checkpoint not signed by the key */
        LEDGER_CHECKPOINT_TIME, /* checkpoint dated before its last entry */
        LEDGER_CUT,             /* entries from `index` on are missing; `other`: checkpoint's size */
        LEDGER_SURPLUS,         /* `path`: data behind the end */
        LEDGER_HASH,            /* entry `index`: not what its hash says */
        LEDGER_RANGE,           /* one of the entries `index` to `other` is not what was signed */
        LEDGER_TILE,            /* `path`: missing or damaged; `index`: first entry below it */
        LEDGER_JSON,            /* entry `index`: not a JSON object with a time */
        LEDGER_TIME,            /* entry `index` is dated before the one before it */
        LEDGER_ROOT,            /* all files agree with each other, but not with the checkpoint */
        LEDGER_ROLLBACK,        /* set back to `index` entries; `other` were committed */
        LEDGER_SEALS,           /* seal number `index`: missing, forged or out of order */
        LEDGER_SEALED,          /* one of the entries `index` to `other` is not what was sealed */
        LEDGER_KEYS_MISSING,    /* STATE/keys (`path`) is gone or damaged: a rollback cannot be ruled out */
        LEDGER_AGAINST_KEY,     /* the checkpoint kept elsewhere is not of this log */
        LEDGER_AGAINST_SHORT,   /* the log has `index` entries, the one kept elsewhere `other` */
        LEDGER_AGAINST_OTHER,   /* the first `other` entries are not those of the checkpoint kept elsewhere */
        LEDGER_SET_ASIDE,       /* `path`: an earlier log was found damaged and put aside */
        LEDGER_PROBLEMS,
};

/* What could not be checked here, without being wrong. */
#define LEDGER_NOTE_COPY       1u /* no STATE/keys: a copy; whether it is the newest cannot be told */
#define LEDGER_NOTE_UNREADABLE 2u /* STATE/keys may not be read by this user: the same */
#define LEDGER_NOTE_LIVE       4u /* a writer is at work */

struct ledger_report {
        enum ledger_problem problem; /* the first one found */
        uint64_t index;
        uint64_t other;
        char path[TILE_PATH_SIZE * 2];
        unsigned notes;
        struct checkpoint checkpoint; /* that was checked against; valid when its signature is */
        uint64_t entries;             /* checked and good */
        uint64_t seals;
        uint64_t last_time_ns;
};

struct ledger_verify_options {
        const char *path;               /* STATE, or the directory of a copy */
        bool expect_keys;               /* STATE/keys must be there: it is the machine itself, not a copy */
        const struct verifier_key *key; /* the log's key, kept elsewhere; or NULL */
        const char *against;            /* text of a checkpoint kept elsewhere; or NULL */
        size_t against_bytes;
        void (*progress)(void *userdata, uint64_t done, uint64_t total); /* or NULL */
        void *userdata;
};

/* Returns 0 (the report says what was found) or a negative errno (nothing could be found out). */
int ledger_verify(const struct ledger_verify_options *options, struct ledger_report *ret_report);

/* A stable word for scripts: "sound", "cut", "hash" … */
const char *ledger_problem_name(enum ledger_problem problem);
