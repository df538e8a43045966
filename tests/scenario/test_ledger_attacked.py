"""Somebody with root goes for the record itself: that is found, said, and does not end the record."""
import shutil
import subprocess

from guard import CRITICAL, HINOMI, poll


def ledger_findings(guard, kind):
    return [finding for finding in guard.lines("findings") if kind in finding["finding_info"]["types"]]


def verify(state):
    command = [str(HINOMI), "ledger", "verify", "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def one_finding(guard, kind):
    found = poll(lambda: ledger_findings(guard, kind) or None, f"a finding {kind}", 30, guard.output)
    assert len(found) == 1 and found[0]["severity_id"] == CRITICAL
    assert found[0]["attacks"][0]["technique"]["uid"] == "T1070"


def test_record_destroyed_while_the_guard_was_down(guard, tree):
    (tree / "lib/one.php").write_text("<?php\n")
    guard.seen(tree / "lib/one.php", "created")
    guard.stop()
    shutil.rmtree(guard.state / "ledger/tile")
    (guard.state / "keys/journal").unlink()
    assert verify(guard.state).returncode == 1
    guard.start()
    one_finding(guard, "ledger_replaced")
    (tree / "lib/two.php").write_text("<?php\n")
    finding, _ = guard.seen(tree / "lib/two.php", "created")
    guard.done("ledger", "prove", finding["metadata"]["sequence"])
    aside = list((guard.state / "ledger").glob("damaged-*"))
    assert len(aside) == 1 and (aside[0] / "checkpoint").exists(), "what is left of it is kept as evidence"
    result = verify(guard.state)
    assert result.returncode == 1 and aside[0].name in result.stdout
    shutil.move(aside[0], guard.folder / "evidence")
    assert verify(guard.state).returncode == 0


def test_record_set_back_while_the_guard_was_down(guard, tree):
    (tree / "lib/one.php").write_text("<?php\n")
    guard.seen(tree / "lib/one.php", "created")
    guard.stop()
    shutil.copytree(guard.state / "ledger", guard.folder / "older")
    guard.start()
    (tree / "lib/two.php").write_text("<?php\n")
    guard.seen(tree / "lib/two.php", "created")
    guard.stop()
    subprocess.run(["rm", "-r", str(guard.state / "ledger")], check=True)
    subprocess.run(["cp", "-a", str(guard.folder / "older"), str(guard.state / "ledger")], check=True)
    result = verify(guard.state)
    assert result.returncode == 1 and "set back" in result.stdout, result.stdout
    guard.start()
    one_finding(guard, "ledger_replaced")
    (aside,) = (guard.state / "ledger").glob("damaged-*")
    shutil.move(aside, guard.folder / "evidence")


def test_record_altered_under_the_running_guard(make_guard, tree):
    guard = make_guard([{"path": tree}], options={"ledger": {"heartbeat": "1 s"}})
    (tree / "lib/one.php").write_text("<?php\n")
    guard.seen(tree / "lib/one.php", "created")
    (guard.state / "ledger/checkpoint").write_text("hinomi/other\n0\n\n")
    one_finding(guard, "ledger_altered")
    assert verify(guard.state).returncode == 0, "it is put right"
