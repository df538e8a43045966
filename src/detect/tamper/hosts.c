#include "detect/tamper/hosts.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/cleanup.h"
#include "event/json.h"

#define NAME_MAX_BYTES 253

/* Name spaces and examples: nothing is ever fetched from there. */
static const char *const ignored[] = {
        "www.w3.org",   "w3.org",           "schema.org",
        "ogp.me",       "purl.org",         "gmpg.org",
        "ns.adobe.com", "xmlns.com",        "localhost.localdomain",
        "127.0.0.1",    "0.0.0.0",          "[::1]",
        "docbook.org",  "www.sitemaps.org", "relaxng.org",
};

struct hosts *hosts_new(void) {
        return calloc(1, sizeof(struct hosts));
}

struct hosts *hosts_free(struct hosts *hosts) {
        if (hosts) {
                for (size_t i = 0; i < hosts->n; i++)
                        free(hosts->items[i].name);
                free(hosts);
        }
        return NULL;
}

static bool is_host_byte(unsigned char c) {
        return isalnum(c) || c == '.' || c == '-' || c == '_' || c >= 0x80;
}

/* A name with a dot and a top level of letters, an IPv4 address, or one written as one large number. */
static bool is_host_name(const char *name, size_t size) {
        size_t labels = 1, dot = 0, digits = 0;
        if (size < 4 || size > NAME_MAX_BYTES || name[0] == '.' || name[0] == '-' || name[size - 1] == '-')
                return false;
        for (size_t i = 0; i < size; i++) {
                if (!is_host_byte((unsigned char)name[i]))
                        return false;
                digits += isdigit((unsigned char)name[i]) != 0;
                if (name[i] != '.')
                        continue;
                if (i + 1 < size && name[i + 1] == '.')
                        return false;
                labels++;
                dot = i;
        }
        if (digits == size)
                return size >= 8 && size <= 10;
        if (digits + labels - 1 == size)
                return labels == 4;
        size_t top = size - dot - 1;
        if (!dot || top < 2)
                return false;
        for (size_t i = dot + 1; i < size; i++) {
                unsigned char c = (unsigned char)name[i];
                if (!isalpha(c) && c < 0x80 &&
                    (strncmp(name + dot + 1, "xn--", 4) || !(isdigit(c) || c == '-')))
                        return false;
        }
        return true;
}

/* File names that look like hosts in strings such as "//cdn.min.js". */
static bool is_file_name(const char *name, size_t size) {
        static const char *const ends[] = {".js",  ".css",  ".php", ".png", ".jpg",
                                           ".gif", ".html", ".svg", ".json"};
        for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
                size_t n = strlen(ends[i]);
                if (size > n && !memcmp(name + size - n, ends[i], n))
                        return true;
        }
        return false;
}

static uint16_t *find_slot(const struct hosts *hosts, const char *name) {
        uint32_t hash = 2166136261u;
        for (const char *p = name; *p; p++)
                hash = (hash ^ (unsigned char)*p) * 16777619u;
        for (size_t i = hash % ARRAY_SIZE(hosts->slots);; i = (i + 1) % ARRAY_SIZE(hosts->slots)) {
                uint16_t *slot = (uint16_t *)&hosts->slots[i];
                if (!*slot || !strcmp(hosts->items[*slot - 1].name, name))
                        return slot;
        }
}

static bool is_ignored(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
                if (!strcmp(name, ignored[i]))
                        return true;
        return false;
}

static bool add(struct hosts *hosts, const char *name, unsigned kind) {
        if (is_ignored(name))
                return false;
        uint16_t *slot = find_slot(hosts, name);
        if (!*slot) {
                char *copy = hosts->n < HOSTS_MAX ? strdup(name) : NULL;
                if (!copy)
                        return true;
                hosts->items[hosts->n] = (struct host){.name = copy};
                *slot = (uint16_t)++hosts->n;
        }
        hosts->items[*slot - 1].kinds |= kind;
        return true;
}

bool hosts_add_name(struct hosts *hosts, struct view name, unsigned kind) {
        char lower[NAME_MAX_BYTES + 1];
        while (name.size && name.data[name.size - 1] == '.')
                name.size--;
        if (name.size > NAME_MAX_BYTES)
                return false;
        for (size_t i = 0; i < name.size; i++)
                lower[i] = (char)tolower(name.data[i]);
        lower[name.size] = '\0';
        if (!is_host_name(lower, name.size) || is_file_name(lower, name.size))
                return false;
        return add(hosts, lower, kind);
}

/* Behind the two slashes: "user:password@host:port/path". */
static bool add_authority(struct hosts *hosts, struct view rest, unsigned kind) {
        size_t start = 0, end = 0;
        while (end < rest.size && (is_host_byte(rest.data[end]) || strchr(":@%!~*+$&", rest.data[end])) &&
               rest.data[end] && end < 512) {
                if (rest.data[end] == '@')
                        start = end + 1;
                end++;
        }
        size_t size = 0;
        while (start + size < end && is_host_byte(rest.data[start + size]))
                size++;
        return hosts_add_name(hosts, (struct view){rest.data + start, size}, kind);
}

static bool is_slash(unsigned char c) {
        return c == '/' || c == '\\';
}

/* Length of "http:" and its like at the start, or 0. */
static size_t scheme_size(struct view url) {
        static const char *const schemes[] = {
                "https:", "http:", "wss:", "ws:", "ssl:", "tls:", "tcp:", "ftp:", "ftps:"};
        for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
                size_t n = strlen(schemes[i]);
                if (url.size > n && !strncasecmp((const char *)url.data, schemes[i], n))
                        return n;
        }
        return 0;
}

/* Browsers take '\' for '/', and JSON writes "\/": two slashes of any sort begin a host. */
bool hosts_add_url(struct hosts *hosts, struct view url, unsigned kind) {
        while (url.size && isspace(url.data[0]))
                url = view_from(url, 1);
        size_t at = scheme_size(url), slashes = 0;
        while (at < url.size && is_slash(url.data[at]) && slashes < 5) {
                slashes++;
                at++;
        }
        return slashes >= 2 && add_authority(hosts, view_from(url, at), kind);
}

/* Start of the address whose two slashes are at `at`; SIZE_MAX: of a scheme that is none of ours. */
static size_t url_start(struct view string, size_t at) {
        if (at == 0 || string.data[at - 1] != ':')
                return at;
        for (size_t n = 2; n <= 6 && n <= at; n++)
                if (scheme_size((struct view){string.data + at - n, string.size - at + n}) == n &&
                    (n == at || !isalpha(string.data[at - n - 1])))
                        return at - n;
        return SIZE_MAX;
}

/* Is the name that ends before `end` one of markup's attributes? Those are read by html.c, with their tag. */
static bool is_attribute(struct view string, size_t end) {
        static const char *const names[] = {
                "href",   "src",        "action",   "formaction", "content",     "cite",   "srcset",
                "poster", "value",      "data",     "itemtype",   "itemid",      "rel",    "title",
                "alt",    "background", "profile",  "resource",   "vocab",       "prefix", "codebase",
                "about",  "longdesc",   "manifest", "ping",       "placeholder",
        };
        size_t start = end;
        while (start && end - start < 32 &&
               (isalnum(string.data[start - 1]) || strchr("-:", string.data[start - 1])) &&
               string.data[start - 1])
                start--;
        struct view name = {string.data + start, end - start};
        if (start && string.data[start - 1] == '.') /* a property: img.src='…' */
                return false;
        if (view_starts(name, "xmlns") || view_starts(name, "data-") || view_starts(name, "xlink:"))
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (name.size == strlen(names[i]) &&
                    !strncasecmp((const char *)name.data, names[i], name.size))
                        return true;
        return false;
}

/* At the start, or behind a bracket, or behind a quote that is no attribute's. */
static bool stands_out(struct view string, size_t start) {
        if (start == 0)
                return true;
        unsigned char c = string.data[start - 1];
        if (c == '(' || c == ',')
                return true;
        if (c != '"' && c != '\'' && c != '`')
                return false;
        size_t p = start - 1;
        while (p && (isspace(string.data[p - 1]) || string.data[p - 1] == '\\'))
                p--;
        if (!p || string.data[p - 1] != '=')
                return true;
        for (p--; p && isspace(string.data[p - 1]);)
                p--;
        return !is_attribute(string, p);
}

bool hosts_add_string(struct hosts *hosts, struct view string, unsigned kind) {
        bool any = false;
        for (size_t at = 0; at + 4 < string.size; at++) {
                const unsigned char *found = memchr(string.data + at, '/', string.size - at - 1);
                if (!found)
                        break;
                at = (size_t)(found - string.data);
                size_t slashes = at;
                if (at && string.data[at - 1] == '\\') /* "\/\/host" */
                        slashes--;
                else if (string.data[at + 1] != '/')
                        continue;
                if (slashes != at &&
                    !(at + 2 < string.size && string.data[at + 1] == '\\' && string.data[at + 2] == '/'))
                        continue;
                size_t start = url_start(string, slashes);
                if (start != SIZE_MAX && stands_out(string, start))
                        any |= hosts_add_url(hosts, view_from(string, start), kind);
                at += slashes == at ? 1 : 2;
        }
        return any;
}

/* What was only listed, and may be used from now on, is as good as new. */
static bool knows(const struct hosts *hosts, const struct host *host, unsigned kinds) {
        uint16_t at = *find_slot(hosts, host->name);
        return at && (hosts->items[at - 1].kinds != HOST_LISTED ||
                      (host->kinds == HOST_LISTED && !(kinds & HOST_LISTED)));
}

json_t *hosts_encode(const struct hosts *hosts, unsigned kinds, const struct hosts *except) {
        json_t *names = json_array();
        for (size_t i = 0; names && i < hosts->n; i++) {
                const struct host *host = &hosts->items[i];
                if (!(host->kinds & kinds) || (except && knows(except, host, kinds)))
                        continue;
                if (json_array_append_new(names, json_bytes(host->name)) < 0) {
                        json_decref(names);
                        return NULL;
                }
        }
        return names;
}
