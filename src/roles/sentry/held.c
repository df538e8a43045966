/*
 * Processes that are held, known to every sentry of this boot: a held process stays held when the sentry dies and
 * when the guard ends, so that neither a crash nor an upgrade lets a re-infecting process go on. Who ends the guard is
 * told how to let it go.
 *
 *   STATE/vault/held.json   format, boot, held: [{pid, start_ns, finding, command}]
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
#include "roles/sentry/sentry.h"

#define FILE_NAME      "vault/held.json"
#define FILE_BYTES_MAX ((size_t)1 << 20)
#define HOLD_WAIT_MS   200

static json_t *held_encode(const struct held *held) {
        return json_pack("{s:i,s:I,s:s,s:o}", "pid", (int)held->pid, "start_ns", (json_int_t)held->start_ns,
                         "finding", held->finding, "command", json_bytes(held->command));
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
        };
        if (held->pid <= 1 || !held->start_ns || hold_is_held(held->pid, held->start_ns) != 1)
                return false;
        snprintf(held->finding, sizeof(held->finding), "%s", finding ?: "");
        held->command = raw_text(json_get_string(object, "command"));
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

int held_add(struct sentry *sentry, pid_t pid, uint64_t start_ns, const char *command, const char *finding) {
        struct held *place = place_for(sentry, pid);
        if (!place)
                return -ENOSPC;
        forget(place);
        *place = (struct held){pid, start_ns, "", command ? strdup(command) : NULL};
        snprintf(place->finding, sizeof(place->finding), "%s", finding);
        (void)save(sentry); /* on a full disk it is known as long as this sentry lives */
        int r = hold_process(pid, start_ns, HOLD_WAIT_MS);
        if (r != HOLD_DONE && r != HOLD_UNVERIFIED) {
                forget(place);
                (void)save(sentry);
        }
        return r;
}

json_t *held_describe(struct sentry *sentry) {
        json_t *list = json_array();
        for (size_t i = 0; i < HELD_MAX; i++) {
                struct held *held = &sentry->held[i];
                if (held->pid && hold_is_held(held->pid, held->start_ns) == 1)
                        json_array_append_new(list,
                                              json_pack("{s:i,s:o,s:s}", "pid", (int)held->pid, "command",
                                                        json_bytes(held->command), "finding", held->finding));
        }
        return list;
}

size_t held_resume(struct sentry *sentry, const char *id, held_resumed resumed, void *userdata) {
        size_t n = 0;
        for (size_t i = 0; i < HELD_MAX; i++) {
                struct held *held = &sentry->held[i];
                char pid[16];
                snprintf(pid, sizeof(pid), "%d", (int)held->pid);
                if (!held->pid || (id && strcmp(id, pid) && strncmp(id, held->finding, strlen(id))))
                        continue;
                int r = hold_resume(held->pid, held->start_ns, HOLD_WAIT_MS);
                const char *result = r == HOLD_GONE || r == -ESRCH ? "gone"
                                     : r == HOLD_DONE              ? "resumed"
                                                                   : "failed";
                if (resumed)
                        resumed(sentry, held->pid, held->command, result, userdata);
                report_action(sentry, held->finding, "resume", NULL, r == HOLD_DONE, r == HOLD_DONE, NULL,
                              pid);
                forget(held);
                n++;
        }
        if (n)
                (void)save(sentry);
        return n;
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
