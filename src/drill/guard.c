#include "drill/guard.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/message.h"
#include "event/json.h"

#define LOG_BYTES_MAX ((size_t)8 << 20)
#define STOP_WAIT_MS  30000

int drill_is_interrupted(void) {
        sigset_t pending;
        return sigpending(&pending) == 0 &&
               (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);
}

static void pause_ms(unsigned ms) {
        nanosleep(&(struct timespec){.tv_nsec = (long)(ms * NS_PER_MS)}, NULL);
}

void guard_path(const struct guard *guard, const char *name, char ret_path[static PATH_MAX]) {
        snprintf(ret_path, PATH_MAX, "%.*s/%s", PATH_MAX - 64, guard->directory, name);
}

/* JSON is YAML. */
static int write_config(const struct guard *guard, const char *tree, const char *profile) {
        json_t *config = json_pack("{s:[{s:s,s:s,s:s,s:s}]}", "trees", "path", tree, "protect", "mirror",
                                   "profile", profile, "respond", "restore");
        char *text = config ? json_dumps(config, JSON_INDENT(1)) : NULL;
        json_decref(config);
        _cleanup_(fd_closep) int directory = open(guard->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(fd_closep) int fd =
                openat(directory, "hinomi.yaml", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        int r = !text ? -EINVAL : fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
        if (r == 0)
                r = io_write_all(fd, "\n", 1);
        free(text);
        return r;
}

static void run_child(const struct guard *guard, const char *binary, const char *packs) {
        char config[PATH_MAX], state[PATH_MAX], socket_path[PATH_MAX], out[PATH_MAX], log[PATH_MAX];
        guard_path(guard, "hinomi.yaml", config);
        guard_path(guard, "state", state);
        guard_path(guard, "control.sock", socket_path);
        guard_path(guard, "guard.out", out);
        guard_path(guard, "guard.log", log);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        setsid(); /* Ctrl-C is ours: we end it when we are done */
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        int null_fd = open("/dev/null", O_RDONLY);
        int out_fd = open(out, O_WRONLY | O_CREAT | O_EXCL, 0600);
        int log_fd = open(log, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (null_fd < 0 || out_fd < 0 || log_fd < 0 || dup2(null_fd, 0) < 0 || dup2(out_fd, 1) < 0 ||
            dup2(log_fd, 2) < 0)
                _exit(127);
        close_range(3, ~0U, 0);
        execl(binary, "hinomi", "watch", "--config", config, "--state", state, "--socket", socket_path,
              "--packs", packs, NULL);
        _exit(127);
}

int guard_start(struct guard *guard, const char *binary, const char *packs, const char *directory,
                const char *tree, const char *profile) {
        *guard = (struct guard){0};
        if (strlen(directory) >= sizeof(guard->directory) - 64)
                return -ENAMETOOLONG;
        strcpy(guard->directory, directory);
        int r = write_config(guard, tree, profile);
        if (r < 0)
                return r;
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_child(guard, binary, packs);
        guard->pid = pid;
        return 0;
}

static bool has_line(const struct guard *guard, const char *line) {
        char path[PATH_MAX];
        guard_path(guard, "guard.out", path);
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, LOG_BYTES_MAX);
        return io_read_file(AT_FDCWD, path, &text) == 0 && text.size && strstr(text.data, line);
}

int guard_wait(const struct guard *guard, unsigned wait_ms) {
        for (unsigned waited = 0; waited < wait_ms; waited += 10) {
                siginfo_t info = {0};
                if (has_line(guard, "hinomi: watching\n"))
                        return 0;
                if (drill_is_interrupted())
                        return -EINTR;
                if (waitid(P_PID, (id_t)guard->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid)
                        return -ECHILD;
                pause_ms(10);
        }
        return -ETIMEDOUT;
}

void guard_stop(struct guard *guard) {
        if (!guard->pid)
                return;
        kill(guard->pid, SIGTERM);
        for (unsigned waited = 0; waitpid(guard->pid, NULL, WNOHANG) == 0; waited += 10) {
                if (waited == STOP_WAIT_MS)
                        kill(guard->pid, SIGKILL);
                pause_ms(10);
        }
        guard->pid = 0;
}

void guard_last_words(const struct guard *guard, char *ret_words, size_t size) {
        char path[PATH_MAX];
        guard_path(guard, "guard.log", path);
        _cleanup_(buffer_deinit) struct buffer text;
        buffer_init(&text, LOG_BYTES_MAX);
        *ret_words = '\0';
        if (io_read_file(AT_FDCWD, path, &text) < 0 || !text.size)
                return;
        while (text.size && text.data[text.size - 1] == '\n')
                text.data[--text.size] = '\0';
        const char *line = strrchr(text.data, '\n');
        snprintf(ret_words, size, "%s", line ? line + 1 : text.data);
}

int guard_connect(const char *socket_path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(socket_path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, socket_path);
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return fd_steal(&fd);
}

int guard_ask(int fd, json_t *request, unsigned wait_ms, json_t **ret_line) {
        int r = message_send(fd, request, NULL, 0);
        json_decref(request);
        json_t *line = NULL;
        while (r == 0) {
                struct pollfd readable = {.fd = fd, .events = POLLIN};
                if (poll(&readable, 1, (int)wait_ms) <= 0) {
                        r = -ETIMEDOUT;
                        break;
                }
                _cleanup_(message_deinit) struct message message = MESSAGE_INIT;
                r = message_receive(fd, &message);
                const char *type = r == 0 ? json_get_string(message.body, "type") : NULL;
                if (type && !strcmp(type, "line")) {
                        json_decref(line);
                        line = json_incref(json_object_get(message.body, "data"));
                } else if (type && !strcmp(type, "end")) {
                        r = (int)json_get_integer(message.body, "status", 3);
                        break;
                }
        }
        if (ret_line)
                *ret_line = line;
        else
                json_decref(line);
        return r;
}
