#include "detect/tamper/content.h"

#include "base/buffer.h"
#include "detect/tamper/cards.h"
#include "detect/tamper/diff.h"
#include "detect/tamper/evidence.h"
#include "detect/tamper/media.h"
#include "detect/tamper/records.h"
#include "detect/tamper/yara.h"
#include "event/json.h"

static void assay(const char *name, struct view view, struct media *ret_media, struct evidences *evidences) {
        *ret_media = media_of(name, view);
        media_assay(ret_media, name, view, evidences);
}

static bool any(const struct evidences *evidences) {
        for (enum indicator i = 0; i < INDICATOR_COUNT; i++)
                if (evidences->of[i].count)
                        return true;
        return false;
}

static int report(const struct evidences *now, const struct evidences *then, json_t *indicators) {
        for (enum indicator i = 0; i < INDICATOR_COUNT; i++) {
                if (now->of[i].count <= then->of[i].count)
                        continue;
                json_t *indicator = json_pack("{s:s,s:o}", "id", indicator_name(i), "detail",
                                              json_bytes(now->of[i].detail));
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

json_t *content_assay(const struct content_rules *rules, const struct content_request *request) {
        struct view after = {request->after, request->after ? request->after_size : 0};
        struct view before = {request->before, request->before ? request->before_size : 0};
        struct evidences now = {0}, then = {0};
        struct media media, media_before;
        assay(request->name, after, &media, &now);
        if (any(&now) && before.size)
                assay(request->name, before, &media_before, &then);
        if (request->zone == ZONE_DATA)
                assay_data(&media, before, after, &now, &then);
        assay_growth(&media, before, after, &now);

        json_t *indicators = json_array();
        json_t *content = json_pack("{s:s,s:o,s:[],s:[]}", "media", media.type, "indicators", indicators,
                                    "hosts", "new_hosts");
        if (!content)
                return NULL;
        if (report(&now, &then, indicators) < 0 ||
            (rules && rules_match(rules, after, before, indicators) < 0) ||
            (request->want_diff && media.family <= FAMILY_TEXT &&
             add_diff(request, before, after, content) < 0)) {
                json_decref(content);
                return NULL;
        }
        return content;
}

json_t *content_hosts(const char *name _unused_, const unsigned char *data _unused_, size_t size _unused_) {
        return json_array();
}
