/*
 * What a successor needs to know of a process, as it stands in a slot (base/slots.h): who it is, whose child, and
 * its names, cut to what fits. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "sense/processes/entries.h"

struct kept {
        uint64_t start_ns, forked_ns, exited_ns; /* as in struct entry */
        int32_t pid;
        uint32_t parent; /* its slot; SLOT_NONE: none that is kept */
        uint32_t uid, login_uid, session;
        const char *executable, *command_line; /* point into the bytes; never NULL */
};

/* Fills `size` bytes (SLOT_BYTES_MAX). */
void kept_encode(const struct entry *entry, uint32_t parent, uint8_t *bytes, size_t size);

/* 0 or -EBADMSG. */
int kept_decode(const uint8_t *bytes, size_t size, struct kept *ret_kept);
