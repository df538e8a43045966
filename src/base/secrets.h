/*
 * Passwords, keys and tokens that stand among other text, by the names that people give them. What is
 * recorded is kept for years and shown to others: the secret itself has no place there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* "DB_PASSWORD", "--api-key", "authToken": does a value under that name stay secret? */
bool secrets_is_name(const char *name, size_t size);

/*
 * Masks in place what is secret in a command line as /proc/PID/cmdline has it (arguments parted by NUL),
 * also where a whole script is one argument: NAME=value, --name value, mysql's -pvalue and its like,
 * scheme://user:value@host, Authorization headers. No more than the value goes: what a shell would run
 * stays readable. Returns the size left. Pure.
 */
size_t secrets_mask_arguments(char *text, size_t size);
