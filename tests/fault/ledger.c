/*
 * The ledger on a disk that fails. A fixed story (a new log, commits of one and of many entries, full tiles,
 * the journal going round, seals, opening again) is told once for every step that changes the disk: at step n
 * the call fails and the story goes on, or the process ends there and the power with it.
 *
 * When the power goes, what was not fsynced is at the mercy of `disk_crash()`: contents are kept, lost, cut or
 * zeroed, names appear or not, renames happen or not, new directories vanish with all that is in them.
 * Then: it opens, it verifies, what was acknowledged is there, and the last batch is there whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "ledger/ledger.h"
#include "ledger/verify.h"
#include "ledger/world.h"

#define ENTRIES_MAX 2000
#define LARGE_BYTES 60000

/* What would be undone if the power went now. */
struct change {
        struct change *next; /* older */
        enum { CHANGE_CONTENT, CHANGE_NAME, CHANGE_DIRECTORY, CHANGE_RANGE } kind;
        char path[256];
        bool existed;
        struct buffer before; /* content before, or the bytes of the range */
        uint64_t offset;
};

struct disk {
        unsigned step, fail_at;
        bool ends; /* the process ends at the step; else only the call fails */
        bool dead;
        unsigned random;
        struct change *changes;
        struct ledger_world world;
};

static unsigned chance(struct disk *disk, unsigned n) {
        disk->random = disk->random * 1103515245 + 12345;
        return (disk->random >> 16) % n;
}

/* Counts; returns 0, or the error of this step. */
static int step(struct disk *disk) {
        if (disk->dead)
                return -EIO;
        if (++disk->step != disk->fail_at)
                return 0;
        disk->dead = disk->ends;
        return chance(disk, 2) ? -EIO : -ENOSPC;
}

static void path_of(int directory_fd, const char *path, char ret_path[static 256]) {
        char link[64], directory[200];
        snprintf(link, sizeof(link), "/proc/self/fd/%d", directory_fd);
        ssize_t n = readlink(link, directory, sizeof(directory) - 1);
        assert_true(n > 0);
        directory[n] = '\0';
        if (!path || !strcmp(path, "."))
                snprintf(ret_path, 256, "%s", directory);
        else
                assert_true(snprintf(ret_path, 256, "%s/%s", directory, path) < 256);
}

static struct change *change_add(struct disk *disk, int kind, const char *path) {
        struct change *change = calloc(1, sizeof(*change));
        assert_non_null(change);
        change->kind = kind;
        strcpy(change->path, path);
        change->next = disk->changes;
        disk->changes = change;
        return change;
}

static struct change *change_of_content(struct disk *disk, int kind, const char *path) {
        struct change *change = change_add(disk, kind, path);
        change->existed = io_read_file(AT_FDCWD, path, &change->before) == 0;
        return change;
}

/* Forgets changes that became durable: those of `path` itself, or of names in that directory. */
static void changes_settle(struct disk *disk, const char *path, bool names) {
        for (struct change **link = &disk->changes; *link;) {
                struct change *change = *link;
                bool is_name = change->kind == CHANGE_NAME || change->kind == CHANGE_DIRECTORY;
                const char *slash = strrchr(change->path, '/');
                bool hit = names ? is_name && (size_t)(slash - change->path) == strlen(path) &&
                                           !strncmp(change->path, path, strlen(path))
                                 : !is_name && !strcmp(change->path, path);
                if (!hit) {
                        link = &change->next;
                        continue;
                }
                *link = change->next;
                buffer_deinit(&change->before);
                free(change);
        }
}

static int disk_open(void *userdata, int directory_fd, const char *path, int flags, mode_t mode) {
        struct disk *disk = userdata;
        char full[256];
        if (!(flags & (O_CREAT | O_TRUNC)))
                return disk->dead ? -EIO : ledger_world_system.open(NULL, directory_fd, path, flags, mode);
        int r = step(disk);
        if (r < 0)
                return r;
        path_of(directory_fd, path, full);
        if (access(full, F_OK) < 0)
                change_add(disk, CHANGE_NAME, full);
        else if (flags & O_TRUNC)
                change_of_content(disk, CHANGE_CONTENT, full);
        return ledger_world_system.open(NULL, directory_fd, path, flags, mode);
}

static int disk_pwrite(void *userdata, int fd, const void *data, size_t size, uint64_t offset) {
        struct disk *disk = userdata;
        struct stat status;
        char full[256];
        int r = step(disk);
        if (r < 0 && chance(disk, 2))
                return r;
        size_t done = r < 0 ? chance(disk, (unsigned)size + 1) : size; /* a part may have come through */
        path_of(fd, NULL, full);
        assert_int_equal(fstat(fd, &status), 0);
        struct change *change = change_add(disk, CHANGE_RANGE, full);
        change->offset = offset;
        change->existed = (uint64_t)status.st_size >= offset + done;
        assert_int_equal(buffer_reserve(&change->before, done), 0);
        _cleanup_(fd_closep) int read_fd = open(full, O_RDONLY | O_CLOEXEC);
        change->before.size = 0;
        ssize_t n = read_fd < 0 ? 0 : io_pread_full(read_fd, change->before.data, done, offset);
        change->before.size = n > 0 ? (size_t)n : 0;
        int s = io_pwrite_all(fd, data, done, offset);
        return r < 0 ? r : s;
}

static int disk_truncate(void *userdata, int fd, uint64_t size) {
        struct disk *disk = userdata;
        char full[256];
        int r = step(disk);
        if (r < 0)
                return r;
        path_of(fd, NULL, full);
        change_of_content(disk, CHANGE_CONTENT, full);
        return ledger_world_system.truncate(NULL, fd, size);
}

static int disk_sync(void *userdata, int fd, int data_only) {
        struct disk *disk = userdata;
        struct stat status;
        char full[256];
        (void)data_only;
        int r = step(disk);
        if (r < 0)
                return r;
        path_of(fd, NULL, full);
        assert_int_equal(fstat(fd, &status), 0);
        changes_settle(disk, full, S_ISDIR(status.st_mode));
        return 0;
}

static int disk_rename(void *userdata, int directory_fd, const char *from, const char *to) {
        struct disk *disk = userdata;
        char full_from[256], full_to[256];
        int r = step(disk);
        if (r < 0)
                return r;
        path_of(directory_fd, from, full_from);
        path_of(directory_fd, to, full_to);
        for (struct change *change = disk->changes; change; change = change->next)
                if (!strcmp(change->path, full_from) && change->kind != CHANGE_NAME)
                        strcpy(change->path, full_to); /* the bytes move with the file */
        change_of_content(disk, CHANGE_NAME, full_to);
        return ledger_world_system.rename(NULL, directory_fd, from, to);
}

static int disk_exchange(void *userdata, int directory_fd, const char *a, const char *b) {
        struct disk *disk = userdata;
        char full_a[256], full_b[256];
        int r = step(disk);
        if (r < 0)
                return r;
        path_of(directory_fd, a, full_a);
        path_of(directory_fd, b, full_b);
        if (access(full_b, F_OK) < 0)
                return -ENOENT;
        for (struct change *change = disk->changes; change; change = change->next)
                if (!strcmp(change->path, full_a))
                        strcpy(change->path, full_b); /* the bytes move with the files */
                else if (!strcmp(change->path, full_b))
                        strcpy(change->path, full_a);
        change_of_content(disk, CHANGE_NAME, full_a);
        change_of_content(disk, CHANGE_NAME, full_b);
        return ledger_world_system.exchange(NULL, directory_fd, a, b);
}

static int disk_unlink(void *userdata, int directory_fd, const char *path, int flags) {
        struct disk *disk = userdata;
        char full[256];
        int r = step(disk);
        if (r < 0)
                return r;
        path_of(directory_fd, path, full);
        if (!flags && access(full, F_OK) == 0)
                change_of_content(disk, CHANGE_NAME, full);
        return ledger_world_system.unlink(NULL, directory_fd, path, flags);
}

static int disk_mkdir(void *userdata, int directory_fd, const char *path, mode_t mode) {
        struct disk *disk = userdata;
        char full[256];
        int r = step(disk);
        if (r < 0)
                return r;
        path_of(directory_fd, path, full);
        r = ledger_world_system.mkdir(NULL, directory_fd, path, mode);
        if (r == 0)
                change_add(disk, CHANGE_DIRECTORY, full);
        return r;
}

static int disk_random(void *userdata, void *data, size_t size) {
        int r = step(userdata);
        return r < 0 ? r : ledger_world_system.random(NULL, data, size);
}

static void file_set(const char *path, const struct buffer *content) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return; /* its directory is gone */
        assert_int_equal(io_write_all(fd, content->data ?: "", content->size), 0);
        close(fd);
}

static void range_undo(struct disk *disk, const struct change *change) {
        int fd = open(change->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        size_t n = change->before.size, part = chance(disk, 2) ? n : chance(disk, (unsigned)n + 1);
        assert_int_equal(io_pwrite_all(fd, change->before.data ?: "", part, change->offset), 0);
        if (!change->existed)
                switch (chance(disk, 3)) {
                case 0:
                        assert_int_equal(ftruncate(fd, (off_t)(change->offset + n)), 0);
                        break;
                case 1: { /* the length came through, the bytes did not */
                        struct stat status;
                        assert_int_equal(fstat(fd, &status), 0);
                        assert_int_equal(ftruncate(fd, (off_t)change->offset), 0);
                        assert_int_equal(ftruncate(fd, status.st_size), 0);
                        break;
                }
                default:
                        break;
                }
        close(fd);
}

static void change_undo(struct disk *disk, const struct change *change) {
        char command[300];
        switch (change->kind) {
        case CHANGE_RANGE:
                range_undo(disk, change);
                break;
        case CHANGE_DIRECTORY:
                snprintf(command, sizeof(command), "rm -rf '%s'", change->path);
                assert_int_equal(system(command), 0);
                break;
        case CHANGE_NAME:
                if (!change->existed) {
                        unlink(change->path);
                        break;
                }
                /* fall through */
        case CHANGE_CONTENT:
                file_set(change->path, &change->before);
                break;
        }
}

/* The power goes: each change that is not durable is there or not. Newest first. */
static void disk_crash(struct disk *disk) {
        bool all = chance(disk, 3) == 0;
        while (disk->changes) {
                struct change *change = disk->changes;
                if (all || chance(disk, 2))
                        change_undo(disk, change);
                disk->changes = change->next;
                buffer_deinit(&change->before);
                free(change);
        }
}

static void disk_init(struct disk *disk, unsigned fail_at, bool ends) {
        *disk = (struct disk){
                .fail_at = fail_at,
                .ends = ends,
                .random = fail_at * 7919 + ends +
                          (getenv("FAULT_SEED") ? (unsigned)atoi(getenv("FAULT_SEED")) : 0) * 104729,
                .world = {disk_open, disk_pwrite, disk_truncate, disk_sync, disk_rename, disk_exchange,
                          disk_unlink, disk_mkdir, disk_random, NULL},
        };
        disk->world.userdata = disk;
}

struct story {
        char state[64];
        struct ledger *ledger;
        struct disk *disk;
        unsigned acknowledged; /* entries */
        unsigned attempted;    /* with the batch that was under way */
        uint64_t now_ns;
        struct clock clock;
};

static uint64_t story_time(void *userdata) {
        return ((struct story *)userdata)->now_ns += NS_PER_MS;
}

/* Entry n is made of n alone, but for its time. */
static size_t entry_make(struct story *story, unsigned n, bool large, char *entry) {
        char time[CLOCK_RFC3339_SIZE];
        clock_format(ledger_time(story->ledger), time);
        size_t size = large ? LARGE_BYTES : 100;
        memset(entry, ' ', size);
        int used = snprintf(entry, size, "{\"n\":%u,\"time\":\"%s\"", n, time);
        entry[used] = ' ';
        entry[size - 1] = '}';
        return size;
}

static void begin(struct story *story) {
        if (story->disk->dead)
                return;
        for (int i = 0; !story->ledger && i < 3; i++)
                if (ledger_open(story->state, &story->clock, &story->disk->world, &story->ledger) == -EBADMSG)
                        fail_msg("step %u: the log does not open", story->disk->fail_at);
}

static void commit(struct story *story) {
        for (int i = 0; story->ledger && i < 3; i++) {
                int r = ledger_commit(story->ledger);
                if (r >= 0) {
                        story->acknowledged = story->attempted;
                        return;
                }
                if (r == -ENOTRECOVERABLE) {
                        story->ledger = ledger_close(story->ledger);
                        begin(story);
                        if (story->ledger)
                                story->attempted = story->acknowledged = (unsigned)ledger_size(story->ledger);
                        return;
                }
        }
}

static void append(struct story *story, unsigned n, bool large) {
        static char entry[LARGE_BYTES];
        uint64_t index;
        if (story->disk->dead)
                return;
        for (unsigned i = 0; story->ledger && i < n; i++) {
                size_t size = entry_make(story, story->attempted, large, entry);
                int r = ledger_add(story->ledger, entry, size, &index);
                if (r < 0)
                        return;
                assert_int_equal(index, story->attempted);
                story->attempted++;
        }
        commit(story);
}

static void again(struct story *story) {
        if (story->disk->dead)
                return;
        story->ledger = ledger_close(story->ledger);
        story->attempted = story->acknowledged;
        begin(story);
        if (story->ledger)
                story->attempted = story->acknowledged = (unsigned)ledger_size(story->ledger);
}

static void seal(struct story *story) {
        if (story->ledger && ledger_seal(story->ledger, false) == -ENOTRECOVERABLE)
                again(story);
}

static void tell(struct story *story) {
        begin(story);
        append(story, 1, false);
        append(story, 3, false);
        seal(story);
        append(story, 260, false); /* fills a tile */
        append(story, 0, false);   /* a heartbeat */
        for (int i = 0; i < 3; i++)
                append(story, 15, true); /* sends the journal round */
        seal(story);
        again(story);
        append(story, 2, false);
        if (story->ledger)
                ledger_settle(story->ledger);
        append(story, 1, false);
}

static int entry_look(uint64_t index, const char *entry, size_t size, void *userdata) {
        char expected[32];
        (void)userdata;
        int n = snprintf(expected, sizeof(expected), "{\"n\":%u,", (unsigned)index);
        assert_true(size > (size_t)n);
        assert_memory_equal(entry, expected, n);
        return 0;
}

static void assert_whole(const struct story *story, const char *when) {
        const struct ledger_verify_options options = {.path = story->state, .expect_keys = true};
        struct ledger_report report;
        assert_int_equal(ledger_verify(&options, &report), 0);
        if (report.problem != LEDGER_SOUND)
                fail_msg("step %u, %s: %s at %lu of %lu (%s)", story->disk->fail_at, when,
                         ledger_problem_name(report.problem), (unsigned long)report.index,
                         (unsigned long)report.other, report.path);
        assert_int_equal(ledger_read(story->state, 0, UINT64_MAX, entry_look, NULL), 0);
}

/* Opens on a disk that works again and looks whether all is as it must be. */
static void epilogue(struct story *story) {
        struct disk sound;
        disk_init(&sound, 0, false);
        sound.fail_at = UINT_MAX;
        unsigned fail_at = story->disk->fail_at, acknowledged = story->acknowledged,
                 attempted = story->attempted;
        story->ledger = ledger_close(story->ledger);
        story->disk = &sound;
        int r = ledger_open(story->state, &story->clock, &sound.world, &story->ledger);
        sound.fail_at = fail_at;
        if (r < 0)
                fail_msg("step %u: does not open: %s", fail_at, strerror(-r));
        uint64_t size = ledger_size(story->ledger);
        if (size != acknowledged && size != attempted)
                fail_msg("step %u: %lu entries; acknowledged %u, under way %u", fail_at, (unsigned long)size,
                         acknowledged, attempted);
        sound.fail_at = fail_at;
        assert_whole(story, "opened");
        sound.fail_at = UINT_MAX;
        story->attempted = story->acknowledged = (unsigned)size;
        append(story, 300, false);
        assert_int_equal(ledger_seal(story->ledger, false), 1);
        assert_int_equal(ledger_settle(story->ledger), 0);
        story->ledger = ledger_close(story->ledger);
        sound.fail_at = fail_at;
        assert_whole(story, "gone on");
        changes_settle(&sound, "", false);
        while (sound.changes) {
                struct change *change = sound.changes;
                sound.changes = change->next;
                buffer_deinit(&change->before);
                free(change);
        }
}

enum ending {
        CALL_FAILS,   /* the story goes on, and then the power goes */
        POWER_GOES,   /* at the step */
        PROCESS_ENDS, /* at the step; the story is told again by another, and then the power goes */
};

/* Returns the steps the story took. */
static unsigned run(unsigned fail_at, enum ending ending) {
        struct disk disk;
        struct story story = {.state = "/dev/shm/ledger-fault.XXXXXX",
                              .now_ns = UINT64_C(1700000000) * NS_PER_S};
        char command[128];
        disk_init(&disk, fail_at, ending != CALL_FAILS);
        story.disk = &disk;
        story.clock = (struct clock){story_time, story_time, &story};
        assert_non_null(mkdtemp(story.state));
        tell(&story);
        story.ledger = ledger_close(story.ledger);
        unsigned steps = disk.step;
        if (ending == PROCESS_ENDS && disk.dead) {
                disk.dead = false;
                begin(&story);
                assert_non_null(story.ledger);
                uint64_t size = ledger_size(story.ledger);
                assert_true(size == story.acknowledged || size == story.attempted);
                story.acknowledged = story.attempted = (unsigned)size;
                tell(&story);
                story.ledger = ledger_close(story.ledger);
        }
        disk_crash(&disk);
        epilogue(&story);
        snprintf(command, sizeof(command), "rm -rf %s", story.state);
        assert_int_equal(system(command), 0);
        return steps;
}

static void the_power_goes_at_each_step(void **state) {
        (void)state;
        unsigned steps = run(UINT_MAX, CALL_FAILS);
        assert_true(steps > 200);
        for (unsigned i = 1; i <= steps; i++)
                run(i, POWER_GOES);
}

static void each_step_fails_once(void **state) {
        (void)state;
        unsigned steps = run(UINT_MAX, CALL_FAILS);
        for (unsigned i = 1; i <= steps; i++)
                run(i, CALL_FAILS);
}

static void the_process_ends_at_each_step_and_the_power_goes_later(void **state) {
        (void)state;
        unsigned steps = run(UINT_MAX, CALL_FAILS);
        for (unsigned i = 1; i <= steps; i++)
                run(i, PROCESS_ENDS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_power_goes_at_each_step),
                cmocka_unit_test(each_step_fails_once),
                cmocka_unit_test(the_process_ends_at_each_step_and_the_power_goes_later),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
