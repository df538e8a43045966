#include "config/yaml.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "base/text.h"

/* Looked through from the front for each new key. */
#define MAP_ITEMS_MAX 1000

#define MESSAGE_MAX 1000

struct reader {
        struct fy_parser *parser;
        const char *name;
        size_t n_nodes;
        unsigned line, column; /* of the last thing that had a place; an empty item has none */
        char *error;           /* owned */
};

static void yaml_deinit(struct yaml *node) {
        for (size_t i = 0; i < node->n_items; i++)
                yaml_deinit(&node->items[i]);
        free(node->items);
        free(node->key);
        free(node->text);
}

struct yaml *yaml_free(struct yaml *root) {
        if (root)
                yaml_deinit(root);
        free(root);
        return NULL;
}

const struct yaml *yaml_get(const struct yaml *map, const char *key) {
        for (size_t i = 0; map->type == YAML_MAP && i < map->n_items; i++)
                if (!strcmp(map->items[i].key, key))
                        return &map->items[i];
        return NULL;
}

char *yaml_message(const char *name, unsigned line, unsigned column, const char *format, va_list ap) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(buffer_deinit) struct buffer safe = {0};
        if (vasprintf(&text, format, ap) < 0) {
                text = NULL;
                return NULL;
        }
        char *message;
        bool whole = strlen(text) <= MESSAGE_MAX;
        if (text_escape(&safe, text, whole ? strlen(text) : MESSAGE_MAX) < 0 ||
            asprintf(&message, "%s:%u:%u: %s%s", name, line, column, safe.data, whole ? "" : "…") < 0)
                return NULL;
        return message;
}

static int _printf_(4, 5)
        fail(struct reader *reader, unsigned line, unsigned column, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        free(reader->error);
        reader->error = yaml_message(reader->name, line, column, format, ap);
        va_end(ap);
        return reader->error ? -EINVAL : -ENOMEM;
}

static enum fy_scalar_style event_style(struct fy_event *event) {
        return fy_token_scalar_style(fy_event_get_token(event));
}

/* libfyaml counts from 0, columns in characters. */
static void set_place(struct reader *reader, const struct fy_mark *mark) {
        reader->line = mark ? (unsigned)mark->line + 1 : reader->line;
        reader->column = mark ? (unsigned)mark->column + 1 : reader->column;
}

/* The mark of a quoted scalar is behind its quote. */
static void set_event_place(struct reader *reader, struct fy_event *event) {
        set_place(reader, fy_event_start_mark(event));
        if (event->type == FYET_SCALAR && reader->column > 1 &&
            (event_style(event) == FYSS_SINGLE_QUOTED || event_style(event) == FYSS_DOUBLE_QUOTED))
                reader->column--;
}

static int fail_here(struct reader *reader, const char *text) {
        return fail(reader, reader->line, reader->column, "%s", text);
}

static void collect_error(struct fy_diag *diag, void *user, const char *text, size_t size) {
        (void)diag, (void)user, (void)text, (void)size;
}

static int fail_syntax(struct reader *reader) {
        void *cursor = NULL;
        struct fy_diag *diag = fy_parser_get_diag(reader->parser);
        struct fy_diag_error *error = diag ? fy_diag_errors_iterate(diag, &cursor) : NULL;
        int r = error && error->msg ? fail(reader, error->line > 0 ? (unsigned)error->line : 1,
                                           error->column > 0 ? (unsigned)error->column : 1,
                                           _("not valid YAML: %s"), error->msg)
                                    : fail(reader, 1, 1, "%s", _("not valid YAML"));
        fy_diag_unref(diag);
        return r;
}

/* What libfyaml would take, or name badly: bytes that are no text, tabs that look like blanks. */
static int check_bytes(struct reader *reader, const char *data, size_t size) {
        unsigned line = 1, column = 1;
        bool leading = true;
        for (size_t i = 0; i < size;) {
                unsigned code = 0;
                size_t n = text_utf8_next(data + i, size - i, &code);
                if (!n)
                        return fail(reader, line, column,
                                    _("byte 0x%02x is not UTF-8; save the file as UTF-8"),
                                    (unsigned char)data[i]);
                if (code == '\t' && leading)
                        return fail(reader, line, column, "%s",
                                    _("a tab cannot indent YAML; use blanks instead"));
                if ((code < 0x20 && code != '\n' && code != '\r' && code != '\t') || code == 0x7f)
                        return fail(reader, line, column, _("control character 0x%02x; remove it"), code);
                leading = code == '\n' || (leading && code == ' ');
                column = code == '\n' ? 1 : column + 1;
                line += code == '\n';
                i += n;
        }
        return 0;
}

static int next_event(struct reader *reader, struct fy_event **ret_event) {
        struct fy_event *event = fy_parser_parse(reader->parser);
        if (!event)
                return fail_syntax(reader);
        *ret_event = event;
        return 0;
}

/* Refuses what the subset leaves out; the event stays the caller's. */
static int check_event(struct reader *reader, struct fy_event *event, unsigned depth) {
        struct fy_token *anchor = fy_event_get_anchor_token(event), *tag = fy_event_get_tag_token(event);
        set_event_place(reader, event);
        if (anchor) {
                set_place(reader, fy_token_start_mark(anchor));
                reader->column--; /* its mark is behind the & */
        }
        if (event->type == FYET_ALIAS || anchor)
                return fail_here(reader,
                                 _("anchors and aliases (& and *) are not used here; quote the text if "
                                   "it begins with one of them"));
        if (tag) {
                set_place(reader, fy_token_start_mark(tag));
                return fail_here(reader,
                                 _("tags (!) are not used here; quote the text if it begins with one"));
        }
        if (depth > YAML_DEPTH_MAX)
                return fail_here(reader, _("nested too deeply"));
        if (++reader->n_nodes > YAML_NODES_MAX)
                return fail_here(reader, _("too many entries"));
        return 0;
}

static int take_text(struct reader *reader, struct fy_event *event, char **ret_text) {
        size_t size = 0;
        const char *text = fy_token_get_text(fy_event_get_token(event), &size);
        if (text && memchr(text, 0, size))
                return fail_here(reader, _("a NUL character; remove it"));
        char *copy = strndup(text ?: "", text ? size : 0);
        if (!copy)
                return -ENOMEM;
        free(*ret_text);
        *ret_text = copy;
        return 0;
}

static int read_items(struct reader *reader, struct yaml *node, unsigned depth);

static int read_node(struct reader *reader, struct fy_event *event, struct yaml *node, unsigned depth) {
        int r = check_event(reader, event, depth);
        if (r < 0)
                return r;
        node->line = reader->line;
        node->column = reader->column;
        switch (event->type) {
        case FYET_SCALAR:
                node->type = YAML_SCALAR;
                node->quoted = fy_token_scalar_style(fy_event_get_token(event)) != FYSS_PLAIN;
                return take_text(reader, event, &node->text);
        case FYET_SEQUENCE_START:
                node->type = YAML_LIST;
                return read_items(reader, node, depth + 1);
        case FYET_MAPPING_START:
                node->type = YAML_MAP;
                return read_items(reader, node, depth + 1);
        default:
                return fail_here(reader, _("not valid YAML"));
        }
}

static int add_item(struct yaml *node, struct yaml **ret_item) {
        if (!(node->n_items & (node->n_items - 1))) {
                size_t room = node->n_items ? node->n_items * 2 : 1;
                struct yaml *items = reallocarray(node->items, room, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                node->items = items;
        }
        *ret_item = &node->items[node->n_items];
        **ret_item = (struct yaml){0};
        return 0;
}

/* Reads the key into the item and the event of its value into *event. */
static int read_key(struct reader *reader, struct fy_event **event, const struct yaml *map,
                    struct yaml *item) {
        int r = check_event(reader, *event, 0);
        if (r < 0)
                return r;
        if ((*event)->type != FYET_SCALAR)
                return fail_here(reader, _("a name was expected before the colon"));
        item->key_line = reader->line;
        item->key_column = reader->column;
        _cleanup_(freep) char *key = NULL;
        r = take_text(reader, *event, &key);
        if (r < 0)
                return r;
        if (map->n_items >= MAP_ITEMS_MAX)
                return fail_here(reader, _("too many entries"));
        const struct yaml *twin = yaml_get(map, key);
        if (twin)
                return fail(reader, item->key_line, item->key_column,
                            _("'%s' is given twice; the first is in line %u"), key, twin->key_line);
        fy_parser_event_free(reader->parser, STEAL(*event));
        r = next_event(reader, event);
        if (r < 0)
                return r;
        item->key = STEAL(key);
        return 0;
}

static int read_item(struct reader *reader, struct fy_event **event, struct yaml *node, unsigned depth) {
        struct yaml *item;
        int r = add_item(node, &item);
        if (r < 0)
                return r;
        if (node->type == YAML_MAP) {
                r = read_key(reader, event, node, item);
                if (r < 0)
                        return r;
        }
        node->n_items++; /* owned by the tree from here on, also when half read */
        return read_node(reader, *event, item, depth);
}

static int read_items(struct reader *reader, struct yaml *node, unsigned depth) {
        enum fy_event_type end = node->type == YAML_MAP ? FYET_MAPPING_END : FYET_SEQUENCE_END;
        for (;;) {
                struct fy_event *event = NULL;
                int r = next_event(reader, &event);
                if (r < 0)
                        return r;
                bool done = event->type == end;
                if (!done)
                        r = read_item(reader, &event, node, depth);
                fy_parser_event_free(reader->parser, event);
                if (r < 0 || done)
                        return r;
        }
}

static int read_stream(struct reader *reader, struct yaml *root) {
        bool seen = false;
        for (;;) {
                struct fy_event *event = NULL;
                int r = next_event(reader, &event);
                if (r < 0)
                        return r;
                enum fy_event_type type = event->type;
                set_event_place(reader, event);
                if (type == FYET_DOCUMENT_START && seen)
                        r = fail_here(reader, _("a second document; keep everything in one"));
                else if (type != FYET_STREAM_START && type != FYET_STREAM_END && type != FYET_DOCUMENT_END &&
                         type != FYET_DOCUMENT_START)
                        r = read_node(reader, event, root, 0);
                seen = seen || type == FYET_DOCUMENT_START;
                fy_parser_event_free(reader->parser, event);
                if (r < 0 || type == FYET_STREAM_END)
                        return r;
        }
}

static int read_bytes(struct reader *reader, const char *data, size_t size, struct yaml *root) {
        struct fy_diag_cfg diag_cfg;
        fy_diag_cfg_default(&diag_cfg);
        diag_cfg.fp = NULL;
        diag_cfg.output_fn = collect_error;
        diag_cfg.level = FYET_ERROR;
        struct fy_diag *diag = fy_diag_create(&diag_cfg);
        if (!diag)
                return -ENOMEM;
        fy_diag_set_collect_errors(diag, true);
        const struct fy_parse_cfg cfg = {.flags = FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
                                                  FYPCF_JSON_NONE | FYPCF_ALLOW_DUPLICATE_KEYS,
                                         .diag = diag};
        reader->parser = fy_parser_create(&cfg);
        int r = !reader->parser || fy_parser_set_string(reader->parser, data, size)
                        ? -ENOMEM
                        : read_stream(reader, root);
        fy_parser_destroy(reader->parser);
        fy_diag_destroy(diag);
        return r;
}

int yaml_parse(const char *data, size_t size, const char *name, struct yaml **ret_root, char **ret_error) {
        struct reader reader = {.name = name, .line = 1, .column = 1};
        _cleanup_(yaml_freep) struct yaml *root = calloc(1, sizeof(*root));
        if (!root || !(root->text = strdup("")))
                return -ENOMEM;
        root->line = root->column = 1;
        int r;
        if (size > YAML_BYTES_MAX) {
                fail(&reader, 1, 1, _("%zu bytes is no configuration; the most is %zu"), size,
                     YAML_BYTES_MAX);
                r = -EFBIG;
        } else {
                r = check_bytes(&reader, data, size);
        }
        if (r >= 0 && size)
                r = read_bytes(&reader, data, size, root);
        if (r < 0) {
                *ret_error = reader.error;
                return reader.error ? r : -ENOMEM;
        }
        *ret_root = STEAL(root);
        return 0;
}
