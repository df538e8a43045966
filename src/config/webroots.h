/*
 * Document roots named in a web server's configuration. Pure, bounded, fuzzed: the file
 * may be anything. Not an interpreter: variables, macros and relative paths are passed
 * over, since a root that is only known at run time cannot be guarded by name.
 */
#pragma once

#include <stddef.h>

enum web_server {
        WEB_NGINX,
        WEB_APACHE,
};

#define WEBROOTS_MAX 256

/* `path`: absolute, NUL-terminated, shorter than PATH_MAX. Negative: stop with that. */
typedef int (*webroots_visit)(const char *path, unsigned line, void *userdata);

/* nginx: `root`; Apache: DocumentRoot, and Alias, ScriptAlias targets. At most WEBROOTS_MAX of them. 0 or
 * what `visit` returned. */
int webroots_parse(enum web_server server, const char *data, size_t size, webroots_visit visit,
                   void *userdata);
