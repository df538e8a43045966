/*
 * .htaccess and .user.ini: which files the web server runs as programs, and what PHP runs before
 * every page. Hosting companies write such lines, too; what they never do is to run images, or a
 * whole directory whatever the names.
 */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/cleanup.h"
#include "detect/tamper/code.h"

#define LINE_MAX_BYTES 1024

struct settings {
        struct evidences *evidences;
        char files[LINE_MAX_BYTES]; /* argument of the <Files> or <FilesMatch> around this line, or "" */
};

static void report(struct settings *settings, const char *line) {
        evidence_add(settings->evidences, INDICATOR_HANDLER_OVERRIDE, line, strlen(line));
}

static bool is_php_extension(const char *word) {
        static const char *const extensions[] = {"php",  "php3", "php4",  "php5",
                                                 "php7", "php8", "phtml", "phps"};
        word += *word == '.';
        for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
                if (!strcmp(word, extensions[i]))
                        return true;
        return false;
}

/* AddType application/x-httpd-php .jpg: every extension behind the type must be one of PHP's. */
static bool adds_other_extension(const char *arguments) {
        char word[64];
        int skip;
        if (sscanf(arguments, "%*63s%n", &skip) == EOF)
                return false;
        for (arguments += skip; sscanf(arguments, "%63s%n", word, &skip) == 1; arguments += skip)
                if (!is_php_extension(word))
                        return true;
        return false;
}

/* SetHandler for all files, or for files whose pattern does not speak of PHP alone. */
static bool matches_other_files(const char *files) {
        static const char *const others[] = {"jp",  "png", "gif", "ico", "svg", "webp", "txt",
                                             "css", "js",  "htm", "pdf", ".*",  "log"};
        if (!strstr(files, "ph"))
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (strstr(files, others[i]))
                        return true;
        return false;
}

static const char *argument_of(const char *line, const char *directive) {
        size_t size = strlen(directive);
        if (strncmp(line, directive, size) || (line[size] && !isspace((unsigned char)line[size])))
                return NULL;
        return line + size + strspn(line + size, " \t");
}

/* RewriteRule … … [H=application/x-httpd-php] */
static bool rewrites_to_program(const char *arguments) {
        const char *flags = strrchr(arguments, '[');
        static const char *const names[] = {"h=", "handler=", "t=", "type="};
        for (const char *flag = flags; flag; flag = strchr(flag, ',')) {
                flag += 1 + strspn(flag + 1, " ");
                for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                        if (!strncmp(flag, names[i], strlen(names[i])))
                                return strstr(flag, "php") || strstr(flag, "cgi");
        }
        return false;
}

static void look_at_apache(struct settings *settings, const char *line) {
        const char *argument;
        if ((argument = argument_of(line, "<filesmatch")) || (argument = argument_of(line, "<files"))) {
                snprintf(settings->files, sizeof(settings->files), "%s", argument);
        } else if (!strncmp(line, "</files", 7)) {
                settings->files[0] = '\0';
        } else if ((argument = argument_of(line, "addtype")) ||
                   (argument = argument_of(line, "addhandler"))) {
                if ((strstr(argument, "php") || strstr(argument, "cgi-script")) &&
                    adds_other_extension(argument))
                        report(settings, line);
        } else if ((argument = argument_of(line, "sethandler")) ||
                   (argument = argument_of(line, "forcetype"))) {
                if ((strstr(argument, "php") || strstr(argument, "cgi-script")) &&
                    matches_other_files(settings->files))
                        report(settings, line);
        } else if ((argument = argument_of(line, "php_value")) ||
                   (argument = argument_of(line, "php_admin_value"))) {
                if (!strncmp(argument, "auto_prepend_file", 17) ||
                    !strncmp(argument, "auto_append_file", 16)) {
                        if (!strstr(argument, "none"))
                                report(settings, line);
                }
        } else if ((argument = argument_of(line, "rewriterule"))) {
                if (rewrites_to_program(argument))
                        report(settings, line);
        } else if ((argument = argument_of(line, "php_flag"))) {
                if (!strncmp(argument, "engine", 6) && strstr(argument, "on"))
                        report(settings, line);
        }
}

static void look_at_ini(struct settings *settings, const char *line) {
        const char *value = strchr(line, '=');
        if (!value || line[0] == ';')
                return;
        value += 1 + strspn(value + 1, " \t\"'");
        bool runs = !strncmp(line, "auto_prepend_file", 17) || !strncmp(line, "auto_append_file", 16) ||
                    !strncmp(line, "extension", 9) || !strncmp(line, "zend_extension", 14);
        if (runs && *value && strncmp(value, "none", 4))
                report(settings, line);
}

/*
 * One line in lower case, without quotes, white space as one blank, so that no padding pushes the telling part out;
 * a backslash at its end joins the next, as in Apache. Returns the bytes that were read.
 */
static size_t read_line(struct view view, bool is_apache, char line[static LINE_MAX_BYTES]) {
        size_t i = 0, n = 0;
        for (; i < view.size && view.data[i] != '\n'; i++) {
                unsigned char c = view.data[i];
                size_t end = i + 1 < view.size && view.data[i + 1] == '\r' ? i + 2 : i + 1;
                if (is_apache && c == '\\' && end < view.size && view.data[end] == '\n') {
                        i = end;
                        continue;
                }
                bool is_blank = !c || isspace(c);
                if ((is_apache && c == '"') || n == LINE_MAX_BYTES - 1 ||
                    (is_blank && (!n || line[n - 1] == ' ')))
                        continue;
                line[n++] = is_blank ? ' ' : (char)tolower(c);
        }
        n -= n && line[n - 1] == ' ';
        line[n] = '\0';
        return i + 1;
}

void settings_assay(const struct media *media, struct view view, struct evidences *evidences) {
        struct settings settings = {.evidences = evidences};
        char line[LINE_MAX_BYTES];
        if (media->language != LANGUAGE_APACHE && media->language != LANGUAGE_INI)
                return;
        while (view.size) {
                size_t size = read_line(view, media->language == LANGUAGE_APACHE, line);
                if (media->language == LANGUAGE_APACHE)
                        look_at_apache(&settings, line);
                else
                        look_at_ini(&settings, line);
                view = view_from(view, size);
        }
}
