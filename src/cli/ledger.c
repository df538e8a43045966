/*
 * `hinomi ledger`: verify, prove, export. Works on files alone: a state directory, or a copy of its
 * ledger. What the words mean is in ledger/verify.h and ledger/prove.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/i18n.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "event/json.h"
#include "ledger/export.h"
#include "ledger/ledger.h"
#include "ledger/prove.h"
#include "ledger/verify.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)

static const char *next_argument(const struct cli *cli, int *i) {
        return *i < cli->n_arguments ? cli->arguments[(*i)++] : NULL;
}

static int read_whole(const char *path, struct buffer *ret_buffer) {
        buffer_init(ret_buffer, FILE_BYTES_MAX);
        if (strcmp(path, "-"))
                return io_read_file(AT_FDCWD, path, ret_buffer);
        for (;;) {
                int r = buffer_reserve(ret_buffer, 4096);
                if (r < 0)
                        return r;
                ssize_t n = read(STDIN_FILENO, ret_buffer->data + ret_buffer->size, 4096);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                ret_buffer->size += n > 0 ? (size_t)n : 0;
        }
}

/* --key: the text of a verifier key, or a file that begins with one. Returns 1, 0 (not given), or said. */
static int read_key(const struct cli *cli, struct verifier_key *ret_key) {
        const char *given = cli_get(cli, "key");
        if (!given)
                return 0;
        if (verifier_key_parse(given, strlen(given), ret_key) == 0)
                return 1;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        int r = read_whole(given, &text);
        if (r < 0) {
                cli_usage_error(cli, _("--key %s: neither a verifier key nor a file that can be read: %s"),
                                given, strerror(-r));
                return -EINVAL;
        }
        const char *newline = text.data ? memchr(text.data, '\n', text.size) : NULL;
        if (verifier_key_parse(text.data ?: "", newline ? (size_t)(newline - text.data) : text.size,
                               ret_key) == 0)
                return 1;
        cli_usage_error(cli, _("--key %s: this file does not begin with a verifier key"), given);
        return -EINVAL;
}

static char *entry_message(const struct ledger_report *report) {
        char *text = NULL;
        const uint64_t index = report->index, other = report->other;
        int n = -1;
        switch (report->problem) {
        case LEDGER_CUT:
                n = index ? asprintf(&text, _("cut off after entry %" PRIu64 ": checkpoint says %" PRIu64),
                                     index - 1, other)
                          : asprintf(&text, _("all entries are missing: checkpoint says %" PRIu64), other);
                break;
        case LEDGER_HASH:
                n = asprintf(&text, _("entry %" PRIu64 ": hash differs"), index);
                break;
        case LEDGER_RANGE:
                n = asprintf(&text,
                             _("entries %" PRIu64 " to %" PRIu64 ": at least one is not what was signed"),
                             index, other);
                break;
        case LEDGER_SEALED:
                n = asprintf(&text,
                             _("entries %" PRIu64 " to %" PRIu64 ": at least one is not what was sealed"),
                             index, other);
                break;
        case LEDGER_JSON:
                n = asprintf(&text, _("entry %" PRIu64 ": not a JSON object with a time"), index);
                break;
        case LEDGER_TIME:
                n = asprintf(&text, _("entry %" PRIu64 " is dated before entry %" PRIu64), index, index - 1);
                break;
        case LEDGER_TILE:
                n = asprintf(&text, _("entry %" PRIu64 ": %s is missing or too short"), index, report->path);
                break;
        case LEDGER_SURPLUS:
                n = asprintf(&text, _("%s: data behind the end; the log ends at entry %" PRIu64),
                             report->path, index);
                break;
        case LEDGER_ROOT:
                n = asprintf(
                        &text,
                        _("entries %" PRIu64 " to %" PRIu64 ": do not give the root the checkpoint signs"),
                        index, other);
                break;
        default:
                break;
        }
        return n < 0 ? NULL : text;
}

static char *log_message(const struct ledger_report *report) {
        char *text = NULL;
        int n = -1;
        switch (report->problem) {
        case LEDGER_ROLLBACK:
                n = report->index == report->other
                            ? asprintf(&text,
                                       _("set back: an older checkpoint of the same %" PRIu64 " entries"),
                                       report->index)
                            : asprintf(&text,
                                       _("set back to %" PRIu64 " entries: %" PRIu64 " were committed"),
                                       report->index, report->other);
                break;
        case LEDGER_SEALS:
                n = asprintf(&text, _("seal %" PRIu64 ": missing, forged or out of order"), report->index);
                break;
        case LEDGER_KEYS_MISSING:
                n = asprintf(
                        &text,
                        _("%s is missing, damaged or older than the ledger: a rollback cannot be ruled out"),
                        report->path);
                break;
        case LEDGER_AGAINST_SHORT:
                n = asprintf(&text,
                             _("shorter than the checkpoint kept elsewhere: %" PRIu64
                               " entries, it says %" PRIu64),
                             report->index, report->other);
                break;
        case LEDGER_AGAINST_OTHER:
                n = asprintf(
                        &text,
                        _("the first %" PRIu64 " entries are not those of the checkpoint kept elsewhere"),
                        report->other);
                break;
        case LEDGER_SET_ASIDE:
                n = asprintf(
                        &text,
                        _("an earlier ledger was damaged and is put aside in ledger/%s; keep it as evidence, "
                          "then move it away"),
                        report->path);
                break;
        default:
                break;
        }
        return n < 0 ? NULL : text;
}

/* What was found, in one line. Owned, or NULL when out of memory. */
static char *problem_message(const struct ledger_report *report) {
        switch (report->problem) {
        case LEDGER_NOT_FOUND:
                return strdup(_("there is no ledger here"));
        case LEDGER_KEY:
                return strdup(_("key.pub or seal.pub is missing or damaged"));
        case LEDGER_KEY_OTHER:
                return strdup(_("another log stands here: its key is not the one expected"));
        case LEDGER_CHECKPOINT:
                return strdup(_("the checkpoint is missing or damaged"));
        case LEDGER_SIGNATURE:
                return strdup(_("the checkpoint is not signed by the log's key"));
        case LEDGER_CHECKPOINT_TIME:
                return strdup(_("the checkpoint is dated before its last entry"));
        case LEDGER_AGAINST_KEY:
                return strdup(_("the checkpoint kept elsewhere is not signed by this log"));
        default: {
                char *text = entry_message(report);
                return text ?: log_message(report);
        }
        }
}

static bool problem_has_index(enum ledger_problem problem) {
        return problem == LEDGER_CUT || problem == LEDGER_HASH || problem == LEDGER_RANGE ||
               problem == LEDGER_SEALED || problem == LEDGER_JSON || problem == LEDGER_TIME ||
               problem == LEDGER_TILE || problem == LEDGER_ROOT;
}

static int print_report_json(const struct ledger_report *report, const char *message) {
        bool sound = report->problem == LEDGER_SOUND;
        json_auto_t *json =
                json_pack("{s:b,s:I,s:I,s:I,s:I}", "sound", sound, "entries", (json_int_t)report->entries,
                          "size", (json_int_t)report->checkpoint.size, "checkpoint_time",
                          (json_int_t)report->checkpoint.time_s * 1000, "seals", (json_int_t)report->seals);
        json_object_set_new(json, "origin", json_string(report->checkpoint.origin));
        if (!sound) {
                json_object_set_new(json, "problem", json_string(ledger_problem_name(report->problem)));
                json_object_set_new(json, "message", json_string(message));
                if (problem_has_index(report->problem))
                        json_object_set_new(json, "index", json_integer((json_int_t)report->index));
                if (*report->path)
                        json_object_set_new(json, "path", json_bytes(report->path));
        }
        json_object_set_new(json, "rollback_checked",
                            json_boolean(!(report->notes & (LEDGER_NOTE_COPY | LEDGER_NOTE_UNREADABLE))));
        return output_json(stdout, json);
}

static void print_report(const struct ledger_report *report, const char *message) {
        char time[OUTPUT_TIME_SIZE];
        if (report->problem != LEDGER_SOUND) {
                fputs(_("The ledger is NOT whole: "), stdout);
                output_bytes(stdout, message, 0);
                putchar('\n');
                return;
        }
        output_time((int64_t)report->checkpoint.time_s * 1000, time);
        printf(ngettext("The ledger is whole: %" PRIu64 " entry, signed %s.\n",
                        "The ledger is whole: %" PRIu64 " entries, signed %s.\n", report->entries),
               report->entries, time);
        printf(ngettext("%s, %" PRIu64 " seal\n", "%s, %" PRIu64 " seals\n", report->seals),
               report->checkpoint.origin, report->seals);
        if (report->notes & LEDGER_NOTE_UNREADABLE)
                output_wrap(
                        stdout,
                        _("Whether it was set back to an older state was not checked: that takes the right "
                          "to read STATE/keys."),
                        0);
        if (report->notes & LEDGER_NOTE_COPY)
                output_wrap(
                        stdout,
                        _("This is a copy: whether it is the newest state can be told only with --against a "
                          "checkpoint kept elsewhere."),
                        0);
}

/*
 * Root verifies the machine's own state, where the keys must be; a directory that is named is a copy.
 */
static int run_verify(const struct cli *cli, const char *path) {
        const char *against = cli_get(cli, "against");
        struct verifier_key key;
        _cleanup_(buffer_deinit) struct buffer note = {0};
        int has_key = read_key(cli, &key);
        if (has_key < 0)
                return EXIT_USAGE_ERROR;
        int r = against ? read_whole(against, &note) : 0;
        if (r < 0)
                return cli_failed(_("%s: %s"), against, strerror(-r));
        const struct ledger_verify_options options = {
                .path = path,
                .expect_keys = path == cli->state && geteuid() == 0,
                .key = has_key ? &key : NULL,
                .against = against ? note.data ?: "" : NULL,
                .against_bytes = note.size,
        };
        struct ledger_report report;
        r = ledger_verify(&options, &report);
        if (r < 0)
                return cli_failed(_("the ledger in %s cannot be read: %s"), path, strerror(-r));
        _cleanup_(freep) char *message = report.problem == LEDGER_SOUND ? NULL : problem_message(&report);
        if (report.problem == LEDGER_NOT_FOUND)
                return cli_failed("%s: %s", path, message);
        if (cli->json)
                r = print_report_json(&report, message);
        else
                print_report(&report, message ?: ledger_problem_name(report.problem));
        if (r < 0)
                return EXIT_FAILED;
        return report.problem == LEDGER_SOUND ? EXIT_DONE : EXIT_NO;
}

/* The proof as an object; `proof` in it is the text that anybody's tool can check. */
static int print_proof_json(const struct proof *proof, const struct verifier_key *key,
                            const struct buffer *text) {
        _cleanup_(buffer_deinit) struct buffer vkey = {0};
        json_t *entry = json_loadb(proof->entry.data, proof->entry.size, 0, NULL);
        json_auto_t *json = json_pack("{s:I,s:o?,s:I,s:I}", "index", (json_int_t)proof->index, "entry", entry,
                                      "size", (json_int_t)proof->checkpoint.size, "checkpoint_time",
                                      (json_int_t)proof->checkpoint.time_s * 1000);
        json_t *path = json_array();
        for (size_t i = 0; i < proof->n_path; i++) {
                char hex[DIGEST_HEX_SIZE];
                digest_format(&proof->path[i], hex);
                json_array_append_new(path, json_string(hex));
        }
        json_object_set_new(json, "path", path);
        json_object_set_new(json, "checkpoint", json_string(proof->note.data));
        if (text)
                json_object_set_new(json, "proof", json_string(text->data));
        if (verifier_key_format(key, &vkey) == 0)
                json_object_set_new(json, "key", json_string(vkey.data));
        return output_json(stdout, json) < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int say_no_log(const char *path, int error) {
        if (error == -ENOENT)
                return cli_failed(_("%s: %s"), path, _("there is no ledger here"));
        if (error == -EBADMSG) {
                cli_failed(_("the ledger in %s is damaged; 'hinomi ledger verify' says where"), path);
                return EXIT_NO;
        }
        return cli_failed(_("the ledger in %s cannot be read: %s"), path, strerror(-error));
}

static int run_prove(const struct cli *cli, const char *argument) {
        uint64_t index;
        if (!argument || decimal_parse(argument, strlen(argument), &index) < 0)
                return cli_usage_error(cli, _("'ledger prove' takes the index of an entry, or --check FILE"));
        _cleanup_(proof_deinit) struct proof proof;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        struct verifier_key key;
        proof_init(&proof);
        int r = proof_make(cli->state, index, &proof, &key);
        if (r == -ERANGE) {
                cli_failed(_("there is no entry %" PRIu64 ": the ledger has %" PRIu64), index,
                           proof.checkpoint.size);
                return EXIT_NO;
        }
        if (r < 0)
                return say_no_log(cli->state, r);
        if (proof_format(&proof, &text) < 0)
                return cli_failed("%s", strerror(ENOMEM));
        if (cli->json)
                return print_proof_json(&proof, &key, &text);
        fwrite(text.data, 1, text.size, stdout);
        if (isatty(STDOUT_FILENO)) {
                putchar('\n');
                output_bytes(stdout, proof.entry.data, 0);
                printf("\n%s\n",
                       _("Keep the lines above in a file; 'hinomi ledger prove --check FILE --key KEY' "
                         "checks it without this machine."));
        }
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* The key of the state directory, when none is given. */
static int find_key(const struct cli *cli, struct verifier_key *ret_key) {
        int r = read_key(cli, ret_key);
        if (r != 0)
                return r < 0 ? EXIT_USAGE_ERROR : EXIT_DONE;
        _cleanup_(freep) char *path = NULL;
        _cleanup_(buffer_deinit) struct buffer text = {0};
        if (asprintf(&path, "%s/ledger/key.pub", cli->state) < 0)
                return cli_failed("%s", strerror(ENOMEM));
        r = read_whole(path, &text);
        const char *newline = r == 0 && text.data ? memchr(text.data, '\n', text.size) : NULL;
        if (!newline || verifier_key_parse(text.data, (size_t)(newline - text.data), ret_key) < 0)
                return cli_failed(_("no key to check with: give --key KEY, or --state of the machine"));
        return EXIT_DONE;
}

static int print_checked(const struct cli *cli, const struct proof *proof, const struct verifier_key *key) {
        if (cli->json)
                return print_proof_json(proof, key, NULL);
        char time[OUTPUT_TIME_SIZE];
        output_time((int64_t)proof->checkpoint.time_s * 1000, time);
        printf(_("Proved: entry %" PRIu64 " is in the log %s, which had %" PRIu64
                 " entries when it was signed "
                 "%s.\n"),
               proof->index, proof->checkpoint.origin, proof->checkpoint.size, time);
        output_bytes(stdout, proof->entry.data, 0);
        putchar('\n');
        return EXIT_DONE;
}

static int run_check(const struct cli *cli, const char *path) {
        _cleanup_(buffer_deinit) struct buffer file = {0};
        _cleanup_(proof_deinit) struct proof proof;
        struct verifier_key key;
        proof_init(&proof);
        int r = read_whole(path, &file);
        if (r < 0)
                return cli_failed(_("%s: %s"), path, strerror(-r));
        int status = find_key(cli, &key);
        if (status != EXIT_DONE)
                return status;
        json_auto_t *json =
                file.size && file.data[0] == '{' ? json_loadb(file.data, file.size, 0, NULL) : NULL;
        const char *inside = json_get_string(json, "proof");
        r = proof_parse(inside ?: file.data ?: "", inside ? strlen(inside) : file.size, &proof);
        if (r == -EBADMSG)
                cli_failed(_("%s: this is not a proof"), path);
        else if (r == 0) {
                r = proof_check(&proof, &key);
                if (r == 0)
                        return print_checked(cli, &proof, &key);
                if (r == -ENOKEY)
                        cli_failed(_("NOT proved: the checkpoint is not signed by the log %s"), key.name);
                else if (r == -EKEYREJECTED)
                        cli_failed(_("NOT proved: the checkpoint's signature is forged"));
                else
                        cli_failed(_("NOT proved: entry, path and checkpoint do not belong together"));
        }
        return r == -EBADMSG || r == -ENOKEY || r == -EKEYREJECTED ? EXIT_NO : EXIT_FAILED;
}

/* An entry's own bytes; blanks between JSON's words may be newlines, which a line cannot hold. */
static int print_entry(uint64_t index, const char *entry, size_t size, void *userdata) {
        (void)index, (void)userdata;
        for (size_t i = 0; i < size; i++)
                putchar(entry[i] == '\n' || entry[i] == '\r' ? ' ' : entry[i]);
        putchar('\n');
        return ferror(stdout) ? -EIO : 0;
}

static int run_export(const struct cli *cli, const char *to) {
        uint64_t size;
        if (!to || !strcmp(to, "-")) {
                int r = ledger_read(cli->state, 0, UINT64_MAX, print_entry, NULL);
                if (r < 0)
                        return say_no_log(cli->state, r);
                return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
        }
        int r = ledger_export(cli->state, to, &size);
        if (r == -ENOTEMPTY)
                return cli_failed(_("%s is not empty: a copy needs a directory of its own"), to);
        if (r < 0)
                return say_no_log(cli->state, r);
        if (cli->json) {
                json_auto_t *json =
                        json_pack("{s:I,s:o}", "entries", (json_int_t)size, "path", json_bytes(to));
                return output_json(stdout, json) < 0 ? EXIT_FAILED : EXIT_DONE;
        }
        printf(ngettext("%" PRIu64 " entry copied. Check the copy: hinomi ledger verify ",
                        "%" PRIu64 " entries copied. Check the copy: hinomi ledger verify ", size),
               size);
        output_bytes(stdout, to, 0);
        putchar('\n');
        return EXIT_DONE;
}

int cli_ledger(const struct cli *cli) {
        int i = 0;
        const char *what = next_argument(cli, &i), *argument = next_argument(cli, &i);
        if (next_argument(cli, &i))
                return cli_usage_error(cli, _("too many arguments"));
        const char *check = cli_get(cli, "check");
        if (!strcmp(what, "verify"))
                return run_verify(cli, argument ?: cli->state);
        if (!strcmp(what, "prove") && check)
                return argument ? cli_usage_error(cli, _("too many arguments")) : run_check(cli, check);
        if (!strcmp(what, "prove"))
                return run_prove(cli, argument);
        if (!strcmp(what, "export"))
                return run_export(cli, argument);
        return cli_usage_error(cli, _("there is no 'ledger %s'"), what);
}
