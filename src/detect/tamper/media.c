#include "detect/tamper/media.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/cleanup.h"

struct magic {
        size_t offset;
        const char *bytes;
        size_t size;
        const char *type;
        enum media_family family;
};

#define MAGIC(offset, bytes, type, family)                                                                   \
        { offset, bytes, sizeof(bytes) - 1, type, family }

static const struct magic magics[] = {
        MAGIC(0, "\xff\xd8\xff", "image/jpeg", FAMILY_IMAGE),
        MAGIC(0, "\x89PNG\r\n\x1a\n", "image/png", FAMILY_IMAGE),
        MAGIC(0, "GIF87a", "image/gif", FAMILY_IMAGE),
        MAGIC(0, "GIF89a", "image/gif", FAMILY_IMAGE),
        MAGIC(8, "WEBP", "image/webp", FAMILY_IMAGE),
        MAGIC(0, "\0\0\1\0", "image/x-icon", FAMILY_IMAGE),
        MAGIC(0, "\0\0\2\0", "image/x-icon", FAMILY_IMAGE),
        MAGIC(4, "ftypavif", "image/avif", FAMILY_IMAGE),
        MAGIC(4, "ftypavis", "image/avif", FAMILY_IMAGE),
        MAGIC(4, "ftypheic", "image/heic", FAMILY_IMAGE),
        MAGIC(4, "ftypheix", "image/heic", FAMILY_IMAGE),
        MAGIC(4, "ftypmif1", "image/heif", FAMILY_IMAGE),
        MAGIC(0, "II*\0", "image/tiff", FAMILY_IMAGE),
        MAGIC(0, "MM\0*", "image/tiff", FAMILY_IMAGE),
        MAGIC(0, "\0\0\0\x0cjP  ", "image/jp2", FAMILY_IMAGE),
        MAGIC(0, "\xff\x0a", "image/jxl", FAMILY_IMAGE),
        MAGIC(0, "\0\0\0\x0cJXL ", "image/jxl", FAMILY_IMAGE),
        MAGIC(0, "8BPS", "image/vnd.adobe.photoshop", FAMILY_IMAGE),
        MAGIC(0, "%PDF-", "application/pdf", FAMILY_DOCUMENT),
        MAGIC(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage", FAMILY_DOCUMENT),
        MAGIC(0, "PK\3\4", "application/zip", FAMILY_ARCHIVE),
        MAGIC(0, "PK\5\6", "application/zip", FAMILY_ARCHIVE),
        MAGIC(0, "\x1f\x8b\x08", "application/gzip", FAMILY_ARCHIVE),
        MAGIC(0, "BZh", "application/x-bzip2", FAMILY_ARCHIVE),
        MAGIC(0,
              "\xfd"
              "7zXZ\0",
              "application/x-xz", FAMILY_ARCHIVE),
        MAGIC(0, "\x28\xb5\x2f\xfd", "application/zstd", FAMILY_ARCHIVE),
        MAGIC(0, "7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", FAMILY_ARCHIVE),
        MAGIC(0, "Rar!\x1a\7", "application/vnd.rar", FAMILY_ARCHIVE),
        MAGIC(257, "ustar", "application/x-tar", FAMILY_ARCHIVE),
        MAGIC(0, "SQLite format 3\0", "application/vnd.sqlite3", FAMILY_ARCHIVE),
        MAGIC(0,
              "\x7f"
              "ELF",
              "application/x-elf", FAMILY_EXECUTABLE),
        MAGIC(0, "\xca\xfe\xba\xbe", "application/x-mach-o", FAMILY_EXECUTABLE),
        MAGIC(0, "\xcf\xfa\xed\xfe", "application/x-mach-o", FAMILY_EXECUTABLE),
        MAGIC(0, "wOFF", "font/woff", FAMILY_FONT),
        MAGIC(0, "wOF2", "font/woff2", FAMILY_FONT),
        MAGIC(0, "OTTO", "font/otf", FAMILY_FONT),
        MAGIC(0, "\0\1\0\0\0", "font/ttf", FAMILY_FONT),
        MAGIC(34, "LP", "application/vnd.ms-fontobject", FAMILY_FONT),
        MAGIC(0, "ID3", "audio/mpeg", FAMILY_SOUND),
        MAGIC(0, "OggS", "audio/ogg", FAMILY_SOUND),
        MAGIC(0, "fLaC", "audio/flac", FAMILY_SOUND),
        MAGIC(0, "RIFF", "audio/wav", FAMILY_SOUND),
        MAGIC(4, "ftyp", "video/mp4", FAMILY_SOUND),
        MAGIC(0, "\x1a\x45\xdf\xa3", "video/webm", FAMILY_SOUND),
        MAGIC(0, "\0asm", "application/wasm", FAMILY_UNKNOWN),
};

static bool is_bitmap(struct view view) {
        return view.size > 26 && view_starts(view, "BM") &&
               strchr("\x0c\x28\x34\x38\x40\x6c\x7c", view.data[14]) && view.data[14] && !view.data[15];
}

static bool is_program_for_windows(struct view view) {
        if (view.size < 0x40 || !view_starts(view, "MZ"))
                return false;
        size_t at = view.data[0x3c] | (size_t)view.data[0x3d] << 8;
        return view_starts(view_from(view, at), "PE");
}

/* A NUL in the first 8 KiB makes it binary, as for diff(1) and git; so do many control characters. */
static bool is_text(struct view view) {
        struct view head = view_head(view, 8192);
        size_t controls = 0;
        for (size_t i = 0; i < head.size; i++) {
                unsigned char c = head.data[i];
                if (c == 0)
                        return false;
                controls += c < 0x20 && !strchr("\t\n\r\f\x1b\b", c);
        }
        return controls * 50 <= head.size;
}

static bool contains_early(struct view view, const char *text) {
        struct view head = view_head(view, 1024);
        for (size_t i = 0, n = strlen(text); i + n <= head.size; i++)
                if (!strncasecmp((const char *)head.data + i, text, n))
                        return true;
        return false;
}

/* --- names --- */

static bool has_extension(const char *name, const char *list) {
        const char *dot = strrchr(name, '.');
        char word[16];
        if (!dot || strlen(dot) > 8)
                return false;
        int n = snprintf(word, sizeof(word), " %s ", dot + 1);
        for (int i = 0; i < n; i++)
                word[i] = (char)tolower((unsigned char)word[i]);
        return strstr(list, word) != NULL;
}

/* Apache's AddHandler looks at every extension: "x.php.jpg" may run. */
static bool is_php_name(const char *name) {
        static const char list[] = " php phtml pht phar php3 php4 php5 php7 php8 inc module ctp ";
        char part[16];
        for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
                size_t size = strcspn(dot + 1, ".");
                if (size < 3 || size > 6)
                        continue;
                snprintf(part, sizeof(part), ".%.*s", (int)size, dot + 1);
                if (has_extension(part, list))
                        return true;
        }
        return false;
}

static enum language name_language(const char *name) {
        if (!strcasecmp(name, ".htaccess"))
                return LANGUAGE_APACHE;
        if (!strcasecmp(name, ".user.ini") || !strcasecmp(name, "php.ini"))
                return LANGUAGE_INI;
        if (has_extension(name, " js mjs cjs jsx ts "))
                return LANGUAGE_JS;
        if (has_extension(name, " html htm xhtml shtml twig tpl hbs mustache ejs vue latte liquid smarty "))
                return LANGUAGE_HTML;
        if (has_extension(name, " svg "))
                return LANGUAGE_SVG;
        if (has_extension(name, " css scss less "))
                return LANGUAGE_CSS;
        return LANGUAGE_NONE;
}

static const char *language_type(enum language language) {
        static const char *const types[] = {
                [LANGUAGE_NONE] = "text/plain",        [LANGUAGE_PHP] = "text/x-php",
                [LANGUAGE_HTML] = "text/html",         [LANGUAGE_JS] = "text/javascript",
                [LANGUAGE_SVG] = "image/svg+xml",      [LANGUAGE_CSS] = "text/css",
                [LANGUAGE_APACHE] = "text/x-htaccess", [LANGUAGE_INI] = "text/x-ini",
        };
        return types[language];
}

/* --- PHP tags --- */

/* "<?php" must be followed by white space or the end to open code. */
static bool opens_long_tag(struct view at) {
        return at.size >= 5 && !strncasecmp((const char *)at.data, "<?php", 5) &&
               (at.size == 5 || isspace(at.data[5]) || at.data[5] == '/');
}

static bool opens_script_tag(struct view at) {
        static const char tag[] = "<script";
        if (at.size < 24 || strncasecmp((const char *)at.data, tag, sizeof(tag) - 1))
                return false;
        struct view head = view_head(at, 64);
        size_t language = 0;
        for (size_t i = sizeof(tag) - 1; i + 11 < head.size && head.data[i] != '>'; i++) {
                if (!language && !strncasecmp((const char *)head.data + i, "language", 8))
                        language = i;
                if (language && !strncasecmp((const char *)head.data + i, "php", 3))
                        return true;
        }
        return false;
}

/*
 * After "<?=" or "<?": a short printable run with a variable or a call that ends in ';' or "?>". In
 * random bytes a run of 12 printable ones has a chance of 1 in 10^5, and of the rest far less.
 */
static bool reads_like_code(struct view after, bool in_text) {
        struct view head = view_head(after, 4096);
        size_t i = 0, sigils = 0;
        for (; i < head.size; i++) {
                unsigned char c = head.data[i];
                if ((c < 0x20 && !isspace(c)) || c == 0x7f ||
                    (c == '<' && i + 1 < head.size && head.data[i + 1] == '?'))
                        break;
                sigils += c == '$' || c == '(' || c == '`';
                if (sigils && i >= 3 && (c == ';' || (c == '>' && head.data[i - 1] == '?')))
                        return in_text || i >= 6;
        }
        return sigils && i >= 12 && i == after.size;
}

static bool begins_expression(struct view after) {
        size_t i = 0;
        while (i < after.size && isspace(after.data[i]))
                i++;
        return i < after.size && (isalnum(after.data[i]) || strchr("$_`\"'(\\@!", after.data[i])) &&
               after.data[i];
}

static bool opens_short_tag(struct view at, enum tag_place place) {
        if (at.size < 4 || at.data[1] != '?')
                return false;
        if (place == TAGS_IN_PROGRAM)
                return strncasecmp((const char *)at.data + 2, "xml", at.size - 2 < 3 ? at.size - 2 : 3) != 0;
        if (at.size < 8)
                return false;
        if (at.data[2] == '=')
                return begins_expression(view_from(at, 3)) &&
                       reads_like_code(view_from(at, 3), place != TAGS_IN_BYTES);
        /* the bare short tag is off by default and looks like XML: only with a request or a call of ill
         * repute */
        if (!isspace(at.data[2]))
                return false;
        struct view head = view_head(at, 256);
        bool telling = memmem(head.data, head.size, "$_", 2) || memmem(head.data, head.size, "eval", 4) ||
                       memmem(head.data, head.size, "base64_decode", 13);
        return telling && reads_like_code(view_from(at, 2), place != TAGS_IN_BYTES);
}

size_t media_find_php(struct view view, size_t from, enum tag_place place) {
        while (from < view.size) {
                const unsigned char *found = memchr(view.data + from, '<', view.size - from);
                if (!found)
                        break;
                from = (size_t)(found - view.data);
                struct view at = view_from(view, from);
                if (at.size > 1 && (at.data[1] == '?' || at.data[1] == 's' || at.data[1] == 'S') &&
                    (opens_long_tag(at) || opens_script_tag(at) || opens_short_tag(at, place)))
                        return from;
                from++;
        }
        return SIZE_MAX;
}

enum tag_place media_tag_place(const struct media *media) {
        return media->is_php_name ? TAGS_IN_PROGRAM : media->is_text ? TAGS_IN_TEXT : TAGS_IN_BYTES;
}

/* --- the whole --- */

static void sniff(struct media *media, struct view view) {
        for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
                const struct magic *m = &magics[i];
                if (view.size >= m->offset + m->size && !memcmp(view.data + m->offset, m->bytes, m->size)) {
                        media->type = m->type;
                        media->family = m->family;
                        return;
                }
        }
        if (is_bitmap(view)) {
                media->type = "image/bmp";
                media->family = FAMILY_IMAGE;
        } else if (is_program_for_windows(view)) {
                media->type = "application/x-msdownload";
                media->family = FAMILY_EXECUTABLE;
        } else if (is_text(view)) {
                media->type = "text/plain";
                media->family = FAMILY_TEXT;
        } else {
                media->type = "application/octet-stream";
                media->family = FAMILY_UNKNOWN;
        }
}

static void choose_language(struct media *media, const char *name, struct view view) {
        media->language = name_language(name);
        if (media->language == LANGUAGE_NONE && media->is_php_name)
                media->language = LANGUAGE_PHP;
        else if (media->language == LANGUAGE_NONE && media->has_php)
                media->language = LANGUAGE_PHP;
        else if (media->language == LANGUAGE_NONE && contains_early(view, "<svg"))
                media->language = LANGUAGE_SVG;
        else if (media->language == LANGUAGE_NONE &&
                 (contains_early(view, "<!doctype html") || contains_early(view, "<html")))
                media->language = LANGUAGE_HTML;
        if (media->language == LANGUAGE_SVG && contains_early(view, "<svg"))
                media->family = FAMILY_IMAGE;
        media->type = media->has_php ? "text/x-php" : language_type(media->language);
}

struct media media_of(const char *name, struct view view) {
        struct media media = {.type = "application/x-empty", .php_offset = SIZE_MAX};
        media.is_php_name = is_php_name(name);
        media.is_image_name = has_extension(
                name, " jpg jpeg jpe jfif png gif webp ico bmp tif tiff svg avif heic heif jxl jp2 psd ");
        if (!view.size)
                return media;
        sniff(&media, view);
        media.is_text = media.family == FAMILY_TEXT;
        media.php_offset = media_find_php(view, 0, media_tag_place(&media));
        media.has_php = media.php_offset != SIZE_MAX;
        if (media.is_text)
                choose_language(&media, name, view);
        else if (media.has_php)
                media.language = LANGUAGE_PHP;
        return media;
}

static bool is_log_name(const char *name) {
        return has_extension(name, " log sql ") || !strcasecmp(name, "error_log");
}

/* A phar's stub makes an archive of any name a program. */
static bool is_phar(struct view view) {
        static const char mark[] = "__HALT_COMPILER";
        size_t at = view_find(view_head(view, 1 << 20), 0, mark, sizeof(mark) - 1);
        return at != SIZE_MAX && media_find_php(view_head(view, at), 0, TAGS_IN_BYTES) != SIZE_MAX;
}

static void assay_php(const struct media *media, const char *name, struct view view,
                      struct evidences *evidences) {
        struct view snippet = view_head(view_from(view, media->php_offset), 60);
        switch (media->family) {
        case FAMILY_IMAGE:
        case FAMILY_FONT:
        case FAMILY_SOUND:
        case FAMILY_DOCUMENT:
                evidence_add(evidences, INDICATOR_PHP_TAG_IN_IMAGE, snippet.data, snippet.size);
                return;
        case FAMILY_ARCHIVE: /* stored entries of an archive may well be PHP */
                if (media->is_image_name || (is_phar(view) && !has_extension(name, " phar ")))
                        evidence_add(evidences, INDICATOR_PHP_TAG_IN_IMAGE, snippet.data, snippet.size);
                return;
        default:
                break;
        }
        if (media->is_image_name)
                evidence_add(evidences, INDICATOR_PHP_TAG_IN_IMAGE, snippet.data, snippet.size);
        else if (!media->is_php_name && (media->php_offset == 0 || !is_log_name(name)))
                evidence_add(evidences, INDICATOR_PHP_TAG_IN_TEXT, snippet.data, snippet.size);
}

/* <script>, or an event's handler, in what should be a drawing. */
static void assay_svg(struct view view, struct evidences *evidences) {
        for (size_t i = 0; i + 8 < view.size; i++) {
                const char *p = (const char *)view.data + i;
                if (*p == '<' && !strncasecmp(p, "<script", 7)) {
                        evidence_add(evidences, INDICATOR_SCRIPT_IN_SVG, p,
                                     view.size - i < 60 ? view.size - i : 60);
                } else if (isspace(*p) && !strncasecmp(p + 1, "on", 2)) {
                        size_t n = 3;
                        while (i + n < view.size && isalpha(view.data[i + n]))
                                n++;
                        if (n > 5 && i + n < view.size && view.data[i + n] == '=')
                                evidence_add(evidences, INDICATOR_SCRIPT_IN_SVG, p + 1, n);
                }
        }
}

void media_assay(const struct media *media, const char *name, struct view view, struct evidences *evidences) {
        if (media->has_php)
                assay_php(media, name, view, evidences);
        if (media->is_image_name && media->family != FAMILY_IMAGE && media->family != FAMILY_EMPTY)
                evidence_add(evidences, INDICATOR_IMAGE_BYTES_MISMATCH, media->type, strlen(media->type));
        if (media->family == FAMILY_EXECUTABLE)
                evidence_add(evidences, INDICATOR_EXECUTABLE, media->type, strlen(media->type));
        if (media->language == LANGUAGE_SVG && media->family == FAMILY_IMAGE)
                assay_svg(view, evidences);
}
