/* A locker that harms nobody: alters a tree that was made to be destroyed as ransomware does.
 *
 *   locker --make DIR                          makes DIR, which must not exist, and its marker
 *   locker --list                              the patterns, one a line
 *   locker --tree DIR --pattern NAME [option…] alters what stands below DIR, in which the marker has to be
 *
 * Ends with 0 and one line of counters in JSON when it came to the end of its list, 1 when it could not, 2 for a
 * mistake in the call, 3 without the marker, 77 where the kernel or the machine does not offer what is needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pattern.h"

enum { EXIT_USAGE = 2, EXIT_REFUSED = 3, EXIT_UNSUPPORTED = 77 };

enum choice {
        MAKE = 1,
        LIST,
        TREE,
        PATTERN,
        ELSEWHERE,
        THREADS,
        PROCESSES,
        FORK_PER_FILE,
        RATE,
        SEED,
        ORDER,
        FILES,
        EXTENSION,
        NOTE,
        LOG,
        LINKS,
        KEEP_TIMES,
        SKIP_HIDDEN,
};

static const struct option options[] = {
        {"make", required_argument, NULL, MAKE},
        {"list", no_argument, NULL, LIST},
        {"tree", required_argument, NULL, TREE},
        {"pattern", required_argument, NULL, PATTERN},
        {"elsewhere", required_argument, NULL, ELSEWHERE},   /* a second marked directory, to move files to */
        {"threads", required_argument, NULL, THREADS},       /* in each process */
        {"processes", required_argument, NULL, PROCESSES},   /* each with a session of its own */
        {"fork-per-file", no_argument, NULL, FORK_PER_FILE}, /* a process and a session for each file */
        {"rate", required_argument, NULL, RATE},             /* files a second, of all processes together */
        {"seed", required_argument, NULL, SEED},
        {"order", required_argument, NULL, ORDER}, /* directory, sorted, random, largest, newest */
        {"files", required_argument, NULL, FILES}, /* no more than this many */
        {"extension", required_argument, NULL, EXTENSION},
        {"note", required_argument, NULL, NOTE}, /* name of a note left in every folder */
        {"log", required_argument, NULL, LOG},
        {"links", no_argument, NULL, LINKS}, /* also files that have a second name */
        {"keep-times", no_argument, NULL, KEEP_TIMES},
        {"skip-hidden", no_argument, NULL, SKIP_HIDDEN},
        {0},
};

struct call {
        struct job job;
        const struct pattern *pattern;
        const char *tree, *elsewhere, *log;
        bool has_rate;
};

static void print_patterns(void) {
        for (size_t i = 0; i < n_patterns; i++)
                printf("%s\t%s%s\t%s\n", patterns[i].name, patterns[i].needs_root ? "root " : "",
                       patterns[i].needs_elsewhere ? "elsewhere" : "", patterns[i].says);
}

static int make_tree(const char *path) {
        int r = scratch_make(path);
        if (r < 0)
                fprintf(stderr, "locker: cannot make %s: %s\n", path, strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void set_option(struct call *call, int choice) {
        struct job *job = &call->job;
        switch (choice) {
        case TREE:
                call->tree = optarg;
                break;
        case PATTERN:
                call->pattern = pattern_find(optarg);
                break;
        case ELSEWHERE:
                call->elsewhere = optarg;
                break;
        case THREADS:
                job->n_threads = (unsigned)strtoul(optarg, NULL, 10);
                break;
        case PROCESSES:
                job->n_processes = (unsigned)strtoul(optarg, NULL, 10);
                break;
        case FORK_PER_FILE:
                job->fork_per_file = true;
                break;
        case RATE:
                job->rate = strtod(optarg, NULL);
                call->has_rate = true;
                break;
        case SEED:
                job->seed = strtoull(optarg, NULL, 0);
                break;
        case ORDER:
                job->order = optarg;
                break;
        case FILES:
                job->n_files = strtoul(optarg, NULL, 10);
                break;
        case EXTENSION:
                job->extension = optarg;
                break;
        case NOTE:
                job->note = optarg;
                break;
        case LOG:
                call->log = optarg;
                break;
        case LINKS:
                job->with_links = true;
                break;
        case KEEP_TIMES:
                job->keep_times = true;
                break;
        case SKIP_HIDDEN:
                job->skip_hidden = true;
                break;
        }
}

static int open_marked(const char *path, int *ret_fd) {
        *ret_fd = scratch_open(path);
        if (*ret_fd >= 0)
                return 0;
        fprintf(stderr, "locker: %s is not a directory that --make made: %s\n", path, strerror(-*ret_fd));
        return EXIT_REFUSED;
}

static int call_open(struct call *call) {
        struct job *job = &call->job;
        int r = open_marked(call->tree, &job->root);
        if (r == 0 && call->elsewhere)
                r = open_marked(call->elsewhere, &job->elsewhere);
        if (r)
                return r;
        if (call->log && (job->log = open(call->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) < 0) {
                fprintf(stderr, "locker: cannot write %s: %s\n", call->log, strerror(errno));
                return EXIT_FAILURE;
        }
        job->counters =
                mmap(NULL, sizeof(*job->counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        return job->counters == MAP_FAILED ? EXIT_FAILURE : 0;
}

static int call_run(struct call *call) {
        struct job *job = &call->job;
        const struct pattern *pattern = call->pattern;
        job->pattern = pattern->name;
        job->n_processes = job->n_processes ?: pattern->n_processes ?: 1;
        job->rate = call->has_rate ? job->rate : pattern->rate;
        job->skip_hidden |= !strcmp(pattern->name, "P28");
        if (pattern->needs_root && geteuid() != 0)
                return EXIT_UNSUPPORTED;
        int r = call_open(call);
        if (r)
                return r;
        r = job_run(job, pattern);
        const struct counters *n = job->counters;
        printf("{\"pattern\": \"%s\", \"altered\": %llu, \"untouched\": %llu, \"denied\": %llu, \"failed\": "
               "%llu}\n",
               pattern->name, (unsigned long long)n->n_altered, (unsigned long long)n->n_untouched,
               (unsigned long long)n->n_denied, (unsigned long long)n->n_failed);
        if (r < 0)
                fprintf(stderr, "locker: %s: %s\n", pattern->name, strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        struct call call = {.job = {.root = -1,
                                    .elsewhere = -1,
                                    .log = -1,
                                    .extension = ".locked",
                                    .order = "directory",
                                    .n_threads = 1}};
        int choice;
        while ((choice = getopt_long(argc, argv, "", options, NULL)) > 0) {
                if (choice == MAKE)
                        return make_tree(optarg);
                if (choice == LIST)
                        return print_patterns(), EXIT_SUCCESS;
                set_option(&call, choice);
        }
        bool is_complete = choice == -1 && optind == argc && call.tree && call.pattern &&
                           *call.job.extension && !strchr(call.job.extension, '/') &&
                           (!call.job.note || !strchr(call.job.note, '/')) &&
                           (!call.pattern->needs_elsewhere || call.elsewhere);
        if (!is_complete) {
                fprintf(stderr,
                        "usage: locker --make DIR | --list | --tree DIR --pattern NAME [option]...\n");
                return EXIT_USAGE;
        }
        return call_run(&call);
}
