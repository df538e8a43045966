# Installing under $(DESTDIR)$(PREFIX). `make users` alone is enough to run from the build directory.
BINDIR := $(PREFIX)/bin
MANDIR := $(PREFIX)/share/man
LOCALEDIR := $(PREFIX)/share/locale
PACKSDIR := $(PREFIX)/share/hinomi/packs
UNITDIR := $(if $(filter /usr,$(PREFIX)),/lib/systemd/system,/etc/systemd/system)
SYSUSERSDIR := $(if $(filter /usr,$(PREFIX)),/usr/lib/sysusers.d,/etc/sysusers.d)

.PHONY: users install uninstall
users: ## make the users that the roles run as
	@tools/make-users systemd/hinomi.sysusers

install: all ## install the binary, rules, manual, messages and the systemd unit
	install -D -m 755 $(BUILD)/hinomi $(DESTDIR)$(BINDIR)/hinomi
	if [ -d packs ]; then find packs -type f -exec sh -c \
		'for f; do install -D -m 644 "$$f" "$(DESTDIR)$(PACKSDIR)/$${f#packs/}"; done' sh {} +; fi
	for page in $(PAGES); do section=$${page##*.}; \
		language=$$(basename $$(dirname $$page)); [ $$language = man ] && language= ; \
		install -D -m 644 $$page $(DESTDIR)$(MANDIR)/$$language/man$$section/$${page##*/}; done
	for messages in $(wildcard $(BUILD)/locale/*/LC_MESSAGES/hinomi.mo); do \
		install -D -m 644 $$messages $(DESTDIR)$(LOCALEDIR)/$${messages#$(BUILD)/locale/}; done
	mkdir -p $(DESTDIR)$(UNITDIR)
	sed 's|@BINDIR@|$(BINDIR)|' systemd/hinomi.service >$(DESTDIR)$(UNITDIR)/hinomi.service
	install -D -m 644 systemd/hinomi.sysusers $(DESTDIR)$(SYSUSERSDIR)/hinomi.conf
	$(if $(DESTDIR),,tools/make-users systemd/hinomi.sysusers)

uninstall: ## remove what install put there; configuration, state and users stay
	rm -f $(DESTDIR)$(BINDIR)/hinomi $(DESTDIR)$(UNITDIR)/hinomi.service $(DESTDIR)$(SYSUSERSDIR)/hinomi.conf
	rm -rf $(DESTDIR)$(PREFIX)/share/hinomi
	rm -f $(DESTDIR)$(MANDIR)/man*/hinomi* $(DESTDIR)$(MANDIR)/*/man*/hinomi*
	rm -f $(DESTDIR)$(LOCALEDIR)/*/LC_MESSAGES/hinomi.mo
