/*
 * Trust as people grant it: the image's bytes are hashed here, from the file or from /proc/PID/exe, so that what is
 * trusted is what runs and not what a path or a caller says. Each grant and each end of one is an entry of the ledger:
 *
 *   {"kind":"trust","trust":{…as in the answer to "trusts", "state":"granted|revoked|expired", "by":actor?, "undo"?}}
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/i18n.h"
#include "base/text.h"
#include "event/json.h"
#include "register/trust.h"
#include "roles/sentry/sentry.h"

#define IMAGE_BYTES_MAX ((off_t)1 << 30) /* nothing else is done while it is read */

static json_t *describe(const struct trust *trust) {
        char image[DIGEST_HEX_SIZE];
        digest_format(&trust->image, image);
        return json_pack("{s:s,s:s,s:o,s:o,s:s,s:b,s:o,s:o}", "id", trust->uid, "image", image, "program",
                         json_bytes(trust->program), "tree", json_bytes(trust->path), "reason", trust->reason,
                         "interprets", trust->interprets, "begin", json_time(trust->begin_ns), "end",
                         json_time(trust->end_ns));
}

static int record(struct sentry *sentry, const struct trust *trust, const char *state, pid_t client) {
        _cleanup_(actor_freep) struct actor *actor =
                client > 0 ? process_table_actor(sentry->processes, client) : NULL;
        json_t *object = describe(trust);
        if (!object)
                return -ENOMEM;
        json_object_set_new(object, "state", json_string(state));
        if (actor && actor->n_processes)
                json_object_set_new(object, "by", actor_encode(actor));
        if (!strcmp(state, "granted")) {
                char undo[64];
                snprintf(undo, sizeof(undo), "hinomi trust revoke %s", trust->uid);
                json_object_set_new(object, "undo", json_string(undo));
        }
        return outbox_append(sentry, json_pack("{s:s,s:o}", "kind", "trust", "trust", object), NULL, NULL);
}

/* NULL, or why it is nothing to trust (msgid). */
static const char *read_image(int fd, struct digest *ret_image) {
        struct stat st;
        char magic[4] = "";
        uint64_t size;
        if (fd < 0 || fstat(fd, &st) < 0)
                return N_("there is no such program, or nothing runs under that process id");
        if (!S_ISREG(st.st_mode) || st.st_size > IMAGE_BYTES_MAX ||
            pread(fd, magic, sizeof(magic), 0) != (ssize_t)sizeof(magic))
                return N_("that is no program");
        if (!memcmp(magic, "#!", 2))
                return N_("a script is run by its interpreter, and trust is given to what runs: name the "
                          "interpreter, and mind that it runs every script");
        if (memcmp(magic, "\177ELF", sizeof(magic)) != 0)
                return N_("that is no program");
        _cleanup_(digester_freep) struct digester *digester = digester_new();
        int r = digester ? digester_file(digester, fd, ret_image, &size) : -ENOMEM;
        return r < 0 ? N_("the program could not be read") : NULL;
}

static int open_image(const struct trust_wish *wish, char ret_program[static TRUST_PATH_MAX]) {
        char link[40];
        int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        if (wish->program) {
                int n = snprintf(ret_program, TRUST_PATH_MAX, "%s", wish->program);
                return n >= TRUST_PATH_MAX ? -ENAMETOOLONG : open(ret_program, flags);
        }
        snprintf(link, sizeof(link), "/proc/%d/exe", (int)wish->pid);
        ssize_t n = readlink(link, ret_program, TRUST_PATH_MAX - 1);
        if (n <= 0)
                return -ESRCH;
        ret_program[n] = '\0';
        return open(link, flags);
}

const char *trust_give(struct sentry *sentry, const struct trust_wish *wish, json_t **ret_line) {
        char program[TRUST_PATH_MAX] = "";
        uint64_t now_ns = clock_wall_ns(&clock_system);
        struct trust grant = {
                .tree = wish->tree->id,
                .path = wish->tree->config->path,
                .program = program,
                .reason = (char *)wish->reason,
                .begin_ns = now_ns,
                .end_ns = now_ns + wish->time_ns,
        };
        _cleanup_(fd_closep) int fd = open_image(wish, program);
        const char *error = read_image(fd, &grant.image);
        if (error)
                return error;
        grant.interprets = trust_interprets(program);
        const struct trust *trust = NULL;
        int r = trust_grant(sentry->trusts, &grant, &trust);
        if (r == -EINVAL)
                return N_("a grant needs a reason: one line, of at most 500 bytes");
        if (r == -ERANGE)
                return N_("a grant needs an end, at most a year away");
        if (r == -ENOSPC)
                return N_("too many grants hold: revoke one first");
        if (r < 0)
                return N_("the grant could not be kept");
        if (record(sentry, trust, "granted", wish->client) < 0) {
                (void)trust_revoke(sentry->trusts, trust->uid, NULL, NULL);
                return N_("the grant could not be recorded, and does not hold");
        }
        if (ret_line)
                *ret_line = describe(trust);
        return NULL;
}

bool trust_covers(struct sentry *sentry, const struct process *process, const struct tree *tree) {
        struct digest image;
        return trusts_get(sentry->trusts, 0) && images_digest(sentry->images, process, &image) == 0 &&
               trust_holds(sentry->trusts, &image, tree->id, clock_wall_ns(&clock_system));
}

/* NULL: it names none, or there are several to choose from. */
static const struct tree *tree_named(struct sentry *sentry, const char *path) {
        if (!path)
                return sentry->n_trees == 1 ? &sentry->trees[0] : NULL;
        for (size_t i = 0; i < sentry->n_trees; i++)
                if (!strcmp(sentry->trees[i].config->path, path))
                        return &sentry->trees[i];
        return NULL;
}

uint64_t trust_time_ns(json_int_t milliseconds) {
        bool is_sane = milliseconds > 0 && (uint64_t)milliseconds <= TRUST_TIME_MAX_NS / NS_PER_MS;
        return is_sane ? (uint64_t)milliseconds * NS_PER_MS : 0;
}

void trust_request_add(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        _cleanup_(freep) char *program = take_path(json_object_get(request, "path"));
        _cleanup_(freep) char *path = take_path(json_object_get(request, "tree"));
        json_int_t pid = json_get_integer(request, "pid", 0), time_ms = json_get_integer(request, "for", 0);
        struct trust_wish wish = {
                .program = program,
                .pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0,
                .tree = tree_named(sentry, path),
                .reason = json_get_string(request, "reason"),
                .time_ns = trust_time_ns(time_ms),
                .client = client,
        };
        if (!wish.tree) {
                answer_end(sentry, id, 2, N_("which tree? --tree names one as the configuration does"));
                return;
        }
        json_t *line = NULL;
        const char *error = trust_give(sentry, &wish, &line);
        if (!error)
                answer_line(sentry, id, line);
        answer_end(sentry, id, error ? 1 : 0, error);
}

void trust_request_list(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        (void)request, (void)client;
        const struct trust *trust;
        trust_tick(sentry);
        for (size_t i = 0; (trust = trusts_get(sentry->trusts, i)); i++)
                answer_line(sentry, id, describe(trust));
        answer_end(sentry, id, 0, NULL);
}

struct ending {
        struct sentry *sentry;
        const char *state;
        pid_t client;
        json_t *line;
};

static void note_end(const struct trust *trust, void *userdata) {
        struct ending *ending = userdata;
        (void)record(ending->sentry, trust, ending->state, ending->client);
        json_decref(ending->line);
        ending->line = describe(trust);
}

void trust_request_revoke(struct sentry *sentry, uint64_t id, const json_t *request, pid_t client) {
        struct ending ending = {sentry, "revoked", client, NULL};
        const char *uid = json_get_string(request, "id");
        int r = trust_revoke(sentry->trusts, uid ?: "", note_end, &ending);
        if (ending.line)
                answer_line(sentry, id, ending.line);
        answer_end(sentry, id,
                   r == 0         ? 0
                   : r == -ENOENT ? 1
                                  : 3,
                   r == 0 ? NULL
                   : r == -ENOENT
                           ? N_("there is no such grant: `hinomi trust list` shows them")
                           : N_("the grant has ended, but that could not be kept yet, and is tried again: "
                                "see the disk that holds the state directory"));
}

void trust_tick(struct sentry *sentry) {
        struct ending ending = {sentry, "expired", 0, NULL};
        trusts_expire(sentry->trusts, clock_wall_ns(&clock_system), note_end, &ending);
        json_decref(ending.line);
}
