#include "detect/tamper/content.h"

#include "base/buffer.h"
#include "detect/tamper/cards.h"
#include "detect/tamper/code.h"
#include "detect/tamper/diff.h"
#include "detect/tamper/evidence.h"
#include "detect/tamper/mask.h"
#include "detect/tamper/media.h"
#include "detect/tamper/records.h"
#include "detect/tamper/yara.h"
#include "event/json.h"

/* Nothing is an empty text, so that nobody below has to ask. */
static struct view view_of(const unsigned char *data, size_t size) {
        return data ? (struct view){data, size} : (struct view){(const unsigned char *)"", 0};
}

/* What one version of a file says. */
struct finding_set {
        struct media media;
        struct evidences evidences;
        struct hosts *hosts; /* owned */
        bool has_php;
};

static void finding_set_deinit(struct finding_set *set) {
        set->hosts = hosts_free(set->hosts);
}

static int assay(const char *name, struct view view, struct finding_set *set) {
        set->hosts = hosts_new();
        if (!set->hosts)
                return -ENOMEM;
        set->media = media_of(name, view);
        media_assay(&set->media, name, view, &set->evidences);
        settings_assay(&set->media, view, &set->evidences);
        return code_assay(&set->media, view, set->hosts, &set->evidences, &set->has_php);
}

static bool any(const struct evidences *evidences) {
        for (enum indicator i = 0; i < INDICATOR_COUNT; i++)
                if (evidences->of[i].count)
                        return true;
        return false;
}

/* A snippet of a program may hold an address or a password. */
static json_t *encode_detail(const char *detail) {
        _cleanup_(buffer_deinit) struct buffer masked = {0};
        if (mask_append(&masked, (struct view){(const unsigned char *)detail, strlen(detail)}) < 0)
                return NULL;
        return json_bytes_sized(masked.data ?: "", masked.size);
}

static int report(const struct evidences *now, const struct evidences *then, json_t *indicators) {
        for (enum indicator i = 0; i < INDICATOR_COUNT; i++) {
                if (now->of[i].count <= then->of[i].count)
                        continue;
                json_t *indicator = json_pack("{s:s,s:o}", "id", indicator_name(i), "detail",
                                              encode_detail(now->of[i].detail));
                if (json_array_append_new(indicators, indicator) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* --- what was added to data --- */

static bool is_appended(struct view before, struct view after) {
        return before.size && after.size > before.size && !memcmp(before.data, after.data, before.size);
}

/* Data files collect what a stealer takes: cards, unreadable records, anything behind an image's end. */
static void assay_data(const struct media *media, struct view before, struct view after,
                       struct evidences *now, struct evidences *then) {
        bool appended = is_appended(before, after);
        if (media->family == FAMILY_TEXT || media->family == FAMILY_UNKNOWN || appended) {
                cards_assay(appended ? view_from(after, before.size) : after, now);
                if (!appended && now->of[INDICATOR_CARDS].count)
                        cards_assay(before, then);
        }
        if (media->family == FAMILY_TEXT || media->family == FAMILY_UNKNOWN)
                records_assay(before, after, now);
}

static void assay_growth(const struct media *media, struct view before, struct view after,
                         struct evidences *now) {
        if (media->family == FAMILY_IMAGE && media->language != LANGUAGE_SVG && is_appended(before, after))
                evidence_add(now, INDICATOR_APPENDED_TO_IMAGE, NULL, 0);
}

static int add_diff(const struct content_request *request, struct view before, struct view after,
                    json_t *content) {
        _cleanup_(buffer_deinit) struct buffer diff = {0};
        int r = diff_unified(request->name, request->before != NULL, before, after, CONTENT_DIFF_MAX, &diff);
        if (r < 0 || diff.size == 0)
                return r;
        if (json_object_set_new(content, "diff", json_stringn(diff.data, diff.size)) < 0)
                return -ENOMEM;
        return json_object_set_new(content, "diff_truncated", json_boolean(r > 0));
}

/* A page kept in a cache shows what its editors embedded: frames are no sign there. */
static unsigned telling_kinds(enum zone zone) {
        unsigned kinds = HOST_SCRIPT | HOST_CODE | HOST_HIDDEN | HOST_FORM;
        return zone == ZONE_DATA ? kinds : kinds | HOST_FRAME;
}

/* An admin adds a link to a menu. It tells where something was added that could load from there. */
static bool lists_tell(const struct content_request *request, struct view before, struct view after) {
        return request->zone != ZONE_EDITABLE ? !before.size
                                              : code_count_uses(after) > code_count_uses(before);
}

static int add_hosts(const struct content_request *request, const struct finding_set *now,
                     const struct finding_set *then, json_t *content) {
        unsigned kinds = telling_kinds(request->zone);
        if (lists_tell(request, view_of(request->before, request->before_size),
                       view_of(request->after, request->after_size)))
                kinds |= HOST_LISTED;
        json_t *hosts = hosts_encode(now->hosts, ~HOST_LISTED, NULL);
        json_t *fresh = hosts_encode(now->hosts, kinds, then->hosts);
        int r = json_object_set_new(content, "hosts", hosts);
        return json_object_set_new(content, "new_hosts", fresh) < 0 || r < 0 ? -ENOMEM : 0;
}

static int encode(const struct content_rules *rules, const struct content_request *request,
                  const struct finding_set *now, const struct finding_set *then, json_t *content) {
        struct view after = view_of(request->after, request->after_size);
        struct view before = view_of(request->before, request->before_size);
        json_t *indicators = json_object_get(content, "indicators");
        int r = report(&now->evidences, &then->evidences, indicators);
        if (r >= 0 && rules)
                r = rules_match(rules, after, before, indicators);
        if (r >= 0 && (now->media.family <= FAMILY_TEXT || now->media.has_php))
                r = json_object_set_new(content, "php", json_boolean(now->has_php)) < 0 ? -ENOMEM : 0;
        if (r >= 0)
                r = add_hosts(request, now, then, content);
        if (r >= 0 && request->want_diff && now->media.family <= FAMILY_TEXT)
                r = add_diff(request, before, after, content);
        return r;
}

json_t *content_assay(const struct content_rules *rules, const struct content_request *request) {
        struct view after = view_of(request->after, request->after_size);
        struct view before = view_of(request->before, request->before_size);
        _cleanup_(finding_set_deinit) struct finding_set now = {0}, then = {0};
        if (assay(request->name, after, &now) < 0)
                return NULL;
        if (before.size && (any(&now.evidences) || now.hosts->n) && assay(request->name, before, &then) < 0)
                return NULL;
        if (request->zone == ZONE_DATA)
                assay_data(&now.media, before, after, &now.evidences, &then.evidences);
        assay_growth(&now.media, before, after, &now.evidences);

        json_t *content = json_pack("{s:s,s:[]}", "media", now.media.type, "indicators");
        if (content && encode(rules, request, &now, &then, content) < 0) {
                json_decref(content);
                return NULL;
        }
        return content;
}

json_t *content_hosts(const char *name, const unsigned char *data, size_t size) {
        _cleanup_(finding_set_deinit) struct finding_set set = {0};
        if (assay(name, view_of(data, size), &set) < 0)
                return NULL;
        return hosts_encode(set.hosts, ~HOST_LISTED, NULL);
}
