#include "detect/tamper/diff.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "detect/tamper/mask.h"
#include "detect/tamper/myers.h"

#define CONTEXT     3
#define LINE_SHOWN  600 /* bytes of a line that are shown */
#define LINE_BEFORE 80  /* of them before the first difference, where a line is longer */
#define SNAP_MAX    64  /* a cut moves this far so as not to fall into a word */

/* The part of a text that may differ, cut into lines. */
struct side {
        struct view text;  /* whole */
        size_t start, end; /* of the part */
        size_t first_line; /* number of the part's first line, from 0 */
        size_t n_lines;
        uint32_t *starts; /* n_lines + 1; owned */
        uint32_t *ids;    /* equal lines have equal numbers; owned */
        bool *changed;    /* owned */
};

static void side_deinit(struct side *side) {
        free(side->starts);
        free(side->ids);
        free(side->changed);
}

static struct view side_line(const struct side *side, size_t i) {
        return (struct view){side->text.data + side->starts[i], side->starts[i + 1] - side->starts[i]};
}

/* --- which part differs --- */

static size_t common_prefix(struct view a, struct view b) {
        size_t n = a.size < b.size ? a.size : b.size, i = 0;
        while (i + 64 <= n && !memcmp(a.data + i, b.data + i, 64))
                i += 64;
        while (i < n && a.data[i] == b.data[i])
                i++;
        return i;
}

static size_t common_suffix(struct view a, struct view b, size_t most) {
        size_t i = 0;
        while (i + 64 <= most && !memcmp(a.data + a.size - i - 64, b.data + b.size - i - 64, 64))
                i += 64;
        while (i < most && a.data[a.size - 1 - i] == b.data[b.size - 1 - i])
                i++;
        return i;
}

/* Start of the line that is `lines` lines above the one `at` stands in. */
static size_t line_above(struct view text, size_t at, size_t lines) {
        for (;; lines--) {
                const unsigned char *newline = at ? memrchr(text.data, '\n', at) : NULL;
                if (!newline)
                        return 0;
                at = (size_t)(newline - text.data);
                if (lines == 0)
                        return at + 1;
        }
}

/* End of the line that is `lines` lines below the one `at` stands in, its newline included. */
static size_t line_below(struct view text, size_t at, size_t lines) {
        for (;; lines--) {
                const unsigned char *newline =
                        at < text.size ? memchr(text.data + at, '\n', text.size - at) : NULL;
                if (!newline)
                        return text.size;
                at = (size_t)(newline - text.data) + 1;
                if (lines == 0)
                        return at;
        }
}

static size_t count_newlines(const unsigned char *data, size_t size) {
        size_t n = 0;
        if (size == 0)
                return 0;
        for (const unsigned char *p = data; (p = memchr(p, '\n', (size_t)(data + size - p))); p++)
                n++;
        return n;
}

static void find_parts(struct side *a, struct side *b) {
        size_t prefix = common_prefix(a->text, b->text);
        size_t shorter = a->text.size < b->text.size ? a->text.size : b->text.size;
        size_t suffix = common_suffix(a->text, b->text, shorter - prefix);
        size_t start = line_above(a->text, prefix, CONTEXT);
        a->start = b->start = start;
        a->first_line = b->first_line = count_newlines(a->text.data, start);
        /* a suffix that starts at a line's start leaves that line out of the part on both sides */
        a->end = line_below(a->text, a->text.size - suffix, CONTEXT);
        b->end = line_below(b->text, b->text.size - suffix, CONTEXT);
}

/* Past DIFF_LINES_MAX the rest of the part is one line. */
static int cut_lines(struct side *side) {
        size_t n = count_newlines(side->text.data + side->start, side->end - side->start) + 1;
        if (n > DIFF_LINES_MAX)
                n = DIFF_LINES_MAX;
        side->starts = calloc(n + 1, sizeof(*side->starts));
        side->ids = calloc(n, sizeof(*side->ids));
        side->changed = calloc(n, sizeof(*side->changed));
        if (!side->starts || !side->ids || !side->changed)
                return -ENOMEM;
        size_t at = side->start;
        while (at < side->end) {
                side->starts[side->n_lines++] = (uint32_t)at;
                const unsigned char *newline = memchr(side->text.data + at, '\n', side->end - at);
                at = newline && side->n_lines < n ? (size_t)(newline - side->text.data) + 1 : side->end;
        }
        side->starts[side->n_lines] = (uint32_t)side->end;
        return 0;
}

/* --- lines as numbers --- */

static uint64_t hash_line(struct view line) {
        uint64_t hash = 0x9e3779b97f4a7c15u ^ line.size;
        size_t i = 0;
        for (; i + 8 <= line.size; i += 8) {
                uint64_t word;
                memcpy(&word, line.data + i, 8);
                hash = (hash ^ word) * 0xff51afd7ed558ccdu;
                hash ^= hash >> 29;
        }
        for (; i < line.size; i++)
                hash = (hash ^ line.data[i]) * 0xff51afd7ed558ccdu;
        return hash ^ hash >> 32;
}

struct slot {
        struct view line;
        uint64_t hash;
        uint32_t id; /* 0: free */
};

struct interner {
        struct slot *slots; /* owned */
        size_t mask;
        uint32_t n_ids;
};

/* Bytes are compared: an attacker who prepares two lines of one hash must not have one missing here. */
static uint32_t intern(struct interner *interner, struct view line) {
        uint64_t hash = hash_line(line);
        for (size_t i = hash & interner->mask;; i = (i + 1) & interner->mask) {
                struct slot *slot = &interner->slots[i];
                if (!slot->id) {
                        *slot = (struct slot){line, hash, ++interner->n_ids};
                        return slot->id;
                }
                if (slot->hash == hash && slot->line.size == line.size &&
                    !memcmp(slot->line.data, line.data, line.size))
                        return slot->id;
        }
}

static int number_lines(struct side *a, struct side *b) {
        size_t size = 16;
        while (size < 2 * (a->n_lines + b->n_lines))
                size *= 2;
        struct interner interner = {.slots = calloc(size, sizeof(struct slot)), .mask = size - 1};
        if (!interner.slots)
                return -ENOMEM;
        for (size_t i = 0; i < a->n_lines; i++)
                a->ids[i] = intern(&interner, side_line(a, i));
        for (size_t i = 0; i < b->n_lines; i++)
                b->ids[i] = intern(&interner, side_line(b, i));
        free(interner.slots);
        return 0;
}

/* --- writing --- */

struct writer {
        struct buffer *out;
        size_t limit;
        bool cut;     /* nothing more is written */
        bool skipped; /* something was left out on the way */
};

static bool is_word(unsigned char c) {
        return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '@' || c == '.' || c == '-' || c == '_';
}

/* Moves a cut to the end of the word it falls into, so that no part of a number or an address is shown. */
static size_t snap(struct view line, size_t at) {
        for (size_t i = 0; i < SNAP_MAX && at > 0 && at < line.size && is_word(line.data[at]); i++)
                at++;
        return at;
}

/* Valid UTF-8; what is not becomes \xNN. */
static int append_utf8(struct buffer *out, const char *data, size_t size) {
        int r = 0;
        while (r >= 0 && size) {
                size_t n = text_utf8_next(data, size, NULL);
                r = n ? buffer_append(out, data, n) : buffer_format(out, "\\x%02x", (unsigned char)*data);
                n = n ?: 1;
                data += n;
                size -= n;
        }
        return r;
}

/* A whole line or nothing: what does not fit ends the diff. */
static int write_piece(struct writer *writer, const struct buffer *piece) {
        if (writer->cut || writer->out->size + piece->size > writer->limit) {
                writer->cut = true;
                return 0;
        }
        return buffer_append(writer->out, piece->data, piece->size);
}

/* `focus`: where the line differs from its counterpart; a long line is shown around it. */
static int write_line(struct writer *writer, char sign, struct view line, size_t focus) {
        _cleanup_(buffer_deinit) struct buffer masked = {0}, piece = {0};
        if (writer->cut)
                return 0;
        bool ended = line.size && line.data[line.size - 1] == '\n';
        line.size -= ended;
        size_t from = line.size > LINE_SHOWN && focus > LINE_BEFORE ? snap(line, focus - LINE_BEFORE) : 0;
        size_t to = line.size - from > LINE_SHOWN ? snap(line, from + LINE_SHOWN) : line.size;
        int r = mask_append(&masked, (struct view){line.data + from, to - from});
        if (r >= 0)
                r = buffer_append(&piece, &sign, 1);
        if (r >= 0 && from)
                r = buffer_format(&piece, "[… %zu bytes] ", from);
        if (r >= 0)
                r = append_utf8(&piece, masked.data ?: "", masked.size);
        if (r >= 0 && to < line.size)
                r = buffer_format(&piece, " [… %zu bytes]", line.size - to);
        if (r >= 0)
                r = buffer_append_string(&piece, ended ? "\n" : "\n\\ No newline at end of file\n");
        return r < 0 ? r : write_piece(writer, &piece);
}

struct hunk {
        size_t a, a_end, b, b_end; /* lines of the parts */
};

static int write_hunk_head(struct writer *writer, const struct side *a, const struct side *b,
                           const struct hunk *hunk) {
        _cleanup_(buffer_deinit) struct buffer piece = {0};
        size_t n = hunk->a_end - hunk->a, m = hunk->b_end - hunk->b;
        size_t a_line = a->first_line + hunk->a + (n > 0), b_line = b->first_line + hunk->b + (m > 0);
        int r = buffer_format(&piece, "@@ -%zu,%zu +%zu,%zu @@\n", a_line, n, b_line, m);
        return r < 0 ? r : write_piece(writer, &piece);
}

static int write_skipped(struct writer *writer, size_t n_lines) {
        _cleanup_(buffer_deinit) struct buffer piece = {0};
        int r = buffer_format(&piece, "-[… %zu lines]\n", n_lines);
        writer->skipped = true;
        return r < 0 ? r : write_piece(writer, &piece);
}

/* Lines from (i, j) that were removed and added in one place; paired to find where long ones differ. */
static int write_change(struct writer *writer, const struct side *a, const struct side *b, size_t *i,
                        size_t *j) {
        size_t i0 = *i, j0 = *j;
        int r = 0;
        while (*i < a->n_lines && a->changed[*i])
                ++*i;
        while (*j < b->n_lines && b->changed[*j])
                ++*j;
        size_t pairs = *i - i0 < *j - j0 ? *i - i0 : *j - j0;
        for (size_t k = i0; r >= 0 && k < *i && !writer->cut; k++) {
                size_t focus = k - i0 < pairs ? common_prefix(side_line(a, k), side_line(b, j0 + k - i0)) : 0;
                /* what was removed must not leave no room for what was added */
                if (writer->out->size > writer->limit / 2 && j0 < *j && k > i0) {
                        r = write_skipped(writer, *i - k);
                        break;
                }
                r = write_line(writer, '-', side_line(a, k), focus);
        }
        for (size_t k = j0; r >= 0 && k < *j && !writer->cut; k++) {
                size_t focus = k - j0 < pairs ? common_prefix(side_line(b, k), side_line(a, i0 + k - j0)) : 0;
                r = write_line(writer, '+', side_line(b, k), focus);
        }
        return r;
}

static int write_hunk(struct writer *writer, const struct side *a, const struct side *b,
                      const struct hunk *hunk) {
        size_t i = hunk->a, j = hunk->b;
        int r = write_hunk_head(writer, a, b, hunk);
        while (r >= 0 && !writer->cut && (i < hunk->a_end || j < hunk->b_end)) {
                if ((i < hunk->a_end && a->changed[i]) || (j < hunk->b_end && b->changed[j])) {
                        r = write_change(writer, a, b, &i, &j);
                } else {
                        r = write_line(writer, ' ', side_line(a, i), 0);
                        i++;
                        j++;
                }
        }
        return r;
}

static bool changes_at(const struct side *a, const struct side *b, size_t i, size_t j) {
        return (i < a->n_lines && a->changed[i]) || (j < b->n_lines && b->changed[j]);
}

/* From the first change at or after (i, j): the hunk with its context, up to 2 × CONTEXT common lines within.
 */
static bool next_hunk(const struct side *a, const struct side *b, size_t i, size_t j, struct hunk *ret_hunk) {
        size_t skipped = 0;
        while (!changes_at(a, b, i, j)) {
                if (i >= a->n_lines || j >= b->n_lines)
                        return false;
                i++, j++, skipped++;
        }
        size_t context = skipped < CONTEXT ? skipped : CONTEXT, common = 0;
        struct hunk hunk = {.a = i - context, .b = j - context, .a_end = i, .b_end = j};
        while (common <= 2 * CONTEXT) {
                if (changes_at(a, b, i, j)) {
                        while (i < a->n_lines && a->changed[i])
                                i++;
                        while (j < b->n_lines && b->changed[j])
                                j++;
                        hunk.a_end = i;
                        hunk.b_end = j;
                        common = 0;
                } else if (i < a->n_lines && j < b->n_lines) {
                        i++, j++, common++;
                } else {
                        break;
                }
        }
        size_t rest = a->n_lines - hunk.a_end < CONTEXT ? a->n_lines - hunk.a_end : CONTEXT;
        hunk.a_end += rest;
        hunk.b_end += rest;
        *ret_hunk = hunk;
        return true;
}

static int write_head(struct writer *writer, const char *name, bool has_before) {
        _cleanup_(buffer_deinit) struct buffer escaped = {0}, piece = {0};
        int r = text_escape(&escaped, name, strlen(name));
        if (r >= 0)
                r = has_before ? buffer_format(&piece, "--- a/%s\n+++ b/%s\n", escaped.data, escaped.data)
                               : buffer_format(&piece, "--- /dev/null\n+++ b/%s\n", escaped.data);
        return r < 0 ? r : write_piece(writer, &piece);
}

static int write_hunks(struct writer *writer, const struct side *a, const struct side *b) {
        struct hunk hunk = {0};
        int r = 0;
        while (r >= 0 && !writer->cut && next_hunk(a, b, hunk.a_end, hunk.b_end, &hunk))
                r = write_hunk(writer, a, b, &hunk);
        return r;
}

static bool is_unfit(struct view text) {
        static const char key[] = "PRIVATE KEY-----";
        return (text.size && memchr(text.data, 0, text.size)) ||
               view_find(text, 0, key, sizeof(key) - 1) != SIZE_MAX;
}

int diff_unified(const char *name, bool has_before, struct view before, struct view after, size_t limit,
                 struct buffer *out) {
        _cleanup_(side_deinit) struct side a = {.text = before}, b = {.text = after};
        struct writer writer = {.out = out, .limit = out->size + limit};
        if (is_unfit(before) || is_unfit(after))
                return 0;
        if (before.size == after.size && !memcmp(before.data, after.data, after.size))
                return 0;
        find_parts(&a, &b);
        if (cut_lines(&a) < 0 || cut_lines(&b) < 0 || number_lines(&a, &b) < 0)
                return -ENOMEM;
        int r = myers_compare(a.ids, a.n_lines, b.ids, b.n_lines, DIFF_COST_MAX, a.changed, b.changed);
        if (r >= 0)
                r = write_head(&writer, name, has_before);
        if (r >= 0)
                r = write_hunks(&writer, &a, &b);
        return r < 0 ? -ENOMEM : writer.cut || writer.skipped;
}
