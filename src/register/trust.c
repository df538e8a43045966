#include "register/trust.h"

#include <ctype.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/buffer.h"
#include "base/io.h"
#include "base/text.h"
#include "event/json.h"

#define FILE_NAME "trust.json"

struct trusts {
        pthread_mutex_t *lock; /* over items and n; by pointer, since to ask changes nothing */
        int directory_fd;      /* STATE/vault */
        bool is_unsaved;       /* the end of one could not be kept yet */
        size_t n;
        struct trust items[TRUSTS_MAX];
};

void trust_deinit(struct trust *trust) {
        free(trust->path);
        free(trust->program);
        free(trust->reason);
        *trust = (struct trust){0};
}

static bool is_reason(const char *text) {
        size_t size = text ? strlen(text) : 0;
        if (!size || size > TRUST_REASON_MAX || !text_is_utf8(text, size))
                return false;
        for (size_t i = 0; i < size; i++)
                if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
                        return false;
        return true;
}

static bool is_time(uint64_t begin_ns, uint64_t end_ns) {
        return begin_ns < end_ns && end_ns - begin_ns <= TRUST_TIME_MAX_NS;
}

static bool is_uid(const char *uid) {
        return uid && strlen(uid) == TRUST_UID_SIZE - 2 && !strncmp(uid, "trust-", 6) &&
               strspn(uid + 6, "0123456789abcdef") == TRUST_UID_SIZE - 8;
}

/* Raw bytes of a path (owned), or NULL. */
static char *take_path(const char *text) {
        _cleanup_(buffer_deinit) struct buffer raw;
        buffer_init(&raw, TRUST_PATH_MAX);
        if (!text || text_from_utf8(&raw, text, strlen(text)) < 0 || !raw.size)
                return NULL;
        return strndup(raw.data, raw.size);
}

static int decode(const json_t *object, struct trust *ret_trust) {
        const char *uid = json_get_string(object, "uid"), *image = json_get_string(object, "image"),
                   *reason = json_get_string(object, "reason");
        json_int_t begin_ns = json_get_integer(object, "begin_ns", -1),
                   end_ns = json_get_integer(object, "end_ns", -1);
        struct trust trust = {.tree = json_get_integer(object, "tree", 0),
                              .interprets = json_is_true(json_object_get(object, "interprets")),
                              .begin_ns = (uint64_t)begin_ns,
                              .end_ns = (uint64_t)end_ns};
        if (!is_uid(uid) || !image || digest_parse(image, &trust.image) < 0 || trust.tree <= 0 ||
            !is_reason(reason) || begin_ns < 0 || end_ns < 0 || !is_time(trust.begin_ns, trust.end_ns))
                return -EBADMSG;
        memcpy(trust.uid, uid, strlen(uid) + 1);
        trust.path = take_path(json_get_string(object, "path"));
        trust.program = take_path(json_get_string(object, "program"));
        trust.reason = strdup(reason);
        if (!trust.path || !trust.program || !trust.reason) {
                trust_deinit(&trust);
                return -EBADMSG;
        }
        *ret_trust = trust;
        return 0;
}

static ssize_t find(const struct trust *items, size_t n, const char *uid) {
        for (size_t i = 0; i < n; i++)
                if (!strcmp(items[i].uid, uid))
                        return (ssize_t)i;
        return -1;
}

int trusts_decode(const char *text, size_t size, struct trust ret_items[static TRUSTS_MAX]) {
        json_auto_t *file = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        const json_t *list = json_object_get(file, "trusts"), *object;
        size_t i, n = 0;
        if (json_get_integer(file, "format", 0) != 1 || !json_is_array(list))
                return -EBADMSG;
        json_array_foreach (list, i, object) {
                if (n == TRUSTS_MAX || decode(object, &ret_items[n]) < 0)
                        continue;
                if (find(ret_items, n, ret_items[n].uid) >= 0)
                        trust_deinit(&ret_items[n]);
                else
                        n++;
        }
        return (int)n;
}

static json_t *encode(const struct trust *trust) {
        char image[DIGEST_HEX_SIZE];
        digest_format(&trust->image, image);
        return json_pack("{s:s,s:s,s:I,s:o,s:o,s:s,s:b,s:I,s:I}", "uid", trust->uid, "image", image, "tree",
                         (json_int_t)trust->tree, "path", json_bytes(trust->path), "program",
                         json_bytes(trust->program), "reason", trust->reason, "interprets", trust->interprets,
                         "begin_ns", (json_int_t)trust->begin_ns, "end_ns", (json_int_t)trust->end_ns);
}

char *trusts_encode(const struct trust *items, size_t n) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, encode(&items[i]));
        json_auto_t *file = json_pack("{s:i,s:o}", "format", 1, "trusts", list);
        return file ? json_dumps(file, JSON_INDENT(1)) : NULL;
}

static int keep(const struct trusts *trusts, size_t n) {
        _cleanup_(freep) char *text = trusts_encode(trusts->items, n);
        return text ? io_replace_file(trusts->directory_fd, FILE_NAME, text, strlen(text), 0600) : -ENOMEM;
}

static int save(struct trusts *trusts) {
        int r = keep(trusts, trusts->n);
        trusts->is_unsaved = r < 0;
        return r;
}

static int load(struct trusts *trusts) {
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, TRUST_FILE_BYTES_MAX);
        int r = io_read_file(trusts->directory_fd, FILE_NAME, &text);
        if (r == -ENOENT)
                return 0;
        r = r < 0 ? r : trusts_decode(text.data ?: "", text.size, trusts->items);
        if (r < 0)
                return 1;
        trusts->n = (size_t)r;
        return 0;
}

int trusts_open(const char *state, struct trusts **ret_trusts) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof(path), "%s/vault", state) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        _cleanup_(trusts_closep) struct trusts *trusts = calloc(1, sizeof(*trusts));
        if (!trusts)
                return -ENOMEM;
        trusts->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (trusts->directory_fd < 0)
                return -errno;
        trusts->lock = malloc(sizeof(*trusts->lock));
        if (!trusts->lock)
                return -ENOMEM;
        pthread_mutex_init(trusts->lock, NULL);
        int r = load(trusts);
        *ret_trusts = STEAL(trusts);
        return r;
}

struct trusts *trusts_close(struct trusts *trusts) {
        if (!trusts)
                return NULL;
        for (size_t i = 0; i < trusts->n; i++)
                trust_deinit(&trusts->items[i]);
        if (trusts->lock)
                pthread_mutex_destroy(trusts->lock);
        free(trusts->lock);
        fd_closep(&trusts->directory_fd);
        free(trusts);
        return NULL;
}

bool trust_holds(const struct trusts *trusts, const struct digest *image, int64_t tree, uint64_t now_ns) {
        bool holds = false;
        if (digest_is_zero(image))
                return false;
        pthread_mutex_lock(trusts->lock);
        for (size_t i = 0; !holds && i < trusts->n; i++) {
                const struct trust *trust = &trusts->items[i];
                holds = trust->tree == tree && now_ns >= trust->begin_ns && now_ns < trust->end_ns &&
                        digest_equal(&trust->image, image);
        }
        pthread_mutex_unlock(trusts->lock);
        return holds;
}

static void take_out(struct trusts *trusts, size_t i, struct trust *ret_trust) {
        pthread_mutex_lock(trusts->lock);
        *ret_trust = trusts->items[i];
        trusts->n--;
        memmove(&trusts->items[i], &trusts->items[i + 1], (trusts->n - i) * sizeof(*trusts->items));
        pthread_mutex_unlock(trusts->lock);
}

static int copy(const struct trust *from, struct trust *ret_to) {
        struct trust to = *from;
        uint64_t random = 0;
        while (getrandom(&random, sizeof(random), 0) < 0 && errno == EINTR)
                ;
        snprintf(to.uid, sizeof(to.uid), "trust-%016llx", (unsigned long long)random);
        to.path = strdup(from->path);
        to.program = strdup(from->program);
        to.reason = strdup(from->reason);
        if (!to.path || !to.program || !to.reason) {
                trust_deinit(&to);
                return -ENOMEM;
        }
        *ret_to = to;
        return 0;
}

int trust_grant(struct trusts *trusts, const struct trust *grant, const struct trust **ret_trust) {
        if (!is_reason(grant->reason) || !grant->path || !*grant->path || !grant->program ||
            !*grant->program || grant->tree <= 0 || digest_is_zero(&grant->image))
                return -EINVAL;
        if (!is_time(grant->begin_ns, grant->end_ns))
                return -ERANGE;
        if (trusts->n == TRUSTS_MAX)
                return -ENOSPC;
        struct trust trust;
        int r = copy(grant, &trust);
        if (r < 0)
                return r;
        /* Kept before it holds. */
        trusts->items[trusts->n] = trust;
        r = keep(trusts, trusts->n + 1);
        if (r < 0) {
                trust_deinit(&trusts->items[trusts->n]);
                return r;
        }
        pthread_mutex_lock(trusts->lock);
        *ret_trust = &trusts->items[trusts->n++];
        pthread_mutex_unlock(trusts->lock);
        return 0;
}

int trust_revoke(struct trusts *trusts, const char *uid, trust_ended ended, void *userdata) {
        ssize_t i = find(trusts->items, trusts->n, uid);
        if (i < 0)
                return -ENOENT;
        struct trust trust;
        take_out(trusts, (size_t)i, &trust);
        int r = save(trusts);
        if (ended)
                ended(&trust, userdata);
        trust_deinit(&trust);
        return r;
}

int trusts_expire(struct trusts *trusts, uint64_t now_ns, trust_ended ended, void *userdata) {
        int n = 0;
        for (size_t i = trusts->n; i-- > 0;) {
                struct trust trust;
                if (now_ns < trusts->items[i].end_ns)
                        continue;
                take_out(trusts, i, &trust);
                if (ended)
                        ended(&trust, userdata);
                trust_deinit(&trust);
                n++;
        }
        if (n || trusts->is_unsaved)
                (void)save(trusts);
        return n;
}

const struct trust *trusts_get(const struct trusts *trusts, size_t index) {
        return index < trusts->n ? &trusts->items[index] : NULL;
}

/* Versions and the like may follow: python3.11, perl5.36.0, php8.2, lua5.4, node-20, ld-linux-x86-64.so.2. */
bool trust_interprets(const char *path) {
        static const char *const names[] = {
                "python",   "pypy",    "perl",   "ruby",   "php",   "node",  "deno",   "bun",   "lua",
                "luajit",   "tclsh",   "wish",   "expect", "java",  "mono",  "dotnet", "guile", "R",
                "Rscript",  "bash",    "dash",   "sh",     "zsh",   "ksh",   "mksh",   "fish",  "csh",
                "tcsh",     "busybox", "toybox", "awk",    "gawk",  "mawk",  "nawk",   "sed",   "vim",
                "emacs",    "gdb",     "make",   "qemu",   "wine",  "erl",   "ocaml",  "julia", "pwsh",
                "ld-linux", "ld-musl", "env",    "find",   "xargs", "nodejs"};
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                size_t length = strlen(names[i]);
                if (!strncmp(name, names[i], length) && !isalpha((unsigned char)name[length]))
                        return true;
        }
        return false;
}
