"""doctor and status never say protected when it is not."""
import os
import signal

from guard import poll


def checks(guard):
    return {line["check"]: line for line in guard.lines("doctor")}


def not_in_force(guard):
    """Both commands have to say no."""
    return guard.run("status").returncode == 1 and guard.run("doctor").returncode == 1


def test_all_is_well(guard, tree):
    assert guard.run("status").returncode == 0, guard.run("status").stdout
    result = guard.run("doctor")
    assert result.returncode == 0, result.stdout
    status = guard.lines("status")[0]
    assert status["in_force"] is True and status["watching"] is True
    assert {role["name"]: role["state"] for role in status["roles"]} == dict.fromkeys(
        ("sentry", "assayer", "engine", "ledger"), "up"
    )
    armed = {row["path"]: row for row in status["trees"]}
    assert armed[str(tree)]["state"] == "armed"
    assert armed[str(tree)]["n_files"] >= 5


def test_no_daemon(guard):
    guard.stop()
    assert guard.run("status").returncode == 1
    assert guard.run("doctor").returncode == 1


def test_baseline_that_is_not_done_is_not_protected(make_guard, scratch):
    tree = scratch / "tree"
    for i in range(100):
        (tree / f"d{i}").mkdir(parents=True)
        for j in range(100):
            (tree / f"d{i}/f{j}").write_bytes(os.urandom(2000))
    guard = make_guard([{"path": tree}], start=False)
    guard.launch()

    def answered():
        result = guard.run("status", "--json")
        watching = b"hinomi: watching\n" in guard.stdout.read_bytes()
        return watching or (result.returncode == 1 and result.stdout) or None

    poll(answered, "an answer before the baseline is done", 60, guard.output)
    poll(lambda: b"hinomi: watching\n" in guard.stdout.read_bytes(), "watching", 60, guard.output)
    assert guard.run("status").returncode == 0


def test_tree_that_is_gone(guard, tree, scratch):
    os.rename(tree, scratch / "away")
    poll(lambda: not_in_force(guard), "status and doctor to say no", 30, guard.describe)
    os.rename(scratch / "away", tree)
    poll(lambda: guard.run("status").returncode == 0, "status to say yes again", 60, guard.doctor)
    (tree / "lib/order.php").write_text("<?php // after\n")
    guard.seen(tree / "lib/order.php", "modified")


def test_tree_that_was_never_there(make_guard, tree, scratch):
    guard = make_guard([{"path": tree}, {"path": scratch / "missing"}])
    assert not_in_force(guard)
    failing = [line for line in guard.lines("doctor") if line["state"] == "fail"]
    assert any(line.get("subject") == str(scratch / "missing") for line in failing)
    (scratch / "missing").mkdir()
    poll(lambda: guard.run("status").returncode == 0, "the tree to be taken up", 60, guard.doctor)
    (scratch / "missing/new.php").write_text("<?php\n")
    guard.seen(scratch / "missing/new.php", "created")


def test_role_that_stands_still(guard):
    for role in ("ledger", "assayer", "sentry"):
        pid = guard.role_pid(role)
        os.kill(pid, signal.SIGSTOP)
        try:
            poll(lambda: not_in_force(guard), f"status and doctor to say no while {role} stands still", 90, guard.output)
        finally:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        poll(lambda: guard.run("status").returncode == 0, "status to say yes again", 60, guard.doctor)


def test_vault_that_is_full(make_guard, tree):
    (tree / "upload/large-1.bin").write_bytes(os.urandom(40 << 20))
    (tree / "upload/large-2.bin").write_bytes(os.urandom(40 << 20))
    guard = make_guard([{"path": tree}], options={"vault": {"budget": "64 MiB", "reserve": "0"}})
    assert not_in_force(guard)
    assert guard.lines("status")[0]["vault"]["full"] is True


def test_every_failing_check_says_what_to_do(make_guard, tree, scratch):
    guard = make_guard([{"path": tree}, {"path": scratch / "missing"}])
    for line in guard.lines("doctor"):
        assert line["state"] in ("ok", "warn", "fail")
        assert line["title"]
        if line["state"] == "fail":
            assert line["fix"]


def test_a_guard_that_stands_still_hangs_no_command(guard):
    pid = guard.role_pid("engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = guard.run("findings")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer.returncode == 3
    assert "does not answer" in answer.stderr
    poll(lambda: guard.run("status").returncode == 0, "status to say yes again", 60, guard.doctor)


def test_a_sentry_that_stands_still_hangs_no_command(guard, tree):
    pid = guard.role_pid("sentry")
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = guard.run("restore", "--dry-run", tree)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer.returncode == 3
    assert "hinomi doctor" in answer.stderr
    poll(lambda: guard.run("status").returncode == 0, "status to say yes again", 60, guard.doctor)
