"""An intruder with the web server's account who knows how such guards work, and tries not to be seen."""
import os
import subprocess

import pytest
from guard import CRITICAL, HIGH

WEB = "www-data"
SHELL = b'<?php system($_GET["c"]);\n'


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
