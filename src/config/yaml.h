/*
 * YAML as a tree of scalars, lists and maps that knows its lines and columns.
 *
 * A plain subset of YAML 1.2, by libfyaml's event parser: no anchors, aliases, tags,
 * multi-line keys or second documents, since a configuration needs none and each is a way to make a small
 * file large or a clear one unclear. Bounded in bytes, nodes and depth. Pure; fuzzed
 * through config_parse().
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define YAML_BYTES_MAX ((size_t)1 << 20)
#define YAML_NODES_MAX 20000
#define YAML_DEPTH_MAX 16

enum yaml_type {
        YAML_SCALAR,
        YAML_LIST,
        YAML_MAP,
};

struct yaml {
        enum yaml_type type;
        unsigned line, column; /* from 1 */
        char *key;             /* of this member of a map; owned */
        unsigned key_line, key_column;
        char *text; /* scalar, UTF-8 without NUL; owned */
        bool quoted;
        size_t n_items;
        struct yaml *items; /* of a list or map, in order */
};

/*
 * 0, -ENOMEM, -EINVAL, -EFBIG: ret_error is "NAME:LINE:COLUMN: what is wrong" (owned).
 * An empty document gives a scalar with text "".
 */
int yaml_parse(const char *data, size_t size, const char *name, struct yaml **ret_root, char **ret_error);
struct yaml *yaml_free(struct yaml *root);
DEFINE_CLEANUP(struct yaml *, yaml_free);

/* The member of a map, or NULL. */
const struct yaml *yaml_get(const struct yaml *map, const char *key);

/* "NAME:LINE:COLUMN: …" in one escaped line of at most some 1,000 bytes, since it quotes what it found. Owned, or NULL. */
char *yaml_message(const char *name, unsigned line, unsigned column, const char *format, va_list ap)
        _printf_(4, 0);
