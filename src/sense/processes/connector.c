/* See connector.h, and process_connector_open() in table.h. */
#include "sense/processes/connector.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "sense/processes/table.h"

#define RECEIVE_BYTES (8 << 20) /* some 15,000 events while the table does not read */
#define ACK_WAIT_MS   500

/* Linux 6.6 lets a listener choose; older kernels ignore this longer message (connector's cn_proc_mcast_ctl).
 */
struct filter_input {
        uint32_t operation;
        uint32_t events;
};

/* Netlink's head and the connector's: the event behind them is not aligned. */
#define CONNECTOR_AT sizeof(struct nlmsghdr)
#define EVENT_AT     (CONNECTOR_AT + sizeof(struct cn_msg))

int process_event_decode(const void *data, size_t size, struct process_event *ret_event) {
        struct cn_msg connector;
        struct proc_event raw = {0};
        if (size < EVENT_AT + offsetof(struct proc_event, event_data))
                return -EBADMSG;
        memcpy(&connector, (const uint8_t *)data + CONNECTOR_AT, sizeof(connector));
        memcpy(&raw, (const uint8_t *)data + EVENT_AT,
               size - EVENT_AT < sizeof(raw) ? size - EVENT_AT : sizeof(raw));
        if (connector.id.idx != CN_IDX_PROC || connector.id.val != CN_VAL_PROC)
                return -EBADMSG;
        struct process_event event = {.kind = PROCESS_OTHER, .monotonic_ns = raw.timestamp_ns};
        switch ((uint32_t)raw.what) {
        case PROC_EVENT_NONE:
                event.kind = PROCESS_ACKNOWLEDGED;
                event.error = (int)raw.event_data.ack.err;
                break;
        case PROC_EVENT_FORK:
                if (raw.event_data.fork.child_pid == raw.event_data.fork.child_tgid)
                        event.kind = PROCESS_FORKED;
                event.pid = raw.event_data.fork.child_tgid;
                event.parent = raw.event_data.fork.parent_tgid;
                break;
        case PROC_EVENT_EXEC:
                event.kind = PROCESS_EXECUTED;
                event.pid = raw.event_data.exec.process_tgid;
                break;
        case PROC_EVENT_UID:
                event.kind = PROCESS_UID_CHANGED;
                event.pid = raw.event_data.id.process_tgid;
                event.uid = raw.event_data.id.e.euid;
                break;
        case PROC_EVENT_EXIT:
                if (raw.event_data.exit.process_pid == raw.event_data.exit.process_tgid)
                        event.kind = PROCESS_EXITED;
                event.pid = raw.event_data.exit.process_tgid;
                break;
        default:
                break;
        }
        *ret_event = event;
        return 0;
}

int connector_receive(int fd, struct process_event *ret_event) {
        uint8_t data[1024] __attribute__((aligned(8)));
        for (;;) {
                struct sockaddr_nl from = {0};
                socklen_t from_size = sizeof(from);
                ssize_t n =
                        recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                /* Any process may send to a netlink socket; only what comes from the kernel (0) counts. */
                if (from.nl_pid == 0 && process_event_decode(data, (size_t)n, ret_event) == 0)
                        return 1;
        }
}

static int subscribe(int fd, const void *input, uint16_t input_bytes) {
        struct {
                struct nlmsghdr netlink;
                struct cn_msg connector;
                uint8_t input[16];
        } message = {
                .netlink = {.nlmsg_type = NLMSG_DONE},
                .connector = {.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC}, .len = input_bytes},
        };
        memcpy(message.input, input, input_bytes);
        message.netlink.nlmsg_len = (uint32_t)(offsetof(__typeof__(message), input) + input_bytes);
        return send(fd, &message, message.netlink.nlmsg_len, 0) < 0 ? -errno : 0;
}

/* In a container nobody answers: without this wait the table would look alive and stay empty. */
static int wait_for_ack(int fd) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        while (poll(&ready, 1, ACK_WAIT_MS) > 0) {
                struct process_event event;
                int r = connector_receive(fd, &event);
                if (r < 0 && r != -ENOBUFS)
                        return r;
                if (r > 0 && event.kind == PROCESS_ACKNOWLEDGED)
                        return -event.error;
        }
        return -EOPNOTSUPP;
}

int process_connector_open(void) {
        static const int receive_bytes = RECEIVE_BYTES;
        const uint32_t listen = PROC_CN_MCAST_LISTEN;
        const struct filter_input filter = {
                .operation = PROC_CN_MCAST_LISTEN,
                .events = (uint32_t)PROC_EVENT_FORK | PROC_EVENT_EXEC | PROC_EVENT_UID | PROC_EVENT_EXIT,
        };
        _cleanup_(fd_closep) int fd =
                socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
        struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof(receive_bytes)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
        int r = subscribe(fd, &listen, sizeof(listen));
        if (r >= 0)
                r = wait_for_ack(fd);
        if (r >= 0)
                r = subscribe(fd, &filter, sizeof(filter));
        return r < 0 ? r : fd_steal(&fd);
}
