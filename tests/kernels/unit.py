"""hinomi.service as `make install` leaves it, under the systemd that runs this machine. The tests follow each other."""
import os
import pathlib
import pwd
import re
import signal
import subprocess
import threading
import time

import guard as guard_module
import pytest
from guard import Guard, descendants, poll, stands

PLACE = pathlib.Path("/srv/guarded")
CONFIGURATION = """
trees:
  - {path: /srv/guarded/shop, protect: mirror, profile: none, respond: restore}
  - {path: /srv/guarded/closed, protect: mirror, profile: none, respond: refuse}
  - {path: /srv/guarded/files, protect: mirror, profile: none, respond: observe}
  - {path: /srv/guarded/marks, protect: watch, profile: none, respond: observe}
  - {path: /etc, protect: mirror, profile: none, respond: observe}
"""
EXPOSED_AT_MOST = 5.4
NOISE = r"denied|not permitted|cannot|failed|timed out|[Kk]illing|core-dump|watchdog|assert"


def run(*command, check=True, seconds=120):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=seconds)
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def shown(name):
    return run("systemctl", "show", "--value", "-p", name, "hinomi").strip()


def journal(*arguments):
    return run("journalctl", "--no-pager", "-o", "cat", "-b", *arguments)


class Service(Guard):
    """The guard that systemd runs, with the same questions as one of a test's own."""

    def __init__(self):
        self.marks, self.n_marks = PLACE / "marks", int(time.monotonic())

    def arguments(self):
        return []

    def output(self):
        return journal("-u", "hinomi", "-n", "60") + run("systemctl", "status", "hinomi", check=False)

    def roles(self):
        found = {}
        for pid, command in descendants(int(shown("MainPID"))).items():
            role = re.search(r" -x (\w+)", command)
            if role:
                found[role.group(1)] = pid
        return found


@pytest.fixture(scope="module")
def service():
    guard_module.HINOMI = pathlib.Path("/usr/local/bin/hinomi")
    for name in ("shop/lib", "closed", "files", "marks"):
        (PLACE / name).mkdir(parents=True)
    (PLACE / "shop/index.php").write_text("<?php // approved\n")
    (PLACE / "closed/index.php").write_text("<?php // approved\n")
    os.chown(PLACE / "shop/index.php", 33, 33)
    os.chmod(PLACE / "shop/index.php", 0o4750)
    run("setfacl", "-m", "u:nobody:r", PLACE / "shop/index.php")
    run("setfattr", "-n", "user.shop", "-v", "yes", PLACE / "shop/index.php")
    run("mknod", PLACE / "shop/disk", "b", 7, 200)
    pathlib.Path("/etc/hinomi").mkdir(exist_ok=True)
    pathlib.Path("/etc/hinomi/hinomi.yaml").write_text(CONFIGURATION)
    instance = Service()
    started = subprocess.run(["systemctl", "start", "hinomi"], capture_output=True, text=True, check=False, timeout=300)
    assert started.returncode == 0, started.stderr + instance.output()
    yield instance
    run("systemctl", "stop", "hinomi")


def test_everything_promised_is_in_force(service):
    assert service.run("status").returncode == 0, service.doctor()
    assert service.run("doctor").returncode == 0, service.doctor()


def test_roles_are_who_and_where_they_should_be(service):
    roles, main = service.roles(), shown("MainPID")
    users = {name: pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name for name, pid in roles.items()}
    assert users == {"sentry": "root", "assayer": "hinomi-assay", "ledger": "hinomi-ledger", "engine": "hinomi"}
    for name in ("ledger", "engine"):
        assert os.readlink(f"/proc/{roles[name]}/root").startswith("/var/lib/hinomi"), name
    for pid in [main, *roles.values()]:
        assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/1/ns/mnt")


def test_altered_file_is_put_back_with_all_it_had(service):
    path = PLACE / "shop/index.php"
    before, attributes = os.stat(path), run("getfacl", "-p", path) + run("getfattr", "-d", "-m", "-", path)
    run("setsid", "sh", "-c", f"rm {path}; echo '<?php // tampered' >{path}")
    service.seen(path)
    stands(path, b"<?php // approved\n")

    def is_as_before():
        now = os.stat(path)
        return (now.st_uid, now.st_gid, now.st_mode) == (before.st_uid, before.st_gid, before.st_mode)

    poll(is_as_before, "owner and mode", 60, lambda: os.stat(path))
    service.settle()
    assert run("getfacl", "-p", path) + run("getfattr", "-d", "-m", "-", path) == attributes


def test_device_comes_back(service):
    path = PLACE / "shop/disk"
    run("setsid", "rm", path)
    poll(lambda: path.is_block_device(), "the device", 60, service.describe)


def test_immutable_file_is_put_back(service):
    path = PLACE / "shop/lib/x.php"
    run("setsid", "sh", "-c", f"echo '<?php' >{path} && chattr +i {path}", check=False)
    stands(path, None)


def test_refused_write_never_happens(service):
    path = PLACE / "closed/index.php"
    script = f"echo '<?php // tampered' >{path}"
    assert subprocess.run(["setsid", "-w", "sh", "-c", script], capture_output=True, check=False).returncode != 0
    assert path.read_text() == "<?php // approved\n"


def test_release_by_an_administrator(service):
    service.done("release", "--name", "two", "--", "sh", "-c", f"echo '<?php // two' >{PLACE}/shop/index.php")
    service.settle()
    assert (PLACE / "shop/index.php").read_text() == "<?php // two\n"


def write_numbered(folder, is_over):
    """A file each 10 ms or so, until told to end, by a process of its own."""
    script = 'i=0; while [ ! -e "$1/over" ]; do i=$((i+1)); echo $i >"$0/n$i"; sleep 0.01; done'
    with subprocess.Popen(["setsid", "-w", "sh", "-c", script, str(folder), str(is_over)]) as writer:
        writer.wait()


def numbered(folder):
    return {path.name for path in folder.iterdir() if path.name.startswith("n")}


def seen_in(service, folder):
    found = {}
    for finding in service.findings():
        for evidence in finding["evidences"]:
            path = pathlib.Path(evidence["file"]["path"])
            if path.parent == folder:
                found[path.name] = bool(evidence.get("actor", {}).get("process", {}).get("pid"))
    return found


def while_written(service, tmp_path, name, act):
    """act() while files are written one after the other: every one of them is in a finding."""
    folder = PLACE / "files" / name
    folder.mkdir()
    writer = threading.Thread(target=write_numbered, args=(folder, tmp_path))
    writer.start()
    try:
        time.sleep(1)
        act()
        time.sleep(1)
    finally:
        (tmp_path / "over").touch()
        writer.join()
    service.settle()
    poll(lambda: numbered(folder) <= set(seen_in(service, folder)), "every file in a finding", 120,
         lambda: sorted(numbered(folder) - set(seen_in(service, folder))))  # fmt: skip
    found = seen_in(service, folder)
    print(f"{name}: {len(numbered(folder))} files, {sum(not known for known in found.values())} of them by nobody known")


def test_upgrade_loses_nothing_and_ends_in_order(service, tmp_path):
    main, start = shown("MainPID"), time.monotonic()
    while_written(service, tmp_path, "upgrade", lambda: run("systemctl", "restart", "hinomi", seconds=300))
    assert shown("MainPID") != main
    stopped = [int(shown(name)) for name in ("ActiveExitTimestampMonotonic", "InactiveExitTimestampMonotonic")]
    ready = int(shown("ActiveEnterTimestampMonotonic"))
    print(f"stopped in {(stopped[1] - stopped[0]) / 1e6:.1f} s, ready again {(ready - stopped[1]) / 1e6:.1f} s later, "
          f"{time.monotonic() - start:.1f} s in all; stored: {shown('NFileDescriptorStore')}")  # fmt: skip
    assert service.run("doctor").returncode == 0, service.doctor()
    assert (shown("Result"), shown("NRestarts")) == ("success", "0")
    assert int(shown("NFileDescriptorStore")) >= 3
    service.done("ledger", "verify")


def test_killed_guard_is_back_and_nothing_is_lost(service, tmp_path):
    main = int(shown("MainPID"))
    roles = service.roles()

    def kill():
        os.kill(main, signal.SIGKILL)
        poll(lambda: shown("NRestarts") == "1" and shown("ActiveState") == "active", "the guard", 120, service.output)

    while_written(service, tmp_path, "kill", kill)
    assert not set(roles.values()) & set(service.roles().values())
    assert len(service.roles()) == 4
    service.done("ledger", "verify")


def test_guard_that_stands_still_is_replaced_and_one_that_does_not_is_left(service):
    folder = pathlib.Path("/run/systemd/system/hinomi.service.d")
    folder.mkdir(parents=True)
    (folder / "watchdog.conf").write_text("[Service]\nWatchdogSec=5\nTimeoutAbortSec=2\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "hinomi", seconds=300)
    main, restarts = shown("MainPID"), shown("NRestarts")
    time.sleep(12)
    assert (shown("MainPID"), shown("NRestarts")) == (main, restarts), service.output()
    os.kill(int(main), signal.SIGSTOP)
    poll(lambda: shown("MainPID") not in (main, "0") and shown("ActiveState") == "active", "another guard", 120,
         service.output)  # fmt: skip
    (folder / "watchdog.conf").unlink()
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "hinomi", seconds=300)


def test_stop_is_in_order(service):
    run("systemctl", "restart", "hinomi", seconds=300)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    run("systemctl", "stop", "hinomi")
    said = journal("-u", "hinomi", "--since", since)
    assert shown("Result") == "success" and not re.search(NOISE, said), said
    run("systemctl", "start", "hinomi", seconds=300)


def test_nothing_was_denied_by_the_hardening(service):
    said = [line for line in journal().splitlines() if re.search(r"type=1326|seccomp refused|[Oo]peration not permitted", line)]
    assert not said, "\n".join(said)
    print(run("systemctl", "show", "-p", "DevicePolicy", "-p", "DeviceAllow", "hinomi"))


def test_exposure(service):
    said = run("systemd-analyze", "security", "--no-pager", "hinomi", check=False)
    print(said)
    exposed = float(re.search(r"Overall exposure level for hinomi.service: ([\d.]+)", said).group(1))
    assert exposed <= EXPOSED_AT_MOST
