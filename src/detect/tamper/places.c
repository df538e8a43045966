/*
 * Places in a tree without a profile (usually /etc and homes) where the system itself is
 * decided: who signs in, what starts, what every program loads. A change there is high.
 */
#include <string.h>

#include "detect/tamper/verdict.h"

/*
 * Where the system itself is decided. A place ending in '/' is everything below; one that starts with '*'
 * is the end of a path; else it is the path.
 */
static const struct {
        const char *place;
        struct statement statement;
} sensitive_places[] = {
#define SENSITIVE(type, techniques, title, reason)                                                           \
        { SEVERITY_HIGH, type, techniques, title, reason }
#define ACCOUNTS                                                                                             \
        SENSITIVE("accounts_changed", "T1136.001 T1098", N_("The list of users was changed"),                \
                  N_("This file decides who may sign in"))
#define CRON                                                                                                 \
        SENSITIVE("schedule_changed", "T1053.003", N_("A scheduled task was changed"),                       \
                  N_("What stands here is run by itself at set times"))
#define LOADER                                                                                               \
        SENSITIVE("loader_changed", "T1574.006", N_("The program loader was changed"),                       \
                  N_("What is named here is loaded into every program"))
#define SSH_KEYS                                                                                             \
        SENSITIVE("ssh_keys_changed", "T1098.004", N_("Keys for remote sign-in were changed"),               \
                  N_("Whoever has a key named here can sign in without a password"))
#define SERVICE                                                                                              \
        SENSITIVE("service_changed", "T1543.002", N_("A system service was changed"),                        \
                  N_("What stands here is run when the machine starts"))
#define STARTUP                                                                                              \
        SENSITIVE("startup_changed", "T1546.004", N_("A start-up script was changed"),                       \
                  N_("What stands here is run when the machine starts or a user signs in"))
#define SUDO                                                                                                 \
        SENSITIVE("sudo_changed", "T1548.003", N_("Administrator rights were changed"),                      \
                  N_("This file decides who may act as administrator"))
#define SIGN_IN                                                                                              \
        SENSITIVE("sign_in_changed", "T1556.003", N_("The way of signing in was changed"),                   \
                  N_("This file decides how passwords are checked"))
#define WEB_CONFIG                                                                                           \
        SENSITIVE("web_server_changed", "T1505.003", N_("The web server's configuration was changed"),       \
                  N_("This file decides which programs the web server runs"))
#define NAMES                                                                                                \
        SENSITIVE("names_changed", "T1565.001", N_("The addresses of servers were changed"),                 \
                  N_("A name set here leads to another machine"))
        {"/etc/passwd", ACCOUNTS},
        {"/etc/shadow", ACCOUNTS},
        {"/etc/group", ACCOUNTS},
        {"/etc/gshadow", ACCOUNTS},
        {"/etc/sudoers", SUDO},
        {"/etc/sudoers.d/", SUDO},
        {"/etc/doas.conf", SUDO},
        {"/etc/polkit-1/", SUDO},
        {"/etc/crontab", CRON},
        {"/etc/anacrontab", CRON},
        {"/etc/cron.d/", CRON},
        {"/etc/cron.hourly/", CRON},
        {"/etc/cron.daily/", CRON},
        {"/etc/cron.weekly/", CRON},
        {"/etc/cron.monthly/", CRON},
        {"/var/spool/cron/", CRON},
        {"/etc/ld.so.preload", LOADER},
        {"/etc/ld.so.conf", LOADER},
        {"/etc/ld.so.conf.d/", LOADER},
        {"/etc/environment", STARTUP},
        {"/etc/profile", STARTUP},
        {"/etc/profile.d/", STARTUP},
        {"/etc/bash.bashrc", STARTUP},
        {"/etc/rc.local", STARTUP},
        {"/etc/init.d/", STARTUP},
        {"/etc/systemd/system/", SERVICE},
        {"/lib/systemd/system/", SERVICE},
        {"/usr/lib/systemd/system/", SERVICE},
        {"*/.config/systemd/user/", SERVICE},
        {"*/.ssh/authorized_keys", SSH_KEYS},
        {"*/.ssh/authorized_keys2", SSH_KEYS},
        {"*/.ssh/rc", SSH_KEYS},
        {"/etc/ssh/", SIGN_IN},
        {"/etc/pam.d/", SIGN_IN},
        {"/etc/pam.conf", SIGN_IN},
        {"/etc/security/", SIGN_IN},
        {"/etc/nsswitch.conf", SIGN_IN},
        {"/etc/hosts", NAMES},
        {"/etc/nginx/", WEB_CONFIG},
        {"/etc/apache2/", WEB_CONFIG},
        {"/etc/php/", WEB_CONFIG},
};

static bool place_fits(const char *place, const char *path) {
        size_t size = strlen(place), path_size = strlen(path);
        if (*place == '*') {
                if (place[size - 1] == '/')
                        return memmem(path, path_size, place + 1, size - 1) != NULL;
                return path_size >= size - 1 && !strcmp(path + path_size - (size - 1), place + 1);
        }
        return place[size - 1] == '/' ? !strncmp(path, place, size) : !strcmp(path, place);
}

void place_judge(struct verdict *verdict, const char *path) {
        for (size_t i = 0; i < ARRAY_SIZE(sensitive_places); i++)
                if (place_fits(sensitive_places[i].place, path))
                        verdict_state(verdict, &sensitive_places[i].statement, NULL);
}
