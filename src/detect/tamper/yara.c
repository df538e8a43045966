/*
 * Bounds: the first and last YARA_BYTES_MAX of a file are scanned, for YARA_TIMEOUT_S at most
 * each. Fast mode: one match of a string is enough.
 */
#include "detect/tamper/yara.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <yara.h>

#include "base/buffer.h"
#include "base/io.h"

#define YARA_BYTES_MAX ((size_t)2 << 20)
#define YARA_RULES_MAX 512

struct content_rules {
        YR_RULES *rules;
        size_t n_rules;
};

struct loading {
        YR_COMPILER *compiler;
        const char *file;
        char **error;
};

static void keep_error(int level, const char *file_name _unused_, int line, const YR_RULE *rule _unused_,
                       const char *message, void *userdata) {
        struct loading *loading = userdata;
        if (level != YARA_ERROR_LEVEL_ERROR || *loading->error)
                return;
        if (asprintf(loading->error, "%s:%d: %s", loading->file, line, message) < 0)
                *loading->error = NULL;
}

static int is_rule_file(const struct dirent *entry) {
        size_t size = strlen(entry->d_name);
        return size > 4 && !strcmp(entry->d_name + size - 4, ".yar");
}

static int load_file(struct loading *loading, const char *directory, const char *name) {
        _cleanup_(freep) char *path = NULL;
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, 1 << 20);
        if (asprintf(&path, "%s/%s", directory, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        int r = io_read_file(AT_FDCWD, path, &text);
        if (r < 0)
                return r;
        loading->file = name;
        if (yr_compiler_add_string(loading->compiler, text.data ?: "", name))
                return -EBADMSG;
        return 0;
}

static int load_directory(struct loading *loading, const char *packs) {
        _cleanup_(freep) char *directory = NULL;
        struct dirent **entries = NULL;
        if (asprintf(&directory, "%s/yara", packs) < 0) {
                directory = NULL;
                return -ENOMEM;
        }
        int n = scandir(directory, &entries, is_rule_file, alphasort);
        int r = n < 0 ? -errno : n == 0 ? -ENOENT : 0;
        for (int i = 0; i < n; i++) {
                if (r >= 0)
                        r = load_file(loading, directory, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return r;
}

static int load(struct loading *loading, const char *packs, YR_RULES **ret_rules) {
        if (yr_compiler_create(&loading->compiler))
                return -ENOMEM;
        yr_compiler_set_callback(loading->compiler, keep_error, loading);
        int r = load_directory(loading, packs);
        if (r >= 0 && yr_compiler_get_rules(loading->compiler, ret_rules))
                r = -ENOMEM;
        yr_compiler_destroy(loading->compiler);
        return r;
}

/* --- packing: what the compiler leaves has room to grow; written out and read back it is half the size --- */

static size_t write_packed(const void *data, size_t size, size_t n, void *userdata) {
        return buffer_append(userdata, data, size * n) < 0 ? 0 : n;
}

struct packed {
        const struct buffer *buffer;
        size_t at;
};

static size_t read_packed(void *data, size_t size, size_t n, void *userdata) {
        struct packed *packed = userdata;
        if (size && n > (packed->buffer->size - packed->at) / size)
                return 0;
        memcpy(data, packed->buffer->data + packed->at, size * n);
        packed->at += size * n;
        return n;
}

static void pack(YR_RULES **rules) {
        _cleanup_(buffer_deinit) struct buffer buffer = {0};
        struct packed packed = {.buffer = &buffer};
        YR_STREAM out = {.user_data = &buffer, .write = write_packed};
        YR_STREAM in = {.user_data = &packed, .read = read_packed};
        YR_RULES *small = NULL;
        if (yr_rules_save_stream(*rules, &out) || yr_rules_load_stream(&in, &small))
                return;
        yr_rules_destroy(*rules);
        *rules = small;
}

int content_rules_load(const char *packs, struct content_rules **ret_rules, char **ret_error) {
        *ret_error = NULL;
        if (yr_initialize())
                return -ENOMEM;
        struct content_rules *rules = calloc(1, sizeof(*rules));
        struct loading loading = {.error = ret_error};
        int r = rules ? load(&loading, packs, &rules->rules) : -ENOMEM;
        if (r < 0) {
                free(rules);
                yr_finalize();
                return r;
        }
        pack(&rules->rules);
        YR_RULE *rule;
        yr_rules_foreach(rules->rules, rule) {
                rules->n_rules++;
        }
        *ret_rules = rules;
        return 0;
}

struct content_rules *content_rules_free(struct content_rules *rules) {
        if (rules) {
                yr_rules_destroy(rules->rules);
                free(rules);
                yr_finalize();
        }
        return NULL;
}

size_t content_rules_count(const struct content_rules *rules) {
        return rules->n_rules;
}

/* --- matching --- */

struct matches {
        size_t n;
        const YR_RULE *rules[YARA_RULES_MAX];
};

static int collect(YR_SCAN_CONTEXT *context _unused_, int message, void *data, void *userdata) {
        struct matches *matches = userdata;
        if (message != CALLBACK_MSG_RULE_MATCHING)
                return CALLBACK_CONTINUE;
        for (size_t i = 0; i < matches->n; i++)
                if (matches->rules[i] == data)
                        return CALLBACK_CONTINUE;
        if (matches->n < YARA_RULES_MAX)
                matches->rules[matches->n++] = data;
        return CALLBACK_CONTINUE;
}

static int scan(const struct content_rules *rules, struct view view, struct matches *matches) {
        int r = yr_rules_scan_mem(rules->rules, view.data, view.size,
                                  SCAN_FLAGS_FAST_MODE | SCAN_FLAGS_NO_TRYCATCH, collect, matches,
                                  YARA_TIMEOUT_S);
        return r == ERROR_INSUFFICIENT_MEMORY ? -ENOMEM : 0;
}

static int scan_ends(const struct content_rules *rules, struct view view, struct matches *matches) {
        matches->n = 0;
        if (view.size == 0)
                return 0;
        int r = scan(rules, view_head(view, YARA_BYTES_MAX), matches);
        if (r < 0 || view.size <= YARA_BYTES_MAX)
                return r;
        size_t rest = view.size - YARA_BYTES_MAX;
        return scan(rules, view_from(view, view.size - (rest < YARA_BYTES_MAX ? rest : YARA_BYTES_MAX)),
                    matches);
}

static const char *meta_string(const YR_RULE *rule, const char *name) {
        YR_META *meta;
        yr_rule_metas_foreach(rule, meta) {
                if (meta->type == META_TYPE_STRING && !strcmp(meta->identifier, name))
                        return meta->string;
        }
        return NULL;
}

static bool matched(const struct matches *matches, const YR_RULE *rule) {
        for (size_t i = 0; i < matches->n; i++)
                if (matches->rules[i] == rule)
                        return true;
        return false;
}

int rules_match(const struct content_rules *rules, struct view after, struct view before,
                json_t *indicators) {
        static struct matches now, then; /* one thread; 8 KiB of stack saved */
        int r = scan_ends(rules, after, &now);
        then.n = 0;
        if (r >= 0 && now.n)
                r = scan_ends(rules, before, &then);
        if (r < 0)
                return r;
        for (size_t i = 0; i < now.n; i++) {
                const YR_RULE *rule = now.rules[i];
                if (matched(&then, rule))
                        continue;
                const char *description = meta_string(rule, "description");
                json_t *indicator = json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", "yara", "rule", rule->identifier,
                                              "severity", meta_string(rule, "severity") ?: "high",
                                              "technique", meta_string(rule, "technique") ?: "T1505.003",
                                              "detail", description ?: rule->identifier);
                if (json_array_append_new(indicators, indicator) < 0)
                        return -ENOMEM;
        }
        return 0;
}
