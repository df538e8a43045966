/*
 * A profile cuts an application into zones by path: packs/profiles/NAME.yaml.
 * Patterns are relative to the tree, '**' crosses directories; the first row that matches decides.
 */
#pragma once

#include "event/change.h"

struct profile;

/* `packs`: directory. "none" gives a profile with ZONE_NONE everywhere. -ENOENT: no such profile; -EBADMSG:
 * ret_error says line and column (owned). */
int profile_load(const char *packs, const char *name, struct profile **ret_profile, char **ret_error);
struct profile *profile_free(struct profile *profile);
DEFINE_CLEANUP(struct profile *, profile_free);

const char *profile_name(const struct profile *profile);
enum zone profile_zone(const struct profile *profile, const char *relative_path);
/* The application itself generates PHP here (cache, proxies): judged by content, not by presence. */
bool profile_expects_php(const struct profile *profile, const char *relative_path);
