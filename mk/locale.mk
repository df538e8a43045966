# Messages and manual pages. po/ja.po is written by hand; the catalogue of what there is to translate comes from
# the sources. hinomi.yaml(5) is made by the binary from the table of options.
LANGUAGES := $(patsubst po/%.po,%,$(wildcard po/*.po))
MESSAGES := $(LANGUAGES:%=$(BUILD)/locale/%/LC_MESSAGES/hinomi.mo)
XGETTEXT := xgettext --from-code=UTF-8 --language=C --keyword=_ --keyword=N_ --keyword=ngettext:1,2 \
	--add-comments=TRANSLATORS --sort-by-file --no-location --package-name=hinomi --no-wrap

.PHONY: locale pot po-update check-locale
all: locale
locale: $(MESSAGES)

$(BUILD)/locale/%/LC_MESSAGES/hinomi.mo: po/%.po
	@mkdir -p $(@D)
	@msgfmt --check -o $@ $<

pot: $(BUILD)/hinomi.pot
$(BUILD)/hinomi.pot: $(SOURCES) src/config/options.def $(wildcard packs/yara/*.yar)
	@mkdir -p $(@D)
	@sed -n 's/^ *description = \(".*"\)$$/N_(\1)/p' $(filter %.yar,$^) >$(BUILD)/packs.c
	$(XGETTEXT) -o $@ $(filter-out %.yar,$^) $(BUILD)/packs.c

po-update: pot ## bring po/*.po up to date with the sources; new messages are left empty
	for language in $(LANGUAGES); do \
		msgmerge --quiet --update --backup=none --no-fuzzy-matching --no-location --no-wrap po/$$language.po $(BUILD)/hinomi.pot; done

check-locale: pot ## every message is translated, in every language, with the same arguments
	@tools/check-locale $(BUILD)/hinomi.pot $(LANGUAGES:%=po/%.po)

# Manual pages: prose from man/, tables from the binary.
PAGES := $(patsubst man/%.in,$(BUILD)/man/%,$(wildcard man/*.in man/*/*.in))
.PHONY: man
all: man
man: $(PAGES)

$(BUILD)/man/%: man/%.in $(BUILD)/hinomi $(MESSAGES)
	@mkdir -p $(@D)
	@set -e; language=$(if $(findstring /,$*),$(patsubst %/,%,$(dir $*)),en); export LC_ALL=C.UTF-8 LANGUAGE=$$language; \
		$(BUILD)/hinomi help roff-commands >$@.commands; $(BUILD)/hinomi help roff-options >$@.options; \
		sed -e '/^@COMMANDS@$$/{r $@.commands' -e 'd}' -e '/^@OPTIONS@$$/{r $@.options' -e 'd}' $< >$@.new; \
		rm $@.commands $@.options; mv $@.new $@
