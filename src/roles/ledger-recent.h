/*
 * The newest entries of a log by content, for a ledger that was restarted: a sender that had no answer
 * sends again, and what is in the log already must not be entered twice. For roles/ledger.c alone.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#define RECENT_MAX 2048

struct recent;

/* Reads the last RECENT_MAX entries below STATE. */
int recent_load(const char *state, uint64_t size, struct recent **ret_recent);
struct recent *recent_free(struct recent *recent);

/* Returns 1 and forgets it when an entry with this content is there, or 0. Its time does not count. */
int recent_take(struct recent *recent, const json_t *entry, uint64_t *ret_index);
