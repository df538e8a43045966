/* A node as columns of the catalog, and where a path lies. Private to the catalog. */
#pragma once

#include "vault/catalog-private.h"

void bind_node(sqlite3_stmt *statement, int column, const struct node *node);
/* `ret_node` owns its link target. Returns 0 or -ENOMEM. */
int column_node(sqlite3_stmt *statement, int column, struct node *ret_node);

/* "a/b/c" lies in "a/b" under the name "c". */
void path_split(const char *path, size_t *ret_directory_length, const char **ret_name);
int catalog_find_directory(struct catalog *catalog, int64_t tree, const char *path, size_t length,
                           int64_t *ret_id);
