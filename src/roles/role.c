/*
 * From `hinomi -x ROLE` to the role's run function: collect the descriptors, chroot and
 * drop as the table says. The assayer drops by itself, after it has compiled its rules.
 */
#include "roles/role.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sandbox.h"

static const struct {
        const char *name;
        const char *user; /* NULL: root */
        bool lives_in_state;
        int (*run)(const struct role_context *context);
} roles[ROLE_COUNT] = {
        [ROLE_PARENT] = {"parent", NULL, false, NULL},
        [ROLE_SENTRY] = {"sentry", NULL, false, role_sentry_run},
        [ROLE_ASSAYER] = {"assayer", "hinomi-assay", false, role_assayer_run},
        [ROLE_ENGINE] = {"engine", "hinomi", true, role_engine_run},
        [ROLE_LEDGER] = {"ledger", "hinomi-ledger", true, role_ledger_run},
};

const char *role_name(enum role_id id) {
        return (unsigned)id < ROLE_COUNT ? roles[id].name : "unknown";
}

enum role_id role_parse(const char *name) {
        enum role_id id = ROLE_PARENT;
        while (id < ROLE_COUNT && strcmp(roles[id].name, name))
                id++;
        return id;
}

int role_user(enum role_id id, struct role_user *ret_user) {
        if (!roles[id].user) {
                *ret_user = (struct role_user){0, 0};
                return 0;
        }
        errno = 0;
        const struct passwd *entry = getpwnam(roles[id].user);
        if (!entry)
                return errno ? -errno : -ENOENT;
        *ret_user = (struct role_user){entry->pw_uid, entry->pw_gid};
        return 0;
}

static int fd_if_open(int fd) {
        if (fcntl(fd, F_GETFD) < 0)
                return -1;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        return fd;
}

static void collect(struct role_context *context) {
        for (int i = 0; i < ROLE_COUNT; i++)
                context->peers[i] = fd_if_open(ROLE_FD_PEERS + i);
        context->config_fd = fd_if_open(ROLE_FD_CONFIG);
        context->fanotify_fd = fd_if_open(ROLE_FD_FANOTIFY);
        context->gate_fd = fd_if_open(ROLE_FD_GATE);
        context->connector_fd = fd_if_open(ROLE_FD_CONNECTOR);
        context->pending_fd = fd_if_open(ROLE_FD_PENDING);
        context->unanswered_fd = fd_if_open(ROLE_FD_UNANSWERED);
        context->processes_fd = fd_if_open(ROLE_FD_PROCESSES);
        context->unfinished_fd = fd_if_open(ROLE_FD_UNFINISHED);
        context->listen_fd = fd_if_open(ROLE_FD_LISTEN);
}

/* chroot(2) into the state directory: a role whose path lies below a directory that only root may enter still works. */
static int settle(struct role_context *context) {
        struct role_user user;
        if (!roles[context->id].lives_in_state)
                return 0;
        int r = role_user(context->id, &user);
        if (r < 0)
                return r;
        if (chdir(context->state) < 0 || chroot(".") < 0)
                return -errno;
        context->state = "/";
        if (setgroups(0, NULL) < 0 || setresgid(user.gid, user.gid, user.gid) < 0 ||
            setresuid(user.uid, user.uid, user.uid) < 0)
                return -errno;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) /* a change of user clears it */
                return -errno;
        return sandbox_enter_service();
}

int roles_main(int argc, char **argv) {
        if (argc < 5 || getppid() == 1)
                return 2;
        struct role_context context = {
                .id = role_parse(argv[2]),
                .state = argv[3],
                .packs = argv[4],
                .json = argc > 5 && !strcmp(argv[5], "json"),
        };
        if (context.id >= ROLE_COUNT || !roles[context.id].run)
                return 2;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_NAME, role_name(context.id));
        signal(SIGINT, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        umask(027);
        collect(&context);
        int r = settle(&context);
        if (r == 0)
                r = roles[context.id].run(&context);
        if (r < 0)
                fprintf(stderr, "hinomi: %s: %s\n", role_name(context.id), strerror(-r));
        return r < 0 ? 3 : 0;
}
