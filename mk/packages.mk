# Debian packages. `build` is what `make` and the binary need; `test` is what the tests start or call.
BUILD_PACKAGES := gcc libc6-dev pkg-config gettext libsystemd-dev libssl-dev libsqlite3-dev libzstd-dev zlib1g-dev liblzma-dev libbz2-dev \
	libjansson-dev libfyaml-dev libyara-dev libseccomp-dev libcap-ng-dev uthash-dev
TEST_PACKAGES := libcmocka-dev python3 python3-pytest clang libclang-rt-14-dev clang-format-14 cppcheck \
	shellcheck systemd nginx-light php-fpm php-mysql php-gd wordpress wordpress-theme-twentytwentyone mariadb-server curl acl attr aide \
	zip openssl git sqlite3 gnupg util-linux mount xfsprogs btrfs-progs e2fsprogs procps groff-base

.PHONY: deps deps-test
deps: ## install the packages that building and running need
	@tools/install-packages $(BUILD_PACKAGES)

deps-test: ## install the packages that the tests need
	@tools/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES)
