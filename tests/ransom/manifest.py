"""What stands in a tree, exactly: taken before an attack and compared after the restore.

A file is its type, mode, owner, size, time of modification, extended attributes (an ACL is one) and content. The
content is hashed without its zeros, 64 KiB at a time and holes skipped, so that 5 GB of which little is written
cost little, and a hole that came back as zeros is the same. A directory's time is not compared: putting a file
back changes it. Nor are inode numbers and the time of status change, which nothing can put back.
"""
import errno
import hashlib
import os
import stat

CHUNK = 64 << 10
ZEROS = bytes(CHUNK)


def data_chunks(fd, size):
    """(offset, bytes) of each chunk that is not all zeros."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA) // CHUNK * CHUNK
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        chunk = os.pread(fd, CHUNK, at)
        if chunk != ZEROS[: len(chunk)]:
            yield at, chunk
        at += CHUNK


def digest(path, size):
    result = hashlib.sha256(size.to_bytes(8, "big"))
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        for at, chunk in data_chunks(fd, size):
            result.update(at.to_bytes(8, "big"))
            result.update(chunk)
    finally:
        os.close(fd)
    return result.hexdigest()


def record(path):
    """What is compared of one name, as a dictionary."""
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    what = {"type": oct(kind), "owner": (status.st_uid, status.st_gid)}
    if kind == stat.S_IFLNK:
        what["target"] = os.readlink(path)
        return what
    what["mode"] = oct(stat.S_IMODE(status.st_mode))
    what["xattrs"] = {name: os.getxattr(path, name).hex() for name in sorted(os.listxattr(path))}
    if kind == stat.S_IFREG:
        what.update(size=status.st_size, mtime_ns=status.st_mtime_ns, content=digest(path, status.st_size))
    return what


def take(tree):
    """{name below the tree: record}, of everything but the tree itself."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(tree)):
        for name in folders + files:
            path = os.path.join(folder, name)
            try:
                found[os.path.relpath(path, os.fsencode(tree))] = record(path)
            except FileNotFoundError:
                continue
    return found


class Difference:
    """`lost`: {name: what is different} of what was there before; `dated`: of which only the time of modification
    is; `added`: names that were not there."""

    def __init__(self, before, after):
        self.added = sorted(after.keys() - before.keys())
        self.lost, self.dated = {}, {}
        for name, was in before.items():
            now = after.get(name)
            differ = ["gone"] if now is None else [key for key in was if now.get(key) != was[key]]
            if differ == ["mtime_ns"]:
                self.dated[name] = "mtime_ns"
            elif differ:
                self.lost[name] = ", ".join(key if now is None else f"{key}: {was[key]} -> {now.get(key)}" for key in differ)

    def __bool__(self):
        return bool(self.lost or self.dated or self.added)

    def __str__(self):
        rows = [f"{name!r}: {what}" for name, what in sorted({**self.lost, **self.dated}.items())]
        rows += [f"{name!r}: was not there before" for name in self.added]
        return f"{len(self.lost)} not as before, {len(self.dated)} of another time, {len(self.added)} added\n" + "\n".join(rows[:40])


def compare(before, tree):
    return Difference(before, take(tree))
