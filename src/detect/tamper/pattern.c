#include "detect/tamper/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/i18n.h"

static const char *find_problem(const char *text, size_t size) {
        if (size == 0)
                return N_("the path is empty");
        if (size > PATTERN_BYTES_MAX)
                return N_("the path is too long");
        if (memchr(text, 0, size))
                return N_("the path contains a zero byte");
        if (text[0] == '/')
                return N_("the path must be relative to the tree, without a slash at its start");
        if (text[size - 1] == '/')
                return N_("the path must not end in a slash; write 'directory/**' for what is below");
        return NULL;
}

static const char *classify(const char *text, struct pattern_component *component) {
        const char *start = text + component->offset;
        size_t size = component->size;
        if (size == 0)
                return N_("the path has an empty component");
        if ((size == 1 && start[0] == '.') || (size == 2 && !memcmp(start, "..", 2)))
                return N_("the path must not contain '.' or '..'");
        if (size == 2 && !memcmp(start, "**", 2))
                component->kind = COMPONENT_ANY_DEPTH;
        else if (memmem(start, size, "**", 2))
                return N_("'**' must stand alone between slashes");
        else if (memchr(start, '*', size) || memchr(start, '?', size))
                component->kind = COMPONENT_WILD;
        else
                component->kind = COMPONENT_LITERAL;
        return NULL;
}

static const char *split(struct pattern *pattern, size_t size) {
        size_t start = 0;
        for (size_t i = 0; i <= size; i++) {
                if (i < size && pattern->text[i] != '/')
                        continue;
                if (pattern->n_components == PATTERN_COMPONENTS_MAX)
                        return N_("the path has too many components");
                struct pattern_component *component = &pattern->components[pattern->n_components++];
                component->offset = (uint16_t)start;
                component->size = (uint16_t)(i - start);
                const char *problem = classify(pattern->text, component);
                if (problem)
                        return problem;
                start = i + 1;
        }
        return NULL;
}

/* "a/" before "**" must not be required of the path: the directory itself matches too. */
static void measure_literals(struct pattern *pattern, size_t size) {
        size_t head = strcspn(pattern->text, "*?");
        pattern->head = (uint16_t)(head && head < size && pattern->text[head - 1] == '/' ? head - 1 : head);
        size_t tail = 0;
        while (tail < size && !strchr("*?", pattern->text[size - 1 - tail]))
                tail++;
        /* in "**" "/name" the slash is not required either */
        while (tail && pattern->text[size - tail] == '/')
                tail--;
        pattern->tail = (uint16_t)tail;
}

int pattern_compile(const char *text, size_t size, struct pattern *ret_pattern, const char **ret_problem) {
        const char *problem = find_problem(text, size);
        struct pattern pattern = {0};
        if (!problem) {
                pattern.text = strndup(text, size);
                pattern.components = calloc(PATTERN_COMPONENTS_MAX, sizeof(*pattern.components));
                if (!pattern.text || !pattern.components) {
                        pattern_deinit(&pattern);
                        return -ENOMEM;
                }
                problem = split(&pattern, size);
        }
        if (problem) {
                pattern_deinit(&pattern);
                *ret_problem = problem;
                return -EINVAL;
        }
        measure_literals(&pattern, size);
        void *fitted = realloc(pattern.components, pattern.n_components * sizeof(*pattern.components));
        if (fitted)
                pattern.components = fitted;
        *ret_pattern = pattern;
        return 0;
}

void pattern_deinit(struct pattern *pattern) {
        free(STEAL(pattern->text));
        free(STEAL(pattern->components));
}

/* One '*' to return to is enough: a later '*' can absorb whatever an earlier one could. */
static bool match_wild(const char *p, size_t p_size, const char *s, size_t s_size) {
        size_t pi = 0, si = 0, star = SIZE_MAX, resume = 0;
        while (si < s_size) {
                if (pi < p_size && p[pi] == '*') {
                        star = pi++;
                        resume = si;
                } else if (pi < p_size && (p[pi] == '?' || p[pi] == s[si])) {
                        pi++;
                        si++;
                } else if (star != SIZE_MAX) {
                        pi = star + 1;
                        si = ++resume;
                } else {
                        return false;
                }
        }
        while (pi < p_size && p[pi] == '*')
                pi++;
        return pi == p_size;
}

static bool match_component(const struct pattern *pattern, size_t i, const char *s, size_t size) {
        const struct pattern_component *component = &pattern->components[i];
        const char *text = pattern->text + component->offset;
        if (component->kind == COMPONENT_LITERAL)
                return component->size == size && !memcmp(text, s, size);
        return match_wild(text, component->size, s, size);
}

static size_t component_size(const char *s, const char *end) {
        const char *slash = memchr(s, '/', (size_t)(end - s));
        return (size_t)((slash ?: end) - s);
}

static const char *next_component(const char *s, const char *end) {
        s += component_size(s, end);
        return s < end ? s + 1 : end;
}

static bool match_components(const struct pattern *pattern, const char *s, const char *end) {
        size_t n = pattern->n_components, i = 0, star = SIZE_MAX;
        const char *resume = NULL;
        while (s < end) {
                if (i < n && pattern->components[i].kind == COMPONENT_ANY_DEPTH) {
                        if (i + 1 == n)
                                return true;
                        star = i++;
                        resume = s;
                } else if (i < n && match_component(pattern, i, s, component_size(s, end))) {
                        i++;
                        s = next_component(s, end);
                } else if (star != SIZE_MAX) {
                        i = star + 1;
                        s = resume = next_component(resume, end);
                } else {
                        return false;
                }
        }
        while (i < n && pattern->components[i].kind == COMPONENT_ANY_DEPTH)
                i++;
        return i == n;
}

bool pattern_match(const struct pattern *pattern, const char *path, size_t path_size) {
        if (path_size < pattern->head || memcmp(path, pattern->text, pattern->head))
                return false;
        if (path_size < pattern->tail)
                return false;
        size_t text_size = pattern->components[pattern->n_components - 1].offset +
                           pattern->components[pattern->n_components - 1].size;
        if (memcmp(path + path_size - pattern->tail, pattern->text + text_size - pattern->tail,
                   pattern->tail))
                return false;
        return match_components(pattern, path, path + path_size);
}
