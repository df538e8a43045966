#include "base/message.h"

#include <string.h>
#include <sys/socket.h>

void message_deinit(struct message *message) {
        json_decref(STEAL(message->body));
        for (size_t i = 0; i < message->n_fds; i++)
                if (message->fds[i] >= 0)
                        close(message->fds[i]);
        message->n_fds = 0;
}

int message_take_fd(struct message *message, size_t i) {
        return i < message->n_fds ? fd_steal(&message->fds[i]) : -EBADF;
}

int message_send(int socket_fd, const json_t *body, const int *fds, size_t n_fds) {
        _cleanup_(freep) char *text = json_dumps(body, JSON_COMPACT);
        return text ? message_send_text(socket_fd, text, strlen(text), fds, n_fds) : -EINVAL;
}

int message_send_text(int socket_fd, char *text, size_t size, const int *fds, size_t n_fds) {
        if (n_fds > MESSAGE_FDS_MAX)
                return -EINVAL;
        if (size > MESSAGE_BYTES_MAX)
                return -EMSGSIZE;

        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
        } control = {0};
        struct iovec iov = {.iov_base = text, .iov_len = size};
        struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
        if (n_fds) {
                header.msg_control = &control;
                header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
                cmsg->cmsg_level = SOL_SOCKET;
                cmsg->cmsg_type = SCM_RIGHTS;
                cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
        }
        ssize_t n;
        do
                n = sendmsg(socket_fd, &header, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : 0;
}

static void take_control(struct msghdr *header, struct message *message) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;
                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (message->n_fds < MESSAGE_FDS_MAX)
                                message->fds[message->n_fds++] = fd;
                        else
                                close(fd);
                }
        }
}

int message_receive(int socket_fd, struct message *ret_message) {
        static _Thread_local char *text;
        *ret_message = (struct message)MESSAGE_INIT;
        if (!text && !(text = malloc(MESSAGE_BYTES_MAX)))
                return -ENOMEM;

        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
        } control;
        struct iovec iov = {.iov_base = text, .iov_len = MESSAGE_BYTES_MAX};
        struct msghdr header = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t n;
        do
                n = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        take_control(&header, ret_message);
        if (n == 0) {
                message_deinit(ret_message);
                return -EPIPE;
        }
        if (!(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
                ret_message->body = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(ret_message->body)) {
                message_deinit(ret_message);
                return -EBADMSG;
        }
        return 0;
}

void message_socket_tune(int socket_fd) {
        int bytes = 4 << 20;
        if (setsockopt(socket_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
                setsockopt(socket_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int message_pair(int ret_fds[static 2]) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        message_socket_tune(fds[0]);
        message_socket_tune(fds[1]);
        ret_fds[0] = fds[0];
        ret_fds[1] = fds[1];
        return 0;
}
