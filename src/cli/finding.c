/*
 * A finding for people: what, where, who, why, the diff, what was done, how to undo it.
 * The object came over a socket and names files, users and commands that an attacker
 * chose: every string is optional and goes through output_bytes().
 */
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/i18n.h"
#include "base/text.h"
#include "cli/output.h"
#include "event/finding.h"
#include "event/json.h"

#define LABEL_COLUMNS    8
#define INDENT           (2 + LABEL_COLUMNS + 2)
#define FILES_SHOWN      10
#define DIFF_LINES_SHOWN 24
#define REASONS_MAX      24
#define CHAIN_MAX        ACTOR_DEPTH_MAX

struct page {
        FILE *file;
        bool colour;
        bool full;
};

static void print_label(const struct page *page, const char *label) {
        fputs("  ", page->file);
        if (page->colour)
                fputs("\033[2m", page->file);
        output_pad(page->file, label, LABEL_COLUMNS);
        fputs(page->colour ? "\033[0m  " : "  ", page->file);
}

static const char *severity_label(enum severity severity) {
        switch (severity) {
        case SEVERITY_CRITICAL:
                return _("CRITICAL");
        case SEVERITY_HIGH:
                return _("HIGH");
        case SEVERITY_MEDIUM:
                return _("MEDIUM");
        case SEVERITY_LOW:
                return _("LOW");
        default:
                return _("INFO");
        }
}

static const char *severity_paint(enum severity severity) {
        return severity >= SEVERITY_CRITICAL ? "\033[1;37;41m"
               : severity == SEVERITY_HIGH   ? "\033[1;31m"
               : severity == SEVERITY_MEDIUM ? "\033[1;33m"
                                             : "\033[36m";
}

static void print_head(const struct page *page, const json_t *finding) {
        const json_t *info = json_object_get(finding, "finding_info");
        enum severity severity = finding_severity(finding);
        const char *title = json_get_string(info, "title") ?: "";
        _cleanup_(freep) char *translated = output_translate(title);
        char time[OUTPUT_TIME_SIZE];
        output_time(json_get_integer(info, "created_time", 0), time);
        fprintf(page->file, "%s%s%s  %s  ", page->colour ? severity_paint(severity) : "",
                severity_label(severity), page->colour ? "\033[0m" : "", time);
        if (json_get_integer(finding, "activity_id", 1) == 2)
                fputs(_("(more) "), page->file);
        output_bytes(page->file, translated ?: title, (int)text_columns(severity_label(severity)) + 23);
        fputc('\n', page->file);
}

static const char *kind_label(const char *kind) {
        static const char *const kinds[] = {N_("created"),  N_("modified"), N_("deleted"), N_("attributes"),
                                            N_("reverted"), N_("refused"),  N_("executed")};
        for (size_t i = 0; kind && i < ARRAY_SIZE(kinds); i++)
                if (!strcmp(kinds[i], kind))
                        return _(kinds[i]);
        return _("changed");
}

static void print_file(const struct page *page, const json_t *evidence) {
        const json_t *file = json_object_get(evidence, "file"), *data = json_object_get(evidence, "data");
        const char *path = json_get_string(file, "path");
        if (!path)
                return;
        print_label(page, _("File"));
        output_path(page->file, path, INDENT);
        fprintf(page->file, "\n%*s%s", INDENT, "", kind_label(json_get_string(data, "kind")));
        if (json_object_get(file, "size")) {
                char size[OUTPUT_TIME_SIZE];
                output_size((uint64_t)json_get_integer(file, "size", 0), size);
                fprintf(page->file, "%s%s", _(", "), size);
        }
        if (json_is_true(json_object_get(data, "offline")))
                fprintf(page->file, "%s%s", _(", "), _("while nobody watched"));
        fputc('\n', page->file);
        const json_t *hash = json_array_get(json_object_get(file, "hashes"), 0);
        if (page->full && json_get_string(hash, "value")) {
                fprintf(page->file, "%*sSHA-256 ", INDENT, "");
                output_bytes(page->file, json_get_string(hash, "value"), INDENT + 8);
                fputc('\n', page->file);
        }
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');
        return slash && slash[1] ? slash + 1 : path;
}

/* "php-fpm8.2 (www-data)"; the user only where it is another than the parent's. */
static int format_process(struct buffer *text, const json_t *process, const json_t *parent) {
        const char *file = json_get_string(json_object_get(process, "file"), "path");
        const char *command = json_get_string(process, "cmd_line");
        const char *user = json_get_string(json_object_get(process, "user"), "name")
                                   ?: json_get_string(json_object_get(process, "user"), "uid");
        const char *above = json_get_string(json_object_get(parent, "user"), "name")
                                    ?: json_get_string(json_object_get(parent, "user"), "uid");
        _cleanup_(freep) char *word = NULL;
        if (!file && command)
                word = strndup(command, strcspn(command, " "));
        int r = buffer_append_string(text, file ? base_name(file) : word ?: "?");
        if (r >= 0 && user && (!above || strcmp(user, above)))
                r = buffer_format(text, " (%s)", user);
        return r;
}

static bool same_program(const json_t *a, const json_t *b) {
        const char *x = json_get_string(json_object_get(a, "file"), "path");
        const char *y = json_get_string(json_object_get(b, "file"), "path");
        return x && y && !strcmp(x, y);
}

/* From the eldest but init to the one that acted; a master and its worker are one, with the worker's user. */
static int format_chain(struct buffer *text, const json_t *process) {
        const json_t *chain[CHAIN_MAX];
        size_t n = 0;
        for (; process && n < CHAIN_MAX; process = json_object_get(process, "parent_process"))
                chain[n++] = process;
        if (n > 1 && json_get_integer(chain[n - 1], "pid", 0) <= 1)
                n--;
        const char *arrow = !strcmp(nl_langinfo(CODESET), "UTF-8") ? " → " : " -> ";
        int r = 0;
        for (size_t i = n; i-- > 0 && r >= 0;) {
                if (i && same_program(chain[i], chain[i - 1]))
                        continue;
                if (text->size)
                        r = buffer_append_string(text, arrow);
                if (r >= 0)
                        r = format_process(text, chain[i], i + 1 < n ? chain[i + 1] : NULL);
        }
        return r;
}

static void print_command(const struct page *page, const json_t *process) {
        const char *command = json_get_string(process, "cmd_line");
        fprintf(page->file, "%*spid %lld", INDENT, "", (long long)json_get_integer(process, "pid", 0));
        if (command) {
                fputs(": ", page->file);
                output_path(page->file, command, INDENT + 2);
        }
        fputc('\n', page->file);
}

static void print_actor(const struct page *page, const json_t *evidence) {
        const json_t *process = json_object_get(json_object_get(evidence, "actor"), "process");
        print_label(page, _("Who"));
        if (!process) {
                fprintf(page->file, "%s\n", _("unknown: nobody was seen doing it"));
                return;
        }
        _cleanup_(buffer_deinit) struct buffer chain = {0};
        if (format_chain(&chain, process) < 0 || !chain.data)
                return;
        output_path(page->file, chain.data, INDENT);
        fputc('\n', page->file);
        print_command(page, process);
        for (process = json_object_get(process, "parent_process"); page->full && process;
             process = json_object_get(process, "parent_process"))
                print_command(page, process);
}

static bool same_actor(const json_t *a, const json_t *b) {
        const json_t *x = json_object_get(json_object_get(a, "actor"), "process");
        const json_t *y = json_object_get(json_object_get(b, "actor"), "process");
        if (!x || !y)
                return x == y;
        return json_get_integer(x, "pid", 0) == json_get_integer(y, "pid", 0) && same_program(x, y);
}

/* Files that one process changed stand together, with the process below. */
static void print_files(const struct page *page, const json_t *evidences) {
        size_t n = json_array_size(evidences);
        size_t shown = page->full || n <= FILES_SHOWN ? n : FILES_SHOWN;
        for (size_t i = 0; i < shown; i++) {
                const json_t *evidence = json_array_get(evidences, i);
                print_file(page, evidence);
                if (i + 1 == shown || !same_actor(evidence, json_array_get(evidences, i + 1)))
                        print_actor(page, evidence);
        }
}

static void print_more_files(const struct page *page, const json_t *finding) {
        size_t n = json_array_size(json_object_get(finding, "evidences"));
        json_int_t all = json_get_integer(json_object_get(finding, "unmapped"), "n_files", 0);
        size_t shown = page->full || n <= FILES_SHOWN ? n : FILES_SHOWN;
        if (all <= (json_int_t)shown)
                return;
        unsigned long more = (unsigned long)all - shown;
        fprintf(page->file, "%*s", INDENT, "");
        fprintf(page->file, ngettext("… and %lu more file\n", "… and %lu more files\n", more), more);
}

/* Each reason once, however many files it holds for. */
static void print_reasons(const struct page *page, const json_t *evidences) {
        const char *seen[REASONS_MAX];
        size_t n = 0, i, j;
        json_t *evidence, *reason;
        json_array_foreach (evidences, i, evidence)
                json_array_foreach (json_object_get(json_object_get(evidence, "data"), "reasons"), j,
                                    reason) {
                        const char *text = json_string_value(reason);
                        bool known = !text || n == REASONS_MAX;
                        for (size_t k = 0; !known && k < n; k++)
                                known = !strcmp(seen[k], text);
                        if (known)
                                continue;
                        seen[n++] = text;
                        _cleanup_(freep) char *translated = output_translate(text);
                        print_label(page, n == 1 ? _("Why") : "");
                        output_message(page->file, translated ?: text, INDENT);
                        fputc('\n', page->file);
                }
}

static void print_diffs(const struct page *page, const json_t *evidences) {
        size_t i, room = DIFF_LINES_SHOWN;
        json_t *evidence;
        json_array_foreach (evidences, i, evidence) {
                const char *diff = json_get_string(json_object_get(evidence, "data"), "diff");
                if (!diff || !*diff)
                        continue;
                print_label(page, _("Diff"));
                output_path(page->file, json_get_string(json_object_get(evidence, "file"), "path") ?: "",
                            INDENT);
                fputc('\n', page->file);
                diff_print(page->file, diff, INDENT, page->full ? 0 : room, page->colour);
                if (!page->full)
                        return; /* the first one; `hinomi show` has the others */
        }
}

static const char *action_label(const char *name) {
        static const struct {
                const char *name, *label;
        } labels[] = {
                {"restore", N_("put back")},
                {"hold", N_("process held")},
                {"kill", N_("process killed")},
                {"refuse", N_("refused")},
                {"quarantine", N_("kept as evidence")},
                {"approve", N_("approved")},
                {"resume", N_("process let go on")},
                {"remove", N_("removed")},
        };
        for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
                if (!strcmp(labels[i].name, name))
                        return _(labels[i].label);
        return name;
}

static void print_action(const struct page *page, const json_t *action) {
        const char *path = json_get_string(json_object_get(action, "file"), "path");
        const char *detail = json_get_string(action, "detail"), *result = json_get_string(action, "result");
        bool failed = result && !strcmp(result, "failed");
        print_label(page, _("Done"));
        if (failed)
                fprintf(page->file, "%s%s%s ", page->colour ? "\033[1;31m" : "", _("FAILED:"),
                        page->colour ? "\033[0m" : "");
        output_bytes(page->file, action_label(json_get_string(action, "name") ?: "?"), INDENT);
        if (json_is_true(json_object_get(action, "verified")))
                fprintf(page->file, "%s%s", _(", "), _("verified"));
        if (json_object_get(action, "sequence"))
                fprintf(page->file, _(", ledger entry %lld"),
                        (long long)json_get_integer(action, "sequence", 0));
        if (path) {
                fputs(": ", page->file);
                output_path(page->file, path, INDENT + 2);
        }
        fputc('\n', page->file);
        if (detail && *detail && (failed || page->full)) {
                _cleanup_(freep) char *translated = output_translate(detail);
                fprintf(page->file, "%*s", INDENT, "");
                output_bytes(page->file, translated ?: detail, INDENT);
                fputc('\n', page->file);
        }
}

static void print_actions(const struct page *page, const json_t *actions) {
        size_t i, n = json_array_size(actions);
        json_t *action;
        const char *undo = NULL;
        json_array_foreach (actions, i, action) {
                if (page->full || i < FILES_SHOWN)
                        print_action(page, action);
                undo = json_get_string(action, "undo") ?: undo;
        }
        if (!page->full && n > FILES_SHOWN)
                fprintf(page->file, "%*s… +%zu\n", INDENT, "", n - FILES_SHOWN);
        if (undo && *undo) {
                print_label(page, _("Undo"));
                output_bytes(page->file, undo, INDENT);
                fputc('\n', page->file);
        }
}

static void print_identity(const struct page *page, const json_t *finding) {
        const json_t *metadata = json_object_get(finding, "metadata");
        print_label(page, _("ID"));
        output_bytes(page->file, finding_uid(finding) ?: "?", INDENT);
        if (json_object_get(metadata, "sequence"))
                fprintf(page->file, _("  (ledger entry %lld)"),
                        (long long)json_get_integer(metadata, "sequence", 0));
        fputc('\n', page->file);
        const char *tree = json_get_string(json_object_get(finding, "unmapped"), "tree");
        if (tree && *tree && json_array_size(json_object_get(finding, "evidences"))) {
                print_label(page, _("Tree"));
                output_path(page->file, tree, INDENT);
                fputc('\n', page->file);
        }
        if (!page->full)
                return;
        size_t i, n = 0;
        json_t *attack;
        json_array_foreach (json_object_get(finding, "attacks"), i, attack) {
                const char *uid = json_get_string(json_object_get(attack, "technique"), "uid");
                if (!uid)
                        continue;
                if (n++ == 0)
                        print_label(page, _("ATT&CK"));
                else
                        fputs(" ", page->file);
                output_bytes(page->file, uid, INDENT);
        }
        if (n)
                fputc('\n', page->file);
}

static void print_page(const struct page *page, const json_t *finding) {
        const json_t *evidences = json_object_get(finding, "evidences");
        print_head(page, finding);
        print_identity(page, finding);
        print_files(page, evidences);
        print_more_files(page, finding);
        print_reasons(page, evidences);
        print_diffs(page, evidences);
        print_actions(page, json_object_get(json_object_get(finding, "unmapped"), "actions"));
        fputc('\n', page->file);
        fflush(page->file);
}

void finding_print(FILE *file, const json_t *finding, bool colour) {
        print_page(&(struct page){.file = file, .colour = colour}, finding);
}

void finding_print_full(FILE *file, const json_t *finding, bool colour) {
        print_page(&(struct page){.file = file, .colour = colour, .full = true}, finding);
}
