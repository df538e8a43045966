/*
 * The assayer: says what content means. It is handed descriptors, reads them, and answers; it
 * can open nothing, connect to nothing and start nothing, so that a crash or a take-over by
 * the bytes it parses is worth nothing.
 *
 *   {"type":"assay","id","name","zone","before":bool,"want_diff":bool} + [after, before?]
 *     → {"type":"assayed","id","digest","content":{…}} or {"type":"assayed","id","error":"…"}
 *       digest: SHA-256 of what was examined, absent where that was not the whole file
 *   {"type":"hosts","id","name"} + [file] → {"type":"hosts","id","hosts":[…]}
 *   {"type":"compare","id","before":bool} + [after, before?]
 *     → {"type":"compared","id","signs":{…}} (detect/ransom/signs.h) or {"type":"compared","id","error":"…"}
 *
 * Limits: RANSOM_CONTENT_BYTES of each file that is compared; else CONTENT_BYTES_MAX (past that head and tail, and where PHP begins in between), MEMORY_MAX
 * in all.
 */
#include <grp.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/io.h"
#include "base/message.h"
#include "base/sandbox.h"
#include "detect/ransom/content.h"
#include "detect/tamper/content.h"
#include "detect/tamper/media.h"
#include "event/json.h"
#include "roles/role.h"

#define MEMORY_MAX   ((size_t)320 << 20)
#define TAIL_BYTES   ((size_t)8 << 20)
#define WINDOW_BYTES ((size_t)1 << 20)
#define FOUND_BYTES  ((size_t)64 << 10)
#define MIDDLE_MAX   ((size_t)128 << 20) /* PHP itself reads no more into its memory, as it is shipped */
#define TRIM_BYTES   ((size_t)1 << 20)
#define THRESHOLD_MB 256

struct bytes {
        unsigned char *data; /* owned; NULL: none */
        size_t size;
        bool is_partial; /* head and tail */
};

/* What is made before the sandbox closes: the library reads files for it. */
struct tools {
        struct content_rules *rules;
        struct digester *digester;
};

static void bytes_deinit(struct bytes *bytes) {
        free(STEAL(bytes->data));
}

/* --- before the sandbox closes --- */

static int drop_privileges(void) {
        struct role_user user;
        if (geteuid() != 0)
                return 0;
        int r = role_user(ROLE_ASSAYER, &user);
        if (r < 0)
                return r;
        if (setgroups(0, NULL) < 0 || setresgid(user.gid, user.gid, user.gid) < 0 ||
            setresuid(user.uid, user.uid, user.uid) < 0)
                return -errno;
        return 0;
}

static void limit_resources(void) {
        static const struct {
                int resource;
                rlim_t most;
        } limits[] = {{RLIMIT_DATA, MEMORY_MAX},
                      {RLIMIT_CORE, 0},
                      {RLIMIT_NPROC, 0},
                      {RLIMIT_FSIZE, 0},
                      {RLIMIT_NOFILE, 64}};
        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
                struct rlimit limit = {.rlim_cur = limits[i].most, .rlim_max = limits[i].most};
                if (setrlimit(limits[i].resource, &limit) < 0)
                        fprintf(stderr, "assayer: cannot set limit %d: %s\n", limits[i].resource,
                                strerror(errno));
        }
        /* large buffers go back to the kernel when they are freed */
        mallopt(M_MMAP_THRESHOLD, THRESHOLD_MB << 10);
        mallopt(M_TRIM_THRESHOLD, THRESHOLD_MB << 10);
        prctl(PR_SET_DUMPABLE, 0);
}

static int enter_sandbox(void) {
        int r = drop_privileges();
        if (r < 0) {
                fprintf(stderr, "assayer: cannot become its own user: %s\n", strerror(-r));
                return r;
        }
        limit_resources();
        r = sandbox_enter_pure();
        if (r < 0)
                fprintf(stderr, "assayer: seccomp refused the sandbox: %s\n", strerror(-r));
        return r;
}

static int load_rules(const char *packs, struct content_rules **ret_rules) {
        _cleanup_(freep) char *error = NULL;
        int r = content_rules_load(packs, ret_rules, &error);
        if (r < 0)
                fprintf(stderr, "assayer: no YARA rules from %s/yara: %s\n", packs, error ?: strerror(-r));
        return r;
}

/* --- requests --- */

/* Where PHP begins between two offsets; `end`: nowhere. Windows overlap, so that no tag falls between two. */
static size_t find_php(int fd, size_t begin, size_t end) {
        _cleanup_(freep) unsigned char *window = malloc(WINDOW_BYTES);
        size_t last = end - begin > MIDDLE_MAX ? begin + MIDDLE_MAX : end;
        for (size_t at = begin; window && at < last; at += WINDOW_BYTES - FOUND_BYTES) {
                size_t wanted = end - at < WINDOW_BYTES ? end - at : WINDOW_BYTES;
                ssize_t n = io_pread_full(fd, window, wanted, at);
                if (n <= 0)
                        return end;
                size_t found = media_find_php((struct view){window, (size_t)n}, 0, TAGS_IN_BYTES);
                if (found != SIZE_MAX)
                        return at + found;
                if ((size_t)n < wanted)
                        break;
        }
        return end;
}

/*
 * Head and tail of what is too large: payloads are put at an end, since the middle of a large file is data. But a
 * program may stand anywhere: what begins in between takes the place of the head's last bytes.
 */
static int read_bytes(int fd, struct bytes *ret_bytes) {
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return -EBADF;
        size_t whole = (size_t)st.st_size, size = whole < CONTENT_BYTES_MAX ? whole : CONTENT_BYTES_MAX;
        size_t tail = whole > size ? TAIL_BYTES : 0;
        _cleanup_(bytes_deinit) struct bytes bytes = {.data = malloc(size + 1)};
        if (!bytes.data)
                return -ENOMEM;
        ssize_t n = io_pread_full(fd, bytes.data, size - tail, 0);
        if (n < 0)
                return (int)n;
        bytes.size = (size_t)n;
        size_t php = tail ? find_php(fd, bytes.size, whole - tail) : whole - tail;
        if (php < whole - tail) {
                n = io_pread_full(fd, bytes.data + bytes.size - FOUND_BYTES, FOUND_BYTES, php);
                if (n < 0)
                        return (int)n;
        }
        if (tail) {
                n = io_pread_full(fd, bytes.data + bytes.size, tail, whole - tail);
                if (n < 0)
                        return (int)n;
                bytes.size += (size_t)n;
        }
        ret_bytes->size = bytes.size;
        ret_bytes->is_partial = tail > 0;
        ret_bytes->data = STEAL(bytes.data);
        return 0;
}

static enum zone zone_parse(const char *name) {
        for (enum zone zone = ZONE_NONE; name && zone <= ZONE_IGNORED; zone++)
                if (!strcmp(name, zone_name(zone)))
                        return zone;
        return ZONE_CODE;
}

/* What was examined, so that nobody takes it for what stands there a moment later. */
static void add_digest(struct digester *digester, const struct bytes *bytes, json_t *reply) {
        struct digest digest;
        char text[DIGEST_HEX_SIZE];
        if (bytes->is_partial || digester_begin(digester) < 0 ||
            digester_update(digester, bytes->data, bytes->size) < 0 || digester_end(digester, &digest) < 0)
                return;
        digest_format(&digest, text);
        json_object_set_new(reply, "digest", json_string(text));
}

static int assay(const struct tools *tools, struct message *message, json_t *reply) {
        const json_t *body = message->body;
        _cleanup_(bytes_deinit) struct bytes after = {0}, before = {0};
        _cleanup_(fd_closep) int after_fd = message_take_fd(message, 0),
                                 before_fd = message_take_fd(message, 1);
        int r = read_bytes(after_fd, &after);
        if (r >= 0 && json_is_true(json_object_get(body, "before")))
                r = read_bytes(before_fd, &before);
        if (r < 0)
                return r;
        struct content_request request = {
                .name = json_get_string(body, "name") ?: "",
                .zone = zone_parse(json_get_string(body, "zone")),
                .before = before.data,
                .before_size = before.size,
                .after = after.data,
                .after_size = after.size,
                .want_diff = json_is_true(json_object_get(body, "want_diff")),
        };
        json_t *content = content_assay(tools->rules, &request);
        if (!content)
                return -ENOMEM;
        if (after.is_partial && json_is_false(json_object_get(content, "php")))
                json_object_del(content, "php"); /* nobody looked at its middle */
        json_object_set_new(reply, "content", content);
        add_digest(tools->digester, &after, reply);
        return after.size + before.size > TRIM_BYTES;
}

static int find_hosts(const struct tools *tools _unused_, struct message *message, json_t *reply) {
        const json_t *body = message->body;
        _cleanup_(bytes_deinit) struct bytes file = {0};
        _cleanup_(fd_closep) int fd = message_take_fd(message, 0);
        int r = read_bytes(fd, &file);
        if (r < 0)
                return r;
        json_t *hosts = content_hosts(json_get_string(body, "name") ?: "", file.data, file.size);
        json_object_set_new(reply, "hosts", hosts);
        return hosts ? file.size > TRIM_BYTES : -ENOMEM;
}

/* --- lost or not --- */

/* The beginning, and what lies at `places`. */
static int read_samples(int fd, const uint64_t *places, size_t n_places, struct bytes *ret_bytes,
                        struct ransom_content *ret_content) {
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return -EBADF;
        uint64_t whole = (uint64_t)st.st_size;
        size_t head = whole < RANSOM_HEAD_BYTES ? (size_t)whole : RANSOM_HEAD_BYTES;
        _cleanup_(bytes_deinit) struct bytes bytes = {
                .data = malloc(head + n_places * RANSOM_SAMPLE_BYTES + 1)};
        if (!bytes.data)
                return -ENOMEM;
        ssize_t n = io_pread_full(fd, bytes.data, head, 0);
        if (n < 0)
                return (int)n;
        if ((size_t)n < head)
                whole = (uint64_t)n; /* cut off meanwhile */
        head = bytes.size = (size_t)n;
        for (size_t i = 0; i < n_places && whole > head; i++, bytes.size += RANSOM_SAMPLE_BYTES) {
                n = io_pread_full(fd, bytes.data + bytes.size, RANSOM_SAMPLE_BYTES, places[i]);
                if (n != (ssize_t)RANSOM_SAMPLE_BYTES)
                        break;
        }
        *ret_content = (struct ransom_content){{bytes.data, bytes.size}, head, whole};
        ret_bytes->data = STEAL(bytes.data);
        ret_bytes->size = bytes.size;
        return 0;
}

static uint64_t size_of(int fd) {
        struct stat st;
        return fd >= 0 && fstat(fd, &st) >= 0 ? (uint64_t)st.st_size : 0;
}

static int compare(const struct tools *tools _unused_, struct message *message, json_t *reply) {
        _cleanup_(bytes_deinit) struct bytes after = {0}, before = {0};
        _cleanup_(fd_closep) int after_fd = message_take_fd(message, 0),
                                 before_fd = message_take_fd(message, 1);
        struct ransom_request request = {.has_before =
                                                 json_is_true(json_object_get(message->body, "before"))};
        struct ransom_signs signs;
        uint64_t places[RANSOM_SAMPLES_MAX], size = size_of(after_fd);
        size_t n_places;
        if (getrandom(&request.seed, sizeof(request.seed), 0) != sizeof(request.seed))
                return -errno;
        if (request.has_before && size_of(before_fd) < size)
                size = size_of(before_fd);
        ransom_places(size, request.seed, places, &n_places);
        int r = read_samples(after_fd, places, n_places, &after, &request.after);
        if (r >= 0 && request.has_before)
                r = read_samples(before_fd, places, n_places, &before, &request.before);
        if (r < 0)
                return r;
        ransom_compare(&request, &signs);
        json_t *json = ransom_signs_encode(&signs);
        json_object_set_new(reply, "signs", json);
        return json ? after.size + before.size > TRIM_BYTES : -ENOMEM;
}

static const struct request {
        const char *type, *reply;
        int (*answer)(const struct tools *tools, struct message *message,
                      json_t *reply); /* > 0: took much memory */
} requests[] = {
        {"assay", "assayed", assay},
        {"hosts", "hosts", find_hosts},
        {"compare", "compared", compare},
};

static json_t *answer(const struct tools *tools, struct message *message) {
        const json_t *body = message->body;
        const char *type = json_get_string(body, "type");
        const struct request *request = NULL;
        for (size_t i = 0; type && i < ARRAY_SIZE(requests); i++)
                if (!strcmp(type, requests[i].type))
                        request = &requests[i];
        if (!request)
                return NULL;
        json_t *reply = json_pack("{s:s,s:O?}", "type", request->reply, "id", json_object_get(body, "id"));
        int r = request->answer(tools, message, reply);
        if (r < 0)
                json_object_set_new(reply, "error", json_string(strerror(-r)));
        if (r != 0)
                malloc_trim(0);
        return reply;
}

static int send_whole(int socket_fd, const json_t *body) {
        int r;
        while ((r = message_send(socket_fd, body, NULL, 0)) == -EAGAIN) {
                struct pollfd wait = {.fd = socket_fd, .events = POLLOUT};
                poll(&wait, 1, -1);
        }
        return r;
}

/* Returns 0, -EPIPE when the peer is gone or says to stop, or another negative errno. */
static int serve(const struct tools *tools, int socket_fd) {
        _cleanup_(message_deinit) struct message message;
        int r = message_receive(socket_fd, &message);
        if (r < 0)
                return r == -EPIPE ? r : 0;
        const char *type = json_get_string(message.body, "type");
        if (type && !strcmp(type, "stop"))
                return -EPIPE;
        json_t *reply = answer(tools, &message);
        if (!reply)
                return 0;
        r = send_whole(socket_fd, reply);
        json_decref(reply);
        return r;
}

static int loop(const struct role_context *context, const struct tools *tools) {
        struct pollfd polls[] = {
                {.fd = context->peers[ROLE_SENTRY], .events = POLLIN},
                {.fd = context->peers[ROLE_PARENT], .events = POLLIN},
        };
        for (;;) {
                if (poll(polls, ARRAY_SIZE(polls), -1) < 0 && errno != EINTR)
                        return -errno;
                for (size_t i = 0; i < ARRAY_SIZE(polls); i++) {
                        if (polls[i].revents && serve(tools, polls[i].fd) == -EPIPE)
                                return 0;
                        polls[i].revents = 0;
                }
        }
}

static int run(const struct role_context *context, struct tools *tools) {
        int r = load_rules(context->packs, &tools->rules);
        if (r < 0)
                return r;
        tools->digester = digester_new();
        if (!tools->digester)
                return -ENOMEM;
        malloc_trim(0); /* the compiler of rules leaves more behind than the rules take */
        r = enter_sandbox();
        if (r < 0)
                return r;
        json_t *ready = json_pack("{s:s}", "type", "ready");
        if (context->peers[ROLE_PARENT] >= 0)
                send_whole(context->peers[ROLE_PARENT], ready);
        json_decref(ready);
        return loop(context, tools);
}

int role_assayer_run(const struct role_context *context) {
        struct tools tools = {0};
        int r = run(context, &tools);
        digester_free(tools.digester);
        content_rules_free(tools.rules);
        return r;
}
