/*
 * Card numbers: ISO/IEC 7812 lengths and issuer ranges with Luhn's check digit, plain or in the
 * printed groups (4-4-4-4, 4-6-5, 4-6-4) with one kind of separator. Numbers inside longer
 * numbers, decimals, identifiers and telephone numbers are none.
 */
#pragma once

#include "detect/tamper/evidence.h"

/* Length in bytes of the card number that starts at `at`, or 0. */
size_t card_at(struct view view, size_t at);

/*
 * Counts card numbers in data: one is enough beside an expiry date, a security code or a word that says card;
 * alone they count from three on, when most numbers of that shape pass (of random ones a tenth do). Lines of
 * base64 or hexadecimal are decoded and looked at, too.
 */
void cards_assay(struct view view, struct evidences *evidences);
