/*
 * dpkg's own files, as text: each function looks for one path in one file's bytes and allocates nothing.
 *
 *   info/PACKAGE.list       "/usr/bin/x\n" for each path
 *   info/PACKAGE.md5sums    "<32 hex>  usr/bin/x\n" for each regular file that is no conffile
 *   status                  stanzas "Package: NAME\n…Conffiles:\n /etc/x <32 hex>[ obsolete]\n…\n\n"
 *   diversions              three lines each: from, to, package that diverts or ":" for the administrator
 *
 * Paths are absolute. What is malformed is passed over: dpkg writes these, a root attacker can write
 * anything. Known gap: names with a newline, which dpkg itself cannot write either.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DPKG_MD5_BYTES 16

bool dpkg_list_has(const char *text, size_t size, const char *path);

bool dpkg_sums_find(const char *text, size_t size, const char *path, uint8_t ret_md5[DPKG_MD5_BYTES]);

/* `package` is "name" or "name:architecture". Without a sum yet ("newconffile") it is not found. */
bool dpkg_conffile_find(const char *text, size_t size, const char *package, const char *path,
                        uint8_t ret_md5[DPKG_MD5_BYTES]);

enum dpkg_diversion_kind {
        DPKG_NOT_DIVERTED,
        DPKG_DIVERTED_AWAY, /* packages other than `by` put this path at `other` */
        DPKG_DIVERTED_HERE, /* here stands what packages other than `by` have at `other` */
};

/* Strings point into the text. */
struct dpkg_diversion {
        const char *other;
        size_t other_size;
        const char *by; /* ":" for the administrator */
        size_t by_size;
};
enum dpkg_diversion_kind dpkg_diversion_find(const char *text, size_t size, const char *path,
                                             struct dpkg_diversion *ret_diversion);

/* Takes the next line, without its end. False at the end of the text. */
bool dpkg_next_line(const char *text, size_t size, size_t *offset, const char **ret_line, size_t *ret_size);
