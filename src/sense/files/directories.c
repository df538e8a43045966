/* See directories.h. */
#include "sense/files/directories.h"

#include <string.h>

#include "sense/files/notice.h"

#define N_BUCKETS DIRECTORIES_MAX

struct directories {
        struct directory *buckets[N_BUCKETS];
        struct directory *ring[DIRECTORIES_MAX];
        size_t n;
        size_t hand;
};

struct directories *directories_new(void) {
        return calloc(1, sizeof(struct directories));
}

struct directories *directories_free(struct directories *directories) {
        if (directories)
                directories_forget_all(directories);
        free(directories);
        return NULL;
}

static void directory_free(struct directory *directory) {
        free(directory->path);
        free(directory);
}

void directories_forget_all(struct directories *directories) {
        if (!directories->n)
                return;
        for (size_t i = 0; i < directories->n; i++)
                directory_free(directories->ring[i]);
        memset(directories->buckets, 0, sizeof(directories->buckets));
        directories->n = directories->hand = 0;
}

static struct directory **find_link(struct directories *directories, uint64_t hash, const uint8_t *key,
                                    size_t key_size) {
        struct directory **link = &directories->buckets[hash % N_BUCKETS];
        while (*link && ((*link)->hash != hash || (*link)->key_size != key_size ||
                         memcmp((*link)->key, key, key_size)))
                link = &(*link)->next;
        return link;
}

struct directory *directories_find(struct directories *directories, const uint8_t *key, size_t key_size) {
        struct directory *found = *find_link(directories, file_key_hash(key, key_size), key, key_size);
        if (found)
                found->is_recent = true;
        return found;
}

/* A place in the ring, made by forgetting the first that was not asked for lately. */
static struct directory **take_place(struct directories *directories) {
        if (directories->n < DIRECTORIES_MAX)
                return &directories->ring[directories->n++];
        for (;;) {
                struct directory **place = &directories->ring[directories->hand];
                directories->hand = (directories->hand + 1) % DIRECTORIES_MAX;
                if ((*place)->is_recent) {
                        (*place)->is_recent = false;
                        continue;
                }
                *find_link(directories, (*place)->hash, (*place)->key, (*place)->key_size) = (*place)->next;
                directory_free(*place);
                return place;
        }
}

struct directory *directories_put(struct directories *directories, const uint8_t *key, size_t key_size,
                                  size_t tree, const char *path) {
        _cleanup_(freep) char *copy = path ? strdup(path) : NULL;
        if (path && !copy)
                return NULL;
        uint64_t hash = file_key_hash(key, key_size);
        struct directory *directory = *find_link(directories, hash, key, key_size);
        if (!directory) {
                directory = calloc(1, sizeof(*directory) + key_size);
                if (!directory)
                        return NULL;
                *take_place(directories) = directory;
                directory->hash = hash;
                directory->key_size = (uint16_t)key_size;
                memcpy(directory->key, key, key_size);
                directory->next = directories->buckets[hash % N_BUCKETS];
                directories->buckets[hash % N_BUCKETS] = directory;
        }
        free(directory->path);
        directory->path = STEAL(copy);
        directory->tree = path ? tree : DIRECTORY_OUTSIDE;
        return directory;
}

size_t directories_count(const struct directories *directories) {
        return directories->n;
}
