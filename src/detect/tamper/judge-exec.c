/*
 * Programs started below a web server. A shop's PHP starts mail and image tools; it does not
 * start shells, downloaders or compilers, and a web shell does little else.
 *
 * PHP's mail() and exec() go through `sh -c`, so a shell is judged by what it was told: one
 * ordinary program without pipes, lists or substitutions is ordinary. Known gap: an
 * ordinary program that is itself made to start another (an image delegate) is judged
 * by that other when it starts.
 */
#include <stdio.h>
#include <string.h>

#include "detect/tamper/verdict.h"

enum kind {
        KIND_ORDINARY,
        KIND_UNKNOWN,
        KIND_SHELL,
        KIND_DOWNLOADER,
        KIND_COMPILER,
        KIND_NETCAT,
        KIND_INTERPRETER,
        KIND_PHP,
        KIND_PRIVILEGE,
        KIND_SCHEDULER,
        KIND_DISCOVERY,
        KIND_FILES,
        KIND_ARCHIVE,
        KIND_TEMPORARY,
        KIND_MAIL_ABUSE,
};

static const struct {
        enum kind kind;
        const char *names; /* plain names (program_name) between blanks */
} programs[] = {
        {KIND_ORDINARY,
         " sendmail postdrop postqueue exim nullmailer-inject nullmailer-queue msmtp ssmtp esmtp dma "
         "qmail-inject smtpctl opensmtpd mail mailx bsd-mailx s-nail mini_sendmail "},
        {KIND_ORDINARY,
         " convert magick convert-im identify identify-im mogrify composite montage gm gs ffmpeg ffprobe "
         "exiftool jpegoptim jpegtran djpeg cjpeg optipng pngquant pngcrush gifsicle cwebp dwebp "
         "gif2webp avifenc rsvg-convert pdftotext pdftoppm pdfinfo qpdf wkhtmltopdf wkhtmltoimage "
         "tesseract rotatelogs cronolog locale date which "},
        {KIND_SHELL, " sh bash dash ash ksh mksh zsh fish csh tcsh rbash busybox toybox script "},
        {KIND_DOWNLOADER, " curl wget aria lynx links elinks w3m fetch axel ftp lftp tftp scp sftp ssh rsync "
                          "git svn pip pip3 GET "},
        {KIND_COMPILER,
         " gcc cc g++ c++ clang clang++ tcc as ld gold collect cc1plus make cmake go rustc cargo javac "
         "ghc fpc nasm "},
        {KIND_NETCAT, " nc ncat netcat socat telnet cryptcat nmap masscan chisel ngrok frpc "},
        {KIND_INTERPRETER,
         " python perl ruby lua luajit node nodejs awk gawk mawk expect tclsh java guile osascript "
         "openssl gdb "},
        {KIND_PHP, " php php-cli "},
        {KIND_PRIVILEGE,
         " sudo su doas pkexec newgrp runuser setpriv nsenter unshare chroot capsh passwd useradd "
         "usermod adduser "},
        {KIND_SCHEDULER, " crontab at batch systemctl systemd-run nohup setsid screen tmux "},
        {KIND_DISCOVERY,
         " id whoami who w uname hostname ifconfig ip netstat ss ps top pgrep last env printenv find "
         "locate getent lsof arp route df mount groups "},
        {KIND_FILES,
         " cat ls head tail more less cp mv rm mkdir touch chmod chown chattr ln tee dd sed grep xargs base "
         "xxd od strings install truncate split kill killall pkill sleep timeout nice "},
        {KIND_ARCHIVE,
         " tar zip unzip gzip gunzip bzip xz zstd 7z 7za 7zr rar unrar cpio mysqldump mariadb-dump mysql "
         "mariadb pg_dump psql sqlite "},
};

static const struct statement statements[] = {
        [KIND_ORDINARY] = {0},
        [KIND_UNKNOWN] = {SEVERITY_LOW, "program_by_web_server", NULL, N_("The web server started a program"),
                          N_("A program that is not among the usual helpers of a shop was started")},
        [KIND_SHELL] = {SEVERITY_CRITICAL, "shell_by_web_server", "T1505.003 T1059.004",
                        N_("The web server started a command shell"),
                        N_("A shop's pages have no reason to open a command shell; a web shell does")},
        [KIND_DOWNLOADER] = {SEVERITY_CRITICAL, "download_by_web_server", "T1505.003 T1105",
                             N_("The web server started a program that fetches files"),
                             N_("Attackers fetch their tools, and send away what they took, this way")},
        [KIND_COMPILER] = {SEVERITY_CRITICAL, "compiler_by_web_server", "T1505.003 T1027.004",
                           N_("The web server started a compiler"),
                           N_("Attackers build their tools on the server; a shop does not")},
        [KIND_NETCAT] = {SEVERITY_CRITICAL, "netcat_by_web_server", "T1505.003 T1095",
                         N_("The web server opened a raw network connection"),
                         N_("Such a program is used to give an attacker a remote command line")},
        [KIND_INTERPRETER] = {SEVERITY_HIGH, "interpreter_by_web_server", "T1505.003 T1059",
                              N_("The web server started a script interpreter"),
                              N_("A script outside the shop's PHP was started")},
        [KIND_PHP] =
                {SEVERITY_MEDIUM, "php_cli_by_web_server", "T1059",
                 N_("The web server started PHP on the command line"),
                 N_("Some shops do this when a plugin is installed; otherwise it is a way around the web "
                    "server's limits")},
        [KIND_PRIVILEGE] = {SEVERITY_CRITICAL, "privilege_by_web_server", "T1505.003 T1548.003",
                            N_("The web server tried to change its user rights"),
                            N_("A program that gives the rights of another user was started")},
        [KIND_SCHEDULER] = {SEVERITY_CRITICAL, "schedule_by_web_server", "T1505.003 T1053.003",
                            N_("The web server tried to keep a program running"),
                            N_("A program that runs things later or in the background was started")},
        [KIND_DISCOVERY] = {SEVERITY_HIGH, "discovery_by_web_server", "T1505.003 T1082",
                            N_("The web server looked around on this machine"),
                            N_("An attacker's first commands ask who and where they are")},
        [KIND_FILES] = {SEVERITY_HIGH, "file_tool_by_web_server", "T1505.003 T1083",
                        N_("The web server started a tool for files"),
                        N_("A shop's PHP reads and writes files itself; an attacker uses these tools")},
        [KIND_ARCHIVE] = {SEVERITY_MEDIUM, "archive_by_web_server", "T1560.001",
                          N_("The web server packed or exported data"),
                          N_("Backups do this, and so does whoever takes the data away")},
        [KIND_TEMPORARY] = {SEVERITY_CRITICAL, "dropped_program_by_web_server", "T1505.003 T1105",
                            N_("The web server started a program from a place for temporary files"),
                            N_("Programs are not installed there; attackers drop theirs there")},
        [KIND_MAIL_ABUSE] = {SEVERITY_HIGH, "mail_abuse_by_web_server", "T1505.003",
                             N_("The mail program was told to write a file"),
                             N_("This is how a mail form is used to plant a file on the server")},
};

/* Is `name` one of the words in a list that has a blank on both sides of each? */
static bool list_has(const char *list, const char *name) {
        char word[PROGRAM_NAME_SIZE + 2];
        if (!*name || strchr(name, ' '))
                return false;
        snprintf(word, sizeof(word), " %.*s ", PROGRAM_NAME_SIZE - 1, name);
        return strstr(list, word) != NULL;
}

static enum kind name_kind(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
                if (list_has(programs[i].names, name))
                        return programs[i].kind;
        return KIND_UNKNOWN;
}

static bool is_mail(const char *name) {
        return list_has(programs[0].names, name);
}

/* sendmail's -X writes a log anywhere, -OQueueDirectory= a queue; exim's -be runs an expression. */
static bool mail_is_abused(const char *arguments) {
        static const char *const options[] = {" -X", " -be", " -OQueue", " -O Queue", " -oQ"};
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (strstr(arguments, options[i]))
                        return true;
        return false;
}

static bool skip_literal(const char **p, const char *literal) {
        size_t n = strlen(literal);
        if (strncmp(*p, literal, n))
                return false;
        *p += n;
        return true;
}

/* 2>&1, >/dev/null, 2>/dev/null, </dev/null: what careful PHP adds. */
static bool skip_redirection(const char **p) {
        const char *s = *p;
        s += *s == '1' || *s == '2';
        if (skip_literal(&s, ">&1") || skip_literal(&s, ">&2")) {
                *p = s;
                return true;
        }
        if (*s != '>' && *s != '<')
                return false;
        s++;
        s += strspn(s, " >");
        if (!skip_literal(&s, "/dev/null"))
                return false;
        *p = s;
        return true;
}

/* One program and its arguments, nothing that makes the shell start another. */
static bool command_is_single(const char *command) {
        char quote = 0;
        for (const char *p = command; *p;) {
                if (quote) {
                        if (*p == quote)
                                quote = 0;
                        else if (quote == '"' && (*p == '$' || *p == '`'))
                                return false;
                        p++;
                } else if ((p == command || p[-1] == ' ') && skip_redirection(&p)) {
                        continue;
                } else if (*p == '\'' || *p == '"') {
                        quote = *p++;
                } else if (*p == '\\' && p[1] && p[1] != '\n') {
                        p += 2;
                } else if (strchr(";|&`$(){}<>\n\r", *p)) {
                        return false;
                } else {
                        p++;
                }
        }
        return quote == 0;
}

/* What `sh -c` was told, or NULL when it was not started that way. */
static const char *shell_command(const char *command_line) {
        const char *p = strchr(command_line, ' ');
        if (!p || strncmp(p, " -c ", 4))
                return NULL;
        p += 4;
        p += strspn(p, " ");
        if (!strncmp(p, "-- ", 3))
                p += 3;
        skip_literal(&p, "exec ");
        return p + strspn(p, " ");
}

static enum kind command_kind(const char *command) {
        char name[PROGRAM_NAME_SIZE];
        if (!command_is_single(command))
                return KIND_SHELL;
        if (!strncmp(command, "command -v ", 11))
                return KIND_ORDINARY;
        char quote = *command == '\'' || *command == '"' ? *command++ : 0;
        size_t size = quote ? strcspn(command, "'\"") : strcspn(command, " ");
        program_name_from(command, size, name);
        if (name_kind(name) != KIND_ORDINARY)
                return KIND_SHELL;
        return is_mail(name) && mail_is_abused(command + size) ? KIND_MAIL_ABUSE : KIND_ORDINARY;
}

static bool is_temporary(const char *executable) {
        static const char *const places[] = {"/tmp/",      "/var/tmp/", "/dev/shm/",
                                             "/run/user/", "/memfd:",   "memfd:"};
        for (size_t i = 0; executable && i < ARRAY_SIZE(places); i++)
                if (!strncmp(executable, places[i], strlen(places[i])))
                        return true;
        return executable && (strstr(executable, "/uploads/") || strstr(executable, "/upload/"));
}

static enum kind process_kind(const struct process *process) {
        char name[PROGRAM_NAME_SIZE];
        const char *command_line = process->command_line ?: "";
        if (is_temporary(process->executable))
                return KIND_TEMPORARY;
        if (program_is_web(process))
                return KIND_ORDINARY;
        program_name(process, name);
        enum kind kind = name_kind(name);
        if (kind == KIND_SHELL) {
                const char *command = shell_command(command_line);
                return command && *command ? command_kind(command) : KIND_SHELL;
        }
        if (kind == KIND_ORDINARY && is_mail(name) && mail_is_abused(command_line))
                return KIND_MAIL_ABUSE;
        return kind;
}

int judge_exec(const struct actor *actor, struct verdict *ret_verdict) {
        *ret_verdict = (struct verdict){0};
        bool below_web = false;
        for (size_t i = 1; actor && i < actor->n_processes; i++)
                below_web |= program_is_web(&actor->processes[i]);
        if (!below_web)
                return 0;

        const struct process *process = &actor->processes[0];
        enum kind kind = process_kind(process);
        if (kind == KIND_ORDINARY)
                return 0;
        int r = verdict_init(ret_verdict);
        if (r < 0)
                return r;
        verdict_state(ret_verdict, &statements[kind], process->command_line ?: process->executable);
        return 0;
}
