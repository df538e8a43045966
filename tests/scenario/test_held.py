"""Processes that are held: listed, let go on, or ended with all they started; each recorded."""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess

import pytest
from guard import is_running, poll
from ransom import attack, corpus

AGAIN = 'while :; do echo "<?php // again" >"$0"; sleep 0.2; done'


@pytest.fixture
def restoring(make_guard, tree):
    return make_guard([{"path": tree, "respond": "restore"}])


def held(guard):
    return guard.lines("held", status=(0,))


def held_as(guard, pid):
    """The line of `hinomi held` about a process, once it is held."""
    return poll(lambda: next((line for line in held(guard) if line["pid"] == pid), None), "it to be held", 60, guard.describe)


@contextlib.contextmanager
def reinfecting(path, before="sleep 6", shell="/bin/sh"):
    process = subprocess.Popen([shell, "-c", f"{before}; {AGAIN}", str(path)], start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def action(guard, name):
    def found():
        return next((action for action in guard.actions() if action["name"] == name), None)

    return poll(found, f"the action {name}", 30, guard.describe)


def test_nothing_is_held(guard):
    assert guard.done("held", "--json") == ""
    assert "No process is held" in guard.done("held")
    for command in (["resume"], ["resume", "4711"], ["kill", "4711"], ["kill", ""]):
        result = guard.run(*command)
        assert result.returncode == 1, result.stdout + result.stderr
        assert "nothing is held" in result.stderr
    assert guard.run("kill").returncode == 2
    assert guard.run("held", "x").returncode == 2


def test_what_is_held_is_shown_and_goes_on(restoring, tree):
    with reinfecting(tree / "lib/order.php") as process:
        line = held_as(restoring, process.pid)
        assert line["id"] == str(process.pid)
        assert line["tree"] == str(tree)
        assert os.path.realpath("/bin/sh") == line["executable"]
        assert "again" in line["command"] and line["since"] > 0
        finding = restoring.lines("show", line["finding"])[0]
        assert finding["finding_info"]["uid"] == line["finding"]
        assert line["id"] in restoring.done("held")
        assert restoring.run("resume", "1" + line["id"]).returncode == 1
        assert held_as(restoring, process.pid)
        assert [answer["result"] for answer in restoring.lines("resume", line["id"], status=(0,))] == ["resumed"]
        assert action(restoring, "resume")["result"] == "done"


def test_what_is_held_is_killed_with_all_it_started(restoring, tree, scratch):
    """Also a child of a parent that has gone, in a session of its own."""
    child = scratch / "child"
    start = f"(setsid sh -c 'echo $$ >{child}; exec sleep 600' >/dev/null 2>&1 &); sleep 6"
    with reinfecting(tree / "lib/order.php", start) as process:
        line = held_as(restoring, process.pid)
        orphan = int(child.read_text())
        assert is_running(orphan)
        answer = restoring.lines("kill", line["id"], status=(0,))
        assert [(one["pid"], one["result"], one["n_left"]) for one in answer] == [(process.pid, "killed", 0)]
        assert answer[0]["n_killed"] >= 2
        assert process.wait(30) == -signal.SIGKILL
        assert not is_running(orphan)
        assert held(restoring) == []
        assert restoring.run("kill", line["id"]).returncode == 1
    done = action(restoring, "kill")
    assert (done["result"], done["verified"]) == ("done", True)
    entries = [json.loads(entry) for entry in restoring.done("ledger", "export").splitlines()]
    assert any(entry.get("action", {}).get("name") == "kill" for entry in entries)


def test_what_is_held_by_one_guard_is_killed_by_the_next(restoring, tree):
    with reinfecting(tree / "lib/order.php") as process:
        line = held_as(restoring, process.pid)
        restoring.restart()
        assert held_as(restoring, process.pid) == line
        assert restoring.lines("kill", line["finding"], status=(0,))[0]["result"] == "killed"
        assert process.wait(30) == -signal.SIGKILL


def test_what_is_held_is_trusted_and_held_no_more(restoring, tree, scratch):
    """Trust covers the image: what it writes is still put back, and it is not held for it again."""
    path = tree / "lib/order.php"
    shell = scratch / "shell"
    shutil.copy("/bin/sh", shell)
    with reinfecting(path, shell=shell) as process:
        line = held_as(restoring, process.pid)
        assert restoring.run("resume", "--trust", "1h").returncode == 2
        assert restoring.run("resume", line["id"], "--trust", "forever").returncode == 2
        result = restoring.run("resume", line["id"], "--trust", "400d")
        assert result.returncode == 1 and "at most a year" in result.stderr
        assert held_as(restoring, process.pid)
        answers = restoring.lines("resume", line["id"], "--trust", "1h", status=(0,))
        assert [answer["result"] for answer in answers] == ["trusted", "resumed"]
        trust = restoring.lines("trust", "list")[0]
        assert (trust["id"], trust["tree"], trust["program"]) == (answers[0]["trust"], str(tree), str(shell))
        assert trust["image"] == hashlib.sha256(shell.read_bytes()).hexdigest()
        assert 0 < trust["end"] - trust["begin"] <= 3600 * 1000
        assert line["finding"] in trust["reason"]

        def spared():
            return [a for a in restoring.actions(path) if a["name"] == "hold" and "trusted" in (a["detail"] or "")]

        poll(spared, "a hold that is not made", 60, restoring.describe)
        assert held(restoring) == []
        restoring.done("trust", "revoke", trust["id"])
        assert held_as(restoring, process.pid)


@pytest.fixture
def attacked(make_guard, scratch):
    """A shield that holds, and a locker it holds: (guard, attack, line of `hinomi held`)."""
    tree = attack.make(scratch / "tree")
    corpus.fill(tree)
    guard = make_guard([{"path": tree, "protect": "shield", "on_verdict": "hold"}])
    locker = attack.Attack(scratch, tree, "P1", "--links", "--rate", 5)  # lasts until it is judged
    try:
        image = str(attack.LOCKER)
        yield guard, locker, poll(
            lambda: next((line for line in held(guard) if line["executable"] == image), None), "it to be held", 60, guard.describe
        )
    finally:
        locker.end()


def test_what_the_shield_holds_is_killed(attacked):
    guard, locker, line = attacked
    assert "ransomware" in guard.lines("show", line["finding"])[0]["finding_info"]["types"]
    guard.lines("kill", line["finding"], status=(0,))
    poll(lambda: not locker.alive(), "the locker to be gone", 30, guard.describe)
    assert held(guard) == []


def test_what_the_shield_holds_is_trusted_and_goes_on(attacked):
    guard, locker, line = attacked
    assert len(held(guard)) > 1  # and the shell that started it
    result = guard.run("resume", line["finding"], "--trust", "1h")
    assert result.returncode == 1 and "several are held" in result.stderr
    assert guard.lines("trust", "list") == []
    answers = guard.lines("resume", line["id"], "--trust", "1h", status=(0,))
    assert [answer["result"] for answer in answers] == ["trusted", "resumed"]
    assert guard.lines("resume", status=(0,))
    assert locker.ended(60) == 0
    assert held(guard) == []
