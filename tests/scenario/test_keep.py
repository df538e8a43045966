"""The vault keeps the approved content of mirrored trees, over time, within its size."""
import os
import shutil
import subprocess
import time

import pytest
from guard import poll

VERSIONS = ("<?php // one\n", "<?php // two\n", "<?php // three\n")


def write_in_release(guard, path, text, name):
    guard.done("release", "--name", name, "--", "sh", "-c", 'printf %s "$1" >"$0"', path, text)


def vault_bytes(guard):
    result = subprocess.run(["du", "-s", "-B1", str(guard.state / "vault")], capture_output=True, text=True, check=True)
    return int(result.stdout.split()[0])


def now():
    """A moment between two changes, as `--at` takes it."""
    time.sleep(1.1)
    moment = time.time()
    time.sleep(1.1)
    return f"@{int(moment)}"


def test_restore_at_a_time(guard, tree):
    path, moments = tree / "lib/order.php", []
    for i, text in enumerate(VERSIONS):
        write_in_release(guard, path, text, f"v{i}")
        moments.append(now())
    for moment, text in reversed(list(zip(moments, VERSIONS))):
        guard.done("restore", "--at", moment, path)
        assert path.read_text() == text
        guard.settle()
        assert path.read_text() == text, "what was restored on purpose is approved"


def test_restore_at_a_time_brings_back_what_was_deleted_and_removes_what_was_added(guard, tree):
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    moment = now()
    script = f"rm -r '{tree}/lib' && echo x >'{tree}/added.php'"
    guard.done("release", "--name", "change", "--", "sh", "-c", script)
    guard.done("restore", "--at", moment, tree)
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_restore_before_the_first_baseline_is_an_honest_no(guard, tree):
    before = (tree / "lib/order.php").read_bytes()
    result = guard.run("restore", "--at", "2001-01-01", tree / "lib/order.php")
    assert result.returncode == 1
    assert (tree / "lib/order.php").read_bytes() == before


def test_restore_dry_run_says_and_does_nothing(guard, tree):
    path = tree / "lib/order.php"
    path.write_text("<?php // tampered\n")
    (tree / "lib/added.php").write_text("<?php\n")
    guard.seen(tree / "lib/added.php")
    output = guard.run("restore", "--dry-run", tree).stdout
    assert "lib/order.php" in output and "lib/added.php" in output
    assert path.read_text() == "<?php // tampered\n"
    assert (tree / "lib/added.php").exists()


def test_restore_all(guard, tree):
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    shutil.rmtree(tree / "lib")
    (tree / "index.php").write_text("x")
    guard.seen(tree / "index.php")
    guard.seen(tree / "lib/order.php", "deleted")
    guard.done("restore", "--all")
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_same_content_is_kept_once(make_guard, scratch):
    tree, content = scratch / "tree", os.urandom(200_000)
    tree.mkdir()
    for i in range(50):
        (tree / f"copy-{i}").write_bytes(content)
    guard = make_guard([{"path": tree}])
    assert vault_bytes(guard) < 20 * len(content)
    os.unlink(tree / "copy-7")
    guard.seen(tree / "copy-7", "deleted")
    guard.done("restore", tree / "copy-7")
    assert (tree / "copy-7").read_bytes() == content


def test_text_is_kept_compressed(make_guard, scratch):
    tree = scratch / "tree"
    tree.mkdir()
    for i in range(200):
        (tree / f"page-{i}.php").write_text(f"<?php // {i}\n" + "echo 'the same words again and again';\n" * 1000)
    guard = make_guard([{"path": tree}])
    assert vault_bytes(guard) < 200 * 38_000 / 4


def test_watched_tree_keeps_no_content(make_guard, scratch):
    tree = scratch / "tree"
    tree.mkdir()
    (tree / "big").write_bytes(os.urandom(8_000_000))
    guard = make_guard([{"path": tree, "protect": "watch"}])
    assert vault_bytes(guard) < 4_000_000
    (tree / "big").write_bytes(b"x")
    guard.seen(tree / "big", "modified")
    assert guard.run("restore", tree / "big").returncode == 1


def test_every_kind_of_file_comes_back_exactly(make_guard, tree):
    special = tree / "lib/special"
    special.mkdir()
    (special / "empty").write_bytes(b"")
    (special / "large").write_bytes(os.urandom(3_000_000))
    (special / "executable").write_bytes(b"#!/bin/sh\n")
    (special / "executable").chmod(0o750)
    os.chown(special / "executable", 33, 33)
    os.symlink("executable", special / "link")
    os.symlink("/nonexistent/place", special / "dangling")
    os.setxattr(special / "empty", "user.kept", b"\x00\xff")
    with open(special / "sparse", "wb") as file:
        file.truncate(5_000_000)
    name = os.path.join(os.fsencode(special), b"odd\n\xff\x1b[31mname")
    with open(name, "wb") as file:
        file.write(b"odd")
    before = {path: (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_gid) for path in special.rglob("*")}
    contents = {path: path.read_bytes() for path in special.rglob("*") if path.is_file() and not path.is_symlink()}
    guard = make_guard([{"path": tree}])
    shutil.rmtree(special)
    guard.seen(special / "large", "deleted")
    guard.seen(special / "link", "deleted")
    guard.done("restore", special)
    after = {path: (path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_gid) for path in special.rglob("*")}
    assert after == before
    assert {path: path.read_bytes() for path in contents} == contents
    assert os.readlink(special / "dangling") == "/nonexistent/place"
    assert os.getxattr(special / "empty", "user.kept") == b"\x00\xff"


def test_vault_stays_within_its_size_and_keeps_every_approved_release(make_guard, tree):
    """Evidence gives way first; the baseline and the release are there to the end."""
    budget = 64 << 20
    guard = make_guard([{"path": tree, "respond": "restore"}], options={"vault": {"budget": "64 MiB", "reserve": "0"}})
    first = (tree / "lib/order.php").read_bytes()
    moment = now()
    write_in_release(guard, tree / "lib/order.php", VERSIONS[1], "two")
    for i in range(12):
        path = tree / f"lib/evidence-{i}.bin"
        path.write_bytes(os.urandom(10 << 20))
        poll(lambda path=path: not path.exists(), f"{path} to be taken away", 60, guard.describe)
    guard.settle()
    assert vault_bytes(guard) <= budget * 1.1
    (tree / "lib/order.php").write_text("tampered")
    poll(lambda: (tree / "lib/order.php").read_text() == VERSIONS[1], "the release's content", 30, guard.describe)
    guard.done("restore", "--at", moment, tree / "lib/order.php")
    assert (tree / "lib/order.php").read_bytes() == first


def test_vault_of_many_releases_stays_within_its_size_and_the_approved_one_comes_back(make_guard, tree):
    """The oldest past states give way; what was forgotten is said, and never half restored."""
    budget = 64 << 20
    guard = make_guard([{"path": tree, "respond": "restore"}], options={"vault": {"budget": "64 MiB", "reserve": "0"}})
    path, source, contents = tree / "lib/big.bin", tree.parent / "next.bin", []
    first = now()
    for i in range(16):
        contents.append(os.urandom(8 << 20))
        source.write_bytes(contents[-1])
        guard.done("release", "--name", f"v{i}", "--", "cp", source, path)
        if i == 14:
            late = now()
    write_in_release(guard, tree / "lib/order.php", VERSIONS[0], "small")
    checks = "vault.history", "warn"
    poll(lambda: checks in [(c["check"], c["state"]) for c in guard.lines("doctor")], "doctor to say it", 30, guard.doctor)
    assert vault_bytes(guard) <= budget * 1.1
    assert guard.lines("status")[0]["vault"]["complete_since"] > 0
    poll(lambda: "history_shortened" in str(guard.findings()), "the ledger to say it", 30, guard.describe)

    for arguments in (("--at", first, tree), ("--release", "v1")):
        result = guard.run("restore", *arguments)
        assert result.returncode == 1 and "no longer kept" in result.stdout + result.stderr, result
    assert path.read_bytes() == contents[-1]
    guard.done("restore", "--at", late, path)
    assert path.read_bytes() == contents[14]
    subprocess.run(["setsid", "timeout", "20", "sh", "-c", f"echo tampered >'{path}'"], check=False)
    poll(lambda: path.read_bytes() == contents[14], "the approved content", 30, guard.describe)


def test_flood_of_evidence_leaves_room_for_releases_and_is_told(make_guard, tree):
    """Whoever may write in a tree can make any amount of unapproved content, and delete it again."""
    budget = 64 << 20
    guard = make_guard([{"path": tree}], options={"vault": {"budget": "64 MiB", "reserve": "0", "evidence_percent": 25}})
    code = "import os,sys\nfor i in range(100):\n p=f'{sys.argv[1]}/lib/f{i}'\n open(p,'wb').write(os.urandom(1 << 20))\n if i % 2: os.unlink(p)\n"
    subprocess.run(["setsid", "timeout", "60", "python3", "-c", code, str(tree)], check=True)
    guard.settle()

    def vault():
        return guard.lines("status")[0]["vault"]

    poll(lambda: 0 < vault()["evidence_bytes"] <= budget / 4, "evidence within its share", 30, guard.doctor)
    poll(lambda: vault_bytes(guard) < budget / 2, "the space back on the disk", 30, guard.doctor)
    assert ("vault.evidence", "warn") in [(c["check"], c["state"]) for c in guard.lines("doctor")]
    poll(lambda: "evidence_given_up" in str(guard.findings()), "the ledger to say it", 30, guard.describe)
    content, source = os.urandom(20 << 20), tree.parent / "next.bin"
    source.write_bytes(content)
    guard.done("release", "--name", "big", "--", "cp", source, tree / "index.php")
    (tree / "index.php").unlink()
    guard.seen(tree / "index.php", "deleted")
    guard.done("restore", tree / "index.php")
    assert (tree / "index.php").read_bytes() == content


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damaged_vault_is_said_and_never_restored_from(guard, tree, damage):
    path = tree / "lib/order.php"
    guard.stop()
    packs = sorted((guard.state / "vault/packs").iterdir())
    assert packs
    for pack in packs:
        data = bytearray(pack.read_bytes())
        if damage == "flip":
            for i in range(200, len(data), 50):
                data[i] ^= 0x55
        else:
            del data[len(data) // 2 :]
        pack.write_bytes(data)
    guard.launch()

    def honest():
        if guard.process.poll() is not None:
            return guard.process.returncode == 3
        return guard.run("status").returncode in (0, 1)

    poll(honest, "a running guard or a clear end", 60, guard.output)
    if guard.process.poll() is not None:
        return
    path.write_text("<?php // tampered\n")
    guard.run("restore", path)
    assert path.read_text() in ("<?php // tampered\n", "<?php\nfunction total($rows) {\n        return array_sum($rows);\n}\n")
