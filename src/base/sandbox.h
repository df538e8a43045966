/*
 * What a process gives up for good: seccomp(2). Both return 0 or a negative errno.
 */
#pragma once

/*
 * A process that has nothing to lose, by allow-list: what is not listed fails with EPERM where a library may try
 * it harmlessly, and ends the process otherwise. From here on the process can read and write descriptors it has, receive and send on sockets it has, map
 * memory, and exit. It cannot open, connect, start a program, or change any right.
 */
int sandbox_enter_pure(void);

/*
 * A process that works on files and on the sockets it has. From here on it cannot start a program, make or connect
 * a socket, reach into another process, mount, enter a namespace, load code or talk to the kernel's programmable
 * parts: all fail with EPERM.
 */
int sandbox_enter_service(void);
