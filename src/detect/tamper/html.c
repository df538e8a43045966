/*
 * Markup, wherever it stands: in a page, a template, or a string of a program. Tags are read
 * tolerantly; only their attributes matter. The steps are bounded by a multiple of the size,
 * whatever quotes are left open.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/cleanup.h"
#include "detect/tamper/code.h"

#define TAG_BYTES_MAX   4096
#define VALUE_BYTES_MAX 1024

enum tag {
        TAG_OTHER,
        TAG_SCRIPT,
        TAG_BASE,
        TAG_FRAME,
        TAG_FORM,
        TAG_BUTTON,
        TAG_FIELD,
        TAG_META,
        TAG_FORM_END
};

static const struct {
        const char *name;
        enum tag tag;
} tags[] = {
        {"script", TAG_SCRIPT}, {"base", TAG_BASE},    {"iframe", TAG_FRAME}, {"frame", TAG_FRAME},
        {"embed", TAG_FRAME},   {"object", TAG_FRAME}, {"form", TAG_FORM},    {"button", TAG_BUTTON},
        {"input", TAG_FIELD},   {"select", TAG_FIELD}, {"meta", TAG_META},    {"/form", TAG_FORM_END},
};

struct markup {
        struct view view;
        struct hosts *hosts;
        struct evidences *evidences;
        size_t budget;
        bool form_leaves; /* the form's data goes to another server */
        size_t form_at;
        unsigned form_fields; /* enum card_field */
};

struct attribute {
        struct view name, value;
};

static bool name_is(struct view name, const char *text) {
        return name.size == strlen(text) && !strncasecmp((const char *)name.data, text, name.size);
}

/* Character references by number, and without the white space that browsers drop from addresses. */
static struct view plain_value(struct view value, unsigned char out[static VALUE_BYTES_MAX]) {
        size_t n = 0;
        value = view_head(value, VALUE_BYTES_MAX);
        for (size_t i = 0; i < value.size; i++) {
                unsigned char c = value.data[i];
                unsigned code = 0;
                int size = 0;
                char text[12] = {0};
                memcpy(text, value.data + i, value.size - i < 11 ? value.size - i : 11);
                if (c == '&' &&
                    (sscanf(text, "&#x%4x;%n", &code, &size) == 1 ||
                     sscanf(text, "&#%5u;%n", &code, &size) == 1) &&
                    size && code < 0x80) {
                        out[n++] = (unsigned char)code;
                        i += (size_t)size - 1;
                } else if (c != '\t' && c != '\n' && c != '\r') {
                        out[n++] = c;
                }
        }
        return (struct view){out, n};
}

static void close_form(struct markup *markup) {
        if (markup->form_leaves && card_fields_suffice(markup->form_fields)) {
                struct view snippet = view_head(view_from(markup->view, markup->form_at), 96);
                evidence_add(markup->evidences, INDICATOR_FAKE_PAYMENT_FORM, snippet.data, snippet.size);
        }
        markup->form_leaves = false;
        markup->form_fields = 0;
}

static void look_at_meta(struct markup *markup, struct view content) {
        for (size_t i = 0; i + 4 < content.size; i++)
                if (!strncasecmp((const char *)content.data + i, "url=", 4))
                        hosts_add_url(markup->hosts, view_from(content, i + 4), HOST_SCRIPT);
}

static void look_at_attribute(struct markup *markup, enum tag tag, const struct attribute *attribute) {
        unsigned char plain[VALUE_BYTES_MAX];
        struct view name = attribute->name, value = plain_value(attribute->value, plain);
        if (name.size > 2 && !strncasecmp((const char *)name.data, "on", 2)) {
                hosts_add_string(markup->hosts, value, HOST_CODE);
        } else if (tag == TAG_SCRIPT &&
                   (name_is(name, "src") || name_is(name, "href") || name_is(name, "xlink:href"))) {
                hosts_add_url(markup->hosts, value, HOST_SCRIPT);
        } else if (tag == TAG_BASE && name_is(name, "href")) {
                hosts_add_url(markup->hosts, value, HOST_SCRIPT);
        } else if (tag == TAG_FRAME && (name_is(name, "src") || name_is(name, "data"))) {
                hosts_add_url(markup->hosts, value, HOST_FRAME);
        } else if (tag == TAG_FORM && name_is(name, "action")) {
                markup->form_leaves = hosts_add_url(markup->hosts, value, HOST_FORM);
        } else if ((tag == TAG_BUTTON || tag == TAG_FIELD) && name_is(name, "formaction")) {
                markup->form_leaves |= hosts_add_url(markup->hosts, value, HOST_FORM);
        } else if (tag == TAG_META && name_is(name, "content")) {
                look_at_meta(markup, value);
        }
        if (tag == TAG_FIELD && (name_is(name, "name") || name_is(name, "id") ||
                                 name_is(name, "autocomplete") || name_is(name, "placeholder")))
                markup->form_fields |= card_fields(value);
}

static bool is_name_byte(unsigned char c) {
        return c > ' ' && !strchr("=>\"'<", c);
}

/* Moves past one attribute from `at`; false at the tag's end or where it cannot be read. */
static bool read_attribute(struct view tag, size_t *at, struct attribute *ret_attribute) {
        size_t i = *at, start;
        while (i < tag.size && (isspace(tag.data[i]) || strchr("/\\\"'", tag.data[i])) && tag.data[i])
                i++;
        start = i;
        while (i < tag.size && is_name_byte(tag.data[i]))
                i++;
        if (i == start || i >= tag.size)
                return false;
        ret_attribute->name = (struct view){tag.data + start, i - start};
        ret_attribute->value = (struct view){tag.data + i, 0};
        while (i < tag.size && isspace(tag.data[i]))
                i++;
        if (i >= tag.size || tag.data[i] != '=') {
                *at = i;
                return i < tag.size;
        }
        for (i++; i < tag.size && (isspace(tag.data[i]) || tag.data[i] == '\\'); i++)
                ;
        unsigned char quote = i < tag.size && (tag.data[i] == '"' || tag.data[i] == '\'') ? tag.data[i++] : 0;
        start = i;
        while (i < tag.size && (quote ? tag.data[i] != quote : !isspace(tag.data[i]) && tag.data[i] != '>'))
                i++;
        ret_attribute->value = (struct view){tag.data + start, i - start};
        *at = quote && i < tag.size ? i + 1 : i;
        return i < tag.size;
}

static enum tag tag_of(struct view name) {
        for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
                if (name_is(name, tags[i].name))
                        return tags[i].tag;
        return TAG_OTHER;
}

/* Returns the bytes that were read as a tag; 1 where none stands or its end was not found. */
static size_t read_tag(struct markup *markup, size_t at) {
        struct view rest = view_head(view_from(markup->view, at + 1), TAG_BYTES_MAX);
        size_t size = 0, i;
        while (size < rest.size && size < 16 &&
               (isalnum(rest.data[size]) || (size == 0 && rest.data[0] == '/')))
                size++;
        if (size == 0)
                return 1;
        enum tag tag = tag_of((struct view){rest.data, size});
        if (tag == TAG_FORM || tag == TAG_FORM_END) {
                close_form(markup);
                markup->form_at = at;
        }
        struct attribute attribute;
        for (i = size; read_attribute(rest, &i, &attribute);)
                look_at_attribute(markup, tag, &attribute);
        markup->budget -= i < markup->budget ? i : markup->budget;
        return i < rest.size && rest.data[i] == '>' ? i + 1 : 1;
}

void html_assay(struct view view, struct hosts *hosts, struct evidences *evidences) {
        struct markup markup = {
                .view = view, .hosts = hosts, .evidences = evidences, .budget = (4 << 20) + 2 * view.size};
        for (size_t at = 0; at < view.size && markup.budget;) {
                const unsigned char *found = memchr(view.data + at, '<', view.size - at);
                if (!found)
                        break;
                at = (size_t)(found - view.data);
                at += read_tag(&markup, at);
        }
        close_form(&markup);
}
