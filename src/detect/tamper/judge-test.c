#include "detect/tamper/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct actor *actor_of(const char *const *lines) {
        struct actor *actor = actor_new();
        for (size_t i = 0; lines[i]; i++) {
                struct process *process = &actor->processes[actor->n_processes++];
                process->pid = (pid_t)(100 + i);
                process->command_line = strdup(lines[i]);
                process->executable = strndup(lines[i], strcspn(lines[i], " "));
        }
        return actor;
}

static const char *const php_fpm[] = {"/usr/sbin/php-fpm8.2 pool www", "/usr/sbin/php-fpm8.2 --nodaemonize",
                                      "/sbin/init", NULL};
static const char *const admin[] = {"/usr/bin/vim x", "/usr/bin/bash", "/usr/sbin/sshd", "/sbin/init", NULL};

enum kind { CREATED, MODIFIED, DELETED, CHMOD, REVERTED, SAME };

struct row {
        enum zone zone;
        enum kind kind;
        const char *path;
        const char *const *actor;
        const char *content; /* JSON or NULL */
        const char *unseen;  /* JSON or NULL */
        enum severity severity;
        const char *type;
        const char *technique; /* NULL: not looked at */
        bool undo;
        bool php_expected;
};

static struct change *change_of(const struct row *row) {
        static const struct node file = {.mode = S_IFREG | 0644, .size_bytes = 10};
        struct change *change = change_new();
        change->tree = "/srv/shop";
        change->path = strdup(row->path);
        change->zone = row->zone;
        change->php_expected = row->php_expected;
        change->actor = row->actor ? actor_of(row->actor) : NULL;
        change->before = row->kind == CREATED ? (struct node)NODE_INIT : file;
        change->after = row->kind == DELETED ? (struct node)NODE_INIT : file;
        change->how = row->kind == REVERTED ? CHANGE_REVERTED : CHANGE_SEEN;
        change->difference = row->kind == CREATED || row->kind == DELETED ? NODE_EXISTENCE
                             : row->kind == MODIFIED                      ? NODE_CONTENT
                             : row->kind == CHMOD                         ? NODE_MODE
                                                                          : 0;
        return change;
}

static bool has(const json_t *array, const char *text) {
        size_t i;
        json_t *value;
        json_array_foreach (array, i, value)
                if (!strcmp(json_string_value(value), text))
                        return true;
        return false;
}

static void check(const struct row *row) {
        _cleanup_(change_freep) struct change *change = change_of(row);
        json_t *content = row->content ? json_loads(row->content, 0, NULL) : NULL;
        json_t *unseen = row->unseen ? json_loads(row->unseen, 0, NULL) : NULL;
        struct verdict verdict;
        assert_int_equal(!row->content, !content);
        assert_int_equal(judge_change(change, content, unseen, &verdict), 0);
        if (verdict.severity != row->severity || verdict.undo != row->undo)
                fail_msg("%s in %s: severity %d, undo %d", row->path, zone_name(row->zone), verdict.severity,
                         verdict.undo);
        if (row->type && !has(verdict.types, row->type))
                fail_msg("%s: no type %s", row->path, row->type);
        if (row->technique && !has(verdict.techniques, row->technique))
                fail_msg("%s: no technique %s", row->path, row->technique);
        if (verdict.severity) {
                assert_non_null(verdict.title);
                assert_true(json_array_size(verdict.reasons) > 0);
        } else {
                assert_int_equal(json_array_size(verdict.types), 0);
        }
        verdict_deinit(&verdict);
        json_decref(content);
        json_decref(unseen);
}

#define INDICATOR(id) "{\"indicators\":[{\"id\":\"" id "\",\"detail\":\"x\"}]}"

static void code(void **state _unused_) {
        static const struct row rows[] = {
                {ZONE_CODE, MODIFIED, "/s/a.php", admin, NULL, NULL, SEVERITY_HIGH, "code_changed",
                 "T1565.001", true, false},
                {ZONE_CODE, CREATED, "/s/a.php", admin, NULL, NULL, SEVERITY_HIGH, "code_created", NULL, true,
                 false},
                {ZONE_CODE, DELETED, "/s/a.php", admin, NULL, NULL, SEVERITY_HIGH, "code_deleted", NULL, true,
                 false},
                {ZONE_CODE, MODIFIED, "/s/a.php", NULL, NULL, NULL, SEVERITY_HIGH, "code_changed", NULL, true,
                 false},
                {ZONE_CODE, MODIFIED, "/s/a.php", php_fpm, NULL, NULL, SEVERITY_CRITICAL,
                 "code_changed_by_web_server", "T1505.003", true, false},
                {ZONE_CODE, MODIFIED, "/s/a.js", admin, INDICATOR("obfuscated"), NULL, SEVERITY_CRITICAL,
                 "obfuscated", "T1027", true, false},
                {ZONE_CODE, MODIFIED, "/s/a.js", admin, NULL, "[\"evil.example\"]", SEVERITY_CRITICAL,
                 "new_script_host", NULL, true, false},
                {ZONE_CODE, CHMOD, "/s/a.php", admin, NULL, NULL, SEVERITY_MEDIUM, "attributes_changed", NULL,
                 true, false},
                {ZONE_CODE, REVERTED, "/s/a.php", admin, NULL, NULL, SEVERITY_HIGH,
                 "code_changed_and_reverted", NULL, false, false},
                {ZONE_CODE, SAME, "/s/a.php", php_fpm, INDICATOR("obfuscated"), NULL, 0, NULL, NULL, false,
                 false},
                /* cards in a test of the code are not cards stolen */
                {ZONE_CODE, MODIFIED, "/s/a.js", admin, INDICATOR("cards"), NULL, SEVERITY_HIGH,
                 "code_changed", NULL, true, false},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                check(&rows[i]);
}

static void editable(void **state _unused_) {
        static const struct row rows[] = {
                {ZONE_EDITABLE, MODIFIED, "/s/a.twig", php_fpm, "{\"indicators\":[]}", NULL, SEVERITY_LOW,
                 "template_edited", NULL, false, false},
                {ZONE_EDITABLE, CREATED, "/s/a.twig", php_fpm, NULL, NULL, SEVERITY_LOW, "template_edited",
                 NULL, false, false},
                {ZONE_EDITABLE, MODIFIED, "/s/a.php", php_fpm, "{\"php\":true}", NULL, SEVERITY_LOW,
                 "template_edited", NULL, false, false},
                {ZONE_EDITABLE, CREATED, "/s/a.php", php_fpm, "{\"php\":true}", NULL, SEVERITY_HIGH,
                 "php_created_in_templates", NULL, false, false},
                {ZONE_EDITABLE, MODIFIED, "/s/a.twig", php_fpm, INDICATOR("js_skimmer"), NULL,
                 SEVERITY_CRITICAL, "card_skimmer", "T1056.003", true, false},
                {ZONE_EDITABLE, MODIFIED, "/s/a.twig", php_fpm, NULL, "[\"evil.example\"]", SEVERITY_CRITICAL,
                 "new_script_host", NULL, true, false},
                {ZONE_EDITABLE, MODIFIED, "/s/.htaccess", php_fpm, INDICATOR("handler_override"), NULL,
                 SEVERITY_CRITICAL, "handler_override", NULL, true, false},
                {ZONE_EDITABLE, SAME, "/s/a.twig", php_fpm, NULL, NULL, 0, NULL, NULL, false, false},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                check(&rows[i]);
}

static void data(void **state _unused_) {
        static const struct row rows[] = {
                {ZONE_DATA, CREATED, "/s/a.jpg", php_fpm, "{\"indicators\":[]}", NULL, 0, NULL, NULL, false,
                 false},
                {ZONE_DATA, MODIFIED, "/s/a.log", php_fpm, NULL, NULL, 0, NULL, NULL, false, false},
                {ZONE_DATA, DELETED, "/s/a.php", php_fpm, NULL, NULL, 0, NULL, NULL, false, false},
                {ZONE_DATA, CHMOD, "/s/a.jpg", php_fpm, NULL, NULL, 0, NULL, NULL, false, false},
                {ZONE_DATA, CREATED, "/s/a.php", php_fpm, "{\"php\":true}", NULL, SEVERITY_CRITICAL,
                 "php_in_data", "T1505.003", true, false},
                {ZONE_DATA, CREATED, "/s/a.PhP5", admin, NULL, NULL, SEVERITY_CRITICAL, "php_in_data", NULL,
                 true, false},
                {ZONE_DATA, CREATED, "/s/a.php.jpg", admin, NULL, NULL, SEVERITY_CRITICAL, "php_in_data",
                 NULL, true, false},
                {ZONE_DATA, CREATED, "/s/a.phpx.php", admin, NULL, NULL, SEVERITY_CRITICAL, "php_in_data",
                 NULL, true, false},
                {ZONE_DATA, CREATED, "/s/a.phpx", admin, NULL, NULL, 0, NULL, NULL, false, false},
                {ZONE_DATA, CREATED, "/s/x.php/a.jpg", admin, NULL, NULL, 0, NULL, NULL, false, false},
                {ZONE_DATA, CREATED, "/s/index.php", php_fpm, "{\"php\":false}", NULL, SEVERITY_LOW,
                 "inert_php_in_data", NULL, false, false},
                {ZONE_DATA, CREATED, "/s/a.php", php_fpm, "{\"php\":true}", NULL, 0, NULL, NULL, false, true},
                {ZONE_DATA, CREATED, "/s/a.php", php_fpm, INDICATOR("web_shell"), NULL, SEVERITY_CRITICAL,
                 "web_shell", NULL, true, true},
                {ZONE_DATA, CREATED, "/s/a.jpg", php_fpm, INDICATOR("php_tag_in_image"), NULL,
                 SEVERITY_CRITICAL, "php_tag_in_image", "T1036.008", true, false},
                {ZONE_DATA, CREATED, "/s/a.jpg", php_fpm, INDICATOR("image_bytes_mismatch"), NULL,
                 SEVERITY_CRITICAL, "masquerading_image", "T1036.008", true, false},
                {ZONE_DATA, MODIFIED, "/s/a.log", php_fpm, INDICATOR("cards"), NULL, SEVERITY_CRITICAL,
                 "cards_stored", "T1056.003", true, false},
                {ZONE_DATA, MODIFIED, "/s/a.log", admin, INDICATOR("cards"), NULL, SEVERITY_HIGH,
                 "cards_stored", NULL, false, false},
                {ZONE_DATA, MODIFIED, "/s/a.log", php_fpm, INDICATOR("records"), NULL, SEVERITY_CRITICAL,
                 "encrypted_records", NULL, true, false},
                {ZONE_DATA, MODIFIED, "/s/a.log", admin, INDICATOR("records"), NULL, SEVERITY_MEDIUM,
                 "encrypted_records", NULL, false, false},
                {ZONE_IGNORED, CREATED, "/s/a.php", php_fpm, INDICATOR("web_shell"), NULL, 0, NULL, NULL,
                 false, false},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                check(&rows[i]);
}

static void no_profile(void **state _unused_) {
        static const struct row rows[] = {
                {ZONE_NONE, MODIFIED, "/etc/motd", admin, NULL, NULL, SEVERITY_MEDIUM, "file_changed", NULL,
                 true, false},
                {ZONE_NONE, CREATED, "/etc/x", admin, NULL, NULL, SEVERITY_MEDIUM, "file_created", NULL, true,
                 false},
                {ZONE_NONE, DELETED, "/etc/x", admin, NULL, NULL, SEVERITY_MEDIUM, "file_deleted", NULL, true,
                 false},
                {ZONE_NONE, CHMOD, "/etc/x", admin, NULL, NULL, SEVERITY_MEDIUM, "attributes_changed", NULL,
                 true, false},
                {ZONE_NONE, SAME, "/etc/x", admin, NULL, NULL, 0, NULL, NULL, false, false},
                {ZONE_NONE, MODIFIED, "/etc/shadow", admin, NULL, NULL, SEVERITY_HIGH, "accounts_changed",
                 NULL, true, false},
                {ZONE_NONE, MODIFIED, "/etc/shadow-", admin, NULL, NULL, SEVERITY_MEDIUM, "file_changed",
                 NULL, true, false},
                {ZONE_NONE, CREATED, "/etc/ld.so.preload", admin, NULL, NULL, SEVERITY_HIGH, "loader_changed",
                 "T1574.006", true, false},
                {ZONE_NONE, CREATED, "/etc/cron.d/x", admin, NULL, NULL, SEVERITY_HIGH, "schedule_changed",
                 "T1053.003", true, false},
                {ZONE_NONE, MODIFIED, "/etc/pam.d/sshd", admin, NULL, NULL, SEVERITY_HIGH, "sign_in_changed",
                 "T1556.003", true, false},
                {ZONE_NONE, CREATED, "/home/a/.ssh/authorized_keys", admin, NULL, NULL, SEVERITY_HIGH,
                 "ssh_keys_changed", "T1098.004", true, false},
                {ZONE_NONE, CREATED, "/home/a/.config/systemd/user/x.service", admin, NULL, NULL,
                 SEVERITY_HIGH, "service_changed", "T1543.002", true, false},
                /* content is not judged without a profile */
                {ZONE_NONE, MODIFIED, "/etc/motd", admin, INDICATOR("obfuscated"), NULL, SEVERITY_MEDIUM,
                 "file_changed", NULL, true, false},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                check(&rows[i]);
}

static enum severity judge_modes(enum zone zone, mode_t before, mode_t after) {
        struct row row = {zone, CHMOD, "/s/a", admin, NULL, NULL, 0, NULL, NULL, false, false};
        _cleanup_(change_freep) struct change *change = change_of(&row);
        change->before.mode = before;
        change->after.mode = after;
        struct verdict verdict;
        assert_int_equal(judge_change(change, NULL, NULL, &verdict), 0);
        enum severity severity = verdict.severity;
        verdict_deinit(&verdict);
        return severity;
}

static void modes(void **state _unused_) {
        assert_int_equal(judge_modes(ZONE_CODE, S_IFREG | 0644, S_IFREG | 0755), SEVERITY_MEDIUM);
        assert_int_equal(judge_modes(ZONE_CODE, S_IFREG | 0644, S_IFREG | 0666), SEVERITY_HIGH);
        assert_int_equal(judge_modes(ZONE_CODE, S_IFREG | 0666, S_IFREG | 0646), SEVERITY_MEDIUM);
        assert_int_equal(judge_modes(ZONE_CODE, S_IFREG | 0755, S_IFREG | 04755), SEVERITY_HIGH);
        assert_int_equal(judge_modes(ZONE_DATA, S_IFREG | 0755, S_IFREG | 04755), SEVERITY_HIGH);
        assert_int_equal(judge_modes(ZONE_DATA, S_IFREG | 0644, S_IFREG | 0666), 0);
        assert_int_equal(judge_modes(ZONE_CODE, S_IFDIR | 0755, S_IFDIR | 02755), SEVERITY_MEDIUM);
        assert_int_equal(judge_modes(ZONE_NONE, S_IFDIR | 0755, S_IFDIR | 01777), SEVERITY_MEDIUM);
}

static void links(void **state _unused_) {
        struct row row = {ZONE_DATA, CREATED, "/s/up/a", php_fpm, NULL, NULL, 0, NULL, NULL, false, false};
        static const struct {
                const char *target;
                enum severity severity;
        } rows[] = {{"/etc/passwd", SEVERITY_HIGH}, {"../../wp-config.php", SEVERITY_HIGH}, {"b.jpg", 0}};
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(change_freep) struct change *change = change_of(&row);
                change->after.mode = S_IFLNK | 0777;
                change->after.link_target = strdup(rows[i].target);
                struct verdict verdict;
                assert_int_equal(judge_change(change, NULL, NULL, &verdict), 0);
                assert_int_equal(verdict.severity, rows[i].severity);
                verdict_deinit(&verdict);
        }
}

static void yara_meta_decides(void **state _unused_) {
        struct row row = {ZONE_DATA,
                          CREATED,
                          "/s/a.txt",
                          admin,
                          "{\"indicators\":[{\"id\":\"yara\",\"rule\":\"r\",\"severity\":\"medium\","
                          "\"technique\":\"T1505.003\",\"detail\":\"r\"}]}",
                          NULL,
                          SEVERITY_MEDIUM,
                          "yara",
                          "T1505.003",
                          false,
                          false};
        check(&row);
}

/* The title is that of the gravest statement; a detail cannot add a line. */
static void words(void **state _unused_) {
        struct row row = {ZONE_CODE,
                          MODIFIED,
                          "/s/a.php",
                          php_fpm,
                          "{\"indicators\":[{\"id\":\"web_shell\",\"detail\":\"a\\nb\\u001b[1m\"}]}",
                          NULL,
                          0,
                          NULL,
                          NULL,
                          true,
                          false};
        _cleanup_(change_freep) struct change *change = change_of(&row);
        json_t *content = json_loads(row.content, 0, NULL);
        struct verdict verdict;
        assert_int_equal(judge_change(change, content, NULL, &verdict), 0);
        assert_string_equal(verdict.title, "A web shell was planted");
        assert_string_equal(json_string_value(json_array_get(verdict.reasons, 0)),
                            "This program runs whatever a visitor sends to it: a\\nb\\x1b[1m");
        verdict_deinit(&verdict);
        json_decref(content);
}

static enum severity judge_program(const char *command_line, const char *const *parents,
                                   const char **ret_type) {
        static char type[64];
        const char *lines[8] = {command_line};
        for (size_t i = 0; parents[i] && i < 6; i++)
                lines[i + 1] = parents[i];
        _cleanup_(actor_freep) struct actor *actor = actor_of(lines);
        struct verdict verdict;
        assert_int_equal(judge_exec(actor, &verdict), 0);
        enum severity severity = verdict.severity;
        *type = '\0';
        if (severity)
                strncpy(type, json_string_value(json_array_get(verdict.types, 0)), sizeof(type) - 1);
        *ret_type = type;
        verdict_deinit(&verdict);
        return severity;
}

static void programs_below_php(void **state _unused_) {
        static const struct {
                const char *command_line;
                enum severity severity;
                const char *type;
        } rows[] = {
                {"/usr/bin/dash", SEVERITY_CRITICAL, "shell_by_web_server"},
                {"/bin/sh -c id", SEVERITY_CRITICAL, "shell_by_web_server"},
                {"/usr/bin/bash -i", SEVERITY_CRITICAL, "shell_by_web_server"},
                {"/bin/sh -c /usr/sbin/sendmail -t -i", 0, ""},
                {"/bin/sh -c -- /usr/sbin/sendmail -t -i -f'a@b.example'", 0, ""},
                {"/bin/sh -c /usr/sbin/sendmail -t -i; id", SEVERITY_CRITICAL, "shell_by_web_server"},
                {"/bin/sh -c /usr/sbin/sendmail -t -i -f\"$(id)\"", SEVERITY_CRITICAL, "shell_by_web_server"},
                {"/bin/sh -c /usr/sbin/sendmail -t -i\nid", SEVERITY_CRITICAL, "shell_by_web_server"},
                {"/bin/sh -c /usr/sbin/sendmail -t -i -X/srv/shop/x.php", SEVERITY_HIGH,
                 "mail_abuse_by_web_server"},
                {"/bin/sh -c exec /usr/bin/convert 'a b.jpg' -resize 10x10\\> 'c.jpg' 2>&1", 0, ""},
                {"/bin/sh -c 'gs' -q '-sOutputFile=/tmp/m-%d' '-f/tmp/x' 2>/dev/null", 0, ""},
                {"/bin/sh -c convert a.jpg b.jpg > /srv/shop/x.php", SEVERITY_CRITICAL,
                 "shell_by_web_server"},
                {"/bin/sh -c sendmailx -t", SEVERITY_CRITICAL, "shell_by_web_server"},
                {"/usr/sbin/sendmail -t -i", 0, ""},
                {"/usr/sbin/exim4 -be", SEVERITY_HIGH, "mail_abuse_by_web_server"},
                {"/usr/bin/convert-im6.q16 a b", 0, ""},
                {"/usr/bin/ffmpeg -i a", 0, ""},
                {"/usr/bin/curl http://x.example", SEVERITY_CRITICAL, "download_by_web_server"},
                {"/usr/bin/wget x", SEVERITY_CRITICAL, "download_by_web_server"},
                {"/usr/bin/x86_64-linux-gnu-gcc-12 x.c", SEVERITY_CRITICAL, "compiler_by_web_server"},
                {"/usr/bin/nc.openbsd -e", SEVERITY_CRITICAL, "netcat_by_web_server"},
                {"/usr/bin/python3.11 -c x", SEVERITY_HIGH, "interpreter_by_web_server"},
                {"/usr/bin/sudo id", SEVERITY_CRITICAL, "privilege_by_web_server"},
                {"/usr/bin/crontab -", SEVERITY_CRITICAL, "schedule_by_web_server"},
                {"/usr/bin/id", SEVERITY_HIGH, "discovery_by_web_server"},
                {"/usr/bin/sleep 5", SEVERITY_HIGH, "file_tool_by_web_server"},
                {"/usr/bin/php8.2 bin/console x", SEVERITY_MEDIUM, "php_cli_by_web_server"},
                {"/tmp/.x/convert", SEVERITY_CRITICAL, "dropped_program_by_web_server"},
                {"/usr/local/bin/shop-helper", SEVERITY_LOW, "program_by_web_server"},
                {"/usr/sbin/php-fpm8.2 pool www", 0, ""},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const char *type;
                enum severity severity = judge_program(rows[i].command_line, php_fpm, &type);
                if (severity != rows[i].severity || strcmp(type, rows[i].type))
                        fail_msg("%s: %d %s", rows[i].command_line, severity, type);
                assert_int_equal(judge_program(rows[i].command_line, admin, &type), 0);
        }
}

static void lineage(void **state _unused_) {
        static const struct {
                const char *lines[4];
                bool web;
        } rows[] = {
                {{"/usr/sbin/nginx -g x", "/sbin/init"}, true},
                {{"/usr/sbin/apache2 -k start", "/sbin/init"}, true},
                {{"/usr/bin/curl x", "/usr/bin/dash", "/usr/sbin/php-fpm7.4 (deleted)"}, true},
                {{"/usr/bin/php8.2 -S 127.0.0.1:80"}, true},
                {{"/usr/bin/php8.2 cron.php", "/usr/sbin/cron"}, false},
                {{"/usr/bin/vim /etc/nginx/nginx.conf", "/usr/bin/bash"}, false},
                {{"/usr/bin/rsync --server", "/usr/sbin/sshd"}, false},
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_(actor_freep) struct actor *actor = actor_of(rows[i].lines);
                if (actor_is_web(actor) != rows[i].web)
                        fail_msg("%s", rows[i].lines[0]);
        }
        assert_false(actor_is_web(NULL));

        /* the executable may be unknown, the command line is then all there is */
        struct actor *actor = actor_new();
        actor->n_processes = 1;
        actor->processes[0].command_line = strdup("php-fpm: pool www");
        assert_true(actor_is_web(actor));
        actor_free(actor);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(code),    cmocka_unit_test(editable),
                cmocka_unit_test(data),    cmocka_unit_test(modes),
                cmocka_unit_test(links),   cmocka_unit_test(no_profile),
                cmocka_unit_test(words),   cmocka_unit_test(yara_meta_decides),
                cmocka_unit_test(lineage), cmocka_unit_test(programs_below_php),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
