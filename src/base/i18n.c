#include "base/i18n.h"

#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Debian's minimal images have only C.UTF-8; glibc follows LANGUAGE in any locale but "C". */
static void borrow_locale(void) {
        const char *wanted = NULL;
        static const char *const variables[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
        for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]) && !(wanted && *wanted); i++)
                wanted = getenv(variables[i]);
        char language[16];
        size_t length = wanted ? strcspn(wanted, ".@") : 0;
        if (!length || length >= sizeof(language) || !setlocale(LC_ALL, "C.UTF-8"))
                return;
        memcpy(language, wanted, length);
        language[length] = '\0';
        setenv("LANGUAGE", language, 0);
}

static int is_directory(const char *path) {
        struct stat st;
        return !stat(path, &st) && S_ISDIR(st.st_mode);
}

void i18n_init(void) {
        if (!setlocale(LC_ALL, ""))
                borrow_locale();
        setlocale(LC_NUMERIC, "C"); /* JSON and what scripts read have points, not commas */

        char binary[PATH_MAX], directory[PATH_MAX + 32];
        ssize_t n = readlink("/proc/self/exe", binary, sizeof(binary) - 1);
        char *slash = n > 0 ? (binary[n] = '\0', strrchr(binary, '/')) : NULL;
        if (!slash)
                return;
        *slash = '\0';
        static const char *const places[] = {"locale", "../share/locale"};
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
                snprintf(directory, sizeof(directory), "%s/%s", binary, places[i]);
                if (is_directory(directory)) {
                        bindtextdomain("hinomi", directory);
                        break;
                }
        }
        textdomain("hinomi");
        /* Read now what a role could not open later, in its chroot: the catalogue and the time zone. */
        (void)gettext("ID");
        tzset();
}
