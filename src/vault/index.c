#include "vault/index.h"

#include <string.h>

#include "base/cleanup.h"

#define N_SLOTS          (4 * INDEX_PENDING_MAX)
#define SPILL_MARK       0                   /* a row of `pack` that is no pack: end 1 when spilled */
#define MISSES_MAX       1000                /* without a filter */
#define FILTER_BITS_MAX  (UINT64_C(1) << 23) /* 1 MiB */
#define FILTER_BITS_EACH 16
#define COLUMNS          "digest,pack,offset,stored_bytes,raw_bytes,time_ns,codec"

enum {
        FIND,
        ADD,
        REMOVE,
        PACK_END,
        PACK_SET,
        PACK_FORGET,
        FORGET_UNSYNCED,
        BY_TIME,
        BY_DIGEST,
        BY_PACK,
        N_STATEMENTS
};

static const char *const statements[N_STATEMENTS] = {
        [FIND] = "SELECT " COLUMNS " FROM object WHERE digest=?",
        [ADD] = "INSERT OR REPLACE INTO object(" COLUMNS ")VALUES(?,?,?,?,?,?,?)",
        [REMOVE] = "DELETE FROM object WHERE digest=?",
        [PACK_END] = "SELECT end FROM pack WHERE id=?",
        [PACK_SET] = "INSERT OR REPLACE INTO pack(id,end)VALUES(?,?)",
        [PACK_FORGET] = "DELETE FROM pack WHERE id=?",
        [FORGET_UNSYNCED] = "DELETE FROM object WHERE pack>0 AND "
                            "offset>=coalesce((SELECT end FROM pack WHERE id=object.pack),0)",
        [BY_TIME] = "SELECT " COLUMNS " FROM object ORDER BY time_ns,digest",
        [BY_DIGEST] = "SELECT " COLUMNS " FROM object ORDER BY digest",
        [BY_PACK] =
                "SELECT NULL,pack,count(*),sum(stored_bytes),sum(raw_bytes),0,0 FROM object GROUP BY pack",
};

static const struct database_layout layout = {
        .application = 0x686e6d69, /* "hnmi" */
        .version = 1,
        .schema = "CREATE TABLE object(digest BLOB PRIMARY KEY,pack INT NOT NULL,offset INT NOT NULL,"
                  "stored_bytes INT NOT NULL,raw_bytes INT NOT NULL,time_ns INT NOT NULL,codec INT NOT NULL)"
                  "WITHOUT ROWID;"
                  "CREATE TABLE pack(id INTEGER PRIMARY KEY,end INT NOT NULL);",
        .statements = statements,
        .n_statements = N_STATEMENTS,
};

int index_open(const char *path, bool read_only, struct index *ret_index) {
        struct index index = {.n_pending = 0};
        int r = path ? database_open(path, read_only, &layout, &index.database)
                     : database_open_memory(&layout, &index.database);
        if (r < 0)
                return r;
        *ret_index = index;
        return 0;
}

void index_close(struct index *index) {
        database_close(&index->database);
        free(index->pending);
        free(index->slots);
        free(index->filter);
        *index = (struct index){.n_pending = 0};
}

static size_t first_slot(const struct digest *digest) {
        uint64_t prefix;
        memcpy(&prefix, digest->bytes, sizeof(prefix));
        return prefix % N_SLOTS;
}

/* The slot that holds the digest, or the free one where it belongs. */
static uint32_t *find_slot(struct index *index, const struct digest *digest) {
        size_t i = first_slot(digest);
        while (index->slots[i] && !digest_equal(&index->pending[index->slots[i] - 1].digest, digest))
                i = (i + 1) % N_SLOTS;
        return &index->slots[i];
}

static void column_entry(sqlite3_stmt *statement, struct index_entry *ret_entry) {
        *ret_entry = (struct index_entry){
                .pack = (uint32_t)sqlite3_column_int64(statement, 1),
                .offset = (uint64_t)sqlite3_column_int64(statement, 2),
                .stored_bytes = (uint64_t)sqlite3_column_int64(statement, 3),
                .raw_bytes = (uint64_t)sqlite3_column_int64(statement, 4),
                .time_ns = (uint64_t)sqlite3_column_int64(statement, 5),
                .codec = sqlite3_column_int(statement, 6) ? CODEC_ZSTD : CODEC_RAW,
        };
        column_digest(statement, 0, &ret_entry->digest);
}

/*
 * Look-ups stay in one read transaction, or each would lock and unlock the file anew. There is no other
 * writer whose changes could be missed; whatever writes here ends it first.
 */
static int begin_reading(struct index *index) {
        return sqlite3_get_autocommit(index->database.handle) ? database_execute(&index->database, "BEGIN")
                                                              : 0;
}

static int end_reading(struct index *index) {
        return sqlite3_get_autocommit(index->database.handle) ? 0
                                                              : database_execute(&index->database, "COMMIT");
}

/* A digest is random already: four words of it are four hashes. */
static uint64_t filter_bit(const struct index *index, const struct digest *digest, size_t i) {
        uint64_t word;
        memcpy(&word, digest->bytes + 8 * i, sizeof(word));
        return word & index->filter_mask;
}

static void filter_add(struct index *index, const struct digest *digest) {
        for (size_t i = 0; index->filter && i < 4; i++) {
                uint64_t bit = filter_bit(index, digest, i);
                index->filter[bit / 64] |= UINT64_C(1) << bit % 64;
        }
}

static bool filter_excludes(const struct index *index, const struct digest *digest) {
        for (size_t i = 0; index->filter && i < 4; i++) {
                uint64_t bit = filter_bit(index, digest, i);
                if (!(index->filter[bit / 64] & UINT64_C(1) << bit % 64))
                        return true;
        }
        return false;
}

static int count_entry(_unused_ const struct index_entry *entry, void *userdata) {
        ++*(uint64_t *)userdata;
        return 0;
}

static int add_to_filter(const struct index_entry *entry, void *userdata) {
        filter_add(userdata, &entry->digest);
        return 0;
}

/* Many new objects are coming: most look-ups need not go to the table. No filter is no failure. */
static void filter_make(struct index *index) {
        uint64_t n = 2 * INDEX_PENDING_MAX, bits = 64;
        index->n_misses = 0;
        if (index_each(index, INDEX_BY_DIGEST, count_entry, &n) < 0)
                return;
        while (bits < n * FILTER_BITS_EACH && bits < FILTER_BITS_MAX)
                bits *= 2;
        index->filter = calloc(bits / 64, sizeof(*index->filter));
        index->filter_mask = bits - 1;
        if (index->filter && index_each(index, INDEX_BY_DIGEST, add_to_filter, index) < 0)
                index_trim(index);
}

void index_trim(struct index *index) {
        free(STEAL(index->filter));
        index->n_misses = 0;
}

int index_find_pending(struct index *index, const struct digest *digest, struct index_entry *ret_entry) {
        uint32_t *slot = index->slots ? find_slot(index, digest) : NULL;
        if (!slot || !*slot)
                return -ENOENT;
        *ret_entry = index->pending[*slot - 1];
        return 0;
}

int index_find(struct index *index, const struct digest *digest, struct index_entry *ret_entry) {
        if (index_find_pending(index, digest, ret_entry) == 0)
                return 0;
        if (!index->filter && index->n_misses > MISSES_MAX)
                filter_make(index);
        if (filter_excludes(index, digest))
                return -ENOENT;
        int r = begin_reading(index);
        sqlite3_stmt *find = r == 0 ? database_use(&index->database, FIND) : NULL;
        if (!find)
                return r < 0 ? r : database_errno(&index->database);
        bind_digest(find, 1, digest);
        r = database_step(find);
        index->n_misses += r == 0;
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        column_entry(find, ret_entry);
        sqlite3_reset(find);
        return 0;
}

static int prepare_pending(struct index *index) {
        if (!index->pending)
                index->pending = calloc(INDEX_PENDING_MAX, sizeof(*index->pending));
        if (!index->slots)
                index->slots = calloc(N_SLOTS, sizeof(*index->slots));
        return index->pending && index->slots ? 0 : -ENOMEM;
}

int index_add(struct index *index, const struct index_entry *entry) {
        int r = prepare_pending(index);
        if (r < 0)
                return r;
        uint32_t *slot = find_slot(index, &entry->digest);
        if (*slot) {
                index->pending[*slot - 1] = *entry;
                return 0;
        }
        if (index_is_full(index))
                return -ENOBUFS;
        index->pending[index->n_pending++] = *entry;
        *slot = (uint32_t)index->n_pending;
        return 0;
}

static int compare_entries(const void *a, const void *b) {
        return memcmp(a, b, DIGEST_BYTES); /* digest is the first member */
}

static int write_entry(struct index *index, const struct index_entry *entry) {
        sqlite3_stmt *add = database_use(&index->database, ADD);
        if (!add)
                return database_errno(&index->database);
        bind_digest(add, 1, &entry->digest);
        sqlite3_bind_int64(add, 2, entry->pack);
        sqlite3_bind_int64(add, 3, (int64_t)entry->offset);
        sqlite3_bind_int64(add, 4, (int64_t)entry->stored_bytes);
        sqlite3_bind_int64(add, 5, (int64_t)entry->raw_bytes);
        sqlite3_bind_int64(add, 6, (int64_t)entry->time_ns);
        sqlite3_bind_int(add, 7, entry->codec == CODEC_ZSTD);
        return database_run(add);
}

static int set_pack_end(struct index *index, const struct index_pack *pack) {
        sqlite3_stmt *set = database_use(&index->database, PACK_SET);
        if (!set)
                return database_errno(&index->database);
        sqlite3_bind_int64(set, 1, pack->pack);
        sqlite3_bind_int64(set, 2, (int64_t)pack->end);
        return database_run(set);
}

static void free_pending(struct index *index) {
        free(STEAL(index->pending));
        free(STEAL(index->slots));
        index->n_pending = 0;
}

/* Sorting moves the entries, so the slots are made again when the flush fails. */
static void index_pending_again(struct index *index) {
        memset(index->slots, 0, N_SLOTS * sizeof(*index->slots));
        for (size_t i = 0; i < index->n_pending; i++)
                *find_slot(index, &index->pending[i].digest) = (uint32_t)i + 1;
}

int index_flush(struct index *index, const struct index_pack *packs, size_t n_packs, bool synced) {
        const struct index_pack mark = {.pack = SPILL_MARK, .end = !synced};
        if (index->n_pending)
                qsort(index->pending, index->n_pending, sizeof(*index->pending), compare_entries);
        int r = end_reading(index);
        if (r == 0)
                r = database_begin(&index->database, false);
        for (size_t i = 0; r == 0 && i < index->n_pending; i++) {
                r = write_entry(index, &index->pending[i]);
                filter_add(index, &index->pending[i].digest);
        }
        for (size_t i = 0; r == 0 && i < n_packs; i++)
                r = set_pack_end(index, &packs[i]);
        if (r == 0)
                r = set_pack_end(index, &mark);
        if (r == 0)
                r = database_commit(&index->database);
        if (r == 0) {
                free_pending(index);
                index->n_flushes++;
                index->spilled = !synced;
                return 0;
        }
        database_rollback(&index->database);
        if (index->slots)
                index_pending_again(index);
        return r;
}

int index_pack_end(struct index *index, uint32_t pack, uint64_t *ret_end) {
        sqlite3_stmt *get = database_use(&index->database, PACK_END);
        if (!get)
                return database_errno(&index->database);
        sqlite3_bind_int64(get, 1, pack);
        int r = database_step(get);
        if (r < 0)
                return r;
        *ret_end = r ? (uint64_t)sqlite3_column_int64(get, 0) : 0;
        sqlite3_reset(get);
        return 0;
}

int index_begin(struct index *index) {
        int r = end_reading(index);
        return r < 0 ? r : database_begin(&index->database, true);
}

int index_commit(struct index *index) {
        return database_commit(&index->database);
}

/* An empty durable transaction would write nothing and so sync nothing. */
int index_sync(struct index *index) {
        int result =
                sqlite3_wal_checkpoint_v2(index->database.handle, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
        return result == SQLITE_OK ? 0 : -EIO;
}

void index_rollback(struct index *index) {
        database_rollback(&index->database);
}

int index_remove(struct index *index, const struct digest *digest) {
        sqlite3_stmt *remove = database_use(&index->database, REMOVE);
        if (!remove)
                return database_errno(&index->database);
        bind_digest(remove, 1, digest);
        return database_run(remove);
}

int index_forget_unsynced(struct index *index) {
        uint64_t spilled = 0;
        int r = index_pack_end(index, SPILL_MARK, &spilled);
        if (r < 0 || !spilled)
                return r;
        r = end_reading(index);
        sqlite3_stmt *forget = r == 0 ? database_use(&index->database, FORGET_UNSYNCED) : NULL;
        if (!forget)
                return r < 0 ? r : database_errno(&index->database);
        index->spilled = true; /* until the next flush says otherwise */
        return database_run(forget);
}

int index_forget_pack(struct index *index, uint32_t pack) {
        sqlite3_stmt *forget = database_use(&index->database, PACK_FORGET);
        if (!forget)
                return database_errno(&index->database);
        sqlite3_bind_int64(forget, 1, pack);
        return database_run(forget);
}

int index_each(struct index *index, enum index_order order, index_visit visit, void *userdata) {
        sqlite3_stmt *each = database_use(&index->database, BY_TIME + order);
        if (!each)
                return database_errno(&index->database);
        int r;
        while ((r = database_step(each)) > 0) {
                struct index_entry entry;
                column_entry(each, &entry);
                r = visit(&entry, userdata);
                if (r < 0)
                        break;
        }
        sqlite3_reset(each);
        return r;
}
