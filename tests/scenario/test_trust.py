"""Trust in what runs: granted to an image for a tree, a reason and a time; listed, revoked, over by itself."""
import hashlib
import json
import os
import shutil
import subprocess
import time

import pytest
from guard import poll
from ransom import attack, corpus, manifest

WHY = ("--reason", "moves the archive: 暗号化")


@pytest.fixture
def program(scratch):
    return shutil.copy("/bin/sleep", scratch / "mover")


def grants(guard):
    return guard.lines("trust", "list", status=(0,))


def entries(guard):
    lines = [json.loads(line) for line in guard.done("ledger", "export").splitlines()]
    return [line["trust"] for line in lines if line.get("kind") == "trust"]


def add(guard, tree, what, *more):
    return guard.lines("trust", "add", what, "--tree", tree, *WHY, *more, status=(0,))[0]


def test_granted_listed_and_revoked(guard, tree, program):
    assert grants(guard) == []
    assert "Nothing is trusted" in guard.done("trust", "list")
    trust = add(guard, tree, program, "--for", "8h")
    assert trust["image"] == hashlib.sha256(open(program, "rb").read()).hexdigest()
    assert (trust["program"], trust["tree"], trust["reason"]) == (str(program), str(tree), WHY[1])
    assert trust["end"] - trust["begin"] == 8 * 3600 * 1000
    assert trust["interprets"] is False
    assert grants(guard) == [trust]
    text = guard.done("trust", "list")
    assert trust["id"] in text and WHY[1] in text and "interpreter" not in text
    assert guard.lines("trust", "revoke", trust["id"], status=(0,)) == [trust]
    assert grants(guard) == []
    assert guard.run("trust", "revoke", trust["id"]).returncode == 1
    states = poll(lambda: [e for e in entries(guard) if e["state"] == "revoked"] and entries(guard), "the record")
    assert [(entry["id"], entry["state"]) for entry in states] == [(trust["id"], "granted"), (trust["id"], "revoked")]
    assert states[0]["undo"] == f"hinomi trust revoke {trust['id']}"
    assert states[0]["by"]["process"]["user"]["name"] == "root"


def test_the_image_of_a_process_is_what_it_runs(guard, tree, program, scratch):
    """Not what stands at the path by now, nor what the process calls itself."""
    process = subprocess.Popen(["[kworker/0:1]", "600"], executable=program)
    try:
        poll(lambda: os.readlink(f"/proc/{process.pid}/exe") == str(program), "it to run")
        image = hashlib.sha256(open(program, "rb").read()).hexdigest()
        other = scratch / "other"
        shutil.copy("/bin/true", other)
        os.replace(other, program)
        assert add(guard, tree, process.pid, "--for", "1d")["image"] == image
        assert add(guard, tree, program, "--for", "1d")["image"] != image
    finally:
        process.kill()
        process.wait()
    assert guard.run("trust", "add", str(process.pid), "--tree", tree, *WHY, "--for", "1d").returncode == 1


def test_outlives_the_guard_and_ends_by_itself(guard, tree, program):
    stays, goes = add(guard, tree, program, "--for", "30d"), add(guard, tree, program, "--for", "5s")
    guard.restart()
    assert stays in grants(guard)
    poll(lambda: grants(guard) == [stays], "the second to be over", 60, guard.describe)
    assert time.time() * 1000 >= goes["end"]
    poll(lambda: any((e["id"], e["state"]) == (goes["id"], "expired") for e in entries(guard)), "the record")


def test_what_is_no_grant_is_refused(guard, tree, program, scratch):
    script = scratch / "script.py"
    script.write_text("#!/usr/bin/python3\n")
    fifo = scratch / "fifo"
    os.mkfifo(fifo)
    text = scratch / "text"
    text.write_text("text\n")
    whole = (*WHY, "--for", "1h", "--tree", tree)
    for status, arguments in [
        (2, ["add"]),
        (2, ["add", program, "--tree", tree, "--for", "1h"]),
        (2, ["add", program, "--tree", tree, *WHY]),
        (2, ["add", program, "--tree", tree, *WHY, "--for", "forever"]),
        (1, ["add", program, "--tree", tree, *WHY, "--for", "366d"]),
        (1, ["add", program, "--tree", tree, "--reason", "", "--for", "1h"]),
        (1, ["add", program, "--tree", tree, "--reason", "x" * 501, "--for", "1h"]),
        (2, ["add", program, *WHY, "--for", "1h"]),
        (2, ["add", program, "--tree", scratch, *WHY, "--for", "1h"]),
        (1, ["add", scratch / "none", *whole]),
        (1, ["add", scratch, *whole]),
        (1, ["add", script, *whole]),
        (1, ["add", fifo, *whole]),
        (1, ["add", text, *whole]),
        (1, ["add", "4194305", *whole]),
        (1, ["add", "2", *whole]),
        (2, ["give", program]),
        (2, ["revoke"]),
        (1, ["revoke", ""]),
        (1, ["revoke", "trust-0000000000000000"]),
    ]:
        result = guard.run("trust", *arguments)
        assert result.returncode == status, f"{arguments}: {result.returncode} {result.stdout}{result.stderr}"
        assert result.stderr.startswith("hinomi: "), f"{arguments}: {result.stderr}"
    assert "interpreter" in guard.run("trust", "add", script, *whole).stderr
    assert grants(guard) == []


def test_an_interpreter_is_granted_with_a_caution(guard, tree):
    result = guard.run("trust", "add", "/usr/bin/python3", "--tree", tree, *WHY, "--for", "1h")
    assert result.returncode == 0 and "every script" in result.stdout
    result = guard.run("trust", "--json", "add", "/bin/bash", "--tree", tree, *WHY, "--for", "1h")
    assert json.loads(result.stdout)["interprets"] is True and "every script" in result.stderr
    assert all(trust["interprets"] for trust in grants(guard))


def test_a_file_that_makes_no_sense_trusts_nobody(guard, tree, program):
    add(guard, tree, program, "--for", "1h")
    guard.stop()
    (guard.state / "vault/trust.json").write_bytes(b'{"format":1,"trusts":[{"uid":"\xff')
    guard.start()
    assert grants(guard) == []
    assert "nobody is trusted" in guard.output()
    add(guard, tree, program, "--for", "1h")
    assert len(grants(guard)) == 1


def is_ransomware(guard):
    guard.settle()
    return any("ransomware" in finding["finding_info"]["types"] for finding in guard.findings())


def test_the_shield_lets_go_on_what_is_trusted_and_nothing_else(make_guard, scratch):
    """What it changed can be had back all the same."""
    tree = attack.make(scratch / "tree")
    corpus.fill(tree)
    before = manifest.take(tree)
    program = scratch / "mover"
    shutil.copy(attack.LOCKER, program)
    subprocess.run(["touch", "-d", "2026-01-01", program], check=True)
    guard = make_guard([{"path": tree, "protect": "shield"}])
    at = f"@{int(time.time()) + 1}"
    time.sleep(3)  # a program altered a moment ago is not relied on
    trust = add(guard, tree, program, "--for", "1h")
    assert encrypt(scratch, tree, program) == 0
    assert not is_ransomware(guard)
    assert manifest.compare(before, tree)
    guard.done("restore", "--at", at, tree)
    assert not manifest.compare(before, tree)
    guard.done("trust", "revoke", trust["id"])
    assert encrypt(scratch, tree, program) != 0
    poll(lambda: is_ransomware(guard), "the verdict", 60, guard.describe)


def encrypt(scratch, tree, program):
    """A locker under that name; its exit status, None when it was killed."""
    locker, attack.LOCKER = attack.LOCKER, program
    try:
        started = attack.Attack(scratch, tree, "P1", "--links")
    finally:
        attack.LOCKER = locker
    return started.ended(60)
