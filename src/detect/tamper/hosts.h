/*
 * Servers that a page's scripts, frames, forms and code name: where a skimmer is loaded from
 * and where it sends. Links, pictures, name spaces and addresses in prose are not counted.
 */
#pragma once

#include <jansson.h>

#include "detect/tamper/evidence.h"

enum host_kind {
        HOST_SCRIPT = 1 << 0, /* <script src>, <base href>, a refresh */
        HOST_FRAME = 1 << 1,  /* <iframe>, <embed>, <object> */
        HOST_FORM = 1 << 2,   /* where a form goes */
        HOST_CODE = 1 << 3,   /* in a string of a program */
        HOST_HIDDEN = 1 << 4, /* as HOST_CODE, but encoded so that a reader does not see it */
        HOST_LISTED = 1 << 5, /* only an element of a list in PHP, such as a menu */
};

#define HOSTS_MAX 256

struct hosts {
        size_t n;
        struct host {
                char *name; /* owned; lower case */
                unsigned kinds;
        } items[HOSTS_MAX];
        uint16_t slots[1024]; /* index + 1 by hash of the name */
};

struct hosts *hosts_new(void);
struct hosts *hosts_free(struct hosts *hosts);

/*
 * Adds the server an address names: "https://host/…", "//host", "\/\/host", "wss://…". Returns whether it
 * named one; the machine itself, name spaces (www.w3.org) and what is no host name do not count.
 */
bool hosts_add_url(struct hosts *hosts, struct view url, unsigned kind);

/* A plain host name, e.g. fsockopen()'s first argument. */
bool hosts_add_name(struct hosts *hosts, struct view name, unsigned kind);

/* Every address that stands at the start of a string, or quoted or bracketed inside it. */
bool hosts_add_string(struct hosts *hosts, struct view string, unsigned kind);

/* Names whose kind is one of `kinds` and that `except` (may be NULL) does not have, or has as HOST_LISTED alone. */
json_t *hosts_encode(const struct hosts *hosts, unsigned kinds, const struct hosts *except);
