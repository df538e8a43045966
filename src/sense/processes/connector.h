/*
 * The kernel's process connector (linux/cn_proc.h; Documentation/driver-api/connector.rst): a netlink
 * multicast of fork, exec, change of uid and exit. Needs CAP_NET_ADMIN in the first pid namespace.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum process_event_kind {
        PROCESS_FORKED,
        PROCESS_EXECUTED,
        PROCESS_UID_CHANGED,
        PROCESS_EXITED,
        PROCESS_ACKNOWLEDGED, /* answer to the subscription; `error` */
        PROCESS_OTHER,        /* of a thread, or a kind that is not followed */
};

struct process_event {
        enum process_event_kind kind;
        pid_t pid;
        pid_t parent; /* fork */
        uid_t uid;    /* effective */
        int error;
        uint64_t monotonic_ns;
};

/* Decodes one datagram. Returns 0 or -EBADMSG. Pure. */
int process_event_decode(const void *data, size_t size, struct process_event *ret_event);

/*
 * Reads one event. 1: `ret_event` is set; 0: nothing is ready; -ENOBUFS: the kernel lost some;
 * another negative errno: the socket is of no use.
 */
int connector_receive(int fd, struct process_event *ret_event);
