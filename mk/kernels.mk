# hinomi on the kernels of Debian, under a real systemd, in machines that qemu emulates. See tests/kernels/run.py.
KERNEL_PACKAGES := qemu-system-x86 kmod cpio xz-utils

.PHONY: test-kernels
test-kernels: ## boot Debian's 5.10, 6.1 and 6.12 kernels in qemu and test on each (KERNELS="6.1" for one)
	@tools/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES) $(KERNEL_PACKAGES)
	@$(MAKE) --no-print-directory all test-programs $(BUILD)/kernels/init
	@$(PYTHON) tests/kernels/run.py $(KERNELS)

$(BUILD)/kernels/init: tests/kernels/init.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu17 $(OPTIMISE) $(WARNINGS) -D_GNU_SOURCE -static -o $@ $<
