/*
 * The table of what a change means. A change is first put into words (enum situation), then
 * every row whose zone, words and indicator fit adds its statement; the gravest row gives the
 * severity and the title, the first of equals wins, so that the telling rows stand first.
 */
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/text.h"
#include "detect/tamper/verdict.h"
#include "event/json.h"

enum situation {
        IS_CREATED = 1 << 0,
        IS_DELETED = 1 << 1,
        IS_CONTENT = 1 << 2,    /* other bytes, or another thing, stand there now */
        IS_ATTRIBUTES = 1 << 3, /* nothing but mode, owner or extended attributes */
        IS_REVERTED = 1 << 4,
        IS_DIRECTORY = 1 << 5,
        IS_LINK_OUT = 1 << 6, /* a symbolic link that leads away */
        IS_DEVICE = 1 << 7,
        IS_SETUID = 1 << 8,         /* gained */
        IS_WORLD_WRITABLE = 1 << 9, /* gained */
        IS_BY_WEB = 1 << 10,
        IS_PHP = 1 << 11,   /* would be run as PHP, and is not known to do nothing */
        IS_INERT = 1 << 12, /* named PHP, and known to do nothing */
        IS_PHP_EXPECTED = 1 << 13,
        IS_SCRIPT_UNSEEN = 1 << 14,
        IS_BY_WEB_CHILD = 1 << 15, /* by a program that the web server started, not by the server itself */
};

#define IN(zone)  (1u << (zone))
#define IN_CODE   IN(ZONE_CODE)
#define IN_EDIT   IN(ZONE_EDITABLE)
#define IN_DATA   IN(ZONE_DATA)
#define IN_NONE   IN(ZONE_NONE)
#define IN_SHOP   (IN_CODE | IN_EDIT | IN_DATA)
#define IN_LIVING (IN_EDIT | IN_DATA)

struct rule {
        const char *indicator; /* what the assayer must have seen, or NULL */
        unsigned zones;
        unsigned all, none; /* enum situation: every one of these, not one of those */
        struct statement statement;
};

static const struct rule rules[] = {
        /* what the content says */
        {"web_shell",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "web_shell", "T1505.003", N_("A web shell was planted"),
          N_("This program runs whatever a visitor sends to it")}},
        {"request_exfil",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "card_stealer", "T1056.003 T1041", N_("Customers' input is being stolen"),
          N_("This program copies what customers type to a file, a mail or another server")}},
        {"js_skimmer",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "card_skimmer", "T1056.003 T1059.007", N_("A card skimmer was planted"),
          N_("This script reads card fields and sends them to another server")}},
        {"fake_payment_form",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "fake_payment_form", "T1056.003", N_("A false payment form was planted"),
          N_("A form asks for card data and sends it to another server")}},
        {"php_tag_in_image",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "php_tag_in_image", "T1505.003 T1036.008", N_("An image contains a program"),
          N_("PHP code is hidden in a file that passes for an image or a document")}},
        {NULL,
         IN_DATA,
         IS_CONTENT | IS_PHP,
         IS_PHP_EXPECTED,
         {SEVERITY_CRITICAL, "php_in_data", "T1505.003", N_("A PHP program appeared where only data belongs"),
          N_("Uploads and other data never contain programs; attackers put theirs there")}},
        {"php_tag_in_text",
         IN_DATA,
         0,
         IS_PHP_EXPECTED,
         {SEVERITY_CRITICAL, "php_in_data", "T1505.003", N_("A PHP program appeared where only data belongs"),
          N_("A data file contains PHP code that another program can include")}},
        {"handler_override",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "handler_override", "T1505.003",
          N_("The web server was told to run other files as programs"),
          N_("This setting makes harmless-looking files run as PHP, or runs a file before every page")}},
        {"image_bytes_mismatch",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "masquerading_image", "T1036.008", N_("A file only pretends to be an image"),
          N_("The name says image, and the content is something else")}},
        {"cards",
         IN_DATA,
         IS_BY_WEB,
         0,
         {SEVERITY_CRITICAL, "cards_stored", "T1056.003 T1074.001",
          N_("Card numbers are being collected in a file"),
          N_("The web server writes what look like customers' card numbers into this file")}},
        {"cards",
         IN_DATA,
         0,
         IS_BY_WEB,
         {SEVERITY_HIGH, "cards_stored", "T1074.001", N_("Card numbers were written to a file"),
          N_("This file holds what look like customers' card numbers")}},
        {"records",
         IN_DATA,
         IS_BY_WEB,
         0,
         {SEVERITY_CRITICAL, "encrypted_records", "T1056.003 T1074.001",
          N_("Encrypted records of equal size are being collected in a file"),
          N_("The web server appends one unreadable record after another; stolen cards are kept this way")}},
        {"records",
         IN_DATA,
         0,
         IS_BY_WEB,
         {SEVERITY_MEDIUM, "encrypted_records", "T1074.001",
          N_("Encrypted records of equal size are being collected in a file"),
          N_("Unreadable records of equal size are appended to this file")}},
        {"obfuscated",
         IN_SHOP,
         0,
         0,
         {SEVERITY_CRITICAL, "obfuscated", "T1027", N_("Hidden code was added"),
          N_("The code is written so that nobody can read what it does")}},
        {NULL,
         IN_SHOP,
         IS_SCRIPT_UNSEEN,
         0,
         {SEVERITY_CRITICAL, "new_script_host", "T1059.007 T1565.001",
          N_("The shop's pages now use a server they never used before"),
          N_("This application never named this server")}},
        {"php_tag_in_text",
         IN_EDIT,
         0,
         IS_PHP_EXPECTED,
         {SEVERITY_HIGH, "php_in_template", "T1505.003", N_("A template now contains PHP code"),
          N_("PHP code stands in a file that is not a PHP program")}},
        {"appended_to_image",
         IN_SHOP,
         IS_BY_WEB,
         0,
         {SEVERITY_CRITICAL, "image_grows", "T1074.001 T1036.008", N_("An image is used to collect data"),
          N_("The web server appends data behind the end of an image")}},
        {"appended_to_image",
         IN_SHOP,
         0,
         IS_BY_WEB,
         {SEVERITY_HIGH, "image_grows", "T1074.001 T1036.008", N_("An image is used to collect data"),
          N_("Data was appended behind the end of an image")}},
        {"assay_failed",
         IN_SHOP,
         0,
         0,
         {SEVERITY_HIGH, "unexamined", "T1027", N_("A file could not be examined"),
          N_("Its content could not be read, or broke what reads it; it is not taken for harmless")}},
        {"executable",
         IN_LIVING,
         0,
         0,
         {SEVERITY_HIGH, "executable_in_data", "T1105", N_("A program file appeared where only data belongs"),
          N_("This is a program for the server's operating system")}},
        {"script_in_svg",
         IN_LIVING,
         0,
         0,
         {SEVERITY_MEDIUM, "script_in_svg", "T1059.007", N_("A drawing contains a script"),
          N_("An SVG image with a script runs in the browser of whoever opens it")}},

        /* what happened, wherever it was */
        {NULL,
         IN_SHOP | IN_NONE,
         IS_SETUID,
         0,
         {SEVERITY_HIGH, "setuid", "T1548.001", N_("A program was given another user's rights"),
          N_("The set-user-ID or set-group-ID bit was set")}},
        {NULL,
         IN_CODE | IN_NONE,
         IS_WORLD_WRITABLE,
         0,
         {SEVERITY_HIGH, "world_writable", "T1222.002", N_("A file was opened for everybody to write"),
          N_("Every user of this machine can now write here")}},
        {NULL,
         IN_SHOP,
         IS_DEVICE,
         0,
         {SEVERITY_HIGH, "device", "T1006", N_("A device was created among the shop's files"),
          N_("A device file gives access to the machine's disks or memory")}},
        {NULL,
         IN_DATA,
         IS_LINK_OUT | IS_BY_WEB,
         0,
         {SEVERITY_HIGH, "link_out", "T1005", N_("A link leads out of the shop's data"),
          N_("The web server made a link to files elsewhere, and can now show them to visitors")}},
        {NULL,
         IN_DATA,
         IS_LINK_OUT,
         IS_BY_WEB,
         {SEVERITY_LOW, "link_out", NULL, N_("A link leads out of the shop's data"),
          N_("A link to files elsewhere was made")}},

        /* program code */
        {NULL,
         IN_CODE,
         IS_CONTENT | IS_BY_WEB,
         0,
         {SEVERITY_CRITICAL, "code_changed_by_web_server", "T1505.003 T1565.001",
          N_("The web server changed the shop's program code"),
          N_("Program code changes only in a release, and the web server itself never makes one")}},
        {NULL,
         IN_CODE,
         IS_REVERTED,
         0,
         {SEVERITY_HIGH, "code_changed_and_reverted", "T1565.001 T1070",
          N_("Program code was changed and put back"),
          N_("For a moment other code stood here; visitors may have been served it")}},
        {NULL,
         IN_CODE,
         IS_CREATED | IS_DIRECTORY,
         IS_BY_WEB,
         {SEVERITY_MEDIUM, "code_directory_created", NULL, N_("A directory was created among program code"),
          N_("This was not part of a release")}},
        {NULL,
         IN_CODE,
         IS_DELETED,
         0,
         {SEVERITY_HIGH, "code_deleted", "T1485", N_("Program code was deleted outside a release"),
          N_("This was not part of a release")}},
        {NULL,
         IN_CODE,
         IS_CREATED,
         IS_DIRECTORY,
         {SEVERITY_HIGH, "code_created", "T1565.001", N_("Program code was added outside a release"),
          N_("This was not part of a release")}},
        {NULL,
         IN_CODE,
         IS_CONTENT,
         IS_CREATED | IS_DELETED | IS_DIRECTORY,
         {SEVERITY_HIGH, "code_changed", "T1565.001", N_("Program code was changed outside a release"),
          N_("This was not part of a release")}},
        {NULL,
         IN_CODE,
         IS_ATTRIBUTES,
         0,
         {SEVERITY_MEDIUM, "attributes_changed", "T1222.002", N_("Rights of program code were changed"),
          N_("Owner, rights or attributes are not as approved")}},

        /* templates and settings */
        {NULL,
         IN_EDIT,
         IS_CONTENT | IS_BY_WEB_CHILD,
         0,
         {SEVERITY_CRITICAL, "template_by_command", "T1505.003",
          N_("A template was written by a command that the web server started"),
          N_("The shop's admin pages write templates themselves; they start no other program to do it")}},
        {NULL,
         IN_EDIT,
         IS_CREATED | IS_PHP,
         IS_PHP_EXPECTED,
         {SEVERITY_HIGH, "php_created_in_templates", "T1505.003",
          N_("A PHP program appeared among templates"),
          N_("The shop's admin pages edit templates; they do not add programs")}},
        {NULL,
         IN_EDIT,
         IS_DELETED,
         0,
         {SEVERITY_LOW, "template_deleted", NULL, N_("A template or setting was deleted"),
          N_("An admin page can do this")}},
        {NULL,
         IN_EDIT,
         IS_CONTENT,
         IS_DELETED | IS_DIRECTORY,
         {SEVERITY_LOW, "template_edited", NULL, N_("A template or setting was edited"),
          N_("Nothing in it looks harmful; an admin page can do this")}},
        {NULL,
         IN_DATA,
         IS_REVERTED,
         0,
         {SEVERITY_HIGH, "program_came_and_went", "T1070.004",
          N_("A program appeared among data and was gone at once"),
          N_("It removed itself before its content could be kept")}},
        {NULL,
         IN_EDIT,
         IS_REVERTED,
         0,
         {SEVERITY_LOW, "template_edited", NULL, N_("A template or setting was edited and put back"),
          N_("For a moment other content stood here")}},
        {NULL,
         IN_EDIT,
         IS_ATTRIBUTES,
         0,
         {SEVERITY_LOW, "attributes_changed", "T1222.002", N_("Rights of a template or setting were changed"),
          N_("Owner, rights or attributes are not as approved")}},

        /* data: quiet but for an empty program, which somebody may fill later */
        {NULL,
         IN_DATA,
         IS_CONTENT | IS_INERT,
         IS_PHP_EXPECTED,
         {SEVERITY_LOW, "inert_php_in_data", NULL, N_("A PHP file that does nothing appeared among data"),
          N_("Plugins put such files there to hide the list of files")}},

        /* trees without a profile */
        {NULL,
         IN_NONE,
         IS_DELETED,
         0,
         {SEVERITY_MEDIUM, "file_deleted", NULL, N_("A guarded file was deleted"),
          N_("Every change in this tree is reported")}},
        {NULL,
         IN_NONE,
         IS_CREATED,
         0,
         {SEVERITY_MEDIUM, "file_created", NULL, N_("A file appeared in a guarded tree"),
          N_("Every change in this tree is reported")}},
        {NULL,
         IN_NONE,
         IS_CONTENT,
         IS_CREATED | IS_DELETED,
         {SEVERITY_MEDIUM, "file_changed", "T1565.001", N_("A guarded file was changed"),
          N_("Every change in this tree is reported")}},
        {NULL,
         IN_NONE,
         IS_REVERTED,
         0,
         {SEVERITY_MEDIUM, "file_changed_and_reverted", "T1565.001 T1070",
          N_("A guarded file was changed and put back"), N_("For a moment other content stood here")}},
        {NULL,
         IN_NONE,
         IS_ATTRIBUTES,
         0,
         {SEVERITY_MEDIUM, "attributes_changed", "T1222.002", N_("Rights of a guarded file were changed"),
          N_("Every change in this tree is reported")}},
};

/* --- the change in words --- */

/* Names a web server commonly runs as PHP. */
static bool is_php_name(const char *path) {
        static const char *const extensions[] = {".php",  ".phtml", ".pht",  ".phar", ".phps", ".php3",
                                                 ".php4", ".php5",  ".php7", ".php8", ".inc",  ".pgif"};
        const char *name = strrchr(path, '/');
        name = name ? name + 1 : path;
        for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
                size_t size = strlen(extensions[i]);
                /* "x.php.jpg" runs as PHP under Apache's AddHandler */
                for (const char *p = name; (p = strcasestr(p, extensions[i])); p += size)
                        if (p[size] == '\0' || p[size] == '.')
                                return true;
        }
        return false;
}

static unsigned situate_mode(const struct change *change) {
        mode_t before = node_exists(&change->before) ? change->before.mode : 0, after = change->after.mode;
        unsigned is = 0;
        if (S_ISREG(after) && (after & ~before & (S_ISUID | S_ISGID)) && (after & 0111))
                is |= IS_SETUID;
        if (!S_ISLNK(after) && (after & ~before & S_IWOTH) && !(after & S_ISVTX))
                is |= IS_WORLD_WRITABLE;
        if (S_ISBLK(after) || S_ISCHR(after))
                is |= IS_DEVICE;
        return is;
}

static unsigned situate_link(const struct node *after) {
        const char *target = after->link_target;
        if (!S_ISLNK(after->mode) || !target)
                return 0;
        return *target == '/' || strstr(target, "..") ? IS_LINK_OUT : 0;
}

static unsigned situate_php(const struct change *change, const json_t *content) {
        if (!S_ISREG(change->after.mode) || !is_php_name(change->path))
                return 0;
        const json_t *php = json_object_get(content, "php");
        return php && json_is_false(php) ? IS_INERT : IS_PHP;
}

static unsigned situate(const struct change *change, const json_t *content, const json_t *unseen_hosts) {
        unsigned is = 0, difference = change->difference;
        if (change->how == CHANGE_REVERTED)
                is |= IS_REVERTED;
        else if (!node_exists(&change->before) && node_exists(&change->after))
                is |= IS_CREATED | IS_CONTENT;
        else if (node_exists(&change->before) && !node_exists(&change->after))
                is |= IS_DELETED | IS_CONTENT;
        else if (difference & (NODE_CONTENT | NODE_TYPE))
                is |= IS_CONTENT;
        else if (difference)
                is |= IS_ATTRIBUTES;
        if (!is)
                return 0;
        mode_t mode = node_exists(&change->after) ? change->after.mode : change->before.mode;
        if (S_ISDIR(mode))
                is |= IS_DIRECTORY;
        if (actor_is_web(change->actor))
                is |= IS_BY_WEB;
        if ((is & IS_BY_WEB) && !program_is_web(&change->actor->processes[0]))
                is |= IS_BY_WEB_CHILD;
        if (change->php_expected)
                is |= IS_PHP_EXPECTED;
        if (json_array_size(unseen_hosts))
                is |= IS_SCRIPT_UNSEEN;
        return is | situate_mode(change) | situate_link(&change->after) | situate_php(change, content);
}

/* --- rows --- */

static const json_t *find_indicator(const json_t *content, const char *id) {
        size_t i;
        json_t *indicator;
        json_array_foreach (json_object_get(content, "indicators"), i, indicator) {
                const char *this = json_get_string(indicator, "id");
                if (this && !strcmp(this, id))
                        return indicator;
        }
        return NULL;
}

static void state_hosts(struct verdict *verdict, const struct statement *statement, const json_t *hosts) {
        size_t i;
        json_t *host;
        json_array_foreach (hosts, i, host)
                if (i < 8 && json_is_string(host))
                        verdict_state(verdict, statement, json_string_value(host));
}

static void apply_rules(struct verdict *verdict, unsigned zone, unsigned is, const json_t *content,
                        const json_t *unseen_hosts) {
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
                const struct rule *rule = &rules[i];
                if (!(rule->zones & zone) || (is & rule->all) != rule->all || (is & rule->none))
                        continue;
                const json_t *indicator = rule->indicator ? find_indicator(content, rule->indicator) : NULL;
                if (rule->indicator && !indicator)
                        continue;
                if (rule->all & IS_SCRIPT_UNSEEN)
                        state_hosts(verdict, &rule->statement, unseen_hosts);
                else
                        verdict_state(verdict, &rule->statement, json_get_string(indicator, "detail"));
        }
}

static enum severity severity_parse(const char *name) {
        static const char *const names[] = {
                [SEVERITY_INFORMATIONAL] = "informational",
                [SEVERITY_LOW] = "low",
                [SEVERITY_MEDIUM] = "medium",
                [SEVERITY_HIGH] = "high",
                [SEVERITY_CRITICAL] = "critical",
        };
        for (enum severity s = SEVERITY_INFORMATIONAL; name && s <= SEVERITY_CRITICAL; s++)
                if (!strcmp(name, names[s]))
                        return s;
        return SEVERITY_HIGH;
}

/* A YARA rule brings its own severity and technique (packs/yara, meta). */
static void apply_yara(struct verdict *verdict, const json_t *content) {
        size_t i;
        json_t *indicator;
        json_array_foreach (json_object_get(content, "indicators"), i, indicator) {
                const char *id = json_get_string(indicator, "id");
                if (!id || strcmp(id, "yara"))
                        continue;
                struct statement statement = {
                        .severity = severity_parse(json_get_string(indicator, "severity")),
                        .type = "yara",
                        .techniques = json_get_string(indicator, "technique"),
                        .title = N_("Known harmful content was found"),
                        .reason = N_("The content matches a known attack pattern"),
                };
                verdict_state(verdict, &statement, json_get_string(indicator, "detail"));
        }
}

static bool should_undo(const struct change *change, enum severity severity) {
        if (!severity || change->how == CHANGE_REVERTED || change->how == CHANGE_REFUSED)
                return false;
        switch (change->zone) {
        case ZONE_CODE:
        case ZONE_NONE:
                return true;
        case ZONE_EDITABLE:
        case ZONE_DATA:
                return severity == SEVERITY_CRITICAL;
        default:
                return false;
        }
}

int judge_change(const struct change *change, const json_t *content, const json_t *unseen_hosts,
                 struct verdict *ret_verdict) {
        struct verdict verdict;
        int r = verdict_init(&verdict);
        *ret_verdict = (struct verdict){0};
        if (r < 0)
                return r;
        unsigned is = change->zone == ZONE_IGNORED ? 0 : situate(change, content, unseen_hosts);
        if (is) {
                apply_rules(&verdict, IN(change->zone), is, content, unseen_hosts);
                if (change->zone == ZONE_NONE)
                        place_judge(&verdict, change->path);
                else
                        apply_yara(&verdict, content);
        }
        verdict.undo = should_undo(change, verdict.severity);
        *ret_verdict = verdict;
        return 0;
}
