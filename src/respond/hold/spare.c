#include "respond/hold/spare.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/procfs.h"

#define DEPTH_MAX 16

struct row {
        const char *name; /* a trailing '*' matches any ending */
        enum service service;
        bool serves; /* is not killed either: nobody's own program, and not one that runs anybody's */
};

static const struct row rows[] = {
        {"systemd", SERVICE_SINGLE, true},     {"systemd-*", SERVICE_SINGLE, true},
        {"init", SERVICE_SINGLE, true},        {"runsv*", SERVICE_SINGLE, true},
        {"s6-*", SERVICE_SINGLE, true},        {"supervisord", SERVICE_SINGLE, true},
        {"cron", SERVICE_SINGLE, true},        {"crond", SERVICE_SINGLE, true},
        {"anacron", SERVICE_SINGLE, true},     {"atd", SERVICE_SINGLE, true},
        {"incron*", SERVICE_SINGLE, true},     {"sshd", SERVICE_SINGLE, true},
        {"sshd-*", SERVICE_SINGLE, true},      {"dockerd", SERVICE_SINGLE, true},
        {"containerd*", SERVICE_SINGLE, true}, {"conmon", SERVICE_SINGLE, true},
        {"crio", SERVICE_SINGLE, true},        {"dbus-*", SERVICE_SINGLE, true},
        {"rsyslogd", SERVICE_SINGLE, true},    {"monit", SERVICE_SINGLE, true},
        {"mysqld", SERVICE_SINGLE, true},      {"mariadbd", SERVICE_SINGLE, true},
        {"postgres", SERVICE_SINGLE, true},    {"redis-server", SERVICE_SINGLE, true},
        {"memcached", SERVICE_SINGLE, true},   {"caddy", SERVICE_SINGLE, true},
        {"frankenphp", SERVICE_SINGLE, false}, {"java", SERVICE_SINGLE, false},
        {"tmux*", SERVICE_SINGLE, false},      {"screen", SERVICE_SINGLE, false},
        {"rpc.*", SERVICE_SINGLE, true},       {"ganesha.nfsd", SERVICE_SINGLE, true},
        {"winbindd", SERVICE_SINGLE, true},    {"nmbd", SERVICE_SINGLE, true},
        {"smbd*", SERVICE_POOL, true},         {"vsftpd", SERVICE_POOL, true},
        {"proftpd", SERVICE_POOL, true},       {"php-fpm*", SERVICE_POOL, true},
        {"nginx", SERVICE_POOL, true},         {"apache2", SERVICE_POOL, true},
        {"httpd", SERVICE_POOL, true},         {"lighttpd", SERVICE_POOL, true},
        {"lsphp*", SERVICE_POOL, true},        {"lshttpd", SERVICE_POOL, true},
        {"openlitespeed", SERVICE_POOL, true}, {"uwsgi*", SERVICE_POOL, true},
        {"gunicorn*", SERVICE_POOL, false},
};

static bool matches(const char *name, const char *pattern) {
        size_t length = strlen(pattern);
        return pattern[length - 1] == '*' ? !strncmp(name, pattern, length - 1) : !strcmp(name, pattern);
}

/* Where only root installs programs: elsewhere anybody calls his own "sshd". */
static bool is_installed(const char *executable) {
        static const char *const places[] = {"/usr/", "/bin/", "/sbin/", "/lib", "/opt/", "/snap/", "/nix/"};
        for (size_t i = 0; i < ARRAY_SIZE(places); i++)
                if (!strncmp(executable, places[i], strlen(places[i])))
                        return true;
        return false;
}

static const struct row *row_of(const char *executable) {
        if (!executable || !is_installed(executable))
                return NULL;
        const char *name = strrchr(executable, '/') + 1;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (matches(name, rows[i].name))
                        return &rows[i];
        return NULL;
}

enum service spare_service(const char *executable) {
        const struct row *row = row_of(executable);
        return row ? row->service : SERVICE_NONE;
}

/* By the link and by what it leads to: within a mount namespace anybody's own file can stand at any path. */
static bool runs_service(pid_t pid) {
        static const char upgraded[] = " (deleted)";
        char link[40], path[4096];
        struct stat st;
        snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        if (n <= 0 || stat(link, &st) < 0 || st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
                return false;
        path[n] = '\0';
        size_t length = (size_t)n, ending = sizeof(upgraded) - 1;
        if (length > ending && !strcmp(path + length - ending, upgraded))
                path[length - ending] = '\0';
        const struct row *row = row_of(path);
        return row && row->serves;
}

bool spare_serves(pid_t pid, uint64_t *ret_since_ns) {
        struct procfs_stat process = {0};
        for (unsigned i = 0; i < DEPTH_MAX; i++) {
                if (!runs_service(pid) || procfs_stat(pid, &process) < 0)
                        return false;
                if (process.parent <= 1) {
                        if (ret_since_ns)
                                *ret_since_ns = process.start_ns;
                        return true;
                }
                pid = process.parent;
        }
        return false;
}

bool spare_is_ours(pid_t pid) {
        char path[40];
        struct stat theirs, ours;
        snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
        return stat(path, &theirs) == 0 && stat("/proc/self/exe", &ours) == 0 &&
               theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

bool spare_is_above_us(pid_t pid) {
        struct procfs_stat process = {.parent = getpid()};
        for (unsigned i = 0; i < DEPTH_MAX && process.parent > 1; i++) {
                if (process.parent == pid)
                        return true;
                if (procfs_stat(process.parent, &process) < 0)
                        break;
        }
        return false;
}
