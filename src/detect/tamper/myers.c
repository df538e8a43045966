#include "detect/tamper/myers.h"

#include <string.h>

#include "base/cleanup.h"

struct comparison {
        const uint32_t *a, *b;
        bool *a_changed, *b_changed;
        int32_t *forward, *backward; /* furthest x on each diagonal, indexed from the middle */
        int most_cost;
};

struct box {
        int32_t a0, a1, b0, b1;
};

struct point {
        int32_t x, y;
};

static void trim(const struct comparison *c, struct box *box) {
        while (box->a0 < box->a1 && box->b0 < box->b1 && c->a[box->a0] == c->b[box->b0]) {
                box->a0++;
                box->b0++;
        }
        while (box->a0 < box->a1 && box->b0 < box->b1 && c->a[box->a1 - 1] == c->b[box->b1 - 1]) {
                box->a1--;
                box->b1--;
        }
}

static void mark_whole(const struct comparison *c, const struct box *box) {
        for (int32_t i = box->a0; i < box->a1; i++)
                c->a_changed[i] = true;
        for (int32_t i = box->b0; i < box->b1; i++)
                c->b_changed[i] = true;
}

/*
 * One direction of the search: how far it came on each diagonal (x - y), and which diagonals it has
 * reached. A diagonal next to those, or outside the box, counts as not reached.
 */
struct front {
        int32_t *furthest;
        int32_t least, most;
        int32_t unreached;
};

static void widen(struct front *front, const struct box *box) {
        int32_t first = box->a0 - box->b1, last = box->a1 - box->b0;
        if (front->least > first)
                front->furthest[--front->least - 1] = front->unreached;
        else
                front->least++;
        if (front->most < last)
                front->furthest[++front->most + 1] = front->unreached;
        else
                front->most--;
}

static bool reaches(const struct front *front, int32_t k) {
        return k >= front->least && k <= front->most;
}

static bool step_forward(const struct comparison *c, const struct box *box, struct front *front,
                         const struct front *other, struct point *ret_middle) {
        bool odd = ((box->a0 - box->b0) - (box->a1 - box->b1)) & 1;
        widen(front, box);
        for (int32_t k = front->most; k >= front->least; k -= 2) {
                int32_t below = front->furthest[k - 1], above = front->furthest[k + 1];
                int32_t x = below < above ? above : below + 1;
                while (x < box->a1 && x - k < box->b1 && c->a[x] == c->b[x - k])
                        x++;
                front->furthest[k] = x;
                if (odd && reaches(other, k) && other->furthest[k] <= x) {
                        *ret_middle = (struct point){x, x - k};
                        return true;
                }
        }
        return false;
}

static bool step_backward(const struct comparison *c, const struct box *box, struct front *front,
                          const struct front *other, struct point *ret_middle) {
        bool odd = ((box->a0 - box->b0) - (box->a1 - box->b1)) & 1;
        widen(front, box);
        for (int32_t k = front->most; k >= front->least; k -= 2) {
                int32_t below = front->furthest[k - 1], above = front->furthest[k + 1];
                int32_t x = below < above ? below : above - 1;
                while (x > box->a0 && x - k > box->b0 && c->a[x - 1] == c->b[x - k - 1])
                        x--;
                front->furthest[k] = x;
                if (!odd && reaches(other, k) && x <= other->furthest[k]) {
                        *ret_middle = (struct point){x, x - k};
                        return true;
                }
        }
        return false;
}

/* Where the two searches meet: a point of a shortest path. False when it costs too much. */
static bool find_middle(const struct comparison *c, const struct box *box, struct point *ret_middle) {
        int32_t start = box->a0 - box->b0, end = box->a1 - box->b1;
        struct front forward = {c->forward, start, start, INT32_MIN / 2};
        struct front backward = {c->backward, end, end, INT32_MAX / 2};
        c->forward[start] = box->a0;
        c->backward[end] = box->a1;
        for (int cost = 1; cost <= c->most_cost; cost++)
                if (step_forward(c, box, &forward, &backward, ret_middle) ||
                    step_backward(c, box, &backward, &forward, ret_middle))
                        return true;
        return false;
}

static void compare_box(const struct comparison *c, struct box box, int depth) {
        struct point middle;
        trim(c, &box);
        if (box.a0 == box.a1 || box.b0 == box.b1) {
                mark_whole(c, &box);
                return;
        }
        if (depth == 0 || !find_middle(c, &box, &middle) || (middle.x == box.a0 && middle.y == box.b0) ||
            (middle.x == box.a1 && middle.y == box.b1)) {
                mark_whole(c, &box);
                return;
        }
        compare_box(c, (struct box){box.a0, middle.x, box.b0, middle.y}, depth - 1);
        compare_box(c, (struct box){middle.x, box.a1, middle.y, box.b1}, depth - 1);
}

int myers_compare(const uint32_t *a, size_t n, const uint32_t *b, size_t m, int most_cost, bool *a_changed,
                  bool *b_changed) {
        if (n > INT32_MAX / 8 || m > INT32_MAX / 8)
                return -ENOMEM;
        /* diagonals from -m to n, and one past either end */
        size_t size = n + m + 8, middle = m + 4;
        _cleanup_(freep) int32_t *forward = malloc(size * sizeof(*forward));
        _cleanup_(freep) int32_t *backward = malloc(size * sizeof(*backward));
        if (!forward || !backward)
                return -ENOMEM;
        struct comparison c = {.a = a,
                               .b = b,
                               .a_changed = a_changed,
                               .b_changed = b_changed,
                               .forward = forward + middle,
                               .backward = backward + middle,
                               .most_cost = most_cost};
        compare_box(&c, (struct box){0, (int32_t)n, 0, (int32_t)m}, 64);
        return 0;
}
