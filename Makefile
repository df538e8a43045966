# hinomi: `make watch` guards this machine, `make test` runs every test. Both install what they need.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := all

PREFIX ?= /usr/local
BUILD ?= build
CC ?= gcc
PACKAGES := libsystemd libcrypto sqlite3 libzstd jansson libfyaml yara libseccomp libmnl libcap-ng

SOURCES := $(filter-out %-test.c,$(shell find src -name '*.c' | LC_ALL=C sort))
TESTS := $(shell find src -name '*-test.c' | LC_ALL=C sort)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
LIBRARY := $(filter-out $(BUILD)/src/main.o,$(OBJECTS))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wvla -Wundef -Werror
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
OPTIMISE ?= -O2 -g
override CFLAGS += -std=gnu17 $(OPTIMISE) $(WARNINGS) $(HARDENING) $(SANITIZE) -Isrc -D_GNU_SOURCE $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
override LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -lm -lpthread

.PHONY: all deps test unit clean
all: $(BUILD)/hinomi

$(BUILD)/hinomi: $(OBJECTS)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%-test: $(BUILD)/%-test.o $(LIBRARY)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

unit: $(TESTS:%.c=$(BUILD)/%)
	@for t in $^; do CMOCKA_MESSAGE_OUTPUT=TAP $$t || exit 1; done

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d) $(TESTS:%.c=$(BUILD)/%.d)
.SECONDARY:
