/*
 * The vault while everything fails: the n-th call that changes a disk (or the n-th allocation) fails, or
 * the process dies there, or the power goes there; for every n. After each, the state opens, all that is
 * in it is whole, whatever is approved has its content, and what was reported as durable is there.
 *
 * This program's own write(), fdatasync(), malloc() … stand before libc's, for SQLite and zstd too. The
 * work is done in a child. For a power cut every file loses what was appended since its last sync, and
 * files that were never synced are gone; that overwriting in place can be torn is not simulated.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/io.h"
#include "roles/baseline.h"
#include "vault/retention.h"

#define N_FILES   64
#define N_SMALL   6
#define BUDGET    6000000
#define WANTED    4872000 /* so much that the pack with the evidence must be repacked */
#define NOW_NS    1000000
#define TREE_MODE 0755

enum fault { FAULT_NONE, FAULT_EIO, FAULT_ENOSPC, FAULT_KILL, FAULT_POWER, FAULT_ENOMEM };

/* Shared with the child. */
static struct plan {
        enum fault fault;
        unsigned at;         /* 1: the first call */
        unsigned n_calls;    /* that could fail so far */
        unsigned n_approved; /* steps of the work that were reported as durable */
        bool taken;          /* baseline_take() reported success */
        bool repacked;
        bool forgotten; /* history, before its content went */
        bool unkept;    /* ... and that not all could be kept */
        struct {
                ino_t inode;
                off_t size; /* when it was last synced */
        } synced[N_FILES];
        size_t n_synced;
} * plan;
static bool armed;

/* Is it this call's turn? -1 with errno, or no return at all. */
static int fail_here(bool allocation) {
        if (!armed || !plan || allocation != (plan->fault == FAULT_ENOMEM) || plan->fault == FAULT_NONE)
                return 0;
        if (++plan->n_calls != plan->at)
                return 0;
        if (plan->fault == FAULT_KILL || plan->fault == FAULT_POWER)
                kill(getpid(), SIGKILL);
        errno = plan->fault == FAULT_EIO ? EIO : plan->fault == FAULT_ENOSPC ? ENOSPC : ENOMEM;
        return -1;
}

static void note_sync(int fd) {
        struct stat st;
        if (!armed || !plan || fstat(fd, &st) < 0)
                return;
        size_t i = 0;
        while (i < plan->n_synced && plan->synced[i].inode != st.st_ino)
                i++;
        if (i == N_FILES)
                abort();
        plan->synced[i].inode = st.st_ino;
        plan->synced[i].size = st.st_size;
        if (i == plan->n_synced)
                plan->n_synced++;
}

#define FAILING(type, name, parameters, arguments)                                                           \
        type name parameters;                                                                                \
        type name parameters {                                                                               \
                return fail_here(false) ? -1 : (type)syscall arguments;                                      \
        }
FAILING(ssize_t, write, (int fd, const void *data, size_t size), (SYS_write, fd, data, size))
FAILING(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at),
        (SYS_pwrite64, fd, data, size, at))
FAILING(ssize_t, pwrite64, (int fd, const void *data, size_t size, off_t at),
        (SYS_pwrite64, fd, data, size, at))
FAILING(int, ftruncate, (int fd, off_t size), (SYS_ftruncate, fd, size))
FAILING(int, ftruncate64, (int fd, off_t size), (SYS_ftruncate, fd, size))
FAILING(int, mkdirat, (int fd, const char *path, mode_t mode), (SYS_mkdirat, fd, path, mode))
FAILING(int, unlink, (const char *path), (SYS_unlink, path))
FAILING(int, unlinkat, (int fd, const char *path, int flags), (SYS_unlinkat, fd, path, flags))
FAILING(int, linkat, (int a, const char *from, int b, const char *to, int flags),
        (SYS_linkat, a, from, b, to, flags))

int fsync(int fd) {
        if (fail_here(false))
                return -1;
        note_sync(fd);
        return 0;
}

int fdatasync(int fd) {
        return fsync(fd);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *data, size_t size);
void *malloc(size_t size) {
        return fail_here(true) ? NULL : __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
        return fail_here(true) ? NULL : __libc_calloc(n, size);
}
void *realloc(void *data, size_t size) {
        return fail_here(true) ? NULL : __libc_realloc(data, size);
}

static char root[64], state_path[80], tree_path[80];

/* Content that differs by its number; large from 100 on. */
static size_t make_content(unsigned number, unsigned char **ret_data) {
        size_t size = number >= 100 ? 1100000 + number : 3000 + number;
        unsigned char *data = malloc(size);
        uint64_t x = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
        for (size_t i = 0; data && i < size; i++) {
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                data[i] = (unsigned char)(x >> 32);
        }
        *ret_data = data;
        return size;
}

static int put(struct store *store, unsigned number, struct node *ret_node) {
        _cleanup_(freep) unsigned char *data = NULL;
        size_t size = make_content(number, &data);
        *ret_node = (struct node){.mode = S_IFREG | 0644, .size_bytes = size};
        return data ? store_put_bytes(store, data, size, &ret_node->digest) : -ENOMEM;
}

struct vault {
        struct store *store;
        struct catalog *catalog;
        int64_t shop, other;
};

static int vault_open(struct vault *vault) {
        const struct store_options options = {.budget_bytes = BUDGET};
        int r = store_open(state_path, &options, &vault->store);
        if (r == 0)
                r = catalog_open(state_path, false, &vault->catalog);
        if (r == 0)
                r = catalog_add_tree(vault->catalog, "/shop", "mirror", "none", &vault->shop);
        return r < 0 ? r : catalog_add_tree(vault->catalog, tree_path, "mirror", "none", &vault->other);
}

static void vault_close(struct vault *vault) {
        vault->catalog = catalog_close(vault->catalog);
        vault->store = store_close(vault->store);
}

/* Keeps and approves one content under its number, as the sentry does: content first, then the approval. */
static int approve(struct vault *vault, unsigned number, unsigned path) {
        struct node node;
        char name[16];
        snprintf(name, sizeof(name), "d/%u", path);
        int r = put(vault->store, number, &node);
        if (r == 0)
                r = store_sync(vault->store);
        if (r == 0)
                r = catalog_begin(vault->catalog);
        if (r < 0)
                return r;
        r = catalog_approve(vault->catalog, vault->shop, name, &node, 1000 + number, 0);
        if (r < 0) {
                catalog_rollback(vault->catalog);
                return r;
        }
        r = catalog_commit(vault->catalog);
        plan->n_approved += r == 0;
        return r;
}

static int collect(struct vault *vault) {
        const struct retention retention = {.store = vault->store, .catalog = vault->catalog};
        int r = retention_collect(&retention, WANTED, NOW_NS, NULL);
        return r < 0 ? r : 0;
}

static int take_other(struct vault *vault) {
        const struct baseline baseline = {.catalog = vault->catalog, .store = vault->store, .n_threads = 1};
        const struct baseline_tree tree = {.path = tree_path, .id = vault->other, .mirror = true};
        struct baseline_result result;
        int r = baseline_take(&baseline, &tree, 0, NULL, &result);
        plan->taken = r == 0;
        plan->unkept = r == 0 && result.n_unkept;
        return plan->unkept ? -ENOSPC : r;
}

/*
 * Evidence that nobody claims, approvals, a baseline, and then not enough room for all of it: evidence and history
 * have to go.
 */
static int work(struct vault *vault) {
        struct node node;
        int r = vault_open(vault);
        for (unsigned i = 0; r == 0 && i < 3; i++)
                r = put(vault->store, 50 + i, &node);
        if (r == 0)
                r = put(vault->store, 150, &node);
        for (unsigned i = 0; r == 0 && i < N_SMALL; i++)
                r = approve(vault, 1 + i, i);
        if (r == 0)
                r = approve(vault, 101, N_SMALL);
        if (r == 0)
                r = approve(vault, 9, 0); /* a second state of a path */
        if (r == 0)
                r = take_other(vault);
        if (r == 0)
                r = collect(vault);
        plan->forgotten = r == 0 && catalog_forgotten(vault->catalog, CATALOG_UNRELEASED) > 0;
        struct store_usage usage;
        plan->repacked =
                r == 0 && store_usage(vault->store, &usage) == 0 && usage.stored_bytes + WANTED <= BUDGET;
        return r;
}

static int check_node(const char *path, const struct node *node, void *userdata) {
        struct vault *vault = userdata;
        _cleanup_(buffer_deinit) struct buffer buffer;
        buffer_init(&buffer, 0);
        if (!S_ISREG(node->mode))
                return 0;
        int r = store_get_bytes(vault->store, &node->digest, &buffer);
        if (r < 0)
                print_error("%s is approved and cannot be had: %s\n", path, strerror(-r));
        return r;
}

static void check_usage(struct store *store) {
        struct store_usage usage;
        char command[512];
        unsigned long long on_disk = 0;
        assert_int_equal(store_usage(store, &usage), 0);
        snprintf(command, sizeof(command),
                 "find %s/vault/packs %s/vault/large -type f -printf '%%s\\n' | "
                 "awk '{n+=$1} END {print n+0}'",
                 state_path, state_path);
        FILE *pipe = popen(command, "re");
        assert_int_equal(fscanf(pipe, "%llu", &on_disk), 1);
        pclose(pipe);
        assert_int_equal(usage.stored_bytes, on_disk);
        assert_true(on_disk <= BUDGET);
}

/* What was reported as durable: n_approved steps in order. Then the work can be done again. */
static void check_state(void) {
        struct vault vault = {.store = NULL};
        assert_int_equal(vault_open(&vault), 0);
        assert_int_equal(store_verify(vault.store, NULL, NULL), 0);
        check_usage(vault.store);
        for (unsigned i = 0; i < plan->n_approved && i <= N_SMALL; i++) {
                struct node node;
                char name[16];
                snprintf(name, sizeof(name), "d/%u", i);
                assert_int_equal(catalog_get(vault.catalog, vault.shop, name, &node), 0);
        }
        for (uint64_t at = 0; at < 1010; at = at ? at + 1 : 1001)
                assert_int_equal(catalog_walk(vault.catalog, vault.shop, "", at, check_node, &vault), 0);
        if (plan->taken)
                assert_int_equal(catalog_tree_has_baseline(vault.catalog, vault.other), 1);
        if (catalog_tree_has_baseline(vault.catalog, vault.other) == 1) {
                struct node node;
                assert_int_equal(catalog_get(vault.catalog, vault.other, "sub/last", &node), 0);
                if (!plan->unkept)
                        assert_int_equal(catalog_walk(vault.catalog, vault.other, "", 0, check_node, &vault),
                                         0);
        }
        struct node node;
        assert_int_equal(put(vault.store, 77, &node), 0);
        assert_int_equal(check_node("new", &node, &vault), 0);
        vault_close(&vault);
}

static off_t synced_size(ino_t inode) {
        for (size_t i = 0; i < plan->n_synced; i++)
                if (plan->synced[i].inode == inode)
                        return plan->synced[i].size;
        return -1;
}

/* What was never synced is not on the disk. */
static void cut_power(const char *directory) {
        DIR *list = opendir(directory);
        for (struct dirent *entry; list && (entry = readdir(list));) {
                char path[512];
                struct stat st;
                snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
                if (entry->d_name[0] == '.' || lstat(path, &st) < 0)
                        continue;
                if (S_ISDIR(st.st_mode)) {
                        cut_power(path);
                        continue;
                }
                off_t size = synced_size(st.st_ino);
                if (size < 0)
                        unlink(path);
                else if (size < st.st_size)
                        assert_int_equal(truncate(path, size), 0);
        }
        if (list)
                closedir(list);
}

static void make_scratch(void) {
        char command[256];
        snprintf(command, sizeof(command), "rm -rf -- '%s' && mkdir '%s'", state_path, state_path);
        assert_int_equal(system(command), 0);
}

/* Does the work with a fault in a child. Returns how it ended: 0 done, 1 an error was reported, 2 killed. */
static int run_child(void) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
                struct vault vault = {.store = NULL};
                armed = true;
                int r = work(&vault);
                if (plan->fault != FAULT_POWER) /* a power cut at the very end: nothing is closed */
                        vault_close(&vault);
                _exit(r == 0 ? 0 : 1);
        }
        int status;
        waitpid(pid, &status, 0);
        if (WIFSIGNALED(status)) {
                assert_int_equal(WTERMSIG(status), SIGKILL); /* never a crash of our own */
                return 2;
        }
        return WEXITSTATUS(status);
}

static void fail_at_every(enum fault fault, unsigned step) {
        for (unsigned n = 1;; n += step) {
                make_scratch();
                *plan = (struct plan){.fault = fault, .at = n};
                int ended = run_child();
                assert_true(!plan->unkept || fault == FAULT_ENOSPC); /* anything else is an error */
                if (fault == FAULT_POWER) {
                        char path[128];
                        snprintf(path, sizeof(path), "%s/vault", state_path);
                        cut_power(path);
                }
                check_state();
                if (plan->n_calls < n) {
                        assert_int_equal(ended, 0);
                        assert_int_equal(plan->n_approved, N_SMALL + 2);
                        assert_true(plan->taken);
                        assert_true(plan->repacked);
                        assert_true(plan->forgotten);
                        return;
                }
        }
}

static void every_write_fails(void **state) {
        (void)state;
        fail_at_every(FAULT_EIO, 1);
}

static void the_disk_is_full_at_every_write(void **state) {
        (void)state;
        fail_at_every(FAULT_ENOSPC, 1);
}

static void killed_at_every_write(void **state) {
        (void)state;
        fail_at_every(FAULT_KILL, 1);
}

static void the_power_goes_at_every_write(void **state) {
        (void)state;
        fail_at_every(FAULT_POWER, 1);
}

static void allocations_fail(void **state) {
        (void)state;
        fail_at_every(FAULT_ENOMEM, 23); /* there are thousands */
}

static int group_setup(void **state) {
        (void)state;
        char command[1024];
        plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        snprintf(root, sizeof(root), "%s", "/dev/shm/vault-fault-XXXXXX");
        if (plan == MAP_FAILED || !mkdtemp(root))
                return -1;
        snprintf(state_path, sizeof(state_path), "%s/state", root);
        snprintf(tree_path, sizeof(tree_path), "%s/tree", root);
        snprintf(command, sizeof(command),
                 "mkdir -p %s/sub && echo one >%s/first && echo two >%s/sub/last && ln -s first %s/link",
                 tree_path, tree_path, tree_path, tree_path);
        return system(command);
}

static int group_teardown(void **state) {
        (void)state;
        char command[128];
        snprintf(command, sizeof(command), "rm -rf -- '%s'", root);
        return system(command);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_write_fails),     cmocka_unit_test(the_disk_is_full_at_every_write),
                cmocka_unit_test(killed_at_every_write), cmocka_unit_test(the_power_goes_at_every_write),
                cmocka_unit_test(allocations_fail),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
