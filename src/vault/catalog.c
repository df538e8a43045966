/*
 * Opening, trees and the approved nodes. Releases, hosts and claims: catalog-release.c;
 * reading by directory and in time: catalog-read.c; the tables: catalog-layout.c.
 */
#include "vault/catalog.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/io.h"
#include "vault/catalog-node.h"
#include "vault/catalog-private.h"

void catalog_lock(struct catalog *catalog) {
        pthread_mutex_lock(&catalog->mutex);
}

void catalog_unlock(struct catalog *catalog) {
        pthread_mutex_unlock(&catalog->mutex);
}

static int catalog_path(const char *state, bool read_only, struct buffer *path) {
        buffer_init(path, 0);
        int r = buffer_format(path, "%s/vault", state);
        if (r == 0 && !read_only)
                r = io_make_directories(path->data, 0700);
        if (r == 0)
                r = buffer_append_string(path, "/catalog.sqlite");
        return r;
}

/* Younger than the layout's version, which older guards' catalogs have, too. */
#define FORGOTTEN_TABLE                                                                                      \
        "CREATE TABLE IF NOT EXISTS forgotten(what INTEGER PRIMARY KEY,before_ns INT NOT NULL)"

int catalog_open(const char *state, bool read_only, struct catalog **ret_catalog) {
        _cleanup_(catalog_closep) struct catalog *catalog = calloc(1, sizeof(*catalog));
        _cleanup_(buffer_deinit) struct buffer path;
        int r = catalog_path(state, read_only, &path);
        if (!catalog || r < 0)
                return r < 0 ? r : -ENOMEM;

        pthread_mutexattr_t attributes;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
        pthread_mutex_init(&catalog->mutex, &attributes);
        pthread_mutexattr_destroy(&attributes);

        r = database_open(path.data, read_only, &catalog_layout, &catalog->database);
        if (r == 0 && !read_only)
                r = database_execute(&catalog->database, FORGOTTEN_TABLE);
        if (r < 0)
                return r;
        *ret_catalog = STEAL(catalog);
        return 0;
}

struct catalog *catalog_close(struct catalog *catalog) {
        if (catalog) {
                database_close(&catalog->database);
                pthread_mutex_destroy(&catalog->mutex);
                free(catalog->directory_path);
                free(catalog->claims);
                free(catalog);
        }
        return NULL;
}

static bool in_transaction(const struct catalog *catalog) {
        return !sqlite3_get_autocommit(catalog->database.handle);
}

int catalog_begin(struct catalog *catalog) {
        CATALOG_LOCK(catalog);
        if (in_transaction(catalog))
                return -EALREADY;
        catalog->n_changes_before = sqlite3_total_changes(catalog->database.handle);
        return database_begin(&catalog->database, true);
}

bool catalog_has_changes(struct catalog *catalog) {
        CATALOG_LOCK(catalog);
        return in_transaction(catalog) &&
               sqlite3_total_changes(catalog->database.handle) != catalog->n_changes_before;
}

/* Ids of directories made in a transaction that did not come to be are forgotten. */
static void forget_directory(struct catalog *catalog) {
        free(STEAL(catalog->directory_path));
}

int catalog_commit(struct catalog *catalog) {
        CATALOG_LOCK(catalog);
        /* After a full disk or a failed read SQLite has given the transaction up by itself. */
        int r = in_transaction(catalog) ? catalog_flush_counts(catalog) : -EIO;
        if (r == 0)
                r = database_commit(&catalog->database);
        if (r < 0) {
                database_rollback(&catalog->database);
                forget_directory(catalog);
        }
        return r;
}

int catalog_rollback(struct catalog *catalog) {
        CATALOG_LOCK(catalog);
        forget_directory(catalog);
        catalog_drop_claims(catalog);
        catalog->counted_release = 0;
        memset(catalog->counted, 0, sizeof(catalog->counted));
        return database_rollback(&catalog->database);
}

void catalog_trim(struct catalog *catalog) {
        CATALOG_LOCK(catalog);
        catalog_drop_claims(catalog);
        sqlite3_db_release_memory(catalog->database.handle);
}

int catalog_add_tree(struct catalog *catalog, const char *path, const char *protect, const char *profile,
                     int64_t *ret_tree) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *add = database_use(&catalog->database, TREE_ADD);
        if (!add)
                return database_errno(&catalog->database);
        sqlite3_bind_blob(add, 1, path, (int)strlen(path), SQLITE_STATIC);
        sqlite3_bind_text(add, 2, protect, -1, SQLITE_STATIC);
        sqlite3_bind_text(add, 3, profile, -1, SQLITE_STATIC);
        int r = database_run(add);
        sqlite3_stmt *find = r == 0 ? database_use(&catalog->database, TREE_FIND) : NULL;
        if (!find)
                return r < 0 ? r : database_errno(&catalog->database);
        sqlite3_bind_blob(find, 1, path, (int)strlen(path), SQLITE_STATIC);
        r = database_step(find);
        if (r <= 0)
                return r < 0 ? r : -EIO;
        *ret_tree = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);
        return 0;
}

int catalog_tree_has_baseline(struct catalog *catalog, int64_t tree) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *armed = database_use(&catalog->database, TREE_ARMED);
        if (!armed)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(armed, 1, tree);
        int r = database_step(armed);
        if (r > 0)
                r = sqlite3_column_int64(armed, 0) != 0;
        sqlite3_reset(armed);
        return r;
}

int catalog_arm_tree(struct catalog *catalog, int64_t tree, uint64_t at_ns) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *arm = database_use(&catalog->database, TREE_ARM);
        if (!arm)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(arm, 1, tree);
        sqlite3_bind_int64(arm, 2, (int64_t)at_ns);
        return database_run(arm);
}

int catalog_clear_tree(struct catalog *catalog, int64_t tree) {
        CATALOG_LOCK(catalog);
        int r = catalog_tree_has_baseline(catalog, tree);
        if (r)
                return r < 0 ? r : -EEXIST;
        forget_directory(catalog);
        catalog_drop_claims(catalog);
        for (size_t i = TREE_CLEAR_NODES; r == 0 && i <= TREE_CLEAR_DIRECTORIES; i++) {
                sqlite3_stmt *clear = database_use(&catalog->database, i);
                if (!clear)
                        return database_errno(&catalog->database);
                sqlite3_bind_int64(clear, 1, tree);
                r = database_run(clear);
        }
        return r;
}

/* The id of a directory, from the last look-up or the table. -ENOENT. */
int catalog_find_directory(struct catalog *catalog, int64_t tree, const char *path, size_t length,
                           int64_t *ret_id) {
        if (catalog->directory_path && catalog->directory_tree == tree &&
            !strncmp(catalog->directory_path, path, length) && !catalog->directory_path[length]) {
                *ret_id = catalog->directory_id;
                return 0;
        }
        sqlite3_stmt *find = database_use(&catalog->database, DIRECTORY_FIND);
        if (!find)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(find, 1, tree);
        sqlite3_bind_blob(find, 2, path, (int)length, SQLITE_STATIC);
        int r = database_step(find);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        int64_t id = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);

        char *copy = strndup(path, length);
        if (!copy)
                return -ENOMEM;
        free(catalog->directory_path);
        catalog->directory_path = copy;
        catalog->directory_tree = tree;
        *ret_id = catalog->directory_id = id;
        return 0;
}

static int require_directory(struct catalog *catalog, int64_t tree, const char *path, size_t length,
                             int64_t *ret_id) {
        int r = catalog_find_directory(catalog, tree, path, length, ret_id);
        if (r != -ENOENT)
                return r;
        sqlite3_stmt *add = database_use(&catalog->database, DIRECTORY_ADD);
        if (!add)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(add, 1, tree);
        sqlite3_bind_blob(add, 2, path, (int)length, SQLITE_STATIC);
        r = database_run(add);
        return r < 0 ? r : catalog_find_directory(catalog, tree, path, length, ret_id);
}

void path_split(const char *path, size_t *ret_directory_length, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        *ret_directory_length = slash ? (size_t)(slash - path) : 0;
        *ret_name = slash ? slash + 1 : path;
}

void bind_node(sqlite3_stmt *statement, int column, const struct node *node) {
        sqlite3_bind_int64(statement, column++, node->mode);
        sqlite3_bind_int64(statement, column++, node->uid);
        sqlite3_bind_int64(statement, column++, node->gid);
        sqlite3_bind_int64(statement, column++, node->n_links);
        sqlite3_bind_int64(statement, column++, (int64_t)node->size_bytes);
        sqlite3_bind_int64(statement, column++, (int64_t)node->inode);
        sqlite3_bind_int64(statement, column++, (int64_t)node->mtime_ns);
        sqlite3_bind_int64(statement, column++, (int64_t)node->ctime_ns);
        bind_digest(statement, column++, &node->digest);
        bind_digest(statement, column++, &node->xattr_digest);
        if (node->link_target)
                sqlite3_bind_blob(statement, column, node->link_target, (int)strlen(node->link_target),
                                  SQLITE_STATIC);
}

int column_node(sqlite3_stmt *statement, int column, struct node *ret_node) {
        struct node node = {
                .mode = (mode_t)sqlite3_column_int64(statement, column),
                .uid = (uid_t)sqlite3_column_int64(statement, column + 1),
                .gid = (gid_t)sqlite3_column_int64(statement, column + 2),
                .n_links = (uint32_t)sqlite3_column_int64(statement, column + 3),
                .size_bytes = (uint64_t)sqlite3_column_int64(statement, column + 4),
                .inode = (uint64_t)sqlite3_column_int64(statement, column + 5),
                .mtime_ns = (uint64_t)sqlite3_column_int64(statement, column + 6),
                .ctime_ns = (uint64_t)sqlite3_column_int64(statement, column + 7),
        };
        column_digest(statement, column + 8, &node.digest);
        column_digest(statement, column + 9, &node.xattr_digest);
        if (S_ISLNK(node.mode)) {
                const char *target = sqlite3_column_blob(statement, column + 10);
                node.link_target =
                        strndup(target ?: "", (size_t)sqlite3_column_bytes(statement, column + 10));
                if (!node.link_target)
                        return -ENOMEM;
        }
        *ret_node = node;
        return 0;
}

static sqlite3_stmt *use_for(struct catalog *catalog, enum statement which, int64_t directory,
                             const char *name) {
        sqlite3_stmt *statement = database_use(&catalog->database, which);
        if (statement) {
                sqlite3_bind_int64(statement, 1, directory);
                sqlite3_bind_blob(statement, 2, name, (int)strlen(name), SQLITE_STATIC);
        }
        return statement;
}

/* The approved node with the time since when. */
static int get_node(struct catalog *catalog, int64_t directory, const char *name, struct node *ret_node,
                    uint64_t *ret_from_ns) {
        sqlite3_stmt *get = use_for(catalog, NODE_GET, directory, name);
        if (!get)
                return database_errno(&catalog->database);
        int r = database_step(get);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = column_node(get, 1, ret_node);
        if (r == 0 && ret_from_ns)
                *ret_from_ns = (uint64_t)sqlite3_column_int64(get, 0);
        sqlite3_reset(get);
        return r;
}

int catalog_get(struct catalog *catalog, int64_t tree, const char *path, struct node *ret_node) {
        CATALOG_LOCK(catalog);
        size_t length;
        const char *name;
        int64_t directory;
        path_split(path, &length, &name);
        int r = catalog_find_directory(catalog, tree, path, length, &directory);
        return r < 0 ? r : get_node(catalog, directory, name, ret_node, NULL);
}

int catalog_get_at(struct catalog *catalog, int64_t tree, const char *path, uint64_t at_ns,
                   struct node *ret_node) {
        CATALOG_LOCK(catalog);
        size_t length;
        const char *name;
        int64_t directory;
        path_split(path, &length, &name);
        int r = catalog_find_directory(catalog, tree, path, length, &directory);
        if (r < 0)
                return r;
        sqlite3_stmt *get = use_for(catalog, NODE_GET_AT, directory, name);
        if (!get)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(get, 3, (int64_t)at_ns);
        r = database_step(get);
        if (r <= 0)
                return r < 0 ? r : -ENOENT;
        r = column_node(get, 0, ret_node);
        sqlite3_reset(get);
        return r;
}

static int put_node(struct catalog *catalog, int64_t directory, const char *name, const struct node *node,
                    uint64_t from_ns, int64_t release) {
        sqlite3_stmt *put = use_for(catalog, NODE_PUT, directory, name);
        if (!put)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(put, 3, release);
        sqlite3_bind_int64(put, 4, (int64_t)from_ns);
        bind_node(put, 5, node);
        return database_run(put);
}

/* Ends what is approved now: into the history, and away when nothing follows. */
static int retire_node(struct catalog *catalog, int64_t directory, const char *name, uint64_t until_ns,
                       int64_t release) {
        sqlite3_stmt *retire = use_for(catalog, NODE_RETIRE, directory, name);
        if (!retire)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(retire, 3, (int64_t)until_ns);
        sqlite3_bind_int64(retire, 4, release);
        int r = database_run(retire);
        sqlite3_stmt *delete = r == 0 ? use_for(catalog, NODE_DELETE, directory, name) : NULL;
        if (!delete)
                return r < 0 ? r : database_errno(&catalog->database);
        return database_run(delete);
}

static int touch_node(struct catalog *catalog, int64_t directory, const char *name, const struct node *node) {
        sqlite3_stmt *touch = use_for(catalog, NODE_TOUCH, directory, name);
        if (!touch)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(touch, 3, node->n_links);
        sqlite3_bind_int64(touch, 4, (int64_t)node->size_bytes);
        sqlite3_bind_int64(touch, 5, (int64_t)node->inode);
        sqlite3_bind_int64(touch, 6, (int64_t)node->mtime_ns);
        sqlite3_bind_int64(touch, 7, (int64_t)node->ctime_ns);
        return database_run(touch);
}

static int approve_node(struct catalog *catalog, int64_t directory, const char *name, const struct node *node,
                        uint64_t from_ns, int64_t release) {
        _cleanup_(node_deinit) struct node before = NODE_INIT;
        uint64_t before_ns = 0;
        int r = get_node(catalog, directory, name, &before, &before_ns);
        if (r < 0 && r != -ENOENT)
                return r;
        if (node_compare(&before, node) == 0)
                return node_exists(node) ? touch_node(catalog, directory, name, node) : 0;

        /* A clock that was set back must not turn history around. */
        if (node_exists(&before) && from_ns <= before_ns)
                from_ns = before_ns + 1;
        r = 0;
        if (node_exists(&before))
                r = retire_node(catalog, directory, name, from_ns, release);
        if (r == 0 && node_exists(node))
                r = put_node(catalog, directory, name, node, from_ns, release);
        if (r == 0 && release)
                r = catalog_count(catalog, release, &before, node);
        return r;
}

int catalog_approve(struct catalog *catalog, int64_t tree, const char *path, const struct node *node,
                    uint64_t from_ns, int64_t release) {
        CATALOG_LOCK(catalog);
        size_t length;
        const char *name;
        int64_t directory;
        path_split(path, &length, &name);
        catalog_drop_claims(catalog);
        /* Several rows, one truth: also outside a transaction of the caller. */
        bool own = !in_transaction(catalog);
        int r = own ? database_begin(&catalog->database, false) : 0;
        if (r < 0)
                return r;
        r = require_directory(catalog, tree, path, length, &directory);
        if (r == 0)
                r = approve_node(catalog, directory, name, node, from_ns, release);
        if (own && r == 0)
                r = catalog_flush_counts(catalog);
        if (own && r == 0)
                r = database_commit(&catalog->database);
        if (own && r < 0) {
                forget_directory(catalog);
                database_rollback(&catalog->database);
        }
        return r;
}

int catalog_touch(struct catalog *catalog, int64_t tree, const char *path, const struct node *node) {
        CATALOG_LOCK(catalog);
        size_t length;
        const char *name;
        int64_t directory;
        path_split(path, &length, &name);
        int r = catalog_find_directory(catalog, tree, path, length, &directory);
        return r < 0 ? r : touch_node(catalog, directory, name, node);
}
