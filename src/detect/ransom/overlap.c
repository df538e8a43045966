#include "detect/ransom/overlap.h"

#include "detect/ransom/bytes.h"
#include "detect/ransom/content.h"

#define BLOCKS_MAX (RANSOM_CONTENT_BYTES / OVERLAP_BLOCK + 1)
#define PICKS_MAX  96
#define GAP_MAX    3  /* ciphertext equals what stood there once in 256 */
#define LEFT_MIN   12 /* unchanged bytes in a row that are no chance */
#define RUN_MIN    8  /* shorter runs are an edit's, and of no use for a look */

/* Bytes that were changed, side by side. */
struct gathered {
        unsigned char before[OVERLAP_BLOCK], after[OVERLAP_BLOCK];
        size_t n;
        unsigned n_resumed;
};

uint64_t overlap_random(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static struct view block_of(struct view file, size_t i) {
        return view_head(view_from(file, i * OVERLAP_BLOCK), OVERLAP_BLOCK);
}

static void gather_run(struct view before, struct view after, size_t from, size_t to,
                       struct gathered *to_add) {
        size_t n = to - from, room = OVERLAP_BLOCK - to_add->n;
        n = n < room ? n : room;
        memcpy(to_add->before + to_add->n, before.data + from, n);
        memcpy(to_add->after + to_add->n, after.data + from, n);
        to_add->n += n;
}

/* Returns how many bytes differ. */
static size_t gather(struct view before, struct view after, struct gathered *gathered) {
        size_t n_changed = 0, from = 0, last = 0;
        bool in_run = false;
        for (size_t i = 0; i < after.size; i++) {
                if (before.data[i] != after.data[i]) {
                        n_changed++;
                        gathered->n_resumed += n_changed > 1 && i - last > LEFT_MIN;
                        from = in_run ? from : i;
                        last = i;
                        in_run = true;
                } else if (in_run && i - last > GAP_MAX) {
                        if (last + 1 - from >= RUN_MIN)
                                gather_run(before, after, from, last + 1, gathered);
                        in_run = false;
                }
        }
        if (in_run && last + 1 - from >= RUN_MIN)
                gather_run(before, after, from, last + 1, gathered);
        return n_changed;
}

static void take_look(const struct gathered *gathered, struct overlap *overlap) {
        struct look before = bytes_look((struct view){gathered->before, gathered->n});
        struct look after = bytes_look((struct view){gathered->after, gathered->n});
        if (before.is_constant) {
                overlap->n_filled += after.is_even;
                return;
        }
        overlap->n_looked++;
        overlap->n_even += after.is_even;
        overlap->n_gained += after.is_even && !before.is_even;
        overlap->n_eased += before.is_even && !after.is_even && !after.is_constant && !after.is_spelled;
        overlap->n_letters += after.is_spelled;
        overlap->n_spelled += after.is_spelled && !before.is_spelled;
        overlap->n_constant += after.is_constant;
        overlap->n_text_lost += before.is_text && !after.is_text;
}

/* The first `n_picks` of `blocks` become a random choice. */
static void pick(uint32_t *blocks, size_t n, size_t n_picks, uint64_t *seed) {
        for (size_t i = 0; i < n_picks; i++) {
                size_t j = i + overlap_random(seed) % (n - i);
                uint32_t block = blocks[i];
                blocks[i] = blocks[j];
                blocks[j] = block;
        }
}

void overlap_measure(struct view before, struct view after, uint64_t seed, struct overlap *ret_overlap) {
        static uint32_t blocks[BLOCKS_MAX];
        static struct gathered gathered, few;
        size_t both = before.size < after.size ? before.size : after.size, n_blocks = 0, n_changed = 0;
        struct overlap overlap = {.n_bytes = both};
        before = view_head(before, both);
        after = view_head(after, both);
        for (size_t i = 0; i * OVERLAP_BLOCK < both && i < BLOCKS_MAX; i++) {
                struct view block = block_of(after, i);
                if (memcmp(block_of(before, i).data, block.data, block.size) != 0)
                        blocks[n_blocks++] = (uint32_t)i;
                else
                        overlap.n_resumed += n_blocks > 0;
        }
        size_t n_picks = n_blocks < PICKS_MAX ? n_blocks : PICKS_MAX;
        pick(blocks, n_blocks, n_picks, &seed);
        few.n = 0;
        for (size_t i = 0; i < n_picks; i++) {
                gathered.n = gathered.n_resumed = 0;
                n_changed += gather(block_of(before, blocks[i]), block_of(after, blocks[i]), &gathered);
                overlap.n_resumed += gathered.n_resumed;
                if (gathered.n >= LOOK_BYTES_SURE)
                        take_look(&gathered, &overlap);
                else
                        gather_run((struct view){gathered.before, gathered.n},
                                   (struct view){gathered.after, gathered.n}, 0, gathered.n, &few);
        }
        if (few.n >= LOOK_BYTES_MIN)
                take_look(&few, &overlap);
        overlap.n_few = (unsigned)few.n;
        overlap.n_changed = n_picks ? n_changed * n_blocks / n_picks : 0;
        *ret_overlap = overlap;
}

void overlap_survey(struct view file, uint64_t seed, struct overlap *ret_overlap) {
        struct overlap overlap = {.n_bytes = file.size};
        size_t n_blocks = (file.size + OVERLAP_BLOCK - 1) / OVERLAP_BLOCK;
        for (size_t i = 0; i < PICKS_MAX && i < n_blocks; i++) {
                struct view block =
                        block_of(file, n_blocks <= PICKS_MAX ? i : overlap_random(&seed) % n_blocks);
                if (block.size < LOOK_BYTES_SURE && n_blocks > 1)
                        continue;
                struct look look = bytes_look(block);
                overlap.n_looked++;
                overlap.n_even += look.is_even;
                overlap.n_letters += look.is_spelled;
                overlap.n_constant += look.is_constant;
        }
        *ret_overlap = overlap;
}
