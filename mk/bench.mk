# Programs that tests/bench/*.sh drive.
BENCH_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS)
bench: bench-programs

$(BENCH_PROGRAMS): $(BUILD)/%: $(BUILD)/%.o $(LIBRARY)
	$(LINK) -o $@ $^ $(LIBS)

-include $(BENCH_PROGRAMS:=.d)
