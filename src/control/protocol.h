/*
 * The control protocol: what may be asked of a running guard, in one table.
 *
 * STATE's socket is AF_UNIX SOCK_SEQPACKET with base/message.h: one JSON object a packet.
 * The client sends {"request":NAME, arguments…}; the server answers
 *   {"type":"line","data":{…}}                    any number; what one line holds is said below
 *   {"type":"progress","done":N,"total":N|null}   any number, for the terminal only
 *   {"type":"end","status":0|1|2|3,"error":"…"?}  once; status as the exit status in cli/cli.h
 * and waits for the next request on the same connection. Every request is for uid 0 alone
 * (SO_PEERCRED); anyone else gets {"type":"end","status":1,"error":"permission denied"}.
 * A path is absolute and raw bytes are written as text_to_utf8() does (\xNN, \\);
 * text_from_utf8() gives them back. Times are milliseconds since the epoch, UTC.
 * An argument that is absent or null is not given. "error", "title", "fix" are English
 * msgids without arguments where a person reads them: the client translates; what varies
 * stands in "detail".
 *
 * A FINDING larger than a packet goes as {"type":"line","data":F,"more":true}, then its updates
 * (same finding_info.uid) as further lines, the last without "more": finding_merge() joins them. Evidences
 * hold only what an earlier one does not say: finding_expand() makes them whole.
 * A served finding has metadata.sequence (index of its newest entry), metadata.first_sequence, and
 * unmapped.actions: [{"uid","name","file":{"path"},"result","verified","undo","detail","time","sequence"}].
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Who works it off: the engine itself, or the sentry (engine → sentry {"type":"ask"…}). */
enum protocol_answerer {
        ANSWER_ENGINE,
        ANSWER_SENTRY,
};

/*
 * R(NAME, answerer, arguments)
 * Arguments: "name:type" separated by blanks; types s string, i integer, b boolean, a array of strings;
 * "!" behind it: required.
 *
 * status    One line: {"version","started","watching":bool,"in_force":bool,
 *             "roles":[{"name","state":"up|starting|down","pid","restarts","since"}],
 *             "trees":[{"path","protect","profile","respond","state":"armed|baseline|missing|degraded",
 *                       "reason":"why it is not armed"?,"n_files","n_bytes",
 *                       "swept"(time of the last sweep),"release":NAME?}],
 *             "vault":{"n_objects","stored_bytes","raw_bytes","budget_bytes","free_bytes",
 *             "evidence_bytes","complete_since":ms (past states; 0: all),"full":bool},
 *             "ledger":{"size","checkpoint"(time of the newest)},
 *             "findings":{"Critical":N,"High":N,"Medium":N,"Low":N,"Informational":N} of the last 24 h,
 *             "held":[as "held" says], "dropped":{"counter name":N}}
 *           End status 0: all that is promised is in force; 1: not.
 * doctor    One line a check: {"check":"fanotify.names","state":"ok|warn|fail","subject":"/srv/shop"?,
 *             "title":"msgid","detail":"free text"?,"fix":"msgid"?}. End status 1 when any failed.
 * findings  Lines: FINDING, oldest first, the newest `limit`. since/until: first <= time < until.
 *           severity: at least this ("low".."critical"). tree: its path. follow: goes on as watch.
 * watch     Lines: FINDING entries as they are committed (activity_id 1: new; 2: only what is new,
 *           also a new action, then in unmapped.actions). Ends when the client hangs up.
 * show      One FINDING. id: uid, a unique prefix of 8 characters or more, or a ledger index.
 *           End status 1 "no such finding", 2 "ambiguous".
 * diff      What stands there against what is approved, below `path` or in all trees; `finding`: as
 *           the finding recorded it. Lines: {"path","tree","kind":"created|modified|deleted|attributes",
 *           "before":NODE,"after":NODE,"diff":"unified"|null,"diff_truncated":bool}.
 *           End status 1 when there are any.
 * restore   paths: files or directories; finding, release (reverts it as a whole) or all instead.
 *           at: the state at that time, else the approved one. dry_run: the same lines, nothing is done.
 *           Lines: {"path","result":"restored|removed|same|failed|skipped","detail"?,
 *           "kept":"sha256 of what stood there"?}.
 *           End status 1 when any failed or there was nothing to restore from.
 * release-begin  holder: "client" (the asking process and its descendants), "parent" (the parent of
 *           the asking process and its descendants: the shell), or a pid in decimal; the client's pid
 *           is that of SO_PEERCRED. held: it ends when this connection closes. trees: only these, else
 *           all. One line: {"release":{"uid","name","trees":[…],"begin","holder":{"pid","command_line"}}}.
 *           End status 1 when one of that name is open.
 * release-end    name absent: the only open one. command_status: of `release -- CMD`, recorded.
 *           One line: {"release":{"uid","name","trees","begin","end","n_added","n_changed","n_removed",
 *           "n_foreign"(changes that others made meanwhile),"sequence"}}.
 * releases  Lines: {"release":{… as above; "end":null while open; "kind":"hand|dpkg|baseline"}}, newest last.
 * approve   paths: what stands there now becomes the approved state. finding: the content it recorded;
 *           where it was undone, it is put back from the vault ("restored") and approved; where
 *           something else stands there since: "changed", nothing is done, end status 1.
 *           Lines: {"path","result":"approved|restored|changed|failed","detail"?}.
 * held      Lines: {"id","pid","command","executable","tree","finding","since"}; none when nothing is held.
 * resume    id: as "held" says it, or a finding's uid or its first 8 characters and more; absent: all that are held.
 *           trust: milliseconds for which the image of the one that id names is trusted then, in the tree it worked on.
 *           First then: {"pid","command_line","result":"trusted","trust":id,"end","interprets":bool,"detail"?}.
 *           Lines: {"pid","command_line","result":"resumed|gone|failed"}. End status 1 when any failed or none is held.
 * kill      id: as for resume, one of them required. What is held ends, and with it all that it started.
 *           Lines: {"pid","command_line","n_killed","n_left","result":"killed|gone|failed"}. End status as resume.
 * trust-add      path: a program; or pid: what that process runs. tree: its path; absent: the only one. for: milliseconds
 *           from now on, at most a year. One line, as of "trusts". End status 1 when it could not be granted.
 * trusts    Lines: {"id","image":"sha256","program"(where it stood then),"tree","reason","interprets":bool (it runs any
 *           script: all are covered),"begin","end"}; none when nothing is trusted.
 * trust-revoke   id: as "trusts" says it. One line: the grant that has ended. End status 1 when there is none.
 * drill-record   report: JSON text of at most 16 KiB; becomes the entry {"kind":"drill","drill":{…}}.
 *           One line: {"sequence":N}.
 */
#define PROTOCOL_REQUESTS(R)                                                                                 \
        R("status", ANSWER_ENGINE, "")                                                                       \
        R("doctor", ANSWER_ENGINE, "")                                                                       \
        R("findings", ANSWER_ENGINE, "since:i until:i severity:s limit:i tree:s follow:b")                   \
        R("watch", ANSWER_ENGINE, "severity:s tree:s")                                                       \
        R("show", ANSWER_ENGINE, "id:s!")                                                                    \
        R("diff", ANSWER_SENTRY, "path:s finding:s")                                                         \
        R("restore", ANSWER_SENTRY, "paths:a at:i dry_run:b finding:s release:s all:b")                      \
        R("release-begin", ANSWER_SENTRY, "name:s! holder:s! held:b trees:a")                                \
        R("release-end", ANSWER_SENTRY, "name:s command_status:i")                                           \
        R("releases", ANSWER_ENGINE, "limit:i")                                                              \
        R("approve", ANSWER_SENTRY, "paths:a finding:s")                                                     \
        R("held", ANSWER_SENTRY, "")                                                                         \
        R("resume", ANSWER_SENTRY, "id:s trust:i")                                                           \
        R("kill", ANSWER_SENTRY, "id:s!")                                                                    \
        R("trust-add", ANSWER_SENTRY, "path:s pid:i tree:s reason:s! for:i!")                                \
        R("trusts", ANSWER_SENTRY, "")                                                                       \
        R("trust-revoke", ANSWER_SENTRY, "id:s!")                                                            \
        R("drill-record", ANSWER_ENGINE, "report:s!")

struct protocol_request {
        const char *name;
        enum protocol_answerer answerer;
        const char *arguments;
};

/* The row of that name, or NULL. */
const struct protocol_request *protocol_find(const char *name);

/*
 * Checks a request against the table: known name, known arguments of the right type, required ones
 * there. Returns 0, or -EINVAL and says what is wrong (owned); `ret_request` may be NULL.
 */
int protocol_check(const json_t *request, const struct protocol_request **ret_request, char **ret_error);
