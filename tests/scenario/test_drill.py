"""The rehearsal: a harmless skimmer in a scratch copy is seen, undone and proved, with times."""
import json
import subprocess

from guard import HINOMI, scratch_directory, remove_tree


def drill(*arguments, **keywords):
    command = [str(HINOMI), "drill", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=180, check=False, **keywords)


def test_drill_without_a_daemon():
    folder = scratch_directory("drill")
    try:
        options = ["--state", folder / "state", "--socket", folder / "control.sock", "--config", folder / "none.yaml"]
        result = drill("skimmer", *options)
        assert result.returncode == 0, result.stdout + result.stderr
        for word in ("seen", "undone", "proved"):
            assert word in result.stdout
    finally:
        remove_tree(folder)


def test_drill_says_json_and_is_recorded_by_the_daemon(guard):
    result = drill("skimmer", "--json", *guard.arguments())
    assert result.returncode == 0, result.stdout + result.stderr
    assert [json.loads(line) for line in result.stdout.splitlines()]
    exported = guard.done("ledger", "export")
    assert '"kind":"drill"' in exported.replace(" ", "")


def test_drill_on_a_copy_leaves_the_application_alone(guard, tree):
    before = {path: (path.read_bytes(), path.stat().st_ctime_ns) for path in tree.rglob("*") if path.is_file()}
    result = drill("skimmer", "--of", tree, *guard.arguments())
    assert result.returncode == 0, result.stdout + result.stderr
    assert {path: (path.read_bytes(), path.stat().st_ctime_ns) for path in before} == before
    assert guard.about(tree) == []


def test_list_of_drills_and_an_unknown_one():
    assert "skimmer" in drill().stdout
    assert drill("no-such-drill").returncode == 2
