/* The connector's datagrams: what is followed, what is not, and what lies about its length. */
#include "sense/processes/connector.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct datagram {
        uint8_t bytes[sizeof(struct nlmsghdr) + sizeof(struct cn_msg) + sizeof(struct proc_event)];
};

static struct datagram make(const struct proc_event *event) {
        struct datagram datagram = {{0}};
        const struct cn_msg head = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .len = sizeof(*event)};
        memcpy(datagram.bytes + sizeof(struct nlmsghdr), &head, sizeof(head));
        memcpy(datagram.bytes + sizeof(struct nlmsghdr) + sizeof(head), event, sizeof(*event));
        return datagram;
}

static struct process_event decode(const struct proc_event *event) {
        struct datagram datagram = make(event);
        struct process_event decoded;
        assert_int_equal(process_event_decode(&datagram, sizeof(datagram), &decoded), 0);
        return decoded;
}

static void processes_are_followed(void **state) {
        (void)state;
        struct proc_event event = {.what = PROC_EVENT_FORK, .timestamp_ns = 77};
        event.event_data.fork.child_pid = event.event_data.fork.child_tgid = 12;
        event.event_data.fork.parent_pid = 11;
        event.event_data.fork.parent_tgid = 10;
        struct process_event decoded = decode(&event);
        assert_int_equal(decoded.kind, PROCESS_FORKED);
        assert_int_equal(decoded.pid, 12);
        assert_int_equal(decoded.parent, 10);
        assert_int_equal(decoded.monotonic_ns, 77);

        event = (struct proc_event){.what = PROC_EVENT_UID};
        event.event_data.id.process_tgid = 5;
        event.event_data.id.r.ruid = 1;
        event.event_data.id.e.euid = 33;
        decoded = decode(&event);
        assert_int_equal(decoded.kind, PROCESS_UID_CHANGED);
        assert_int_equal(decoded.uid, 33);

        event = (struct proc_event){.what = PROC_EVENT_NONE};
        event.event_data.ack.err = EPERM;
        assert_int_equal(decode(&event).error, EPERM);
}

static void threads_are_not(void **state) {
        (void)state;
        struct proc_event event = {.what = PROC_EVENT_FORK};
        event.event_data.fork.child_pid = 13;
        event.event_data.fork.child_tgid = 12;
        assert_int_equal(decode(&event).kind, PROCESS_OTHER);
        event = (struct proc_event){.what = PROC_EVENT_EXIT};
        event.event_data.exit.process_pid = 13;
        event.event_data.exit.process_tgid = 12;
        assert_int_equal(decode(&event).kind, PROCESS_OTHER);
        event.event_data.exit.process_pid = 12;
        assert_int_equal(decode(&event).kind, PROCESS_EXITED);
}

static void what_is_not_the_connectors_is_refused(void **state) {
        (void)state;
        struct proc_event event = {.what = PROC_EVENT_EXEC};
        struct datagram datagram = make(&event);
        struct process_event decoded;
        for (size_t size = 0; size < sizeof(struct nlmsghdr) + sizeof(struct cn_msg) + 16; size++)
                assert_int_equal(process_event_decode(&datagram, size, &decoded), -EBADMSG);
        datagram.bytes[sizeof(struct nlmsghdr)]++;
        assert_int_equal(process_event_decode(&datagram, sizeof(datagram), &decoded), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(processes_are_followed),
                cmocka_unit_test(threads_are_not),
                cmocka_unit_test(what_is_not_the_connectors_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
