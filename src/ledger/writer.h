/* The inside of a ledger that is open for writing; for ledger.c, recover.c and create.c alone. */
#pragma once

#include "ledger/edge.h"
#include "ledger/journal.h"
#include "ledger/key.h"
#include "ledger/ledger.h"
#include "ledger/publisher.h"
#include "ledger/seal.h"
#include "ledger/stamp.h"
#include "ledger/world.h"

struct ledger {
        const struct ledger_world *world;
        int directory_fd; /* STATE/ledger */
        int keys_fd;      /* STATE/keys */
        int journal_fd;   /* locked */
        int seals_fd;
        struct digester *digester;
        struct signing_key *key;
        struct digest identity;      /* of the verifier key's text, for seals */
        struct buffer identity_text; /* key.pub and seal.pub */
        struct seal_key seal_key;
        uint64_t sealed_size; /* size at the last seal */
        struct stamp stamp;
        struct edge edge;
        struct publisher publisher;
        uint64_t recovered;
        bool broken; /* memory and disk may disagree: only opening again helps */

        struct {
                uint64_t sequence; /* of the last record */
                struct digest last;
                unsigned area;
                size_t used_bytes;
        } journal;

        struct {
                struct buffer entries; /* as in a bundle */
                struct digest *leaves;
                uint32_t count;
        } batch;
        struct buffer note;   /* the last checkpoint */
        struct buffer record; /* scratch */
};

/* create.c: opens the directories; makes keys and journal where the log is new. */
int writer_create(struct ledger *ledger, const char *state);

/* recover.c: memory from journal and files; public files again from both. */
int writer_recover(struct ledger *ledger, const struct clock *clock);

/* The texts of key.pub and seal.pub, one line each, and the files. Files that are right are left alone. */
int writer_identity_format(const struct signing_key *key, const uint8_t seal_public_key[static KEY_BYTES],
                           struct buffer *text);
int writer_identity_publish(struct ledger *ledger, const char *identity, size_t size);

/* Makes an empty journal and opens and locks it. */
int writer_journal_create(struct ledger *ledger);
