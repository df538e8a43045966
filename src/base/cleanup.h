/*
 * Cleanup by attribute, and hand-over of what is cleaned.
 *
 *   _cleanup_(fd_closep) int fd = -EBADF;
 *   _cleanup_(freep) char *name = NULL;
 *
 * A cleanup function takes a pointer to the variable. STEAL() and fd_steal()
 * hand the resource over: the variable no longer owns it.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((__cleanup__(f)))
#define _unused_       __attribute__((__unused__))
#define _printf_(a, b) __attribute__((__format__(printf, a, b)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Takes the value out of a pointer variable, which then holds NULL. */
#define STEAL(p)                                                                                             \
        ({                                                                                                   \
                __typeof__(p) _stolen = (p);                                                                 \
                (p) = NULL;                                                                                  \
                _stolen;                                                                                     \
        })

/* For a type with `x *x_free(x *)`: defines `x_freep(x **)`. */
#define DEFINE_CLEANUP(type, function)                                                                       \
        static inline void function##p(type *p) {                                                            \
                if (*p)                                                                                      \
                        function(*p);                                                                        \
        }                                                                                                    \
        struct _cleanup_semicolon_

static inline void freep(void *p) {
        free(*(void **)p);
}

static inline void fd_closep(int *fd) {
        if (*fd >= 0) {
                int saved = errno;
                close(*fd);
                errno = saved;
        }
}

/* Takes a descriptor out of its variable, which then holds -EBADF. */
static inline int fd_steal(int *fd) {
        int stolen = *fd;
        *fd = -EBADF;
        return stolen;
}
