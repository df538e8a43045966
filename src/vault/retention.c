#include "vault/retention.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Ranks, the lowest goes first: a class above a time (nanoseconds since 1970 stay below 2^62 until 2116). */
#define CLASS_SHIFT 62
#define MUST_GO     UINT64_C(0)

enum rank_class {
        CLASS_UNRELEASED,
        CLASS_PAST,
        CLASS_EVIDENCE,
        CLASS_APPROVED,
};

#define FINDINGS 4096 /* buckets; findings that share one share its bound */

/* What findings name as evidence. */
struct witness {
        uint64_t prefix; /* first eight bytes of the digest */
        uint64_t time_ns;
        uint32_t finding; /* bucket */
};

struct witnesses {
        struct witness *items;
        size_t n, capacity;
};

struct collecting {
        const struct retention *retention;
        struct retention_result *result;
        uint64_t now_ns;
        uint64_t *by_finding; /* bytes of each bucket so far */
        struct witnesses witnesses;
};

static void witnesses_deinit(struct witnesses *witnesses) {
        free(witnesses->items);
}

#define TIME_MAX ((UINT64_C(1) << CLASS_SHIFT) - 1)

static uint64_t rank_make(enum rank_class class, uint64_t time_ns) {
        uint64_t time = time_ns > TIME_MAX ? TIME_MAX : time_ns ?: 1;
        return (uint64_t) class << CLASS_SHIFT | time;
}

static bool rank_is(uint64_t rank, enum rank_class class) {
        return rank != MUST_GO && rank >> CLASS_SHIFT == class;
}

static uint64_t prefix_of(const struct digest *digest) {
        uint64_t prefix;
        memcpy(&prefix, digest->bytes, sizeof(prefix));
        return prefix;
}

static int add_witness(const struct digest *digest, const char *finding, uint64_t time_ns, void *userdata) {
        struct witnesses *witnesses = userdata;
        if (witnesses->n == witnesses->capacity) {
                size_t capacity = witnesses->capacity ? 2 * witnesses->capacity : 1024;
                struct witness *items = reallocarray(witnesses->items, capacity, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                witnesses->items = items;
                witnesses->capacity = capacity;
        }
        uint32_t bucket = 0;
        for (const char *c = finding; *c; c++)
                bucket = bucket * 31 + (unsigned char)*c;
        witnesses->items[witnesses->n++] =
                (struct witness){prefix_of(digest), time_ns, bucket % (FINDINGS - 1) + 1};
        return 0;
}

/* Of one digest the newest comes last. */
static int compare_witnesses(const void *a, const void *b) {
        const struct witness *x = a, *y = b;
        if (x->prefix != y->prefix)
                return x->prefix < y->prefix ? -1 : 1;
        return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

/* The newest finding that names the content, or NULL. */
static const struct witness *find_witness(const struct witnesses *witnesses, const struct digest *digest) {
        uint64_t prefix = prefix_of(digest);
        size_t from = 0, to = witnesses->n;
        while (from < to) {
                size_t middle = from + (to - from) / 2;
                if (witnesses->items[middle].prefix <= prefix)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from && witnesses->items[from - 1].prefix == prefix ? &witnesses->items[from - 1] : NULL;
}

static bool is_expired(const struct collecting *collecting, uint64_t time_ns) {
        uint64_t keep_ns = collecting->retention->keep_ns;
        return keep_ns && time_ns < collecting->now_ns && collecting->now_ns - time_ns > keep_ns;
}

/* The bytes of evidence. */
static uint64_t rank_objects(const struct collecting *collecting, struct store_object *objects, size_t n) {
        struct retention_result *result = collecting->result;
        uint64_t evidence = 0;
        for (size_t i = 0; i < n; i++) {
                struct store_object *object = &objects[i];
                uint64_t until_ns = 0;
                enum catalog_claim claim =
                        catalog_claims(collecting->retention->catalog, &object->digest, &until_ns);
                const struct witness *witness = find_witness(&collecting->witnesses, &object->digest);
                uint64_t time_ns = witness ? witness->time_ns : object->time_ns;
                if (claim == CLAIMED_NOW)
                        object->rank = rank_make(CLASS_APPROVED, 0);
                else if (claim != CLAIMED_BY_NONE)
                        object->rank =
                                rank_make(claim == CLAIMED_PAST ? CLASS_PAST : CLASS_UNRELEASED, until_ns);
                else if (is_expired(collecting, time_ns)) {
                        object->rank = MUST_GO;
                        result->n_expired++;
                        result->expired_bytes += object->stored_bytes;
                } else {
                        object->rank = rank_make(CLASS_EVIDENCE, time_ns);
                        evidence += object->stored_bytes;
                }
        }
        return evidence;
}

static void give_up(const struct collecting *collecting, struct store_object *object, uint64_t *evidence) {
        object->rank = MUST_GO;
        *evidence -= object->stored_bytes;
        collecting->result->n_given_up++;
        collecting->result->given_up_bytes += object->stored_bytes;
}

/* Brings evidence back to its share: what findings have past their own part of it, then the oldest. */
static void bound_evidence(const struct collecting *collecting, struct store_object *objects, size_t n,
                           uint64_t *evidence) {
        uint64_t max = collecting->retention->evidence_bytes_max;
        if (!max || *evidence <= max)
                return;
        uint64_t wanted = max - max / 8; /* or every next put would come back here */
        for (size_t i = 0; i<n && * evidence> wanted; i++) {
                const struct witness *witness = find_witness(&collecting->witnesses, &objects[i].digest);
                if (!rank_is(objects[i].rank, CLASS_EVIDENCE))
                        continue;
                uint64_t *sum = &collecting->by_finding[witness ? witness->finding : 0];
                *sum += objects[i].stored_bytes;
                if (*sum > max / EVIDENCE_PER_FINDING)
                        give_up(collecting, &objects[i], evidence);
        }
        for (size_t i = 0; i<n && * evidence> wanted; i++)
                if (rank_is(objects[i].rank, CLASS_EVIDENCE))
                        give_up(collecting, &objects[i], evidence);
}

static int compare_ranks(const void *a, const void *b) {
        uint64_t x = ((const struct store_object *)a)->rank, y = ((const struct store_object *)b)->rank;
        return x < y ? -1 : x > y;
}

/* How many of the sorted objects have to go. */
static size_t count_going(const struct store_object *objects, size_t n, uint64_t missing_bytes) {
        uint64_t freed = 0;
        size_t going = 0;
        for (; going < n && !rank_is(objects[going].rank, CLASS_APPROVED); going++) {
                /* History is forgotten by time: what ended at the same time goes together. */
                bool goes_along = going && objects[going].rank == objects[going - 1].rank;
                if (objects[going].rank != MUST_GO && freed >= missing_bytes && !goes_along)
                        break;
                freed += objects[going].stored_bytes;
        }
        return going;
}

/* What the catalog still names does not go. The history of what goes, up to the last of it, is forgotten. */
static int forget_history(const struct collecting *collecting, const struct store_object *objects, size_t n) {
        struct catalog *catalog = collecting->retention->catalog;
        uint64_t unreleased_ns = 0, past_ns = 0;
        for (size_t i = 0; i < n; i++) {
                uint64_t after_ns = (objects[i].rank & TIME_MAX) + 1;
                if (rank_is(objects[i].rank, CLASS_UNRELEASED))
                        unreleased_ns = after_ns;
                if (rank_is(objects[i].rank, CLASS_PAST))
                        past_ns = after_ns;
        }
        int r = 0;
        /* By the time that releases go all that was not released has gone. */
        if (past_ns)
                r = catalog_forget(catalog, CATALOG_UNRELEASED, collecting->now_ns);
        else if (unreleased_ns)
                r = catalog_forget(catalog, CATALOG_UNRELEASED, unreleased_ns);
        return r < 0 || !past_ns ? r : catalog_forget(catalog, CATALOG_RELEASED, past_ns);
}

static void count_result(const struct collecting *collecting, struct store_object *objects, size_t n,
                         uint64_t evidence) {
        struct retention_result *result = collecting->result;
        for (size_t i = 0; i < n; i++) {
                if (rank_is(objects[i].rank, CLASS_EVIDENCE))
                        give_up(collecting, &objects[i], &evidence);
                else if (objects[i].rank != MUST_GO) {
                        result->n_displaced++;
                        result->displaced_bytes += objects[i].stored_bytes;
                }
        }
        result->evidence_bytes = evidence;
}

static ssize_t choose(struct store_object *objects, size_t n, uint64_t missing_bytes, void *userdata) {
        const struct collecting *collecting = userdata;
        uint64_t evidence = rank_objects(collecting, objects, n);
        bound_evidence(collecting, objects, n, &evidence);
        qsort(objects, n, sizeof(*objects), compare_ranks);
        size_t going = count_going(objects, n, missing_bytes);
        int r = forget_history(collecting, objects, going);
        if (r == -EBUSY) /* somebody's transaction: without the history, then */
                going = count_going(objects, n, 0);
        else if (r < 0)
                return r;
        count_result(collecting, objects, going, evidence);
        return (ssize_t)going;
}

static int forget_expired(const struct retention *retention, uint64_t now_ns) {
        int r = 0;
        if (retention->keep_ns && now_ns > retention->keep_ns)
                r = catalog_forget(retention->catalog, CATALOG_RELEASED, now_ns - retention->keep_ns);
        uint64_t surplus_ns = r == 0 ? catalog_surplus(retention->catalog, UNRELEASED_STATES_MAX) : 0;
        if (surplus_ns)
                r = catalog_forget(retention->catalog, CATALOG_UNRELEASED, surplus_ns);
        return r == -EBUSY ? 0 : r;
}

int retention_collect(const struct retention *retention, uint64_t wanted_bytes, uint64_t now_ns,
                      struct retention_result *ret_result) {
        _cleanup_(freep) uint64_t *by_finding = calloc(FINDINGS, sizeof(*by_finding));
        struct retention_result result = {0};
        struct collecting collecting = {
                .retention = retention, .result = &result, .now_ns = now_ns, .by_finding = by_finding};
        int r = by_finding ? forget_expired(retention, now_ns) : -ENOMEM;
        if (r == 0 && retention->observed)
                r = observed_each_evidence(retention->observed, add_witness, &collecting.witnesses);
        if (r == 0 && collecting.witnesses.n)
                qsort(collecting.witnesses.items, collecting.witnesses.n, sizeof(struct witness),
                      compare_witnesses);
        if (r == 0)
                r = store_collect(retention->store, wanted_bytes, choose, &collecting);
        witnesses_deinit(&collecting.witnesses);
        if (ret_result)
                *ret_result = result;
        return r;
}
