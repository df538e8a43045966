#include "roles/ledger-mail.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/message.h"

struct letter {
        struct letter *next;
        json_t *body;
        bool is_entry;
};

struct mail {
        int fd;
        struct letter *first, **end;
        size_t n_entries;
        sd_event_source *writable;
};

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata);

int mail_new(sd_event *event, int fd, struct mail **ret_mail) {
        struct mail *mail = calloc(1, sizeof(*mail));
        if (!mail)
                return -ENOMEM;
        mail->fd = fd;
        mail->end = &mail->first;
        int r = 0;
        if (fd >= 0) {
                fcntl(fd, F_SETFL, O_NONBLOCK);
                _cleanup_(fd_closep) int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                /* a second descriptor: the first one is watched for reading by its own source */
                r = own_fd < 0 ? -errno
                               : sd_event_add_io(event, &mail->writable, own_fd, EPOLLOUT, on_writable, mail);
                if (r >= 0)
                        r = sd_event_source_set_enabled(mail->writable, SD_EVENT_OFF);
                if (r >= 0) {
                        sd_event_source_set_io_fd_own(mail->writable, true);
                        fd_steal(&own_fd);
                }
        }
        if (r < 0) {
                mail_free(mail);
                return r;
        }
        *ret_mail = mail;
        return 0;
}

static void first_drop(struct mail *mail) {
        struct letter *letter = mail->first;
        mail->first = letter->next;
        if (!mail->first)
                mail->end = &mail->first;
        mail->n_entries -= letter->is_entry;
        json_decref(letter->body);
        free(letter);
}

void mail_clear(struct mail *mail) {
        while (mail->first)
                first_drop(mail);
}

struct mail *mail_free(struct mail *mail) {
        if (mail) {
                mail_clear(mail);
                sd_event_source_disable_unref(mail->writable);
                free(mail);
        }
        return NULL;
}

static void flush(struct mail *mail) {
        while (mail->first) {
                int r = message_send(mail->fd, mail->first->body, NULL, 0);
                if (r == -EAGAIN || r == -ENOBUFS) {
                        sd_event_source_set_enabled(mail->writable, SD_EVENT_ON);
                        return;
                }
                first_drop(mail);
        }
        sd_event_source_set_enabled(mail->writable, SD_EVENT_OFF);
}

static int on_writable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)fd, (void)revents;
        flush(userdata);
        return 0;
}

static void entries_thin(struct mail *mail) {
        struct letter **link = &mail->first;
        while (*link) {
                struct letter *letter = *link;
                if (!letter->is_entry) {
                        link = &letter->next;
                        continue;
                }
                *link = letter->next;
                json_decref(letter->body);
                free(letter);
        }
        mail->end = link;
        mail->n_entries = 0;
}

static void post(struct mail *mail, json_t *body, bool is_entry) {
        struct letter *letter = mail->fd < 0 || !body ? NULL : calloc(1, sizeof(*letter));
        if (!letter) {
                json_decref(body);
                return;
        }
        bool was_empty = !mail->first;
        *letter = (struct letter){.body = body, .is_entry = is_entry};
        *mail->end = letter;
        mail->end = &letter->next;
        mail->n_entries += is_entry;
        if (was_empty)
                flush(mail);
}

void mail_send(struct mail *mail, json_t *body) {
        post(mail, body, false);
}

void mail_send_entry(struct mail *mail, json_t *body) {
        if (mail->n_entries >= MAIL_ENTRIES_MAX)
                entries_thin(mail);
        post(mail, body, true);
}
