/*
 * `hinomi status` and `hinomi doctor`. Without a running guard they say so first, and
 * then what configuration and state alone can tell; that is never "protected".
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/output.h"
#include "config/config.h"
#include "event/json.h"

/* A role's or tree's state word, painted. */
static void print_state(const char *state, int width) {
        static const struct {
                const char *name, *label, *paint;
        } states[] = {
                {"armed", N_("guarded"), "\033[32m"},
                {"up", N_("up"), "\033[32m"},
                {"ok", N_("ok"), "\033[32m"},
                {"baseline", N_("taking the baseline"), "\033[33m"},
                {"starting", N_("starting"), "\033[33m"},
                {"warn", N_("warning"), "\033[33m"},
                {"missing", N_("MISSING"), "\033[1;31m"},
                {"degraded", N_("DEGRADED"), "\033[1;31m"},
                {"down", N_("DOWN"), "\033[1;31m"},
                {"fail", N_("FAILED"), "\033[1;31m"},
                {"unguarded", N_("NOT GUARDED"), "\033[1;31m"},
        };
        const char *label = state, *paint = "";
        for (size_t i = 0; i < ARRAY_SIZE(states); i++)
                if (!strcmp(states[i].name, state)) {
                        label = _(states[i].label);
                        paint = output_colour(stdout) ? states[i].paint : "";
                }
        fputs(paint, stdout);
        output_pad(stdout, label, width);
        fputs(*paint ? "\033[0m" : "", stdout);
}

/* The name of a line, in a column. */
static void print_label(const char *label) {
        output_pad(stdout, label, 12);
}

static void size_of(const json_t *object, const char *key, char text[static OUTPUT_TIME_SIZE]) {
        output_size((uint64_t)json_get_integer(object, key, 0), text);
}

static void print_tree(const json_t *tree) {
        print_state(json_get_string(tree, "state") ?: "?", 12);
        fputs("  ", stdout);
        output_path(stdout, json_get_string(tree, "path") ?: "?", 14);
        printf("\n%*s%s, %s, %s", 14, "", json_get_string(tree, "protect") ?: "?",
               json_get_string(tree, "profile") ?: "?", json_get_string(tree, "respond") ?: "?");
        if (json_object_get(tree, "n_files")) {
                unsigned long n = (unsigned long)json_get_integer(tree, "n_files", 0);
                printf(ngettext(", %lu file", ", %lu files", n), n);
        }
        const char *reason = json_get_string(tree, "reason"), *release = json_get_string(tree, "release");
        if (release) {
                fputs(_(", release: "), stdout);
                output_bytes(stdout, release, 14);
        }
        if (reason) {
                _cleanup_(freep) char *translated = output_translate(reason);
                printf("\n%*s", 14, "");
                output_bytes(stdout, translated ?: reason, 14);
        }
        putchar('\n');
}

static void print_roles(const json_t *status) {
        size_t i, n_down = 0;
        json_t *role;
        json_array_foreach (json_object_get(status, "roles"), i, role)
                if (strcmp(json_get_string(role, "state") ?: "?", "up"))
                        n_down++;
        print_label(_("Roles"));
        if (!n_down)
                print_state("up", 0);
        json_array_foreach (json_object_get(status, "roles"), i, role) {
                const char *state = json_get_string(role, "state") ?: "?";
                json_int_t restarts = json_get_integer(role, "restarts", 0);
                if (!strcmp(state, "up") && !restarts)
                        continue;
                fputs("  ", stdout);
                output_bytes(stdout, json_get_string(role, "name") ?: "?", 10);
                fputs(" ", stdout);
                print_state(state, 0);
                if (restarts)
                        printf(_(" (restarted %lld times)"), (long long)restarts);
        }
        putchar('\n');
}

static void print_keeping(const json_t *status) {
        const json_t *vault = json_object_get(status, "vault"), *ledger = json_object_get(status, "ledger");
        char time[OUTPUT_TIME_SIZE];
        if (vault) {
                char stored[OUTPUT_TIME_SIZE], budget[OUTPUT_TIME_SIZE], room[OUTPUT_TIME_SIZE];
                size_of(vault, "stored_bytes", stored);
                size_of(vault, "budget_bytes", budget);
                size_of(vault, "free_bytes", room);
                print_label(_("Vault"));
                printf(_("%s of %s used, %lld objects, %s free on the disk\n"), stored, budget,
                       (long long)json_get_integer(vault, "n_objects", 0), room);
                if (json_object_get(vault, "evidence_bytes")) {
                        size_of(vault, "evidence_bytes", stored);
                        print_label("");
                        printf(_("of it evidence: %s\n"), stored);
                }
                if (json_get_integer(vault, "complete_since", 0)) {
                        output_time(json_get_integer(vault, "complete_since", 0), time);
                        print_label("");
                        printf(_("past approved states are complete since %s\n"), time);
                }
                if (json_is_true(json_object_get(vault, "full"))) {
                        print_label("");
                        puts(_("FULL: new content is not kept. Raise vault.budget or make room"));
                }
        }
        if (ledger) {
                output_time(json_get_integer(ledger, "checkpoint", 0), time);
                print_label(_("Ledger"));
                printf(_("%lld entries, signed %s\n"), (long long)json_get_integer(ledger, "size", 0), time);
        }
}

static void print_counts(const json_t *status) {
        const json_t *findings = json_object_get(status, "findings");
        static const char *const names[] = {"Critical", "High", "Medium", "Low", "Informational"};
        static const char *const labels[] = {N_("critical"), N_("high"), N_("medium"), N_("low"),
                                             N_("informational")};
        size_t n = 0;
        if (findings) {
                print_label(_("Findings"));
                fputs(_("last 24 hours: "), stdout);
                for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                        json_int_t count = json_get_integer(findings, names[i], 0);
                        if (count) {
                                fputs(n++ ? _(", ") : "", stdout);
                                printf(_("%lld %s"), (long long)count, _(labels[i]));
                        }
                }
                puts(n ? "" : _("none"));
        }
        size_t i;
        json_t *held;
        json_array_foreach (json_object_get(status, "held"), i, held) {
                print_label(_("Held"));
                printf(_("process %lld; let it go on with 'hinomi resume %lld': "),
                       (long long)json_get_integer(held, "pid", 0),
                       (long long)json_get_integer(held, "pid", 0));
                output_path(stdout, json_get_string(held, "command") ?: "?", 12);
                putchar('\n');
        }
        const char *key;
        json_object_foreach (json_object_get(status, "dropped"), key, held)
                if (json_integer_value(held)) {
                        print_label(_("Dropped"));
                        output_bytes(stdout, key, 12);
                        printf(": %lld\n", (long long)json_integer_value(held));
                }
}

static int print_status(const json_t *status, void *userdata) {
        const struct cli *cli = userdata;
        if (cli->json)
                return output_json(stdout, status) < 0 ? EXIT_FAILED : -1;
        bool in_force = json_is_true(json_object_get(status, "in_force"));
        char time[OUTPUT_TIME_SIZE];
        output_time(json_get_integer(status, "started", 0), time);
        printf(in_force ? _("hinomi guards this machine since %s; all that is promised is in force.\n\n")
                        : _("hinomi runs since %s, but NOT all that is promised is in force: see 'hinomi "
                            "doctor'.\n\n"),
               time);
        size_t i;
        json_t *tree;
        json_array_foreach (json_object_get(status, "trees"), i, tree)
                print_tree(tree);
        putchar('\n');
        print_roles(status);
        print_keeping(status);
        print_counts(status);
        return -1;
}

/* "ORIGIN\nSIZE\nROOT\n\n— signature": the size, or -1. */
static json_int_t read_checkpoint(const struct cli *cli, int64_t *ret_milliseconds) {
        char path[PATH_MAX];
        struct stat st;
        _cleanup_(buffer_deinit) struct buffer note;
        buffer_init(&note, 65536);
        snprintf(path, sizeof(path), "%s/ledger/checkpoint", cli->state);
        if (io_read_file(AT_FDCWD, path, &note) < 0 || stat(path, &st) < 0)
                return -1;
        char *line = note.data ? strchr(note.data, '\n') : NULL, *end = NULL;
        long long size = line ? strtoll(line + 1, &end, 10) : -1;
        if (!line || end == line + 1 || *end != '\n' || size < 0)
                return -1;
        *ret_milliseconds = (int64_t)st.st_mtim.tv_sec * 1000;
        return size;
}

/* What can be told with nobody running. */
static json_t *offline_status(const struct cli *cli) {
        json_t *trees = json_array();
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *error = NULL;
        config_read(cli->config, &config, &error);
        for (size_t i = 0; config && i < config->n_trees; i++) {
                const struct config_tree *tree = &config->trees[i];
                json_array_append_new(
                        trees, json_pack("{s:o,s:s,s:s,s:s,s:s}", "path", json_bytes(tree->path), "protect",
                                         protect_name(tree->protect), "profile", tree->profile, "respond",
                                         respond_name(tree->respond), "state", "unguarded"));
        }
        json_t *status =
                json_pack("{s:b,s:b,s:[],s:o}", "watching", 0, "in_force", 0, "roles", "trees", trees);
        int64_t milliseconds = 0;
        json_int_t size = read_checkpoint(cli, &milliseconds);
        if (size >= 0)
                json_object_set_new(
                        status, "ledger",
                        json_pack("{s:I,s:I}", "size", size, "checkpoint", (json_int_t)milliseconds));
        if (error)
                json_object_set_new(status, "configuration_error", json_bytes(error));
        return status;
}

static bool is_not_running(int error) {
        return error == -ENOENT || error == -ECONNREFUSED;
}

static int print_offline_status(const struct cli *cli) {
        json_t *status = offline_status(cli);
        if (cli->json) {
                output_json(stdout, status);
                json_decref(status);
                return EXIT_NO;
        }
        printf("%s\n\n", _("hinomi is NOT running: nothing is guarded. Start it with 'systemctl start "
                           "hinomi' or 'hinomi "
                           "watch'."));
        size_t i;
        json_t *tree;
        json_array_foreach (json_object_get(status, "trees"), i, tree)
                print_tree(tree);
        if (json_get_string(status, "configuration_error")) {
                output_path(stdout, json_get_string(status, "configuration_error"), 0);
                putchar('\n');
        }
        print_keeping(status);
        json_decref(status);
        return EXIT_NO;
}

int cli_status(const struct cli *cli) {
        _cleanup_(client_freep) struct client *client = NULL;
        int r = client_open(cli->socket, &client);
        if (is_not_running(r))
                return print_offline_status(cli);
        if (r < 0)
                return client_say_unreachable(cli, r);
        return client_ask_on(cli, client, json_pack("{s:s}", "request", "status"), print_status, (void *)cli);
}

static int print_check(const json_t *check, void *userdata) {
        const struct cli *cli = userdata;
        if (cli->json)
                return output_json(stdout, check) < 0 ? EXIT_FAILED : -1;
        const char *subject = json_get_string(check, "subject"), *detail = json_get_string(check, "detail");
        const char *title = json_get_string(check, "title") ?: json_get_string(check, "check") ?: "?";
        const char *fix = json_get_string(check, "fix");
        _cleanup_(freep) char *translated = output_translate(title);
        print_state(json_get_string(check, "state") ?: "?", 8);
        fputs("  ", stdout);
        output_bytes(stdout, translated ?: title, 10);
        if (subject) {
                fputs(": ", stdout);
                output_path(stdout, subject, 10);
        }
        putchar('\n');
        if (detail && *detail) {
                _cleanup_(freep) char *text = output_translate(detail);
                fprintf(stdout, "%*s", 10, "");
                output_path(stdout, text ?: detail, 10);
                putchar('\n');
        }
        if (fix && *fix) {
                _cleanup_(freep) char *text = output_translate(fix);
                fprintf(stdout, "%*s→ ", 10, "");
                output_bytes(stdout, text ?: fix, 12);
                putchar('\n');
        }
        return -1;
}

struct check {
        const char *name, *state, *title, *fix;
};

static void print_own_check(const struct cli *cli, const struct check *check, const char *subject,
                            const char *detail) {
        json_t *object = json_pack("{s:s,s:s,s:s}", "check", check->name, "state", check->state, "title",
                                   check->title);
        if (subject)
                json_object_set_new(object, "subject", json_bytes(subject));
        if (detail)
                json_object_set_new(object, "detail", json_bytes(detail));
        if (check->fix)
                json_object_set_new(object, "fix", json_string(check->fix));
        print_check(object, (void *)cli);
        json_decref(object);
}

static void check_trees(const struct cli *cli, const struct config *config) {
        for (size_t i = 0; i < config->n_trees; i++) {
                struct stat st;
                const char *path = config->trees[i].path;
                if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
                        print_own_check(
                                cli,
                                &(struct check){"tree.exists", "fail", N_("this tree is no directory"),
                                                N_("correct its path in the configuration, or make it")},
                                path, NULL);
                else
                        print_own_check(
                                cli,
                                &(struct check){"tree.guarded", "fail", N_("this tree is not guarded"), NULL},
                                path, NULL);
        }
}

static void check_kernel(const struct cli *cli) {
        struct utsname name;
        unsigned major = 0, minor = 0;
        if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
                return;
        bool good = major > 5 || (major == 5 && minor >= 10);
        print_own_check(cli,
                        &(struct check){"kernel.version", good ? "ok" : "fail", N_("Linux 5.10 or newer"),
                                        good ? NULL : N_("upgrade the kernel")},
                        NULL, name.release);
}

static int doctor_offline(const struct cli *cli) {
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *error = NULL;
        print_own_check(cli,
                        &(struct check){"guard.running", "fail",
                                        N_("hinomi is not running: nothing is guarded"),
                                        N_("start it: systemctl start hinomi, or hinomi watch")},
                        NULL, NULL);
        check_kernel(cli);
        if (config_read(cli->config, &config, &error) < 0)
                print_own_check(
                        cli,
                        &(struct check){"configuration", "fail", N_("the configuration cannot be used"),
                                        N_("correct it, or write a new one with 'hinomi init --force'")},
                        NULL, error);
        else
                print_own_check(
                        cli, &(struct check){"configuration", "ok", N_("the configuration is valid"), NULL},
                        cli->config, NULL);
        if (config)
                check_trees(cli, config);
        int64_t milliseconds;
        if (read_checkpoint(cli, &milliseconds) < 0)
                print_own_check(cli,
                                &(struct check){"ledger.present", "warn",
                                                N_("no ledger in the state directory yet"), NULL},
                                cli->state, NULL);
        return EXIT_NO;
}

int cli_doctor(const struct cli *cli) {
        _cleanup_(client_freep) struct client *client = NULL;
        int r = client_open(cli->socket, &client);
        if (is_not_running(r))
                return doctor_offline(cli);
        if (r < 0)
                return client_say_unreachable(cli, r);
        int status =
                client_ask_on(cli, client, json_pack("{s:s}", "request", "doctor"), print_check, (void *)cli);
        if (!cli->json && status == EXIT_DONE)
                printf("\n%s\n", _("All that the configuration promises is in force."));
        else if (!cli->json && status == EXIT_NO)
                printf("\n%s\n", _("NOT everything that the configuration promises is in force."));
        return status;
}
