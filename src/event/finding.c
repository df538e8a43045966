#include "event/finding.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "event/json.h"

static const char *const severity_names[] = {
        [SEVERITY_INFORMATIONAL] = "Informational",
        [SEVERITY_LOW] = "Low",
        [SEVERITY_MEDIUM] = "Medium",
        [SEVERITY_HIGH] = "High",
        [SEVERITY_CRITICAL] = "Critical",
};

const char *severity_name(enum severity severity) {
        if (severity < SEVERITY_INFORMATIONAL || severity > SEVERITY_CRITICAL)
                return "Unknown";
        return severity_names[severity];
}

void finding_uid_make(uint64_t wall_ns, char ret_uid[static 32]) {
        static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
        uint64_t milliseconds = wall_ns / NS_PER_MS;
        uint8_t random[16];
        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                abort();
        memcpy(ret_uid, "hnm-", 4);
        for (int i = 0; i < 10; i++)
                ret_uid[4 + i] = digits[milliseconds >> (45 - 5 * i) & 31];
        for (int i = 0; i < 16; i++)
                ret_uid[14 + i] = digits[random[i] & 31];
        ret_uid[30] = '\0';
}

static void set_severity(json_t *finding, enum severity severity) {
        json_object_set_new(finding, "severity_id", json_integer(severity));
        json_object_set_new(finding, "severity", json_string(severity_name(severity)));
}

json_t *finding_new(const char *uid, const char *title, enum severity severity, uint64_t wall_ns) {
        json_t *finding = json_pack(
                "{s:i,s:s,s:i,s:s,s:i,s:i,s:o,s:{s:s,s:s,s:[],s:o,s:o},s:[],s:[],s:{s:i}}", "class_uid", 2004,
                "class_name", "Detection Finding", "category_uid", 2, "category_name", "Findings",
                "activity_id", 1, "type_uid", 200401, "time", json_time(wall_ns), "finding_info", "uid", uid,
                "title", title, "types", "created_time", json_time(wall_ns), "modified_time",
                json_time(wall_ns), "attacks", "evidences", "unmapped", "n_files", 0);
        if (finding)
                set_severity(finding, severity);
        return finding;
}

static bool array_has(const json_t *array, const char *string) {
        size_t i;
        json_t *value;
        json_array_foreach (array, i, value)
                if (json_is_string(value) && !strcmp(json_string_value(value), string))
                        return true;
        return false;
}

void finding_add_type(json_t *finding, const char *type) {
        json_t *types = json_object_get(json_object_get(finding, "finding_info"), "types");
        if (!array_has(types, type))
                json_array_append_new(types, json_string(type));
}

static const char *attack_uid(const json_t *attack) {
        return json_get_string(json_object_get(attack, "technique"), "uid");
}

void finding_add_technique(json_t *finding, const char *technique) {
        json_t *attacks = json_object_get(finding, "attacks");
        size_t i;
        json_t *attack;
        json_array_foreach (attacks, i, attack) {
                const char *uid = attack_uid(attack);
                if (uid && !strcmp(uid, technique))
                        return;
        }
        json_array_append_new(attacks, json_pack("{s:{s:s}}", "technique", "uid", technique));
}

enum severity finding_severity(const json_t *finding) {
        return (enum severity)json_get_integer(finding, "severity_id", SEVERITY_INFORMATIONAL);
}

void finding_raise(json_t *finding, enum severity severity) {
        if (severity > finding_severity(finding))
                set_severity(finding, severity);
}

const char *finding_uid(const json_t *finding) {
        return json_get_string(json_object_get(finding, "finding_info"), "uid");
}

static const char *type_name(mode_t mode) {
        switch (mode & S_IFMT) {
        case S_IFREG:
                return "Regular File";
        case S_IFDIR:
                return "Folder";
        case S_IFLNK:
                return "Symbolic Link";
        case S_IFCHR:
                return "Character Device";
        case S_IFBLK:
                return "Block Device";
        case S_IFSOCK:
                return "Local Socket";
        case S_IFIFO:
                return "Named Pipe";
        default:
                return "Unknown";
        }
}

json_t *node_encode(const struct node *node) {
        if (!node_exists(node))
                return json_null();
        char hex[DIGEST_HEX_SIZE], mode[8];
        snprintf(mode, sizeof(mode), "%04o", node->mode & 07777u);
        json_t *object = json_pack("{s:s,s:s,s:I,s:I,s:I}", "type", type_name(node->mode), "mode", mode,
                                   "uid", (json_int_t)node->uid, "gid", (json_int_t)node->gid, "size",
                                   (json_int_t)node->size_bytes);
        if (!digest_is_zero(&node->digest)) {
                digest_format(&node->digest, hex);
                json_object_set_new(object, "sha256", json_string(hex));
        }
        if (!digest_is_zero(&node->xattr_digest)) {
                digest_format(&node->xattr_digest, hex);
                json_object_set_new(object, "xattr_sha256", json_string(hex));
        }
        if (node->link_target)
                json_object_set_new(object, "target", json_bytes(node->link_target));
        return object;
}

static const char *change_kind(const struct change *change) {
        if (change->how == CHANGE_REFUSED)
                return "refused";
        if (change->how == CHANGE_REVERTED)
                return "reverted";
        if (!node_exists(&change->before))
                return "created";
        if (!node_exists(&change->after))
                return "deleted";
        return change->difference & (NODE_CONTENT | NODE_TYPE) ? "modified" : "attributes";
}

static json_t *file_encode(const struct change *change) {
        const struct node *node = node_exists(&change->after) ? &change->after : &change->before;
        json_t *file = json_pack("{s:o,s:s,s:I}", "path", json_bytes(change->path), "type",
                                 type_name(node->mode), "size", (json_int_t)node->size_bytes);
        if (!digest_is_zero(&node->digest)) {
                char hex[DIGEST_HEX_SIZE];
                digest_format(&node->digest, hex);
                json_object_set_new(file, "hashes",
                                    json_pack("[{s:s,s:i,s:s}]", "algorithm", "SHA-256", "algorithm_id", 3,
                                              "value", hex));
        }
        return file;
}

static bool is_inherited(const char *key) {
        return strcmp(key, "diff") && strcmp(key, "diff_truncated");
}

/* Whether `object` has every member that it would else inherit, and its objects have, too. */
static bool covers(const json_t *object, const json_t *like) {
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)like, key, value) {
                const json_t *own = json_object_get(object, key);
                if (is_inherited(key) &&
                    (!own || (json_is_object(own) && json_is_object(value) && !covers(own, value))))
                        return false;
        }
        return true;
}

static void leave_out(json_t *object, const json_t *like) {
        void *next;
        const char *key;
        json_t *value;
        json_object_foreach_safe(object, next, key, value) {
                json_t *known = json_object_get(like, key);
                if (!is_inherited(key))
                        continue;
                if (json_equal(value, known))
                        json_object_del(object, key);
                else if (json_is_object(value) && json_is_object(known)) {
                        json_t *rest = json_copy(value);
                        leave_out(rest, known);
                        json_object_set_new(object, key, rest);
                }
        }
}

static void shorten(json_t *evidence, const json_t *evidences) {
        size_t n = json_array_size(evidences);
        json_int_t i = n ? json_get_integer(json_array_get(evidences, n - 1), "like", (json_int_t)n - 1) : 0;
        const json_t *like = json_array_get(evidences, (size_t)i);
        if (!like || !covers(evidence, like))
                return;
        leave_out(evidence, like);
        json_object_set_new(evidence, "like", json_integer(i));
}

/* `over` laid over `like`, which is shared as far as it shows through. */
static json_t *overlay(const json_t *like, const json_t *over) {
        json_t *whole = json_copy((json_t *)like);
        const char *key;
        json_t *value;
        json_object_del(whole, "diff");
        json_object_del(whole, "diff_truncated");
        json_object_foreach ((json_t *)over, key, value) {
                const json_t *known = json_object_get(like, key);
                if (json_is_object(value) && json_is_object(known))
                        json_object_set_new(whole, key, overlay(known, value));
                else
                        json_object_set(whole, key, value);
        }
        return whole;
}

void finding_expand(json_t *finding) {
        json_t *evidences = json_object_get(finding, "evidences");
        size_t i;
        json_t *evidence;
        json_array_foreach (evidences, i, evidence) {
                json_int_t like = json_get_integer(evidence, "like", -1);
                if (like < 0 || (size_t)like >= i)
                        continue;
                json_t *whole = overlay(json_array_get(evidences, (size_t)like), evidence);
                json_object_del(whole, "like");
                json_array_set_new(evidences, i, whole);
        }
}

int finding_add_change(json_t *finding, const struct change *change, json_t *actor, json_t *reasons,
                       const char *diff) {
        json_t *unmapped = json_object_get(finding, "unmapped");
        json_int_t n = json_get_integer(unmapped, "n_files", 0);
        json_object_set_new(unmapped, "n_files", json_integer(n + 1));
        json_t *evidences = json_object_get(finding, "evidences");
        if (json_array_size(evidences) >= FINDING_EVIDENCES_MAX)
                return 0;

        json_t *data = json_pack("{s:s,s:s,s:s,s:b,s:o,s:o,s:o}", "kind", change_kind(change), "tree",
                                 change->tree ?: "", "zone", zone_name(change->zone), "offline",
                                 change->how == CHANGE_FOUND, "before", node_encode(&change->before), "after",
                                 node_encode(&change->after), "time", json_time(change->time_ns));
        if (!data)
                return -ENOMEM;
        if (reasons)
                json_object_set(data, "reasons", reasons);
        if (diff)
                json_object_set_new(data, "diff", json_string(diff));
        json_t *evidence = json_pack("{s:o,s:o}", "file", file_encode(change), "data", data);
        if (actor)
                json_object_set(evidence, "actor", actor);
        shorten(evidence, evidences);
        return json_array_append_new(evidences, evidence) < 0 ? -ENOMEM : 0;
}

static void merge_strings(json_t *finding, const json_t *update) {
        size_t i;
        json_t *value;
        json_array_foreach (json_object_get(json_object_get(update, "finding_info"), "types"), i, value)
                if (json_is_string(value))
                        finding_add_type(finding, json_string_value(value));
        json_array_foreach (json_object_get(update, "attacks"), i, value)
                if (attack_uid(value))
                        finding_add_technique(finding, attack_uid(value));
}

static void merge_evidences(json_t *evidences, const json_t *more) {
        size_t i, n = json_array_size(evidences);
        json_t *value;
        json_array_foreach (more, i, value) {
                json_int_t like = json_get_integer(value, "like", -1);
                if (n + i >= FINDING_EVIDENCES_MAX)
                        return;
                json_t *copy = json_copy(value);
                if (like >= 0)
                        json_object_set_new(copy, "like", json_integer((json_int_t)n + like));
                json_array_append_new(evidences, copy);
        }
}

int finding_merge(json_t *finding, const json_t *update) {
        const char *a = finding_uid(finding), *b = finding_uid(update);
        if (!a || !b || strcmp(a, b))
                return -EINVAL;

        merge_strings(finding, update);
        finding_raise(finding, finding_severity(update));
        merge_evidences(json_object_get(finding, "evidences"), json_object_get(update, "evidences"));

        json_t *info = json_object_get(finding, "finding_info");
        const json_t *update_info = json_object_get(update, "finding_info");
        json_object_set(info, "modified_time", json_object_get(update_info, "modified_time"));
        if (json_is_string(json_object_get(update_info, "title")))
                json_object_set(info, "title", json_object_get(update_info, "title"));

        json_t *unmapped = json_object_get(finding, "unmapped");
        const json_t *update_unmapped = json_object_get(update, "unmapped");
        json_int_t n =
                json_get_integer(unmapped, "n_files", 0) + json_get_integer(update_unmapped, "n_files", 0);
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)update_unmapped, key, value)
                json_object_set(unmapped, key, value);
        json_object_set_new(unmapped, "n_files", json_integer(n));
        return 0;
}
