#include "roles/engine/findings.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "event/finding.h"
#include "event/json.h"

/* Most actions a finding lists; an endless loop of restores must not grow it without bound. */
#define ACTIONS_MAX 100
/* Evidences kept in the finding itself; updates past that stand in `more`. */
#define EVIDENCES_INLINE 20
#define INLINE_BYTES_MAX ((size_t)32 << 10)

struct findings {
        sqlite3 *database;
        uint64_t next;
};

static const char schema[] =
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY;"
        "PRAGMA user_version=1;"
        "CREATE TABLE IF NOT EXISTS finding(uid TEXT PRIMARY KEY, first INTEGER, last INTEGER, severity "
        "INTEGER,"
        " created_ms INTEGER, tree TEXT, json TEXT) WITHOUT ROWID;"
        "CREATE INDEX IF NOT EXISTS finding_first ON finding(first);"
        "CREATE TABLE IF NOT EXISTS more(sequence INTEGER PRIMARY KEY, uid TEXT, json TEXT);"
        "CREATE INDEX IF NOT EXISTS more_uid ON more(uid, sequence);"
        "CREATE TABLE IF NOT EXISTS release(uid TEXT PRIMARY KEY, sequence INTEGER, json TEXT) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;";

static int prepare(struct findings *findings, const char *sql, sqlite3_stmt **ret_statement) {
        return sqlite3_prepare_v2(findings->database, sql, -1, ret_statement, NULL) == SQLITE_OK ? 0 : -EIO;
}

static void finalizep(sqlite3_stmt **statement) {
        sqlite3_finalize(*statement);
}

static int load_next(struct findings *findings) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(findings, "SELECT value FROM meta WHERE key='applied'", &statement);
        if (r < 0)
                return r;
        int step = sqlite3_step(statement);
        if (step == SQLITE_ROW)
                findings->next = (uint64_t)sqlite3_column_int64(statement, 0);
        return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : -EBADMSG;
}

static int try_open(struct findings *findings, const char *path) {
        if (sqlite3_open_v2(path, &findings->database,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK ||
            sqlite3_exec(findings->database, schema, NULL, NULL, NULL) != SQLITE_OK)
                return -EBADMSG;
        return load_next(findings);
}

static void move_aside(const char *path) {
        static const char *const suffixes[] = {"", "-wal", "-shm"};
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                char from[4096], to[4096];
                if (snprintf(from, sizeof(from), "%s%s", path, suffixes[i]) < (int)sizeof(from) &&
                    snprintf(to, sizeof(to), "%s.damaged%s", path, suffixes[i]) < (int)sizeof(to))
                        rename(from, to);
        }
}

int findings_open(const char *directory, struct findings **ret_findings) {
        _cleanup_(findings_closep) struct findings *findings = calloc(1, sizeof(*findings));
        _cleanup_(freep) char *path = NULL;
        if (!findings || asprintf(&path, "%s/findings.sqlite", directory) < 0)
                return -ENOMEM;
        int r = try_open(findings, path);
        if (r == -EBADMSG) {
                sqlite3_close_v2(findings->database);
                *findings = (struct findings){0};
                move_aside(path);
                r = try_open(findings, path);
        }
        if (r < 0)
                return -EIO;
        *ret_findings = STEAL(findings);
        return 0;
}

int findings_claim(struct findings *findings, const char *log) {
        static const char known[] = "SELECT substr(key, 5) FROM meta WHERE key LIKE 'log:%'";
        _cleanup_(finalizep) sqlite3_stmt *select = NULL, *insert = NULL;
        int r = prepare(findings, known, &select);
        if (r < 0)
                return r;
        int step = sqlite3_step(select);
        if (step == SQLITE_ROW) {
                const char *name = (const char *)sqlite3_column_text(select, 0);
                return name && !strcmp(name, log);
        }
        r = prepare(findings, "INSERT INTO meta VALUES('log:' || ?1, 1)", &insert);
        if (r < 0 || step != SQLITE_DONE)
                return -EIO;
        sqlite3_bind_text(insert, 1, log, -1, SQLITE_STATIC);
        return sqlite3_step(insert) == SQLITE_DONE ? 1 : -EIO;
}

int findings_renew(const char *directory, struct findings **findings) {
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/findings.sqlite", directory) < 0)
                return -ENOMEM;
        *findings = findings_close(*findings);
        move_aside(path);
        return findings_open(directory, findings);
}

struct findings *findings_close(struct findings *findings) {
        if (findings) {
                sqlite3_close_v2(findings->database);
                free(findings);
        }
        return NULL;
}

uint64_t findings_next(const struct findings *findings) {
        return findings->next;
}

static int load(struct findings *findings, const char *uid, json_t **ret_finding) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(findings, "SELECT json FROM finding WHERE uid=?1", &statement);
        if (r < 0)
                return r;
        sqlite3_bind_text(statement, 1, uid, -1, SQLITE_STATIC);
        if (sqlite3_step(statement) != SQLITE_ROW)
                return -ENOENT;
        json_t *finding = json_loads((const char *)sqlite3_column_text(statement, 0), 0, NULL);
        if (!finding)
                return -EBADMSG;
        *ret_finding = finding;
        return 0;
}

static const char *finding_tree(const json_t *finding) {
        return json_get_string(json_object_get(finding, "unmapped"), "tree") ?: "";
}

static int save(struct findings *findings, const json_t *finding) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *text = json_dumps(finding, JSON_COMPACT);
        const json_t *metadata = json_object_get(finding, "metadata");
        int r = prepare(findings, "INSERT OR REPLACE INTO finding VALUES(?1,?2,?3,?4,?5,?6,?7)", &statement);
        if (r < 0 || !text)
                return r < 0 ? r : -ENOMEM;
        sqlite3_bind_text(statement, 1, finding_uid(finding), -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 2, json_get_integer(metadata, "first_sequence", 0));
        sqlite3_bind_int64(statement, 3, json_get_integer(metadata, "sequence", 0));
        sqlite3_bind_int(statement, 4, finding_severity(finding));
        sqlite3_bind_int64(statement, 5,
                           json_get_integer(json_object_get(finding, "finding_info"), "created_time", 0));
        sqlite3_bind_text(statement, 6, finding_tree(finding), -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 7, text, -1, SQLITE_STATIC);
        return sqlite3_step(statement) == SQLITE_DONE ? 0 : -EIO;
}

static void set_sequence(json_t *finding, uint64_t index) {
        json_t *metadata = json_object_get(finding, "metadata");
        if (!metadata) {
                metadata = json_pack("{s:s,s:{s:s,s:s},s:I}", "version", "1.3.0", "product", "name", "hinomi",
                                     "vendor_name", "hinomi", "first_sequence", (json_int_t)index);
                json_object_set_new(finding, "metadata", metadata);
        }
        json_object_set_new(metadata, "sequence", json_integer((json_int_t)index));
}

static int save_more(struct findings *findings, uint64_t index, const json_t *update) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *text = json_dumps(update, JSON_COMPACT);
        int r = prepare(findings, "INSERT OR REPLACE INTO more VALUES(?1,?2,?3)", &statement);
        if (r < 0 || !text)
                return r < 0 ? r : -ENOMEM;
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)index);
        sqlite3_bind_text(statement, 2, finding_uid(update), -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 3, text, -1, SQLITE_STATIC);
        return sqlite3_step(statement) == SQLITE_DONE ? 0 : -EIO;
}

static size_t n_evidences(const json_t *finding) {
        return json_array_size(json_object_get(finding, "evidences"));
}

/* The update without its files, which stand in `more`. */
static json_t *without_files(const json_t *update) {
        json_t *copy = json_copy((json_t *)update);
        json_t *unmapped = json_copy(json_object_get(update, "unmapped"));
        json_object_set_new(unmapped, "n_files", json_integer(0));
        json_object_set_new(copy, "unmapped", unmapped);
        json_object_set_new(copy, "evidences", json_array());
        return copy;
}

static int merge(struct findings *findings, uint64_t index, json_t *known, const json_t *update) {
        json_object_set_new(known, "activity_id", json_integer(2));
        if (n_evidences(known) + n_evidences(update) <= EVIDENCES_INLINE &&
            json_dumpb(known, NULL, 0, JSON_COMPACT) + json_dumpb(update, NULL, 0, JSON_COMPACT) <=
                    INLINE_BYTES_MAX)
                return finding_merge(known, update);
        int r = save_more(findings, index, update);
        if (r < 0)
                return r;
        json_auto_t *rest = without_files(update);
        return finding_merge(known, rest);
}

static int apply_finding(struct findings *findings, uint64_t index, json_t *finding, json_t **ret_news) {
        const char *uid = finding_uid(finding);
        if (!uid)
                return 0;
        json_auto_t *known = NULL;
        int r = load(findings, uid, &known);
        if (r == -ENOENT) {
                known = json_deep_copy(finding);
                r = known ? 0 : -ENOMEM;
        } else if (r == 0)
                r = merge(findings, index, known, finding);
        if (r < 0)
                return r;
        set_sequence(known, index);
        r = save(findings, known);
        if (r < 0)
                return r;
        json_t *news = json_copy(finding);
        json_object_set(news, "metadata", json_object_get(known, "metadata"));
        *ret_news = news;
        return 1;
}

static json_t *finding_actions(json_t *finding) {
        json_t *unmapped = json_object_get(finding, "unmapped");
        json_t *actions = json_object_get(unmapped, "actions");
        if (!actions) {
                actions = json_array();
                json_object_set_new(unmapped, "actions", actions);
        }
        return actions;
}

static int apply_action(struct findings *findings, uint64_t index, const json_t *entry, json_t **ret_news) {
        const json_t *action = json_object_get(entry, "action");
        const char *uid = json_get_string(action, "finding_uid");
        json_auto_t *finding = NULL;
        if (!uid || load(findings, uid, &finding) < 0)
                return 0;
        json_auto_t *copy = json_copy((json_t *)action);
        json_object_set_new(copy, "sequence", json_integer((json_int_t)index));
        json_object_set(copy, "time", json_object_get(entry, "time"));
        json_t *actions = finding_actions(finding);
        if (json_array_size(actions) < ACTIONS_MAX)
                json_array_append(actions, copy);
        set_sequence(finding, index);
        int r = save(findings, finding);
        if (r < 0)
                return r;
        json_t *news = without_files(finding);
        json_object_set_new(news, "activity_id", json_integer(2));
        json_object_set_new(json_object_get(news, "unmapped"), "actions", json_pack("[O]", copy));
        *ret_news = news;
        return 1;
}

/* The entry at a release's end adds to the one at its begin. */
static int apply_release(struct findings *findings, uint64_t index, const json_t *release) {
        const char *uid = json_get_string(release, "uid");
        if (!uid)
                return 0;
        _cleanup_(finalizep) sqlite3_stmt *select = NULL, *insert = NULL;
        int r = prepare(findings, "SELECT json FROM release WHERE uid=?1", &select);
        r = r < 0 ? r : prepare(findings, "INSERT OR REPLACE INTO release VALUES(?1,?2,?3)", &insert);
        if (r < 0)
                return r;
        sqlite3_bind_text(select, 1, uid, -1, SQLITE_STATIC);
        json_auto_t *known = sqlite3_step(select) == SQLITE_ROW
                                     ? json_loads((const char *)sqlite3_column_text(select, 0), 0, NULL)
                                     : json_pack("{s:n}", "end");
        json_object_update(known, (json_t *)release);
        json_object_set_new(known, "sequence", json_integer((json_int_t)index));
        _cleanup_(freep) char *text = known ? json_dumps(known, JSON_COMPACT) : NULL;
        if (!text)
                return -ENOMEM;
        sqlite3_bind_text(insert, 1, uid, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 2, (sqlite3_int64)index);
        sqlite3_bind_text(insert, 3, text, -1, SQLITE_STATIC);
        return sqlite3_step(insert) == SQLITE_DONE ? 0 : -EIO;
}

int findings_releases(struct findings *findings, uint64_t limit, findings_visit visit, void *userdata) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(
                findings,
                "SELECT json FROM (SELECT json, sequence FROM release ORDER BY sequence DESC LIMIT ?1)"
                " ORDER BY sequence",
                &statement);
        if (r < 0)
                return r;
        sqlite3_bind_int64(statement, 1, limit ? (sqlite3_int64)limit : -1);
        int step;
        while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
                json_auto_t *release = json_loads((const char *)sqlite3_column_text(statement, 0), 0, NULL);
                r = release ? visit(release, false, userdata) : -EBADMSG;
                if (r < 0)
                        return r;
        }
        return step == SQLITE_DONE ? 0 : -EIO;
}

static int save_next(struct findings *findings) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(findings, "INSERT OR REPLACE INTO meta VALUES('applied',?1)", &statement);
        if (r < 0)
                return r;
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)findings->next);
        return sqlite3_step(statement) == SQLITE_DONE ? 0 : -EIO;
}

static int run(struct findings *findings, const char *sql) {
        return sqlite3_exec(findings->database, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

static int apply_kind(struct findings *findings, uint64_t index, const json_t *entry, json_t **ret_news) {
        const char *kind = json_get_string(entry, "kind");
        if (kind && !strcmp(kind, "finding"))
                return apply_finding(findings, index, json_object_get(entry, "finding"), ret_news);
        if (kind && !strcmp(kind, "action"))
                return apply_action(findings, index, entry, ret_news);
        if (kind && !strcmp(kind, "release"))
                return apply_release(findings, index, json_object_get(entry, "release"));
        return 0;
}

/* One entry whole or not at all; one that makes no sense is passed over, since what follows it matters. */
int findings_apply(struct findings *findings, uint64_t index, const json_t *entry, json_t **ret_news) {
        if (index != findings->next)
                return -EINVAL;
        int r = run(findings, "SAVEPOINT entry");
        if (r < 0)
                return r;
        r = apply_kind(findings, index, entry, ret_news);
        if (r == -EINVAL || r == -EBADMSG)
                r = 0;
        findings->next++;
        int s = r < 0 ? r : save_next(findings);
        if (s == 0)
                s = run(findings, "RELEASE entry");
        if (s < 0) {
                run(findings, "ROLLBACK TO entry");
                run(findings, "RELEASE entry");
                findings->next--;
                json_decref(STEAL(*ret_news));
        }
        return s < 0 ? s : r;
}

int findings_begin(struct findings *findings) {
        return sqlite3_exec(findings->database, "BEGIN", NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

int findings_end(struct findings *findings) {
        int r = run(findings, "COMMIT");
        if (r < 0) {
                run(findings, "ROLLBACK");
                load_next(findings);
        }
        return r;
}

static int visit_more(struct findings *findings, const char *uid, findings_visit visit, void *userdata) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(findings, "SELECT json FROM more WHERE uid=?1 ORDER BY sequence", &statement);
        if (r < 0)
                return r;
        sqlite3_bind_text(statement, 1, uid, -1, SQLITE_STATIC);
        int step = sqlite3_step(statement);
        while (step == SQLITE_ROW) {
                json_auto_t *update = json_loads((const char *)sqlite3_column_text(statement, 0), 0, NULL);
                step = sqlite3_step(statement);
                r = update ? visit(update, step == SQLITE_ROW, userdata) : -EBADMSG;
                if (r < 0)
                        return r;
        }
        return step == SQLITE_DONE ? 0 : -EIO;
}

static bool has_more(struct findings *findings, const char *uid) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        if (prepare(findings, "SELECT 1 FROM more WHERE uid=?1 LIMIT 1", &statement) < 0)
                return false;
        sqlite3_bind_text(statement, 1, uid, -1, SQLITE_STATIC);
        return sqlite3_step(statement) == SQLITE_ROW;
}

static int visit_whole(struct findings *findings, const json_t *finding, findings_visit visit,
                       void *userdata) {
        bool more = has_more(findings, finding_uid(finding));
        int r = visit(finding, more, userdata);
        return r < 0 || !more ? r : visit_more(findings, finding_uid(finding), visit, userdata);
}

static int visit_rows(struct findings *findings, sqlite3_stmt *statement, findings_visit visit,
                      void *userdata) {
        int step;
        while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
                json_auto_t *finding = json_loads((const char *)sqlite3_column_text(statement, 0), 0, NULL);
                int r = finding_uid(finding) ? visit_whole(findings, finding, visit, userdata) : -EBADMSG;
                if (r < 0)
                        return r;
        }
        return step == SQLITE_DONE ? 0 : -EIO;
}

int findings_select(struct findings *findings, const struct findings_query *query, findings_visit visit,
                    void *userdata) {
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(
                findings,
                "SELECT json FROM (SELECT json, first FROM finding WHERE created_ms>=?1 AND created_ms<?2"
                " AND severity>=?3 AND (?4 IS NULL OR tree=?4) ORDER BY first DESC LIMIT ?5) ORDER BY first",
                &statement);
        if (r < 0)
                return r;
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)query->since_ms);
        sqlite3_bind_int64(statement, 2, query->until_ms ? (sqlite3_int64)query->until_ms : INT64_MAX);
        sqlite3_bind_int(statement, 3, query->severity_min);
        sqlite3_bind_text(statement, 4, query->tree, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 5, query->limit ? (sqlite3_int64)query->limit : -1);
        return visit_rows(findings, statement, visit, userdata);
}

/* The uid that `id` stands for. */
static int resolve(struct findings *findings, const char *id, char ret_uid[static 64]) {
        char *end;
        uint64_t index = strtoull(id, &end, 10);
        bool by_index = *id && !*end;
        if (!by_index && strlen(id) < 8)
                return -ENOENT;
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        int r = prepare(findings,
                        by_index ? "SELECT uid FROM finding WHERE first=?1 OR last=?1"
                                   " UNION SELECT uid FROM more WHERE sequence=?1 LIMIT 2"
                                 : "SELECT uid FROM finding WHERE uid>=?1 AND uid<?1||'~' LIMIT 2",
                        &statement);
        if (r < 0)
                return r;
        if (by_index)
                sqlite3_bind_int64(statement, 1, (sqlite3_int64)index);
        else
                sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
        if (sqlite3_step(statement) != SQLITE_ROW)
                return -ENOENT;
        snprintf(ret_uid, 64, "%s", (const char *)sqlite3_column_text(statement, 0));
        return sqlite3_step(statement) == SQLITE_ROW ? -EEXIST : 0;
}

int findings_get(struct findings *findings, const char *id, findings_visit visit, void *userdata) {
        char uid[64];
        json_auto_t *finding = NULL;
        int r = resolve(findings, id, uid);
        r = r < 0 ? r : load(findings, uid, &finding);
        return r < 0 ? r : visit_whole(findings, finding, visit, userdata);
}

json_t *findings_count(struct findings *findings, uint64_t since_ms) {
        json_t *counts = json_object();
        for (int severity = SEVERITY_INFORMATIONAL; severity <= SEVERITY_CRITICAL; severity++)
                json_object_set_new(counts, severity_name(severity), json_integer(0));
        _cleanup_(finalizep) sqlite3_stmt *statement = NULL;
        if (prepare(findings, "SELECT severity, count(*) FROM finding WHERE created_ms>=?1 GROUP BY severity",
                    &statement) < 0)
                return counts;
        sqlite3_bind_int64(statement, 1, (sqlite3_int64)since_ms);
        while (sqlite3_step(statement) == SQLITE_ROW)
                json_object_set_new(counts, severity_name(sqlite3_column_int(statement, 0)),
                                    json_integer(sqlite3_column_int64(statement, 1)));
        return counts;
}
