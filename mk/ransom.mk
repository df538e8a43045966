# The attack generator that the shield is examined with, which shares nothing with the guard, and the examination.
# What only `make test-shield` needs beside the tests' packages; without one of them its workload is skipped.
SHIELD_PACKAGES := bzip2 xz-utils zstd unzip rsync patch p7zip-full logrotate borgbackup restic imagemagick

LOCKER := $(BUILD)/tests/ransom/locker
LOCKER_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/ransom/*.c))

.PHONY: locker test-shield
locker: $(LOCKER)

$(LOCKER): $(LOCKER_OBJECTS)
	@echo 'LINK  $@'
	@$(LINK) -o $@ $^ -lpthread

test-shield: ## every attack and every benign workload against the ransomware shield (minutes)
	@tools/install-packages $(SHIELD_PACKAGES)
	@tests/run shield

-include $(LOCKER_OBJECTS:.o=.d)
