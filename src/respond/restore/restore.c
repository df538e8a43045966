#include "respond/restore/restore.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "respond/restore/evidence.h"
#include "respond/restore/journal.h"
#include "respond/restore/look.h"
#include "respond/restore/make.h"

#define ATTEMPTS_MAX 4

/* One restore at work. */
struct work {
        const struct restore_context *context;
        const struct restore_request *request;
        struct restore_result *result;
        int directory_fd;
        const char *name;
        const char *failure; /* what could not be done; static */
};

int restore_open_tree(const char *path) {
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

void restore_result_deinit(struct restore_result *result) {
        node_deinit(&result->before);
        node_deinit(&result->after);
}

static int failed(struct work *work, int error, const char *what) {
        work->failure = what;
        return error;
}

/* Runs once more when flags of the target or its directory were in the way; the directory gets its own back.
 */
static int with_flags_cleared(struct work *work, int target_fd, int (*attempt)(struct work *, int),
                              int argument) {
        int r = attempt(work, argument);
        if (r != -EPERM && r != -EACCES)
                return r;
        int flags = 0;
        int target = target_fd >= 0 ? look_clear_flags(target_fd, NULL) : 0;
        int directory = work->directory_fd >= 0 ? look_clear_flags(work->directory_fd, &flags) : 0;
        if (target != 1 && directory != 1)
                return r;
        work->result->notes |= RESTORE_NOTE_FLAGS_CLEARED;
        r = attempt(work, argument);
        if (directory == 1)
                look_set_flags(work->directory_fd, flags);
        return r;
}

static int attempt_attributes(struct work *work, int fd) {
        struct making making = {.context = work->context, .approved = work->request->approved};
        int r = make_attributes(&making, fd);
        work->result->notes |= making.notes;
        return r;
}

/* The object stays, only its attributes are wrong. */
static int put_attributes_right(struct work *work, int fd) {
        work->result->notes |= RESTORE_NOTE_ATTRIBUTES;
        int r = with_flags_cleared(work, fd, attempt_attributes, fd);
        return r < 0 ? failed(work, r, "the attributes could not be set") : 0;
}

static int exchange(const struct work *work, const char *temporary) {
        for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
                if (renameat2(work->directory_fd, temporary, work->directory_fd, work->name,
                              RENAME_EXCHANGE) == 0)
                        return 1;
                if (errno != ENOENT)
                        return -errno;
                if (renameat2(work->directory_fd, temporary, work->directory_fd, work->name,
                              RENAME_NOREPLACE) == 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
        }
        return -EAGAIN;
}

/* Where the file system cannot exchange (NFS, some FUSE): aside first, then in. */
static int move_in(const struct work *work, const char *temporary, const char *aside) {
        if (renameat(work->directory_fd, work->name, work->directory_fd, aside) < 0 && errno != ENOENT)
                return -errno;
        return renameat(work->directory_fd, temporary, work->directory_fd, work->name) < 0 ? -errno : 0;
}

static int take_evidence(struct work *work, const char *temporary) {
        struct restore_result *result = work->result;
        struct evidence evidence = {.context = work->context, .path = work->request->path};
        int r = evidence_take(&evidence, work->directory_fd, temporary);
        result->n_kept += evidence.n_kept;
        result->notes |= evidence.notes;
        if (node_exists(&evidence.first)) {
                const struct node *seen = work->request->seen;
                if (seen && (node_compare(seen, &evidence.first) & ~(NODE_MODE | NODE_OWNER | NODE_XATTR)))
                        result->notes |= RESTORE_NOTE_UNSEEN;
                node_deinit(&result->before);
                result->before = evidence.first;
                evidence.first.link_target = NULL;
        }
        evidence_deinit(&evidence);
        if (r < 0) {
                result->notes |= RESTORE_NOTE_LEFT_BESIDE;
                snprintf(result->beside, sizeof(result->beside), "%s", temporary);
        }
        return r;
}

static bool is_in_place(const struct work *work, int new_fd) {
        struct stat ours, theirs;
        return fstatat(new_fd, "", &ours, AT_EMPTY_PATH) == 0 &&
               fstatat(work->directory_fd, work->name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
               ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* Makes the approved object and lets it take its place. -EAGAIN: somebody exchanged our temporary name. */
static int attempt_replace(struct work *work, _unused_ int unused) {
        char temporary[TEMPORARY_NAME_SIZE], aside[TEMPORARY_NAME_SIZE];
        temporary_name_make(temporary);
        temporary_name_make(aside);
        int noted = journal_note(work->context->journal, work->request->path, temporary, aside);
        if (noted < 0)
                return failed(work, noted, "what is about to be done could not be noted");
        struct making making = {work->context, work->request->approved, work->directory_fd, temporary, 0};
        _cleanup_(fd_closep) int fd = make_object(&making);
        work->result->notes |= making.notes;
        if (fd < 0)
                return failed(work, fd, "the approved object could not be made");

        bool aside_used = false;
        int r = exchange(work, temporary);
        if (r == -EINVAL || r == -ENOSYS) {
                aside_used = true;
                r = move_in(work, temporary, aside);
        }
        if (r < 0) {
                unlinkat(work->directory_fd, temporary,
                         S_ISDIR(work->request->approved->mode) ? AT_REMOVEDIR : 0);
                return failed(work, r, "the approved object could not take its place");
        }
        if (work->context->durable) {
                _cleanup_(fd_closep) int directory = look_reopen(work->directory_fd, O_RDONLY | O_DIRECTORY);
                if (directory >= 0)
                        fsync(directory);
        }
        bool placed = is_in_place(work, fd);
        if (r > 0 || aside_used || !placed)
                take_evidence(work, aside_used ? aside : temporary);
        return placed ? 0 : -EAGAIN;
}

static int replace(struct work *work, int target_fd) {
        int r = -EAGAIN;
        for (unsigned i = 0; r == -EAGAIN && i < ATTEMPTS_MAX; i++)
                r = with_flags_cleared(work, target_fd, attempt_replace, 0);
        return r == -EAGAIN ? failed(work, r, "somebody keeps changing the directory") : r;
}

static int attempt_remove_empty(struct work *work, _unused_ int unused) {
        if (unlinkat(work->directory_fd, work->name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        return failed(work, -errno, "the directory could not be removed");
}

static int attempt_remove(struct work *work, _unused_ int unused) {
        char temporary[TEMPORARY_NAME_SIZE];
        temporary_name_make(temporary);
        int noted = journal_note(work->context->journal, work->request->path, temporary, NULL);
        if (noted < 0)
                return failed(work, noted, "what is about to be done could not be noted");
        if (renameat2(work->directory_fd, work->name, work->directory_fd, temporary, RENAME_NOREPLACE) < 0 &&
            (errno != EINVAL ||
             renameat(work->directory_fd, work->name, work->directory_fd, temporary) < 0)) {
                int error = -errno;
                return error == -ENOENT ? 0 : failed(work, error, "it could not be taken away");
        }
        take_evidence(work, temporary);
        return 0;
}

/* As approved but for attributes? An object with foreign names is replaced, not altered: it may be somebody
 * else's. */
static bool is_same_object(const struct node *approved, const struct node *present, unsigned difference) {
        return !(difference & (NODE_EXISTENCE | NODE_TYPE | NODE_CONTENT)) &&
               (S_ISDIR(approved->mode) || present->n_links <= 1 || present->inode == approved->inode);
}

/* What stands there. Content is read only where it could be the approved one. */
static int look_at_target(const struct work *work, int fd, struct node *ret_present) {
        const struct node *approved = work->request->approved;
        int r = look_node(fd, false, ret_present);
        if (r < 0 || !S_ISREG(ret_present->mode) || !S_ISREG(approved->mode) ||
            ret_present->size_bytes != approved->size_bytes)
                return r;
        node_deinit(ret_present);
        r = look_node(fd, true, ret_present);
        /* Somebody's lease keeps us from reading: then it is not known to be the approved one. */
        return r == -EAGAIN ? look_node(fd, false, ret_present) : r;
}

static int act(struct work *work) {
        const struct node *approved = work->request->approved;
        struct restore_result *result = work->result;
        _cleanup_(fd_closep) int fd = *work->request->path ? look_open(work->directory_fd, work->name)
                                                           : look_open_path(work->context->tree_fd, "");
        if (fd < 0 && fd != -ENOENT)
                return failed(work, fd, "what stands there could not be opened");
        if (fd >= 0) {
                int r = look_at_target(work, fd, &result->before);
                if (r < 0)
                        return failed(work, r, "what stands there could not be read");
        }
        unsigned difference = node_compare(approved, &result->before);
        if (!difference) {
                result->state = RESTORE_NEEDLESS;
                return 0;
        }
        if (is_same_object(approved, &result->before, difference))
                return put_attributes_right(work, fd);
        if (!*work->request->path)
                return failed(work, -EINVAL, "the root of a tree is neither removed nor replaced");
        if (!node_exists(approved))
                return with_flags_cleared(work, fd,
                                          work->request->only_empty && S_ISDIR(result->before.mode)
                                                  ? attempt_remove_empty
                                                  : attempt_remove,
                                          0);
        return replace(work, fd);
}

/* Looks at the result as anybody would find it: from the tree's root. */
static void verify(struct work *work) {
        struct restore_result *result = work->result;
        _cleanup_(fd_closep) int fd = look_open_path(work->context->tree_fd, work->request->path);
        node_deinit(&result->after);
        if (fd < 0 && fd != -ENOENT)
                return;
        if (fd >= 0 && look_node(fd, true, &result->after) < 0)
                return;
        result->verified = node_compare(work->request->approved, &result->after) == 0;
}

static const char *failure_reason(const struct work *work, int error) {
        if (work->directory_fd < 0)
                return strerrordesc_np(-error) ?: "unknown error";
        switch (-error) {
        case EBADMSG:
                return "its copy in the vault is damaged";
        case ENOENT:
                return "the vault has no copy of it";
        case ENOSPC:
        case EDQUOT:
                return "the disk is full";
        case EROFS:
                return "the file system is read-only";
        case EBUSY:
        case EXDEV:
                return "something is mounted there";
        case ENOTEMPTY:
                return "it holds what is left alone";
        case EOPNOTSUPP:
                return "objects of this kind are not restored";
        default:
                return strerrordesc_np(-error) ?: "unknown error";
        }
}

static void add_words(struct restore_result *result, const char *format, ...) _printf_(2, 3);
static void add_words(struct restore_result *result, const char *format, ...) {
        size_t used = strlen(result->detail);
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(result->detail + used, sizeof(result->detail) - used, format, arguments);
        va_end(arguments);
}

static void describe(struct work *work, int error) {
        struct restore_result *result = work->result;
        unsigned notes = result->notes;
        if (result->state == RESTORE_FAILED)
                add_words(result, "%s: %s", work->failure ?: "not restored", failure_reason(work, error));
        else if (result->state == RESTORE_NEEDLESS)
                add_words(result, "as approved already");
        else if (notes & RESTORE_NOTE_ATTRIBUTES)
                add_words(result, "attributes put right");
        else
                add_words(result, "%s",
                          node_exists(work->request->approved) ? "approved object put back" : "removed");
        if (result->n_kept)
                add_words(result, "; %llu kept as evidence", (unsigned long long)result->n_kept);
        if (notes & RESTORE_NOTE_UNSEEN)
                add_words(result, "; what stood there was not what the finding saw");
        if (notes & RESTORE_NOTE_LEFT_BESIDE)
                add_words(result, "; evidence not taken by the vault, left beside as %s", result->beside);
        if (notes & RESTORE_NOTE_FLAGS_CLEARED)
                add_words(result, "; immutable flag cleared");
        if (notes & RESTORE_NOTE_XATTR_LOST)
                add_words(result, "; extended attributes not kept");
        if (notes & RESTORE_NOTE_LINKED)
                add_words(result, "; the old object has further names");
        if (result->state == RESTORE_DONE && !result->verified)
                add_words(result, "; but it is not as approved now");
}

int restore_node(const struct restore_context *context, const struct restore_request *request,
                 struct restore_result *ret_result) {
        *ret_result = (struct restore_result){.state = RESTORE_DONE};
        struct work work = {context, request, ret_result, -EBADF, "", NULL};
        int r = 0;
        if (*request->path)
                r = look_open_parent(context->tree_fd, request->path, &work.directory_fd, &work.name);
        if (r == -ENOENT && !node_exists(request->approved))
                ret_result->state = RESTORE_NEEDLESS; /* not even its directory */
        else if (r < 0)
                failed(&work, r, "its directory is not there");
        else
                r = act(&work);

        if (r < 0 && ret_result->state != RESTORE_NEEDLESS) {
                ret_result->state = RESTORE_FAILED;
                ret_result->error = r;
        }
        verify(&work);
        describe(&work, r);
        fd_closep(&work.directory_fd);
        return r == -ENOMEM ? r : 0;
}
