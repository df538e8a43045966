"""The command line: what it says without a guard, its exit statuses, its first configuration, its languages."""
import json
import os
import subprocess

import pytest
from guard import HINOMI, ROOT

COMMANDS = "init watch doctor status findings show diff restore release approve ledger drill version".split()


def hinomi(*arguments, **keywords):
    command = [str(HINOMI), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False, **keywords)


def test_version():
    result = hinomi("version")
    assert result.returncode == 0
    assert result.stdout.startswith("hinomi ")
    assert isinstance(json.loads(hinomi("version", "--json").stdout), dict)


def test_no_command_is_a_wrong_call():
    assert hinomi().returncode == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = hinomi(command, "--help")
    assert result.returncode == 0
    assert "--config" in result.stdout and "--state" in result.stdout and "--socket" in result.stdout


@pytest.mark.parametrize("arguments", [["stauts"], ["status", "--jsno"], ["show"], ["show", "a", "b"], ["ledger"], ["release"]])
def test_wrong_calls(arguments):
    result = hinomi(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("hinomi: ")


def test_near_miss_is_named():
    assert "'status'" in hinomi("stauts").stderr


def test_what_needs_a_guard_says_there_is_none(scratch):
    options = ["--state", scratch / "state", "--socket", scratch / "control.sock", "--config", scratch / "none.yaml"]
    for command in (["findings"], ["show", "hnm-00000000"], ["diff"], ["restore", "--all"], ["approve", "/x"]):
        result = hinomi(command[0], *options, *command[1:])
        assert result.returncode in (1, 3), (command, result)
        assert result.stderr.startswith("hinomi: ")
    assert hinomi("status", *options).returncode == 1


def test_verify_without_a_state_is_no_proof(scratch):
    result = hinomi("ledger", "verify", "--state", scratch)
    assert result.returncode in (1, 3)
    assert result.stderr


def machine(root):
    """A server in small: nginx and Apache configuration that name two shops."""
    files = {
        "etc/nginx/nginx.conf": "http { include /etc/nginx/sites-enabled/*; }\n",
        "etc/nginx/sites-enabled/shop": "server {\n  listen 80;\n  root /var/www/shop;\n}\n",
        "etc/apache2/sites-enabled/000-default.conf": "<VirtualHost *:80>\n  DocumentRoot \"/srv/ec\"\n</VirtualHost>\n",
        "var/www/shop/wp-load.php": "<?php\n",
        "var/www/shop/wp-includes/version.php": "<?php $wp_version = '6.1.9';\n",
        "srv/ec/composer.json": '{"name": "ec-cube/ec-cube"}\n',
        "srv/ec/src/Eccube/Common/Constant.php": "<?php\n",
        "srv/ec/html/index.php": "<?php\n",
        "home/taro/notes.txt": "notes\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    os.symlink("/etc/nginx/sites-enabled/shop", root / "etc/nginx/sites-enabled/again")


def test_init_looks_around(scratch):
    machine(scratch / "root")
    config = scratch / "hinomi.yaml"
    result = hinomi("init", "--root", scratch / "root", "--config", config)
    assert result.returncode == 0, result.stderr
    text = config.read_text()
    shop = text[text.index("/var/www/shop") :]
    assert "wordpress" in shop[:400] and "mirror" in shop[:400]
    assert "/etc" in text
    assert "eccube4" in text
    again = hinomi("init", "--root", scratch / "root", "--config", config)
    assert again.returncode != 0
    assert config.read_text() == text
    assert config.stat().st_mode & 0o022 == 0


def test_what_init_writes_is_understood(scratch, make_guard, tree):
    machine(scratch / "root")
    config = scratch / "hinomi.yaml"
    hinomi("init", "--root", scratch / "root", "--config", config)
    text = config.read_text()
    for place in ("/var/www/shop", "/srv/ec"):
        text = text.replace(f"path: {place}", f"path: {scratch}/root{place}")
    guard = make_guard([{"path": tree}], start=False)
    lines, kept, skip = text.splitlines(), [], False
    for line in lines:
        if line.lstrip().startswith("- path:"):
            skip = str(scratch) not in line
        elif line and not line.startswith((" ", "#", "-")):
            skip = False
        if not skip:
            kept.append(line)
    guard.config.write_text("\n".join(kept) + "\n")
    guard.start()
    assert guard.run("status").returncode == 0


def test_full_default_configuration_is_understood(make_guard, tree):
    text = hinomi("help", "config").stdout
    assert "sweep" in text and "budget" in text
    guard = make_guard([{"path": tree}], start=False)
    head = [line for line in text.splitlines() if not line.startswith("trees")]
    guard.config.write_text(f"trees:\n  - path: {tree}\n" + "\n".join(line for line in head if not line.lstrip().startswith("- ")))
    guard.start()


def test_japanese():
    english = hinomi("help", env={**os.environ, "LC_ALL": "C"}).stdout
    japanese = hinomi("help", env={**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "ja"}).stdout
    assert english != japanese
    assert any("\u3040" <= character <= "\u30ff" for character in japanese)


def test_japanese_is_complete():
    for catalogue in (ROOT / "po").glob("ja.po"):
        result = subprocess.run(["msgfmt", "--statistics", "-c", "-o", "/dev/null", str(catalogue)], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert "untranslated" not in result.stderr and "fuzzy" not in result.stderr, result.stderr
        break
    else:
        pytest.fail("there is no po/ja.po")


def test_findings_filters(guard, tree):
    (tree / "lib/new.php").write_text("<?php\n")
    guard.seen(tree / "lib/new.php")
    assert guard.lines("findings", "--severity", "critical") == []
    assert guard.lines("findings", "--tree", tree)
    assert guard.lines("findings", "--tree", "/nonexistent") == [] or guard.run("findings", "--tree", "/nonexistent").returncode
    assert guard.lines("findings", "--until", "2001-01-01") == []
    assert len(guard.lines("findings", "--limit", "1")) == 1
    assert guard.run("findings", "--since", "yesterdayish").returncode == 2
    assert guard.run("findings", "--severity", "loud").returncode == 2


def test_ocsf_shape(guard, tree):
    """The fields that others script against."""
    (tree / "lib/order.php").write_text("<?php // x\n")
    finding, evidence = guard.seen(tree / "lib/order.php", "modified")
    assert finding["class_uid"] == 2004
    info = finding["finding_info"]
    assert info["uid"] and info["title"] and isinstance(info["types"], list) and info["created_time"] > 1_600_000_000_000
    assert finding["severity"] in ("Informational", "Low", "Medium", "High", "Critical")
    assert isinstance(finding["metadata"]["sequence"], int)
    assert all(attack["technique"]["uid"] for attack in finding["attacks"])
    process = evidence["actor"]["process"]
    assert process["pid"] == os.getpid()
    assert process["cmd_line"] and process["file"]["path"] and process["user"]["name"] == "root"
    assert process["parent_process"]["pid"] == os.getppid()
    assert evidence["data"]["diff"]


def test_show_by_prefix_and_by_index(guard, tree):
    (tree / "lib/order.php").write_text("<?php // x\n")
    finding, _ = guard.seen(tree / "lib/order.php", "modified")
    uid = finding["finding_info"]["uid"]
    for name in (uid, uid[:20], str(finding["metadata"]["sequence"])):
        assert guard.lines("show", name)[0]["finding_info"]["uid"] == uid
    assert guard.run("show", "hnm-zzzzzzzzzzzz").returncode == 1
