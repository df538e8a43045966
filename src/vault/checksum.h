/*
 * CRC-32C (Castagnoli, RFC 3720 B.4): finds torn and rotten records without reading them whole
 * through a hash. Not a proof of anything; that is the digest.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continues `checksum` (0 at the start). */
uint32_t checksum_update(uint32_t checksum, const void *data, size_t size);
