/* Parts whose rooms are not built yet: replaced by theirs at link time. */
#include <errno.h>

#include "drill/skimmer.h"

__attribute__((weak)) int drill_skimmer(const struct drill_options *options, drill_report report,
                                        void *userdata, struct drill_result *ret_result) {
        (void)options, (void)report, (void)userdata, (void)ret_result;
        return -ENOSYS;
}

__attribute__((weak)) const char *drill_question_name(enum drill_question question) {
        static const char *const names[DRILL_QUESTIONS] = {"seen", "shown", "undone", "proved"};
        return names[question];
}
