/* The marks of the gate: one on each directory, so that the files in it wait when they are opened. */
#pragma once

/* Marks `path` and every directory below it. Returns how many, or a negative errno. */
int gate_mark_below(int group_fd, const char *path);
int gate_unmark_below(int group_fd, const char *path);

/* Marks one file, whatever name it is opened by. Returns 1 or a negative errno. */
int gate_mark_file(int group_fd, const char *path);

/* Reads /proc/self/fdinfo: 1 when the directory is marked, 0 when not, or a negative errno. */
int gate_has_mark(int group_fd, const char *path);
