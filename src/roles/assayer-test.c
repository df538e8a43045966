/* The role as it runs: its own process, behind its sandbox, asked over its socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/message.h"
#include "event/json.h"
#include "roles/role.h"

struct assayer {
        pid_t pid;
        int sentry_fd, parent_fd;
};

/* Tests may run as root on a machine where the role's own user was not made yet. */
static void become_nobody(void) {
        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
                _exit(98);
}

static int start(void **state) {
        static struct assayer assayer;
        int sentry[2], parent[2];
        if (message_pair(sentry) < 0 || message_pair(parent) < 0)
                return -1;
        assayer.pid = fork();
        if (assayer.pid == 0) {
                struct role_context context = {.id = ROLE_ASSAYER, .packs = "packs"};
                for (size_t i = 0; i < ROLE_COUNT; i++)
                        context.peers[i] = -1;
                context.peers[ROLE_SENTRY] = sentry[1];
                context.peers[ROLE_PARENT] = parent[1];
                close(sentry[0]);
                close(parent[0]);
                become_nobody();
                _exit(role_assayer_run(&context) < 0);
        }
        close(sentry[1]);
        close(parent[1]);
        assayer.sentry_fd = sentry[0];
        assayer.parent_fd = parent[0];
        *state = &assayer;
        return 0;
}

static int stop(void **state) {
        struct assayer *assayer = *state;
        int status = -1;
        close(assayer->sentry_fd);
        close(assayer->parent_fd);
        waitpid(assayer->pid, &status, 0);
        return status;
}

static int file_of(const void *data, size_t size) {
        int fd = memfd_create("content", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(io_write_all(fd, data, size), 0);
        return fd;
}

static json_t *ask(const struct assayer *assayer, json_t *request, const int *fds, size_t n_fds) {
        struct message message;
        assert_int_equal(message_send(assayer->sentry_fd, request, fds, n_fds), 0);
        json_decref(request);
        for (size_t i = 0; i < n_fds; i++)
                close(fds[i]);
        assert_int_equal(message_receive(assayer->sentry_fd, &message), 0);
        return message.body;
}

static void says_ready(void **state) {
        struct assayer *assayer = *state;
        _cleanup_(message_deinit) struct message message;
        assert_int_equal(message_receive(assayer->parent_fd, &message), 0);
        assert_string_equal(json_get_string(message.body, "type"), "ready");
}

static void assays(void **state) {
        static const char shell[] = "<?php eval($_POST['x']);";
        int fd = file_of(shell, strlen(shell));
        json_t *reply =
                ask(*state,
                    json_pack("{s:s,s:i,s:s,s:s}", "type", "assay", "id", 7, "name", "a.jpg", "zone", "data"),
                    &fd, 1);
        assert_string_equal(json_get_string(reply, "type"), "assayed");
        assert_int_equal(json_get_integer(reply, "id", 0), 7);
        const json_t *content = json_object_get(reply, "content");
        assert_string_equal(json_get_string(content, "media"), "text/x-php");
        assert_true(json_array_size(json_object_get(content, "indicators")) >= 2);
        json_decref(reply);
}

static void asks_without_file_get_an_error(void **state) {
        json_t *reply = ask(*state, json_pack("{s:s,s:i}", "type", "assay", "id", 8), NULL, 0);
        assert_int_equal(json_get_integer(reply, "id", 0), 8);
        assert_non_null(json_get_string(reply, "error"));
        json_decref(reply);
}

static void large_files_are_bounded(void **state) {
        size_t size = (size_t)40 << 20;
        int fd = memfd_create("large", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        json_t *reply =
                ask(*state, json_pack("{s:s,s:i,s:s}", "type", "hosts", "id", 9, "name", "a.js"), &fd, 1);
        assert_true(json_is_array(json_object_get(reply, "hosts")));
        json_decref(reply);
}

/* Any bytes but the text's own; the same at every run. */
static void scramble(unsigned char *data, size_t size) {
        uint64_t state = 88172645463325252u;
        for (size_t i = 0; i < size; i++) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                data[i] ^= (unsigned char)(state >> 32);
        }
}

static json_int_t compare_text(struct assayer *assayer, size_t size, bool is_encrypted) {
        char *text = malloc(size);
        assert_non_null(text);
        for (size_t i = 0; i < size; i++)
                text[i] = "the quick brown fox jumps over the lazy dog\n"[i * 31 / 7 % 44];
        int before = file_of(text, size);
        if (is_encrypted)
                scramble((unsigned char *)text, size);
        else
                memcpy(text + size / 2, "an edit", 7);
        int fds[] = {file_of(text, size), before};
        free(text);
        json_t *reply = ask(
                assayer, json_pack("{s:s,s:i,s:s,s:b}", "type", "compare", "id", 1, "name", "a", "before", 1),
                fds, 2);
        assert_string_equal(json_get_string(reply, "type"), "compared");
        json_int_t suspicion = json_get_integer(json_object_get(reply, "signs"), "suspicion", -1);
        json_decref(reply);
        return suspicion;
}

static void compares(void **state) {
        assert_in_range(compare_text(*state, 20000, true), 70, 100);
        assert_int_equal(compare_text(*state, 20000, false), 0);
        assert_in_range(compare_text(*state, (size_t)40 << 20, true), 70, 100);
        assert_int_equal(compare_text(*state, (size_t)40 << 20, false), 0);
        json_t *reply = ask(*state, json_pack("{s:s,s:i}", "type", "compare", "id", 2), NULL, 0);
        assert_non_null(json_get_string(reply, "error"));
        json_decref(reply);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(says_ready),
                cmocka_unit_test(assays),
                cmocka_unit_test(asks_without_file_get_an_error),
                cmocka_unit_test(large_files_are_bounded),
                cmocka_unit_test(compares),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
