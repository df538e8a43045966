#include "detect/tamper/content.h"

#include "detect/tamper/evidence.h"
#include "detect/tamper/media.h"
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

json_t *content_assay(const struct content_rules *rules, const struct content_request *request) {
        struct view after = {request->after, request->after ? request->after_size : 0};
        struct view before = {request->before, request->before ? request->before_size : 0};
        struct evidences now = {0}, then = {0};
        struct media media, media_before;
        assay(request->name, after, &media, &now);
        if (any(&now) && before.size)
                assay(request->name, before, &media_before, &then);

        json_t *indicators = json_array();
        json_t *content = json_pack("{s:s,s:o,s:[],s:[]}", "media", media.type, "indicators", indicators,
                                    "hosts", "new_hosts");
        if (!content)
                return NULL;
        if (report(&now, &then, indicators) < 0 ||
            (rules && rules_match(rules, after, before, indicators) < 0)) {
                json_decref(content);
                return NULL;
        }
        return content;
}

json_t *content_hosts(const char *name _unused_, const unsigned char *data _unused_, size_t size _unused_) {
        return json_array();
}
