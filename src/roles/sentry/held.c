/*
 * Processes that are held, known to every sentry of this boot: a held process stays held when the sentry dies and
 * when the guard ends, so that neither a crash nor an upgrade lets a re-infecting process go on. Who ends the guard is
 * told how to let it go.
 *
 *   STATE/vault/held.json   format, boot, held: [{pid, start_ns, since_ns, finding, command, executable, tree}]
 *
 * Written before the process is stopped; read back, each is checked: pid, start time, and that it stands.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"
#include "base/io.h"
#include "base/procfs.h"
#include "base/text.h"
#include "cli/output.h"
#include "event/json.h"
#include "respond/hold/hold.h"
#include "respond/stop.h"
#include "roles/sentry/sentry.h"

#define FILE_NAME      "vault/held.json"
#define FILE_BYTES_MAX ((size_t)1 << 20)
#define HOLD_WAIT_MS   200
#define FINDING_PREFIX 8 /* characters of a finding's uid that name it, as `hinomi show` has it */

static json_t *held_encode(const struct held *held) {
        return json_pack("{s:i,s:I,s:I,s:s,s:o,s:o,s:o}", "pid", (int)held->pid, "start_ns",
                         (json_int_t)held->start_ns, "since_ns", (json_int_t)held->since_ns, "finding",
                         held->finding, "command", json_bytes(held->command), "executable",
                         json_bytes(held->executable), "tree", json_bytes(held->tree));
}

static int save(struct sentry *sentry) {
        char boot[PROCFS_BOOT_ID_SIZE];
        json_t *list = json_array();
        for (size_t i = 0; i < HELD_MAX; i++)
                if (sentry->held[i].pid)
                        json_array_append_new(list, held_encode(&sentry->held[i]));
        procfs_boot_id(boot);
        json_auto_t *file = json_pack("{s:i,s:s,s:o}", "format", 1, "boot", boot, "held", list);
        _cleanup_(freep) char *text = file ? json_dumps(file, JSON_INDENT(1)) : NULL;
        _cleanup_(fd_closep) int fd = open(sentry->context->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return !text ? -ENOMEM : fd < 0 ? -errno : io_replace_file(fd, FILE_NAME, text, strlen(text), 0600);
}

static char *raw_text(const char *text) {
        _cleanup_(buffer_deinit) struct buffer raw;
        buffer_init(&raw, FILE_BYTES_MAX);
        if (!text || text_from_utf8(&raw, text, strlen(text)) < 0)
                return NULL;
        return strndup(raw.data ?: "", raw.size);
}

static bool held_decode(const json_t *object, struct held *held) {
        const char *finding = json_get_string(object, "finding");
        *held = (struct held){
                .pid = (pid_t)json_get_integer(object, "pid", 0),
                .start_ns = (uint64_t)json_get_integer(object, "start_ns", 0),
                .since_ns = (uint64_t)json_get_integer(object, "since_ns", 0),
        };
        if (held->pid <= 1 || !held->start_ns || hold_is_held(held->pid, held->start_ns) != 1)
                return false;
        snprintf(held->finding, sizeof(held->finding), "%s", finding ?: "");
        held->command = raw_text(json_get_string(object, "command"));
        held->executable = raw_text(json_get_string(object, "executable"));
        held->tree = raw_text(json_get_string(object, "tree"));
        return true;
}

void held_load(struct sentry *sentry) {
        char boot[PROCFS_BOOT_ID_SIZE];
        _cleanup_(freep) char *path = NULL;
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, FILE_BYTES_MAX);
        if (asprintf(&path, "%s/%s", sentry->context->state, FILE_NAME) < 0 ||
            io_read_file(AT_FDCWD, path, &text) < 0)
                return;
        json_auto_t *file = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
        const char *of_boot = json_get_string(file, "boot");
        procfs_boot_id(boot);
        if (!of_boot || strcmp(of_boot, boot))
                return;
        size_t i, n = 0;
        json_t *object;
        json_array_foreach (json_object_get(file, "held"), i, object)
                if (n < HELD_MAX)
                        n += held_decode(object, &sentry->held[n]);
}

static void forget(struct held *held) {
        free(held->command);
        free(held->executable);
        free(held->tree);
        *held = (struct held){0};
}

/* NULL: as many as can be told of are held. */
static struct held *place_for(struct sentry *sentry, pid_t pid) {
        struct held *place = NULL;
        for (size_t i = 0; i < HELD_MAX; i++) {
                struct held *held = &sentry->held[i];
                if (held->pid == pid)
                        return held;
                if (!place && (!held->pid || hold_is_held(held->pid, held->start_ns) != 1))
                        place = held;
        }
        return place;
}

static char *copy_of(const char *text) {
        return text ? strdup(text) : NULL;
}

int held_add(struct sentry *sentry, const struct process *process, const struct tree *tree,
             const char *finding) {
        struct held *place = place_for(sentry, process->pid);
        if (!place)
                return -ENOSPC;
        forget(place);
        *place = (struct held){
                .pid = process->pid,
                .start_ns = process->start_ns,
                .since_ns = clock_wall_ns(&clock_system),
                .command = copy_of(process->command_line),
                .executable = copy_of(process->executable),
                .tree = copy_of(tree->config->path),
        };
        snprintf(place->finding, sizeof(place->finding), "%s", finding);
        (void)save(sentry); /* on a full disk it is known as long as this sentry lives */
        int r = hold_process(process->pid, process->start_ns, HOLD_WAIT_MS);
        if (r != HOLD_DONE && r != HOLD_UNVERIFIED) {
                forget(place);
                (void)save(sentry);
        }
        return r;
}

static json_t *describe(const struct held *held) {
        char id[16];
        snprintf(id, sizeof(id), "%d", (int)held->pid);
        return json_pack("{s:s,s:i,s:o,s:o,s:o,s:s,s:o}", "id", id, "pid", (int)held->pid, "command",
                         json_bytes(held->command), "executable", json_bytes(held->executable), "tree",
                         json_bytes(held->tree), "finding", held->finding, "since",
                         held->since_ns ? json_time(held->since_ns) : json_null());
}

json_t *held_describe(struct sentry *sentry) {
        json_t *list = json_array();
        for (size_t i = 0; i < HELD_MAX; i++) {
                struct held *held = &sentry->held[i];
                if (held->pid && hold_is_held(held->pid, held->start_ns) == 1)
                        json_array_append_new(list, describe(held));
        }
        return list;
}

static bool is_named(const struct held *held, const char *id) {
        char pid[16];
        snprintf(pid, sizeof(pid), "%d", (int)held->pid);
        return held->pid && (!id || !strcmp(id, pid) ||
                             (strlen(id) >= FINDING_PREFIX && !strncmp(id, held->finding, strlen(id))));
}

/* What was done to one: "resumed", "killed", "gone", "failed". `line` gets more members. */
typedef const char *(*held_act)(struct sentry *sentry, const struct held *held, json_t *line);

static const char *let_go(struct sentry *sentry, const struct held *held, json_t *line) {
        (void)line;
        char pid[16];
        snprintf(pid, sizeof(pid), "%d", (int)held->pid);
        int r = hold_resume(held->pid, held->start_ns, HOLD_WAIT_MS);
        report_action(sentry, held->finding, "resume", NULL, r == HOLD_DONE, r == HOLD_DONE, NULL, pid);
        return r == HOLD_GONE || r == -ESRCH ? "gone" : r == HOLD_DONE ? "resumed" : "failed";
}

struct lineage {
        struct sentry *sentry;
        const struct held *root;
};

static bool is_of_lineage(pid_t pid, void *userdata) {
        const struct lineage *lineage = userdata;
        return process_table_descends(lineage->sentry->processes, pid, lineage->root->pid,
                                      lineage->root->start_ns);
}

/* With what it started: that would go on without it. */
static const char *end_tree(struct sentry *sentry, const struct held *held, json_t *line) {
        struct lineage lineage = {sentry, held};
        struct stop_request request = {.root = held->pid,
                                       .start_ns = held->start_ns,
                                       .belongs = is_of_lineage,
                                       .userdata = &lineage,
                                       .by_hand = true};
        struct stop_result result = {0};
        char detail[160];
        int r = stop_tree(&request, &result);
        bool is_done = r == 0 && result.verified;
        json_object_set_new(line, "n_killed", json_integer((json_int_t)result.n_killed));
        json_object_set_new(line, "n_left", json_integer((json_int_t)result.n_left));
        snprintf(detail, sizeof(detail), "pid %d: %zu killed, %zu left, %zu spared%s%s", (int)held->pid,
                 result.n_killed, result.n_left, result.n_spared, r < 0 ? ": " : "",
                 r < 0 ? strerror(-r) : "");
        report_action(sentry, held->finding, "kill", NULL, is_done, is_done, NULL, detail);
        return !is_done ? "failed" : result.n_killed ? "killed" : "gone";
}

static size_t act_on(struct sentry *sentry, const char *id, held_act act, held_line line, void *userdata,
                     size_t *ret_n_failed) {
        size_t n = 0, n_failed = 0;
        for (size_t i = 0; i < HELD_MAX; i++) {
                struct held *held = &sentry->held[i];
                if (!is_named(held, id))
                        continue;
                json_t *answer = json_pack("{s:i,s:o}", "pid", (int)held->pid, "command_line",
                                           json_bytes(held->command));
                const char *result = act(sentry, held, answer);
                bool is_failed = !strcmp(result, "failed");
                json_object_set_new(answer, "result", json_string(result));
                if (line)
                        line(sentry, answer, userdata);
                else
                        json_decref(answer);
                n++;
                n_failed += is_failed;
                if (!is_failed || hold_is_held(held->pid, held->start_ns) != 1)
                        forget(held);
        }
        if (n)
                (void)save(sentry);
        if (ret_n_failed)
                *ret_n_failed = n_failed;
        return n;
}

size_t held_resume(struct sentry *sentry, const char *id, held_line line, void *userdata,
                   size_t *ret_n_failed) {
        return act_on(sentry, id, let_go, line, userdata, ret_n_failed);
}

static const struct tree *tree_at(const struct sentry *sentry, const char *path) {
        for (size_t i = 0; path && i < sentry->n_trees; i++)
                if (!strcmp(sentry->trees[i].config->path, path))
                        return &sentry->trees[i];
        return NULL;
}

/* That it is trusted now, with the caution that belongs to an interpreter. Takes the grant's line. */
static json_t *trusted_line(const struct held *held, json_t *trust) {
        bool interprets = json_is_true(json_object_get(trust, "interprets"));
        json_t *line = json_pack("{s:i,s:o,s:s,s:O,s:O,s:b}", "pid", (int)held->pid, "command_line",
                                 json_bytes(held->command), "result", "trusted", "trust",
                                 json_object_get(trust, "id"), "end", json_object_get(trust, "end"),
                                 "interprets", interprets);
        if (interprets)
                json_object_set_new(line, "detail",
                                    json_string(N_("an interpreter: every script that it runs is trusted")));
        json_decref(trust);
        return line;
}

const char *held_trust(struct sentry *sentry, const char *id, const struct trust_wish *wish, held_line line,
                       void *userdata) {
        const struct held *held = NULL;
        for (size_t i = 0; i < HELD_MAX; i++) {
                const struct held *other = &sentry->held[i];
                if (!is_named(other, id) || hold_is_held(other->pid, other->start_ns) != 1)
                        continue;
                if (held) /* the shell that started it, say: nobody means to trust every script */
                        return N_("several are held under that ID: trust one, by its process id");
                held = other;
        }
        if (!held)
                return NULL;
        char reason[96];
        snprintf(reason, sizeof(reason), "was held as process %d, finding %s", (int)held->pid, held->finding);
        struct trust_wish whole = *wish;
        whole.pid = held->pid;
        whole.tree = tree_at(sentry, held->tree);
        whole.reason = reason;
        if (!whole.tree)
                return N_("the tree that it was held for is not guarded any more");
        json_t *trust = NULL;
        const char *error = trust_give(sentry, &whole, &trust);
        if (!error)
                line(sentry, trusted_line(held, trust), userdata);
        return error;
}

size_t held_kill(struct sentry *sentry, const char *id, held_line line, void *userdata,
                 size_t *ret_n_failed) {
        return act_on(sentry, id, end_tree, line, userdata, ret_n_failed);
}

void held_close(struct sentry *sentry) {
        for (size_t i = 0; i < HELD_MAX; i++) {
                struct held *held = &sentry->held[i];
                if (held->pid && sentry->is_stopping && hold_is_held(held->pid, held->start_ns) == 1) {
                        json_auto_t *command = json_bytes(held->command ?: "?");
                        fprintf(stderr,
                                _("hinomi: process %d is still held; `kill -CONT %d` lets it go on, or "
                                  "`hinomi resume %d` when hinomi runs again: "),
                                (int)held->pid, (int)held->pid, (int)held->pid);
                        output_path(stderr, json_string_value(command), 8);
                        fputc('\n', stderr);
                }
                forget(held);
        }
}
