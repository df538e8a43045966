#include "vault/observed.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* What is asked at every change is compiled once. */
enum statement {
        STATEMENT_SET,
        STATEMENT_CLEAR,
        STATEMENT_HAS,
        N_STATEMENTS,
};

struct observed {
        sqlite3 *database;
        sqlite3_stmt *statements[N_STATEMENTS];
        unsigned n_sets;
};

/* Noted rows between two looks at the bound. */
#define PRUNE_EVERY 10000

static const char schema[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-256; PRAGMA user_version=1;"
        "CREATE TABLE IF NOT EXISTS observed(tree INTEGER, path BLOB, finding TEXT, time_ns INTEGER, "
        "standing INTEGER,"
        " mode INTEGER, uid INTEGER, gid INTEGER, links INTEGER, size INTEGER, inode INTEGER, mtime INTEGER,"
        " ctime INTEGER, digest BLOB, xattr BLOB, target BLOB, PRIMARY KEY(tree, path, finding)) WITHOUT "
        "ROWID;"
        "CREATE INDEX IF NOT EXISTS observed_finding ON observed(finding);"
        "DROP INDEX IF EXISTS observed_digest;";

static const char *const sql[N_STATEMENTS] = {
        [STATEMENT_SET] = "INSERT OR REPLACE INTO observed "
                          "VALUES(?1,?2,?3,?4,1,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
        [STATEMENT_CLEAR] = "UPDATE observed SET standing=0 WHERE tree=?1 AND path=?2 AND standing=1",
        [STATEMENT_HAS] = "SELECT finding, mode,uid,gid,links,size,inode,mtime,ctime,digest,xattr,target"
                          " FROM observed WHERE tree=?1 AND path=?2 AND standing=1",
};

static void finalizep(sqlite3_stmt **statement) {
        sqlite3_finalize(*statement);
}

static void resetp(sqlite3_stmt **statement) {
        sqlite3_reset(*statement);
        sqlite3_clear_bindings(*statement);
}

static int prepare(struct observed *observed, const char *text, sqlite3_stmt **ret_statement) {
        return sqlite3_prepare_v2(observed->database, text, -1, ret_statement, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int run(struct observed *observed, const char *text) {
        return sqlite3_exec(observed->database, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

int observed_open(const char *state, struct observed **ret_observed) {
        _cleanup_(observed_closep) struct observed *observed = calloc(1, sizeof(*observed));
        _cleanup_(freep) char *path = NULL;
        if (!observed || asprintf(&path, "%s/vault/observed.sqlite", state) < 0)
                return -ENOMEM;
        if (sqlite3_open_v2(path, &observed->database,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK ||
            run(observed, schema) < 0)
                return sqlite3_errcode(observed->database) == SQLITE_CANTOPEN ? -EIO : -EBADMSG;
        for (size_t i = 0; i < N_STATEMENTS; i++)
                if (prepare(observed, sql[i], &observed->statements[i]) < 0)
                        return -EBADMSG;
        *ret_observed = STEAL(observed);
        return 0;
}

struct observed *observed_close(struct observed *observed) {
        if (observed) {
                for (size_t i = 0; i < N_STATEMENTS; i++)
                        sqlite3_finalize(observed->statements[i]);
                sqlite3_close_v2(observed->database);
                free(observed);
        }
        return NULL;
}

int observed_begin(struct observed *observed) {
        return sqlite3_get_autocommit(observed->database) ? run(observed, "BEGIN") : 0;
}

int observed_commit(struct observed *observed) {
        return sqlite3_get_autocommit(observed->database) ? 0 : run(observed, "COMMIT");
}

static void bind_path(sqlite3_stmt *statement, int64_t tree, const char *path) {
        sqlite3_bind_int64(statement, 1, tree);
        sqlite3_bind_blob(statement, 2, path, (int)strlen(path), SQLITE_STATIC);
}

/* Columns mode … target, from parameter `at`. */
static void bind_node(sqlite3_stmt *statement, int at, const struct node *node) {
        sqlite3_bind_int64(statement, at, node->mode);
        sqlite3_bind_int64(statement, at + 1, node->uid);
        sqlite3_bind_int64(statement, at + 2, node->gid);
        sqlite3_bind_int64(statement, at + 3, node->n_links);
        sqlite3_bind_int64(statement, at + 4, (sqlite3_int64)node->size_bytes);
        sqlite3_bind_int64(statement, at + 5, (sqlite3_int64)node->inode);
        sqlite3_bind_int64(statement, at + 6, (sqlite3_int64)node->mtime_ns);
        sqlite3_bind_int64(statement, at + 7, (sqlite3_int64)node->ctime_ns);
        sqlite3_bind_blob(statement, at + 8, node->digest.bytes, DIGEST_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(statement, at + 9, node->xattr_digest.bytes, DIGEST_BYTES, SQLITE_STATIC);
        sqlite3_bind_text(statement, at + 10, node->link_target, -1, SQLITE_STATIC);
}

static int column_digest(sqlite3_stmt *statement, int at, struct digest *ret_digest) {
        if (sqlite3_column_bytes(statement, at) != DIGEST_BYTES)
                return -EBADMSG;
        memcpy(ret_digest->bytes, sqlite3_column_blob(statement, at), DIGEST_BYTES);
        return 0;
}

static int column_node(sqlite3_stmt *statement, int at, struct node *ret_node) {
        struct node node = {
                .mode = (mode_t)sqlite3_column_int64(statement, at),
                .uid = (uid_t)sqlite3_column_int64(statement, at + 1),
                .gid = (gid_t)sqlite3_column_int64(statement, at + 2),
                .n_links = (uint32_t)sqlite3_column_int64(statement, at + 3),
                .size_bytes = (uint64_t)sqlite3_column_int64(statement, at + 4),
                .inode = (uint64_t)sqlite3_column_int64(statement, at + 5),
                .mtime_ns = (uint64_t)sqlite3_column_int64(statement, at + 6),
                .ctime_ns = (uint64_t)sqlite3_column_int64(statement, at + 7),
        };
        if (column_digest(statement, at + 8, &node.digest) < 0 ||
            column_digest(statement, at + 9, &node.xattr_digest) < 0)
                return -EBADMSG;
        const char *target = (const char *)sqlite3_column_text(statement, at + 10);
        if (target && !(node.link_target = strdup(target)))
                return -ENOMEM;
        *ret_node = node;
        return 0;
}

static int prune(struct observed *observed) {
        if (++observed->n_sets % PRUNE_EVERY)
                return 0;
        char text[256];
        snprintf(text, sizeof(text),
                 "DELETE FROM observed WHERE standing=0 AND time_ns < (SELECT time_ns FROM observed"
                 " ORDER BY time_ns DESC LIMIT 1 OFFSET %d)",
                 OBSERVED_ROWS_MAX);
        return run(observed, text);
}

int observed_set(struct observed *observed, int64_t tree, const char *path, const char *finding,
                 const struct node *node, uint64_t time_ns) {
        int r = observed_clear(observed, tree, path);
        if (r < 0)
                return r;
        _cleanup_(resetp) sqlite3_stmt *statement = observed->statements[STATEMENT_SET];
        bind_path(statement, tree, path);
        sqlite3_bind_text(statement, 3, finding, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 4, (sqlite3_int64)time_ns);
        bind_node(statement, 5, node);
        return sqlite3_step(statement) == SQLITE_DONE ? prune(observed) : -EIO;
}

int observed_clear(struct observed *observed, int64_t tree, const char *path) {
        _cleanup_(resetp) sqlite3_stmt *statement = observed->statements[STATEMENT_CLEAR];
        bind_path(statement, tree, path);
        return sqlite3_step(statement) == SQLITE_DONE ? 0 : -EIO;
}

int observed_has(struct observed *observed, int64_t tree, const char *path, const struct node *node,
                 char *ret_finding) {
        _cleanup_(resetp) sqlite3_stmt *statement = observed->statements[STATEMENT_HAS];
        bind_path(statement, tree, path);
        if (sqlite3_step(statement) != SQLITE_ROW)
                return 0;
        _cleanup_(node_deinit) struct node known = NODE_INIT;
        int r = column_node(statement, 1, &known);
        if (r < 0)
                return r;
        if (ret_finding)
                snprintf(ret_finding, 32, "%s", (const char *)sqlite3_column_text(statement, 0));
        return node_compare(&known, node) == 0;
}

static int visit_row(sqlite3_stmt *statement, observed_visit visit, void *userdata) {
        _cleanup_(node_deinit) struct node node = NODE_INIT;
        size_t size = (size_t)sqlite3_column_bytes(statement, 1);
        _cleanup_(freep) char *path = strndup(sqlite3_column_blob(statement, 1) ?: "", size);
        int r = path ? column_node(statement, 3, &node) : -ENOMEM;
        return r < 0 ? r
                     : visit(sqlite3_column_int64(statement, 0), path, &node,
                             sqlite3_column_int(statement, 2), userdata);
}

int observed_list(struct observed *observed, const char *finding, int64_t tree, observed_visit visit,
                  void *userdata) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(observed,
                        finding ? "SELECT tree, path, standing, "
                                  "mode,uid,gid,links,size,inode,mtime,ctime,digest,xattr,"
                                  "target FROM observed WHERE finding=?1 ORDER BY path"
                                : "SELECT tree, path, standing, "
                                  "mode,uid,gid,links,size,inode,mtime,ctime,digest,xattr,"
                                  "target FROM observed WHERE tree=?1 AND standing=1 ORDER BY path",
                        &statement);
        if (r < 0)
                return r;
        if (finding)
                sqlite3_bind_text(statement, 1, finding, -1, SQLITE_STATIC);
        else
                sqlite3_bind_int64(statement, 1, tree);
        int step;
        while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
                r = visit_row(statement, visit, userdata);
                if (r < 0)
                        return r;
        }
        return step == SQLITE_DONE ? 0 : -EIO;
}

int observed_each_evidence(struct observed *observed, observed_evidence_visit visit, void *userdata) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(observed, "SELECT digest, finding, time_ns FROM observed", &statement);
        int step = SQLITE_DONE;
        while (r >= 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
                struct digest digest;
                if (column_digest(statement, 0, &digest) == 0 && !digest_is_zero(&digest))
                        r = visit(&digest, (const char *)sqlite3_column_text(statement, 1) ?: "",
                                  (uint64_t)sqlite3_column_int64(statement, 2), userdata);
        }
        return r < 0 ? r : step == SQLITE_DONE ? 0 : -EIO;
}

int64_t observed_count(struct observed *observed, int64_t tree) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        if (prepare(observed, "SELECT count(*) FROM observed WHERE tree=?1 AND standing=1", &statement) < 0)
                return -1;
        sqlite3_bind_int64(statement, 1, tree);
        return sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
}

int64_t observed_count_between(struct observed *observed, int64_t tree, uint64_t from_ns, uint64_t to_ns) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        if (prepare(observed, "SELECT count(*) FROM observed WHERE tree=?1 AND time_ns BETWEEN ?2 AND ?3",
                    &statement) < 0)
                return -1;
        sqlite3_bind_int64(statement, 1, tree);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)from_ns);
        sqlite3_bind_int64(statement, 3, (sqlite3_int64)to_ns);
        return sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
}
