/*
 * Standard output that never holds the engine up: a pager that waits or a stopped terminal must not keep
 * questions from being answered. What is not taken yet waits, up to BACKLOG_MAX; past that it is counted, and
 * said once there is room: the ledger has it all.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/i18n.h"
#include "cli/output.h"
#include "event/finding.h"
#include "event/json.h"
#include "roles/engine/engine.h"

#define BACKLOG_MAX ((size_t)1 << 20)
#define WRITE_BYTES 4096 /* a pipe that is ready takes as many without waiting: pipe(7), PIPE_BUF */
#define LAST_TRY_MS 1000
/* For a person, what one finding gains within GATHER_US is one paragraph. */
#define GATHER_US    1000000
#define GATHERED_MAX 1000

struct printer {
        bool json, colour;
        bool is_away; /* nobody reads any more */
        struct buffer backlog;
        size_t n_written; /* of the backlog */
        unsigned n_omitted;
        sd_event_source *writable; /* NULL: a file, always ready */
        json_t *gathered;          /* updates of one finding, not printed yet; NULL: none */
        sd_event_source *timer;
};

static bool is_ready(int timeout_ms) {
        struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
        return poll(&out, 1, timeout_ms) > 0;
}

/* Writes as long as somebody takes it, waiting at most `timeout_ms` each time. */
static void flush(struct printer *printer, int timeout_ms) {
        struct buffer *backlog = &printer->backlog;
        while (!printer->is_away && printer->n_written < backlog->size && is_ready(timeout_ms)) {
                size_t size = backlog->size - printer->n_written;
                ssize_t n = write(STDOUT_FILENO, backlog->data + printer->n_written,
                                  size < WRITE_BYTES ? size : WRITE_BYTES);
                if (n > 0)
                        printer->n_written += (size_t)n;
                else if (errno == EAGAIN)
                        break;
                else if (errno != EINTR)
                        printer->is_away = true;
        }
        bool is_behind = !printer->is_away && printer->n_written < backlog->size;
        if (!is_behind) {
                buffer_clear(backlog);
                printer->n_written = 0;
        }
        if (printer->writable)
                sd_event_source_set_enabled(printer->writable, is_behind ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* Between two whole findings. */
static void say_omitted(struct printer *printer) {
        if (!printer->n_omitted || printer->backlog.size)
                return;
        if (!printer->json)
                buffer_format(&printer->backlog,
                              _("… %u findings were not printed, since nobody took them; `hinomi findings` "
                                "shows them\n\n"),
                              printer->n_omitted);
        printer->n_omitted = 0;
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)fd, (void)revents;
        struct printer *printer = userdata;
        flush(printer, 0);
        say_omitted(printer);
        flush(printer, 0);
        return 0;
}

static size_t n_evidences(const json_t *finding) {
        return json_array_size(json_object_get(finding, "evidences"));
}

static void print(struct printer *printer, const json_t *news) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        json_auto_t *whole = json_copy((json_t *)news);
        if (!file || !whole)
                return;
        json_object_set_new(whole, "evidences", json_copy(json_object_get(news, "evidences")));
        finding_expand(whole);
        if (printer->json)
                output_json(file, whole);
        else
                finding_print(file, whole, printer->colour);
        fclose(file);
        say_omitted(printer);
        if (buffer_append(&printer->backlog, text, size) < 0)
                printer->n_omitted++;
        flush(printer, 0);
}

static void print_gathered(struct printer *printer) {
        json_auto_t *gathered = STEAL(printer->gathered);
        if (gathered)
                print(printer, gathered);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        print_gathered(userdata);
        return 0;
}

/* Files alone: what was done about them is said at once. */
static bool may_wait(const json_t *news) {
        return json_get_integer(news, "activity_id", 1) == 2 && n_evidences(news) > 0 &&
               !json_object_get(json_object_get(news, "unmapped"), "actions");
}

void printer_print(struct printer *printer, const json_t *news) {
        if (printer->is_away)
                return;
        if (printer->json || !may_wait(news)) {
                print_gathered(printer);
                print(printer, news);
                return;
        }
        if (printer->gathered && n_evidences(printer->gathered) < GATHERED_MAX &&
            finding_merge(printer->gathered, news) == 0) {
                json_object_set(printer->gathered, "metadata", json_object_get(news, "metadata"));
                return;
        }
        print_gathered(printer);
        printer->gathered = json_deep_copy(news);
        sd_event_source_set_time_relative(printer->timer, GATHER_US);
        sd_event_source_set_enabled(printer->timer, SD_EVENT_ONESHOT);
}

int printer_new(struct engine *engine, struct printer **ret_printer) {
        struct printer *printer = calloc(1, sizeof(*printer));
        if (!printer)
                return -ENOMEM;
        printer->json = engine->context->json;
        printer->colour = output_colour(stdout);
        buffer_init(&printer->backlog, BACKLOG_MAX);
        int r = sd_event_add_io(engine->event, &printer->writable, STDOUT_FILENO, EPOLLOUT, on_writable,
                                printer);
        if (r < 0 && r != -EPERM)
                printer->is_away = true;
        r = sd_event_add_time(engine->event, &printer->timer, CLOCK_MONOTONIC, 0, 0, on_timer, printer);
        if (r < 0) {
                free(printer);
                return r;
        }
        sd_event_source_set_enabled(printer->timer, SD_EVENT_OFF);
        if (printer->writable)
                sd_event_source_set_enabled(printer->writable, SD_EVENT_OFF);
        *ret_printer = printer;
        return 0;
}

struct printer *printer_free(struct printer *printer) {
        if (!printer)
                return NULL;
        print_gathered(printer);
        flush(printer, LAST_TRY_MS);
        sd_event_source_disable_unref(printer->writable);
        sd_event_source_disable_unref(printer->timer);
        buffer_deinit(&printer->backlog);
        free(printer);
        return NULL;
}
