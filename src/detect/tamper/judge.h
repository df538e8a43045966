/*
 * The judgement of one change or one started program: what was seen in; severity, types,
 * techniques and reasons in words out. Pure: tables of rules, no clock, no I/O.
 *
 * Titles and reasons are English msgids (gettext). A reason may be followed by ": " and a
 * detail from the machine (a host, a command line), escaped to one line; no msgid
 * contains ": ", so whoever translates splits there.
 */
#pragma once

#include <jansson.h>

#include "event/change.h"
#include "event/finding.h"

struct verdict {
        enum severity severity; /* 0: no finding */
        const char *title;      /* static; English msgid */
        json_t *types;          /* array of strings; owned */
        json_t *techniques;     /* array of strings; owned */
        json_t *reasons;        /* array of strings; owned */
        bool undo;              /* to be undone where the tree responds with restore */
};

/*
 * `content` is content_assay()'s object or NULL (not looked at); `unseen_hosts` those of new_hosts the
 * application never named, or NULL. Returns 0, or -ENOMEM with an empty verdict.
 */
int judge_change(const struct change *change, const json_t *content, const json_t *unseen_hosts,
                 struct verdict *ret_verdict);

/*
 * A process just started (processes[0]) below a web server or its PHP: shell, downloader, compiler …
 * severity 0: ordinary, or no web server among its ancestors.
 */
int judge_exec(const struct actor *actor, struct verdict *ret_verdict);

/* Is a process of this lineage a web server or application server (php-fpm, nginx, apache2, …)? */
bool actor_is_web(const struct actor *actor);

void verdict_deinit(struct verdict *verdict);
