#include "detect/ransom/content.h"

#include <stdlib.h>

#include "base/i18n.h"
#include "base/text.h"
#include "detect/ransom/bytes.h"
#include "detect/ransom/form.h"
#include "detect/ransom/note.h"
#include "detect/ransom/overlap.h"
#include "detect/ransom/spelling.h"

#define SUSPICION_SURE   95
#define SUSPICION_STRONG 85
#define SUSPICION_HALF   55
#define SUSPICION_NEW    30 /* a created file: nothing is lost by it yet */

#define TRAILER_BYTES  8192 /* a key and a mark behind the content */
#define RESUMED_MIN    4    /* one may be chance, or what two versions share */
#define TAIL_BYTES     256  /* longer than what stands at the end of every file of a type */
#define IMAGE_PERMILLE 50   /* of a disk's image; what its guest writes in between stays below */

/* One comparison, and what is known so far. */
struct comparison {
        const struct ransom_request *request;
        struct ransom_signs *signs;
        const struct form *before, *after; /* NULL: not known */
        struct form_check before_check, after_check;
        struct overlap overlap;
};

void ransom_places(uint64_t size_bytes, uint64_t seed, uint64_t ret_offsets[static RANSOM_SAMPLES_MAX],
                   size_t *ret_n) {
        uint64_t rest = size_bytes > RANSOM_HEAD_BYTES ? size_bytes - RANSOM_HEAD_BYTES : 0;
        uint64_t n = rest / RANSOM_SAMPLE_BYTES < RANSOM_SAMPLES_MAX ? rest / RANSOM_SAMPLE_BYTES
                                                                     : RANSOM_SAMPLES_MAX;
        /* one in each of as many equal parts, so that they are in order and none overlaps */
        for (uint64_t i = 0; i < n; i++) {
                uint64_t part = rest / n, slack = part - RANSOM_SAMPLE_BYTES + 1;
                ret_offsets[i] = RANSOM_HEAD_BYTES + i * part + overlap_random(&seed) % slack;
        }
        *ret_n = (size_t)n;
}

static struct view head_of(const struct ransom_content *content) {
        return view_head(content->bytes, content->head_bytes);
}

static struct form_file form_file_of(const struct ransom_content *content) {
        return (struct form_file){.head = head_of(content), .size_bytes = content->size_bytes};
}

static void suspect(struct ransom_signs *signs, unsigned suspicion) {
        signs->suspicion = signs->suspicion > suspicion ? signs->suspicion : suspicion;
}

static unsigned percent(unsigned some, unsigned all) {
        return all ? some * 100 / all : 0;
}

static bool is_sort(const struct form *form, enum form_sort sort) {
        return form && form->sort == sort;
}

static bool holds(const struct form_check *check) {
        return check->good > 0 && check->bad == 0 && !check->is_locked && !check->is_even;
}

/* --- types --- */

static bool is_type_lost(const struct comparison *c) {
        if (!c->before || c->before == c->after)
                return false;
        return !c->after || (c->after->sort == FORM_TEXT && c->before->sort != FORM_TEXT);
}

static void examine_types(struct comparison *c) {
        const struct ransom_request *request = c->request;
        c->before = form_of(head_of(&request->before));
        c->after = form_of(head_of(&request->after));
        struct form_file after = form_file_of(&request->after), before = form_file_of(&request->before);
        after.original = head_of(&request->before);
        after.original_bytes = request->before.size_bytes;
        form_examine(c->after, &after, &c->after_check);
        bool is_odd = c->after_check.bad > 0 || c->after_check.is_even || c->after_check.is_locked;
        if (c->before == c->after && is_odd)
                form_examine(c->before, &before, &c->before_check);
        c->signs->type_lost = is_type_lost(c);
        c->signs->structure_lost = c->before && c->before == c->after &&
                                   c->after_check.bad > c->before_check.bad && c->before_check.good > 0;
        c->signs->decodes = c->after_check.is_decoded;
}

static void say_types(const struct comparison *c) {
        if (c->signs->type_lost)
                ransom_signs_say(c->signs, N_("it no longer is what it was"), "%s", c->before->name);
        if (c->signs->structure_lost)
                ransom_signs_say(c->signs, N_("its inner structure is broken"), "%s, %u/%u", c->after->name,
                                 c->after_check.bad, c->after_check.bad + c->after_check.good);
        if (c->after_check.is_locked && c->signs->suspicion)
                ransom_signs_say(c->signs, N_("it is an archive that opens with a password"), "%s",
                                 c->after->name);
}

/* --- what was overwritten --- */

static bool has_same_tail(const struct comparison *c) {
        struct view before = c->request->before.bytes, after = c->request->after.bytes;
        return before.size > TAIL_BYTES && after.size >= before.size &&
               !memcmp(before.data + before.size - TAIL_BYTES, after.data + before.size - TAIL_BYTES,
                       TAIL_BYTES);
}

static bool has_same_size(const struct comparison *c) {
        uint64_t before = c->request->before.size_bytes, after = c->request->after.size_bytes;
        return after >= before && after - before <= TRAILER_BYTES;
}

/* Parts of the file were overwritten where they stood and the rest left as it was: no encoder writes like that. */
static bool is_patched(const struct comparison *c) {
        return has_same_size(c) && (c->overlap.n_resumed >= RESUMED_MIN || has_same_tail(c));
}

/* Most of it is left where it stood: not so where an archive or a program was made anew. */
static bool is_dotted(const struct comparison *c) {
        return has_same_size(c) && (c->overlap.n_resumed > 0 || has_same_tail(c)) &&
               c->overlap.n_changed * 10 < c->overlap.n_bytes * 7;
}

/* Even parts moved: as many places lost their evenness as gained it, as between two versions. Ciphertext only gains. */
static bool is_shifted(const struct comparison *c) {
        return c->overlap.n_eased * 3 > c->overlap.n_gained && c->overlap.n_eased * 10 >= c->overlap.n_looked;
}

/* Even bytes stand where none stood. */
static unsigned judge_gained(const struct comparison *c) {
        const struct ransom_signs *signs = c->signs;
        bool is_same = c->after == c->before;
        if (signs->type_lost)
                return SUSPICION_SURE;
        if (!signs->structure_lost && is_same && is_shifted(c))
                return RANSOM_POSSIBLE;
        /* of a type unknown to us another version may pack more than the last */
        if (!c->after && c->overlap.n_even * 10 < c->overlap.n_looked * 6)
                return RANSOM_LIKELY + 5;
        if (signs->structure_lost || !c->after || c->after->sort == FORM_TEXT)
                return SUSPICION_STRONG;
        if (c->after->sort == FORM_IMAGE && is_same)
                return signs->changed_permille >= IMAGE_PERMILLE ? SUSPICION_HALF : RANSOM_POSSIBLE;
        if (c->after_check.is_even || c->after_check.is_locked || !c->after_check.good)
                return SUSPICION_STRONG;
        if (is_same && c->after->sort == FORM_PACKED)
                return is_patched(c) && !c->after_check.is_summed ? SUSPICION_HALF : 10;
        if (is_same)
                return c->after->sort == FORM_OTHER && is_dotted(c) ? SUSPICION_STRONG : 10;
        /* another type under the same name: believed where all of it can be verified */
        return c->after->sort == FORM_PACKED && !c->after_check.bad ? RANSOM_POSSIBLE + 5 : SUSPICION_STRONG;
}

/* Even bytes stood there, and do now: only the type can tell. */
static unsigned judge_even(const struct comparison *c) {
        const struct ransom_signs *signs = c->signs;
        const struct form_check *before = &c->before_check, *after = &c->after_check;
        if (signs->type_lost || signs->structure_lost)
                return SUSPICION_STRONG;
        if (after->is_even > before->is_even || after->is_locked > before->is_locked)
                return SUSPICION_STRONG;
        if (!c->after || (c->after->sort == FORM_IMAGE && c->before == c->after))
                return is_patched(c) ? RANSOM_POSSIBLE + 10 : RANSOM_POSSIBLE;
        bool is_verified = c->after->sort == FORM_PACKED && holds(after);
        if (c->before != c->after)
                return is_verified ? RANSOM_POSSIBLE : SUSPICION_STRONG;
        if (is_patched(c) &&
            (c->after->sort == FORM_MEDIA || c->after->sort == FORM_OTHER || !after->is_summed))
                return SUSPICION_HALF;
        return is_verified ? 5 : 8;
}

static bool is_spelled_ciphertext(const struct comparison *c) {
        return !spelling_is_typed(head_of(&c->request->after));
}

static void judge_overwritten(struct comparison *c) {
        const struct overlap *overlap = &c->overlap;
        struct ransom_signs *signs = c->signs;
        unsigned n = overlap->n_looked, suspicion;
        bool is_broken = signs->type_lost || signs->structure_lost;
        if ((n && overlap->n_gained * 10 >= n * 3) || (!n && is_broken && overlap->n_filled))
                suspicion = judge_gained(c);
        else if (n && overlap->n_even * 10 >= n * 3)
                suspicion = judge_even(c);
        else
                return;
        suspect(signs, suspicion);
        signs->random = suspicion >= RANSOM_POSSIBLE;
        if (signs->random)
                ransom_signs_say(signs, N_("what was written cannot be told from ciphertext"), "%u %%",
                                 n ? percent(overlap->n_even, n) : 100);
        if (suspicion == SUSPICION_HALF && is_patched(c))
                ransom_signs_say(signs, N_("parts of it were overwritten where it stood, the rest was left"),
                                 NULL);
}

static void judge_other(struct comparison *c) {
        const struct overlap *overlap = &c->overlap;
        struct ransom_signs *signs = c->signs;
        unsigned n = overlap->n_looked, permille = signs->changed_permille;
        bool is_spelled = overlap->n_spelled * 2 >= n ||
                          (overlap->n_spelled * 10 >= n && overlap->n_letters * 20 >= n * 19);
        if (is_spelled && is_spelled_ciphertext(c)) {
                signs->encoded_random = true;
                suspect(signs, SUSPICION_STRONG);
                ransom_signs_say(signs, N_("what was written is ciphertext spelled in letters"), "%u %%",
                                 percent(overlap->n_letters, n));
        } else if (overlap->n_constant * 10 >= n * 8 && (permille >= 500 || signs->type_lost)) {
                signs->wiped = true;
                suspect(signs, SUSPICION_STRONG);
                ransom_signs_say(signs, N_("it is overwritten with one value"), "%u.%u %%", permille / 10,
                                 permille % 10);
        } else if (overlap->n_text_lost * 2 >= n && permille >= 200 && !c->after) {
                suspect(signs, SUSPICION_HALF);
                ransom_signs_say(signs, N_("text became something that is no text"), NULL);
        } else if (signs->type_lost && permille >= 500) {
                suspect(signs, c->after ? RANSOM_POSSIBLE : RANSOM_LIKELY + 5);
        } else if (signs->structure_lost) {
                suspect(signs, RANSOM_POSSIBLE + 10);
        }
}

/* Too few bytes for any distribution: a short text that is none any more. */
static void judge_few(struct comparison *c) {
        struct view before = head_of(&c->request->before), after = head_of(&c->request->after);
        if (c->overlap.n_few < 12 || !text_is_utf8((const char *)before.data, before.size) ||
            memchr(before.data, 0, before.size))
                return;
        bool is_lost = !text_is_utf8((const char *)after.data, after.size);
        if (is_lost && !bytes_look(after).is_text) {
                suspect(c->signs, RANSOM_LIKELY + 5);
                ransom_signs_say(c->signs, N_("text became something that is no text"), NULL);
        }
}

static unsigned changed_permille(const struct comparison *c) {
        uint64_t seen = c->request->before.bytes.size, cut = seen - c->overlap.n_bytes;
        uint64_t permille = seen ? (c->overlap.n_changed + cut) * 1000 / seen : 0;
        if (permille == 0 && c->overlap.n_changed)
                return 1;
        return permille > 1000 ? 1000 : (unsigned)permille;
}

static void judge_note(const struct ransom_content *after, const struct form *form,
                       struct ransom_signs *signs) {
        if (!is_sort(form, FORM_TEXT) || after->size_bytes > NOTE_BYTES_MAX)
                return;
        unsigned n = note_parts(head_of(after));
        if (!n)
                return;
        signs->note = true;
        suspect(signs, SUSPICION_NEW);
        ransom_signs_say(signs, N_("it demands a ransom"), "%u/4", n);
}

static void compare(struct comparison *c) {
        const struct ransom_request *request = c->request;
        overlap_measure(request->before.bytes, request->after.bytes, request->seed, &c->overlap);
        c->signs->changed_permille = changed_permille(c);
        if (request->after.size_bytes == 0 && request->before.size_bytes > 0) {
                c->signs->wiped = true;
                suspect(c->signs, 10);
                ransom_signs_say(c->signs, N_("it was emptied"), NULL);
                return;
        }
        if (!c->overlap.n_changed)
                return;
        examine_types(c);
        if (c->signs->decodes) {
                ransom_signs_say(c->signs, N_("it is the old content, compressed"), "%s", c->after->name);
                return;
        }
        judge_overwritten(c);
        if (c->overlap.n_looked && !c->signs->random && c->signs->suspicion == 0)
                judge_other(c);
        if (!c->overlap.n_looked)
                judge_few(c);
        if (c->signs->suspicion >= RANSOM_POSSIBLE)
                say_types(c);
        judge_note(&request->after, c->after, c->signs);
}

/* --- a created file --- */

static unsigned judge_created_form(const struct comparison *c) {
        const struct form_check *check = &c->after_check;
        bool is_even = c->overlap.n_even * 10 >= c->overlap.n_looked * 8;
        if (!c->after)
                return is_even ? SUSPICION_NEW : 0;
        if (c->after->sort == FORM_PACKED && (check->is_even || check->is_locked))
                return SUSPICION_NEW + 10;
        if ((c->after->sort == FORM_PACKED || c->after->sort == FORM_MEDIA) && check->bad)
                return is_even ? SUSPICION_NEW + 10 : 0;
        return c->after->sort == FORM_MEDIA && check->is_locked ? SUSPICION_NEW + 10 : 0;
}

static void examine_created(struct comparison *c) {
        const struct ransom_content *after = &c->request->after;
        struct form_file file = form_file_of(after);
        overlap_survey(after->bytes, c->request->seed, &c->overlap);
        c->after = form_of(head_of(after));
        form_examine(c->after, &file, &c->after_check);
        unsigned n = c->overlap.n_looked, suspicion = n ? judge_created_form(c) : 0;
        if (suspicion) {
                c->signs->random = true;
                c->signs->structure_lost = c->after_check.bad > 0;
                suspect(c->signs, suspicion);
                ransom_signs_say(c->signs, N_("what was written cannot be told from ciphertext"), "%u %%",
                                 percent(c->overlap.n_even, n));
        } else if (n && is_sort(c->after, FORM_TEXT) && c->overlap.n_letters * 10 >= n * 8 &&
                   is_spelled_ciphertext(c)) {
                c->signs->encoded_random = true;
                suspect(c->signs, SUSPICION_NEW);
                ransom_signs_say(c->signs, N_("what was written is ciphertext spelled in letters"), "%u %%",
                                 percent(c->overlap.n_letters, n));
        }
        say_types(c);
        judge_note(after, c->after, c->signs);
}

void ransom_compare(const struct ransom_request *request, struct ransom_signs *ret_signs) {
        *ret_signs = (struct ransom_signs){0};
        struct comparison c = {.request = request, .signs = ret_signs};
        if (request->has_before && request->before.size_bytes)
                compare(&c);
        else
                examine_created(&c);
}
