/*
 * A profile cuts an application into zones by path: packs/profiles/NAME.yaml.
 *
 *   profile: wordpress
 *   zones:
 *     - path: .maintenance                   or a list of paths
 *       zone: data                           code | editable | data | ignored | none
 *       php: expected                        the application generates PHP here
 *
 * Patterns are relative to the tree (detect/tamper/pattern.h); the first row that matches
 * decides, and where none does it is code. Immutable once loaded.
 */
#pragma once

#include <stddef.h>

#include "event/change.h"

#define PROFILE_BYTES_MAX ((size_t)256 << 10)
#define PROFILE_ROWS_MAX  1024

struct profile;

/*
 * Reads PACKS/profiles/NAME.yaml. Returns 0, -ENOENT (no such profile), -EBADMSG (what is wrong, with line
 * and column) or another negative errno; ret_error is then a sentence, owned by the caller, or NULL when
 * even that could not be had.
 */
int profile_load(const char *packs, const char *name, struct profile **ret_profile, char **ret_error);

/* The same for text at hand; `name` is what the text must call itself. */
int profile_parse(const char *name, const char *text, size_t size, struct profile **ret_profile,
                  char **ret_error);

struct profile *profile_free(struct profile *profile);
DEFINE_CLEANUP(struct profile *, profile_free);

const char *profile_name(const struct profile *profile);
enum zone profile_zone(const struct profile *profile, const char *relative_path);
/* The application itself generates PHP here (cache, proxies): judged by content, not by presence. */
bool profile_expects_php(const struct profile *profile, const char *relative_path);
