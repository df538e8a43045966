/* See kept.h. In the machine's own byte order: the memory does not outlive a boot. */
#include "sense/processes/kept.h"

#include <string.h>

struct kept_head {
        uint64_t start_ns, forked_ns, exited_ns;
        int32_t pid;
        uint32_t parent, uid, login_uid, session;
        uint32_t unused;
};

/* Copies what fits; the position behind its NUL. */
static uint8_t *put_text(uint8_t *at, size_t room, const struct text *text) {
        const char *string = text_of(text) ?: "";
        size_t length = strnlen(string, room - 1);
        memcpy(at, string, length);
        at[length] = '\0';
        return at + length + 1;
}

void kept_encode(const struct entry *entry, uint32_t parent, uint8_t *bytes, size_t size) {
        const struct kept_head head = {
                .start_ns = entry->start_ns,
                .forked_ns = entry->forked_ns,
                .exited_ns = entry->exited_ns,
                .pid = entry->pid,
                .parent = parent,
                .uid = entry->uid,
                .login_uid = entry->login_uid,
                .session = entry->session,
        };
        size_t room = size - sizeof(head);
        memcpy(bytes, &head, sizeof(head));
        uint8_t *at = put_text(bytes + sizeof(head), room / 2, entry->executable);
        put_text(at, (size_t)(bytes + size - at), entry->command_line);
}

int kept_decode(const uint8_t *bytes, size_t size, struct kept *ret_kept) {
        struct kept_head head;
        if (size < sizeof(head))
                return -EBADMSG;
        memcpy(&head, bytes, sizeof(head));
        const uint8_t *executable = bytes + sizeof(head), *end = bytes + size;
        const uint8_t *middle = memchr(executable, '\0', (size_t)(end - executable));
        if (head.pid <= 0 || !middle || !memchr(middle + 1, '\0', (size_t)(end - middle - 1)))
                return -EBADMSG;
        *ret_kept = (struct kept){
                .start_ns = head.start_ns,
                .forked_ns = head.forked_ns,
                .exited_ns = head.exited_ns,
                .pid = head.pid,
                .parent = head.parent,
                .uid = head.uid,
                .login_uid = head.login_uid,
                .session = head.session,
                .executable = (const char *)executable,
                .command_line = (const char *)middle + 1,
        };
        return 0;
}
