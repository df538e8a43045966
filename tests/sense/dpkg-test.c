/*
 * A real package, built by dpkg-deb and installed, upgraded, diverted and removed by dpkg below a directory
 * of its own: after each step our reading of dpkg's files is right. Needs root for dpkg --root.
 */
#include "sense/packages/dpkg.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"

static char root[64];

/* Runs a script with $R, the directory; output only when it fails. */
static void sh(const char *script) {
        char command[4096];
        snprintf(command, sizeof(command),
                 "R=%s; export R; cd $R && { %s\n} >$R/log 2>&1 || { cat $R/log; false; }", root, script);
        assert_int_equal(system(command), 0);
}

static int check(struct dpkg *dpkg, const char *name) {
        char path[256];
        snprintf(path, sizeof(path), "%s/t%s", root, name);
        _cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
                return dpkg_check(dpkg, name, -1, NULL);
        return dpkg_check(dpkg, name, fd, NULL);
}

#define DPKG "dpkg --root=$R/t --force-not-root --force-script-chrootless --log=$R/dpkg.log "

static void build(const char *version) {
        char script[2048];
        snprintf(script, sizeof(script),
                 "rm -rf p && mkdir -p p/DEBIAN p/usr/share/shop p/etc && echo 'index %s' "
                 ">p/usr/share/shop/index.php\n"
                 "echo 'conf %s' >p/etc/shop.conf && ln -s index.php p/usr/share/shop/link && echo "
                 "/etc/shop.conf >p/DEBIAN/conffiles\n"
                 "printf 'Package: shop-test\\nVersion: %s\\nArchitecture: all\\nMaintainer: T "
                 "<t@shop.example>\\nDescription: t\\n' >p/DEBIAN/control\n"
                 "(cd p && md5sum usr/share/shop/index.php >DEBIAN/md5sums) && dpkg-deb --root-owner-group "
                 "-b p shop-%s.deb",
                 version, version, version, version);
        sh(script);
}

static void a_package_through_its_life(void **state) {
        (void)state;
        if (geteuid() != 0 || system("command -v dpkg-deb >/dev/null") != 0)
                skip();
        snprintf(root, sizeof(root), "/tmp/dpkg-real-XXXXXX");
        assert_non_null(mkdtemp(root));
        sh("mkdir -p t/var/lib/dpkg/info t/var/lib/dpkg/updates t/usr/bin && : >t/var/lib/dpkg/status && ln "
           "-s usr/bin t/bin");
        build("1");
        build("2");
        sh(DPKG "-i shop-1.deb");

        char path[128];
        snprintf(path, sizeof(path), "%s/t", root);
        _cleanup_(dpkg_closep) struct dpkg *dpkg = NULL;
        assert_int_equal(dpkg_open(path, NULL, &dpkg), 0);
        assert_int_equal(check(dpkg, "/usr/share/shop/index.php"), DPKG_EQUAL);
        assert_int_equal(check(dpkg, "/etc/shop.conf"), DPKG_CONFFILE_EQUAL);
        assert_int_equal(check(dpkg, "/usr/share/shop/link"), DPKG_GENERATED);
        assert_int_equal(check(dpkg, "/usr/share/shop"), DPKG_GENERATED);

        /* What somebody slips in while dpkg works is not the package's. */
        sh("echo evil >>t/usr/share/shop/index.php; echo evil >t/usr/share/shop/new.php");
        assert_int_equal(check(dpkg, "/usr/share/shop/index.php"), DPKG_DIFFERENT);
        assert_int_equal(check(dpkg, "/usr/share/shop/new.php"), DPKG_FOREIGN);

        sh(DPKG "-i shop-2.deb");
        assert_int_equal(check(dpkg, "/usr/share/shop/index.php"), DPKG_EQUAL);
        assert_int_equal(check(dpkg, "/etc/shop.conf"), DPKG_CONFFILE_EQUAL);

        /* A conffile that was edited is kept; dpkg's sum is the new version's. */
        sh("echo edited >>t/etc/shop.conf");
        assert_int_equal(check(dpkg, "/etc/shop.conf"), DPKG_CONFFILE_DIFFERENT);

        sh("dpkg-divert --root $R/t --local --rename --divert /usr/share/shop/index.real --add "
           "/usr/share/shop/index.php\n"
           "echo own >t/usr/share/shop/index.php");
        assert_int_equal(check(dpkg, "/usr/share/shop/index.php"), DPKG_FOREIGN);
        assert_int_equal(check(dpkg, "/usr/share/shop/index.real"), DPKG_EQUAL);

        sh(DPKG "-P shop-test");
        assert_int_equal(check(dpkg, "/usr/share/shop/link"), DPKG_REMOVED);
        sh("cd / && rm -rf $R/t $R/p $R/*.deb");
        snprintf(path, sizeof(path), "rm -rf %s", root);
        assert_int_equal(system(path), 0);
}

static void the_machines_own_packages(void **state) {
        (void)state;
        _cleanup_(dpkg_closep) struct dpkg *dpkg = NULL;
        if (dpkg_open("/", NULL, &dpkg) < 0)
                skip();
        char package[DPKG_PACKAGE_SIZE];
        _cleanup_(fd_closep) int fd = open("/usr/bin/dpkg", O_RDONLY | O_CLOEXEC);
        assert_int_equal(dpkg_check(dpkg, "/usr/bin/dpkg", fd, package), DPKG_EQUAL);
        assert_string_equal(package, "dpkg");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_package_through_its_life),
                cmocka_unit_test(the_machines_own_packages),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
