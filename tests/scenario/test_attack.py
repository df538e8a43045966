"""An intruder with the web server's account who knows how such guards work, and tries not to be seen."""
import mmap
import os
import signal
import subprocess
import textwrap
import time

import pytest
from guard import CRITICAL, HIGH, poll, stands

WEB = "www-data"
BACK_DOOR = b"GIF89a\x01\x00\x01\x00<?php system($_GET['c']); ?>"
SHELL = b'<?php system($_GET["c"]);\n'


def intrude(script, *arguments, user=WEB, wait=True):
    """Runs a Python script as another user, in a session of its own: a guard that holds it holds nobody else."""
    command = ["setsid", "-w", "timeout", "-s", "KILL", "60", "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    process = subprocess.Popen(
        [*command, "/usr/bin/python3", "-c", textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    )
    if not wait:
        return process
    process.communicate(timeout=90)
    return process.returncode


@pytest.fixture
def owned(tree):
    """The web server owns the application, as on most shared hosts."""
    subprocess.run(["chown", "-R", f"{WEB}:{WEB}", str(tree)], check=True)
    return tree


@pytest.fixture
def application(make_guard, owned):
    return make_guard([{"path": owned, "profile": "generic-php"}])


def test_name_of_the_guards_own_temporary_files_hides_nothing(application, owned, scratch):
    path = owned / "lib/.hinomi-restore-0123456789abcdef"
    path.write_bytes(SHELL)
    application.seen(path)
    outside = scratch / "outside"
    outside.mkdir()
    (outside / "shell.php").write_bytes(SHELL)
    os.rename(outside, owned / "lib/.hinomi-restore-fedcba9876543210")
    application.seen(owned / "lib/.hinomi-restore-fedcba9876543210/shell.php")


@pytest.mark.parametrize("name", ["js/session/sess_x.php", "upload/session/sess_x.php", "upload/sessions/sess_a.phtml"])
def test_program_named_like_a_session_is_seen(application, owned, name):
    path = owned / name
    path.parent.mkdir(parents=True)
    path.write_bytes(SHELL)
    application.seen(path, severity=CRITICAL)


def test_directory_named_like_a_session_hides_nothing(application, owned, scratch):
    outside = scratch / "outside"
    outside.mkdir()
    (outside / "x.php").write_bytes(SHELL)
    (owned / "js/session").mkdir()
    os.rename(outside, owned / "js/session/sess_d")
    application.seen(owned / "js/session/sess_d/x.php", severity=CRITICAL)


def test_program_in_a_cache_below_uploads(application, owned):
    path = owned / "upload/cache/x.php"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<?php\n$names = file(__DIR__ . '/list');\n")
    application.seen(path, severity=HIGH)


def test_content_that_goes_before_it_is_examined_is_not_approved(application, owned, scratch):
    """Its name comes back when the examination has failed."""
    assayer = application.role_pid("assayer")
    os.kill(assayer, signal.SIGSTOP)
    try:
        for i in range(80):
            (owned / f"upload/{i}.txt").write_text(f"{i}\n")
        path = owned / "upload/photo.gif"
        path.write_bytes(BACK_DOOR)
        time.sleep(1)
        os.rename(path, scratch / "aside.gif")
        time.sleep(1)
    finally:
        os.kill(assayer, signal.SIGCONT)
    application.settle()
    os.rename(scratch / "aside.gif", path)
    application.seen(path, severity=CRITICAL)


def test_content_exchanged_while_it_is_examined_is_not_approved(application, owned):
    """A mapping is stored through without an event: one content is hashed, another is read by the assayer."""
    assayer = application.role_pid("assayer")
    path = owned / "upload/photo.gif"
    process = intrude(
        """
        import mmap, os, sys
        evil = b"GIF89a\\x01\\x00\\x01\\x00<?php system($_GET['c']); ?>"
        fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
        os.write(fd, evil)
        view = mmap.mmap(fd, len(evil))
        for content in (bytes(len(evil)), evil):
            sys.stdin.readline()
            view[6:] = content[6:]
            print("stored", flush=True)
        sys.stdin.readline()
        """,
        path,
        wait=False,
    )
    os.kill(assayer, signal.SIGSTOP)
    try:
        time.sleep(2)  # written, settled, hashed
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
    finally:
        os.kill(assayer, signal.SIGCONT)
    time.sleep(1)
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.stdout.readline()
    process.stdin.write(b"\n")
    process.stdin.close()
    process.wait()
    application.seen(path, severity=CRITICAL)


LEASE = """
    import fcntl, os, signal, sys, time
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
    sys.stdin.readline()
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    os.pwrite(fd, sys.argv[2].encode(), 0)
    print("leased", flush=True)
    time.sleep(50)
    """


def lease(path, content):
    """Who opens a leased file has to wait for its owner: 45 s by default."""
    process = intrude(LEASE, path, content, wait=False)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"leased\n"
    return process


def test_new_file_under_a_lease_is_seen_and_holds_nobody_up(application, owned):
    path = owned / "lib/leased.php"
    process = lease(path, SHELL.decode())
    try:
        application.seen(path, severity=HIGH)
        application.settle()
    finally:
        process.kill()


def test_changed_file_under_a_lease_is_put_back(make_guard, owned):
    guard = make_guard([{"path": owned, "profile": "generic-php", "respond": "restore"}])
    path = owned / "lib/order.php"
    before = path.read_bytes()
    process = lease(path, "<?php //")
    try:
        guard.seen(path, severity=HIGH)
        poll(lambda: guard.actions(path), "the action", 30, guard.describe)
        stands(path, before)
    finally:
        process.kill()


def test_lease_taken_before_the_examination_holds_nobody_up(make_guard, owned):
    """Nothing is kept of a watched tree: it has to be opened once more for the assayer."""
    guard = make_guard([{"path": owned, "profile": "generic-php", "protect": "watch"}])
    path = owned / "lib/leased.php"
    assayer = guard.role_pid("assayer")
    os.kill(assayer, signal.SIGSTOP)
    try:
        for i in range(80):
            (owned / f"upload/{i}.txt").write_text(f"{i}\n")
        path.write_bytes(SHELL)
        os.chown(path, owned.stat().st_uid, -1)
        time.sleep(1)
        process = lease(path, SHELL.decode())
    finally:
        os.kill(assayer, signal.SIGCONT)
    try:
        guard.settle()
        guard.seen(path, severity=HIGH)
    finally:
        process.kill()


def test_program_in_the_middle_of_a_large_image(application, owned):
    path = owned / "upload/large.gif"
    with open(path, "wb") as file:
        file.write(b"GIF89a" + b"\1\2\3\0" * (7 << 20) + SHELL + b"?>" + b"\0" * (12 << 20))
    application.seen(path, severity=CRITICAL)


def test_program_in_the_middle_of_a_large_text_is_not_inert(application, owned):
    path = owned / "upload/large.php"
    with open(path, "wb") as file:
        file.write(b"nothing\n" * (4 << 20) + SHELL + b"?>" + b"\n" * (12 << 20))
    application.seen(path, severity=CRITICAL)


def test_deep_directories_moved_in(application, owned, scratch):
    script = """
        import os, sys
        os.mkdir(sys.argv[1])
        os.chdir(sys.argv[1])
        for _ in range(400):
            os.mkdir("d")
            os.chdir("d")
        with open("shell.php", "w") as file:
            file.write("<?php system($_GET['c']);")
        """
    assert intrude(script, scratch / "deep", user="root") == 0
    os.rename(scratch / "deep", owned / "lib/deep")
    application.seen(owned / "lib/deep" / ("d/" * 400 + "shell.php"), severity=HIGH)


def test_uploads_do_not_delay_the_judgement_of_code(application, owned):
    """What is slow to examine waits for what is not."""
    assayer = application.role_pid("assayer")
    cards = b"4111111111111111;2027-01;123\n" * (2 << 15)
    os.kill(assayer, signal.SIGSTOP)
    try:
        uploads = [owned / f"upload/{i}.txt" for i in range(6)]
        for path in uploads:
            path.write_bytes(cards)
            time.sleep(0.2)
        (owned / "lib/order.php").write_bytes(SHELL)
        time.sleep(1)
    finally:
        os.kill(assayer, signal.SIGCONT)
    code, _ = application.seen(owned / "lib/order.php", severity=HIGH)
    last = max(application.seen(path)[0]["metadata"]["sequence"] for path in uploads)
    assert code["metadata"]["sequence"] < last


APPEND = """
    import os, sys, time
    end = time.monotonic() + 30
    for i in range(60):
        while time.monotonic() < end:
            try:
                fd = os.open(f"{sys.argv[1]}/{i}.php", os.O_WRONLY | os.O_APPEND)
            except FileNotFoundError:
                continue
            os.write(fd, b"system($_GET[1]);")
            os.close(fd)
            break
    """

RELEASE = """
    import os, sys, time
    for i in range(60):
        fd = os.open(f"{sys.argv[1]}/{i}.php", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"<?php echo 1;")
        os.close(fd)
        if i % 2:
            time.sleep(0.003)
    """


def test_what_is_written_behind_a_release_is_not_approved(application, owned):
    """Into the same files, at once."""
    intruder = intrude(APPEND, owned / "lib", wait=False)
    account = ["setpriv", f"--reuid={WEB}", f"--regid={WEB}", "--clear-groups"]
    command = [*account, "/usr/bin/python3", "-c", textwrap.dedent(RELEASE), owned / "lib"]
    application.done("release", "--name", "two", "--", *command)
    intruder.wait()
    application.settle()
    for i in range(60):
        path = owned / f"lib/{i}.php"
        assert b"system" in path.read_bytes()
        application.seen(path, severity=HIGH)


def test_file_of_many_terabytes_does_not_blind_the_guard(application, owned):
    intrude("import os, sys; os.truncate(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), 8 << 40)", owned / "upload/large.bin")
    time.sleep(1)
    (owned / "lib/shell.php").write_bytes(SHELL)
    application.seen(owned / "lib/shell.php", severity=HIGH)
    application.restart()
    (owned / "lib/other.php").write_bytes(SHELL)
    application.seen(owned / "lib/other.php", severity=HIGH)


@pytest.mark.parametrize("name", ["lib/large.php", "upload/large.php"])
def test_large_program_is_read_aside_and_judged(application, owned, name):
    script = "import sys; open(sys.argv[1], 'wb').write(sys.argv[2].encode() + b'?>' + bytes(100 << 20))"
    intrude(script, owned / name, SHELL.decode())
    _, evidence = application.seen(owned / name, severity=HIGH)
    assert evidence["actor"]["process"]["user"]["name"] == WEB


def test_large_file_that_is_changed_is_put_back(make_guard, owned):
    path = owned / "lib/large.bin"
    path.write_bytes(bytes(100 << 20))
    guard = make_guard([{"path": owned, "profile": "generic-php", "respond": "restore"}])
    script = "import os, sys; os.pwrite(os.open(sys.argv[1], os.O_WRONLY), b'x', 50 << 20)"
    assert intrude(script, path, user="root") == 0
    guard.seen(path, severity=HIGH)
    poll(lambda: guard.actions(path), "the action", 30, guard.describe)
    poll(lambda: path.read_bytes() == bytes(100 << 20), "the approved content", 30, lambda: guard.actions(path))


def test_stored_through_a_page_that_was_dirty_before(make_guard, owned):
    """Such a store changes no times until the page has been written back."""
    path = owned / "lib/order.php"
    with open(path, "r+b") as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096) as view:
            view[:5] = b"<?php"
            guard = make_guard([{"path": owned, "profile": "generic-php"}], options={"sweep": {"interval": "10 s"}})
            view[5:26] = b" system($_GET['c']);\n"
            guard.seen(path, severity=HIGH)
