#include "vault/database.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

/* The page cache is bounded: a guard's memory must not grow with the tree. */
#define TUNING                                                                                               \
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA cache_size=-1024;"                         \
        "PRAGMA journal_size_limit=4194304;PRAGMA cell_size_check=ON;PRAGMA trusted_schema=OFF;"
#define TUNING_READ "PRAGMA cache_size=-1024;PRAGMA cell_size_check=ON;PRAGMA trusted_schema=OFF;"

static int errno_of(int result) {
        switch (result & 0xff) {
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_SCHEMA:
        case SQLITE_ERROR: /* our SQL is fixed: a table or column is missing */
                return -EBADMSG;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
        case SQLITE_PERM:
                return -EROFS;
        case SQLITE_NOMEM:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

int database_errno(const struct database *database) {
        int r = errno_of(sqlite3_errcode(database->handle));
        return r ?: -EIO;
}

int database_execute(struct database *database, const char *sql) {
        return errno_of(sqlite3_exec(database->handle, sql, NULL, NULL, NULL));
}

static int read_pragma(struct database *database, const char *sql, int64_t *ret_value) {
        sqlite3_stmt *statement = NULL;
        int result = sqlite3_prepare_v2(database->handle, sql, -1, &statement, NULL);
        if (result == SQLITE_OK)
                result = sqlite3_step(statement);
        if (result == SQLITE_ROW)
                *ret_value = sqlite3_column_int64(statement, 0);
        sqlite3_finalize(statement);
        return result == SQLITE_ROW ? 0 : result == SQLITE_DONE ? -EBADMSG : errno_of(result);
}

static int create_layout(struct database *database) {
        char pragmas[128];
        snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id=%u;PRAGMA user_version=%d;COMMIT;",
                 database->layout->application, database->layout->version);
        int r = database_execute(database, "BEGIN IMMEDIATE");
        if (r == 0)
                r = database_execute(database, database->layout->schema);
        if (r == 0)
                r = database_execute(database, pragmas);
        if (r < 0)
                database_execute(database, "ROLLBACK");
        return r;
}

/* Is it ours and of our version? An empty file gets the layout. */
static int check_layout(struct database *database, bool read_only) {
        int64_t application = 0, version = 0;
        int r = read_pragma(database, "PRAGMA application_id", &application);
        if (r == 0)
                r = read_pragma(database, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (application == 0 && version == 0 && !read_only)
                return create_layout(database);
        if (application != database->layout->application || version != database->layout->version)
                return -EBADMSG;
        return 0;
}

static int open_handle(const char *path, bool read_only, sqlite3 **ret_handle) {
        int flags = SQLITE_OPEN_NOMUTEX | (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
        sqlite3 *handle = NULL;
        if (!read_only) {
                /* SQLite would create it readable to everybody. */
                _cleanup_(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (fd < 0)
                        return -errno;
        } else if (access(path, F_OK) < 0) {
                return -errno;
        }
        int result = sqlite3_open_v2(path, &handle, flags, NULL);
        if (result != SQLITE_OK) {
                sqlite3_close_v2(handle);
                return errno_of(result);
        }
        sqlite3_busy_timeout(handle, 5000);
        sqlite3_extended_result_codes(handle, 1);
        *ret_handle = handle;
        return 0;
}

static int prepare_database(struct database *database, bool read_only) {
        int r = database_execute(database, read_only ? TUNING_READ : TUNING);
        if (r == 0)
                r = check_layout(database, read_only);
        if (r < 0)
                return r;
        database->prepared = calloc(database->layout->n_statements, sizeof(sqlite3_stmt *));
        return database->prepared ? 0 : -ENOMEM;
}

int database_open(const char *path, bool read_only, const struct database_layout *layout,
                  struct database *ret_database) {
        struct database database = {.layout = layout};
        int r = open_handle(path, read_only, &database.handle);
        if (r < 0)
                return r;
        r = prepare_database(&database, read_only);
        if (r < 0) {
                database_close(&database);
                return r;
        }
        *ret_database = database;
        return 0;
}

int database_open_memory(const struct database_layout *layout, struct database *ret_database) {
        struct database database = {.layout = layout};
        int r = errno_of(sqlite3_open(":memory:", &database.handle));
        if (r == 0)
                r = prepare_database(&database, false);
        if (r < 0) {
                database_close(&database);
                return r;
        }
        *ret_database = database;
        return 0;
}

void database_close(struct database *database) {
        if (database->prepared)
                for (size_t i = 0; i < database->layout->n_statements; i++)
                        sqlite3_finalize(database->prepared[i]);
        free(database->prepared);
        sqlite3_close_v2(database->handle);
        *database = (struct database){.handle = NULL};
}

sqlite3_stmt *database_use(struct database *database, size_t statement) {
        sqlite3_stmt **prepared = &database->prepared[statement];
        if (*prepared) {
                sqlite3_reset(*prepared);
                sqlite3_clear_bindings(*prepared);
                return *prepared;
        }
        if (sqlite3_prepare_v3(database->handle, database->layout->statements[statement], -1,
                               SQLITE_PREPARE_PERSISTENT, prepared, NULL) != SQLITE_OK)
                return NULL;
        return *prepared;
}

int database_step(sqlite3_stmt *statement) {
        int result = sqlite3_step(statement);
        if (result == SQLITE_ROW)
                return 1;
        sqlite3_reset(statement);
        return errno_of(result);
}

int database_run(sqlite3_stmt *statement) {
        int r = database_step(statement);
        sqlite3_reset(statement);
        return r < 0 ? r : 0;
}

int database_begin(struct database *database, bool durable) {
        int r = durable ? database_execute(database, "PRAGMA synchronous=FULL") : 0;
        if (r == 0)
                r = database_execute(database, "BEGIN IMMEDIATE");
        database->durable = durable;
        return r;
}

static void end_durable(struct database *database) {
        if (database->durable)
                database_execute(database, "PRAGMA synchronous=NORMAL");
        database->durable = false;
}

int database_commit(struct database *database) {
        int r = database_execute(database, "COMMIT");
        if (r == 0)
                end_durable(database);
        return r;
}

int database_rollback(struct database *database) {
        /* After some errors SQLite has rolled back by itself. */
        int r = sqlite3_get_autocommit(database->handle) ? 0 : database_execute(database, "ROLLBACK");
        end_durable(database);
        return r;
}

void bind_digest(sqlite3_stmt *statement, int column, const struct digest *digest) {
        if (!digest_is_zero(digest))
                sqlite3_bind_blob(statement, column, digest->bytes, DIGEST_BYTES, SQLITE_STATIC);
}

void column_digest(sqlite3_stmt *statement, int column, struct digest *ret_digest) {
        struct digest digest = {.bytes = {0}};
        const void *bytes = sqlite3_column_blob(statement, column);
        if (bytes && sqlite3_column_bytes(statement, column) == DIGEST_BYTES)
                memcpy(digest.bytes, bytes, DIGEST_BYTES);
        *ret_digest = digest;
}
