/*
 * A path pattern, compiled: '*' and '?' within one component, '**' as a whole
 * component for any number of components, none included. "a/" followed by "**" matches
 * "a" itself. Everything else is literal bytes; case counts.
 *
 * Matching allocates nothing and takes at most (components × components × bytes) steps;
 * most patterns are turned away by their literal head or tail.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_BYTES_MAX      1024
#define PATTERN_COMPONENTS_MAX 32

struct pattern {
        char *text; /* owned */
        uint16_t n_components;
        uint16_t head; /* literal bytes before the first wildcard */
        uint16_t tail; /* literal bytes after the last wildcard */
        struct pattern_component {
                uint16_t offset, size;
                enum { COMPONENT_LITERAL, COMPONENT_WILD, COMPONENT_ANY_DEPTH } kind;
        } * components; /* owned */
};

/* Returns 0, -ENOMEM, or -EINVAL with a static sentence (a msgid) in ret_problem. */
int pattern_compile(const char *text, size_t size, struct pattern *ret_pattern, const char **ret_problem);
void pattern_deinit(struct pattern *pattern);

/* `path` is relative, without "." or ".." or empty components; "" is the tree itself. */
bool pattern_match(const struct pattern *pattern, const char *path, size_t path_size);
