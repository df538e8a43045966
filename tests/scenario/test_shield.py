"""The ransomware shield, examined: every attack of tests/ransom/locker and every benign workload against
`protect: shield`. Without HINOMI_SHIELD=full a choice that takes about a minute; `make test-shield` takes all.

What is promised first comes first: no file is lost, whatever the pattern. Then that it is seen and stopped; and that
work that only looks alike is left alone.
"""
import os
import subprocess
import time

import pytest
from guard import CRITICAL, MEDIUM, poll
from ransom import attack, benign, corpus, manifest

FULL = os.environ.get("HINOMI_SHIELD") == "full"
QUICK = ["P1", "P5-alternate", "P6", "P7", "P9", "P10-path", "P12", "P15-copy", "P24-folder", "X-exchange"]
PATTERNS = {pattern.name: pattern for pattern in attack.patterns()} if attack.LOCKER.exists() else {}
NOT_OFFERED = {"X-clone": "needs reflinks"}
# What only goes, moves or is locked away looks like clearing up. It comes back, and nobody is told.
UNSEEN = {"P23-remove", "P23-lockout", "P23-rename", "P24-archive", "P24-copy", "P24-move", "P24-folder"}
# Each file has to be opened for writing while its neighbour waits for a verdict.
STOPPED = {"P1", "P2", "P3", "P4-step", "P4-percent", "P4-spots", "P9", "P10-fd", "P12", "P15", "P16-handle", "P20-python"}
STOPPED |= {"P22-base64", "P22-hex", "P22-gzip", "P23-zeros", "X-range"}
ALTERED_MAX = 10


def moment():
    """The next whole second, once it is there, as `--at` takes it: after what was, before what comes."""
    at = int(time.time()) + 1
    time.sleep(at + 0.1 - time.time())
    return f"@{at}"


@pytest.fixture
def office(scratch):
    tree = attack.make(scratch / "tree")
    corpus.fill(tree)
    return tree


class Examination:
    """One attack on one shielded tree: what came of it."""

    def __init__(self, make_guard, scratch, tree, pattern, *options, through=None, **keywords):
        self.tree = tree
        self.before = manifest.take(tree)
        row, tree = {"path": tree, "protect": "shield"}, through or tree
        options = ["--links", *options]
        if "elsewhere" in PATTERNS[pattern].needs:
            options += ["--elsewhere", attack.make(scratch / "elsewhere")]
        if pattern == "P17":
            self.attack = attack.Attack(scratch, tree, pattern, *options, **keywords)
            self.attack.ready()
            self.guard, self.at = make_guard([row]), moment()
            self.attack.go()
        else:
            self.guard, self.at = make_guard([row]), moment()
            self.attack = attack.Attack(scratch, tree, pattern, *options, **keywords)

    def wait(self, seconds=60):
        self.status = self.attack.ended(seconds)
        self.altered, self.begun = self.attack.altered()
        self.guard.settle()
        return self

    def restore(self):
        self.found = manifest.compare(self.before, self.tree)
        self.output = self.guard.run("restore", "--at", self.at, self.tree)
        return manifest.compare(self.before, self.tree)

    def describe(self):
        rows = [f"status {self.status}", str(self.attack.counters()), self.attack.read("stderr"), str(self.output)]
        return "\n".join([*rows, self.guard.describe()])


    def assert_nothing_lost(self):
        difference = self.restore()
        print(f"{self.attack.pattern}: {len(self.altered)} altered, {len(self.begun)} begun, status {self.status}, {len(difference.lost)} lost")
        assert self.altered or self.begun, f"nothing was altered: no examination\n{self.describe()}"
        assert not difference.lost, f"{difference}\n{self.describe()}"
        # A time alone is no change; of what was altered it has to be the old one.
        dated = {name for name in difference.dated if self.before[name].get("size")}
        assert self.attack.pattern == "P28" or not dated, difference

    def assert_seen(self):
        def verdicts():
            return [f for f in self.guard.findings() if f["severity_id"] == CRITICAL and "ransomware" in f["finding_info"]["types"]]

        poll(lambda: verdicts() or None, "a verdict", otherwise=self.describe)


@pytest.mark.parametrize("pattern", PATTERNS if FULL else QUICK)
def test_every_file_comes_back(make_guard, scratch, office, pattern):
    if pattern in NOT_OFFERED:
        pytest.skip(NOT_OFFERED[pattern])
    rate = ["--rate", 0] if pattern == "P21" else []
    case = Examination(make_guard, scratch, office, pattern, *rate).wait()
    case.assert_nothing_lost()
    if pattern not in UNSEEN:
        case.assert_seen()
    if pattern in STOPPED:
        assert case.status is None, f"it came to its end\n{case.describe()}"
        if FULL:  # how far one comes is a time in the end: for a machine that does nothing else
            assert len(case.altered | case.begun) <= ALTERED_MAX, case.describe()


MANY = {
    "8 threads": ("P1", "--threads", 8),
    "50 threads": ("P6", "--threads", 50),
    "50 threads that truncate": ("P9", "--threads", 50),
    "64 processes": ("P18", "--processes", 64),
    "500 processes": ("P18", "--processes", 500, "--note", "README.txt"),
    "a process for each file": ("P7", "--fork-per-file", "--order", "random"),
    "50 threads through mappings": ("P12", "--threads", 50, "--order", "largest"),
    "40 files a second": ("P6", "--rate", 40),
    "the old times set again": ("P1", "--keep-times"),
}


@pytest.mark.parametrize("how", MANY if FULL else ["500 processes", "the old times set again"])
def test_every_file_comes_back_from_many_hands(make_guard, scratch, how):
    tree = attack.make(scratch / "tree")
    corpus.fill(tree, n_each=2, n_more=600)
    case = Examination(make_guard, scratch, tree, *MANY[how]).wait()
    case.assert_nothing_lost()
    case.assert_seen()


@pytest.mark.skipif(not FULL, reason="minutes: make test-shield")
@pytest.mark.parametrize("pattern", ["P1", "P6", "P7", "P9", "P10-path", "P12", "P23-zeros", "X-punch"])
def test_large_file_comes_back(make_guard, scratch, pattern):
    tree = attack.make(scratch / "tree")
    corpus.fill(tree, n_each=1, large=[("vm/disk", 64 << 20, os.urandom(8 << 20))])
    Examination(make_guard, scratch, tree, pattern, "--order", "largest").wait().assert_nothing_lost()


@pytest.mark.skipif(not FULL, reason="minutes: make test-shield")
@pytest.mark.parametrize("pattern", ["P2", "P5-percent", "P23-remove", "P24-move", "X-punch"])
def test_sparse_file_of_5_gb_comes_back(make_guard, scratch, pattern):
    tree = attack.make(scratch / "tree")
    corpus.fill(tree, n_each=1, large=[("vm/disk", 5 << 30, os.urandom(1 << 20))])
    options = ["--order", "largest", "--files", "3"]
    Examination(make_guard, scratch, tree, pattern, *options).wait(300).assert_nothing_lost()


ELSEWHERE = ["P1", "P6", "P7", "P9", "P10-path", "P12", "P15-copy", "P16-handle", "P24-move", "X-clone", "X-direct", "X-exchange"]


@pytest.mark.skipif(not FULL, reason="minutes: make test-shield")
@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_every_file_comes_back_on_each_file_system(make_guard, scratch, place, pattern):
    if pattern == "X-clone" and place.name not in ("xfs", "btrfs"):
        pytest.skip(NOT_OFFERED[pattern])
    tree = attack.make(place / "tree")
    corpus.fill(tree, n_each=2)
    case = Examination(make_guard, place if pattern == "P24-move" else scratch, tree, pattern).wait()
    case.assert_nothing_lost()
    case.guard.stop()


@pytest.mark.parametrize("pattern", ELSEWHERE[:5] if FULL else ["P6"])
def test_every_file_comes_back_from_behind_a_bind_mount(make_guard, scratch, office, pattern):
    other = scratch / "other"
    other.mkdir()
    subprocess.run(["mount", "--bind", str(office), str(other)], check=True)
    try:
        case = Examination(make_guard, scratch, office, pattern, through=other).wait()
        case.assert_nothing_lost()
        case.assert_seen()
    finally:
        subprocess.run(["umount", str(other)], check=True)


def test_every_file_comes_back_from_its_owner(make_guard, scratch):
    """The attacker is whom the files belong to, as with a web server or a mailbox."""
    tree = attack.make(scratch / "tree")
    corpus.fill(tree, n_each=2)
    for folder, folders, files in os.walk(tree):
        for path in [folder, *(os.path.join(folder, name) for name in files)]:
            os.chown(path, 33, 33, follow_symlinks=False)
    Examination(make_guard, scratch, tree, "P6", user=33).wait().assert_nothing_lost()


QUIET = ["compressed_in_place_by_gzip", "git_of_everything", "words_replaced_by_sed", "renamed_all", "databases_vacuumed"]
QUIET += ["one_file_encrypted_by_its_owner", "backup_restored", "saved_by_editors", "old_folders_removed"]


@pytest.fixture
def offices(make_guard, scratch):
    """offices([name…]) → a guard and a shielded tree for each name, all under the one guard."""

    def make(names):
        trees = {}
        for name in names:
            trees[name] = scratch / "offices" / name
            corpus.fill(trees[name])
        return make_guard([{"path": tree, "protect": "shield"} for tree in trees.values()]), trees

    return make


@pytest.mark.parametrize("names", [[name] for name in benign.WORKLOADS] if FULL else [QUIET], ids=lambda names: "+".join(names)[:60])
def test_work_that_only_looks_alike_is_left_alone(offices, scratch, names):
    """Nobody is held, nobody is killed, and nobody is told more than medium."""
    absent = {name: benign.missing(name) for name in names if benign.missing(name)}
    if len(absent) == len(names):
        pytest.skip(f"needs {absent}")
    guard, trees = offices([name for name in names if name not in absent])
    for name, tree in trees.items():
        place = scratch / f"place-{name}"
        place.mkdir()
        status, output = benign.run(name, tree, place)
        assert status == 0, f"{name}: {status}\n{output}\n{guard.describe()}"
        guard.assert_quiet(tree, above=MEDIUM)
        assert guard.lines("held") == [], name
    assert [a for a in guard.actions() if a["name"] in ("kill", "hold", "stop")] == []
