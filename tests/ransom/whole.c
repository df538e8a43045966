/* Patterns that take the whole list at once: descriptors opened beforehand, one archive, whole folders. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pattern.h"

static int send_fd(int socket, int fd) {
        char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
        struct iovec data = {.iov_base = &byte, .iov_len = 1};
        struct msghdr message = {
                .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof(int));
        return sendmsg(socket, &message, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int socket) {
        char room[CMSG_SPACE(sizeof(int))], byte;
        struct iovec data = {.iov_base = &byte, .iov_len = 1};
        struct msghdr message = {
                .msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
        int fd = -1;
        if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
                memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
        return fd;
}

/* The child opens nothing: it alters what the parent, which does nothing else, sends it. */
static int alter_received(const struct job *job, int socket) {
        for (size_t i = 0; i < job->targets.n; i++) {
                struct victim victim;
                int fd = receive_fd(socket), r = job_begin(job, &job->targets.rows[i], &victim);
                if (r >= 0)
                        r = fd < 0 ? -EBADF
                                   : cipher_in_place(fd, victim.key, victim.size_bytes, &(struct shape){0});
                job_end(job, &job->targets.rows[i], &victim, r);
                if (fd >= 0)
                        close(fd);
        }
        return 0;
}

int alter_all_early(const struct job *job) {
        struct rlimit limit;
        int pair[2], status = 0, *fds = calloc(job->targets.n + 1, sizeof(*fds));
        if (!fds || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        for (size_t i = 0; i < job->targets.n; i++) {
                const char *name;
                int folder = scratch_folder(job->root, job->targets.rows[i].path, &name);
                fds[i] = folder < 0 ? -1 : scratch_at(folder, name, O_RDWR);
                if (folder >= 0)
                        close(folder);
        }
        puts("ready");
        fflush(stdout);
        alarm(300); /* should whoever started it, and says when, be gone */
        (void)getchar();
        alarm(0);
        pid_t pid = fork();
        if (pid == 0)
                _exit(alter_received(job, pair[1]));
        for (size_t i = 0; i < job->targets.n; i++)
                send_fd(pair[0], fds[i]);
        waitpid(pid, &status, 0);
        free(fds);
        return status ? -EIO : 0;
}

static int append_to(const struct job *job, int archive, uint64_t *at, const struct target *target) {
        struct victim victim;
        uint8_t *bytes = NULL;
        size_t n = 0;
        int r = job_begin(job, target, &victim);
        int fd = r < 0 ? r : scratch_at(victim.folder, victim.name, O_RDONLY);
        r = fd < 0 ? fd : read_whole(fd, &bytes, &n);
        if (r == 0) {
                cipher_apply(victim.key, 0, bytes, n);
                r = write_all(archive, bytes, n, *at);
                *at += n;
        }
        free(bytes);
        if (fd >= 0)
                close(fd);
        job_end(job, target, &victim, r < 0 ? r : UNTOUCHED);
        return r;
}

int alter_all_archive(const struct job *job) {
        char name[64];
        uint64_t at = 0;
        snprintf(name, sizeof(name), "archive%.40s", job->extension);
        int fd = scratch_at(job->root, name, O_WRONLY | O_CREAT | O_EXCL), r = fd < 0 ? fd : 0;
        for (size_t i = 0; r == 0 && i < job->targets.n; i++)
                r = append_to(job, fd, &at, &job->targets.rows[i]);
        if (fd >= 0)
                close(fd);
        for (size_t i = 0; r == 0 && i < job->targets.n; i++) {
                struct victim victim;
                int removed = job_begin(job, &job->targets.rows[i], &victim);
                if (removed == 0 && unlinkat(victim.folder, victim.name, 0) < 0)
                        removed = -errno;
                job_end(job, &job->targets.rows[i], &victim, removed);
        }
        return r;
}

/* Each folder directly below the root leaves by one rename; what stands in the root itself stays. */
int alter_all_folders(const struct job *job) {
        for (size_t i = 0; i < job->targets.n; i++) {
                struct victim victim;
                const struct target *target = &job->targets.rows[i];
                const char *slash = strchr(target->path, '/');
                char name[256];
                if (!slash || slash - target->path > 255)
                        continue;
                snprintf(name, sizeof(name), "%.*s", (int)(slash - target->path), target->path);
                int r = job_begin(job, target, &victim);
                if (r == -ENOENT) /* its folder has left already */
                        r = faccessat(job->root, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : r;
                else if (r == 0 && renameat(job->root, name, job->elsewhere, name) < 0)
                        r = -errno;
                job_end(job, target, &victim, r);
        }
        return 0;
}
