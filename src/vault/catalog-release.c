/* Releases, the hosts an application names, and which contents are claimed. */
#include <stdio.h>
#include <string.h>

#include "vault/catalog-node.h"

int catalog_flush_counts(struct catalog *catalog) {
        if (!catalog->counted_release)
                return 0;
        sqlite3_stmt *count = database_use(&catalog->database, RELEASE_COUNT);
        if (!count)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(count, 1, catalog->counted_release);
        for (int i = 0; i < 3; i++) {
                sqlite3_bind_int64(count, 2 + i, catalog->counted[i]);
                catalog->counted[i] = 0;
        }
        catalog->counted_release = 0;
        return database_run(count);
}

int catalog_count(struct catalog *catalog, int64_t release, const struct node *before,
                  const struct node *after) {
        int r = catalog->counted_release == release ? 0 : catalog_flush_counts(catalog);
        catalog->counted_release = release;
        catalog->counted[!node_exists(before) ? 0 : node_exists(after) ? 1 : 2]++;
        return r;
}

int catalog_begin_release(struct catalog *catalog, int64_t tree, const char *uid, const char *name,
                          const char *kind, uint64_t at_ns, int64_t *ret_release) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *add = database_use(&catalog->database, RELEASE_ADD);
        if (!add)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(add, 1, tree);
        sqlite3_bind_text(add, 2, uid, -1, SQLITE_STATIC);
        sqlite3_bind_text(add, 3, name, -1, SQLITE_STATIC);
        sqlite3_bind_text(add, 4, kind, -1, SQLITE_STATIC);
        sqlite3_bind_int64(add, 5, (int64_t)at_ns);
        int r = database_run(add);
        if (r == 0)
                *ret_release = sqlite3_last_insert_rowid(catalog->database.handle);
        return r;
}

static const char *column_string(sqlite3_stmt *statement, int column) {
        return (const char *)sqlite3_column_text(statement, column) ?: "";
}

static int column_release(sqlite3_stmt *statement, struct catalog_release *ret_release) {
        struct catalog_release release = {
                .id = sqlite3_column_int64(statement, 0),
                .tree = sqlite3_column_int64(statement, 1),
                .begin_ns = (uint64_t)sqlite3_column_int64(statement, 5),
                .end_ns = (uint64_t)sqlite3_column_int64(statement, 6),
                .n_added = (uint64_t)sqlite3_column_int64(statement, 7),
                .n_changed = (uint64_t)sqlite3_column_int64(statement, 8),
                .n_removed = (uint64_t)sqlite3_column_int64(statement, 9),
        };
        snprintf(release.uid, sizeof(release.uid), "%s", column_string(statement, 2));
        snprintf(release.kind, sizeof(release.kind), "%s", column_string(statement, 4));
        release.name = strdup(column_string(statement, 3));
        if (!release.name)
                return -ENOMEM;
        *ret_release = release;
        return 0;
}

void catalog_release_deinit(struct catalog_release *release) {
        free(release->name);
        *release = (struct catalog_release){.id = 0};
}

static int read_release(struct catalog *catalog, sqlite3_stmt *statement,
                        struct catalog_release *ret_release) {
        if (!statement)
                return database_errno(&catalog->database);
        int r = database_step(statement);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = column_release(statement, ret_release);
        sqlite3_reset(statement);
        return r;
}

int catalog_end_release(struct catalog *catalog, int64_t release, uint64_t at_ns,
                        struct catalog_release *ret_release) {
        CATALOG_LOCK(catalog);
        int r = catalog_flush_counts(catalog);
        if (r < 0)
                return r;
        sqlite3_stmt *net = database_use(&catalog->database, RELEASE_NET);
        if (!net)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(net, 1, release);
        r = database_run(net);
        if (r < 0)
                return r;
        sqlite3_stmt *end = database_use(&catalog->database, RELEASE_END);
        if (!end)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(end, 1, release);
        sqlite3_bind_int64(end, 2, (int64_t)at_ns);
        r = database_run(end);
        if (r < 0 || !ret_release)
                return r;
        sqlite3_stmt *get = database_use(&catalog->database, RELEASE_GET);
        if (get)
                sqlite3_bind_int64(get, 1, release);
        return read_release(catalog, get, ret_release);
}

int catalog_find_release(struct catalog *catalog, const char *uid_or_name,
                         struct catalog_release *ret_release) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *find = database_use(&catalog->database, RELEASE_FIND);
        if (find)
                sqlite3_bind_text(find, 1, uid_or_name, -1, SQLITE_STATIC);
        return read_release(catalog, find, ret_release);
}

int catalog_list_releases(struct catalog *catalog,
                          int (*visit)(const struct catalog_release *release, void *userdata),
                          void *userdata) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *list = database_use(&catalog->database, RELEASE_LIST);
        if (!list)
                return database_errno(&catalog->database);
        int r;
        while ((r = database_step(list)) > 0) {
                struct catalog_release release;
                r = column_release(list, &release);
                if (r < 0)
                        break;
                r = visit(&release, userdata);
                catalog_release_deinit(&release);
                if (r < 0)
                        break;
        }
        sqlite3_reset(list);
        return r;
}

static int forget(struct catalog *catalog, enum catalog_history what, uint64_t before_ns) {
        sqlite3_stmt *forget = database_use(&catalog->database, HISTORY_FORGET);
        if (!forget)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(forget, 1, (int64_t)before_ns);
        sqlite3_bind_int64(forget, 2, what == CATALOG_RELEASED);
        int r = database_run(forget);
        if (r < 0 || !sqlite3_changes(catalog->database.handle))
                return r;
        sqlite3_stmt *note = database_use(&catalog->database, FORGOTTEN_NOTE);
        if (!note)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(note, 1, what);
        sqlite3_bind_int64(note, 2, (int64_t)before_ns);
        return database_run(note);
}

int catalog_forget(struct catalog *catalog, enum catalog_history what, uint64_t before_ns) {
        CATALOG_LOCK(catalog);
        int r = catalog_begin(catalog);
        if (r < 0)
                return r == -EALREADY ? -EBUSY : r;
        r = forget(catalog, what, before_ns);
        if (r == 0)
                r = catalog_commit(catalog);
        else
                catalog_rollback(catalog);
        catalog_drop_claims(catalog);
        return r;
}

/* The number in the only row; 0: none. */
static uint64_t read_number(struct catalog *catalog, enum statement which, uint64_t argument) {
        sqlite3_stmt *statement = database_use(&catalog->database, which);
        if (!statement)
                return 0;
        sqlite3_bind_int64(statement, 1, (int64_t)argument);
        uint64_t number = database_step(statement) > 0 ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
        sqlite3_reset(statement);
        return number;
}

uint64_t catalog_forgotten(struct catalog *catalog, enum catalog_history what) {
        CATALOG_LOCK(catalog);
        return read_number(catalog, FORGOTTEN_GET, what);
}

uint64_t catalog_surplus(struct catalog *catalog, uint64_t n) {
        CATALOG_LOCK(catalog);
        return read_number(catalog, HISTORY_SURPLUS, n);
}

void catalog_drop_claims(struct catalog *catalog) {
        free(STEAL(catalog->claims));
        catalog->n_claims = 0;
        catalog->claims_valid = catalog->claims_failed = false;
}

static uint64_t digest_prefix(const uint8_t *bytes) {
        uint64_t prefix;
        memcpy(&prefix, bytes, sizeof(prefix));
        return prefix;
}

/* Of the claims of one digest the strongest comes first. */
static int compare_claims(const void *a, const void *b) {
        const struct claim *x = a, *y = b;
        if (x->prefix != y->prefix)
                return x->prefix < y->prefix ? -1 : 1;
        if (x->by != y->by)
                return x->by > y->by ? -1 : 1;
        return x->until_ns > y->until_ns ? -1 : x->until_ns < y->until_ns;
}

static struct claim column_claim(sqlite3_stmt *statement) {
        uint64_t until_ns = (uint64_t)sqlite3_column_int64(statement, 1);
        return (struct claim){
                .prefix = digest_prefix(sqlite3_column_blob(statement, 0)),
                .until_ns = until_ns,
                .by = !until_ns                            ? CLAIMED_NOW
                      : sqlite3_column_int64(statement, 2) ? CLAIMED_PAST
                                                           : CLAIMED_UNRELEASED,
        };
}

static int read_claims(struct catalog *catalog, sqlite3_stmt *statement) {
        size_t capacity = 0;
        int r;
        while ((r = database_step(statement)) > 0) {
                if (catalog->n_claims == capacity) {
                        capacity = capacity ? 2 * capacity : 1024;
                        struct claim *claims = reallocarray(catalog->claims, capacity, sizeof(*claims));
                        if (!claims) {
                                r = -ENOMEM;
                                break;
                        }
                        catalog->claims = claims;
                }
                if (sqlite3_column_bytes(statement, 0) == DIGEST_BYTES)
                        catalog->claims[catalog->n_claims++] = column_claim(statement);
        }
        sqlite3_reset(statement);
        return r;
}

static int load_claims(struct catalog *catalog) {
        catalog_drop_claims(catalog);
        sqlite3_stmt *statement = database_use(&catalog->database, CLAIMS);
        int r = statement ? read_claims(catalog, statement) : database_errno(&catalog->database);
        if (r == 0 && catalog->n_claims)
                qsort(catalog->claims, catalog->n_claims, sizeof(*catalog->claims), compare_claims);
        catalog->claims_valid = true;
        catalog->claims_failed = r < 0;
        return r;
}

/* The first claim of a prefix. */
static const struct claim *find_claim(const struct catalog *catalog, uint64_t prefix) {
        size_t from = 0, to = catalog->n_claims;
        while (from < to) {
                size_t middle = from + (to - from) / 2;
                if (catalog->claims[middle].prefix < prefix)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from < catalog->n_claims && catalog->claims[from].prefix == prefix ? &catalog->claims[from]
                                                                                  : NULL;
}

enum catalog_claim catalog_claims(struct catalog *catalog, const struct digest *digest,
                                  uint64_t *ret_until_ns) {
        CATALOG_LOCK(catalog);
        if (!catalog->claims_valid)
                load_claims(catalog);
        if (catalog->claims_failed)
                return CLAIMED_NOW;
        const struct claim *claim = find_claim(catalog, digest_prefix(digest->bytes));
        if (claim && ret_until_ns)
                *ret_until_ns = claim->until_ns;
        return claim ? claim->by : CLAIMED_BY_NONE;
}

static sqlite3_stmt *use_host(struct catalog *catalog, enum statement which, int64_t tree, const char *host) {
        sqlite3_stmt *statement = database_use(&catalog->database, which);
        if (statement) {
                sqlite3_bind_int64(statement, 1, tree);
                sqlite3_bind_text(statement, 2, host, -1, SQLITE_STATIC);
        }
        return statement;
}

int catalog_add_host(struct catalog *catalog, int64_t tree, const char *host) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *add = use_host(catalog, HOST_ADD, tree, host);
        return add ? database_run(add) : database_errno(&catalog->database);
}

int catalog_has_host(struct catalog *catalog, int64_t tree, const char *host) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *find = use_host(catalog, HOST_FIND, tree, host);
        if (!find)
                return database_errno(&catalog->database);
        int r = database_step(find);
        sqlite3_reset(find);
        return r;
}
