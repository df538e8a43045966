"""Installing: everything lands in its place and is gone again; the manual renders; the unit starts with what it promises."""
import os
import re
import subprocess

import pytest
from guard import HINOMI, ROOT


def make(*arguments):
    command = ["make", "--no-print-directory", "-s", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)


@pytest.fixture
def installed(scratch):
    make("install", f"DESTDIR={scratch}", "PREFIX=/usr")
    return scratch


def test_everything_has_its_place(installed):
    for name in (
        "usr/bin/hinomi",
        "usr/share/man/man1/hinomi.1",
        "usr/share/man/man5/hinomi.yaml.5",
        "usr/share/hinomi/packs/profiles/wordpress.yaml",
        "usr/share/locale/ja/LC_MESSAGES/hinomi.mo",
        "lib/systemd/system/hinomi.service",
        "usr/lib/sysusers.d/hinomi.conf",
    ):
        assert (installed / name).is_file(), name
    assert os.access(installed / "usr/bin/hinomi", os.X_OK)
    assert "ExecStart=/usr/bin/hinomi watch" in (installed / "lib/systemd/system/hinomi.service").read_text()


def test_installed_binary_finds_its_packs(installed, make_guard, tree, monkeypatch):
    import guard as guard_module

    monkeypatch.setattr(guard_module, "HINOMI", installed / "usr/bin/hinomi")
    guard = make_guard([{"path": tree, "profile": "wordpress"}])
    assert guard.run("status").returncode == 0


def test_uninstall_leaves_nothing(installed):
    make("uninstall", f"DESTDIR={installed}", "PREFIX=/usr")
    left = [path for path in installed.rglob("*") if path.is_file()]
    assert left == []


def test_unit_parses_and_is_hardened(installed):
    unit = installed / "lib/systemd/system/hinomi.service"
    subprocess.run([str(ROOT / "tools/check-unit-file"), str(unit)], check=True)
    text = unit.read_text()
    for line in ("Type=notify", "NotifyAccess=main", "NoNewPrivileges=yes", "Restart=always"):
        assert line in text
    assert re.search(r"^FileDescriptorStoreMax=[1-9]", text, re.M)
    assert re.search(r"^CapabilityBoundingSet=CAP_", text, re.M)


def test_sysusers_file_parses(installed):
    command = ["systemd-sysusers", "--dry-run", str(installed / "usr/lib/sysusers.d/hinomi.conf")]
    if subprocess.run(["systemd-sysusers", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no systemd-sysusers")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in result.stderr:
        command = ["systemd-sysusers", f"--root={installed}", str(installed / "usr/lib/sysusers.d/hinomi.conf")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", ["man1/hinomi.1", "man5/hinomi.yaml.5"])
def test_manual_renders_without_a_warning(installed, page):
    if subprocess.run(["sh", "-c", "command -v groff"], capture_output=True, check=False).returncode:
        pytest.skip("no groff")
    command = ["groff", "-K", "utf8", "-man", "-ww", "-z", "-Tutf8", str(installed / "usr/share/man" / page)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == ""


def test_binary_is_hardened():
    headers = subprocess.run(["readelf", "-W", "-l", "-d", str(HINOMI)], capture_output=True, text=True, check=True).stdout
    assert "GNU_RELRO" in headers and ("BIND_NOW" in headers or "NOW" in headers)
    assert "DYN" in subprocess.run(["readelf", "-h", str(HINOMI)], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"GNU_STACK.*RWE", headers)
