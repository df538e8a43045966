/*
 * What the judges share: a verdict collected row by row, and the names of programs.
 * Private to detect/tamper.
 */
#pragma once

#include <stddef.h>

#include "base/i18n.h"
#include "detect/tamper/judge.h"

struct statement {
        enum severity severity;
        const char *type;
        const char *techniques; /* separated by blanks, or NULL */
        const char *title;
        const char *reason;
};

/* Empty arrays, severity 0. Returns 0 or -ENOMEM. */
int verdict_init(struct verdict *verdict);

/*
 * Adds one statement; the gravest gives the title, the first of equals. `detail` (raw bytes, may be NULL)
 * is escaped and cut to VERDICT_DETAIL_MAX.
 */
#define VERDICT_DETAIL_MAX 400
void verdict_state(struct verdict *verdict, const struct statement *statement, const char *detail);

/*
 * The program's plain name: no directory, no version, no architecture, no " (deleted)":
 * "/usr/sbin/php-fpm8.2" is "php-fpm", "x86_64-linux-gnu-gcc-12" is "gcc". From the
 * executable, or from the command line where that is not known. "" when neither is.
 */
#define PROGRAM_NAME_SIZE 64
void program_name(const struct process *process, char ret_name[static PROGRAM_NAME_SIZE]);
void program_name_from(const char *path, size_t size, char ret_name[static PROGRAM_NAME_SIZE]);

bool program_is_web(const struct process *process);

/* Adds what is to be said of a changed place that decides over the system (places.c). */
void place_judge(struct verdict *verdict, const char *path);
