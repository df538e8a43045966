# The attack generator that the shield is examined with; it shares nothing with the guard.
LOCKER := $(BUILD)/tests/ransom/locker
LOCKER_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/ransom/*.c))

.PHONY: locker test-shield
locker: $(LOCKER)

$(LOCKER): $(LOCKER_OBJECTS)
	@echo 'LINK  $@'
	@$(LINK) -o $@ $^ -lpthread

test-shield: ## every attack and every benign workload against the ransomware shield (minutes)
	@tests/run shield

-include $(LOCKER_OBJECTS:.o=.d)
