/* The progress bar: one line on stderr, redrawn ten times a second at most. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "cli/output.h"

#define SHOW_AFTER_NS (NS_PER_S / 2)
#define REDRAW_NS     (NS_PER_S / 10)
#define BAR_COLUMNS   24

void progress_begin(struct progress *progress, const char *what) {
        *progress = (struct progress){
                .what = what,
                .started_ns = clock_monotonic_ns(&clock_system),
                .terminal = isatty(STDERR_FILENO),
        };
}

static void print_left(uint64_t elapsed_ns, uint64_t done, uint64_t total) {
        uint64_t left =
                done ? (uint64_t)((double)elapsed_ns * (double)(total - done) / (double)done / 1e9) : 0;
        if (done && left < 100 * 3600)
                fprintf(stderr, _("  %lu:%02lu left"), (unsigned long)(left / 60),
                        (unsigned long)(left % 60));
}

static void draw(struct progress *progress, uint64_t now, uint64_t done, uint64_t total, uint64_t bytes) {
        char size[OUTPUT_TIME_SIZE];
        fprintf(stderr, "\r%s ", progress->what);
        if (total && done <= total) {
                int filled = (int)((double)done / (double)total * BAR_COLUMNS);
                fprintf(stderr, "[%.*s%*s] %3.0f%%", filled, "########################", BAR_COLUMNS - filled,
                        "", 100.0 * (double)done / (double)total);
        }
        fprintf(stderr, ngettext("  %lu file", "  %lu files", (unsigned long)done), (unsigned long)done);
        if (bytes) {
                output_size(bytes, size);
                fprintf(stderr, "  %s", size);
        }
        if (total && done <= total)
                print_left(now - progress->started_ns, done, total);
        fputs("\033[K", stderr);
        fflush(stderr);
}

void progress_update(struct progress *progress, uint64_t done, uint64_t total, uint64_t bytes) {
        if (!progress->terminal)
                return;
        uint64_t now = clock_monotonic_ns(&clock_system);
        if (now - progress->started_ns < SHOW_AFTER_NS || now - progress->shown_ns < REDRAW_NS)
                return;
        progress->shown_ns = now;
        progress->visible = true;
        draw(progress, now, done, total, bytes);
}

void progress_end(struct progress *progress) {
        if (progress->visible)
                fputs("\r\033[K", stderr);
        progress->visible = false;
}
