/*
 * Reading the catalog by directory and in time. Rows of one directory are copied out before
 * anybody is called, so that a visit may change the catalog.
 */
#include <string.h>

#include "base/buffer.h"
#include "vault/catalog-node.h"

struct row {
        size_t name; /* offset into names */
        struct node node;
};

struct listing {
        struct buffer names;
        struct row *rows;
        size_t n, capacity;
};

static void listing_deinit(struct listing *listing) {
        for (size_t i = 0; i < listing->n; i++)
                free(listing->rows[i].node.link_target);
        free(listing->rows);
        buffer_deinit(&listing->names);
}

static int listing_add(struct listing *listing, sqlite3_stmt *statement) {
        if (listing->n == listing->capacity) {
                size_t capacity = listing->capacity ? 2 * listing->capacity : 16;
                struct row *rows = reallocarray(listing->rows, capacity, sizeof(*rows));
                if (!rows)
                        return -ENOMEM;
                listing->rows = rows;
                listing->capacity = capacity;
        }
        struct row *row = &listing->rows[listing->n];
        const void *name = sqlite3_column_blob(statement, 0);
        row->name = listing->names.size;
        int r = buffer_append(&listing->names, name, (size_t)sqlite3_column_bytes(statement, 0));
        if (r == 0)
                r = buffer_append(&listing->names, "", 1);
        if (r == 0)
                r = column_node(statement, 1, &row->node);
        listing->n += r == 0;
        return r;
}

static int listing_read(struct catalog *catalog, int64_t directory, uint64_t at_ns, struct listing *listing) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *list = database_use(&catalog->database, at_ns ? NODE_LIST_AT : NODE_LIST);
        if (!list)
                return database_errno(&catalog->database);
        sqlite3_bind_int64(list, 1, directory);
        if (at_ns)
                sqlite3_bind_int64(list, 2, (int64_t)at_ns);
        int r;
        while ((r = database_step(list)) > 0) {
                r = listing_add(listing, list);
                if (r < 0)
                        break;
        }
        sqlite3_reset(list);
        return r;
}

static int find_directory(struct catalog *catalog, int64_t tree, const char *path, int64_t *ret_id) {
        CATALOG_LOCK(catalog);
        return catalog_find_directory(catalog, tree, path, strlen(path), ret_id);
}

int catalog_list(struct catalog *catalog, int64_t tree, const char *directory, catalog_visit visit,
                 void *userdata) {
        _cleanup_(listing_deinit) struct listing listing = {.n = 0};
        int64_t id;
        int r = find_directory(catalog, tree, directory, &id);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = listing_read(catalog, id, 0, &listing);
        for (size_t i = 0; r == 0 && i < listing.n; i++) {
                const char *name = listing.names.data + listing.rows[i].name;
                if (*name)
                        r = visit(name, &listing.rows[i].node, userdata);
        }
        return r;
}

struct directory {
        int64_t id;
        char *path;
};

struct directories {
        struct directory *items;
        size_t n;
};

static void directories_deinit(struct directories *directories) {
        for (size_t i = 0; i < directories->n; i++)
                free(directories->items[i].path);
        free(directories->items);
}

static int directories_add(struct directories *directories, sqlite3_stmt *statement) {
        size_t n = directories->n;
        if ((n & (n - 1)) == 0) { /* grows at powers of two */
                struct directory *items = reallocarray(directories->items, n ? 2 * n : 1, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                directories->items = items;
        }
        const char *path = sqlite3_column_blob(statement, 1);
        char *copy = strndup(path ?: "", (size_t)sqlite3_column_bytes(statement, 1));
        if (!copy)
                return -ENOMEM;
        directories->items[directories->n++] = (struct directory){sqlite3_column_int64(statement, 0), copy};
        return 0;
}

/* The directory `prefix` and every one below it, by the order of bytes: '0' follows '/'. */
static int directories_read(struct catalog *catalog, int64_t tree, const char *prefix,
                            struct directories *directories) {
        CATALOG_LOCK(catalog);
        _cleanup_(buffer_deinit) struct buffer from, to;
        buffer_init(&from, 0);
        buffer_init(&to, 0);
        int r = buffer_format(&from, "%s/", prefix);
        if (r == 0)
                r = buffer_format(&to, "%s0", prefix);
        sqlite3_stmt *range =
                r == 0 ? database_use(&catalog->database, *prefix ? DIRECTORY_RANGE : DIRECTORY_ALL) : NULL;
        if (!range)
                return r < 0 ? r : database_errno(&catalog->database);
        sqlite3_bind_int64(range, 1, tree);
        if (*prefix) {
                sqlite3_bind_blob(range, 2, prefix, (int)strlen(prefix), SQLITE_STATIC);
                sqlite3_bind_blob(range, 3, from.data, (int)from.size, SQLITE_STATIC);
                sqlite3_bind_blob(range, 4, to.data, (int)to.size, SQLITE_STATIC);
        }
        while ((r = database_step(range)) > 0) {
                r = directories_add(directories, range);
                if (r < 0)
                        break;
        }
        sqlite3_reset(range);
        return r;
}

static int walk_directory(struct catalog *catalog, const struct directory *directory, uint64_t at_ns,
                          catalog_visit visit, void *userdata) {
        _cleanup_(listing_deinit) struct listing listing = {.n = 0};
        _cleanup_(buffer_deinit) struct buffer path;
        buffer_init(&path, 0);
        int r = listing_read(catalog, directory->id, at_ns, &listing);
        for (size_t i = 0; r == 0 && i < listing.n; i++) {
                const char *name = listing.names.data + listing.rows[i].name;
                buffer_clear(&path);
                r = buffer_format(&path, "%s%s%s", directory->path, *directory->path ? "/" : "", name);
                if (r == 0)
                        r = visit(path.data, &listing.rows[i].node, userdata);
        }
        return r;
}

static int visit_prefix(struct catalog *catalog, int64_t tree, const char *prefix, uint64_t at_ns,
                        catalog_visit visit, void *userdata) {
        _cleanup_(node_deinit) struct node node = NODE_INIT;
        int r = at_ns ? catalog_get_at(catalog, tree, prefix, at_ns, &node)
                      : catalog_get(catalog, tree, prefix, &node);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return visit(prefix, &node, userdata);
}

int catalog_walk(struct catalog *catalog, int64_t tree, const char *prefix, uint64_t at_ns,
                 catalog_visit visit, void *userdata) {
        _cleanup_(directories_deinit) struct directories directories = {.n = 0};
        /* The root is a row of its own directory and comes by itself. */
        int r = *prefix ? visit_prefix(catalog, tree, prefix, at_ns, visit, userdata) : 0;
        if (r == 0)
                r = directories_read(catalog, tree, prefix, &directories);
        for (size_t i = 0; r == 0 && i < directories.n; i++)
                r = walk_directory(catalog, &directories.items[i], at_ns, visit, userdata);
        return r;
}

int catalog_list_trees(struct catalog *catalog, int (*visit)(const struct catalog_tree *tree, void *userdata),
                       void *userdata) {
        CATALOG_LOCK(catalog);
        sqlite3_stmt *list = database_use(&catalog->database, TREE_LIST);
        if (!list)
                return database_errno(&catalog->database);
        int r;
        while ((r = database_step(list)) > 0) {
                const char *bytes = sqlite3_column_blob(list, 1);
                _cleanup_(freep) char *path = strndup(bytes ?: "", (size_t)sqlite3_column_bytes(list, 1));
                struct catalog_tree tree = {
                        .id = sqlite3_column_int64(list, 0),
                        .path = path,
                        .protect = (const char *)sqlite3_column_text(list, 2),
                        .profile = (const char *)sqlite3_column_text(list, 3),
                        .armed_ns = (uint64_t)sqlite3_column_int64(list, 4),
                        .n_nodes = (uint64_t)sqlite3_column_int64(list, 5),
                };
                r = path ? visit(&tree, userdata) : -ENOMEM;
                if (r < 0)
                        break;
        }
        sqlite3_reset(list);
        return r;
}
