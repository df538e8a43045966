/*
 * What a file is: by its first bytes, and by what its name claims. A small table of the types
 * that matter in a shop's tree; everything else is text or unknown.
 */
#pragma once

#include "detect/tamper/evidence.h"

enum media_family {
        FAMILY_EMPTY,
        FAMILY_UNKNOWN, /* binary, no magic we know */
        FAMILY_TEXT,
        FAMILY_IMAGE,
        FAMILY_FONT,
        FAMILY_DOCUMENT, /* PDF, office */
        FAMILY_SOUND,    /* audio and video */
        FAMILY_ARCHIVE,
        FAMILY_EXECUTABLE,
};

/* What a text is written in; decides which detectors look at it. */
enum language {
        LANGUAGE_NONE,
        LANGUAGE_PHP, /* between its tags; the rest is HTML */
        LANGUAGE_HTML,
        LANGUAGE_JS,
        LANGUAGE_SVG,
        LANGUAGE_CSS,
        LANGUAGE_APACHE, /* .htaccess */
        LANGUAGE_INI,    /* .user.ini, php.ini */
};

struct media {
        const char *type; /* media type, static */
        enum media_family family;
        enum language language;
        bool is_text;
        bool is_php_name;   /* a web server would run it as PHP */
        bool is_image_name; /* the name claims an image */
        bool has_php;       /* PHP tags that would open code */
        size_t php_offset;  /* of the first one */
};

struct media media_of(const char *name, struct view view);

/* How readily "<?" is taken for PHP: three random bytes are common in images, and XML begins that way, too. */
enum tag_place {
        TAGS_IN_BYTES,
        TAGS_IN_TEXT,
        TAGS_IN_PROGRAM, /* the server runs it as PHP whatever stands there, perhaps with short tags */
};

/*
 * Offset of the first PHP open tag at or after `from`, or SIZE_MAX. "<?php" and the script tag count
 * anywhere; "<?=" and "<?" only where what follows reads like code, or in a program.
 */
size_t media_find_php(struct view view, size_t from, enum tag_place place);
enum tag_place media_tag_place(const struct media *media);

/* Name against bytes, programs in images and texts, executables. */
void media_assay(const struct media *media, const char *name, struct view view, struct evidences *evidences);
