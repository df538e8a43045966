"""What is done: observed, put back, or refused; each action verified, recorded, and undone by one command."""
import contextlib
import ctypes
import os
import shlex
import signal
import subprocess

import pytest
from guard import escaped, poll, stands

NEW = b"<?php\necho 'tampered';\n"


@pytest.fixture
def restoring(make_guard, tree):
    return make_guard([{"path": tree, "respond": "restore"}])


def action_on(guard, path, name="restore"):
    def found():
        actions = [action for action in guard.actions(path) if action["name"] == name]
        return actions[-1] if actions else None

    return poll(found, f"the action {name} on {path}", 30, guard.describe)


def state_of(pid):
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return stat.read().rpartition(b")")[2].split()[0].decode()


def test_observed_is_left_alone(guard, tree):
    path = tree / "lib/order.php"
    path.write_bytes(NEW)
    guard.seen(path, "modified")
    guard.settle()
    assert path.read_bytes() == NEW
    assert guard.actions(path) == []


def test_altered_content_is_put_back(restoring, tree):
    path = tree / "lib/order.php"
    before, mode = path.read_bytes(), path.stat().st_mode
    path.write_bytes(NEW)
    stands(path, before)
    action = action_on(restoring, path)
    assert (action["result"], action["verified"]) == ("done", True)
    assert path.stat().st_mode == mode
    finding, _ = restoring.seen(path, "modified")
    assert finding["finding_info"]["uid"] == action["finding_uid"]


def test_added_file_is_taken_away(restoring, tree):
    path = tree / "lib/shell.php"
    path.write_bytes(NEW)
    stands(path, None)
    assert action_on(restoring, path)["verified"] is True


def test_deleted_file_comes_back(restoring, tree):
    path = tree / "lib/order.php"
    before, stat = path.read_bytes(), path.stat()
    os.unlink(path)
    stands(path, before)
    action_on(restoring, path)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (stat.st_mode, stat.st_uid, stat.st_gid)


def test_deleted_directory_comes_back_whole(restoring, tree):
    contents = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    # what comes back while rm is still at work makes it fail
    subprocess.run(["rm", "-rf", str(tree / "lib"), str(tree / "template")], stderr=subprocess.DEVNULL, check=False)
    for path, content in contents.items():
        stands(path, content)


def test_mode_owner_and_attributes_are_put_right(make_guard, tree):
    path = tree / "lib/order.php"
    os.chmod(path, 0o640)
    os.chown(path, 0, 33)
    os.setxattr(path, "user.kept", b"yes")
    guard = make_guard([{"path": tree, "respond": "restore"}])
    os.chmod(path, 0o6777)
    os.chown(path, 33, 0)
    os.setxattr(path, "user.kept", b"no")
    os.setxattr(path, "user.added", b"x")

    def right():
        stat = path.stat()
        attributes = {name: os.getxattr(path, name) for name in os.listxattr(path) if name.startswith("user.")}
        return (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == (0o640, 0, 33) and attributes == {"user.kept": b"yes"}

    poll(right, "mode, owner and attributes as approved", 30, guard.describe)


def test_symbolic_link_in_place_of_a_file_is_undone(restoring, tree, scratch):
    path, victim = tree / "lib/order.php", scratch / "victim"
    before = path.read_bytes()
    victim.write_bytes(b"not to be written to\n")
    os.symlink(victim, tree / "lib/order.php.new")
    with contextlib.suppress(FileNotFoundError):  # undone as it was made
        os.rename(tree / "lib/order.php.new", path)
    poll(lambda: not path.is_symlink() and path.exists() and path.read_bytes() == before, "the file back", 30, restoring.describe)
    assert victim.read_bytes() == b"not to be written to\n"


def test_directory_swapped_for_a_link_leads_nowhere(restoring, tree, scratch):
    """What is put back goes into the tree, not to where the link points."""
    outside = scratch / "outside"
    outside.mkdir()
    before = (tree / "lib/order.php").read_bytes()
    os.symlink(outside, scratch / "link")
    library = ctypes.CDLL(None, use_errno=True)  # at once: the guard would be quicker than a second call
    exchanged = library.renameat2(-100, os.fsencode(tree / "lib"), -100, os.fsencode(scratch / "link"), 2)
    assert exchanged == 0, os.strerror(ctypes.get_errno())
    poll(
        lambda: not (tree / "lib").is_symlink() and (tree / "lib/order.php").exists(),
        "the directory back",
        30,
        restoring.describe,
    )
    stands(tree / "lib/order.php", before)
    assert list(outside.iterdir()) == []


def test_immutable_tampered_file_is_put_back(restoring, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    script = 'echo tampered >>"$0" && chattr +i "$0"'
    result = subprocess.run(["sh", "-c", script, str(path)], capture_output=True, text=True, check=False)
    if result.returncode and "chattr" in result.stderr:
        pytest.skip("no inode flags on this file system")
    stands(path, before)


def test_written_while_down_is_put_back(restoring, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    restoring.stop()
    path.write_bytes(NEW)
    restoring.start()
    stands(path, before)


def test_tampered_copy_is_kept_and_one_command_undoes_the_undoing(restoring, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    path.write_bytes(NEW)
    stands(path, before)
    undo = shlex.split(action_on(restoring, path)["undo"])
    assert undo[0] == "hinomi"
    restoring.done(*undo[1:])
    stands(path, NEW)
    restoring.settle()
    assert path.read_bytes() == NEW
    path.write_bytes(b"<?php // again\n")
    stands(path, NEW)


def test_tampered_copy_can_be_shown_after_it_was_put_back(restoring, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    path.write_bytes(NEW)
    stands(path, before)
    uid = action_on(restoring, path)["finding_uid"]
    assert "+echo 'tampered';" in restoring.run("diff", "--finding", uid).stdout


def test_restore_by_hand_in_an_observed_tree(guard, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    path.write_bytes(NEW)
    guard.seen(path, "modified")
    assert guard.run("diff", tree).returncode == 1
    guard.done("restore", path)
    assert path.read_bytes() == before
    assert guard.run("diff", tree).returncode == 0


def test_approve_by_hand(guard, tree):
    path = tree / "lib/order.php"
    path.write_bytes(NEW)
    guard.seen(path, "modified")
    guard.done("approve", path)
    assert guard.run("diff", tree).returncode == 0
    guard.restart()
    assert guard.run("diff", tree).returncode == 0


def test_each_command_by_hand_says_the_command_that_undoes_it(guard, tree):
    path = tree / "lib/it's order.php"
    path.write_bytes(NEW)
    finding, _ = guard.seen(path, "created")
    uid = finding["finding_info"]["uid"]
    guard.done("approve", uid)
    undo = shlex.split(action_on(guard, path, "approve")["undo"])
    assert undo[:3] == ["hinomi", "restore", "--at"] and undo[4] == str(path)
    guard.done(*undo[1:])
    assert not path.exists()
    order = tree / "lib/order.php"
    order.write_bytes(NEW)
    finding, _ = guard.seen(order, "modified")
    uid = finding["finding_info"]["uid"]
    guard.done("restore", "--finding", uid)
    assert action_on(guard, order)["undo"] == f"hinomi approve {uid}"


def test_process_that_reinfects_is_held_and_can_be_resumed(restoring, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    script = 'sleep 6; while :; do echo "<?php // again" >"$0"; sleep 0.2; done'
    process = subprocess.Popen(["/bin/sh", "-c", script, str(path)])
    try:
        poll(lambda: state_of(process.pid) == "T", "the process to be held", 60, restoring.describe)
        stands(path, before)
        held = restoring.lines("status")[0]["held"]
        assert process.pid in [entry["pid"] for entry in held]
        assert any(action["name"] == "hold" for action in restoring.actions())
        restoring.done("resume", process.pid)
        poll(lambda: state_of(process.pid) != "T", "the process to run on", 30, restoring.describe)
    finally:
        process.kill()
        process.wait()
    stands(path, before)


def test_held_process_stays_known_to_every_guard(restoring, tree):
    """Held when the sentry is killed, and when the guard ends, which says how to let it go; the next guard lets it go."""
    path = tree / "lib/order.php"
    script = 'sleep 6; while :; do echo "<?php // again" >"$0"; sleep 0.2; done'
    process = subprocess.Popen(["/bin/sh", "-c", script, str(path)])

    def is_known():
        return process.pid in [entry["pid"] for entry in restoring.lines("status")[0]["held"]]

    try:
        poll(lambda: state_of(process.pid) == "T", "the process to be held", 60, restoring.describe)
        old = restoring.role_pid("sentry")
        os.kill(old, signal.SIGKILL)
        poll(lambda: restoring.role_pid("sentry") not in (None, old), "a new sentry", 30, restoring.output)
        poll(is_known, "the new sentry to know it", 30, restoring.output)
        assert restoring.stop(signal.SIGTERM) == 0
        assert state_of(process.pid) == "T"
        assert f"kill -CONT {process.pid}" in restoring.output()
        restoring.start()
        poll(is_known, "the next guard to know it", 30, restoring.output)
        restoring.done("resume", process.pid)
        poll(lambda: state_of(process.pid) != "T", "the process to run on", 30, restoring.describe)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def refusing(make_guard, tree):
    subprocess.run(["chmod", "-R", "a+rwX", str(tree)], check=True)
    return make_guard([{"path": tree, "respond": "refuse"}])


def attempt(script, *arguments, user="www-data"):
    command = ["/usr/bin/python3", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, user=user, check=False)


def test_refused_write_never_happens(refusing, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    result = attempt("import sys; open(sys.argv[1], 'r+b').write(b'<?php tampered')", path)
    assert result.returncode != 0, "the write went through"
    assert "PermissionError" in result.stderr
    assert path.read_bytes() == before
    _, evidence = refusing.seen(path, "refused")
    assert evidence["actor"]["process"]["user"]["name"] == "www-data"


def test_refused_truncation_and_append(refusing, tree):
    path = tree / "js/cart.js"
    before = path.read_bytes()
    for script in (
        "import sys; open(sys.argv[1], 'ab').write(b'x')",
        "import sys; open(sys.argv[1], 'wb').write(b'x')",
    ):
        attempt(script, path)
    stands(path, before)
    refusing.seen(path)


def test_what_cannot_be_refused_is_put_back(refusing, tree, scratch):
    """Deleting and renaming have no permission event; they are undone at once."""
    path = tree / "lib/order.php"
    before = path.read_bytes()
    os.unlink(path)
    stands(path, before)
    (scratch / "new").write_bytes(NEW)
    os.rename(scratch / "new", path)
    stands(path, before)
    with pytest.raises(PermissionError):
        (tree / "lib/added.php").write_bytes(NEW)
    stands(tree / "lib/added.php", None)


def test_refusing_does_not_stand_in_the_way_of_reading(refusing, tree):
    result = attempt("import sys; print(len(open(sys.argv[1], 'rb').read()))", tree / "lib/order.php")
    assert result.returncode == 0, result.stderr
    assert refusing.about(tree) == []


def test_refusing_lets_a_release_through(refusing, tree):
    path = tree / "lib/order.php"
    refusing.done("release", "--name", "2.0", "--", "sh", "-c", 'echo "<?php // 2.0" >"$0"', path)
    assert path.read_bytes() == b"<?php // 2.0\n"
    assert refusing.about(tree) == []


def test_actions_are_in_the_record(restoring, tree):
    path = tree / "lib/order.php"
    before = path.read_bytes()
    path.write_bytes(NEW)
    stands(path, before)
    action = action_on(restoring, path)
    assert action["file"]["path"] == escaped(path)
    assert isinstance(action["sequence"], int)
    restoring.done("ledger", "prove", action["sequence"])


def test_finding_with_very_many_actions_can_still_be_read(make_guard, tree):
    """A loop of restores makes one finding grow: it stays readable, and what it leaves out is counted."""
    guard = make_guard([{"path": tree, "respond": "restore"}], options={"restore": {"loop_count": 1000, "loop_window": "1 s"}})
    path = tree / "template/checkout.twig"
    before = path.read_bytes()
    for i in range(150):
        path.write_bytes(before + f"<p>{i}</p>\n".encode() * 60)
        stands(path, before)
    guard.settle()
    assert guard.run("findings").returncode == 0
    finding, _ = guard.seen(path)
    guard.done("show", finding["finding_info"]["uid"])
