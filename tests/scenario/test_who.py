"""Who did it, and what: the process, its ancestors, its user and session; a diff, or size and hash."""
import hashlib
import os
import subprocess
import sys
import unicodedata

import pytest
from guard import lineage, programs, stands

SHELL = os.path.realpath("/bin/sh")


def start(*command, **keywords):
    return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, **keywords)


def test_process_user_and_command_line(guard, tree):
    path = tree / "lib/order.php"
    os.chmod(path, 0o666)
    guard.seen(path, "attributes")
    process = start("/bin/sh", "-c", 'echo "# by $$" >>"$0"; sleep 0.3', path, user="www-data")
    process.wait()
    _, evidence = guard.seen(path, "modified")
    actor = lineage(evidence)[0]
    assert actor["pid"] == process.pid
    assert actor["file"]["path"] == SHELL
    assert actor["user"] == {"uid": "33", "name": "www-data"}
    assert "echo" in actor["cmd_line"] and str(path) in actor["cmd_line"]


def test_ancestors_up_to_init(guard, tree):
    path = tree / "lib/order.php"
    process = start("/bin/sh", "-c", '/bin/sh -c "dd if=/dev/zero of=\\$0 bs=1 count=3 2>/dev/null; :" "$0"; :', path)
    process.wait()
    _, evidence = guard.seen(path, "modified")
    pids = [entry["pid"] for entry in lineage(evidence)]
    assert programs(evidence)[:3] == ["dd", os.path.basename(SHELL), os.path.basename(SHELL)]
    assert pids[2] == process.pid
    assert os.getpid() in pids
    assert pids[-1] == 1 or len(pids) == 16


def test_process_that_lived_two_milliseconds(guard, tree, scratch):
    """Twenty times, since it is a race: each of them is named although it is gone when anyone could look."""
    source = scratch / "new"
    for i in range(20):
        source.write_text(f"<?php // {i}\n")
        subprocess.run(["cp", str(source), str(tree / f"lib/new-{i}.php")], check=True)
    for i in range(20):
        _, evidence = guard.seen(tree / f"lib/new-{i}.php", "created")
        actor = lineage(evidence)[0]
        assert os.path.basename(actor["file"]["path"]) == "cp", (i, actor)
        assert f"new-{i}.php" in actor["cmd_line"]
        assert lineage(evidence)[1]["pid"] == os.getpid()


def test_parent_that_is_gone_is_still_named(guard, tree):
    """A child left behind: the kernel shows init as its parent, the finding shows who really started it."""
    path = tree / "lib/order.php"
    script = f"(sleep 0.3; echo '# late' >>'{path}') & exit 0"
    parent = start("/bin/sh", "-c", script)
    parent.wait()
    _, evidence = guard.seen(path, "modified")
    assert parent.pid in [entry["pid"] for entry in lineage(evidence)]


def test_login_session(guard, tree):
    path = tree / "lib/order.php"
    script = (
        "import os, sys\n"
        "open('/proc/self/loginuid', 'w').write('1000')\n"
        "command = 'echo \"# by a session\" >>\"$0\"; cat /proc/self/sessionid; sleep 0.3'\n"
        "os.execv('/bin/sh', ['sh', '-c', command, sys.argv[1]])\n"
    )
    result = subprocess.run(["/usr/bin/python3", "-c", script, str(path)], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"the login uid cannot be set here: {result.stderr.splitlines()[-1]}")
    _, evidence = guard.seen(path, "modified")
    actor = lineage(evidence)[0]
    assert actor["auid"] == "1000"
    assert actor["session"]["uid"] == result.stdout.strip()


def test_deleted_program_is_named(guard, tree, scratch):
    """A tool that removes itself, as droppers do."""
    path, tool = tree / "lib/order.php", scratch / "dropper"
    subprocess.run(["cp", SHELL, str(tool)], check=True)
    subprocess.run([str(tool), "-c", f"rm '{tool}'; echo '# dropped' >>'{path}'; sleep 0.2"], check=True)
    _, evidence = guard.seen(path, "modified")
    assert lineage(evidence)[0]["file"]["path"].startswith(str(tool))


def test_unified_diff_for_text(guard, tree):
    path = tree / "template/checkout.twig"
    text = path.read_text().replace('action="/pay"', 'action="/pay2"')
    path.write_text(text)
    _, evidence = guard.seen(path, "modified")
    diff = evidence["data"]["diff"].splitlines()
    assert diff[0].startswith("--- ") and diff[1].startswith("+++ ")
    assert any(line.startswith("@@ ") for line in diff)
    assert '-<form action="/pay" method="post">' in diff
    assert '+<form action="/pay2" method="post">' in diff
    assert "   {{ form }}" in diff


def test_size_and_hash_for_the_rest(guard, tree):
    path, content = tree / "upload/blob.bin", os.urandom(5000)
    path.write_bytes(content)
    _, evidence = guard.seen(path, "created")
    assert evidence["file"]["size"] == 5000
    assert evidence["file"]["hashes"][0]["value"] == hashlib.sha256(content).hexdigest()
    assert "diff" not in evidence["data"]


HOSTILE = [
    b"line\nCritical: forged finding\n.php",
    b"colour\x1b[31m\x1b]0;title\x07.php",
    b"back\x08\x08\x08\x7f.php",
    "turn\u202egpj.php".encode(),
    "hidden\u200bzero\u2028separator.php".encode(),
    b"invalid\xff\xfe\xc0\xaf.php",
    b"<img src=x onerror=alert(1)>&amp;.php",
    b"back\\slash\\n.php",
    b"c1\xc2\x9b31m.php",
    b"carriage\rreturn.php",
    b"-rf",
    b"a" * 255,
]


def assert_harmless(text, allowed="\n\t"):
    for character in text:
        if character in allowed:
            continue
        assert unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp", "Cs"), repr(character)


def test_nothing_in_a_name_forges_a_line_of_output(guard, tree):
    for name in HOSTILE:
        path = os.path.join(os.fsencode(tree), b"lib", name)
        with open(path, "wb") as file:
            file.write(b"<?php\n\x1b[2Jecho 1;\x08\n\xe2\x80\xae// turned\n")
        finding, _ = guard.seen(path, "created")
        for output in (
            guard.done("findings"),
            guard.done("show", finding["finding_info"]["uid"]),
            guard.run("diff").stdout,
        ):
            assert_harmless(output)
            assert "\nCritical: forged" not in output
    guard.stop()
    assert_harmless(guard.stdout.read_text(errors="surrogateescape"))


def test_nothing_in_a_command_line_forges_a_line_of_output(guard, tree):
    path = tree / "lib/order.php"
    hostile = "\n\x1b[31mCritical: forged\x1b[0m\u202e"
    subprocess.run(["/bin/sh", "-c", 'echo "# x" >>"$0"', str(path), hostile], check=True)
    finding, evidence = guard.seen(path, "modified")
    assert "forged" in lineage(evidence)[0]["cmd_line"]
    assert_harmless(guard.done("findings"))
    assert_harmless(guard.done("show", finding["finding_info"]["uid"]))


def test_json_is_one_line_a_finding_whatever_the_names(guard, tree):
    for name in HOSTILE:
        path = os.path.join(os.fsencode(tree), b"lib", name)
        with open(path, "wb") as file:
            file.write(b"x")
        guard.seen(path)
    output = guard.done("findings", "--json")
    assert len(output.splitlines()) == len(guard.findings())
    assert_harmless(output, "\n\x7f")  # DEL is no command to a terminal


@pytest.mark.skipif(sys.flags.optimize > 0, reason="asserts are off")
def test_a_very_long_line_is_shown_bounded(guard, tree):
    path = tree / "js/cart.js"
    path.write_bytes(b"x" * 10_000_000 + b"\n")
    _, evidence = guard.seen(path, "modified")
    assert len(evidence["data"].get("diff", "")) < 200_000
    stands(path, b"x" * 10_000_000 + b"\n")


def test_no_secret_of_a_command_line_reaches_the_ledger(guard, tree):
    path = tree / "lib/order.php"
    secrets = ["geheim-eins", "geheim-zwei", "geheim-drei"]
    script = f'echo "# x" >>"$0"; : --password={secrets[0]}; sleep 0.3'
    start("/bin/sh", "-c", script, path, f"--token={secrets[1]}", f"mysql://shop:{secrets[2]}@db/").wait()
    _, evidence = guard.seen(path, "modified")
    command = lineage(evidence)[0]["cmd_line"]
    assert f': --password=***; sleep 0.3 {path} --token=*** mysql://shop:***@db/' in command
    guard.stop()
    recorded = b"".join(file.read_bytes() for file in guard.state.rglob("*") if file.is_file())
    assert b"lib/order.php" in recorded
    for secret in secrets:
        assert secret.encode() not in recorded


def test_what_not_everybody_may_read_is_not_quoted(guard, tree):
    path = tree / "shadow+"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o640)
    os.write(descriptor, b"tanaka:geheim-vier:20000:0:99999:7:::\n")
    os.close(descriptor)
    _, evidence = guard.seen(path, "created")
    assert "diff" not in evidence["data"] and evidence["file"]["hashes"]
    (tree / "motd").write_text("willkommen\n")
    _, evidence = guard.seen(tree / "motd", "created")
    assert "+willkommen" in evidence["data"]["diff"]
