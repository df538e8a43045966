"""What breaks is mended, said and recorded; nothing is lost, nothing crashes."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest
from guard import HINOMI, escaped, is_running, lineage, poll, stands

ROLES = ("sentry", "assayer", "engine", "ledger")


def burst(directory, n=400):
    directory.mkdir(exist_ok=True)
    for i in range(n):
        (directory / f"f{i}.php").write_text(f"<?php // {i}\n")


def all_seen(guard, directory, n):
    wanted = {escaped(directory / f"f{i}.php") for i in range(n)}

    def question():
        return wanted <= {e["file"]["path"] for finding in guard.findings() for e in finding["evidences"]}

    poll(question, f"all {n} files of {directory}", 60, guard.describe)


@pytest.mark.parametrize("role", ROLES)
def test_role_killed_in_a_burst_is_back_and_nothing_is_lost(guard, tree, role):
    n, old = 400, guard.role_pid(role)
    assert old, guard.output()
    directory = tree / "burst"
    directory.mkdir()
    for i in range(n):
        (directory / f"f{i}.php").write_text(f"<?php // {i}\n")
        if i == n // 2:
            os.kill(old, signal.SIGKILL)
    poll(lambda: guard.role_pid(role) not in (None, old), f"a new {role}", 30, guard.output)
    poll(lambda: guard.run("status").returncode == 0, "status to say yes", 60, guard.doctor)
    all_seen(guard, directory, n)
    roles = {entry["name"]: entry for entry in guard.lines("status")[0]["roles"]}
    assert roles[role]["restarts"] == 1
    exported = guard.done("ledger", "export")
    assert any(f'"{role}"' in line and '"state"' in line for line in exported.splitlines()), "the end of a role is recorded"


def test_every_role_killed_at_once(guard, tree):
    pids = {role: guard.role_pid(role) for role in ROLES}
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    burst(tree / "burst", 100)
    poll(
        lambda: all(guard.role_pid(role) not in (None, pid) for role, pid in pids.items()),
        "every role again",
        30,
        guard.output,
    )
    all_seen(guard, tree / "burst", 100)


def test_role_killed_again_and_again(guard, tree):
    killed = {None}
    for round_ in range(5):
        for role in ROLES:
            # One killed in the last round may still be on its way out.
            pid = poll(lambda role=role: ({guard.role_pid(role)} - killed or {None}).pop(), f"{role} to run")
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        burst(tree / f"burst-{round_}", 40)
    for round_ in range(5):
        all_seen(guard, tree / f"burst-{round_}", 40)


@pytest.mark.parametrize("waits_for", ["sentry", "assayer", "ledger"])
def test_killed_sentry_still_names_who_it_was(guard, tree, waits_for):
    """What it had not read, not judged, or not seen in the ledger yet: by a process that is gone when it is back."""
    changed, reverted = tree / "index.php", tree / "lib/order.php"
    script = 'save=$(cat "$1"); read go; echo "<?php // x" >"$0"; (echo evil >"$1"); printf "%s\n" "$save" >"$1"'
    writer = subprocess.Popen(["sh", "-c", script, changed, reverted], stdin=subprocess.PIPE)
    guard.settle()
    held, old = guard.role_pid(waits_for), guard.role_pid("sentry")
    os.kill(held, signal.SIGSTOP)
    writer.communicate(b"go\n")
    time.sleep(1)  # nothing says how far the sentry has come; less would only make the test easier
    os.kill(old, signal.SIGKILL)
    if held != old:
        os.kill(held, signal.SIGCONT)
    # Two processes, so that the kernel does not join what they did; a sentry at work may look in between.
    for path, kinds in ((changed, "modified"), (reverted, ("reverted",) if held == old else ("reverted", "modified"))):
        _, evidence = guard.seen(path, kinds)
        assert writer.pid in [process["pid"] for process in lineage(evidence)[:2]]
        assert str(changed) in lineage(evidence)[0]["cmd_line"]
        assert os.getpid() in [process["pid"] for process in lineage(evidence)]


def test_restarts_are_counted_for_good(guard):
    """The parent's patience with a role that dies often looks at ten seconds; what status says does not."""
    for pause in (10.5, 0):
        old = guard.role_pid("assayer")
        os.kill(old, signal.SIGKILL)
        poll(lambda old=old: guard.role_pid("assayer") not in (None, old), "a new assayer")
        time.sleep(pause)
    roles = {entry["name"]: entry["restarts"] for entry in guard.lines("status")[0]["roles"]}
    assert roles == {"sentry": 0, "assayer": 2, "engine": 0, "ledger": 0}


def test_killed_assayer_while_restoring(make_guard, tree):
    guard = make_guard([{"path": tree, "respond": "restore"}])
    path = tree / "lib/order.php"
    before = path.read_bytes()
    os.kill(guard.role_pid("assayer"), signal.SIGKILL)
    path.write_text("<?php // tampered\n")
    stands(path, before)


def test_sentry_killed_in_the_middle_of_a_restore_leaves_nothing(make_guard, tree):
    """What it has in hand is evidence then, and nobody's change; what somebody else gives such a name is one."""
    path, source = tree / "lib/large.bin", tree.parent / "tampered.bin"
    path.write_bytes(os.urandom(1 << 20))
    before = path.read_bytes()
    source.write_bytes(os.urandom(150 << 20))
    guard = make_guard([{"path": tree, "respond": "restore"}])

    def left():
        return [name for name in os.listdir(tree / "lib") if name.startswith(".hinomi-restore-")]

    sentry = guard.role_pid("sentry")
    subprocess.run(["setsid", "timeout", "20", "mv", source, path], check=True)
    poll(lambda: bool(left()), "a restore at work", 60, guard.output)
    os.kill(sentry, signal.SIGKILL)
    stands(path, before)
    poll(lambda: not left(), "what was left to be taken away", 30, guard.output)
    guard.settle()
    assert ".hinomi-restore-" not in str(guard.findings())
    entries = guard.run("ledger", "export").stdout
    assert "left by a restore that was cut off" in entries
    theirs = tree / "lib/.hinomi-restore-0123456789abcdef"
    subprocess.run(["setsid", "timeout", "20", "sh", "-c", f"echo theirs >'{theirs}'"], check=True)
    guard.seen(theirs)


def test_parent_killed_takes_its_roles_along(guard):
    pids = list(guard.pids)
    guard.process.kill()
    guard.process.wait()
    poll(lambda: not any(is_running(pid) for pid in pids), "the roles to end", 30)
    guard.start()


def test_held_up_opens_go_on_when_the_sentry_of_a_refusing_tree_dies(make_guard, tree):
    guard = make_guard([{"path": tree, "respond": "refuse"}])
    old = guard.role_pid("sentry")
    reader = subprocess.Popen(["sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9; do cat '{tree}/lib/order.php' >/dev/null || exit 1; done"])
    os.kill(old, signal.SIGKILL)
    assert reader.wait(60) == 0
    poll(lambda: guard.role_pid("sentry") not in (None, old), "a new sentry", 30, guard.output)


def test_second_watch_on_the_same_state_refuses(guard):
    command = [str(HINOMI), "watch", "--config", str(guard.config), "--state", str(guard.state)]
    command += ["--socket", str(guard.folder / "other.sock")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode in (1, 3)
    assert str(guard.state) in result.stderr
    assert guard.run("status").returncode == 0


@pytest.fixture
def small_disk(scratch):
    """A file system of 90 MB for the state."""
    image, place = scratch / "image", scratch / "disk"
    with open(image, "wb") as file:
        file.truncate(90 << 20)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, check=False).returncode:
        pytest.skip("no loop devices here")
    yield place
    poll(lambda: subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0, "umount", 30)


def test_disk_full(small_disk, make_guard, tree):
    """While the disk is full doctor says so; what happened meanwhile is recorded as soon as there is room."""
    guard = make_guard([{"path": tree}], state=small_disk / "state", options={"vault": {"reserve": "0"}})
    filler = small_disk / "filler"
    with open(filler, "wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
    burst(tree / "burst", 50)
    poll(lambda: guard.run("doctor").returncode == 1, "doctor to say no", 60, guard.output)
    assert guard.process.poll() is None
    filler.unlink()
    all_seen(guard, tree / "burst", 50)
    poll(lambda: guard.run("status").returncode == 0, "status to say yes again", 90, guard.doctor)
    guard.stop()


def test_state_on_a_read_only_file_system(small_disk, make_guard, tree):
    guard = make_guard([{"path": tree}], state=small_disk / "state", start=False)
    guard.start()
    guard.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    guard.launch()
    assert guard.process.wait(60) == 3
    assert "Read-only" in guard.output() or "read-only" in guard.output()


CORRUPTIBLE = ("vault/catalog.sqlite", "vault/index.sqlite", "engine.sqlite", "ledger/checkpoint", "vault/releases.json")


@pytest.mark.parametrize("name", CORRUPTIBLE)
@pytest.mark.parametrize("damage", ["noise", "empty"])
def test_corrupt_state_file(guard, tree, name, damage):
    """Rebuilt where it can be, else a clear word and status 3: never a crash, never a guard that guards nothing."""
    (tree / "lib/new.php").write_text("<?php\n")
    guard.seen(tree / "lib/new.php")
    guard.stop()
    path = guard.state / name
    if not path.exists():
        pytest.skip(f"this guard keeps no {name}")
    path.chmod(0o600)
    path.write_bytes(os.urandom(path.stat().st_size or 100) if damage == "noise" else b"")
    guard.launch()

    def outcome():
        if guard.process.poll() is not None:
            return "ended"
        return "watching" if b"hinomi: watching\n" in guard.stdout.read_bytes() else None

    if poll(outcome, "a guard that watches or a clear end", 120, guard.output) == "ended":
        assert guard.process.returncode == 3, guard.output()
        assert os.path.basename(name).split(".")[0] in guard.output()
        return
    (tree / "lib/later.php").write_text("<?php echo 1;\n")
    guard.seen(tree / "lib/later.php")
    assert guard.run("ledger", "verify").returncode == 0


MISTAKES = {
    "not YAML": ("trees: [\n  {path: /srv\n", r":\d+:\d+:"),
    "nothing": ("", r":1:1:.*init"),
    "a list instead of a map": ("- a\n- b\n", r":1:1:"),
    "an unknown key": ("tres:\n  - path: /srv\n", r":1:1:.*tres"),
    "an unknown key of a tree": ("trees:\n  - path: /srv\n    protekt: mirror\n", r":3:5:.*protekt"),
    "a relative path": ("trees:\n  - path: srv\n", r":2:11:"),
    "no path": ("trees:\n  - protect: mirror\n", r":2:\d+:.*path"),
    "an unknown protection": ("trees:\n  - path: /srv\n    protect: keep\n", r":3:14:.*mirror"),
    "an answer to changes in a shield": (
        "trees:\n  - path: /srv\n    protect: shield\n    respond: refuse\n",
        r":4:14:.*shield",
    ),
    "an unknown profile": ("trees:\n  - path: /srv\n    profile: joomla\n", r":3:14:.*wordpress"),
    "an unknown response": ("trees:\n  - path: /srv\n    respond: kill\n", r":3:14:.*observe"),
    "the same tree twice": ("trees:\n  - path: /srv\n  - path: /srv/\n", r":3:11:"),
    "a scalar where a list belongs": ("trees: /srv\n", r":1:8:"),
    "an option out of range": ("trees:\n  - path: /srv\nsweep:\n  interval: 1 ms\n", r":4:13:"),
    "an option of the wrong type": ("trees:\n  - path: /srv\nvault:\n  budget: much\n", r":4:11:"),
    "a key twice": ("trees:\n  - path: /srv\ntrees:\n  - path: /home\n", r":\d+:\d+:"),
    "a tab": ("trees:\n\t- path: /srv\n", r":\d+:\d+:"),
    "binary": ("\x00\x01\x02", r":\d+:\d+:|NUL|UTF-8"),
    "an alias that grows": ("a: &a [x, x]\nb: &b [*a, *a]\ntrees: [*b, *b]\n", r":\d+:\d+:"),
    "restore where nothing is kept": ("trees:\n  - path: /srv\n    protect: watch\n    respond: restore\n", r":\d+:\d+:"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistake_in_the_configuration_is_named_by_line_and_column(scratch, what):
    import re

    text, pattern = MISTAKES[what]
    config = scratch / "hinomi.yaml"
    config.write_text(text)
    command = [str(HINOMI), "watch", "--config", str(config), "--state", str(scratch / "state")]
    command += ["--socket", str(scratch / "control.sock")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 2, result.stderr
    assert re.search(pattern, result.stderr), result.stderr
    assert len(result.stderr) < 4000
    assert not (scratch / "state/vault").exists()


def test_configuration_that_is_missing_or_a_directory(scratch):
    for config in (scratch / "none.yaml", scratch):
        command = [str(HINOMI), "watch", "--config", str(config), "--state", str(scratch / "state")]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode in (2, 3)
        assert str(config) in result.stderr


NAMES = [
    b"new\nline.php",
    b"escape\x1b[2J.php",
    b"invalid\xff\xfe.php",
    b"%s%n%x.php",
    b"'; DROP TABLE node; --.php",
    b"b" * 255,
    "\u30ab\u30fc\u30c8.php".encode(),
    b" leading and trailing ",
    b"\x01\x02\x7f",
    b".hidden",
    b"...",
]


@pytest.mark.parametrize("respond", ["observe", "restore"])
def test_odd_names_are_seen_and_undone_exactly(make_guard, tree, respond):
    base = os.fsencode(tree / "lib")
    for name in NAMES:
        with open(os.path.join(base, b"kept-" + name[:250]), "wb") as file:
            file.write(b"kept")
    guard = make_guard([{"path": tree, "respond": respond}])
    for name in NAMES:
        with open(os.path.join(base, name), "wb") as file:
            file.write(b"<?php // odd\n")
        with open(os.path.join(base, b"kept-" + name[:250]), "ab") as file:
            file.write(b" altered")
    for name in NAMES:
        guard.seen(os.path.join(base, name), "created")
        guard.seen(os.path.join(base, b"kept-" + name[:250]), "modified")
    if respond == "restore":
        expected = {b"order.php", *(b"kept-" + name[:250] for name in NAMES)}
        poll(lambda: set(os.listdir(base)) == expected, "the names as approved", 30, guard.describe)
        for name in NAMES:
            with open(os.path.join(base, b"kept-" + name[:250]), "rb") as file:
                assert file.read() == b"kept"


def deep_directory(root, n=30):
    """A path of some 6,000 bytes, longer than PATH_MAX, made step by step; a descriptor of its last directory."""
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(n):
        name = "d" * 200
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    return here


def test_path_longer_than_path_max(make_guard, tree):
    here = deep_directory(tree)
    os.close(os.open("old.php", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    guard = make_guard([{"path": tree}])
    with open(os.open("new.php", os.O_CREAT | os.O_WRONLY, dir_fd=here), "w") as file:
        file.write("<?php\n")
    os.close(here)
    path = "/".join([str(tree), *["d" * 200] * 30, "new.php"])

    def said():
        status = guard.run("doctor")
        return guard.evidence(path) or (status.returncode == 1 and str(tree) in status.stdout)

    poll(said, "a finding, or doctor to say what is not covered", 60, guard.describe)
    (tree / "index.php").write_text("<?php // after\n")
    guard.seen(tree / "index.php", "modified")


def test_line_of_ten_million_characters(make_guard, tree):
    path = tree / "js/cart.js"
    guard = make_guard([{"path": tree, "respond": "restore"}])
    before = path.read_bytes()
    path.write_bytes(b"a" * 10_000_000)
    stands(path, before)
    guard.seen(path, "modified")
    assert guard.run("findings").returncode == 0


def test_file_that_keeps_growing_is_seen(guard, tree):
    path = tree / "upload/growing.log"
    writer = subprocess.Popen(["sh", "-c", 'while :; do echo line >>"$0"; done', str(path)])
    try:
        guard.seen(path)
        (tree / "index.php").write_text("<?php // meanwhile\n")
        guard.seen(tree / "index.php", "modified")
    finally:
        writer.kill()
        writer.wait()


def unprivileged(guard, *command):
    return guard.run(*command, user="nobody")


def test_unprivileged_users_can_neither_read_nor_command(guard, tree):
    (tree / "lib/new.php").write_text("<?php\n")
    finding, _ = guard.seen(tree / "lib/new.php")
    uid = finding["finding_info"]["uid"]
    commands = (
        ("findings",),
        ("show", uid),
        ("status",),
        ("restore", tree / "lib/order.php"),
        ("approve", tree / "lib/new.php"),
        ("release", "begin", "x"),
        ("resume",),
    )
    for command in commands:
        result = unprivileged(guard, *command)
        assert result.returncode != 0, command
        assert "new.php" not in result.stdout + result.stderr.replace(" ".join(map(str, command)), "")


def test_unprivileged_users_cannot_read_the_state(guard, tree):
    secret = tree / "config.php"
    secret.write_text("<?php $password = 'hinoki-secret';\n")
    guard.seen(secret)
    script = f"cat '{guard.state}'/* '{guard.state}'/*/* '{guard.state}'/*/*/* '{guard.state}'/*/*/*/* 2>/dev/null; ls -R '{guard.state}'"
    result = subprocess.run(["sh", "-c", script], capture_output=True, user="nobody", check=False)
    assert b"hinoki-secret" not in result.stdout
    assert b"config.php" not in result.stdout
    find = ["find", str(guard.state), "-name", "*.key", "-perm", "/077"]
    assert subprocess.run(find, capture_output=True, check=True).stdout == b""


def test_roles_run_with_the_least_they_need(guard):
    expected = {"assayer": "hinomi-assay", "engine": "hinomi", "ledger": "hinomi-ledger", "sentry": "root"}
    for role, user in expected.items():
        pid = guard.role_pid(role)
        owner = subprocess.run(["ps", "-o", "user:32=", "-p", str(pid)], capture_output=True, text=True, check=True)
        assert owner.stdout.strip() == user, role
        status = dict(
            line.split(":\t", 1) for line in open(f"/proc/{pid}/status", encoding="ascii").read().splitlines() if ":\t" in line
        )
        if role != "sentry":
            assert int(status["CapEff"], 16) == 0, role
        assert status["NoNewPrivs"].strip() == "1", role
    for role in ("assayer", "engine", "ledger"):
        assert "Seccomp:\t2" in open(f"/proc/{guard.role_pid(role)}/status", encoding="ascii").read(), role


def test_garbage_on_the_control_socket(guard):
    for packet in (b"", b"\x00" * 100, b"{", b"[]", b"{}", b'{"request":1}', b'{"request":"no such"}', b'{"request":"show"}',
                   b"x" * 150_000, b'{"request":"restore","paths":[[[[]]]]}', b"[" * 100_000):  # fmt: skip
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(20)
            client.connect(str(guard.socket))
            try:
                client.send(packet)
                client.recv(65536)
            except (socket.timeout, OSError):
                pass
    assert guard.run("status").returncode == 0
    assert {entry["restarts"] for entry in guard.lines("status")[0]["roles"]} == {0}


def connected(guard):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(5)
    client.connect(str(guard.socket))
    return client


def test_clients_that_hang_do_not_hold_up_others(guard, tree):
    """Ten that ask to be told everything and never read."""
    clients = [connected(guard) for _ in range(10)]
    try:
        for client in clients:
            client.send(b'{"request":"watch"}')
        burst(tree / "burst", 300)
        all_seen(guard, tree / "burst", 300)
    finally:
        for client in clients:
            client.close()


def test_unprivileged_users_cannot_use_up_the_connections(guard):
    script = (
        "import socket, sys, time\n"
        "held = []\n"
        "for i in range(300):\n"
        "    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "    client.settimeout(0.01)\n"
        "    try:\n"
        "        client.connect(sys.argv[1])\n"
        "    except OSError:\n"
        "        pass\n"
        "    held.append(client)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = ["/usr/bin/python3", "-c", script, str(guard.socket)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, user="nobody")
    try:
        process.stdout.readline()
        assert guard.run("status").returncode == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_watch_prints_findings_as_they_happen(guard, tree):
    (tree / "lib/new.php").write_text("<?php\n")
    guard.seen(tree / "lib/new.php")
    poll(lambda: "new.php" in guard.stdout.read_text(), "the finding on standard output", 30, guard.output)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly(guard, how):
    assert guard.stop(how) == 0
    assert not guard.socket.exists() or guard.run("status").returncode == 1


def test_stale_socket_is_no_obstacle(guard):
    guard.kill()
    guard.start()
    assert guard.run("status").returncode == 0


def test_a_reader_that_stands_still_holds_nobody_up(guard, tree):
    """As under a pager: what is printed waits, questions are answered, and no line is cut."""
    guard.stop()
    with subprocess.Popen(
        [str(HINOMI), "watch", "--json", *guard.arguments()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            assert process.stdout.readline() == b"hinomi: watching\n"
            text = "".join(f"// line {i} of a long diff\n" for i in range(200))
            (tree / "many").mkdir()
            for i in range(400):
                (tree / "many" / f"f{i}.php").write_text(f"<?php\n// {i}\n{text}")
                if i % 20 == 0:
                    assert guard.run("status").returncode == 0
            all_seen(guard, tree / "many", 400)
            process.send_signal(signal.SIGTERM)
            printed = process.stdout.read().decode()
        finally:
            process.kill()
    findings = [json.loads(line) for line in printed.splitlines()]
    assert findings and str(tree / "many") in findings[0]["evidences"][0]["file"]["path"]


def test_more_than_can_wait_for_the_ledger_is_found_again(guard, tree):
    """While no entry is taken, memory has its bound; what did not fit is counted and comes with the next sweep."""
    n, text = 7000, "".join(f"// line {i} of a diff that is as long as a diff may be\n" for i in range(150))
    ledger = guard.role_pid("ledger")
    os.kill(ledger, signal.SIGSTOP)
    try:
        (tree / "burst").mkdir()
        for i in range(n):
            (tree / "burst" / f"f{i}.php").write_text(f"<?php\n// {i}\n{text}")
        poll(lambda: guard.lines("status")[0]["dropped"]["ledger_entries_refused"] or None, "entries without room", 120)
    finally:
        os.kill(ledger, signal.SIGCONT)
    all_seen(guard, tree / "burst", n)
    poll(lambda: guard.run("status").returncode == 0, "status to say yes", 60, guard.doctor)
