#include "detect/tamper/evidence.h"

const char *indicator_name(enum indicator indicator) {
        static const char *const names[INDICATOR_COUNT] = {
                [INDICATOR_WEB_SHELL] = "web_shell",
                [INDICATOR_REQUEST_EXFIL] = "request_exfil",
                [INDICATOR_JS_SKIMMER] = "js_skimmer",
                [INDICATOR_FAKE_PAYMENT_FORM] = "fake_payment_form",
                [INDICATOR_PHP_TAG_IN_IMAGE] = "php_tag_in_image",
                [INDICATOR_PHP_TAG_IN_TEXT] = "php_tag_in_text",
                [INDICATOR_HANDLER_OVERRIDE] = "handler_override",
                [INDICATOR_IMAGE_BYTES_MISMATCH] = "image_bytes_mismatch",
                [INDICATOR_CARDS] = "cards",
                [INDICATOR_RECORDS] = "records",
                [INDICATOR_OBFUSCATED] = "obfuscated",
                [INDICATOR_APPENDED_TO_IMAGE] = "appended_to_image",
                [INDICATOR_EXECUTABLE] = "executable",
                [INDICATOR_SCRIPT_IN_SVG] = "script_in_svg",
        };
        return names[indicator];
}

void evidence_add(struct evidences *evidences, enum indicator indicator, const void *detail, size_t size) {
        struct evidence *evidence = &evidences->of[indicator];
        if (evidence->count++ || !detail)
                return;
        if (size >= sizeof(evidence->detail))
                size = sizeof(evidence->detail) - 1;
        memcpy(evidence->detail, detail, size);
        for (size_t i = 0; i < size; i++)
                if (!evidence->detail[i])
                        evidence->detail[i] = ' ';
        evidence->detail[size] = '\0';
}
