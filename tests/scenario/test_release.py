"""A release is an approved change: by whom it is made counts, not when. Many files in one go are one finding."""
import os
import shutil
import subprocess
import textwrap

import pytest
from guard import MEDIUM, poll, stands


def releases(guard):
    return [line["release"] for line in guard.lines("release", "list") if line["release"]["kind"] != "baseline"]


def upgrade(tree):
    """A shell script that changes, adds and removes."""
    return f"""
        cd '{tree}' && echo '// 2.0' >>lib/order.php && echo '<?php // new' >lib/new.php && rm js/cart.js
        mkdir -p vendor/acme && echo '<?php // acme' >vendor/acme/acme.php && chmod 600 index.php
    """


def test_release_around_a_command_is_no_finding(guard, tree):
    guard.done("release", "--name", "2.0", "--", "sh", "-c", upgrade(tree))
    assert guard.about(tree) == []
    assert guard.run("diff", tree).returncode == 0


def test_release_leaves_one_record_with_a_summary(guard, tree):
    guard.done("release", "--name", "2.0", "--", "sh", "-c", upgrade(tree))
    made = [release for release in releases(guard) if release["name"] == "2.0"]
    assert len(made) == 1
    assert made[0]["n_changed"] >= 1 and made[0]["n_added"] >= 2 and made[0]["n_removed"] == 1
    assert made[0]["n_foreign"] == 0
    guard.done("ledger", "prove", made[0]["sequence"])


def test_release_is_approved_for_good(guard, tree):
    guard.done("release", "--name", "2.0", "--", "sh", "-c", upgrade(tree))
    guard.restart()
    assert guard.about(tree) == []
    assert guard.run("diff", tree).returncode == 0


def test_release_status_is_that_of_the_command(guard, tree):
    assert guard.run("release", "--", "sh", "-c", "exit 7").returncode == 7
    assert guard.run("release", "--", "/nonexistent/program").returncode in (3, 126, 127)
    assert all(release["end"] for release in releases(guard))


def test_release_in_a_restoring_tree_stays(make_guard, tree):
    guard = make_guard([{"path": tree, "respond": "restore"}])
    guard.done("release", "--name", "2.0", "--", "sh", "-c", upgrade(tree))
    guard.settle()
    assert (tree / "lib/new.php").read_text() == "<?php // new\n"
    assert not (tree / "js/cart.js").exists()


def test_release_reverted_as_a_whole(guard, tree):
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    guard.done("release", "--name", "2.0", "--", "sh", "-c", upgrade(tree))
    guard.done("release", "revert", "2.0")
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
    assert (tree / "index.php").stat().st_mode & 0o777 == 0o644
    guard.settle()
    assert guard.run("diff", tree).returncode == 0


def test_release_reverted_dry_run_does_nothing(guard, tree):
    guard.done("release", "--name", "2.0", "--", "sh", "-c", upgrade(tree))
    after = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    output = guard.run("release", "revert", "--dry-run", "2.0").stdout
    assert "new.php" in output and "cart.js" in output
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == after


def test_what_another_process_slips_in_meanwhile_is_a_finding(guard, tree):
    script = f"touch '{tree}/started'; echo '// 2.0' >>'{tree}/lib/order.php'; while [ ! -e '{tree}/go' ]; do sleep 0.1; done"
    command = subprocess.Popen([os.environ.get("HINOMI", "build/hinomi"), "release", *guard.arguments(), "--name", "2.0"]
                               + ["--", "sh", "-c", script], cwd=os.getcwd())  # fmt: skip
    poll(lambda: (tree / "started").exists(), "the release to run")
    (tree / "lib/slipped.php").write_text("<?php echo 'slipped';\n")
    _, evidence = guard.seen(tree / "lib/slipped.php", "created", MEDIUM)
    (tree / "go").write_text("")
    assert command.wait() == 0
    about = [e["file"]["path"] for finding in guard.about(tree) for e in finding["evidences"]]
    assert str(tree / "lib/slipped.php") in about
    assert str(tree / "lib/order.php") not in about
    assert releases(guard)[-1]["n_foreign"] >= 1


def test_begin_and_end_cover_the_shell_and_what_it_starts(guard, tree):
    options = " ".join(f"'{word}'" for word in guard.arguments())
    hinomi = os.path.realpath(os.environ.get("HINOMI", "build/hinomi"))
    script = f"""
        '{hinomi}' release begin {options} spring || exit 1
        echo '// by the shell' >>'{tree}/lib/order.php'
        cp '{tree}/index.php' '{tree}/lib/copied.php'
        '{hinomi}' release end {options} spring || exit 1
        echo '// after' >>'{tree}/js/cart.js'
    """
    subprocess.run(["sh", "-c", textwrap.dedent(script)], check=True)
    guard.seen(tree / "js/cart.js", "modified")
    about = [e["file"]["path"] for finding in guard.about(tree) for e in finding["evidences"]]
    assert about == [str(tree / "js/cart.js")]


def test_release_whose_holder_dies_ends_by_itself(guard, tree):
    holder = subprocess.Popen(["sleep", "1000"])
    try:
        guard.done("release", "begin", "--pid", holder.pid, "left-open")
    finally:
        holder.kill()
        holder.wait()
    poll(lambda: all(release["end"] for release in releases(guard)), "the release to end", 30, guard.describe)
    (tree / "lib/order.php").write_text("<?php // later\n")
    guard.seen(tree / "lib/order.php", "modified")


def test_release_survives_a_restart_of_the_sentry(guard, tree):
    go = tree.parent / "go"
    script = f"touch '{go}.1'; while [ ! -e '{go}' ]; do sleep 0.1; done; echo '// 2.0' >>'{tree}/lib/order.php'"
    command = subprocess.Popen([os.environ.get("HINOMI", "build/hinomi"), "release", *guard.arguments(), "--name", "2.0"]
                               + ["--", "sh", "-c", script])  # fmt: skip
    poll(lambda: go.with_suffix(".1").exists(), "the release to run")
    old = guard.role_pid("sentry")
    os.kill(old, 9)
    poll(lambda: guard.role_pid("sentry") not in (None, old), "a new sentry")
    go.write_text("")
    command.wait()
    assert guard.about(tree) == []


def copy_files(source, target, n=35):
    source.mkdir()
    for i in range(n):
        (source / f"f{i}.php").write_text(f"<?php // new {i}\n")
    subprocess.run(["cp", "-r", f"{source}/.", str(target)], check=True)


def test_thirty_five_files_in_one_go_are_one_finding(guard, tree, scratch):
    copy_files(scratch / "new", tree / "lib")
    guard.seen(tree / "lib/f34.php", "created")
    findings = guard.about(tree)
    assert len(findings) == 1, guard.describe()
    assert findings[0]["unmapped"]["n_files"] == 35
    assert len(findings[0]["evidences"]) == 35


def test_full_copy_of_identical_content_is_none(guard, tree, scratch):
    shutil.copytree(tree, scratch / "same")
    subprocess.run(["cp", "-r", f"{scratch}/same/.", str(tree)], check=True)
    for path in tree.rglob("*.php"):
        os.utime(path)
        os.rename(path, f"{path}.part")
        os.rename(f"{path}.part", path)
    assert [f for f in guard.about(tree) if any(e["data"]["kind"] == "modified" for e in f["evidences"])] == []
    assert guard.run("diff", tree).returncode == 0


def test_full_copy_where_two_files_differ_is_one_finding_with_two(guard, tree, scratch):
    shutil.copytree(tree, scratch / "next")
    (scratch / "next/lib/order.php").write_text("<?php // next\n")
    (scratch / "next/js/cart.js").write_text("// next\n")
    subprocess.run(["cp", "-r", f"{scratch}/next/.", str(tree)], check=True)
    guard.seen(tree / "lib/order.php", "modified")
    guard.seen(tree / "js/cart.js", "modified")
    findings = guard.about(tree)
    assert len(findings) == 1
    kept = {e["file"]["path"] for e in findings[0]["evidences"] if e["data"]["kind"] == "modified"}
    assert kept == {str(tree / "lib/order.php"), str(tree / "js/cart.js")}


PACKAGE, PLACE = "hinomi-test-shop", "/opt/hinomi-test-shop"


def build_package(folder, version):
    root = folder / f"package-{version}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / PLACE.lstrip("/") / "lib").mkdir(parents=True)
    control = f"Package: {PACKAGE}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@shop.example>\n"
    (root / "DEBIAN/control").write_text(control + "Description: files for a test\n")
    sums = []
    for name, text in {"lib/shop.php": f"<?php // {version}\n", f"lib/only-{version}.php": "<?php\n"}.items():
        path = root / PLACE.lstrip("/") / name
        path.write_text(text)
        result = subprocess.run(["md5sum", str(path.relative_to(root))], cwd=root, capture_output=True, text=True, check=True)
        sums.append(result.stdout)
    (root / "DEBIAN/md5sums").write_text("".join(sums))
    (root / PLACE.lstrip("/") / "shop.conf").write_text(f"version={version}\n")
    (root / "DEBIAN/conffiles").write_text(f"{PLACE}/shop.conf\n")
    package = folder / f"{PACKAGE}-{version}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-b", str(root), str(package)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return str(package)


@pytest.fixture
def installed(scratch):
    """A package of our own, with a place of its own on this machine for as long as the test runs."""
    first, second = build_package(scratch, "1.0"), build_package(scratch, "2.0")
    subprocess.run(["dpkg", "-i", first], check=True, stdout=subprocess.DEVNULL)
    yield second
    subprocess.run(["dpkg", "--purge", PACKAGE], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shutil.rmtree(PLACE, ignore_errors=True)


def test_upgrade_of_a_package_is_quiet_and_tampering_with_it_is_not(make_guard, installed):
    import pathlib

    place = pathlib.Path(PLACE)
    guard = make_guard([{"path": place}])
    subprocess.run(["dpkg", "-i", installed], check=True, stdout=subprocess.DEVNULL)
    assert (place / "lib/shop.php").read_text() == "<?php // 2.0\n"
    guard.assert_quiet(place, above=1)
    poll(lambda: any(release["kind"] == "dpkg" for release in releases(guard)), "a record of the upgrade", 30, guard.describe)
    (place / "lib/shop.php").write_text("<?php // tampered\n")
    guard.seen(place / "lib/shop.php", "modified", MEDIUM)
    stands(place / "lib/shop.php", b"<?php // tampered\n")


def test_upgrade_in_two_runs_as_apt_does_it_is_quiet(make_guard, installed):
    import pathlib

    place = pathlib.Path(PLACE)
    guard = make_guard([{"path": place}])
    subprocess.run(["dpkg", "--unpack", installed], check=True, stdout=subprocess.DEVNULL)
    assert (place / "shop.conf.dpkg-new").exists()
    poll(lambda: any(release["kind"] == "dpkg" for release in releases(guard)), "a record of the unpacking", 30, guard.describe)
    subprocess.run(["dpkg", "--configure", PACKAGE], check=True, stdout=subprocess.DEVNULL)
    assert (place / "shop.conf").read_text() == "version=2.0\n"
    guard.assert_quiet(place, above=1)
    poll(lambda: guard.run("diff", place).returncode == 0, "the new state to be approved", 30, guard.describe)


def test_what_dpkg_did_not_ship_is_a_finding_even_while_it_runs(make_guard, installed):
    """A maintainer script that plants something is not covered by the package's own sums."""
    import pathlib

    place = pathlib.Path(PLACE)
    guard = make_guard([{"path": place}])
    package = pathlib.Path(installed).parent / "package-2.0"
    (package / "DEBIAN/postinst").write_text(f"#!/bin/sh\necho '<?php // planted' >{PLACE}/lib/planted.php\n")
    (package / "DEBIAN/postinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(package), installed], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["dpkg", "-i", installed], check=True, stdout=subprocess.DEVNULL)
    guard.seen(place / "lib/planted.php", "created")
    about = [e["file"]["path"] for finding in guard.about(place) for e in finding["evidences"]]
    assert f"{PLACE}/lib/shop.php" not in about


def test_many_files_of_one_hand_are_few_paragraphs(guard, tree):
    """Printed for a person: what a finding gains within a second stands together, and nothing is left out."""
    for i in range(200):
        subprocess.run(["cp", tree / "lib/order.php", tree / f"lib/copy-{i}.php"], check=True)
    guard.seen(tree / "lib/copy-199.php", "created")
    guard.stop()
    printed = guard.stdout.read_text()
    more = [block for block in printed.split("\n\n") if "(more)" in block]
    assert 1 <= len(more) < 50
    assert "copy-0.php" in printed
