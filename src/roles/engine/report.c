/*
 * status and doctor: the sentry's part, and what the engine knows of the roles, the ledger and
 * itself. What is not known is never said to be in force.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/i18n.h"
#include "base/version.h"
#include "event/json.h"
#include "ledger/ledger.h"
#include "roles/engine/engine.h"

#define DAY_MS                UINT64_C(86400000)
#define CHECKPOINT_AGE_MAX_NS (UINT64_C(10) * 60 * NS_PER_S)

static uint64_t checkpoint_ns(const struct engine *engine) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof(path), "%s/ledger/checkpoint", engine->context->state);
        return stat(path, &st) < 0 ? 0
                                   : (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
}

static json_t *check(const char *name, bool ok, const char *subject, const char *good, const char *bad) {
        json_t *object = json_pack("{s:s,s:s,s:s}", "check", name, "state", ok ? "ok" : "fail", "title",
                                   ok ? good : bad);
        if (subject)
                json_object_set_new(object, "subject", json_string(subject));
        return object;
}

static void check_roles(const struct engine *engine, json_t *checks) {
        const char *name;
        json_t *role;
        json_object_foreach (engine->roles, name, role)
                json_array_append_new(checks, check("role.up", json_is_true(json_object_get(role, "up")),
                                                    name, N_("the role is up"), N_("the role is down")));
}

static bool ledger_is_well(const struct engine *engine) {
        const char *state = json_get_string(engine->ledger_state, "state");
        return !engine->ledger_state || (state && !strcmp(state, "ok"));
}

json_t *report_checks(struct engine *engine, const json_t *sentry, bool *ret_in_force) {
        json_t *checks = json_array();
        engine_catch_up(engine);
        check_roles(engine, checks);
        json_array_append_new(checks, check("sentry.answers", sentry != NULL, NULL, N_("the sentry answers"),
                                            N_("the sentry does not answer")));
        json_array_extend(checks, json_object_get(sentry, "checks"));
        uint64_t age_ns = clock_wall_ns(&clock_system) - checkpoint_ns(engine);
        json_array_append_new(checks, check("ledger.writable", ledger_is_well(engine), NULL,
                                            N_("the ledger is written"),
                                            N_("the ledger cannot be written: see the disk")));
        json_array_append_new(checks, check("ledger.checkpoint", age_ns < CHECKPOINT_AGE_MAX_NS, NULL,
                                            N_("the ledger was signed lately"),
                                            N_("the ledger was not signed lately")));
        json_array_append_new(checks,
                              check("engine.entries", findings_next(engine->findings) >= engine->n_seen, NULL,
                                    N_("every ledger entry is in the findings"),
                                    N_("ledger entries could not be read: run `hinomi ledger verify`")));
        *ret_in_force = true;
        size_t i;
        json_t *object;
        json_array_foreach (checks, i, object) {
                const char *state = json_get_string(object, "state");
                if (!state || !strcmp(state, "fail"))
                        *ret_in_force = false;
        }
        return checks;
}

static json_t *describe_roles(const struct engine *engine) {
        json_t *list = json_array();
        const char *name;
        json_t *role;
        json_object_foreach (engine->roles, name, role)
                json_array_append_new(list,
                                      json_pack("{s:s,s:s,s:O?,s:O?}", "name", name, "state",
                                                json_is_true(json_object_get(role, "up")) ? "up" : "down",
                                                "pid", json_object_get(role, "pid"), "restarts",
                                                json_object_get(role, "restarts")));
        return list;
}

json_t *report_status(struct engine *engine, const json_t *sentry, bool *ret_in_force) {
        json_auto_t *_unused_ checks = report_checks(engine, sentry, ret_in_force);
        uint64_t now_ms = clock_wall_ns(&clock_system) / NS_PER_MS;
        json_t *status = json_pack("{s:s,s:o,s:b,s:o,s:{s:I,s:o},s:o}", "version", HINOMI_VERSION, "started",
                                   json_time(engine->started_ns), "in_force", *ret_in_force, "roles",
                                   describe_roles(engine), "ledger", "size",
                                   (json_int_t)findings_next(engine->findings), "checkpoint",
                                   json_time(checkpoint_ns(engine)), "findings",
                                   findings_count(engine->findings, now_ms > DAY_MS ? now_ms - DAY_MS : 0));
        static const char *const passed_on[] = {"watching", "trees", "vault", "held", "dropped"};
        for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++) {
                json_t *value = json_object_get(sentry, passed_on[i]);
                if (value)
                        json_object_set(status, passed_on[i], value);
        }
        if (!sentry)
                json_object_set_new(status, "watching", json_false());
        return status;
}
