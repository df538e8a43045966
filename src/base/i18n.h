/*
 * Messages in the reader's language, by gettext.
 *
 * _("…") translates now; N_("…") marks a string that stands in a table, or travels in a
 * message, and is translated where it is shown. A message with two arguments or more
 * may need them in another order: translators write %2$s.
 */
#pragma once

#include <libintl.h>

#define _(text)  gettext(text)
#define N_(text) (text)

/*
 * Takes the locale from the environment and finds the catalogue: "locale" beside the binary (build
 * tree), "../share/locale", or /usr/share/locale. Where the locale asked for was never generated on this
 * machine, messages still come in its language, in UTF-8. Call once, before any thread and any chroot.
 */
void i18n_init(void);
