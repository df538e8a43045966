# Checks that need no run of the program. tests/run takes each `check-NAME` as one test.
CHECKS := format layers duplicates size gcc clang cppcheck shell unit-file locale
C_FILES := $(shell find src tests -name '*.c' -o -name '*.h' | LC_ALL=C sort)
SHELL_FILES := $(shell grep -lsE '^\#!/bin/(ba)?sh' .ci/* tools/* tests/*/* 2>/dev/null)

.PHONY: check $(CHECKS:%=check-%)
check: $(CHECKS:%=check-%) ## format, layers, duplicates, sizes, both compilers, cppcheck, shellcheck

check-format:
	@clang-format-14 --dry-run -Werror $(C_FILES)

check-layers:
	tools/check-layers

check-duplicates:
	tools/check-duplicates

check-size:
	tools/check-size

check-gcc: all $(TESTS:%.c=$(BUILD)/%.o)

check-clang: $(patsubst %.c,$(BUILD)/clang/%.ok,$(SOURCES) $(TESTS))

$(BUILD)/clang/%.ok: %.c
	@mkdir -p $(@D)
	@$(patsubst $(CC),clang,$(COMPILE)) -MMD -MP -MF $(@:.ok=.d) -MT $@ -fsyntax-only $<
	@touch $@
-include $(patsubst %.c,$(BUILD)/clang/%.d,$(SOURCES) $(TESTS))

check-cppcheck: $(BUILD)/cppcheck
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--library=tools/cppcheck.cfg --suppressions-list=tools/cppcheck.suppress --cppcheck-build-dir=$(BUILD)/cppcheck \
		-j 2 -D_GNU_SOURCE -D__x86_64__ --max-configs=1 --template=gcc -Isrc $(SOURCES)

$(BUILD)/cppcheck: tools/cppcheck.cfg tools/cppcheck.suppress
	@rm -rf $@ && mkdir -p $@

check-shell:
	@shellcheck $(SHELL_FILES)

check-unit-file:
	tools/check-unit-file systemd/hinomi.service
