"""`protect: shield`: whatever a program does to a file, each content it had can be brought back."""
import hashlib
import os
import signal
import sqlite3
import subprocess
import time

import pytest
from guard import CRITICAL, Guard, poll, remove_tree, scratch_directory

SIZES = (0, 7, 5000, 300_000)
SOME = ("folder-1/report-1.txt", "folder-0/report-3.txt")  # fewer than a verdict takes


@pytest.fixture
def data():
    """A directory of files, and what each of them held."""
    path = scratch_directory("shielded")
    for i in range(12):
        folder = path / f"folder-{i % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"report-{i}.txt").write_bytes(os.urandom(SIZES[i % 4]) + f"original {i}\n".encode())
    yield path
    remove_tree(path)


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture
def shield(data):
    guard = Guard([{"path": data, "protect": "shield"}])
    guard.start()
    yield guard
    guard.close()


def outside(script, *arguments, **options):
    """Done by a process of its own, which the guard may stop."""
    command = ["setsid", "timeout", "20", "python3", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def moment():
    """A time between two changes, as `--at` takes it."""
    time.sleep(1.1)
    at = time.time()
    time.sleep(1.1)
    return f"@{int(at)}"


TRUNCATE = "import sys\nfor p in sys.argv[1:]:\n    open(p, 'wb').write(b'X' * 100)\n"
IN_PLACE = "import os, sys\nfor p in sys.argv[1:]:\n    f = os.open(p, os.O_RDWR)\n    os.pwrite(f, b'X' * 5, 0)\n"
BY_MAPPING = """
import mmap, os, sys
for p in sys.argv[1:]:
    f = os.open(p, os.O_RDWR)
    m = mmap.mmap(f, 0)
    m[:5] = b'XXXXX'
    m.close()
"""
RENAME_OVER = """
import os, sys
for p in sys.argv[1:]:
    open(p + '.new', 'wb').write(b'X' * 100)
    os.rename(p + '.new', p)
"""
UNLINK = "import os, sys\nfor p in sys.argv[1:]:\n    os.unlink(p)\n"
BY_PATH = "import os, sys\nfor p in sys.argv[1:]:\n    os.truncate(p, 0)\n"
WAYS = {
    "truncated by open": TRUNCATE,
    "written in place": IN_PLACE,
    "stored through a mapping": BY_MAPPING,
    "renamed over": RENAME_OVER,
    "unlinked": UNLINK,
    "truncated by path": BY_PATH,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_file_comes_back(shield, data, way):
    before, at = contents(data), moment()
    result = outside(WAYS[way], *(data / name for name in SOME))
    assert result.returncode == 0, result.stderr
    assert contents(data) != before
    shield.settle()
    shield.done("restore", "--at", at, data)
    assert contents(data) == before


def test_ordinary_work_is_no_finding_and_each_version_comes_back(shield, data):
    path, moments = data / "folder-0/report-0.txt", []
    for text in ("one\n", "two, longer\n", "three\n"):
        outside("import sys; open(sys.argv[1], 'w').write(sys.argv[2])", path, text)
        shield.settle()
        moments.append((moment(), text))
    assert shield.about(data) == []
    for at, text in reversed(moments):
        shield.done("restore", "--dry-run", "--at", at, path)
        shield.done("restore", "--at", at, path)
        assert path.read_text() == text


def test_doctor_says_what_is_guaranteed(shield, data):
    rows = poll(
        lambda: [
            row
            for row in shield.lines("doctor")
            if row.get("check") == "tree.shield" and row.get("state") == "ok"
        ],
        "the guarantee of the shield",
    )
    assert [row["subject"] for row in rows] == [str(data)]


OVERWRITE_FRESH = """
import os, sys
for i in range(40):
    path = f"{sys.argv[1]}/fresh-{i}"
    open(path, 'w').write(f'content {i}')
    f = os.open(path, os.O_RDWR | os.O_TRUNC)
    os.write(f, b'XXXX')
    os.close(f)
"""


def history(guard, path):
    """Every content that the vault knows of a path, oldest first."""
    vault = guard.state / "vault/catalog.sqlite"
    query = "select d.path, n.name, n.digest, n.from_ns from {} n join directory d on n.directory = d.id"
    with sqlite3.connect(f"file:{vault}?mode=ro", uri=True) as database:
        rows = [row for table in ("node", "history") for row in database.execute(query.format(table))]
    name = os.fsencode(path.name)
    rows = [row for row in rows if (os.fsencode(row[1]) if isinstance(row[1], str) else bytes(row[1])) == name]
    return [bytes(row[2]) for row in sorted(rows, key=lambda row: row[3])]


def kept(guard, path, content):
    return hashlib.sha256(content).digest() in history(guard, path)


def test_what_was_written_an_instant_ago_is_preserved_before_it_is_overwritten(shield, data):
    result = outside(OVERWRITE_FRESH, data)
    assert result.returncode == 0, result.stderr
    for i in range(40):
        path = data / f"fresh-{i}"
        poll(lambda: kept(shield, path, f"content {i}".encode()), f"the first content of {path.name}")
        poll(lambda: kept(shield, path, b"XXXX"), f"the second content of {path.name}")


def test_a_killed_sentry_loses_nothing(shield, data):
    before, at = contents(data), moment()
    script = OVERWRITE_FRESH + "".join(WAYS[way].replace("sys.argv[1:]", "sys.argv[2:]") for way in ("truncated by open",))
    with subprocess.Popen(
        ["setsid", "timeout", "60", "python3", "-c", script, data, *(data / name for name in SOME)]
    ) as writer:
        os.kill(shield.role_pid("sentry"), signal.SIGKILL)
        assert writer.wait(60) in (0, 1)
    shield.settle()
    for i in range(40):
        path = data / f"fresh-{i}"
        if path.exists() and path.read_bytes() == b"XXXX":
            poll(lambda: kept(shield, path, f"content {i}".encode()), f"the first content of {path.name}")
    shield.done("restore", "--at", at, data)
    assert contents(data) == before


ENCRYPT = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        size = os.path.getsize(path)
        f = os.open(path, os.O_RDWR)
        os.pwrite(f, os.urandom(max(size, 1)), 0)
        os.close(f)
        os.rename(path, path + '.locked')
    with open(os.path.join(folder, 'README_RESTORE.txt'), 'w') as note:
        note.write('Your files have been encrypted. Pay 1 BTC to get the key. Contact: x@example.onion')
"""


@pytest.fixture
def papers():
    """Many files of text, as an office has."""
    path = scratch_directory("papers")
    for i in range(300):
        folder = path / f"folder-{i % 10}"
        folder.mkdir(exist_ok=True)
        (folder / f"report-{i}.txt").write_text(f"Report {i}: the figures of the month are as follows.\n" * 60)
    yield path
    remove_tree(path)


@pytest.fixture
def office(papers):
    guard = Guard([{"path": papers, "protect": "shield"}])
    guard.start()
    yield guard
    guard.close()


def ransomware(guard):
    return [f for f in guard.findings() if "ransomware" in f["finding_info"]["types"]]


def test_who_encrypts_is_ended_and_everything_comes_back(office, papers):
    before = contents(papers)
    assert outside(ENCRYPT, papers).returncode != 0, "it was let finish"
    poll(lambda: contents(papers) == before, "every file to come back", otherwise=office.describe)
    finding = poll(lambda: ransomware(office) or None, "the finding", otherwise=office.describe)
    assert len(finding) == 1 and finding[0]["severity_id"] == CRITICAL
    office.settle()
    actions = office.actions()
    assert any(action["name"] == "kill" and action["verified"] for action in actions)
    assert all(action["verified"] for action in actions if action["name"] == "restore")
    changed = {e["file"]["path"] for e in finding[0]["evidences"]}
    assert len(changed) < 100, "it waits for its verdict"
    assert contents(papers) == before
    path = papers / "folder-0/report-0.txt"
    path.write_text("a word of my own\n")
    office.settle()
    office.run("restore", "--finding", finding[0]["finding_info"]["uid"])
    assert path.read_text() == "a word of my own\n", "a later version is nobody's to undo"


def test_ordinary_writers_are_left_alone(office, papers):
    script = "import os, sys\n" + "".join(
        (
            "for f, _, names in os.walk(sys.argv[1]):\n    for n in names:\n        p = os.path.join(f, n)\n",
            "        t = open(p).read().replace('month', 'year')\n        open(p, 'w').write(t)\n",
        )
    )
    result = outside(script, papers)
    assert result.returncode == 0, result.stderr
    result = subprocess.run(
        ["setsid", "timeout", "60", "gzip", "-r", papers], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    script = "import os, sys\nfor f, _, ns in os.walk(sys.argv[1]):\n    for n in ns:\n        os.rename(f + '/' + n, f + '/old-' + n)\n"
    assert outside(script, papers).returncode == 0
    office.settle()
    assert ransomware(office) == []


def test_a_large_file_whose_content_is_new_is_refused_where_the_owner_says_so(data):
    guard = Guard(
        [{"path": data, "protect": "shield", "large_file": "refuse"}], options={"shield": {"copy_limit": "1 MiB"}}
    )
    guard.start()
    try:
        script = """
import sys
open(sys.argv[1], 'wb').write(b'x' * (2 << 20))
open(sys.argv[1], 'r+b').write(b'y')
"""
        result = outside(script, data / "image")
        assert "PermissionError" in result.stderr, "its content was not in the vault when it was opened again"
        assert (data / "image").read_bytes() == b"x" * (2 << 20)
        rows = [row for row in guard.lines("doctor") if row.get("check") == "tree.shield_late"]
        assert [row["state"] for row in rows] == ["warn"]
    finally:
        guard.close()


def test_on_verdict_hold_keeps_the_process(papers):
    guard = Guard([{"path": papers, "protect": "shield", "on_verdict": "hold"}])
    guard.start()
    before = contents(papers)
    try:
        with subprocess.Popen(["setsid", "python3", "-c", ENCRYPT, str(papers)]) as attacker:
            held = poll(lambda: guard.lines("held") or None, "the process to be held", otherwise=guard.describe)
            assert attacker.pid in [row["pid"] for row in held]
            poll(lambda: contents(papers) == before, "every file to come back", otherwise=guard.describe)
            assert attacker.poll() is None
            guard.done("kill", str(attacker.pid))
            assert attacker.wait(20) != 0
    finally:
        guard.close()


def test_a_full_vault_is_said_and_what_it_does_not_hold_cannot_be_overwritten(data):
    guard = Guard([{"path": data, "protect": "shield"}], options={"vault": {"budget": "64 MiB"}})
    guard.start()
    fill = """
import os, sys
for i in range(90):
    open(f'{sys.argv[1]}/big-{i}', 'wb').write(os.urandom(1 << 20))
"""
    overwrite = """
import sys
n = 0
for i in range(90):
    try:
        open(f'{sys.argv[1]}/big-{i}', 'r+b').write(b'y')
    except PermissionError:
        n += 1
open(sys.argv[1] + '/new', 'w').write('what is new may be written')
print(n)
"""
    try:
        assert outside(fill, data).returncode == 0
        guard.settle()
        before = {path: path.read_bytes() for path in data.glob("big-*")}
        result = outside(overwrite, data)
        assert result.returncode == 0, result.stderr
        assert int(result.stdout) >= 20, "some 26 of them have no room"
        guard.settle()
        altered = [path for path, content in before.items() if path.read_bytes() != content]
        assert all(kept(guard, path, before[path]) for path in altered)
        rows = {row["check"]: row["state"] for row in guard.lines("doctor") if row.get("check", "").startswith("tree.shield")}
        assert rows["tree.shield"] == "fail"
    finally:
        guard.close()


def test_a_sentry_that_is_stopped_keeps_nobody_waiting(shield, data):
    stopped = shield.role_pid("sentry")
    os.kill(stopped, signal.SIGSTOP)
    result = outside("import sys; open(sys.argv[1], 'a').write('more')", data / SOME[0])
    assert result.returncode in (0, 1), "it was not answered"
    poll(lambda: shield.role_pid("sentry") not in (None, stopped), "another sentry")
    shield.settle()
    assert outside("import sys; open(sys.argv[1], 'a').write('more')", data / SOME[0]).returncode == 0
