"""Fixtures for the black-box tests: a guard, a small application, a real shop. See guard.py and shop.py."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import guard as guard_module  # noqa: E402
import shop as shop_module  # noqa: E402


def pytest_sessionstart():
    if not guard_module.HINOMI.exists():
        pytest.exit(f"{guard_module.HINOMI} is not built; run make", returncode=4)


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root: fanotify and other users"))


@pytest.fixture
def scratch():
    """A directory on a real file system, outside every guarded tree."""
    path = guard_module.scratch_directory("test")
    yield path
    guard_module.remove_tree(path)


@pytest.fixture
def tree(scratch):
    """A small application: PHP, a template, a script, an upload."""
    path = scratch / "tree"
    for name, text in SMALL_APPLICATION.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


SMALL_APPLICATION = {
    "index.php": "<?php\nrequire 'lib/order.php';\n",
    "lib/order.php": "<?php\nfunction total($rows) {\n        return array_sum($rows);\n}\n",
    "template/checkout.twig": "<form action=\"/pay\" method=\"post\">\n  {{ form }}\n</form>\n",
    "js/cart.js": "document.title = 'cart';\n",
    "upload/readme.txt": "uploads go here\n",
}


FILE_SYSTEMS = {
    "xfs": (["mkfs.xfs", "-q"], 320),
    "btrfs": (["mkfs.btrfs", "-q"], 130),
    "ext4": (["mkfs.ext4", "-q"], 64),
    "tmpfs": (None, 64),
}


@pytest.fixture(params=FILE_SYSTEMS)
def place(request, scratch):
    """A directory on each of the file systems that servers use."""
    command, megabytes = FILE_SYSTEMS[request.param]
    target = scratch / request.param
    target.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(target)]
    if command:
        image = scratch / "image"
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run([*command, str(image)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mount = ["mount", "-o", "loop", str(image), str(target)]
    result = subprocess.run(mount, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"{request.param} cannot be mounted here: {result.stderr.strip()}")
    yield target
    guard_module.poll(lambda: subprocess.run(["umount", str(target)], capture_output=True, check=False).returncode == 0, "umount", 30)


@pytest.fixture
def make_guard(scratch):
    """make_guard([{path: …}, …]) → a Guard that is watching; ended, searched for orphans and verified afterwards."""
    guards = []

    def make(trees, start=True, **keywords):
        guard = guard_module.Guard(trees, **keywords)
        guards.append(guard)
        return guard.start() if start else guard

    yield make
    for guard in reversed(guards):
        guard.close()


@pytest.fixture
def guard(make_guard, tree):
    """A guard over `tree`: mirrored, no profile, observed."""
    return make_guard([{"path": tree}])


@pytest.fixture(scope="session")
def shop():
    """A real shop on loopback: WordPress, nginx, php-fpm, MariaDB from Debian's packages."""
    instance = shop_module.Shop()
    try:
        yield instance.start()
    finally:
        instance.stop()
