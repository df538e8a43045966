/* Decoding of fanotify's bytes: what is whole is found, what is not is refused. */
#include "sense/files/notice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/fanotify.h>

#include <cmocka.h>

struct event {
        uint8_t bytes[512];
        size_t size;
};

static void begin(struct event *event, uint64_t mask, int pid) {
        const struct fanotify_event_metadata head = {
                .event_len = sizeof(head),
                .vers = FANOTIFY_METADATA_VERSION,
                .metadata_len = sizeof(head),
                .mask = mask,
                .fd = FAN_NOFD,
                .pid = pid,
        };
        memset(event, 0, sizeof(*event));
        memcpy(event->bytes, &head, sizeof(head));
        event->size = sizeof(head);
}

static void add_record(struct event *event, uint8_t type, const void *payload, size_t size) {
        const struct fanotify_event_info_header info = {.info_type = type,
                                                        .len = (uint16_t)((sizeof(info) + size + 3) / 4 * 4)};
        uint32_t length = (uint32_t)(event->size + info.len);
        memcpy(event->bytes + event->size, &info, sizeof(info));
        memcpy(event->bytes + event->size + sizeof(info), payload, size);
        memcpy(event->bytes, &length, sizeof(length));
        event->size = length;
}

/* fsid, length of the handle, type, handle, name. */
static void add_object(struct event *event, uint8_t type, uint32_t handle_bytes, const char *name) {
        uint8_t payload[300] = {1, 2, 3, 4, 5, 6, 7, 8};
        memcpy(payload + 8, &handle_bytes, 4);
        payload[12] = 1;
        memset(payload + 16, 0xab, 8);
        if (name)
                memcpy(payload + 24, name, strlen(name) + 1);
        add_record(event, type, payload, 24 + (name ? strlen(name) + 1 : 0));
}

static void a_whole_event_is_decoded(void **state) {
        (void)state;
        struct event event;
        struct notice notice;
        size_t used;
        int pid_fd = 9;
        begin(&event, FAN_MODIFY, 42);
        add_object(&event, FAN_EVENT_INFO_TYPE_DFID_NAME, 8, "index.php");
        add_object(&event, FAN_EVENT_INFO_TYPE_FID, 8, NULL);
        add_record(&event, FAN_EVENT_INFO_TYPE_PIDFD, &pid_fd, sizeof(pid_fd));
        add_record(&event, 200, "new", 3);
        assert_int_equal(notice_decode(event.bytes, sizeof(event.bytes), &notice, &used), 1);
        assert_int_equal(used, event.size);
        assert_int_equal(notice.pid, 42);
        assert_int_equal(notice.pid_fd, 9);
        assert_int_equal(notice.mask, FAN_MODIFY);
        assert_string_equal(notice.name, "index.php");
        assert_int_equal(notice.directory_size, 24);
        assert_int_equal(notice.object_size, 24);
        assert_memory_equal(notice.object, notice.directory, 24);
        assert_ptr_not_equal(notice.object, notice.directory);
}

static void zeroes_end_the_events(void **state) {
        (void)state;
        uint8_t zeroes[64] = {0};
        struct notice notice;
        size_t used;
        assert_int_equal(notice_decode(zeroes, sizeof(zeroes), &notice, &used), 0);
        assert_int_equal(notice_decode(zeroes, 0, &notice, &used), 0);
        assert_int_equal(notice_decode(zeroes, 3, &notice, &used), 0);
}

/* Every cut of an event is refused, or the end; nothing is read past it (the sanitizers look). */
static void a_cut_event_is_refused(void **state) {
        (void)state;
        struct event event;
        struct notice notice;
        size_t used;
        begin(&event, FAN_CREATE, 1);
        add_object(&event, FAN_EVENT_INFO_TYPE_DFID_NAME, 8, "a");
        for (size_t size = 0; size < event.size; size++)
                assert_true(notice_decode(event.bytes, size, &notice, &used) <= 0);
        assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), 1);
}

static void lengths_that_lie_are_refused(void **state) {
        (void)state;
        struct event event;
        struct notice notice;
        size_t used;
        begin(&event, FAN_CREATE, 1);
        add_object(&event, FAN_EVENT_INFO_TYPE_DFID_NAME, 500, "a");
        assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), -EBADMSG);
        begin(&event, FAN_CREATE, 1);
        add_object(&event, FAN_EVENT_INFO_TYPE_DFID_NAME, 129, "a");
        assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), -EBADMSG);
        begin(&event, FAN_CREATE, 1);
        add_object(&event, FAN_EVENT_INFO_TYPE_FID, 8, NULL);
        event.bytes[offsetof(struct fanotify_event_metadata, metadata_len)] = 4;
        assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), -EBADMSG);
        begin(&event, FAN_CREATE, 1);
        add_object(&event, FAN_EVENT_INFO_TYPE_FID, 8, NULL);
        event.bytes[sizeof(struct fanotify_event_metadata) + 2] = 3; /* shorter than its own head */
        assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), -EBADMSG);
        begin(&event, FAN_CREATE, 1);
        event.bytes[offsetof(struct fanotify_event_metadata, vers)]++;
        assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), -EBADMSG);
}

static void a_name_is_one_entry(void **state) {
        (void)state;
        static const char *const names[] = {"", "a/b", "/"};
        struct event event;
        struct notice notice;
        size_t used;
        for (size_t i = 0; i < 3; i++) {
                begin(&event, FAN_CREATE, 1);
                add_object(&event, FAN_EVENT_INFO_TYPE_DFID_NAME, 8, names[i]);
                assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), -EBADMSG);
        }
        begin(&event, FAN_CREATE, 1); /* no NUL */
        uint8_t payload[28] = {0};
        payload[8] = 8;
        memset(payload + 24, 'a', 4);
        add_record(&event, FAN_EVENT_INFO_TYPE_DFID_NAME, payload, sizeof(payload));
        assert_int_equal(notice_decode(event.bytes, event.size, &notice, &used), -EBADMSG);
}

static void keys_hash_by_every_byte(void **state) {
        (void)state;
        uint8_t a[24] = {1}, b[24] = {1};
        assert_int_equal(file_key_hash(a, 24), file_key_hash(b, 24));
        assert_int_not_equal(file_key_hash(a, 24), file_key_hash(a, 23));
        for (size_t i = 0; i < sizeof(b); i++) {
                b[i] ^= 0x80;
                assert_int_not_equal(file_key_hash(a, 24), file_key_hash(b, 24));
                b[i] ^= 0x80;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_whole_event_is_decoded), cmocka_unit_test(zeroes_end_the_events),
                cmocka_unit_test(a_cut_event_is_refused),   cmocka_unit_test(lengths_that_lie_are_refused),
                cmocka_unit_test(a_name_is_one_entry),      cmocka_unit_test(keys_hash_by_every_byte),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
