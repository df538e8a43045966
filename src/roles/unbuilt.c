/* Rooms that are not built yet: replaced by theirs at link time. */
#include <errno.h>

#include "ledger/ledger.h"
#include "register/release.h"
#include "respond/restore/plan.h"
#include "roles/role.h"
#include "sense/files/gate.h"

#define WEAK __attribute__((weak))
#define U(x) (void)(x)

WEAK int role_assayer_run(const struct role_context *c) {
        U(c);
        return -ENOSYS;
}
WEAK int role_ledger_run(const struct role_context *c) {
        U(c);
        return -ENOSYS;
}
WEAK int ledger_read(const char *s, uint64_t f, uint64_t t, ledger_visit v, void *u) {
        U(s);
        U(f);
        U(t);
        U(v);
        U(u);
        return -ENOENT;
}
WEAK int gate_group_open(void) {
        return -ENOSYS;
}
WEAK int gate_is_armed(struct gate *g, size_t t) {
        U(g);
        U(t);
        return 0;
}
WEAK int gate_add_directory(struct gate *g, const char *p) {
        U(g);
        U(p);
        return 0;
}
WEAK int gate_new(int fd, int p, gate_policy c, void *u, struct gate **r) {
        U(fd);
        U(p);
        U(c);
        U(u);
        U(r);
        return -ENOSYS;
}
WEAK struct gate *gate_free(struct gate *g) {
        U(g);
        return NULL;
}
WEAK int gate_add_tree(struct gate *g, const char *p, size_t t) {
        U(g);
        U(p);
        U(t);
        return -ENOSYS;
}
WEAK const struct release *release_of(const struct releases *r, const struct actor *a, int64_t t,
                                      uint64_t m) {
        U(r);
        U(a);
        U(t);
        U(m);
        return NULL;
}
WEAK int64_t release_row(const struct release *r, int64_t t) {
        U(r);
        U(t);
        return 0;
}
WEAK struct releases *releases_close(struct releases *r) {
        U(r);
        return NULL;
}
WEAK int releases_open(const struct releases_options *o, struct releases **r) {
        U(o);
        U(r);
        return 0;
}
WEAK const struct release *releases_get(const struct releases *r, size_t i) {
        U(r);
        U(i);
        return NULL;
}
WEAK int release_begin(struct releases *r, const struct release_request *q, const struct release **x) {
        U(r);
        U(q);
        U(x);
        return -ENOSYS;
}
WEAK int release_end(struct releases *r, const char *n, release_summary s, void *u) {
        U(r);
        U(n);
        U(s);
        U(u);
        return -ENOENT;
}
WEAK int releases_expire(struct releases *r, release_summary s, void *u) {
        U(r);
        U(s);
        U(u);
        return 0;
}
WEAK int restore_node(const struct restore_context *c, const struct restore_request *q,
                      struct restore_result *r) {
        U(c);
        U(q);
        U(r);
        return -ENOSYS;
}
WEAK void restore_result_deinit(struct restore_result *r) {
        U(r);
}
WEAK bool restore_is_temporary(const char *n) {
        U(n);
        return false;
}
WEAK int restore_with_parents(const struct restore_context *c, struct catalog *g, int64_t t,
                              const struct restore_request *q, struct restore_result *r) {
        U(c);
        U(g);
        U(t);
        U(q);
        U(r);
        return -ENOSYS;
}
WEAK int plan_new(const struct plan_scope *s, struct plan **r) {
        U(s);
        U(r);
        return -ENOSYS;
}
WEAK struct plan *plan_free(struct plan *p) {
        U(p);
        return NULL;
}
WEAK size_t plan_count(const struct plan *p) {
        U(p);
        return 0;
}
WEAK int plan_execute(struct plan *p, const struct plan_execution *e) {
        U(p);
        U(e);
        return -ENOSYS;
}
WEAK int plan_add_release(struct plan *p, const struct catalog_release *r) {
        U(p);
        U(r);
        return -ENOSYS;
}
WEAK int plan_add_below(struct plan *p, const char *x) {
        U(p);
        U(x);
        return -ENOSYS;
}
WEAK int plan_add_path(struct plan *p, const char *x) {
        U(p);
        U(x);
        return -ENOSYS;
}
WEAK int plan_show(struct plan *p, plan_visit v, void *u) {
        U(p);
        U(v);
        U(u);
        return -ENOSYS;
}
