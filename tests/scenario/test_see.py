"""Every change in a guarded tree is seen, by whatever way it is made."""
import ctypes
import mmap
import os
import shutil
import socket
import subprocess
import time
import sys

import pytest
from guard import escaped, poll

NEW = "<?php\necho 'changed';\n"


def run(*command, **keywords):
    return subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL, **keywords)


def test_written_in_place(guard, tree):
    path = tree / "lib/order.php"
    with open(path, "r+b") as file:
        file.seek(6)
        file.write(b"/* altered */")
    _, evidence = guard.seen(path, "modified")
    assert "+/* altered */" in evidence["data"]["diff"]
    assert "-function total($rows) {" in evidence["data"]["diff"]


def test_appended(guard, tree):
    path = tree / "js/cart.js"
    with open(path, "a") as file:
        file.write("document.title = 'more';\n")
    _, evidence = guard.seen(path, "modified")
    assert "+document.title = 'more';" in evidence["data"]["diff"]
    assert "-document" not in evidence["data"]["diff"]
    assert evidence["data"]["after"]["size"] > evidence["data"]["before"]["size"]


def test_truncated(guard, tree):
    path = tree / "index.php"
    os.truncate(path, 0)
    _, evidence = guard.seen(path, "modified")
    assert evidence["data"]["after"]["size"] == 0


def test_renamed_over(guard, tree, scratch):
    path, new = tree / "lib/order.php", scratch / "order.new"
    new.write_text(NEW)
    os.rename(new, path)
    _, evidence = guard.seen(path, "modified")
    assert "+echo 'changed';" in evidence["data"]["diff"]


def test_created(guard, tree):
    path = tree / "lib/shell.php"
    path.write_text(NEW)
    _, evidence = guard.seen(path, "created")
    assert evidence["data"]["before"] is None
    assert evidence["file"]["size"] == len(NEW)


def test_deleted(guard, tree):
    path = tree / "lib/order.php"
    path.unlink()
    _, evidence = guard.seen(path, "deleted")
    assert evidence["data"]["after"] is None


def test_renamed_inside(guard, tree):
    os.rename(tree / "index.php", tree / "index.php.bak")
    guard.seen(tree / "index.php", "deleted")
    guard.seen(tree / "index.php.bak", "created")


def test_directory_renamed(guard, tree):
    os.rename(tree / "lib", tree / "library")
    guard.seen(tree / "lib/order.php", "deleted")
    guard.seen(tree / "library/order.php", "created")


def test_directory_moved_in(guard, tree, scratch):
    (scratch / "theme/deep").mkdir(parents=True)
    (scratch / "theme/deep/page.php").write_text(NEW)
    os.rename(scratch / "theme", tree / "theme")
    guard.seen(tree / "theme/deep/page.php", "created")


def test_directory_moved_out(guard, tree, scratch):
    os.rename(tree / "lib", scratch / "lib")
    guard.seen(tree / "lib/order.php", "deleted")


def test_directory_deleted(guard, tree):
    """Told by its files; an empty one by itself."""
    (tree / "empty").mkdir()
    guard.seen(tree / "empty", "created")
    guard.done("approve", tree / "empty")
    shutil.rmtree(tree / "template")
    (tree / "empty").rmdir()
    guard.seen(tree / "template/checkout.twig", "deleted")
    guard.seen(tree / "empty", "deleted")


def test_mode_changed(guard, tree):
    path = tree / "lib/order.php"
    path.chmod(0o777)
    _, evidence = guard.seen(path, "attributes")
    assert (evidence["data"]["before"]["mode"], evidence["data"]["after"]["mode"]) == ("0644", "0777")


def test_made_setuid(guard, tree):
    path = tree / "lib/order.php"
    path.chmod(0o4755)
    _, evidence = guard.seen(path, "attributes")
    assert evidence["data"]["after"]["mode"] == "4755"


def test_mode_of_a_directory_changed(guard, tree):
    (tree / "lib").chmod(0o777)
    guard.seen(tree / "lib", "attributes")


def test_owner_changed(guard, tree):
    path = tree / "lib/order.php"
    os.chown(path, 33, 33)
    _, evidence = guard.seen(path, "attributes")
    assert (evidence["data"]["before"]["uid"], evidence["data"]["after"]["uid"]) == (0, 33)


def test_extended_attribute_set(guard, tree):
    path = tree / "lib/order.php"
    os.setxattr(path, "user.hint", b"x")
    _, evidence = guard.seen(path, "attributes")
    assert evidence["data"]["after"]["xattr_sha256"]


def test_access_list_set(guard, tree):
    path = tree / "lib/order.php"
    run("setfacl", "-m", "u:www-data:rw", path)
    guard.seen(path, "attributes")


def test_only_touched_is_no_change(guard, tree):
    os.utime(tree / "lib/order.php", (1_600_000_000, 1_600_000_000))
    assert guard.about(tree) == []


def test_symbolic_link_made(guard, tree):
    path = tree / "lib/out"
    os.symlink("/etc/passwd", path)
    _, evidence = guard.seen(path, "created")
    assert evidence["file"]["type"] == "Symbolic Link"
    assert evidence["data"]["after"]["target"] == "/etc/passwd"


def test_file_replaced_by_a_symbolic_link(guard, tree, scratch):
    path = tree / "lib/order.php"
    os.symlink("/tmp/order.php", scratch / "link")
    os.rename(scratch / "link", path)
    _, evidence = guard.seen(path, "modified")
    assert evidence["data"]["after"]["target"] == "/tmp/order.php"


def test_pipe_and_socket_made(guard, tree):
    os.mkfifo(tree / "lib/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "lib/socket"))
        _, pipe = guard.seen(tree / "lib/pipe", "created")
        _, sock = guard.seen(tree / "lib/socket", "created")
    assert pipe["file"]["type"] == "Named Pipe"
    assert sock["file"]["type"] == "Local Socket"


def test_written_through_a_hard_link_from_outside(make_guard, tree, scratch):
    path, outside = tree / "lib/order.php", scratch / "outside.php"
    os.link(path, outside)
    guard = make_guard([{"path": tree}])
    outside.write_text(NEW)
    _, evidence = guard.seen(path, "modified")
    assert "+echo 'changed';" in evidence["data"]["diff"]


def test_written_through_a_hard_link_made_while_watching(guard, tree, scratch):
    path, outside = tree / "lib/order.php", scratch / "outside.php"
    os.link(path, outside)
    outside.write_text(NEW)
    guard.seen(path, "modified")


def test_outside_file_linked_in_and_then_written_outside(guard, tree, scratch):
    path, outside = tree / "lib/linked.php", scratch / "outside.php"
    outside.write_text("<?php\n")
    os.link(outside, path)
    guard.seen(path, "created")
    outside.write_text(NEW)
    guard.seen(path, accept=lambda _, evidence: evidence["data"]["after"]["size"] == len(NEW))


def test_written_through_a_bind_mount_from_outside(guard, tree, scratch):
    (scratch / "mount").mkdir()
    script = 'mount --bind "$1" "$2" && echo "echo 1;" >>"$2/lib/order.php" && echo "<?php" >"$2/lib/new.php"'
    run("unshare", "--mount", "sh", "-c", script, "sh", tree, scratch / "mount")
    guard.seen(tree / "lib/order.php", "modified")
    guard.seen(tree / "lib/new.php", "created")


def test_bind_mounted_over_inside_the_tree_is_said(guard, tree, scratch):
    """Nothing in the tree's file system changes, but everybody sees other files: never silence."""
    (scratch / "other").mkdir()
    (scratch / "other/order.php").write_text(NEW)
    run("mount", "--bind", scratch / "other", tree / "lib")
    try:

        def said():
            loud = [line for line in guard.lines("doctor") if line["state"] != "ok"]
            return any(str(tree) in str(line) for line in loud) or guard.evidence(tree / "lib/order.php")

        poll(said, "doctor or a finding to speak of the mount", 30, guard.describe)
    finally:
        run("umount", tree / "lib")


def test_stored_through_a_shared_mapping(guard, tree):
    path = tree / "lib/order.php"
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        mapping[6:14] = b"FUNCTION"
    _, evidence = guard.seen(path, "modified")
    assert "+FUNCTION" in evidence["data"]["diff"]


def test_stored_through_a_mapping_that_stays(make_guard, tree):
    """The kernel reports nothing until the mapping goes: the sweep finds it."""
    guard = make_guard([{"path": tree}], options={"sweep": {"interval": "10 s"}})
    path = tree / "lib/order.php"
    with open(path, "r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    with mapping:
        mapping[6:14] = b"FUNCTION"
        guard.seen(path, "modified")


def test_modified_and_reverted_within_milliseconds(guard, tree):
    """The kernel joins what one process does to one file until it is read: the two writes are milliseconds apart."""
    path = tree / "lib/order.php"
    before = path.read_bytes()
    for _ in range(50):
        path.write_bytes(b"<?php\nfile_get_contents('x');\n")
        time.sleep(0.003)
        path.write_bytes(before)
        guard.settle()
        if guard.evidence(path):
            break
    guard.seen(path, ("reverted", "modified"))


def test_created_and_deleted_at_once(guard, tree):
    path = tree / "lib/gone.php"
    path.write_text(NEW)
    path.unlink()
    guard.seen(path)


def test_new_directory_and_its_file_at_once(guard, tree):
    path = tree / "a/b/c/d/e/file.php"
    path.parent.mkdir(parents=True)
    path.write_text(NEW)
    guard.seen(path, "created")


def test_new_directories_and_files_by_a_fast_program(guard, tree, scratch):
    source = scratch / "source"
    for i in range(20):
        for j in range(5):
            directory = source / f"d{i}/e{j}"
            directory.mkdir(parents=True)
            (directory / "f.php").write_text(f"<?php // {i} {j}\n")
    run("cp", "-r", source, tree / "copied")
    for i in range(20):
        for j in range(5):
            guard.seen(tree / f"copied/d{i}/e{j}/f.php", "created")


def test_written_in_a_directory_made_while_watching(guard, tree):
    (tree / "new").mkdir()
    guard.settle()
    (tree / "new/late.php").write_text(NEW)
    guard.seen(tree / "new/late.php", "created")


def deployed(root):
    for number in (1, 2):
        (root / f"releases/{number}").mkdir(parents=True)
        (root / f"releases/{number}/index.php").write_text(f"<?php echo {number};\n")
    os.symlink("releases/1", root / "current")


def switch(root):
    os.symlink("releases/2", root / "current.new")
    os.rename(root / "current.new", root / "current")


def test_deploy_by_symlink_switch_inside_the_tree(make_guard, scratch):
    deployed(scratch / "app")
    guard = make_guard([{"path": scratch / "app"}])
    switch(scratch / "app")
    _, evidence = guard.seen(scratch / "app/current", "modified")
    assert evidence["data"]["before"]["target"] == "releases/1"
    assert evidence["data"]["after"]["target"] == "releases/2"


def test_deploy_by_symlink_switch_of_the_tree_itself(make_guard, scratch):
    """The web root that is guarded is the link: after the switch other files are served, and guarded."""
    root = scratch / "app"
    deployed(root)
    guard = make_guard([{"path": root / "current"}])
    switch(root)

    def about(path):
        return [e for f in guard.findings() for e in f["evidences"] if e["file"]["path"].startswith(escaped(path))]

    poll(lambda: about(root / "current") or about(root / "releases"), "the switch to be seen", 30, guard.describe)
    guard.settle()
    before = len(about(root))
    (root / "releases/2/index.php").write_text("<?php echo 'tampered';\n")
    poll(lambda: len(about(root)) > before, "a write in the new release to be seen", 30, guard.describe)


def test_written_while_down(guard, tree):
    guard.stop()
    (tree / "lib/order.php").write_text(NEW)
    (tree / "lib/new.php").write_text(NEW)
    (tree / "js/cart.js").unlink()
    (tree / "index.php").chmod(0o777)
    guard.start()
    for path, kind in (("lib/order.php", "modified"), ("lib/new.php", "created")):
        _, evidence = guard.seen(tree / path, kind)
        assert evidence["data"]["offline"] is True
    guard.seen(tree / "js/cart.js", "deleted")
    guard.seen(tree / "index.php", "attributes")


def test_written_while_down_with_its_old_times_and_size(guard, tree):
    """As touch -r does after an attack; the change time of the inode tells."""
    path = tree / "lib/order.php"
    before = path.stat()
    guard.stop()
    with open(path, "r+b") as file:
        file.seek(6)
        file.write(b"FUNCTION")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    guard.start()
    guard.seen(path, "modified")


def test_written_after_a_kill_and_before_the_next_start(guard, tree):
    guard.kill()
    (tree / "lib/order.php").write_text(NEW)
    guard.start()
    guard.seen(tree / "lib/order.php", "modified")


def test_the_tree_itself_is_replaced(guard, tree, scratch):
    """Moved away and made anew: what stands at the path is guarded, and the files that are gone are said."""
    os.rename(tree, scratch / "away")
    tree.mkdir()
    (tree / "index.php").write_text(NEW)

    def said():
        return guard.evidence(tree / "lib/order.php") or guard.run("doctor").returncode == 1

    poll(said, "a finding or doctor to speak of the tree", 30, guard.describe)


def test_a_burst_loses_nothing(guard, tree):
    n = 12000
    directory = tree / "burst"
    directory.mkdir()
    for i in range(n):
        os.close(os.open(directory / f"f{i}", os.O_CREAT | os.O_WRONLY))
    (directory / "marker.php").write_text(NEW)

    def counted():
        inside = [f for f in guard.findings() if any("/burst" in e["file"]["path"] for e in f["evidences"])]
        return sum(f["unmapped"]["n_files"] for f in inside) >= n + 1

    poll(counted, f"{n + 1} files in findings", 60, guard.describe)
    guard.settle()


def test_other_trees_on_the_same_file_system_are_not_looked_at(guard, tree, scratch):
    for i in range(200):
        (scratch / f"other-{i}").write_text("x")
    assert guard.about(scratch) == []


def test_two_trees_one_inside_the_other(make_guard, tree):
    guard = make_guard([{"path": tree}, {"path": tree / "lib", "protect": "watch"}])
    (tree / "lib/order.php").write_text(NEW)
    (tree / "index.php").write_text(NEW)
    _, inner = guard.seen(tree / "lib/order.php", "modified")
    _, outer = guard.seen(tree / "index.php", "modified")
    assert inner["data"]["tree"] == str(tree / "lib")
    assert outer["data"]["tree"] == str(tree)


def test_written_through_a_descriptor_opened_before(guard, tree):
    """Written through a descriptor that was opened before the guard started and is closed after."""
    path = tree / "lib/order.php"
    with open(path, "ab") as file:
        guard.restart()
        file.write(b"// late\n")
    guard.seen(path, "modified")


def test_copied_by_the_kernel(guard, tree, scratch):
    """copy_file_range(2), and FICLONE where the file system has it, write without write(2)."""
    path = tree / "lib/order.php"
    (scratch / "new").write_text(NEW)
    with open(scratch / "new", "rb") as source, open(path, "r+b") as target:
        os.copy_file_range(source.fileno(), target.fileno(), len(NEW))
    guard.seen(path, "modified")


def test_hole_punched(guard, tree):
    path = tree / "lib/order.php"
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "r+b") as file:
        if libc.fallocate(file.fileno(), 3, ctypes.c_long(0), ctypes.c_long(6)):
            pytest.skip("no holes on this file system")
    guard.seen(path, "modified")


@pytest.mark.skipif(sys.maxsize < 2**32, reason="64 bit only")
def test_exchanged_by_renameat2(guard, tree):
    libc = ctypes.CDLL(None, use_errno=True)
    first, second = tree / "lib/order.php", tree / "js/cart.js"
    texts = first.read_text(), second.read_text()
    assert libc.renameat2(-100, os.fsencode(first), -100, os.fsencode(second), 2) == 0
    assert (second.read_text(), first.read_text()) == texts
    guard.seen(first, "modified")
    guard.seen(second, "modified")
