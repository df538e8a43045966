/*
 * The configuration: trees to guard, and options from one table (config/options.def).
 * Parsed from bytes, so that a role takes it from a sealed memfd; parsing needs no file
 * but the one at hand and does not look at the machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/options.h"

#define CONFIG_TREES_MAX 256

enum protect {
        PROTECT_MIRROR, /* full copy kept */
        PROTECT_SHIELD, /* as a mirror; every change is a version, and its content is kept before a writer gets at it */
        PROTECT_WATCH, /* seen only */
};

enum respond {
        RESPOND_OBSERVE,
        RESPOND_RESTORE, /* approved content back at once */
        RESPOND_REFUSE,  /* the write is denied before it happens */
};

/* What a shield does to whoever encrypts or destroys. */
enum on_verdict {
        ON_VERDICT_KILL,
        ON_VERDICT_HOLD,
};

/* A writer's open of a file above shield.copy_limit whose content is not in the vault yet. */
enum large_file {
        LARGE_FILE_HOLD,   /* waits until it is copied */
        LARGE_FILE_REFUSE, /* is denied */
        LARGE_FILE_ACCEPT, /* goes through; what is overwritten then may be lost */
};

struct config_tree {
        char *path; /* absolute, no trailing slash, no "." or ".." */
        enum protect protect;
        const char *profile; /* "wordpress", "eccube4", "generic-php", "none"; static */
        enum respond respond;
        enum on_verdict on_verdict; /* shield only, as the next */
        enum large_file large_file;
        unsigned line; /* in the file */
};

/* A field for each row of config/options.def: *_bytes, *_ns, a count, or the index of a choice. */
struct config_options {
#define OPTION(section, name, field, type, otherwise, range, text) uint64_t field;
#include "config/options.def"
#undef OPTION
};

struct config {
        struct config_tree *trees;
        size_t n_trees;
        struct config_options options;
};

/* `name` stands in messages. 0, -ENOMEM, -EINVAL or -EFBIG with "NAME:LINE:COLUMN: …" in ret_error (owned).
 */
int config_parse(const char *data, size_t size, const char *name, struct config **ret_config,
                 char **ret_error);

/* Reads and parses a file; a file that cannot be read is an errno with ret_error as well. */
int config_read(const char *path, struct config **ret_config, char **ret_error);

struct config *config_free(struct config *config);
DEFINE_CLEANUP(struct config *, config_free);

/* Is `path` the directory itself or below it? Both absolute, without trailing slash. */
bool config_path_is_below(const char *path, const char *directory);

/* The tree that a path belongs to: the innermost one, or NULL. */
const struct config_tree *config_find_tree(const struct config *config, const char *path);

const char *protect_name(enum protect protect);
const char *respond_name(enum respond respond);
const char *large_file_name(enum large_file large_file);

/* Do opens in it wait for an answer? */
static inline bool config_tree_is_gated(const struct config_tree *tree) {
        return tree->respond == RESPOND_REFUSE || tree->protect == PROTECT_SHIELD;
}

/* Names of profiles, NULL-terminated; what a profile is for, as a msgid. */
extern const char *const config_profiles[];
const char *config_profile_text(const char *profile);

/* The table of options, for help, the man page and the default file. */
extern const struct option_row config_option_rows[];
extern const size_t config_n_option_rows;
