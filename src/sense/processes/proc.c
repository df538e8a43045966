/* See proc.h. Everything is opened beside one descriptor of /proc/PID, so that a pid used again cannot mix
 * in. */
#include "sense/processes/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/secrets.h"

static int open_process(pid_t pid) {
        char path[32];
        snprintf(path, sizeof(path), "/proc/%d", pid);
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -ESRCH : fd;
}

/* Bytes read, the text ended by NUL, or a negative errno. */
static ssize_t read_file(int directory_fd, const char *name, char *text, size_t room) {
        _cleanup_(fd_closep) int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n = read(fd, text, room - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        return n;
}

void proc_join_arguments(char *text, size_t size) {
        while (size && text[size - 1] == '\0')
                size--;
        for (size_t i = 0; i < size; i++)
                if (text[i] == '\0')
                        text[i] = ' ';
        text[size] = '\0';
}

static void read_image(int fd, struct proc_status *status) {
        ssize_t n = readlinkat(fd, "exe", status->executable, sizeof(status->executable) - 1);
        status->executable[n > 0 ? n : 0] = '\0';
        bool has_executable = n > 0;
        n = read_file(fd, "cmdline", status->command_line, sizeof(status->command_line));
        if (n > 0)
                proc_join_arguments(status->command_line,
                                    secrets_mask_arguments(status->command_line, (size_t)n));
        else
                status->command_line[0] = '\0';
        status->is_named = has_executable && n > 0;
}

static uint32_t read_number(int fd, const char *name) {
        char text[32];
        if (read_file(fd, name, text, sizeof(text)) <= 0)
                return ACTOR_UNSET;
        return (uint32_t)strtoul(text, NULL, 10);
}

static int read_stat(int fd, struct proc_status *status) {
        char text[1024];
        ssize_t n = read_file(fd, "stat", text, sizeof(text));
        if (n < 0)
                return -ESRCH;
        return procfs_decode_stat(text, (size_t)n, &status->stat);
}

static uid_t read_uid(int fd) {
        char text[4096];
        unsigned uid;
        if (read_file(fd, "status", text, sizeof(text)) <= 0)
                return (uid_t)-1;
        const char *line = strstr(text, "\nUid:");
        return line && sscanf(line, " Uid: %*u %u", &uid) == 1 ? uid : (uid_t)-1;
}

int proc_read_image(pid_t pid, struct proc_status *ret_status) {
        _cleanup_(fd_closep) int fd = open_process(pid);
        ret_status->pid = pid;
        ret_status->stat = (struct procfs_stat){0};
        ret_status->is_named = false;
        ret_status->executable[0] = ret_status->command_line[0] = '\0';
        if (fd < 0)
                return fd;
        read_image(fd, ret_status);
        int r = read_stat(fd, ret_status);
        if (r < 0)
                return r;
        ret_status->login_uid = read_number(fd, "loginuid");
        ret_status->session = read_number(fd, "sessionid");
        return 0;
}

int proc_read(pid_t pid, struct proc_status *ret_status) {
        _cleanup_(fd_closep) int fd = open_process(pid);
        if (fd < 0)
                return fd;
        ret_status->pid = pid;
        read_image(fd, ret_status);
        int r = read_stat(fd, ret_status);
        if (r < 0)
                return r;
        ret_status->uid = read_uid(fd);
        ret_status->login_uid = read_number(fd, "loginuid");
        ret_status->session = read_number(fd, "sessionid");
        return 0;
}

void proc_refresh_session(struct process *process) {
        _cleanup_(fd_closep) int fd = open_process(process->pid);
        if (fd < 0)
                return;
        uint32_t login_uid = read_number(fd, "loginuid"), session = read_number(fd, "sessionid");
        if (!procfs_same_start(proc_start_ns(process->pid), process->start_ns))
                return;
        process->login_uid = login_uid;
        process->session = session;
}

uint64_t proc_start_ns(pid_t pid) {
        struct procfs_stat now;
        return procfs_stat(pid, &now) == 0 ? now.start_ns : 0;
}
