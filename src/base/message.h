/*
 * Messages between roles: one JSON object a packet on a SOCK_SEQPACKET socket,
 * with up to MESSAGE_FDS_MAX descriptors beside it (SCM_RIGHTS).
 *
 * A packet is at most MESSAGE_BYTES_MAX. What arrives is hostile until parsed:
 * message_receive() returns -EBADMSG for anything that is not one whole object.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/cleanup.h"

#define MESSAGE_BYTES_MAX ((size_t)180 << 10)
#define MESSAGE_FDS_MAX   4

struct message {
        json_t *body; /* owned */
        int fds[MESSAGE_FDS_MAX];
        size_t n_fds;
};

#define MESSAGE_INIT                                                                                         \
        { .body = NULL, .fds = {-1, -1, -1, -1}, .n_fds = 0 }

/* Frees the body and closes what descriptors are left. */
void message_deinit(struct message *message);

/* Takes descriptor `i` out of the message, or -EBADF. */
int message_take_fd(struct message *message, size_t i);

/*
 * Sends; the caller keeps body and descriptors. Returns 0, -EAGAIN (socket full and
 * non-blocking), -EMSGSIZE, -EPIPE or another negative errno.
 */
int message_send(int socket_fd, const json_t *body, const int *fds, size_t n_fds);

/* The same of one object that is text already. */
int message_send_text(int socket_fd, char *text, size_t size, const int *fds, size_t n_fds);

/* Returns 0, -EAGAIN, -EPIPE at the end, or -EBADMSG. `ret_message` is initialised. */
int message_receive(int socket_fd, struct message *ret_message);

/* An AF_UNIX SOCK_SEQPACKET pair, close-on-exec, with room for several full messages. */
int message_pair(int ret_fds[static 2]);

/* Sets SO_SNDBUF and SO_RCVBUF as message_pair() does. */
void message_socket_tune(int socket_fd);
