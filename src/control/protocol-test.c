#include "control/protocol.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect(const char *text, int result, const char *message) {
        json_t *request = json_loads(text, 0, NULL);
        assert_non_null(request);
        char *error = NULL;
        assert_int_equal(protocol_check(request, NULL, &error), result);
        if (message)
                assert_string_equal(error, message);
        else
                assert_null(error);
        free(error);
        json_decref(request);
}

static void test_table(void **state) {
        (void)state;
        expect("{\"request\":\"status\"}", 0, NULL);
        expect("{\"request\":\"findings\",\"since\":5,\"severity\":\"high\",\"follow\":true}", 0, NULL);
        expect("{\"request\":\"findings\",\"since\":null}", 0, NULL);
        expect("{\"request\":\"restore\",\"paths\":[\"/a\"],\"at\":1}", 0, NULL);
        expect("{}", -EINVAL, "unknown request: (none)");
        expect("{\"request\":5}", -EINVAL, "unknown request: (none)");
        expect("{\"request\":\"shutdown\"}", -EINVAL, "unknown request: shutdown");
        expect("{\"request\":\"status\",\"x\":1}", -EINVAL, "unknown argument: x");
        expect("{\"request\":\"findings\",\"since\":\"5\"}", -EINVAL, "argument of the wrong type: since");
        expect("{\"request\":\"findings\",\"sin\":5}", -EINVAL, "unknown argument: sin");
        expect("{\"request\":\"restore\",\"paths\":[1]}", -EINVAL, "argument of the wrong type: paths");
        expect("{\"request\":\"show\"}", -EINVAL, "missing argument: id");
        expect("{\"request\":\"show\",\"id\":null}", -EINVAL, "missing argument: id");
        expect("{\"request\":\"release-begin\",\"name\":\"x\"}", -EINVAL, "missing argument: holder");
}

static void test_answerer(void **state) {
        (void)state;
        assert_int_equal(protocol_find("restore")->answerer, ANSWER_SENTRY);
        assert_int_equal(protocol_find("findings")->answerer, ANSWER_ENGINE);
        assert_null(protocol_find("find"));
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_answerer)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
