#include "config/write.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "base/text.h"

#define COMMENT_COLUMNS 96

/* A comment of any length, wrapped at blanks and between characters of more than one byte. */
static void write_comment(FILE *file, const char *indent, const char *text) {
        _cleanup_(buffer_deinit) struct buffer safe = {0};
        if (text_escape(&safe, text, strlen(text)) < 0)
                return;
        const char *p = safe.data;
        for (size_t size = safe.size; size;) {
                size_t length = 0, columns = 0, cut = 0;
                while (length < size && columns < COMMENT_COLUMNS) {
                        size_t n = text_utf8_next(p + length, size - length, NULL) ?: 1;
                        length += n;
                        columns += n > 2 ? 2 : 1;
                        if (n > 2 || p[length - 1] == ' ' || length == size)
                                cut = length;
                }
                cut = cut ?: length;
                fprintf(file, "%s# %.*s\n", indent, (int)cut - (p[cut - 1] == ' '), p);
                p += cut;
                size -= cut;
        }
}

/* Plain where YAML leaves no doubt; else in double quotes. */
static void write_path(FILE *file, const char *path) {
        if (!path[strspn(path, "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@")]) {
                fputs(path, file);
                return;
        }
        fputc('"', file);
        for (const unsigned char *p = (const unsigned char *)path; *p; p++)
                if (*p == '"' || *p == '\\')
                        fprintf(file, "\\%c", *p);
                else if (*p < 0x20 || *p == 0x7f)
                        fprintf(file, "\\x%02x", *p);
                else
                        fputc(*p, file);
        fputc('"', file);
}

static void write_tree(FILE *file, const struct config_proposal *tree) {
        write_comment(file, "  ", tree->why);
        if (!text_is_utf8(tree->path, strlen(tree->path))) {
                write_comment(file, "  ", _("its path is not UTF-8, which this file cannot hold:"));
                write_comment(file, "  ", tree->path);
                return;
        }
        fputs("  - path: ", file);
        write_path(file, tree->path);
        fprintf(file, "\n    protect: %s\n    profile: %s\n    respond: %s\n\n", protect_name(tree->protect),
                tree->profile, respond_name(tree->respond));
}

static void write_head(FILE *file) {
        write_comment(file, "",
                      _("hinomi: what this machine guards. hinomi.yaml(5) explains every line; 'hinomi "
                        "doctor' says what is in force."));
        fputs("#\n", file);
        write_comment(file, "",
                      _("protect: mirror keeps a full copy, so that anything can be put back; watch only "
                        "sees and reports."));
        fputs("#\n", file);
        for (size_t i = 0; config_profiles[i]; i++) {
                char line[256];
                snprintf(line, sizeof(line), "profile: %s: %s", config_profiles[i],
                         _(config_profile_text(config_profiles[i])));
                write_comment(file, "", line);
        }
        fputs("#\n", file);
        write_comment(file, "",
                      _("respond: observe reports only; restore puts approved content back at once; refuse "
                        "denies the write before it happens. Begin with observe, look at the findings of "
                        "some days, then choose restore for the shop."));
        fputc('\n', file);
}

static void write_options(FILE *file) {
        size_t section_length = 0;
        const char *section = "";
        fputc('\n', file);
        write_comment(file, "",
                      _("Options, with their defaults. Remove the # before a section and a line to change "
                        "one."));
        for (size_t i = 0; i < config_n_option_rows; i++) {
                const struct option_row *row = &config_option_rows[i];
                size_t length = strcspn(row->name, ".");
                if (length != section_length || strncmp(section, row->name, length)) {
                        section = row->name;
                        section_length = length;
                        fprintf(file, "\n#%.*s:\n", (int)length, section);
                }
                write_comment(file, "  ", _(row->text));
                fprintf(file, "#  %s: %s\n", row->name + length + 1, row->otherwise);
        }
}

int config_write(FILE *file, const struct config_proposal *proposals, size_t n_proposals) {
        write_head(file);
        fputs("trees:\n", file);
        if (!n_proposals)
                fputs("#  - path: /srv/www/shop\n#    protect: mirror\n#    profile: wordpress\n"
                      "#    respond: observe\n",
                      file);
        for (size_t i = 0; i < n_proposals; i++)
                write_tree(file, &proposals[i]);
        write_options(file);
        return ferror(file) ? -EIO : 0;
}
