# hinomi: `make watch` guards this machine, `make test` runs every test. Both install what they need.
# Parts: mk/packages.mk (deps), mk/install.mk, mk/check.mk, mk/test.mk; a room may add its own mk/NAME.mk.
# Nothing here may need a package while it is parsed: on a fresh machine `make deps` is the first call.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := all

PREFIX ?= /usr/local
BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
LIBRARIES := libsystemd libcrypto sqlite3 libzstd zlib liblzma jansson libfyaml yara libseccomp libcap-ng

SOURCES := $(filter-out %-test.c,$(shell find src -name '*.c' | LC_ALL=C sort))
TESTS := $(shell find src -name '*-test.c' | LC_ALL=C sort)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
LIBRARY := $(filter-out $(BUILD)/src/main.o,$(OBJECTS))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wvla -Wundef -Wno-gnu-variable-sized-type-not-at-end -Werror
HARDENING := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)
OPTIMISE ?= -O2 -g
COMPILE := $(CC) -std=gnu17 $(OPTIMISE) $(WARNINGS) $(HARDENING) $(SANITIZE) -Isrc -D_GNU_SOURCE \
	$(shell pkg-config --cflags $(LIBRARIES) 2>/dev/null) $(CFLAGS)
LINK := $(CC) -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE) $(LDFLAGS)
LIBS := $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null) -lbz2 -lm -lpthread

.PHONY: all help clean watch
all: $(BUILD)/hinomi

include $(sort $(wildcard mk/*.mk))

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile mk/*.mk | LC_ALL=C sort | expand -t 14

watch: ## install what is needed, build, write a first configuration, and guard until Ctrl-C
	@$(MAKE) --no-print-directory deps users
	@$(MAKE) --no-print-directory all
	@test -e /etc/hinomi/hinomi.yaml || $(BUILD)/hinomi init
	@exec $(BUILD)/hinomi watch

$(BUILD)/hinomi: $(OBJECTS)
	@echo 'LINK  $@'
	@$(LINK) -o $@ $^ $(LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo 'CC    $@'
	@$(COMPILE) -MMD -MP -c -o $@ $<

clean: ## remove what was built
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d) $(TESTS:%.c=$(BUILD)/%.d)
.SECONDARY:
