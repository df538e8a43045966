/*
 * The parent's recipe: lock the state, validate the configuration, open what the kernel
 * gives, start the roles, then wait. A role that dies is started again at once with the
 * same descriptors; its peers are told, and re-send what was not answered.
 */
#include "roles/parent.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/io.h"
#include "base/message.h"
#include "base/slots.h"
#include "base/version.h"
#include "config/config.h"
#include "event/json.h"
#include "ledger/ledger.h"
#include "roles/role.h"
#include "roles/sentry/unfinished.h"
#include "sense/files/gate.h"
#include "sense/files/watch.h"
#include "sense/processes/table.h"

#define CONFIG_BYTES_MAX ((size_t)1 << 20)
/* A role that dies more often than this in ten seconds is started again only once a second. */
#define RESTARTS_AT_ONCE 20
#define STORED_MAX       8 /* rows of stored[] */
#define STOP_PATIENCE_NS (10 * NS_PER_S)
#define JUDGE_NICE       (-5)

/* Who may talk to whom. */
static const struct {
        enum role_id a, b;
} topology[] = {
        {ROLE_PARENT, ROLE_SENTRY}, {ROLE_PARENT, ROLE_ASSAYER}, {ROLE_PARENT, ROLE_ENGINE},
        {ROLE_PARENT, ROLE_LEDGER}, {ROLE_SENTRY, ROLE_ASSAYER}, {ROLE_SENTRY, ROLE_LEDGER},
        {ROLE_SENTRY, ROLE_ENGINE}, {ROLE_LEDGER, ROLE_ENGINE},
};

struct child {
        pid_t pid;
        bool ready;
        bool stopped; /* by a signal; it does its duty again after SIGCONT */
        unsigned n_restarts;
        unsigned n_recent; /* of them since first_recent_ns */
        uint64_t first_recent_ns;
        sd_event_source *exit_source;
        sd_event_source *message_source;
        sd_event_source *retry_source;
};

struct parent {
        const struct parent_options *options;
        sd_event *event;
        struct child children[ROLE_COUNT];
        int sockets[ROLE_COUNT][ROLE_COUNT]; /* [role][peer]: the end that role holds */
        int config_fd, fanotify_fd, gate_fd, connector_fd, pending_fd, unanswered_fd, processes_fd,
                unfinished_fd, listen_fd, lock_fd;
        bool is_stored[STORED_MAX];
        bool stopping;
        bool sentry_armed;
        bool armed; /* and every role is ready: it was said */
        int status;
        uint64_t next_id;
};

static int parent_start(struct parent *parent, enum role_id id);

static bool role_runs(enum role_id id) {
        return id != ROLE_PARENT;
}

/* Descriptors a role is given beside its sockets; -1 for the others. */
static int fd_for(const struct parent *parent, enum role_id id, int place) {
        if (place < ROLE_FD_CONFIG)
                return parent->sockets[id][place - ROLE_FD_PEERS];
        if (place == ROLE_FD_CONFIG)
                return parent->config_fd;
        if (place == ROLE_FD_LISTEN)
                return id == ROLE_ENGINE ? parent->listen_fd : -1;
        if (id != ROLE_SENTRY)
                return -1;
        switch (place) {
        case ROLE_FD_FANOTIFY:
                return parent->fanotify_fd;
        case ROLE_FD_GATE:
                return parent->gate_fd;
        case ROLE_FD_CONNECTOR:
                return parent->connector_fd;
        case ROLE_FD_PENDING:
                return parent->pending_fd;
        case ROLE_FD_UNANSWERED:
                return parent->unanswered_fd;
        case ROLE_FD_PROCESSES:
                return parent->processes_fd;
        case ROLE_FD_UNFINISHED:
                return parent->unfinished_fd;
        default:
                return -1;
        }
}

/* In the child: puts the descriptors on their places and becomes the role. */
static void child_exec(const struct parent *parent, enum role_id id) {
        int kept[ROLE_FD_END];
        for (int place = ROLE_FD_PEERS; place < ROLE_FD_END; place++) {
                int fd = fd_for(parent, id, place);
                kept[place] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 64);
        }
        for (int place = ROLE_FD_PEERS; place < ROLE_FD_END; place++) {
                close(place);
                if (kept[place] >= 0 && dup2(kept[place], place) < 0)
                        _exit(3);
        }
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        char *const arguments[] = {(char *)"hinomi",
                                   (char *)"-x",
                                   (char *)role_name(id),
                                   (char *)parent->options->state,
                                   (char *)parent->options->packs,
                                   parent->options->json ? (char *)"json" : NULL,
                                   NULL};
        execv("/proc/self/exe", arguments);
        _exit(3);
}

static void tell(const struct parent *parent, enum role_id to, json_t *body) {
        json_auto_t *message = body;
        if (message && parent->sockets[ROLE_PARENT][to] >= 0)
                message_send(parent->sockets[ROLE_PARENT][to], message, NULL, 0);
}

/* What happened to the guard itself is recorded; the parent does not wait for the answer. */
static void record(struct parent *parent, json_t *state) {
        tell(parent, ROLE_LEDGER,
             json_pack("{s:s,s:I,s:{s:s,s:o}}", "type", "append", "id", (json_int_t)parent->next_id++,
                       "entry", "kind", "state", "state", state));
}

static void tell_roles(struct parent *parent) {
        json_t *roles = json_object();
        for (int id = 0; id < ROLE_COUNT; id++)
                if (role_runs(id))
                        json_object_set_new(
                                roles, role_name(id),
                                json_pack("{s:b,s:i,s:I}", "up",
                                          parent->children[id].pid > 0 && !parent->children[id].stopped,
                                          "restarts", parent->children[id].n_restarts, "pid",
                                          (json_int_t)parent->children[id].pid));
        tell(parent, ROLE_ENGINE, json_pack("{s:s,s:o}", "type", "roles", "roles", roles));
}

static void tell_restarted(struct parent *parent, enum role_id restarted) {
        for (int id = 0; id < ROLE_COUNT; id++)
                if (role_runs(id) && id != (int)restarted && parent->sockets[restarted][id] >= 0)
                        tell(parent, id,
                             json_pack("{s:s,s:s}", "type", "restarted", "role", role_name(restarted)));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)usec;
        struct child *child = userdata;
        struct parent *parent = sd_event_source_get_userdata(child->message_source);
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        enum role_id id = (enum role_id)(child - parent->children);
        if (!parent->stopping && parent_start(parent, id) == 0)
                tell_restarted(parent, id);
        tell_roles(parent);
        return 0;
}

/* At once, or after a second when it dies again and again. */
static void restart(struct parent *parent, enum role_id id) {
        struct child *child = &parent->children[id];
        uint64_t now = clock_monotonic_ns(&clock_system);
        if (now - child->first_recent_ns > 10 * NS_PER_S) {
                child->first_recent_ns = now;
                child->n_recent = 0;
        }
        child->n_recent++;
        child->n_restarts++;
        uint64_t delay_us = child->n_recent > RESTARTS_AT_ONCE ? 1000000 : 0;
        if (delay_us == 0 && parent_start(parent, id) == 0) {
                tell_restarted(parent, id);
                tell_roles(parent);
                return;
        }
        sd_event_source_disable_unref(child->retry_source);
        child->retry_source = NULL;
        sd_event_add_time_relative(parent->event, &child->retry_source, CLOCK_MONOTONIC, delay_us ?: 100000,
                                   0, on_retry, child);
}

static void stop_next(struct parent *parent);

/* A role that stands still does not do its duty: said at once, and recorded. */
static void on_child_stopped(struct parent *parent, enum role_id id, bool stopped) {
        parent->children[id].stopped = stopped;
        tell_roles(parent);
        record(parent, json_pack("{s:s,s:s}", "name", stopped ? "role_stopped" : "role_continued", "role",
                                 role_name(id)));
}

static int on_child_exit(sd_event_source *source, const siginfo_t *info, void *userdata) {
        struct parent *parent = userdata;
        enum role_id id = ROLE_PARENT;
        while (id < ROLE_COUNT && parent->children[id].exit_source != source)
                id++;
        if (id == ROLE_COUNT)
                return 0;
        struct child *child = &parent->children[id];
        if (info->si_code == CLD_STOPPED || info->si_code == CLD_TRAPPED || info->si_code == CLD_CONTINUED) {
                on_child_stopped(parent, id, info->si_code != CLD_CONTINUED);
                /* Opens wait for it: its successor answers them. */
                if (id == ROLE_SENTRY && info->si_code == CLD_STOPPED && parent->gate_fd >= 0)
                        kill(child->pid, SIGKILL);
                return sd_event_source_set_enabled(source, SD_EVENT_ON);
        }
        child->pid = 0;
        child->exit_source = sd_event_source_unref(child->exit_source);
        if (parent->stopping) {
                if (id == ROLE_SENTRY) /* nobody answers any more: opens are let through */
                        close(fd_steal(&parent->gate_fd));
                stop_next(parent);
                return 0;
        }
        if (!child->ready && info->si_code == CLD_EXITED && !parent->armed) {
                fprintf(stderr, _("hinomi: the %s could not start; stopping\n"), role_name(id));
                parent->status = 3;
                sd_event_exit(parent->event, 0);
                return 0;
        }
        fprintf(stderr, _("hinomi: the %s ended (%s %d); started again\n"), role_name(id),
                info->si_code == CLD_EXITED ? "status" : "signal", info->si_status);
        restart(parent, id);
        record(parent,
               json_pack("{s:s,s:s,s:s,s:i}", "name", "role_restarted", "role", role_name(id), "how",
                         info->si_code == CLD_EXITED ? "exited" : "killed", "status", info->si_status));
        return 0;
}

static void on_armed(struct parent *parent) {
        for (int id = 0; id < ROLE_COUNT; id++)
                if (role_runs(id) && !parent->children[id].ready)
                        return;
        parent->armed = true;
        if (!parent->options->json) {
                puts("hinomi: watching");
                fflush(stdout);
        } else {
                fputs("hinomi: watching\n", stdout);
                fflush(stdout);
        }
        sd_notify(0, "READY=1\nSTATUS=watching");
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct parent *parent = userdata;
        _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
        if (message_receive(fd, &message) < 0)
                return 0;
        const char *type = json_get_string(message.body, "type");
        if (!type)
                return 0;
        enum role_id id = ROLE_PARENT;
        while (id < ROLE_COUNT && parent->sockets[ROLE_PARENT][id] != fd)
                id++;
        if (id == ROLE_COUNT)
                return 0;
        if (!strcmp(type, "ready"))
                parent->children[id].ready = true;
        else if (id == ROLE_SENTRY && !strcmp(type, "armed"))
                parent->sentry_armed = true;
        else if (id == ROLE_SENTRY && !strcmp(type, "failed")) {
                parent->status = 3;
                parent->stopping = true;
                stop_next(parent);
        } else if (id == ROLE_LEDGER && !strcmp(type, "ledger-state"))
                tell(parent, ROLE_ENGINE, json_incref(message.body));
        if (parent->sentry_armed && !parent->armed)
                on_armed(parent);
        return 0;
}

static int parent_start(struct parent *parent, enum role_id id) {
        struct child *child = &parent->children[id];
        fflush(NULL);
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_exec(parent, id);
        /* Opens wait for them: who keeps every processor busy must not keep them from judging him. */
        if (parent->gate_fd >= 0 && (id == ROLE_SENTRY || id == ROLE_ASSAYER))
                (void)setpriority(PRIO_PROCESS, (id_t)pid, JUDGE_NICE);
        child->pid = pid;
        child->ready = false;
        child->stopped = false;
        child->exit_source = sd_event_source_unref(child->exit_source);
        return sd_event_add_child(parent->event, &child->exit_source, pid, WEXITED | WSTOPPED | WCONTINUED,
                                  on_child_exit, parent);
}

/* Sentry first, so that nothing new comes; the ledger last, so that everything is in it. */
static void stop_next(struct parent *parent) {
        static const enum role_id order[] = {ROLE_SENTRY, ROLE_ASSAYER, ROLE_ENGINE, ROLE_LEDGER};
        for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
                if (parent->children[order[i]].pid <= 0)
                        continue;
                tell(parent, order[i], json_pack("{s:s}", "type", "stop"));
                return;
        }
        sd_event_exit(parent->event, 0);
}

static int on_impatient(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source, (void)usec;
        struct parent *parent = userdata;
        for (int id = 0; id < ROLE_COUNT; id++)
                if (parent->children[id].pid > 0)
                        kill(parent->children[id].pid, SIGKILL);
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void)source;
        struct parent *parent = userdata;
        if (parent->stopping)
                return on_impatient(NULL, 0, parent);
        parent->stopping = true;
        sd_notify(0, "STOPPING=1");
        record(parent, json_pack("{s:s,s:i}", "name", "stopped", "signal", (int)info->ssi_signo));
        stop_next(parent);
        return sd_event_add_time_relative(parent->event, NULL, CLOCK_MONOTONIC, STOP_PATIENCE_NS / 1000, 0,
                                          on_impatient, parent);
}

static int complain(const char *what, const char *on, int error, const char *advice) {
        fprintf(stderr, "hinomi: %s: %s: %s%s%s\n", what, on, strerror(-error), advice ? "; " : "",
                advice ?: "");
        return error;
}

/* Only root may have written what root acts on. */
static int config_check_owner(const char *path, int fd) {
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH))) {
                fprintf(stderr,
                        _("hinomi: %s: must belong to root and be writable by nobody else; chown root, chmod "
                          "go-w\n"),
                        path);
                return -EPERM;
        }
        return 0;
}

static int memfd_with(const char *name, const void *data, size_t size) {
        _cleanup_(fd_closep) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        int r = io_write_all(fd, data, size);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                return -errno;
        return fd_steal(&fd);
}

static int open_config(struct parent *parent, bool *ret_refuses) {
        const char *path = parent->options->config;
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return complain(_("the configuration cannot be read"), path, -errno,
                                _("`hinomi init` writes a first one"));
        int r = config_check_owner(path, fd);
        if (r < 0)
                return r;
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, CONFIG_BYTES_MAX);
        r = io_read_file(AT_FDCWD, path, &text);
        if (r < 0)
                return complain(_("the configuration cannot be read"), path, r, NULL);

        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *error = NULL;
        r = config_parse(text.data, text.size, path, &config, &error);
        if (r < 0) {
                fprintf(stderr, "%s\n", error ?: strerror(-r));
                return r;
        }
        *ret_refuses = false;
        for (size_t i = 0; i < config->n_trees; i++)
                *ret_refuses |= config_tree_is_gated(&config->trees[i]);
        parent->config_fd = memfd_with("hinomi-config", text.data, text.size);
        return parent->config_fd < 0 ? parent->config_fd : 0;
}

/* A second guard on the same state would fight the first. */
static int lock_state(struct parent *parent) {
        int r = io_make_directories(parent->options->state, 0711);
        if (r < 0)
                return complain(_("the state directory cannot be made"), parent->options->state, r, NULL);
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/lock", parent->options->state) < 0)
                return -ENOMEM;
        parent->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (parent->lock_fd < 0)
                return complain(_("the state directory cannot be written"), parent->options->state, -errno,
                                NULL);
        if (flock(parent->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                char pid[32] = "";
                ssize_t n = pread(parent->lock_fd, pid, sizeof(pid) - 1, 0);
                pid[n > 0 ? n : 0] = '\0';
                fprintf(stderr,
                        _("hinomi: %s is already guarded by process %s; stop it first, or use another "
                          "--state\n"),
                        parent->options->state, pid);
                return -EWOULDBLOCK;
        }
        char pid[32];
        int length = snprintf(pid, sizeof(pid), "%d", (int)getpid());
        if (ftruncate(parent->lock_fd, 0) < 0 || pwrite(parent->lock_fd, pid, (size_t)length, 0) < 0)
                return complain(_("the state directory cannot be written"), parent->options->state, -errno,
                                NULL);
        return 0;
}

/* Owned by one role; the group is that of the role that may read it. */
static int make_owned(const char *state, const char *name, enum role_id owner, enum role_id reader,
                      mode_t mode) {
        struct role_user user, group;
        int r = role_user(owner, &user);
        r = r < 0 ? r : role_user(reader, &group);
        if (r < 0) {
                fprintf(stderr,
                        _("hinomi: the user for the %s does not exist; `make users` or `make install` makes "
                          "it\n"),
                        role_name(owner));
                return r;
        }
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/%s", state, name) < 0)
                return -ENOMEM;
        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return complain(_("the state directory cannot be written"), path, -errno, NULL);
        if (lchown(path, user.uid, group.gid) < 0 || chmod(path, mode) < 0)
                return complain(_("the state directory cannot be written"), path, -errno, NULL);
        return 0;
}

static int prepare_state(const struct parent *parent) {
        const char *state = parent->options->state;
        if (chmod(state, 0711) < 0)
                return complain(_("the state directory cannot be written"), state, -errno, NULL);
        int r = make_owned(state, "vault", ROLE_SENTRY, ROLE_SENTRY, 0700);
        r = r < 0 ? r : make_owned(state, "engine", ROLE_ENGINE, ROLE_ENGINE, 0700);
        r = r < 0 ? r : make_owned(state, "ledger", ROLE_LEDGER, ROLE_ENGINE, 02750);
        struct role_user owner, reader;
        if (r < 0 || role_user(ROLE_LEDGER, &owner) < 0 || role_user(ROLE_ENGINE, &reader) < 0)
                return r < 0 ? r : -ENOENT;
        r = ledger_prepare(state, owner.uid, reader.gid);
        return r < 0 ? complain(_("the state directory cannot be written"), state, r, NULL) : 0;
}

static int open_socket(struct parent *parent) {
        const char *path = parent->options->socket;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(path) >= sizeof(address.sun_path))
                return complain(_("the control socket cannot be made"), path, -ENAMETOOLONG, NULL);
        strcpy(address.sun_path, path);

        _cleanup_(freep) char *directory = strdup(path);
        char *slash = directory ? strrchr(directory, '/') : NULL;
        if (slash && slash != directory) {
                *slash = '\0';
                int r = io_make_directories(directory, 0755);
                if (r < 0)
                        return complain(_("the control socket cannot be made"), directory, r, NULL);
        }
        parent->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (parent->listen_fd < 0)
                return complain(_("the control socket cannot be made"), path, -errno, NULL);
        message_socket_tune(parent->listen_fd);
        struct stat st;
        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
                unlink(path);
        mode_t mask = umask(0177);
        int r = bind(parent->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        umask(mask);
        if (r == 0 && listen(parent->listen_fd, 64) < 0)
                r = -errno;
        return r < 0 ? complain(_("the control socket cannot be made"), path, r, NULL) : 0;
}

/*
 * What an upgrade takes along in systemd's store (FDSTORE=1, sd_notify(3)), by name: the queue of file events with its
 * marks, that of process events, and what the sentry had in hand. The gate stays out: while nobody answers, every
 * open in a tree that refuses, or a shield, would wait, and an upgrade that fails would halt the machine. Without its last holder the
 * kernel lets opens through; what is written then is in the queue, and put back.
 */
static const struct {
        const char *name;
        size_t place;
        bool (*fits)(int fd); /* NULL: whoever opens it copes */
} stored[] = {
        {"fanotify", offsetof(struct parent, fanotify_fd), watch_group_fits},
        {"connector", offsetof(struct parent, connector_fd), NULL},
        {"pending", offsetof(struct parent, pending_fd), watch_pending_fits},
        {"processes", offsetof(struct parent, processes_fd), slots_fit},
        {"unfinished", offsetof(struct parent, unfinished_fd), slots_fit},
};

static int *stored_place(struct parent *parent, size_t i) {
        return (int *)((char *)parent + stored[i].place);
}

static void unstore(const char *name) {
        char text[320];
        snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
        sd_notify(0, text);
}

/* What is in the store and fits. The rest leaves the store: twice the same name, another version's, unknown. */
static void take_stored(struct parent *parent) {
        char **names = NULL;
        int n = sd_listen_fds_with_names(1, &names);
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;
                size_t k = 0;
                while (k < ARRAY_SIZE(stored) && strcmp(names[i], stored[k].name))
                        k++;
                if (k < ARRAY_SIZE(stored) && *stored_place(parent, k) < 0 &&
                    (!stored[k].fits || stored[k].fits(fd))) {
                        *stored_place(parent, k) = fcntl(fd, F_DUPFD_CLOEXEC, 64);
                        parent->is_stored[k] = true;
                } else {
                        unstore(names[i]); /* all of this name */
                        if (k < ARRAY_SIZE(stored))
                                parent->is_stored[k] = false;
                }
                close(fd);
                free(names[i]);
        }
        free(names);
}

static void store_new(struct parent *parent) {
        for (size_t k = 0; k < ARRAY_SIZE(stored); k++) {
                char text[64];
                int fd = *stored_place(parent, k);
                snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", stored[k].name);
                if (fd >= 0 && !parent->is_stored[k])
                        sd_pid_notify_with_fds(0, 0, text, &fd, 1);
        }
}

static int open_kernel(struct parent *parent, bool refuses) {
        take_stored(parent);
        if (parent->fanotify_fd < 0)
                parent->fanotify_fd = watch_group_open();
        if (parent->fanotify_fd < 0)
                return complain(_("file events are not available"), "fanotify_init", parent->fanotify_fd,
                                _("hinomi needs root and Linux 5.10 or newer"));
        if (refuses && parent->gate_fd < 0)
                parent->gate_fd = gate_group_open();
        if (refuses && parent->gate_fd < 0)
                return complain(_("permission events are not available"), "fanotify_init", parent->gate_fd,
                                _("`respond: refuse` and `protect: shield` need a kernel with "
                                  "CONFIG_FANOTIFY_ACCESS_PERMISSIONS"));
        if (parent->connector_fd < 0)
                parent->connector_fd = process_connector_open();
        if (parent->connector_fd < 0) {
                complain(_("process events are not available"), "netlink connector", parent->connector_fd,
                         _("who made a change is then read from /proc and may be missed"));
                parent->connector_fd = -1;
        }
        if (parent->pending_fd < 0)
                parent->pending_fd = watch_pending_open();
        if (parent->unanswered_fd < 0)
                parent->unanswered_fd = watch_pending_open();
        if (parent->processes_fd < 0)
                parent->processes_fd = process_table_kept_open();
        if (parent->unfinished_fd < 0)
                parent->unfinished_fd = unfinished_open();
        if (parent->pending_fd < 0 || parent->unanswered_fd < 0 || parent->processes_fd < 0 ||
            parent->unfinished_fd < 0)
                return complain(_("no memory for events"), "memfd_create", -ENOMEM, NULL);
        store_new(parent);
        return 0;
}

static int open_topology(struct parent *parent) {
        for (size_t i = 0; i < ARRAY_SIZE(topology); i++) {
                int pair[2];
                int r = message_pair(pair);
                if (r < 0)
                        return complain(_("the roles cannot be connected"), "socketpair", r, NULL);
                parent->sockets[topology[i].a][topology[i].b] = pair[0];
                parent->sockets[topology[i].b][topology[i].a] = pair[1];
        }
        return 0;
}

static int start_all(struct parent *parent) {
        for (int id = ROLE_COUNT; id-- > 0;) {
                if (!role_runs(id))
                        continue;
                int r = sd_event_add_io(parent->event, &parent->children[id].message_source,
                                        parent->sockets[ROLE_PARENT][id], EPOLLIN, on_message, parent);
                if (r == 0 || r > 0)
                        r = parent_start(parent, id);
                if (r < 0)
                        return complain(_("a role cannot be started"), role_name(id), r, NULL);
        }
        tell_roles(parent);
        return 0;
}

static int loop(struct parent *parent) {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        signal(SIGPIPE, SIG_IGN);
        int r = sd_event_default(&parent->event);
        r = r < 0 ? r : sd_event_set_watchdog(parent->event, true);
        r = r < 0 ? r : sd_event_add_signal(parent->event, NULL, SIGINT, on_signal, parent);
        r = r < 0 ? r : sd_event_add_signal(parent->event, NULL, SIGTERM, on_signal, parent);
        r = r < 0 ? r : sd_event_set_watchdog(parent->event, true); /* WatchdogSec= of the unit */
        r = r < 0 ? r : start_all(parent);
        if (r >= 0) {
                record(parent, json_pack("{s:s,s:s}", "name", "started", "version", HINOMI_VERSION));
                r = sd_event_loop(parent->event);
        }
        on_impatient(NULL, 0, parent);
        return r;
}

int parent_run(const struct parent_options *options) {
        struct parent parent = {
                .options = options,
                .config_fd = -1,
                .fanotify_fd = -1,
                .unanswered_fd = -1,
                .gate_fd = -1,
                .connector_fd = -1,
                .pending_fd = -1,
                .processes_fd = -1,
                .unfinished_fd = -1,
                .listen_fd = -1,
                .lock_fd = -1,
        };
        memset(parent.sockets, 0xff, sizeof(parent.sockets));

        bool refuses = false;
        int r = open_config(&parent, &refuses);
        if (r < 0)
                return r == -EINVAL || r == -EBADMSG ? 2 : 3;
        r = lock_state(&parent);
        r = r < 0 ? r : prepare_state(&parent);
        r = r < 0 ? r : open_kernel(&parent, refuses);
        r = r < 0 ? r : open_socket(&parent);
        r = r < 0 ? r : open_topology(&parent);
        r = r < 0 ? r : loop(&parent);
        unlink(options->socket);
        return r < 0 ? 3 : parent.status;
}
