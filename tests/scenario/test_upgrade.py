"""An upgrade: a service manager keeps the guard's descriptors while no hinomi runs, as sd_notify(3) describes."""
import os
import signal
import socket
import subprocess
import threading

import pytest
from guard import HINOMI, Guard, is_running, lineage, poll, stands

FIRST = 3  # SD_LISTEN_FDS_START


class Manager:
    """The receiving end of NOTIFY_SOCKET, with a descriptor store (FileDescriptorStoreMax=)."""

    def __init__(self, folder):
        self.path, self.store, self.messages = folder / "notify.sock", [], []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.thread = threading.Thread(target=self.receive)
        self.thread.start()

    def receive(self):
        while True:
            text, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 16)
            if text == b"end":
                return
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            if fields.get("FDSTORE") == "1":
                self.store += [(fields["FDNAME"], descriptor) for descriptor in descriptors]
            elif fields.get("FDSTOREREMOVE") == "1":
                for name, descriptor in self.store:
                    if name == fields["FDNAME"]:
                        os.close(descriptor)
                self.store = [row for row in self.store if row[0] != fields["FDNAME"]]
            self.messages.append(fields)

    def names(self):
        return [name for name, _ in self.store]

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"end", str(self.path))
        self.thread.join()
        self.socket.close()
        for _, descriptor in self.store:
            os.close(descriptor)


class Service(Guard):
    """A guard that is started as a unit is: with what is in the store."""

    manager = None

    def launch(self):
        self.n_starts += 1
        self.stdout = self.folder / f"stdout.{self.n_starts}"
        kept = list(self.manager.store)

        def place():
            high = [os.dup2(fd, 200 + i) for i, (_, fd) in enumerate(kept)]
            for i, fd in enumerate(high):
                os.dup2(fd, FIRST + i, inheritable=True)
                os.close(fd)

        environment = {**os.environ, "NOTIFY_SOCKET": str(self.manager.path)}
        script = f'export LISTEN_PID=$$ LISTEN_FDS={len(kept)} LISTEN_FDNAMES={":".join(name for name, _ in kept)}; exec "$@"'
        with open(self.stdout, "wb") as out, open(self.folder / f"stderr.{self.n_starts}", "wb") as err:
            command = ["/bin/sh", "-c", script, "sh", str(HINOMI), "watch", *self.arguments()]
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
                close_fds=False,
                preexec_fn=place,
            )


@pytest.fixture
def make_service(scratch):
    manager, services = Manager(scratch), []

    def make(trees, **keywords):
        service = Service(trees, **keywords)
        service.manager = manager
        services.append(service)
        return service.start()

    yield make
    for service in services:
        service.close()
    manager.close()


KEPT = ["connector", "fanotify", "pending", "processes", "unfinished"]


def test_nothing_that_happens_in_an_upgrade_is_lost(make_service, tree):
    """Changed, and put back, while no hinomi runs, by a process that is gone when one does."""
    guard = make_service([{"path": tree}])
    changed, reverted, new = tree / "index.php", tree / "lib/order.php", tree / "lib/new.php"
    script = 'save=$(cat "$1"); read go; echo "<?php // x" >"$0"; echo >"$2"; (echo evil >"$1"); printf "%s\\n" "$save" >"$1"'
    writer = subprocess.Popen(["sh", "-c", script, changed, reverted, new], stdin=subprocess.PIPE)
    guard.settle()
    assert guard.stop(signal.SIGTERM) == 0
    assert sorted(guard.manager.names()) == KEPT
    writer.communicate(b"go\n")
    guard.start()
    for path, kind in ((changed, "modified"), (new, "created"), (reverted, "reverted")):
        _, evidence = guard.seen(path, kind)
        assert writer.pid in [process["pid"] for process in lineage(evidence)[:2]]
        assert str(changed) in lineage(evidence)[0]["cmd_line"]
        assert lineage(evidence)[0]["file"]["path"] == os.path.realpath("/bin/sh")
        assert os.getpid() in [process["pid"] for process in lineage(evidence)]
    guard.assert_quiet(tree / "template")


def test_upgrade_after_upgrade_stores_nothing_twice(make_service, tree):
    guard = make_service([{"path": tree}])
    for i in range(3):
        assert guard.stop(signal.SIGTERM) == 0
        (tree / f"lib/new-{i}.php").write_text("<?php\n")
        guard.start()
        guard.seen(tree / f"lib/new-{i}.php", "created")
    assert sorted(guard.manager.names()) == KEPT


def test_what_does_not_fit_leaves_the_store(make_service, tree, scratch):
    """Twice the same, an unknown name, and descriptors that are something else."""
    guard = make_service([{"path": tree}])
    assert guard.stop(signal.SIGTERM) == 0
    store = guard.manager.store
    other = scratch / "other"
    other.write_bytes(os.urandom(200_000))
    for name in ("pending", "processes", "unfinished"):
        os.close(dict(store)[name])
        store[:] = [row for row in store if row[0] != name] + [(name, os.open(other, os.O_RDWR))]
    store += [("gate", os.open(other, os.O_RDWR)), ("fanotify", os.dup(dict(store)["fanotify"]))]
    before = other.read_bytes()
    guard.start()
    (tree / "lib/new.php").write_text("<?php\n")
    guard.seen(tree / "lib/new.php", "created")
    assert sorted(guard.manager.names()) == KEPT
    assert other.read_bytes() == before


def test_tree_that_is_guarded_no_more_keeps_no_mark(make_service, tree, scratch):
    """The group comes back with marks of trees that the configuration no longer names."""
    former = scratch / "former"
    (former / "deep").mkdir(parents=True)
    guard = make_service([{"path": tree}, {"path": former}])
    inode = f"ino:{os.stat(former / 'deep').st_ino:x} "

    def marks():
        descriptor = dict(guard.manager.store)["fanotify"]
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
            return info.read()

    assert inode in marks()
    assert guard.stop(signal.SIGTERM) == 0
    (guard.folder / "later").mkdir()
    text = guard.config.read_text()
    guard.config.write_text(text.replace(str(former), str(guard.folder / "later")))
    guard.start()
    assert inode not in marks()
    (former / "deep/new.php").write_text("<?php\n")
    (tree / "lib/new.php").write_text("<?php\n")
    guard.seen(tree / "lib/new.php", "created")
    assert guard.evidence(former / "deep/new.php") is None


def test_nobody_waits_for_a_guard_that_is_away(make_service, tree):
    """`refuse` holds opens up until they are answered. In an upgrade nobody answers: they go through, and are undone."""
    guard = make_service([{"path": tree, "respond": "refuse", "profile": "generic-php"}])
    path = tree / "lib/order.php"
    before = path.read_bytes()
    write = ["setsid", "timeout", "20", "sh", "-c", 'echo "<?php // x" >"$0"', str(path)]
    assert subprocess.run(write, capture_output=True, check=False).returncode != 0
    assert guard.stop(signal.SIGTERM) == 0
    assert sorted(guard.manager.names()) == KEPT
    assert subprocess.run(write, check=False).returncode == 0
    assert path.read_bytes() == b"<?php // x\n"
    guard.start()
    stands(path, before)
    guard.seen(path, "modified")
    poll(lambda: subprocess.run(write, capture_output=True, check=False).returncode != 0, "the gate again")


def test_nobody_waits_for_a_guard_on_its_way_out(make_service, tree):
    """The sentry is gone, and another role lets the parent wait: nobody answers any more."""
    guard = make_service([{"path": tree, "respond": "refuse", "profile": "generic-php"}])
    sentry, slow = guard.role_pid("sentry"), guard.role_pid("assayer")
    os.kill(slow, signal.SIGSTOP)
    try:
        guard.process.send_signal(signal.SIGTERM)
        poll(lambda: not is_running(sentry), "the sentry to end", 30, guard.output)
        read = ["setsid", "timeout", "5", "cat", str(tree / "lib/order.php")]
        assert subprocess.run(read, capture_output=True, check=False).returncode == 0
    finally:
        os.kill(slow, signal.SIGCONT)
    assert guard.process.wait(30) == 0
