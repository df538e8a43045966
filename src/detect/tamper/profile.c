#include "detect/tamper/profile.h"

#include <fcntl.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/io.h"
#include "detect/tamper/pattern.h"

struct row {
        struct pattern pattern;
        enum zone zone;
        bool expects_php;
};

struct profile {
        char *name;
        size_t n_rows;
        struct row *rows;
};

DEFINE_CLEANUP(struct fy_document *, fy_document_destroy);
DEFINE_CLEANUP(struct fy_diag *, fy_diag_destroy);

struct profile *profile_free(struct profile *profile) {
        if (profile) {
                for (size_t i = 0; i < profile->n_rows; i++)
                        pattern_deinit(&profile->rows[i].pattern);
                free(profile->rows);
                free(profile->name);
                free(profile);
        }
        return NULL;
}

/* --- errors: "NAME.yaml:LINE:COLUMN: what, and what was expected" --- */

struct parsing {
        struct profile *profile;
        char **error;
};

static int _printf_(4, 5) fail(const struct parsing *parsing, int line, int column, const char *format, ...) {
        _cleanup_(freep) char *what = NULL;
        va_list arguments;
        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0)
                what = NULL;
        va_end(arguments);
        if (!what || asprintf(parsing->error, "%s.yaml:%d:%d: %s", parsing->profile->name, line + 1,
                              column + 1, what) < 0)
                *parsing->error = NULL;
        return -EBADMSG;
}

/* The token a message can point at: the scalar itself, or the first one below. */
static struct fy_token *node_token(struct fy_node *node) {
        for (int depth = 0; node && depth < 8; depth++) {
                void *iterator = NULL;
                if (fy_node_is_scalar(node))
                        return fy_node_get_scalar_token(node);
                if (fy_node_is_sequence(node))
                        node = fy_node_sequence_iterate(node, &iterator);
                else
                        node = fy_node_pair_key(fy_node_mapping_iterate(node, &iterator));
        }
        return NULL;
}

static int fail_at(const struct parsing *parsing, struct fy_node *node, const char *what) {
        struct fy_token *token = node_token(node);
        const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
        return fail(parsing, mark ? mark->line : 0, mark ? mark->column : 0, "%s", what);
}

static bool scalar_is(struct fy_node *node, const char *text) {
        size_t size = 0;
        const char *value = node && fy_node_is_scalar(node) ? fy_node_get_scalar(node, &size) : NULL;
        return value && size == strlen(text) && !memcmp(value, text, size);
}

/* --- rows --- */

struct fields {
        struct fy_node *path, *zone, *php;
};

static int read_fields(const struct parsing *parsing, struct fy_node *node, struct fields *ret_fields) {
        struct fields fields = {0};
        struct fy_node_pair *pair;
        void *iterator = NULL;
        if (!fy_node_is_mapping(node))
                return fail_at(parsing, node, "expected a row with 'path' and 'zone'");
        while ((pair = fy_node_mapping_iterate(node, &iterator))) {
                struct fy_node *key = fy_node_pair_key(pair);
                struct fy_node **field = scalar_is(key, "path")   ? &fields.path
                                         : scalar_is(key, "zone") ? &fields.zone
                                         : scalar_is(key, "php")  ? &fields.php
                                                                  : NULL;
                if (!field)
                        return fail_at(parsing, key, "unknown word; expected 'path', 'zone' or 'php'");
                *field = fy_node_pair_value(pair);
        }
        if (!fields.path)
                return fail_at(parsing, node, "the row has no 'path'");
        if (!fields.zone)
                return fail_at(parsing, node, "the row has no 'zone'");
        *ret_fields = fields;
        return 0;
}

static int read_zone(const struct parsing *parsing, struct fy_node *node, enum zone *ret_zone) {
        for (enum zone zone = ZONE_NONE; zone <= ZONE_IGNORED; zone++) {
                if (scalar_is(node, zone_name(zone))) {
                        *ret_zone = zone;
                        return 0;
                }
        }
        return fail_at(parsing, node,
                       "unknown zone; expected 'code', 'editable', 'data', 'ignored' or 'none'");
}

static int add_row(const struct parsing *parsing, struct fy_node *path, struct row row) {
        struct profile *profile = parsing->profile;
        const char *problem = NULL;
        size_t size = 0;
        const char *text = fy_node_is_scalar(path) ? fy_node_get_scalar(path, &size) : NULL;
        if (!text)
                return fail_at(parsing, path, "expected a path");
        if (profile->n_rows == PROFILE_ROWS_MAX)
                return fail_at(parsing, path, "too many paths");
        int r = pattern_compile(text, size, &row.pattern, &problem);
        if (r == -EINVAL)
                return fail_at(parsing, path, problem);
        if (r < 0)
                return r;
        profile->rows[profile->n_rows++] = row;
        return 0;
}

static int read_row(const struct parsing *parsing, struct fy_node *node) {
        struct fields fields = {0};
        struct row row = {0};
        int r = read_fields(parsing, node, &fields);
        if (r < 0)
                return r;
        r = read_zone(parsing, fields.zone, &row.zone);
        if (r < 0)
                return r;
        if (fields.php && !scalar_is(fields.php, "expected"))
                return fail_at(parsing, fields.php, "expected 'php: expected', or no 'php' at all");
        row.expects_php = fields.php != NULL;
        if (!fy_node_is_sequence(fields.path))
                return add_row(parsing, fields.path, row);

        struct fy_node *path;
        void *iterator = NULL;
        while (r >= 0 && (path = fy_node_sequence_iterate(fields.path, &iterator)))
                r = add_row(parsing, path, row);
        return r;
}

static int read_rows(const struct parsing *parsing, struct fy_node *rows) {
        if (!fy_node_is_sequence(rows))
                return fail_at(parsing, rows, "expected a list of rows under 'zones'");
        struct fy_node *row;
        void *iterator = NULL;
        int r = 0;
        while (r >= 0 && (row = fy_node_sequence_iterate(rows, &iterator)))
                r = read_row(parsing, row);
        return r;
}

static int read_document(const struct parsing *parsing, struct fy_node *root) {
        struct fy_node *name = NULL, *zones = NULL;
        struct fy_node_pair *pair;
        void *iterator = NULL;
        if (!root || !fy_node_is_mapping(root))
                return fail_at(parsing, root, "expected 'profile' and 'zones'");
        while ((pair = fy_node_mapping_iterate(root, &iterator))) {
                struct fy_node *key = fy_node_pair_key(pair);
                if (scalar_is(key, "profile"))
                        name = fy_node_pair_value(pair);
                else if (scalar_is(key, "zones"))
                        zones = fy_node_pair_value(pair);
                else
                        return fail_at(parsing, key, "unknown word; expected 'profile' or 'zones'");
        }
        if (!name || !scalar_is(name, parsing->profile->name))
                return fail_at(parsing, name ?: root, "'profile' must be the name of the file");
        if (!zones)
                return fail_at(parsing, root, "'zones' is missing");
        return read_rows(parsing, zones);
}

static int fail_syntax(const struct parsing *parsing, struct fy_diag *diag) {
        void *iterator = NULL;
        struct fy_diag_error *error = fy_diag_errors_iterate(diag, &iterator);
        if (!error)
                return fail(parsing, 0, 0, "expected YAML, found nothing");
        return fail(parsing, error->line - 1, error->column - 1, "%s", error->msg ?: "not YAML");
}

int profile_parse(const char *name, const char *text, size_t size, struct profile **ret_profile,
                  char **ret_error) {
        *ret_error = NULL;
        _cleanup_(profile_freep) struct profile *profile = calloc(1, sizeof(*profile));
        if (!profile || !(profile->name = strdup(name)) ||
            !(profile->rows = calloc(PROFILE_ROWS_MAX, sizeof(*profile->rows))))
                return -ENOMEM;

        struct parsing parsing = {.profile = profile, .error = ret_error};
        if (size > PROFILE_BYTES_MAX)
                return fail(&parsing, 0, 0, "the file is too large");
        struct fy_diag_cfg diag_cfg;
        fy_diag_cfg_default(&diag_cfg);
        diag_cfg.fp = NULL;
        diag_cfg.colorize = false;
        _cleanup_(fy_diag_destroyp) struct fy_diag *diag = fy_diag_create(&diag_cfg);
        if (!diag)
                return -ENOMEM;
        fy_diag_set_collect_errors(diag, true);

        struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET, .diag = diag};
        _cleanup_(fy_document_destroyp) struct fy_document *document =
                fy_document_build_from_string(&cfg, text, size);
        if (!document)
                return fail_syntax(&parsing, diag);
        int r = read_document(&parsing, fy_document_root(document));
        if (r < 0)
                return r;

        void *fitted = realloc(profile->rows, (profile->n_rows ?: 1) * sizeof(*profile->rows));
        if (fitted)
                profile->rows = fitted;
        *ret_profile = STEAL(profile);
        return 0;
}

static bool is_plain_name(const char *name) {
        return *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
}

int profile_load(const char *packs, const char *name, struct profile **ret_profile, char **ret_error) {
        *ret_error = NULL;
        _cleanup_(freep) char *path = NULL;
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, PROFILE_BYTES_MAX);
        if (!is_plain_name(name))
                return -ENOENT;
        if (asprintf(&path, "%s/profiles/%s.yaml", packs, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        int r = io_read_file(AT_FDCWD, path, &text);
        if (r < 0)
                return r;
        return profile_parse(name, text.data ?: "", text.size, ret_profile, ret_error);
}

const char *profile_name(const struct profile *profile) {
        return profile->name;
}

static const struct row *find_row(const struct profile *profile, const char *path) {
        size_t size = strlen(path);
        for (size_t i = 0; i < profile->n_rows; i++)
                if (pattern_match(&profile->rows[i].pattern, path, size))
                        return &profile->rows[i];
        return NULL;
}

enum zone profile_zone(const struct profile *profile, const char *relative_path) {
        const struct row *row = find_row(profile, relative_path);
        return row ? row->zone : ZONE_CODE;
}

bool profile_expects_php(const struct profile *profile, const char *relative_path) {
        const struct row *row = find_row(profile, relative_path);
        return row && row->expects_php;
}
