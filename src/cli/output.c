#include "cli/output.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/i18n.h"
#include "base/text.h"

/* Columns of one character; what the locale does not know counts as one. */
static size_t character_columns(unsigned code) {
        int n = wcwidth((wchar_t)code);
        return n < 0 ? 1 : (size_t)n;
}

size_t text_columns(const char *text) {
        size_t columns = 0;
        for (size_t size = strlen(text); size;) {
                unsigned code = '?';
                size_t n = text_utf8_next(text, size, &code) ?: 1;
                columns += character_columns(code);
                text += n;
                size -= n;
        }
        return columns;
}

size_t output_columns(FILE *file) {
        struct winsize window;
        if (!isatty(fileno(file)) || ioctl(fileno(file), TIOCGWINSZ, &window) < 0 || window.ws_col < 40)
                return 80;
        return window.ws_col < 100 ? window.ws_col : 100;
}

bool output_colour(FILE *file) {
        const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
        return isatty(fileno(file)) && !(no_colour && *no_colour) && term && strcmp(term, "dumb");
}

void output_pad(FILE *file, const char *text, int width) {
        int columns = (int)text_columns(text);
        fprintf(file, "%s%*s", text, columns < width ? width - columns : 0, "");
}

/* Length of the next piece that is not broken: a word with the blanks behind it, or one wide character. */
static size_t next_piece(const char *text, size_t size, size_t *ret_columns) {
        size_t length = 0, columns = 0;
        while (length < size && text[length] != ' ') {
                unsigned code = '?';
                size_t n = text_utf8_next(text + length, size - length, &code) ?: 1;
                size_t wide = character_columns(code);
                if (wide == 2 && length)
                        break;
                length += n;
                columns += wide;
                if (wide == 2)
                        break;
        }
        /* No line begins with a closing mark. */
        static const char *const closing[] = {"、", "。", "」", "）", "・", "ー", "』"};
        for (size_t i = 0; i < ARRAY_SIZE(closing); i++) {
                size_t n = strlen(closing[i]);
                if (length + n <= size && !memcmp(text + length, closing[i], n)) {
                        length += n;
                        columns += 2;
                        i = (size_t)-1;
                }
        }
        *ret_columns = columns;
        return length;
}

void output_wrap(FILE *file, const char *text, int indent) {
        size_t width = output_columns(file), at = (size_t)indent, size = strlen(text), blanks = 0;
        if (width < (size_t)indent + 20)
                width = (size_t)indent + 20;
        while (size) {
                size_t columns, n = next_piece(text, size, &columns);
                if (at + blanks + columns > width && at > (size_t)indent) {
                        fprintf(file, "\n%*s", indent, "");
                        at = (size_t)indent;
                        blanks = 0;
                }
                fprintf(file, "%*s%.*s", (int)blanks, "", (int)n, text);
                at += blanks + columns;
                text += n;
                size -= n;
                blanks = strspn(text, " ");
                text += blanks;
                size -= blanks;
        }
        fputc('\n', file);
}

/* Escaped text from column `at` on; on a terminal what is too long goes on below, indented, since the
 * terminal itself would go on at the first column, where a line of ours begins. */
static void print_folded(FILE *file, const char *text, size_t at, size_t indent) {
        size_t width = isatty(fileno(file)) ? output_columns(file) : SIZE_MAX;
        for (size_t size = strlen(text); size;) {
                unsigned code = '?';
                size_t n = text_utf8_next(text, size, &code) ?: 1;
                size_t columns = code == '\t' ? 8 - at % 8 : character_columns(code);
                if (at + columns > width && at > indent) {
                        fprintf(file, "\n%*s", (int)indent, "");
                        at = indent;
                }
                fwrite(text, 1, n, file);
                at += columns;
                text += n;
                size -= n;
        }
}

void output_bytes(FILE *file, const char *text, int indent) {
        _cleanup_(buffer_deinit) struct buffer safe = {0};
        if (text_escape(&safe, text, strlen(text)) >= 0)
                print_folded(file, safe.data, (size_t)indent, (size_t)indent);
}

void output_path(FILE *file, const char *text, int indent) {
        _cleanup_(buffer_deinit) struct buffer raw = {0};
        bool whole = text_from_utf8(&raw, text, strlen(text)) >= 0;
        output_bytes(file, whole ? raw.data : text, indent);
}

void output_message(FILE *file, const char *text, int indent) {
        _cleanup_(buffer_deinit) struct buffer safe = {0};
        if (strpbrk(text, "\n\t"))
                output_bytes(file, text, indent);
        else if (text_escape_lines(&safe, text, strlen(text)) >= 0)
                print_folded(file, safe.data, (size_t)indent, (size_t)indent);
}

int output_json(FILE *file, const json_t *object) {
        _cleanup_(freep) char *text =
                json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
        if (!text)
                return -EIO;
        /* DEL is the one control character that JSON lets through; it stands in strings only. */
        for (char *rest = text, *del; *rest; rest = del + 1) {
                del = strchrnul(rest, 0x7f);
                fwrite(rest, 1, (size_t)(del - rest), file);
                if (!*del)
                        break;
                fputs("\\u007f", file);
        }
        return fputc('\n', file) == EOF || fflush(file) == EOF ? -EIO : 0;
}

void output_time(int64_t milliseconds, char ret_text[static OUTPUT_TIME_SIZE]) {
        time_t seconds = (time_t)(milliseconds / 1000);
        struct tm tm;
        if (milliseconds <= 0 || !localtime_r(&seconds, &tm) ||
            !strftime(ret_text, OUTPUT_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm))
                snprintf(ret_text, OUTPUT_TIME_SIZE, "-");
}

void output_size(uint64_t bytes, char ret_text[static OUTPUT_TIME_SIZE]) {
        static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
        double value = (double)bytes;
        size_t i = 0;
        for (; value >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
                value /= 1024;
        snprintf(ret_text, OUTPUT_TIME_SIZE, i && value < 10 ? "%.1f %s" : "%.0f %s", value, units[i]);
}

/* gettext("") is the catalogue's own header. */
static const char *translate_part(const char *text) {
        return *text ? _(text) : "";
}

char *output_translate(const char *text) {
        const char *whole = translate_part(text);
        const char *colon = strstr(text, ": ");
        if (whole != text || !colon)
                return strdup(whole);
        _cleanup_(freep) char *head = strndup(text, (size_t)(colon - text));
        char *translated = NULL;
        if (!head || asprintf(&translated, "%s: %s", translate_part(head), translate_part(colon + 2)) < 0)
                return NULL;
        return translated;
}

void diff_print(FILE *file, const char *diff, int indent, size_t n_lines_max, bool colour) {
        size_t n_lines = 0;
        for (const char *line = diff; *line; n_lines++) {
                size_t size = strcspn(line, "\n");
                if (n_lines_max && n_lines == n_lines_max)
                        break;
                const char *paint = !colour ? "" : *line == '+' ? "\033[32m" : *line == '-' ? "\033[31m" : "";
                _cleanup_(buffer_deinit) struct buffer safe = {0};
                if (text_escape_lines(&safe, line, size) < 0)
                        return;
                fprintf(file, "%*s%s", indent, "", paint);
                print_folded(file, safe.data, (size_t)indent, (size_t)indent + 2);
                fprintf(file, "%s\n", *paint ? "\033[0m" : "");
                line += size + (line[size] == '\n');
                if (n_lines_max && n_lines + 1 == n_lines_max && *line)
                        fprintf(file, "%*s%s\n", indent, "", _("… (more)"));
        }
}
