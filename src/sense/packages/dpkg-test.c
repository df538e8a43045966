#include "sense/packages/dpkg.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"

/* MD5 of "one\n", "two\n", "etc\n". */
#define MD5_ONE "5bbf5a52328e7439ae6e719dfe712200"
#define MD5_TWO "c193497a1a06b2c72230e6146ff47080"
#define MD5_ETC "f40ea7b78b48ae02a4b2b87f30c6771f"

struct place {
        char root[64];
        struct dpkg *dpkg;
};

static void put(const struct place *place, const char *name, const char *text) {
        char path[256], directory[256];
        snprintf(path, sizeof(path), "%s/%s", place->root, name);
        snprintf(directory, sizeof(directory), "%s", path);
        *strrchr(directory, '/') = '\0';
        assert_int_equal(io_make_directories(directory, 0755), 0);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
        close(fd);
}

static int check(const struct place *place, const char *name) {
        char path[256];
        snprintf(path, sizeof(path), "%s%s", place->root, name);
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        return dpkg_check(place->dpkg, name, fd, NULL);
}

static int setup(void **state) {
        static struct place place;
        place = (struct place){.root = "/tmp/dpkg-test-XXXXXX"};
        assert_non_null(mkdtemp(place.root));
        put(&place, "usr/bin/tool", "one\n");
        put(&place, "etc/tool.conf", "etc\n");
        char link[128];
        snprintf(link, sizeof(link), "%s/bin", place.root);
        assert_int_equal(symlink("usr/bin", link), 0);
        put(&place, "var/lib/dpkg/status",
            "Package: other\nArchitecture: all\nConffiles:\n /etc/tool.conf " MD5_TWO "\n\n"
            "Package: tool\nStatus: install ok installed\nArchitecture: amd64\n"
            "Conffiles:\n /etc/tool.conf " MD5_ETC " obsolete\n /etc/tool.conf.d " MD5_ONE
            "\n /etc/new newconffile\n"
            "Description: a tool\n  /etc/not.listed " MD5_ONE "\n");
        put(&place, "var/lib/dpkg/info/tool.list",
            "/.\n/bin\n/bin/tool\n/etc\n/etc/tool.conf\n/etc/new\n/var/made\n/usr/bin/div\n");
        put(&place, "var/lib/dpkg/info/tool.md5sums", MD5_ONE "  bin/tool\n" MD5_ONE "  usr/bin/div\n");
        put(&place, "var/lib/dpkg/info/tool.conffiles", "/etc/tool.conf\n");
        assert_int_equal(dpkg_open(place.root, NULL, &place.dpkg), 0);
        *state = &place;
        return 0;
}

static int teardown(void **state) {
        struct place *place = *state;
        dpkg_close(place->dpkg);
        char command[128];
        snprintf(command, sizeof(command), "rm -rf %s", place->root);
        return system(command);
}

static void a_file_is_compared_with_its_packages_sum(void **state) {
        struct place *place = *state;
        assert_int_equal(check(place, "/bin/tool"), DPKG_EQUAL);
        put(place, "usr/bin/tool", "two\n");
        assert_int_equal(check(place, "/bin/tool"), DPKG_DIFFERENT);
        assert_int_equal(dpkg_check(place->dpkg, "/bin/tool", -1, NULL), DPKG_DIFFERENT);
        assert_int_equal(check(place, "/var/made"), DPKG_GENERATED);
        assert_int_equal(check(place, "/var/mad"), DPKG_FOREIGN);
        assert_int_equal(check(place, "/var/made/x"), DPKG_FOREIGN);
        assert_int_equal(dpkg_check(place->dpkg, "var/made", -1, NULL), -EINVAL);
}

static void merged_usr_is_seen_through(void **state) {
        struct place *place = *state;
        char package[DPKG_PACKAGE_SIZE];
        _cleanup_(fd_closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_int_equal(dpkg_check(place->dpkg, "/usr/bin/tool", fd, package), DPKG_DIFFERENT);
        assert_string_equal(package, "tool");
        assert_int_equal(check(place, "/usr/bin/tool"), DPKG_EQUAL);
        assert_int_equal(dpkg_check(place->dpkg, "/bin/div", -1, NULL), DPKG_DIFFERENT);
        assert_int_equal(dpkg_check(place->dpkg, "/usr/sbin/tool", fd, NULL), DPKG_FOREIGN);
}

static void conffiles_are_told_apart(void **state) {
        struct place *place = *state;
        assert_int_equal(check(place, "/etc/tool.conf"), DPKG_CONFFILE_EQUAL);
        put(place, "etc/tool.conf", "edited\n");
        assert_int_equal(check(place, "/etc/tool.conf"), DPKG_CONFFILE_DIFFERENT);
        assert_int_equal(check(place, "/etc/new"), DPKG_GENERATED);
        put(place, "etc/tool.conf.dpkg-dist", "etc\n");
        assert_int_equal(check(place, "/etc/tool.conf.dpkg-dist"), DPKG_CONFFILE_EQUAL);
        put(place, "usr/bin/tool.dpkg-dist", "one\n");
        assert_int_equal(check(place, "/usr/bin/tool.dpkg-dist"), DPKG_FOREIGN);
}

static void diversions_are_followed(void **state) {
        struct place *place = *state;
        put(place, "usr/bin/div", "one\n");
        assert_int_equal(check(place, "/usr/bin/div"), DPKG_EQUAL);

        /* The package "other" puts its own there, and the tool's goes to div.real. */
        put(place, "var/lib/dpkg/diversions", "/usr/bin/div\n/usr/bin/div.real\nother\n");
        put(place, "var/lib/dpkg/info/other.list", "/usr/bin/div\n");
        put(place, "var/lib/dpkg/info/other.md5sums", MD5_TWO "  usr/bin/div\n");
        assert_int_equal(check(place, "/usr/bin/div"), DPKG_DIFFERENT);
        put(place, "usr/bin/div.real", "one\n");
        put(place, "usr/bin/div", "two\n");
        assert_int_equal(check(place, "/usr/bin/div"), DPKG_EQUAL);
        assert_int_equal(check(place, "/bin/div.real"), DPKG_EQUAL);

        /* Diverted by the administrator: what stands there is nobody's. */
        put(place, "var/lib/dpkg/diversions", "/bin/div\n/bin/div.real\n:\n");
        assert_int_equal(check(place, "/usr/bin/div"), DPKG_FOREIGN);
        assert_int_equal(check(place, "/usr/bin/div.real"), DPKG_EQUAL);
}

static void an_upgrade_is_followed(void **state) {
        struct place *place = *state;
        assert_int_equal(check(place, "/bin/tool"), DPKG_EQUAL);
        put(place, "usr/bin/tool", "two\n");
        put(place, "var/lib/dpkg/info/tool.list-new", "/bin/tool\n/usr/share/fresh\n");
        put(place, "var/lib/dpkg/info/tool.md5sums", MD5_TWO "  bin/tool\n");
        char from[128], to[128];
        snprintf(from, sizeof(from), "%s/var/lib/dpkg/info/tool.list-new", place->root);
        snprintf(to, sizeof(to), "%s/var/lib/dpkg/info/tool.list", place->root);
        assert_int_equal(rename(from, to), 0);
        assert_int_equal(check(place, "/bin/tool"), DPKG_EQUAL);
        assert_int_equal(check(place, "/usr/share/fresh"), DPKG_GENERATED);
        assert_int_equal(check(place, "/var/made"), DPKG_REMOVED);
        assert_int_equal(check(place, "/var/never"), DPKG_FOREIGN);
        put(place, "var/made", "somebody's");
        assert_int_equal(check(place, "/var/made"), DPKG_FOREIGN);
        assert_int_equal(unlink(to), 0);
        assert_int_equal(check(place, "/bin/tool"), DPKG_FOREIGN);
        assert_int_equal(dpkg_check(place->dpkg, "/usr/bin/tool", -1, NULL), DPKG_REMOVED);
}

static void malformed_files_are_passed_over(void **state) {
        struct place *place = *state;
        put(place, "var/lib/dpkg/info/tool.md5sums",
            "zz\n" MD5_ONE " bin/tool\nXbbf5a52328e7439ae6e719dfe712200  bin/tool\n");
        assert_int_equal(check(place, "/bin/tool"), DPKG_GENERATED);
        put(place, "var/lib/dpkg/info/tool.md5sums", "");
        assert_int_equal(check(place, "/bin/tool"), DPKG_GENERATED);
        put(place, "var/lib/dpkg/diversions", "/bin/tool\n");
        assert_int_equal(check(place, "/bin/tool"), DPKG_GENERATED);
}

static void dpkg_in_the_lineage(void **state) {
        (void)state;
        _cleanup_(actor_freep) struct actor *actor = actor_new();
        actor->n_processes = 3;
        actor->processes[0] = (struct process){.pid = 30, .executable = strdup("/usr/bin/tar")};
        actor->processes[1] =
                (struct process){.pid = 20, .start_ns = 7, .executable = strdup("/usr/bin/dpkg")};
        actor->processes[2] = (struct process){.pid = 10, .executable = strdup("/usr/bin/apt")};
        pid_t pid = 0;
        uint64_t start_ns = 0;
        assert_true(dpkg_is_running_lineage(actor, &pid, &start_ns));
        assert_int_equal(pid, 20);
        assert_int_equal(start_ns, 7);
        actor->processes[1].uid = 33;
        assert_false(dpkg_is_running_lineage(actor, &pid, &start_ns));
        actor->processes[1].uid = 0;
        free(actor->processes[1].executable);
        actor->processes[1].executable = strdup("/tmp/dpkg");
        assert_false(dpkg_is_running_lineage(actor, &pid, &start_ns));
        assert_false(dpkg_is_running_lineage(NULL, &pid, &start_ns));
}

static void transient_names(void **state) {
        (void)state;
        assert_true(dpkg_is_transient("/usr/bin/tool.dpkg-new"));
        assert_true(dpkg_is_transient("tool.dpkg-tmp"));
        assert_false(dpkg_is_transient("/etc/tool.conf.dpkg-dist"));
        assert_false(dpkg_is_transient("/usr/bin/tool.dpkg-new/x"));
        assert_false(dpkg_is_transient(".dpkg-new"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_file_is_compared_with_its_packages_sum, setup, teardown),
                cmocka_unit_test_setup_teardown(merged_usr_is_seen_through, setup, teardown),
                cmocka_unit_test_setup_teardown(conffiles_are_told_apart, setup, teardown),
                cmocka_unit_test_setup_teardown(diversions_are_followed, setup, teardown),
                cmocka_unit_test_setup_teardown(an_upgrade_is_followed, setup, teardown),
                cmocka_unit_test_setup_teardown(malformed_files_are_passed_over, setup, teardown),
                cmocka_unit_test(dpkg_in_the_lineage),
                cmocka_unit_test(transient_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
