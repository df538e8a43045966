"""The same promises on the file systems that servers use."""
import os
import subprocess

import pytest
from guard import poll, stands


def has_identity(place):
    """tmpfs has none before Linux 5.13, and is then not reported on."""
    return os.statvfs(place).f_fsid != 0


def test_seen_and_put_back(place, make_guard):
    tree = place / "tree"
    (tree / "lib").mkdir(parents=True)
    (tree / "lib/order.php").write_text("<?php // approved\n")
    guard = make_guard([{"path": tree, "respond": "restore"}])
    if not has_identity(place):
        assert guard.run("status").returncode == 1, guard.run("doctor").stdout
        assert str(tree) in "".join(check.get("subject", "") for check in guard.lines("doctor") if check["state"] == "fail")
        return
    assert guard.run("status").returncode == 0, guard.run("doctor").stdout
    (tree / "lib/order.php").write_text("<?php // tampered\n")
    guard.seen(tree / "lib/order.php", "modified")
    stands(tree / "lib/order.php", b"<?php // approved\n")
    (tree / "lib/x.php").write_text("<?php\n")
    stands(tree / "lib/x.php", None)
    os.unlink(tree / "lib/order.php")
    stands(tree / "lib/order.php", b"<?php // approved\n")


def test_btrfs_subvolume(scratch, make_guard):
    image, target = scratch / "image", scratch / "mount"
    target.mkdir()
    with open(image, "wb") as file:
        file.truncate(130 << 20)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, stdout=subprocess.DEVNULL)
    if subprocess.run(["mount", "-o", "loop", str(image), str(target)], capture_output=True, check=False).returncode:
        pytest.skip("btrfs cannot be mounted here")
    try:
        subprocess.run(["btrfs", "-q", "subvolume", "create", str(target / "web")], check=True)
        (target / "web/index.php").write_text("<?php // approved\n")
        guard = make_guard([{"path": target / "web"}])
        (target / "web/index.php").write_text("<?php // tampered\n")

        def said():
            return guard.evidence(target / "web/index.php") or guard.run("status").returncode == 1

        poll(said, "a finding, or status to say that it is not guarded", 60, guard.describe)
        guard.stop()
    finally:
        poll(lambda: subprocess.run(["umount", str(target)], capture_output=True, check=False).returncode == 0, "umount", 30)
