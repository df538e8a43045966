/*
 * From other threads into the loop: suspicious executions, exits somebody waits for, refused
 * opens. Writers take a lock for the length of a list insertion and write one eventfd.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "roles/sentry/sentry.h"

#define MAILBOX_MAX 4096
#define WANTED_MAX  64

enum note_kind {
        NOTE_EXEC,
        NOTE_EXIT,
        NOTE_REFUSED,
};

struct note {
        struct note *next;
        enum note_kind kind;
        struct actor *actor;
        char *path;
        pid_t pid;
        uint64_t start_ns;
        uint32_t ticket;
};

struct mailbox {
        pthread_mutex_t lock;
        struct note *first, **end;
        size_t n;
        pid_t wanted[WANTED_MAX]; /* ring of pids whose exit is wanted */
        size_t n_wanted;
        int event_fd;
        sd_event_source *source;
};

static void note_free(struct note *note) {
        actor_free(note->actor);
        free(note->path);
        free(note);
}

static uint32_t begin(struct sentry *sentry, enum unfinished_kind kind, const char *path,
                      const struct actor *actor) {
        bool is_known = actor && actor->n_processes;
        return unfinished_begin(sentry->unfinished,
                                &(struct unfinished_record){
                                        .kind = kind,
                                        .pid = is_known ? actor->processes[0].pid : 0,
                                        .start_ns = is_known ? actor->processes[0].start_ns : 0,
                                        .path = path,
                                });
}

static void put(struct sentry *sentry, struct note *note) {
        struct mailbox *mailbox = sentry->mailbox;
        pthread_mutex_lock(&mailbox->lock);
        bool fits = mailbox->n < MAILBOX_MAX;
        if (fits) {
                *mailbox->end = note;
                mailbox->end = &note->next;
                mailbox->n++;
        }
        pthread_mutex_unlock(&mailbox->lock);
        if (fits)
                eventfd_write(mailbox->event_fd, 1);
        else { /* nobody waits for it any more */
                unfinished_drop(sentry->unfinished, note->ticket);
                note_free(note);
        }
}

void mailbox_exec(const struct actor *actor, void *userdata) {
        struct sentry *sentry = userdata;
        if (actor->n_processes)
                images_note(sentry->images, &actor->processes[0]);
        if (actor->n_processes < 2)
                return;
        struct verdict verdict;
        if (judge_exec(actor, &verdict) < 0)
                return;
        bool matters = verdict.severity > 0;
        verdict_deinit(&verdict);
        struct note *note = matters ? calloc(1, sizeof(*note)) : NULL;
        if (!note)
                return;
        note->kind = NOTE_EXEC;
        note->actor = actor_copy(actor);
        note->ticket = begin(sentry, UNFINISHED_EXEC, "", actor);
        put(sentry, note);
}

void mailbox_want_exit(struct mailbox *mailbox, pid_t pid) {
        pthread_mutex_lock(&mailbox->lock);
        mailbox->wanted[mailbox->n_wanted++ % WANTED_MAX] = pid;
        pthread_mutex_unlock(&mailbox->lock);
}

static bool is_wanted(struct mailbox *mailbox, pid_t pid) {
        pthread_mutex_lock(&mailbox->lock);
        size_t n = mailbox->n_wanted < WANTED_MAX ? mailbox->n_wanted : WANTED_MAX;
        bool found = false;
        for (size_t i = 0; i < n && !found; i++)
                found = mailbox->wanted[i] == pid;
        pthread_mutex_unlock(&mailbox->lock);
        return found;
}

void mailbox_exit(pid_t pid, uint64_t start_ns, void *userdata) {
        struct sentry *sentry = userdata;
        struct note *note = is_wanted(sentry->mailbox, pid) ? calloc(1, sizeof(*note)) : NULL;
        if (!note)
                return;
        note->kind = NOTE_EXIT;
        note->pid = pid;
        note->start_ns = start_ns;
        put(sentry, note);
}

void mailbox_refused(struct sentry *sentry, const char *path, const struct actor *actor) {
        struct note *note = calloc(1, sizeof(*note));
        if (!note)
                return;
        note->kind = NOTE_REFUSED;
        note->path = strdup(path);
        note->actor = actor ? actor_copy(actor) : NULL;
        note->ticket = begin(sentry, UNFINISHED_REFUSED, path, actor);
        put(sentry, note);
}

void mailbox_resume(struct sentry *sentry, uint32_t ticket, const struct unfinished_record *record,
                    struct actor *actor) {
        _cleanup_(actor_freep) struct actor *taken = actor;
        bool is_exec = record->kind == UNFINISHED_EXEC;
        struct note *note = is_exec && !actor ? NULL : calloc(1, sizeof(*note));
        if (!note) {
                unfinished_drop(sentry->unfinished, ticket);
                return;
        }
        note->kind = is_exec ? NOTE_EXEC : NOTE_REFUSED;
        note->path = is_exec ? NULL : strdup(record->path);
        note->actor = STEAL(taken);
        note->ticket = ticket;
        put(sentry, note);
}

static void work_off(struct sentry *sentry, const struct note *note) {
        struct verdict verdict;
        struct tree *tree;
        switch (note->kind) {
        case NOTE_EXEC:
                if (note->actor && judge_exec(note->actor, &verdict) == 0) {
                        report_exec(sentry, note->actor, &verdict, note->ticket);
                        verdict_deinit(&verdict);
                }
                break;
        case NOTE_EXIT:
                packages_exited(sentry, note->pid, note->start_ns);
                releases_tick(sentry);
                break;
        case NOTE_REFUSED:
                tree = note->path ? tree_of_path(sentry, note->path) : NULL;
                if (tree)
                        inspect(sentry, &(struct observation){
                                                .tree = tree,
                                                .relative = tree_relative(tree, note->path),
                                                .actor = note->actor,
                                                .refused = true,
                                                .ticket = note->ticket,
                                                .monotonic_ns = clock_monotonic_ns(&clock_system),
                                        });
                break;
        }
}

static int on_mail(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)revents;
        struct sentry *sentry = userdata;
        struct mailbox *mailbox = sentry->mailbox;
        eventfd_t count;
        eventfd_read(fd, &count);
        pthread_mutex_lock(&mailbox->lock);
        struct note *note = mailbox->first;
        mailbox->first = NULL;
        mailbox->end = &mailbox->first;
        mailbox->n = 0;
        pthread_mutex_unlock(&mailbox->lock);
        while (note) {
                struct note *next = note->next;
                work_off(sentry, note);
                unfinished_drop(sentry->unfinished, note->ticket);
                note_free(note);
                note = next;
        }
        return 0;
}

int mailbox_new(struct sentry *sentry, struct mailbox **ret_mailbox) {
        struct mailbox *mailbox = calloc(1, sizeof(*mailbox));
        if (!mailbox)
                return -ENOMEM;
        pthread_mutex_init(&mailbox->lock, NULL);
        mailbox->end = &mailbox->first;
        mailbox->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = mailbox->event_fd < 0 ? -errno
                                      : sd_event_add_io(sentry->event, &mailbox->source, mailbox->event_fd,
                                                        EPOLLIN, on_mail, sentry);
        if (r < 0) {
                mailbox_free(mailbox);
                return r;
        }
        *ret_mailbox = mailbox;
        return 0;
}

struct mailbox *mailbox_free(struct mailbox *mailbox) {
        if (!mailbox)
                return NULL;
        while (mailbox->first) {
                struct note *note = mailbox->first;
                mailbox->first = note->next;
                note_free(note);
        }
        sd_event_source_disable_unref(mailbox->source);
        if (mailbox->event_fd >= 0)
                close(mailbox->event_fd);
        pthread_mutex_destroy(&mailbox->lock);
        free(mailbox);
        return NULL;
}
