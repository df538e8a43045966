# Test programs. tests/run starts them and counts; see there for the groups.
#   src/ROOM/NOUN-test.c     unit tests, no root          -> $(BUILD)/src/ROOM/NOUN-test
#   tests/{fault,sense,respond}/*.c  cmocka programs        -> $(BUILD)/tests/fault/NAME
#   tests/fuzz/*.c           libFuzzer targets            -> $(BUILD)/tests/fuzz/NAME (in $(FUZZ_BUILD))
PYTHON := /usr/bin/python3
ASAN_BUILD := build/asan
FUZZ_BUILD := build/fuzz
SANITIZE_ALL := -fsanitize=address,undefined -fno-sanitize-recover=all
TEST_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(wildcard $(addsuffix /*.c,tests/fault tests/sense tests/respond)))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*.c))

.PHONY: unit test test-programs fuzzers fuzz-long bench
unit: unit-programs ## build and run the unit tests
	@for t in $(TESTS:%.c=$(BUILD)/%); do CMOCKA_MESSAGE_OUTPUT=TAP $$t || exit 1; done

.PHONY: unit-programs
unit-programs: $(TESTS:%.c=$(BUILD)/%)
test-programs: $(TEST_PROGRAMS)
fuzzers: $(FUZZERS)

$(BUILD)/%-test: $(BUILD)/%-test.o $(LIBRARY)
	@echo 'LINK  $@'
	@$(LINK) -o $@ $^ $(LIBS) -lcmocka

$(TEST_PROGRAMS): $(BUILD)/%: $(BUILD)/%.o $(LIBRARY)
	@echo 'LINK  $@'
	@$(LINK) -o $@ $^ $(LIBS) -lcmocka

$(FUZZERS): $(BUILD)/%: $(BUILD)/%.o $(LIBRARY)
	@echo 'LINK  $@'
	@$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

test: ## install what is needed and run every test
	@tests/run

fuzz-long: ## fuzz every target for FUZZ_SECONDS (default 600)
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} tests/run fuzz

bench: deps-test all ## measure beside named tools, as ratios
	@tests/bench/run

-include $(TEST_PROGRAMS:=.d) $(FUZZERS:=.d)
