#include "detect/tamper/profile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "base/io.h"
#include "config/yaml.h"
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

/* --- reading --- */

struct parsing {
        struct profile *profile;
        const char *file;
        char **error;
};

static int fail(const struct parsing *parsing, unsigned line, unsigned column, const char *text) {
        if (asprintf(parsing->error, "%s:%u:%u: %s", parsing->file, line, column, text) < 0) {
                *parsing->error = NULL;
                return -ENOMEM;
        }
        return -EBADMSG;
}

static int fail_at(const struct parsing *parsing, const struct yaml *node, const char *text) {
        return fail(parsing, node->line, node->column, text);
}

static bool text_is(const struct yaml *node, const char *text) {
        return node->type == YAML_SCALAR && !strcmp(node->text, text);
}

/* Every key of a map is one of `words` (separated by blanks, one on each side). */
static int check_keys(const struct parsing *parsing, const struct yaml *map, const char *words,
                      const char *expected) {
        for (size_t i = 0; i < map->n_items; i++) {
                char word[32];
                snprintf(word, sizeof(word), " %.20s ", map->items[i].key);
                if (!strstr(words, word))
                        return fail(parsing, map->items[i].key_line, map->items[i].key_column, expected);
        }
        return 0;
}

static int read_zone(const struct parsing *parsing, const struct yaml *node, enum zone *ret_zone) {
        for (enum zone zone = ZONE_NONE; zone <= ZONE_IGNORED; zone++) {
                if (text_is(node, zone_name(zone))) {
                        *ret_zone = zone;
                        return 0;
                }
        }
        return fail_at(parsing, node,
                       _("unknown zone; expected 'code', 'editable', 'data', 'ignored' or 'none'"));
}

static int add_row(const struct parsing *parsing, const struct yaml *path, struct row row) {
        struct profile *profile = parsing->profile;
        const char *problem = NULL;
        if (path->type != YAML_SCALAR)
                return fail_at(parsing, path, _("expected a path"));
        if (profile->n_rows == PROFILE_ROWS_MAX)
                return fail_at(parsing, path, _("too many paths"));
        int r = pattern_compile(path->text, strlen(path->text), &row.pattern, &problem);
        if (r == -EINVAL)
                return fail_at(parsing, path, _(problem));
        if (r < 0)
                return r;
        profile->rows[profile->n_rows++] = row;
        return 0;
}

static int read_row(const struct parsing *parsing, const struct yaml *node) {
        struct row row = {0};
        if (node->type != YAML_MAP)
                return fail_at(parsing, node, _("expected a row with 'path' and 'zone'"));
        int r = check_keys(parsing, node, " path zone php ",
                           _("unknown word; expected 'path', 'zone' or 'php'"));
        if (r < 0)
                return r;
        const struct yaml *path = yaml_get(node, "path"), *zone = yaml_get(node, "zone"),
                          *php = yaml_get(node, "php");
        if (!path || !zone)
                return fail_at(parsing, node,
                               !path ? _("the row has no 'path'") : _("the row has no 'zone'"));
        r = read_zone(parsing, zone, &row.zone);
        if (r < 0)
                return r;
        if (php && !text_is(php, "expected"))
                return fail_at(parsing, php, _("expected 'php: expected', or no 'php' at all"));
        row.expects_php = php != NULL;
        if (path->type != YAML_LIST)
                return add_row(parsing, path, row);
        for (size_t i = 0; r >= 0 && i < path->n_items; i++)
                r = add_row(parsing, &path->items[i], row);
        return r;
}

static int read_root(const struct parsing *parsing, const struct yaml *root) {
        if (root->type != YAML_MAP)
                return fail_at(parsing, root, _("expected 'profile' and 'zones'"));
        int r = check_keys(parsing, root, " profile zones ",
                           _("unknown word; expected 'profile' or 'zones'"));
        if (r < 0)
                return r;
        const struct yaml *name = yaml_get(root, "profile"), *zones = yaml_get(root, "zones");
        if (!name || !text_is(name, parsing->profile->name))
                return fail_at(parsing, name ?: root, _("'profile' must be the name of the file"));
        if (!zones)
                return fail_at(parsing, root, _("'zones' is missing"));
        if (zones->type != YAML_LIST)
                return fail_at(parsing, zones, _("expected a list of rows under 'zones'"));
        for (size_t i = 0; r >= 0 && i < zones->n_items; i++)
                r = read_row(parsing, &zones->items[i]);
        return r;
}

int profile_parse(const char *name, const char *text, size_t size, struct profile **ret_profile,
                  char **ret_error) {
        *ret_error = NULL;
        _cleanup_(profile_freep) struct profile *profile = calloc(1, sizeof(*profile));
        _cleanup_(yaml_freep) struct yaml *root = NULL;
        _cleanup_(freep) char *file = NULL;
        if (!profile || !(profile->name = strdup(name)) ||
            !(profile->rows = calloc(PROFILE_ROWS_MAX, sizeof(*profile->rows))))
                return -ENOMEM;
        if (asprintf(&file, "%s.yaml", name) < 0) {
                file = NULL;
                return -ENOMEM;
        }
        int r = yaml_parse(text, size, file, &root, ret_error);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        r = read_root(&(struct parsing){profile, file, ret_error}, root);
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
