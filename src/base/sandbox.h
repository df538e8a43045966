/*
 * A process that has nothing to lose: seccomp(2) by allow-list. What is not listed fails with
 * EPERM where a library may try it harmlessly, and ends the process otherwise.
 */
#pragma once

/*
 * From here on the process can read and write descriptors it has, receive and send on sockets it has, map
 * memory, and exit. It cannot open, connect, start a program, or change any right. Irrevocable.
 * Returns 0 or a negative errno.
 */
int sandbox_enter_pure(void);
