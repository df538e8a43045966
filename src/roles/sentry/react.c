/*
 * What is done about a change where the tree's `respond` says so: the approved content back at
 * once, the tampered copy in the vault; a process that puts it back each time is held. Every
 * action is verified by looking, recorded, and undone by `hinomi approve FINDING` (or `resume`).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "event/json.h"
#include "respond/hold/hold.h"
#include "respond/restore/plan.h"
#include "roles/sentry/sentry.h"

static bool responds(const struct tree *tree) {
        return tree->config->respond == RESPOND_RESTORE || tree->config->respond == RESPOND_REFUSE;
}

static void hold_reinfector(struct sentry *sentry, const struct tree *tree, const struct change *change,
                            const char *finding) {
        struct loop_choice choice;
        enum loop_verdict loop =
                loop_note(sentry->loop, change->path, change->actor, loop_clock_ns(), &choice);
        if (loop == LOOP_NONE)
                return;
        if (loop == LOOP_NOBODY) {
                report_action(sentry, finding, "hold", change->path, false, false, NULL, choice.reason);
                return;
        }
        const struct process *process = &change->actor->processes[choice.ancestor];
        if (trust_covers(sentry, process, tree)) {
                report_action(sentry, finding, "hold", change->path, false, false, NULL,
                              "not held: the image it runs is trusted here");
                return;
        }
        char undo[64], detail[512];
        int r = held_add(sentry, process, tree, finding);
        snprintf(undo, sizeof(undo), "hinomi resume %d", (int)choice.pid);
        snprintf(detail, sizeof(detail), "%s: pid %d %s", r < 0 ? strerror(-r) : hold_outcome_name(r),
                 (int)choice.pid, process->executable ?: "");
        report_action(sentry, finding, "hold", change->path, r == HOLD_DONE || r == HOLD_UNVERIFIED,
                      r == HOLD_DONE, undo, detail);
}

#define LATELY_NS (5 * NS_PER_S)

static void note_restored(struct sentry *sentry, const char *path) {
        struct restored *restored = &sentry->restored[sentry->next_restored++ % RESTORED_MAX];
        free(restored->path);
        *restored = (struct restored){strdup(path), clock_monotonic_ns(&clock_system)};
}

bool react_restored_lately(const struct sentry *sentry, const struct tree *tree, const char *relative) {
        uint64_t now_ns = clock_monotonic_ns(&clock_system);
        for (size_t i = 0; i < RESTORED_MAX; i++) {
                const struct restored *restored = &sentry->restored[i];
                if (restored->path && now_ns - restored->monotonic_ns < LATELY_NS &&
                    !strcmp(tree_relative(tree, restored->path), relative))
                        return true;
        }
        return false;
}

struct restore_context react_context(struct sentry *sentry, const struct tree *tree) {
        return (struct restore_context){
                .tree_fd = tree->fd, .store = sentry->store, .journal = &sentry->journal};
}

struct left {
        struct sentry *sentry;
        const struct tree *tree;
};

static void report_left(const char *relative, void *userdata) {
        const struct left *left = userdata;
        _cleanup_(freep) char *path = NULL;
        if (asprintf(&path, "%s/%s", left->tree->config->path, relative) >= 0)
                report_action(left->sentry, NULL, "restore", path, true, true, NULL,
                              "left by a restore that was cut off; kept as evidence and removed");
}

void react_collect_left(struct sentry *sentry) {
        int failed = 0;
        for (size_t i = 0; i < sentry->n_trees; i++) {
                struct left left = {sentry, &sentry->trees[i]};
                struct restore_context context = react_context(sentry, left.tree);
                _cleanup_(fd_closep) int fd = context.tree_fd = restore_open_tree(left.tree->config->path);
                int r = fd < 0 ? 0 : restore_collect_left(&context, report_left, &left);
                if (r < 0)
                        failed = r;
        }
        if (!failed)
                restore_journal_clear(&sentry->journal);
}

/* Directories that came with what was removed, and now hold nothing, go too. */
static void remove_emptied(struct sentry *sentry, struct tree *tree, const char *relative,
                           const char *finding) {
        _cleanup_(freep) char *parent = strdup(relative);
        char *slash;
        while (parent && (slash = strrchr(parent, '/'))) {
                *slash = '\0';
                _cleanup_(node_deinit) struct node approved = NODE_INIT;
                if (catalog_get(sentry->catalog, tree->id, parent, &approved) != -ENOENT ||
                    !tree_directory_is_empty(tree, parent))
                        return;
                struct restore_context context = react_context(sentry, tree);
                struct restore_request request = {.path = parent, .approved = &approved};
                struct restore_result result = {0};
                int r = restore_node(&context, &request, &result);
                bool done = r == 0 && result.state != RESTORE_FAILED;
                _cleanup_(freep) char *path = NULL;
                if (asprintf(&path, "%s/%s", tree->config->path, parent) >= 0)
                        report_action(sentry, finding, "restore", path, done, done && result.verified, NULL,
                                      result.detail);
                restore_result_deinit(&result);
                if (!done)
                        return;
        }
}

void react_restore(struct sentry *sentry, struct tree *tree, const struct change *change,
                   const char *finding) {
        const char *relative = tree_relative(tree, change->path);
        struct restore_context context = react_context(sentry, tree);
        struct restore_request request = {
                .path = relative, .approved = &change->before, .seen = &change->after};
        struct restore_result result = {0};
        int r = restore_with_parents(&context, sentry->catalog, tree->id, &request, &result);
        char undo[64];
        snprintf(undo, sizeof(undo), "hinomi approve %s", finding);
        bool done = r == 0 && result.state != RESTORE_FAILED;
        bool was_needed = result.state == RESTORE_DONE;
        if (done && result.verified) {
                if (node_exists(&result.after))
                        catalog_touch(sentry->catalog, tree->id, relative, &result.after);
                notes_clear(sentry, tree, relative);
                sentry->n_restored++;
        }
        report_action(sentry, finding, "restore", change->path, done, done && result.verified, undo,
                      r < 0 ? strerror(-r) : result.detail);
        restore_result_deinit(&result);
        unfinished_mark(sentry->unfinished, change->ticket, false);
        if (done)
                note_restored(sentry, change->path);
        if (done && was_needed && !node_exists(&change->before))
                remove_emptied(sentry, tree, relative, finding);
        if (done && was_needed && tree->config->protect != PROTECT_SHIELD)
                hold_reinfector(sentry, tree, change, finding);
}

void react(struct sentry *sentry, struct tree *tree, const struct change *change,
           const struct verdict *verdict, const char *finding) {
        if (change->how == CHANGE_REFUSED) {
                sentry->n_refused++;
                report_action(sentry, finding, "refuse", change->path, true,
                              node_compare(&change->before, &change->after) == 0, NULL,
                              "the open for writing was denied");
                return;
        }
        if (responds(tree) && verdict->undo && change->how != CHANGE_REVERTED)
                react_restore(sentry, tree, change, finding);
}
