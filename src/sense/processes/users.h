/* Names of uids, remembered for some minutes: getpwuid_r(3) may ask a directory service. Any thread. */
#pragma once

#include <sys/types.h>

/* A copy of the name, or NULL. */
char *user_name(uid_t uid);
