/* The table of commands: what each takes, and what it says of itself. */
#include "base/i18n.h"
#include "cli/cli.h"

const struct cli_option cli_common_options[] = {
        {"config", N_("FILE"), N_("configuration; /etc/hinomi/hinomi.yaml")},
        {"state", N_("DIRECTORY"), N_("vault, ledger and keys; /var/lib/hinomi")},
        {"socket", N_("PATH"), N_("control socket; /run/hinomi/control.sock")},
        {"packs", N_("DIRECTORY"), N_("rules and profiles; beside the binary, or /usr/share/hinomi/packs")},
        {"json", NULL, N_("stable JSON instead of text for people, one object a line")},
        {"help", NULL, N_("this help")},
        {NULL, NULL, NULL},
};

static const struct cli_option init_options[] = {
        {"force", NULL, N_("overwrite a configuration that is already there")},
        {"print", NULL, N_("print it instead of writing it")},
        {"root", N_("DIRECTORY"), N_("look at the machine whose root file system is mounted there")},
        {NULL, NULL, NULL},
};

static const struct cli_option findings_options[] = {
        {"since", N_("TIME"), N_("from this time on: 2026-11-23, \"2026-11-23 13:05\", 2h, 7d")},
        {"until", N_("TIME"), N_("before this time")},
        {"severity", N_("LEVEL"), N_("at least: informational, low, medium, high, critical")},
        {"tree", N_("PATH"), N_("only this tree")},
        {"limit", N_("NUMBER"), N_("only the newest NUMBER; 50, and all with --since or --json")},
        {"follow", NULL, N_("go on, printing findings as they happen")},
        {NULL, NULL, NULL},
};

static const struct cli_option diff_options[] = {
        {"finding", N_("ID"), N_("what that finding recorded, rather than what stands there now")},
        {NULL, NULL, NULL},
};

static const struct cli_option restore_options[] = {
        {"at", N_("TIME"), N_("as it was at this time; otherwise as it was last approved")},
        {"dry-run", NULL, N_("say what would be done, and do nothing")},
        {"finding", N_("ID"), N_("every file of that finding")},
        {"release", N_("NAME"), N_("every file of that release, as it was before")},
        {"all", NULL, N_("every mirrored tree")},
        {NULL, NULL, NULL},
};

static const struct cli_option release_options[] = {
        {"name", N_("NAME"), N_("name of the release for `-- COMMAND`")},
        {"tree", N_("PATH"), N_("only changes in this tree are approved; otherwise in all")},
        {"pid", N_("PID"), N_("`begin`: this process and its descendants, instead of the calling shell")},
        {"dry-run", NULL, N_("`revert`: say what would be done, and do nothing")},
        {NULL, NULL, NULL},
};

static const struct cli_option resume_options[] = {
        {"trust", N_("FOR"), N_("trust the image it runs for so long, 8h or 30d, in the tree it worked on")},
        {NULL, NULL, NULL},
};

static const struct cli_option trust_options[] = {
        {"tree", N_("PATH"), N_("`add`: the guarded tree; needed where there are several")},
        {"reason", N_("TEXT"), N_("`add`: why, for the record; required")},
        {"for", N_("TIME"), N_("`add`: how long, such as 8h or 30d, at most 365d; required")},
        {NULL, NULL, NULL},
};

static const struct cli_option ledger_options[] = {
        {"against", N_("FILE"), N_("`verify`: a checkpoint kept elsewhere, which the ledger must contain")},
        {"key", N_("KEY"), N_("the log's verifier key, or a file with it, instead of the state's key.pub")},
        {"check", N_("FILE"), N_("`prove`: check a proof, rather than make one")},
        {NULL, NULL, NULL},
};

static const struct cli_option drill_options[] = {
        {"of", N_("PATH"),
         N_("rehearse on a scratch copy of this application; otherwise on a small made-up shop")},
        {"scratch", N_("DIRECTORY"), N_("make the scratch directory in here; TMPDIR or /var/tmp")},
        {NULL, NULL, NULL},
};

const struct command cli_commands[] = {
        {"init", cli_init, NEED_NOTHING, 0, 0, false, "",
         N_("write a first configuration by looking around on this machine"),
         N_("Reads what nginx and Apache serve, recognises shop applications, and writes a commented "
            "configuration "
            "that says why each tree is in it. An existing file is left alone."),
         init_options},
        {"watch", cli_watch, NEED_STATE, 0, 0, false, "",
         N_("guard this machine in the foreground until Ctrl-C"),
         N_("Takes the baseline, arms every tree, prints 'hinomi: watching' when all is armed, and then each "
            "finding "
            "as it happens. systemd runs the same command. Needs root."),
         NULL},
        {"doctor", cli_doctor, NEED_NOTHING, 0, 0, false, "",
         N_("what is protected, how well, and what is missing"),
         N_("Exit status 1 when anything that the configuration promises is not in force."), NULL},
        {"status", cli_status, NEED_NOTHING, 0, 0, false, "", N_("what is guarded right now, in short"),
         N_("Exit status 1 when hinomi is not running or anything promised is not in force."), NULL},
        {"findings", cli_findings, NEED_GUARD, 0, 0, false, "", N_("list what was found, newest last"),
         N_("With --json one OCSF Detection Finding a line; metadata.sequence is its index in the ledger."),
         findings_options},
        {"show", cli_show, NEED_GUARD, 1, 1, false, N_("ID"), N_("one finding in full"),
         N_("ID is the finding's id, its first characters, or its index in the ledger."), NULL},
        {"diff", cli_diff, NEED_GUARD, 0, 1, false, N_("[PATH]"),
         N_("how guarded files differ from what is approved"),
         N_("All trees, or what is at or below PATH. Exit status 1 when anything differs."), diff_options},
        {"restore", cli_restore, NEED_GUARD, 0, -1, false, N_("[PATH…]"), N_("put approved content back"),
         N_("Files or directories of mirrored trees. What stands there is kept in the vault as evidence "
            "first, so "
            "`hinomi approve` undoes a restore. Exit status 1 when anything could not be put back."),
         restore_options},
        {"release", cli_release, NEED_GUARD, 1, 2, true,
         N_("begin NAME | end [NAME] | list | revert NAME | -- COMMAND…"),
         N_("approve a deployment while it happens"),
         N_("`release -- COMMAND` runs the command; what it and its descendants change is approved, as one "
            "release. "
            "`begin` does so for the calling shell until `end`. What any other process changes meanwhile is "
            "a "
            "finding as always. `revert` undoes a release as a whole. The exit status of `release -- "
            "COMMAND` is that "
            "of the command, or 3 when hinomi failed."),
         release_options},
        {"approve", cli_approve, NEED_GUARD, 1, -1, false, N_("ID | PATH…"),
         N_("approve a change after the fact"),
         N_("For a finding: the content it recorded becomes the approved one; where it was undone, it is put "
            "back. "
            "For a path (with a '/' in it): what stands there now becomes the approved state."),
         NULL},
        {"held", cli_held, NEED_GUARD, 0, 0, false, "", N_("which processes are held, and why"),
         N_("A process that kept altering a file that was put back, or that the shield was told to hold, is "
            "stopped "
            "and not killed, so that it can be looked at. `resume` lets it go on, `kill` ends it; it stays "
            "held when "
            "hinomi ends, and the next start knows it."),
         NULL},
        {"resume", cli_resume, NEED_GUARD, 0, 1, false, N_("[ID]"), N_("let a held process go on"),
         N_("ID as `hinomi held` prints it, or that of a finding. Without an argument all held processes go "
            "on. Exit status 1 when nothing is held under that ID."),
         resume_options},
        {"kill", cli_kill, NEED_GUARD, 1, 1, false, N_("ID"), N_("end a held process and all it started"),
         N_("ID as `hinomi held` prints it, or that of a finding. Also what has left its session or lost its "
            "parent is ended, and hinomi looks that no thread is left; init, hinomi and the machine's "
            "services "
            "are spared. Exit status 1 when nothing is held under that ID, or anything of it still runs."),
         NULL},
        {"trust", cli_trust, NEED_GUARD, 1, 2, false, N_("add PROGRAM | add PID | list | revoke ID"),
         N_("trust a program in a tree, for a time"),
         N_("Trust is given to the SHA-256 of the image that runs, never to a name or a path, for one tree, "
            "with "
            "a reason and an end: a copy under another name is covered, an updated program is not. What it "
            "changes is kept and reported as before; it is not held or stopped for it. A grant to an "
            "interpreter (python3, bash) covers every script that it runs: trust a program of its own where "
            "you can. A grant ends by itself, or at once with `revoke`; each is recorded in the ledger."),
         trust_options},
        {"ledger", cli_ledger, NEED_STATE, 1, 2, false,
         N_("verify [DIRECTORY] | prove INDEX | prove --check FILE | export [DIRECTORY]"),
         N_("check, prove and export the record"),
         N_("Needs no running guard and works on a copy of the state directory or of its ledger. `verify` "
            "names "
            "the first bad entry; exit status 1 when anything was altered, cut off or set back. `prove` "
            "prints "
            "one entry with what others need to check it by the log's key alone. `export` copies the ledger "
            "into an empty directory; without one it prints the entries, one a line."),
         ledger_options},
        {"drill", cli_drill, NEED_STATE, 0, 1, false, N_("[NAME]"),
         N_("rehearse an incident, harmlessly and timed"),
         N_("`drill skimmer` plants a harmless card skimmer in a scratch copy that a guard of its own "
            "watches, and "
            "reports when it was seen, undone and proved. Nothing outside the scratch directory is touched. "
            "Without a "
            "name: the list of drills."),
         drill_options},
        {"version", cli_version, NEED_NOTHING, 0, 0, false, "", N_("version and build"), "", NULL},
        {"help", cli_help, NEED_NOTHING, 0, 1, false, N_("[COMMAND | options | config]"),
         N_("help on a command, on the options of the configuration, or a full default configuration"), "",
         NULL},
        {0},
};
