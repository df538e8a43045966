"""The attack generator by itself: each pattern alters what it says, and nothing else anywhere."""
import os
import pathlib
import subprocess
import time

import pytest
from ransom import attack, corpus, manifest

TABLE = {pattern.name: pattern for pattern in attack.patterns()} if attack.LOCKER.exists() else {}
IN_PLACE = {"P1", "P4-step", "P4-percent", "P4-spots", "P4-dots", "P5-alternate", "P5-percent", "P12", "P15"}
RENAMED = {"P2", "P3", "P6", "P11", "P15-copy", "P18", "P19-openssl", "P19-zip", "P19-shell", "P30", "P23-rename"}
RENAMED |= {"P23-remove", "P23-shred", "P24-archive", "P24-copy", "P24-move", "P24-folder"}
BIG = b"sizes/odd"


def lock(tree, pattern, *options, **keywords):
    command = [attack.LOCKER, "--tree", tree, "--pattern", pattern, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, input="\n", **keywords)


@pytest.fixture
def victims(scratch):
    tree = attack.make(scratch / "tree")
    corpus.fill(tree, n_each=1)
    return tree


@pytest.mark.parametrize("pattern", TABLE)
def test_pattern_alters_what_it_says_and_logs_it(scratch, victims, pattern):
    before, log = manifest.take(victims), scratch / "log"
    elsewhere = ["--elsewhere", attack.make(scratch / "elsewhere")] if "elsewhere" in TABLE[pattern].needs else []
    rate = ["--rate", 0] if pattern == "P21" else []
    result = lock(victims, pattern, "--log", log, "--seed", 7, *elsewhere, *rate)
    if result.returncode == attack.UNSUPPORTED or "not supported" in result.stderr:
        pytest.skip(f"not offered here: {result.stderr}")
    assert result.returncode == 0, result.stdout + result.stderr
    if pattern == "X-clone" and '"altered": 0' in result.stdout:
        pytest.skip("no reflinks on this file system")
    assert '"denied": 0, "failed": 0' in result.stdout, result.stdout
    difference = manifest.compare(before, victims)
    assert BIG in difference.lost, difference
    assert (difference.lost[BIG] == "gone") == (pattern in RENAMED), difference
    assert os.fsencode(".hinomi-scratch") not in difference.lost
    events = [line.split() for line in log.read_text().splitlines()]
    logged = {os.fsencode(path.replace("%20", " ").replace("%0A", "\n")) for event, _, _, done, path in events if event == "end" and done == "0"}
    files = {name for name in [*difference.lost, *difference.dated] if before[name]["type"] == "0o100000"}
    if pattern != "P24-archive":
        assert files <= logged, files - logged
    for name in logged & before.keys():
        if before[name]["size"]:
            assert name in difference.lost or name in difference.dated, f"{name} was logged and is as before"
    times = [int(time) for _, time, _, _, _ in events]
    assert times == sorted(times) or pattern in ("P18",)


@pytest.mark.parametrize("pattern", sorted(IN_PLACE))
def test_pattern_in_place_with_the_same_seed_undoes_itself(victims, pattern):
    before = manifest.take(victims)
    for _ in range(2):
        assert lock(victims, pattern, "--seed", 9, "--keep-times").returncode == 0
    assert not manifest.compare(before, victims), manifest.compare(before, victims)


def test_ciphertext_is_no_longer_the_text(victims):
    path = victims / "sizes/block"
    assert lock(victims, "P1", "--seed", 3).returncode == 0
    counts = [0] * 256
    for byte in path.read_bytes():
        counts[byte] += 1
    expected = path.stat().st_size / 256
    assert sum((n - expected) ** 2 / expected for n in counts) < 400, "uniform, as ciphertext is"


def outside(tree):
    path = tree.parent / "outside"
    path.mkdir()
    (path / "kept.txt").write_text("kept\n")
    return path


@pytest.mark.parametrize("damage", ["none", "other text", "link", "folder"])
def test_refuses_a_tree_without_the_marker(victims, damage):
    marker = victims / ".hinomi-scratch"
    text = marker.read_text()
    marker.unlink()
    if damage == "other text":
        marker.write_text(text + "and more")
    elif damage == "link":
        (victims.parent / "marker").write_text(text)
        marker.symlink_to(victims.parent / "marker")
    elif damage == "folder":
        marker.mkdir()
    before = manifest.take(victims)
    result = lock(victims, "P1")
    assert result.returncode == 3, result
    assert not manifest.compare(before, victims)


def test_refuses_a_link_to_a_marked_tree_and_a_folder_inside_one(victims):
    link = victims.parent / "link"
    link.symlink_to(victims)
    assert lock(link, "P1").returncode == 3
    assert lock(victims / "documents", "P1").returncode == 3


def test_refuses_to_move_files_to_an_unmarked_directory(victims):
    before = manifest.take(victims)
    assert lock(victims, "P24-move", "--elsewhere", outside(victims)).returncode == 3
    assert lock(victims, "P24-move").returncode == 2
    assert not manifest.compare(before, victims)


def test_makes_only_what_does_not_exist(scratch):
    result = subprocess.run([attack.LOCKER, "--make", scratch], capture_output=True)
    assert result.returncode == 1
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("pattern", ["P1", "P6", "P9", "P10-path", "P12", "P15", "P19-shell", "P23-shred"])
def test_follows_no_link_and_no_mount_out_of_the_tree(victims, pattern):
    place = outside(victims)
    (victims / "to-file").symlink_to(place / "kept.txt")
    (victims / "to-folder").symlink_to(place)
    os.link(place / "kept.txt", victims / "second-name")
    (victims / "mounted").mkdir()
    (place / "inner").mkdir()
    (place / "inner/file").write_text("kept\n")
    subprocess.run(["mount", "-t", "tmpfs", "none", victims / "mounted"], check=True)
    try:
        (victims / "mounted/file").write_text("kept\n")
        before = manifest.take(place)
        assert lock(victims, pattern).returncode == 0
        assert not manifest.compare(before, place), manifest.compare(before, place)
        assert (victims / "mounted/file").read_text() == "kept\n"
    finally:
        subprocess.run(["umount", victims / "mounted"], check=True)


@pytest.mark.parametrize("options", [["--threads", 8], ["--threads", 50], ["--processes", 18], ["--processes", 64, "--threads", 2], ["--fork-per-file"]])
def test_every_file_once_by_many(scratch, victims, options):
    before, log = manifest.take(victims), scratch / "log"
    assert lock(victims, "P1", "--log", log, *options).returncode == 0
    begun = [line.split()[4] for line in log.read_text().splitlines() if line.startswith("begin")]
    pids = {line.split()[2] for line in log.read_text().splitlines()}
    assert len(begun) == len(set(begun)) == sum(1 for row in before.values() if row["type"] == "0o100000") - 1
    assert (len(pids) > 1) == ("--threads" not in options[:1])
    assert BIG in manifest.compare(before, victims).lost


def test_order_number_extension_note_and_rate(scratch, victims):
    log = scratch / "log"
    options = ["--order", "largest", "--files", 4, "--extension", ".babyk", "--note", "READ_ME.txt", "--rate", 20]
    start = time.monotonic_ns()
    assert lock(victims, "P6", "--log", log, *options).returncode == 0
    rows = [line.split() for line in log.read_text().splitlines() if line.startswith("begin")]
    assert len(rows) == 4 and os.fsencode(rows[0][4]) == BIG
    assert (victims / "sizes/odd.babyk").exists() and not (victims / "sizes/odd").exists()
    assert "ENCRYPTED" in (victims / "sizes/READ_ME.txt").read_text()
    assert int(rows[3][1]) - start >= 150_000_000, "three steps of 50 ms"


def test_random_order_is_the_seed_s(scratch, victims):
    orders = []
    for seed in (1, 1, 2):
        log = scratch / f"log-{len(orders)}"
        lock(victims, "P4-dots", "--order", "random", "--seed", seed, "--log", log)
        orders.append([line.split()[4] for line in log.read_text().splitlines() if line.startswith("begin")])
    assert orders[0] == orders[1] != orders[2]


def test_second_names_are_left_alone_unless_said(victims):
    os.link(victims / "sizes/odd", victims / "sizes/again")
    before = manifest.take(victims)
    lock(victims, "P1")
    assert BIG not in manifest.compare(before, victims).lost
    lock(victims, "P1", "--links", "--files", 1, "--order", "largest")
    assert BIG in manifest.compare(before, victims).lost


def test_manifest_sees_each_kind_of_difference(victims):
    name = pathlib.Path("documents/letter-0.txt")
    before = manifest.take(victims)
    os.utime(victims / name, ns=(1, 1))
    assert list(manifest.compare(before, victims).dated) == [os.fsencode(name)]
    for change in (
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
        lambda path: path.chmod(0o600),
        lambda path: os.chown(path, 1, 1),
        lambda path: os.setxattr(path, "user.comment", b"other"),
        lambda path: subprocess.run(["setfacl", "-m", "u:5:r", path], check=True),
        lambda path: path.unlink(),
    ):
        before = manifest.take(victims)
        change(victims / name)
        assert list(manifest.compare(before, victims).lost) == [os.fsencode(name)]
    before = manifest.take(victims)
    (victims / "new").write_text("")
    assert manifest.compare(before, victims).added == [b"new"]


def test_manifest_of_a_sparse_file_is_cheap_and_does_not_mind_the_layout(scratch):
    path = scratch / "tree/sparse"
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.truncate(5 << 30)
        file.seek(1 << 30)
        file.write(b"page" * 1000)
    before = manifest.take(path.parent)
    status = path.stat()
    with open(path, "r+b") as file:
        file.seek(2 << 30)
        file.write(bytes(1 << 20))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not manifest.compare(before, path.parent)
    with open(path, "r+b") as file:
        file.seek(3 << 30)
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert manifest.compare(before, path.parent).lost
