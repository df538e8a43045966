#include "config/config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "base/io.h"
#include "base/words.h"
#include "config/yaml.h"

#define OPTION(section, name, field, kind, otherwise, range, text)                                           \
        {#section "." #name, OPTION_##kind, offsetof(struct config_options, field), otherwise, range, text},
const struct option_row config_option_rows[] = {
#include "config/options.def"
};
#undef OPTION
const size_t config_n_option_rows = ARRAY_SIZE(config_option_rows);

static const char *const protect_names[] = {"mirror", "shield", "watch", NULL};
static const char *const on_verdict_names[] = {"kill", "hold", NULL};
static const char *const large_file_names[] = {"hold", "refuse", "accept", NULL};
static const char *const respond_names[] = {"observe", "restore", "refuse", NULL};
const char *const config_profiles[] = {"wordpress", "eccube4", "generic-php", "none", NULL};
static const char *const profile_texts[] = {
        N_("WordPress, with or without WooCommerce"),
        N_("EC-CUBE 4"),
        N_("any other PHP application"),
        N_("no application: every change matters, none is judged by content"),
};

const char *protect_name(enum protect protect) {
        return protect_names[protect];
}

const char *respond_name(enum respond respond) {
        return respond_names[respond];
}

const char *large_file_name(enum large_file large_file) {
        return large_file_names[large_file];
}

const char *config_profile_text(const char *profile) {
        for (size_t i = 0; config_profiles[i]; i++)
                if (!strcmp(config_profiles[i], profile))
                        return profile_texts[i];
        return NULL;
}

struct parser {
        const char *name;
        struct config *config;
        char *error; /* owned */
};

static int _printf_(3, 4) fail(struct parser *parser, const struct yaml *at, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        parser->error = yaml_message(parser->name, at->line, at->column, format, ap);
        va_end(ap);
        return parser->error ? -EINVAL : -ENOMEM;
}

static const char *shape_name(const struct yaml *node) {
        if (node->type == YAML_LIST)
                return _("a list");
        if (node->type == YAML_MAP)
                return _("a group of names with values");
        return *node->text || node->quoted ? node->text : _("nothing");
}

static int expect_type(struct parser *parser, const struct yaml *node, enum yaml_type type,
                       const char *expected) {
        if (node->type == type)
                return 0;
        return fail(parser, node, _("expected %s, found %s"), expected, shape_name(node));
}

/* An unknown name: says what there is, and which was probably meant. */
static int fail_unknown(struct parser *parser, const struct yaml *item, const char *const *known,
                        size_t n_known) {
        const struct yaml at = {.line = item->key_line, .column = item->key_column};
        const char *nearest = word_nearest(item->key, known, n_known);
        if (nearest)
                return fail(parser, &at, _("unknown name '%s'; did you mean '%s'?"), item->key, nearest);
        _cleanup_(buffer_deinit) struct buffer list = {0};
        for (size_t i = 0; i < n_known; i++)
                if (buffer_format(&list, "%s%s", i ? ", " : "", known[i]) < 0)
                        return -ENOMEM;
        return fail(parser, &at, _("unknown name '%s'; expected one of %s"), item->key, list.data);
}

static int fail_choice(struct parser *parser, const struct yaml *value, const char *const *choices) {
        size_t n = 0;
        _cleanup_(buffer_deinit) struct buffer list = {0};
        for (; choices[n]; n++)
                if (buffer_format(&list, "%s%s", n ? ", " : "", choices[n]) < 0)
                        return -ENOMEM;
        const char *nearest = value->type == YAML_SCALAR ? word_nearest(value->text, choices, n) : NULL;
        if (nearest)
                return fail(parser, value, _("expected one of %s, found '%s'; did you mean '%s'?"), list.data,
                            value->text, nearest);
        return fail(parser, value, _("expected one of %s, found %s"), list.data, shape_name(value));
}

static int parse_choice(struct parser *parser, const struct yaml *value, const char *const *choices,
                        size_t *ret_index) {
        for (size_t i = 0; value->type == YAML_SCALAR && choices[i]; i++)
                if (!strcmp(value->text, choices[i])) {
                        *ret_index = i;
                        return 0;
                }
        return fail_choice(parser, value, choices);
}

/* True when a component of the path is empty, "." or "..". */
static bool has_odd_component(const char *path) {
        for (const char *p = path; *p; p += strcspn(p, "/")) {
                p += *p == '/';
                size_t n = strcspn(p, "/");
                if (!n || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
                        return true;
        }
        return false;
}

bool config_path_is_below(const char *path, const char *directory) {
        size_t n = strlen(directory);
        return !strncmp(path, directory, n) && (path[n] == '/' || !path[n]);
}

static int parse_path(struct parser *parser, const struct yaml *value, char **ret_path) {
        static const char *const kernel[] = {"/proc", "/sys", "/dev", "/run"};
        int r = expect_type(parser, value, YAML_SCALAR, _("a path such as /srv/www/shop"));
        if (r < 0)
                return r;
        if (value->text[0] != '/')
                return fail(parser, value,
                            _("expected an absolute path, one that begins with '/', found '%s'"),
                            shape_name(value));
        size_t size = strlen(value->text);
        if (size >= PATH_MAX)
                return fail(parser, value, _("a path of %zu bytes; the most is %d"), size, PATH_MAX - 1);
        while (size > 1 && value->text[size - 1] == '/')
                size--;
        _cleanup_(freep) char *path = strndup(value->text, size);
        if (!path)
                return -ENOMEM;
        if (size == 1)
                return fail(parser, value, "%s",
                            _("'/' is the whole machine; name the directories to guard, one tree each"));
        if (has_odd_component(path))
                return fail(parser, value, _("expected a path without '//', '.' or '..', found '%s'"), path);
        for (size_t i = 0; i < ARRAY_SIZE(kernel); i++)
                if (config_path_is_below(path, kernel[i]))
                        return fail(parser, value, _("'%s' is made by the kernel and has nothing to guard"),
                                    path);
        free(*ret_path);
        *ret_path = STEAL(path);
        return 0;
}

static int parse_tree_item(struct parser *parser, const struct yaml *item, struct config_tree *tree) {
        static const char *const keys[] = {"path",    "protect",    "profile",
                                           "respond", "on_verdict", "large_file"};
        static const char *const *const choices[] = {
                [1] = protect_names, config_profiles, respond_names, on_verdict_names, large_file_names};
        size_t key = 0, index = 0;
        while (key < ARRAY_SIZE(keys) && strcmp(item->key, keys[key]))
                key++;
        if (key == 0)
                return parse_path(parser, item, &tree->path);
        if (key == ARRAY_SIZE(keys))
                return fail_unknown(parser, item, keys, ARRAY_SIZE(keys));
        int r = parse_choice(parser, item, choices[key], &index);
        if (r < 0)
                return r;
        if (key == 1)
                tree->protect = (enum protect)index;
        else if (key == 2)
                tree->profile = config_profiles[index];
        else if (key == 3)
                tree->respond = (enum respond)index;
        else if (key == 4)
                tree->on_verdict = (enum on_verdict)index;
        else
                tree->large_file = (enum large_file)index;
        return 0;
}

static bool tree_same_settings(const struct config_tree *a, const struct config_tree *b) {
        return a->protect == b->protect && a->profile == b->profile && a->respond == b->respond &&
               a->on_verdict == b->on_verdict && a->large_file == b->large_file;
}

/* A tree against those before it. Nested applications with a profile each are two applications. */
static int check_tree(struct parser *parser, const struct yaml *node, const struct config_tree *tree) {
        const struct yaml *respond = yaml_get(node, "respond") ?: node;
        if (!tree->path)
                return fail(parser, node, "%s", _("this tree has no 'path'"));
        if (tree->respond != RESPOND_OBSERVE && tree->protect == PROTECT_SHIELD)
                return fail(
                        parser, respond, "%s",
                        _("'protect: shield' has an answer of its own (on_verdict); a change is no finding "
                          "there: leave 'respond' out"));
        if (tree->protect != PROTECT_SHIELD && (yaml_get(node, "on_verdict") || yaml_get(node, "large_file")))
                return fail(parser, yaml_get(node, "on_verdict") ?: yaml_get(node, "large_file"), "%s",
                            _("'on_verdict' and 'large_file' need 'protect: shield'"));
        if (tree->respond != RESPOND_OBSERVE && tree->protect != PROTECT_MIRROR)
                return fail(
                        parser, respond,
                        _("'respond: %s' needs 'protect: mirror': there is no content to put back otherwise"),
                        respond_name(tree->respond));
        const struct yaml *path = yaml_get(node, "path");
        for (const struct config_tree *other = parser->config->trees; other < tree; other++) {
                if (!strcmp(other->path, tree->path))
                        return fail(parser, path, _("'%s' is already guarded by line %u"), tree->path,
                                    other->line);
                if ((config_path_is_below(tree->path, other->path) ||
                     config_path_is_below(other->path, tree->path)) &&
                    !strcmp(tree->profile, "none") && tree_same_settings(tree, other))
                        return fail(parser, path,
                                    _("'%s' and '%s' (line %u) lie in one another with the same "
                                      "settings; keep the outer one"),
                                    tree->path, other->path, other->line);
        }
        return 0;
}

static int parse_tree(struct parser *parser, const struct yaml *node) {
        int r = expect_type(parser, node, YAML_MAP, _("a tree such as 'path: /srv/www/shop'"));
        if (r < 0)
                return r;
        struct config *config = parser->config;
        struct config_tree *tree = &config->trees[config->n_trees++];
        *tree = (struct config_tree){.protect = PROTECT_MIRROR, .profile = "none", .line = node->line};
        tree->profile = config_profiles[3];
        for (size_t i = 0; i < node->n_items; i++) {
                r = parse_tree_item(parser, &node->items[i], tree);
                if (r < 0)
                        return r;
        }
        return check_tree(parser, node, tree);
}

static int parse_trees(struct parser *parser, const struct yaml *node) {
        int r = expect_type(parser, node, YAML_LIST, _("a list of trees, each beginning with '- path:'"));
        if (r < 0)
                return r;
        if (node->n_items > CONFIG_TREES_MAX)
                return fail(parser, &node->items[CONFIG_TREES_MAX], _("more than %d trees"),
                            CONFIG_TREES_MAX);
        parser->config->trees = calloc(node->n_items + 1, sizeof(struct config_tree));
        if (!parser->config->trees)
                return -ENOMEM;
        for (size_t i = 0; i < node->n_items; i++) {
                r = parse_tree(parser, &node->items[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_option(struct parser *parser, const struct option_row *row, const struct yaml *item) {
        uint64_t *value = (uint64_t *)(void *)((char *)&parser->config->options + row->offset);
        int r = item->type == YAML_SCALAR ? option_parse(row, item->text, value) : -EINVAL;
        if (r >= 0)
                return 0;
        _cleanup_(freep) char *expected = option_expected(row);
        if (!expected)
                return -ENOMEM;
        return fail(parser, item, _("expected %s, found %s"), expected, shape_name(item));
}

static size_t section_length(const struct option_row *row) {
        return strcspn(row->name, ".");
}

static bool row_in_section(const struct option_row *row, const char *section) {
        size_t n = section_length(row);
        return strlen(section) == n && !strncmp(row->name, section, n);
}

static int parse_section_item(struct parser *parser, const char *section, const struct yaml *item) {
        const char *known[ARRAY_SIZE(config_option_rows)];
        size_t n_known = 0;
        for (size_t i = 0; i < config_n_option_rows; i++) {
                const struct option_row *row = &config_option_rows[i];
                if (!row_in_section(row, section))
                        continue;
                const char *name = row->name + section_length(row) + 1;
                if (!strcmp(name, item->key))
                        return parse_option(parser, row, item);
                known[n_known++] = name;
        }
        return fail_unknown(parser, item, known, n_known);
}

static int parse_section(struct parser *parser, const struct yaml *section) {
        if (section->type == YAML_SCALAR && !*section->text)
                return 0; /* every line of it is commented out */
        int r = expect_type(parser, section, YAML_MAP, _("options, one a line, indented"));
        for (size_t i = 0; r >= 0 && i < section->n_items; i++)
                r = parse_section_item(parser, section->key, &section->items[i]);
        return r;
}

static int parse_member(struct parser *parser, const struct yaml *item) {
        const char *known[ARRAY_SIZE(config_option_rows) + 1] = {"trees"};
        char sections[ARRAY_SIZE(config_option_rows)][OPTION_TEXT_SIZE];
        size_t n_known = 1;
        if (!strcmp(item->key, "trees"))
                return parse_trees(parser, item);
        for (size_t i = 0; i < config_n_option_rows; i++) {
                const struct option_row *row = &config_option_rows[i];
                if (row_in_section(row, item->key))
                        return parse_section(parser, item);
                if (i && row_in_section(row, sections[i - 1])) {
                        memcpy(sections[i], sections[i - 1], OPTION_TEXT_SIZE);
                        continue;
                }
                snprintf(sections[i], OPTION_TEXT_SIZE, "%.*s", (int)section_length(row), row->name);
                known[n_known++] = sections[i];
        }
        return fail_unknown(parser, item, known, n_known);
}

static int parse_root(struct parser *parser, const struct yaml *root) {
        if (root->type == YAML_SCALAR && !*root->text)
                return fail(parser, root, "%s",
                            _("the configuration is empty; `hinomi init` writes one that fits this machine"));
        int r = expect_type(parser, root, YAML_MAP, _("'trees:' and options"));
        for (size_t i = 0; r >= 0 && i < root->n_items; i++)
                r = parse_member(parser, &root->items[i]);
        if (r >= 0 && !parser->config->n_trees)
                return fail(parser, yaml_get(root, "trees") ?: root, "%s",
                            _("no trees: nothing would be guarded; `hinomi init` proposes some"));
        return r;
}

int config_parse(const char *data, size_t size, const char *name, struct config **ret_config,
                 char **ret_error) {
        _cleanup_(yaml_freep) struct yaml *root = NULL;
        int r = yaml_parse(data, size, name, &root, ret_error);
        if (r < 0)
                return r;
        _cleanup_(config_freep) struct config *config = calloc(1, sizeof(*config));
        if (!config)
                return -ENOMEM;
        options_set_defaults(config_option_rows, config_n_option_rows, &config->options);
        struct parser parser = {.name = name, .config = config};
        r = parse_root(&parser, root);
        if (r < 0) {
                *ret_error = parser.error;
                return r;
        }
        *ret_config = STEAL(config);
        return 0;
}

static int fail_read(const char *path, int error, char **ret_error) {
        if (asprintf(ret_error, "%s: %s%s", path, strerror(-error),
                     error == -ENOENT ? _("; `hinomi init` writes one that fits this machine") : "") < 0)
                *ret_error = NULL;
        return error;
}

int config_read(const char *path, struct config **ret_config, char **ret_error) {
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 4 * YAML_BYTES_MAX);
        int r = io_read_file(AT_FDCWD, path, &buffer);
        if (r < 0)
                return fail_read(path, r, ret_error);
        return config_parse(buffer.data, buffer.size, path, ret_config, ret_error);
}

struct config *config_free(struct config *config) {
        if (!config)
                return NULL;
        for (size_t i = 0; i < config->n_trees; i++)
                free(config->trees[i].path);
        free(config->trees);
        free(config);
        return NULL;
}

const struct config_tree *config_find_tree(const struct config *config, const char *path) {
        const struct config_tree *found = NULL;
        for (size_t i = 0; i < config->n_trees; i++) {
                const struct config_tree *tree = &config->trees[i];
                if (config_path_is_below(path, tree->path) &&
                    (!found || strlen(tree->path) > strlen(found->path)))
                        found = tree;
        }
        return found;
}
