#include "event/actor.h"

#include <stdio.h>
#include <string.h>

#include "event/json.h"

void process_deinit(struct process *process) {
        free(process->executable);
        free(process->command_line);
        free(process->user);
        *process = (struct process){0};
}

static int copy_string(const char *from, char **ret_to) {
        *ret_to = from ? strdup(from) : NULL;
        return from && !*ret_to ? -ENOMEM : 0;
}

int process_copy(const struct process *from, struct process *ret_to) {
        struct process copy = *from;
        copy.executable = copy.command_line = copy.user = NULL;
        if (copy_string(from->executable, &copy.executable) < 0 ||
            copy_string(from->command_line, &copy.command_line) < 0 ||
            copy_string(from->user, &copy.user) < 0) {
                process_deinit(&copy);
                return -ENOMEM;
        }
        *ret_to = copy;
        return 0;
}

struct actor *actor_new(void) {
        return calloc(1, sizeof(struct actor));
}

struct actor *actor_free(struct actor *actor) {
        if (actor) {
                for (size_t i = 0; i < actor->n_processes; i++)
                        process_deinit(&actor->processes[i]);
                free(actor);
        }
        return NULL;
}

struct actor *actor_copy(const struct actor *actor) {
        struct actor *copy = actor_new();
        if (!copy)
                return NULL;
        for (size_t i = 0; i < actor->n_processes; i++, copy->n_processes++)
                if (process_copy(&actor->processes[i], &copy->processes[i]) < 0)
                        return actor_free(copy);
        return copy;
}

static bool same_string(const char *a, const char *b) {
        return a && b ? !strcmp(a, b) : a == b;
}

static bool process_equal(const struct process *a, const struct process *b) {
        return a->pid == b->pid && a->start_ns == b->start_ns && a->uid == b->uid &&
               a->login_uid == b->login_uid && a->session == b->session &&
               same_string(a->executable, b->executable) && same_string(a->command_line, b->command_line) &&
               same_string(a->user, b->user);
}

bool actor_equal(const struct actor *a, const struct actor *b) {
        if (a->n_processes != b->n_processes)
                return false;
        for (size_t i = 0; i < a->n_processes; i++)
                if (!process_equal(&a->processes[i], &b->processes[i]))
                        return false;
        return true;
}

static json_t *process_encode(const struct process *process) {
        json_t *object = json_pack("{s:I}", "pid", (json_int_t)process->pid);
        if (process->command_line)
                json_object_set_new(object, "cmd_line", json_bytes(process->command_line));
        if (process->executable)
                json_object_set_new(object, "file",
                                    json_pack("{s:o}", "path", json_bytes(process->executable)));
        json_t *user = json_object();
        char uid[16];
        snprintf(uid, sizeof(uid), "%u", process->uid);
        json_object_set_new(user, "uid", json_string(uid));
        if (process->user)
                json_object_set_new(user, "name", json_bytes(process->user));
        json_object_set_new(object, "user", user);
        if (process->session != ACTOR_UNSET) {
                snprintf(uid, sizeof(uid), "%u", process->session);
                json_object_set_new(object, "session", json_pack("{s:s}", "uid", uid));
        }
        if (process->login_uid != ACTOR_UNSET) {
                snprintf(uid, sizeof(uid), "%u", process->login_uid);
                json_object_set_new(object, "auid", json_string(uid));
        }
        return object;
}

json_t *actor_encode(const struct actor *actor) {
        json_t *child = NULL;
        for (size_t i = actor->n_processes; i-- > 0;) {
                json_t *object = process_encode(&actor->processes[i]);
                if (child)
                        json_object_set_new(object, "parent_process", child);
                child = object;
        }
        return child ? json_pack("{s:o}", "process", child) : json_object();
}
