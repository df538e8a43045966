/* The first process of the machine that the kernel tests boot: loads /modules in the order of their names, mounts the
 * disk and hands over to its systemd. Linked statically; anything that fails ends it, and the kernel then stops. */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load(const char *name) {
        char path[300];
        snprintf(path, sizeof(path), "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
                err(1, "%s", path);
        close(fd);
}

static void load_all(void) {
        struct dirent **entries;
        int n = scandir("/modules", &entries, NULL, alphasort);
        for (int i = 0; i < n; i++)
                if (entries[i]->d_name[0] != '.')
                        load(entries[i]->d_name);
}

int main(void) {
        if (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0)
                err(1, "/dev");
        load_all();
        for (int tries = 0; access("/dev/vda", F_OK) < 0 && tries < 1000; tries++)
                usleep(10000);
        if (mount("/dev/vda", "/root", "ext4", 0, NULL) < 0 ||
            mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0)
                err(1, "/dev/vda");
        if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
            chdir("/") < 0)
                err(1, "/root");
        execl("/lib/systemd/systemd", "/lib/systemd/systemd", NULL);
        err(1, "systemd");
}
