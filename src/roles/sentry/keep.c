/*
 * The vault within its size and its times: when to look (vault/retention does it), and telling the owner
 * what went before its time, at most once an hour.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "roles/sentry/sentry.h"

#define AGAIN_NS    (600 * NS_PER_S)  /* when nothing more could go */
#define FAILED_NS   (3 * NS_PER_S)    /* the same, for a file at hand: a burst of them costs one attempt */
#define INTERVAL_NS (3600 * NS_PER_S) /* what is older than vault.retention waits so long at most */
#define TELL_NS     (3600 * NS_PER_S)
#define DAY_NS      (UINT64_C(86400) * NS_PER_S)

static uint64_t share_bytes(const struct sentry *sentry) {
        const struct config_options *options = &sentry->config->options;
        return options->vault_budget_bytes / 100 * options->vault_evidence_percent;
}

/* True: what intake looked at so far was committed, and a new transaction is to be begun. */
static bool settle_batch(struct sentry *sentry) {
        bool in_batch = catalog_begin(sentry->catalog) == -EALREADY;
        if (in_batch)
                store_sync(sentry->store); /* content before its approval */
        catalog_commit(sentry->catalog);
        return in_batch;
}

static int collect(uint64_t wanted_bytes, struct sentry *sentry) {
        struct keeping *keeping = &sentry->keeping;
        /* A clock that jumped would make everything old at once. */
        uint64_t keep_ns = sentry->clock_stepped ? 0 : sentry->config->options.vault_retention_ns;
        const struct retention retention = {.store = sentry->store,
                                            .catalog = sentry->catalog,
                                            .observed = sentry->observed,
                                            .evidence_bytes_max = share_bytes(sentry),
                                            .keep_ns = keep_ns};
        struct retention_result result;
        struct store_usage usage = {0};
        int r = retention_collect(&retention, wanted_bytes, clock_wall_ns(&clock_system), &result);
        store_usage(sentry->store, &usage);
        keeping->done_ns = clock_monotonic_ns(&clock_system);
        keeping->failed_ns = r < 0 ? keeping->done_ns : 0;
        keeping->failed_bytes = wanted_bytes;
        keeping->again = r > 0;
        keeping->stored_bytes = usage.stored_bytes;
        keeping->evidence_bytes = result.evidence_bytes;
        keeping->n_given_up += result.n_given_up;
        struct retention_result *untold = &keeping->untold;
        untold->n_given_up += result.n_given_up;
        untold->given_up_bytes += result.given_up_bytes;
        untold->n_displaced += result.n_displaced;
        untold->displaced_bytes += result.displaced_bytes;
        untold->n_expired += result.n_expired;
        untold->expired_bytes += result.expired_bytes;
        return r < 0 ? r : 0;
}

/* History can only be forgotten outside of a transaction, and intake works within one. */
static int make_room(uint64_t wanted_bytes, void *userdata) {
        struct sentry *sentry = userdata;
        const struct keeping *keeping = &sentry->keeping;
        if (keeping->failed_ns && wanted_bytes >= keeping->failed_bytes &&
            clock_monotonic_ns(&clock_system) - keeping->failed_ns < FAILED_NS)
                return -ENOSPC;
        bool in_batch = settle_batch(sentry);
        int r = collect(wanted_bytes, sentry);
        if (in_batch)
                catalog_begin(sentry->catalog);
        return r;
}

struct baseline sentry_baseline(struct sentry *sentry) {
        return (struct baseline){.catalog = sentry->catalog,
                                 .store = sentry->store,
                                 .make_room = make_room,
                                 .dirty_ns = BASELINE_DIRTY_NS,
                                 .userdata = sentry};
}

static void tell_one(struct sentry *sentry, const char *title, const char *type, enum severity severity,
                     uint64_t n, uint64_t bytes) {
        char detail[64];
        _cleanup_(freep) char *path = NULL;
        if (!n || asprintf(&path, "%s/vault", sentry->context->state) < 0)
                return;
        snprintf(detail, sizeof(detail), "%" PRIu64 " contents, %" PRIu64 " bytes", n, bytes);
        report_state(sentry, title, type, severity, path, detail);
}

static void tell(struct sentry *sentry, uint64_t now_ns) {
        struct keeping *keeping = &sentry->keeping;
        const struct retention_result untold = keeping->untold;
        if (!untold.n_given_up && !untold.n_displaced && !untold.n_expired)
                return;
        if (keeping->told_ns && now_ns - keeping->told_ns < TELL_NS)
                return;
        keeping->told_ns = now_ns;
        keeping->untold = (struct retention_result){0};
        tell_one(sentry, N_("Evidence made room for newer evidence"), "evidence_given_up", SEVERITY_MEDIUM,
                 untold.n_given_up, untold.given_up_bytes);
        tell_one(sentry, N_("Past approved states made room: the vault is at its size"), "history_shortened",
                 SEVERITY_LOW, untold.n_displaced, untold.displaced_bytes);
        tell_one(sentry, N_("What is older than vault.retention is no longer kept"), "retention_over",
                 SEVERITY_INFORMATIONAL, untold.n_expired, untold.expired_bytes);
}

/* Evidence may have outgrown its share since the last look. */
static bool has_grown(const struct sentry *sentry, const struct store_usage *usage) {
        const struct keeping *keeping = &sentry->keeping;
        uint64_t share = share_bytes(sentry);
        uint64_t grown =
                usage->stored_bytes > keeping->stored_bytes ? usage->stored_bytes - keeping->stored_bytes : 0;
        return keeping->evidence_bytes + grown > share && grown > share / 16;
}

void keep_tick(struct sentry *sentry) {
        struct keeping *keeping = &sentry->keeping;
        struct store_usage usage;
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        tell(sentry, now_ns);
        if (store_usage(sentry->store, &usage) < 0)
                return;
        uint64_t tenth = usage.budget_bytes / 10;
        bool is_short = usage.full || usage.stored_bytes >= usage.budget_bytes - tenth / 2;
        bool is_due = !keeping->done_ns || now_ns - keeping->done_ns > INTERVAL_NS || keeping->again ||
                      has_grown(sentry, &usage);
        if (keeping->failed_ns && now_ns - keeping->failed_ns <= AGAIN_NS)
                return;
        if (is_short || is_due)
                collect(is_short ? tenth : 0, sentry);
}

uint64_t keep_complete_since(struct sentry *sentry) {
        return catalog_forgotten(sentry->catalog, CATALOG_UNRELEASED);
}

bool keep_is_shortened(struct sentry *sentry) {
        uint64_t since_ns = keep_complete_since(sentry), now_ns = clock_wall_ns(&clock_system);
        uint64_t keep_ns = sentry->config->options.vault_retention_ns;
        return since_ns && since_ns + keep_ns > now_ns + DAY_NS;
}
