/*
 * An SQLite file of state: opened, checked cheaply, migrated by version, statements prepared once.
 *
 * SQLite's results become errno: corrupt -EBADMSG, full -ENOSPC, busy -EBUSY, read-only -EROFS,
 * out of memory -ENOMEM, anything else -EIO. A database belongs to whoever locks around it.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

struct database_layout {
        uint32_t application; /* PRAGMA application_id: "this file is ours" */
        int version;          /* PRAGMA user_version */
        const char *schema;
        const char *const *statements; /* SQL by number */
        size_t n_statements;
};

struct database {
        sqlite3 *handle;
        const struct database_layout *layout;
        sqlite3_stmt **prepared;
        bool durable; /* the open transaction is synced by its commit */
};

/* Creates the file (0600) when it is missing and not read-only. -ENOENT, or as above. */
int database_open(const char *path, bool read_only, const struct database_layout *layout,
                  struct database *ret_database);
/* A database in memory with the same layout. */
int database_open_memory(const struct database_layout *layout, struct database *ret_database);
void database_close(struct database *database);

/* A prepared statement, reset and ready to bind; NULL: out of memory or corrupt (database_errno). */
sqlite3_stmt *database_use(struct database *database, size_t statement);
int database_errno(const struct database *database);

/* 1: a row; 0: no more, and the statement is reset; or a negative errno, reset too. */
int database_step(sqlite3_stmt *statement);
/* Steps once and resets: for what gives no rows. */
int database_run(sqlite3_stmt *statement);
int database_execute(struct database *database, const char *sql);

/* A durable commit syncs the log; one that is not survives a crash of the process only. */
int database_begin(struct database *database, bool durable);
int database_commit(struct database *database);
int database_rollback(struct database *database);

void bind_digest(sqlite3_stmt *statement, int column, const struct digest *digest); /* zero: NULL */
void column_digest(sqlite3_stmt *statement, int column, struct digest *ret_digest);
