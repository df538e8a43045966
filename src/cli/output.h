/*
 * What people read: aligned by columns as a terminal shows them (a Japanese character
 * is two), wrapped to its width, and with everything that came from outside escaped by
 * base/text.h, so that no file name or diff can forge a line, a colour or a direction.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Columns that UTF-8 text takes. */
size_t text_columns(const char *text);

/* Width to wrap at: the terminal's, at most 100; 80 where there is none. */
size_t output_columns(FILE *file);

/* True: a terminal, NO_COLOR unset, TERM not "dumb". */
bool output_colour(FILE *file);

/* Text, then blanks up to `width` columns. */
void output_pad(FILE *file, const char *text, int width);

/* Wraps at blanks, and between wide characters; following lines are indented. Ends with a newline. */
void output_wrap(FILE *file, const char *text, int indent);

/* Escaped, on one line; what is wider than the terminal goes on below, indented. It begins at column
 * `indent`. */
void output_bytes(FILE *file, const char *text, int indent);

/* The same for a string from JSON that text_to_utf8() wrote: file names, command lines. */
void output_path(FILE *file, const char *text, int indent);

/* The same for a message that text_escape() went through already: its backslashes stay as they are. */
void output_message(FILE *file, const char *text, int indent);

/* One JSON object on one line, ASCII only. Returns 0 or -errno. */
int output_json(FILE *file, const json_t *object);

/* "2026-11-23 13:05:06" in local time, "-" for 0. */
#define OUTPUT_TIME_SIZE 32
void output_time(int64_t milliseconds, char ret_text[static OUTPUT_TIME_SIZE]);

/* "1.2 GiB", for people. */
void output_size(uint64_t bytes, char ret_text[static OUTPUT_TIME_SIZE]);

/* An English message from a role, in the reader's language; of "message: detail" the message. Owned, or NULL.
 */
char *output_translate(const char *text);

/* A finding as a block: the first files, the first lines of the diff. An update (activity_id 2) is shorter.
 */
void finding_print(FILE *file, const json_t *finding, bool colour);

/* With every file and the whole diff, which `hinomi show` prints. */
void finding_print_full(FILE *file, const json_t *finding, bool colour);

/* A unified diff, indented, coloured by line. At most `n_lines_max` lines (0: all). */
void diff_print(FILE *file, const char *diff, int indent, size_t n_lines_max, bool colour);

/*
 * A progress bar on stderr: silent when that is no terminal, and until the work has taken
 * half a second. progress_end() wipes it.
 */
struct progress {
        const char *what; /* shown before the bar, translated; not owned */
        uint64_t started_ns;
        uint64_t shown_ns;
        bool terminal;
        bool visible;
};

void progress_begin(struct progress *progress, const char *what);
/* total 0: not known yet; bytes 0: not shown. Call as often as you like. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total, uint64_t bytes);
void progress_end(struct progress *progress);
