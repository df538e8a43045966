#include "detect/ransom/lineage.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/i18n.h"

#define WEIGHT_LOST     40.0f
#define WEIGHT_LIKELY   20.0f
#define WEIGHT_POSSIBLE 6.0f
#define WEIGHT_PAIR     20.0f /* ciphertext came and something of its size went, their names apart */
#define WEIGHT_COUNTS   12.0f

#define SCORE_WATCH  30.0f
#define SCORE_ATTACK 100.0f
#define WELL_MAX     40
#define YOUNG_WAYS   8

#define LOST_MIN         3 /* files: whoever encrypts one or two of his own is left alone */
#define LOST_WITH_OTHER  2 /* where a note or a lost decoy stands beside them */
#define NOTE_FOLDERS_MIN 3
#define UPHEAVAL_MIN     10 /* files renamed or removed that make notes a demand */

/* --- names --- */

static uint64_t hash_bytes(const char *data, size_t size) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        for (size_t i = 0; i < size; i++)
                hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
        return hash ?: 1;
}

static const char *extension_of(const char *path) {
        const char *name = strrchr(path, '/');
        name = name ? name + 1 : path;
        const char *dot = strrchr(name, '.');
        return dot && dot != name ? dot : path + strlen(path);
}

void ransom_sign_name(struct ransom_sign *sign, const char *path) {
        const char *slash = strrchr(path, '/'), *dot = extension_of(path);
        char lower[32];
        size_t n = 0;
        for (const char *c = dot; *c && n < sizeof(lower); c++)
                lower[n++] = (char)tolower((unsigned char)*c);
        sign->path = hash_bytes(path, strlen(path));
        sign->stem = hash_bytes(path, (size_t)(dot - path));
        sign->extension = n ? hash_bytes(lower, n) : 0;
        sign->directory = hash_bytes(path, slash ? (size_t)(slash - path) : 0);
}

void ransom_sign_from(struct ransom_sign *sign, const char *path) {
        struct ransom_sign from = {0};
        ransom_sign_name(&from, path);
        sign->from = from.path;
        sign->extension_changed = from.extension != sign->extension;
}

/* --- files and what they weigh --- */

static float faded(float weight, uint64_t then_ns, uint64_t now_ns) {
        double age = now_ns > then_ns ? (double)(now_ns - then_ns) : 0;
        return weight * (float)exp2(-age / (double)RANSOM_HALF_LIFE_NS);
}

static struct ransom_file *find_file(struct ransom_case *ransom, uint64_t path) {
        for (unsigned i = 0; i < ransom->n_files; i++)
                if (ransom->files[i].path == path)
                        return &ransom->files[i];
        return NULL;
}

static struct ransom_file *lightest_file(struct ransom_case *ransom) {
        struct ransom_file *lightest = &ransom->files[0];
        for (unsigned i = 1; i < ransom->n_files; i++) {
                struct ransom_file *file = &ransom->files[i];
                if (faded(file->weight, file->time_ns, ransom->last_ns) <
                    faded(lightest->weight, lightest->time_ns, ransom->last_ns))
                        lightest = file;
        }
        return lightest;
}

static void remember_directory(uint64_t *directories, unsigned *n, uint64_t directory) {
        for (unsigned i = 0; i < *n; i++)
                if (directories[i] == directory)
                        return;
        if (*n < RANSOM_DIRECTORIES_MAX)
                directories[(*n)++] = directory;
}

/* A file that was lost before is lost once, however often it is written to. */
static void weigh(struct ransom_case *ransom, const struct ransom_sign *sign, uint64_t path, float weight) {
        struct ransom_file *file = find_file(ransom, path);
        if (!file && ransom->n_files < RANSOM_FILES_MAX) {
                file = &ransom->files[ransom->n_files++];
                *file = (struct ransom_file){0};
        } else if (!file) {
                file = lightest_file(ransom);
                ransom->n_dropped++;
                if (faded(file->weight, file->time_ns, ransom->last_ns) > weight)
                        return;
                *file = (struct ransom_file){0};
        }
        file->path = path;
        file->is_decoy = file->is_decoy || sign->decoy;
        file->is_renamed = file->is_renamed || sign->extension_changed;
        if (faded(file->weight, file->time_ns, ransom->last_ns) < weight) {
                file->weight = weight;
                file->time_ns = ransom->last_ns;
        }
        remember_directory(ransom->directories, &ransom->n_directories, sign->directory);
        if (sign->content.suspicion > ransom->example_weight && sign->content.n_reasons) {
                ransom->example_weight = sign->content.suspicion;
                snprintf(ransom->example, sizeof(ransom->example), "%s", sign->content.reasons[0]);
        }
}

static float weight_of(const struct ransom_signs *content) {
        return content->suspicion >= RANSOM_CLEAR      ? WEIGHT_LOST
               : content->suspicion >= RANSOM_LIKELY   ? WEIGHT_LIKELY
               : content->suspicion >= RANSOM_POSSIBLE ? WEIGHT_POSSIBLE
                                                       : 0;
}

/* --- ciphertext that came, and originals that went --- */

static bool is_near(uint64_t a, uint64_t b) {
        uint64_t less = a < b ? a : b, more = a < b ? b : a;
        return less > 0 && more - less <= 4096 + less / 32;
}

static float pair_weight(const struct ransom_loose *created, const struct ransom_loose *deleted) {
        bool is_named_after = created->stem == deleted->path || created->path == deleted->stem ||
                              (created->stem == deleted->stem && created->extension != deleted->extension);
        if (is_named_after)
                return WEIGHT_LOST;
        bool is_typed = deleted->extension && deleted->extension != created->extension;
        return is_typed && created->directory == deleted->directory &&
                               is_near(created->size_bytes, deleted->size_bytes)
                       ? WEIGHT_PAIR
                       : 0;
}

static struct ransom_copy *copy_of(struct ransom_case *ransom, uint64_t stem) {
        struct ransom_copy *copy = &ransom->copies[stem % RANSOM_COPIES_MAX];
        return copy->path && copy->stem == (uint32_t)(stem >> 32) ? copy : NULL;
}

/* A name without extension is made after no other. */
static void remember_copy(struct ransom_case *ransom, const struct ransom_loose *created) {
        if (created->extension)
                ransom->copies[created->stem % RANSOM_COPIES_MAX] = (struct ransom_copy){
                        (uint32_t)(created->stem >> 32), (uint32_t)(created->path >> 32)};
}

static void forget_copy(struct ransom_case *ransom, uint64_t stem) {
        struct ransom_copy *copy = copy_of(ransom, stem);
        if (copy)
                *copy = (struct ransom_copy){0};
}

static bool has_copy(struct ransom_case *ransom, const struct ransom_loose *deleted) {
        const struct ransom_copy *beside = copy_of(ransom, deleted->stem);
        return copy_of(ransom, deleted->path) || (beside && beside->path != (uint32_t)(deleted->path >> 32));
}

static struct ransom_loose loose_of(const struct ransom_case *ransom, const struct ransom_sign *sign) {
        return (struct ransom_loose){.path = sign->path,
                                     .stem = sign->stem,
                                     .extension = sign->extension,
                                     .directory = sign->directory,
                                     .size_bytes = sign->size_bytes,
                                     .order = ransom->n_signs,
                                     .is_deleted = sign->kind == RANSOM_DELETED};
}

/* The oldest of the same sort makes room, so that a flood of deletions cannot push out what was created. */
static void keep_loose(struct ransom_case *ransom, const struct ransom_loose *loose) {
        unsigned n_same = 0, oldest = 0;
        for (unsigned i = 0; i < ransom->n_loose; i++) {
                if (ransom->loose[i].is_deleted != loose->is_deleted)
                        continue;
                if (!n_same || ransom->loose[i].order < ransom->loose[oldest].order)
                        oldest = i;
                n_same++;
        }
        if (n_same < RANSOM_LOOSE_MAX / 2) {
                ransom->loose[ransom->n_loose++] = *loose;
                return;
        }
        ransom->loose[oldest] = *loose;
        ransom->n_dropped++;
}

static void weigh_pair(struct ransom_case *ransom, const struct ransom_sign *sign, uint64_t original,
                       uint64_t other_extension, float weight) {
        struct ransom_sign lost = *sign;
        lost.extension_changed = other_extension != sign->extension;
        weigh(ransom, &lost, original, weight);
        ransom->n_pairs++;
}

/* The other half that fits best, or NULL. */
static struct ransom_loose *find_half(struct ransom_case *ransom, const struct ransom_loose *loose,
                                      float *ret_weight) {
        struct ransom_loose *best = NULL;
        *ret_weight = 0;
        for (unsigned i = 0; i < ransom->n_loose; i++) {
                struct ransom_loose *other = &ransom->loose[i];
                if (other->is_deleted == loose->is_deleted)
                        continue;
                float weight = loose->is_deleted ? pair_weight(other, loose) : pair_weight(loose, other);
                if (weight > *ret_weight) {
                        *ret_weight = weight;
                        best = other;
                }
        }
        return best;
}

static void match(struct ransom_case *ransom, const struct ransom_sign *sign) {
        struct ransom_loose loose = loose_of(ransom, sign);
        float weight;
        struct ransom_loose *half = find_half(ransom, &loose, &weight);
        if (weight < WEIGHT_LOST && loose.is_deleted && has_copy(ransom, &loose)) {
                forget_copy(ransom, loose.path);
                forget_copy(ransom, loose.stem);
                weigh_pair(ransom, sign, loose.path, 0, WEIGHT_LOST);
        } else if (half) {
                forget_copy(ransom, loose.is_deleted ? half->stem : loose.stem);
                weigh_pair(ransom, sign, loose.is_deleted ? loose.path : half->path, half->extension, weight);
                *half = ransom->loose[--ransom->n_loose];
        } else {
                keep_loose(ransom, &loose);
                if (!loose.is_deleted)
                        remember_copy(ransom, &loose);
        }
}

/* A temporary file that goes again is no original. */
static bool forget_created(struct ransom_case *ransom, const struct ransom_sign *deleted) {
        const struct ransom_copy *copy = copy_of(ransom, deleted->stem);
        bool was_created = copy && copy->path == (uint32_t)(deleted->path >> 32);
        if (was_created)
                forget_copy(ransom, deleted->stem);
        for (unsigned i = 0; i < ransom->n_loose; i++)
                if (!ransom->loose[i].is_deleted && ransom->loose[i].path == deleted->path) {
                        ransom->loose[i] = ransom->loose[--ransom->n_loose];
                        return true;
                }
        return was_created;
}

/* --- its own files --- */

/* The place of a path among the few that its hash allows; else the oldest of them. */
static struct ransom_young *young_of(struct ransom_case *ransom, uint64_t path) {
        struct ransom_young *few = &ransom->young[path % (RANSOM_YOUNG_MAX / YOUNG_WAYS) * YOUNG_WAYS];
        struct ransom_young *oldest = few;
        for (unsigned i = 0; i < YOUNG_WAYS; i++) {
                if (few[i].path == (uint32_t)(path >> 32))
                        return &few[i];
                if (few[i].second < oldest->second)
                        oldest = &few[i];
        }
        return oldest;
}

static bool is_young(struct ransom_case *ransom, const struct ransom_sign *sign, uint64_t path) {
        const struct ransom_young *young = young_of(ransom, path);
        return young->path == (uint32_t)(path >> 32) &&
               sign->time_ns / NS_PER_S < young->second + RANSOM_YOUNG_NS / NS_PER_S;
}

void ransom_case_created(struct ransom_case *ransom, const struct ransom_sign *sign) {
        *young_of(ransom, sign->path) = (struct ransom_young){.path = (uint32_t)(sign->path >> 32),
                                                              .second = (uint32_t)(sign->time_ns / NS_PER_S)};
}

/* --- one sign --- */

static void add_altered(struct ransom_case *ransom, const struct ransom_sign *sign) {
        float weight = sign->examined ? weight_of(&sign->content) : 0;
        if (weight > 0) {
                weigh(ransom, sign, sign->path, weight);
                ransom->n_wiped += sign->content.wiped;
                ransom->n_encoded += sign->content.encoded_random;
        } else if (sign->examined && sign->content.wiped) {
                ransom->n_deleted++; /* emptied: a log in rotation, or all of a tree */
        } else if (sign->examined && sign->content.changed_permille > 0) {
                ransom->n_well++;
        }
}

static void add_created(struct ransom_case *ransom, const struct ransom_sign *sign) {
        const struct ransom_signs *content = &sign->content;
        if (sign->examined && (content->random || content->encoded_random) &&
            content->suspicion >= RANSOM_POSSIBLE)
                match(ransom, sign);
}

static void add_renamed(struct ransom_case *ransom, const struct ransom_sign *sign) {
        ransom->n_renamed += sign->extension_changed;
        if (is_young(ransom, sign, sign->from))
                ransom_case_created(ransom, sign);
        struct ransom_file *file = find_file(ransom, sign->from);
        if (file) {
                file->path = sign->path;
                file->is_renamed = file->is_renamed || sign->extension_changed;
        }
        for (unsigned i = 0; i < ransom->n_loose; i++)
                if (!ransom->loose[i].is_deleted && ransom->loose[i].path == sign->from) {
                        struct ransom_sign moved = *sign;
                        moved.size_bytes = ransom->loose[i].size_bytes;
                        moved.kind = RANSOM_CREATED;
                        forget_copy(ransom, ransom->loose[i].stem);
                        ransom->loose[i] = ransom->loose[--ransom->n_loose];
                        match(ransom, &moved);
                        return;
                }
}

static void add(struct ransom_case *ransom, const struct ransom_sign *sign) {
        switch (sign->kind) {
        case RANSOM_ALTERED:
                add_altered(ransom, sign);
                break;
        case RANSOM_CREATED:
                add_created(ransom, sign);
                break;
        case RANSOM_DELETED:
                if (!forget_created(ransom, sign) && !is_young(ransom, sign, sign->path)) {
                        ransom->n_deleted++;
                        match(ransom, sign);
                }
                break;
        case RANSOM_RENAMED:
                add_renamed(ransom, sign);
                break;
        }
        ransom->n_decoys += sign->decoy;
        if (sign->examined && sign->content.note)
                remember_directory(ransom->note_directories, &ransom->n_note_directories, sign->directory);
}

/* --- the verdict --- */

struct tally {
        float weight;
        unsigned n_lost, n_renamed, n_decoys;
};

static struct tally tally_of(const struct ransom_case *ransom) {
        struct tally tally = {0};
        for (unsigned i = 0; i < ransom->n_files; i++) {
                const struct ransom_file *file = &ransom->files[i];
                tally.weight += faded(file->weight, file->time_ns, ransom->last_ns);
                if (file->weight < WEIGHT_COUNTS)
                        continue;
                tally.n_lost++;
                tally.n_renamed += file->is_renamed;
                tally.n_decoys += file->is_decoy;
        }
        return tally;
}

static float capped(unsigned n, float each, float most) {
        return (float)n * each < most ? (float)n * each : most;
}

/* What hastens a verdict without being one. */
static float context_of(const struct ransom_case *ransom, const struct tally *tally) {
        float context = capped(tally->n_renamed, 5, 15) + capped(ransom->n_note_directories, 20, 60) +
                        capped(ransom->n_decoys, 10, 20) + capped(tally->n_decoys, 40, 40);
        if (tally->n_lost)
                context += capped(ransom->n_directories - 1, 3, 9);
        return context;
}

static bool is_upheaval_with_notes(const struct ransom_case *ransom) {
        return ransom->n_note_directories >= NOTE_FOLDERS_MIN &&
               ransom->n_renamed + ransom->n_deleted >= UPHEAVAL_MIN;
}

static enum ransom_verdict judge(const struct ransom_case *ransom) {
        struct tally tally = tally_of(ransom);
        float score = tally.weight + context_of(ransom, &tally);
        bool has_other = tally.n_decoys || ransom->n_note_directories;
        bool is_several = tally.n_lost >= (has_other ? LOST_WITH_OTHER : LOST_MIN);
        if (is_several && score >= SCORE_ATTACK + capped(ransom->n_well, 1, WELL_MAX))
                return RANSOM_ATTACK;
        if (is_upheaval_with_notes(ransom))
                return RANSOM_ATTACK;
        if (score >= SCORE_WATCH || ransom->n_decoys || ransom->n_note_directories ||
            ransom->n_renamed >= UPHEAVAL_MIN || ransom->n_deleted >= UPHEAVAL_MIN)
                return RANSOM_WATCH;
        return RANSOM_NONE;
}

void ransom_case_init(struct ransom_case *ransom) {
        *ransom = (struct ransom_case){0};
}

enum ransom_verdict ransom_case_add(struct ransom_case *ransom, const struct ransom_sign *sign) {
        if (sign->time_ns > ransom->last_ns)
                ransom->last_ns = sign->time_ns;
        ransom->n_signs++;
        add(ransom, sign);
        enum ransom_verdict verdict = judge(ransom);
        if (verdict == RANSOM_ATTACK || ransom->verdict != RANSOM_ATTACK)
                ransom->verdict = verdict;
        return ransom->verdict;
}

unsigned ransom_case_score(const struct ransom_case *ransom) {
        struct tally tally = tally_of(ransom);
        return (unsigned)lroundf(tally.weight + context_of(ransom, &tally));
}

/* --- in words --- */

static void say(json_t *reasons, const char *reason, unsigned number) {
        char text[RANSOM_REASON_SIZE];
        if (number == 0)
                return;
        snprintf(text, sizeof(text), "%s: %u", reason, number);
        json_array_append_new(reasons, json_string(text));
}

json_t *ransom_case_reasons(const struct ransom_case *ransom) {
        struct tally tally = tally_of(ransom);
        json_t *reasons = json_array();
        if (!reasons)
                return NULL;
        say(reasons, N_("files whose content is lost"), tally.n_lost);
        if (ransom->example[0])
                json_array_append_new(reasons, json_string(ransom->example));
        say(reasons, N_("originals removed beside an encrypted copy"), ransom->n_pairs);
        say(reasons, N_("files overwritten so that nothing is left of them"), ransom->n_wiped);
        say(reasons, N_("directories with lost files"), tally.n_lost ? ransom->n_directories : 0);
        say(reasons, N_("directories with a text that demands a ransom"), ransom->n_note_directories);
        say(reasons, N_("decoys touched"), ransom->n_decoys);
        say(reasons, N_("lost files whose extension changed"), tally.n_renamed);
        say(reasons, N_("files renamed to another extension"), ransom->n_renamed);
        say(reasons, N_("files removed or emptied"), ransom->n_deleted);
        return reasons;
}
