"""The command line with nobody listening: what it takes, what it says, how it ends."""
import json
import os
import re
import socket
import subprocess

import pytest

import guard as guard_module


@pytest.fixture
def hinomi(scratch):
    """hinomi(arguments…, language="C") → the ended process; configuration, state and socket in the scratch directory."""

    def run(*arguments, language="C.UTF-8", stdin=None, **environment):
        where = ["--config", scratch / "hinomi.yaml", "--state", scratch / "state", "--socket", scratch / "sock"]
        return subprocess.run(
            [guard_module.HINOMI, *map(str, where), *map(str, arguments)],
            capture_output=True,
            text=True,
            stdin=stdin or subprocess.DEVNULL,
            timeout=30,
            env={"PATH": os.environ["PATH"], "LC_ALL": language, **environment},
        )

    return run


def test_options_stand_anywhere(hinomi, scratch):
    before = hinomi("--json", "doctor")
    after = hinomi("doctor", "--json")
    assert before.stdout == after.stdout
    assert json.loads(after.stdout.splitlines()[0])["check"] == "guard.running"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["findigns"], "did you mean 'findings'?"),
        (["zzzzzz"], "there is no command 'zzzzzz'"),
        (["findings", "--sevrity", "high"], "did you mean --severity?"),
        (["findings", "--severity", "awful"], "no severity"),
        (["findings", "--since", "yesterday-ish"], "is no time"),
        (["findings", "--limit", "0"], "--limit takes a number"),
        (["findings", "--since"], "--since needs a value"),
        (["show"], "needs more"),
        (["show", "a", "b"], "does not take 'b'"),
        (["status", "now"], "does not take 'now'"),
        (["restore"], "what is to be restored?"),
        (["restore", "a", "--all"], "exclude one another"),
        (["release"], "needs more"),
        (["release", "begin"], "needs a name"),
        (["release", "start", "x"], "not 'start'"),
        (["release", "--"], "which command?"),
        (["drill", "flood"], "there is no drill"),
        (["help", "flood"], "there is no help"),
        (["approve", "hnm-1", "hnm-2"], "one finding at a time"),
        (["diff", "--finding", "x", "path"], "not both"),
    ],
)
def test_wrong_calls_say_what_is_right(hinomi, arguments, said):
    result = hinomi(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_every_command_has_help(hinomi):
    overview = hinomi("help").stdout
    names = [line.split()[0] for line in overview.splitlines() if line.startswith("  ") and not line.startswith("   ")]
    names = [name for name in names if not name.startswith("-")]
    assert {"init", "watch", "doctor", "status", "findings", "show", "diff", "restore", "release"} <= set(names)
    for name in names:
        by_option, by_command = hinomi(name, "--help"), hinomi("help", name)
        assert by_option.returncode == by_command.returncode == 0
        assert by_option.stdout == by_command.stdout
        assert by_option.stdout.startswith(f"Usage: hinomi {name}")


@pytest.mark.parametrize("command", [["findings"], ["show", "x"], ["diff"], ["restore", "--all"], ["resume"]])
def test_nobody_answers(hinomi, command):
    result = hinomi(*command)
    assert result.returncode == 3
    assert "nobody answers" in result.stderr and "systemctl start hinomi" in result.stderr


def test_status_without_a_guard_is_no(hinomi, scratch):
    (scratch / "hinomi.yaml").write_text(f"trees: [{{path: {scratch}}}]\n")
    for command in "status", "doctor":
        result = hinomi(command)
        assert result.returncode == 1
        assert "NOT running" in result.stdout or "not running" in result.stdout
        assert str(scratch) in result.stdout
    status = json.loads(hinomi("status", "--json").stdout)
    assert status["watching"] is False and status["in_force"] is False
    assert status["trees"][0]["state"] == "unguarded"


def test_a_release_without_a_guard_starts_nothing(hinomi, scratch):
    result = hinomi("release", "--", "touch", scratch / "made")
    assert result.returncode == 3
    assert "nothing was started" in result.stderr
    assert not (scratch / "made").exists()


def test_watch_names_the_mistake(hinomi, scratch):
    (scratch / "hinomi.yaml").write_text("trees:\n  - path: /srv\n    protect: miror\n")
    result = hinomi("watch")
    assert result.returncode != 0
    assert "hinomi.yaml:3:14: expected one of mirror, shield, watch" in result.stderr


def test_a_message_is_one_line(hinomi):
    result = hinomi("no\nhinomi: all is well\x1b[2J")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 2
    assert "\x1b" not in result.stderr


class Peer:
    """Something on the socket that is not a guard."""

    def __init__(self, path, packets):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.packets = packets

    def serve(self):
        with self.listener, self.listener.accept()[0] as client:
            client.recv(65536)
            for packet in self.packets:
                client.send(packet)


def answered(hinomi_arguments, scratch, packets, **environment):
    peer = Peer(scratch / "sock", packets)
    command = [guard_module.HINOMI, "--socket", scratch / "sock", *hinomi_arguments]
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C.UTF-8", **environment}
    )
    peer.serve()
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def line(data, **more):
    return json.dumps({"type": "line", "data": data, **more}).encode()


def end(status=0, **more):
    return json.dumps({"type": "end", "status": status, **more}).encode()


def finding(uid, paths, activity=1):
    evidences = [{"file": {"path": path, "size": 1}, "data": {"kind": "created"}} for path in paths]
    info = {"uid": uid, "title": "t", "types": [], "created_time": 1, "modified_time": 1}
    return {
        "activity_id": activity,
        "severity_id": 3,
        "finding_info": info,
        "evidences": evidences,
        "unmapped": {"n_files": len(paths)},
        "metadata": {"sequence": len(paths)},
    }


def test_parts_of_a_large_finding_are_joined(scratch):
    packets = [
        line(finding("a", ["/1"]), more=True),
        line(finding("a", ["/2", "/3"], 2), more=True),
        line(finding("a", ["/4"], 2)),
        line(finding("b", ["/5"])),
        end(),
    ]
    status, out, err = answered(["findings", "--json"], scratch, packets)
    assert (status, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert [e["file"]["path"] for e in first["evidences"]] == ["/1", "/2", "/3", "/4"]
    assert first["unmapped"]["n_files"] == 4
    assert second["finding_info"]["uid"] == "b"


def test_more_of_a_finding_is_called_so_only_below_it(scratch):
    packets = [line(finding("a", ["/1"], 2)), line(finding("b", ["/2"])), line(finding("a", ["/3"], 2)), end()]
    status, out, err = answered(["findings"], scratch, packets)
    heads = [text for text in out.splitlines() if text.startswith("MEDIUM")]
    assert [("(more)" in head) for head in heads] == [False, False, True]


@pytest.mark.parametrize(
    "packets, status",
    [
        ([end(1, error="no such finding")], 1),
        ([end(2, error="ambiguous")], 2),
        ([end(7)], 3),
        ([json.dumps({"type": "end"}).encode()], 3),
        ([b"not json"], 3),
        ([b"[1]"], 3),
        ([], 3),
        ([line({}), line("text"), json.dumps({"type": "line"}).encode()], 3),
        ([json.dumps({"type": "news"}).encode(), json.dumps({"type": "progress", "done": -1}).encode(), end()], 0),
    ],
)
def test_answers_of_any_kind_have_an_outcome(scratch, packets, status):
    result, out, err = answered(["show", "x"], scratch, packets)
    assert result == status
    assert bool(err) == (status != 0)


def test_json_is_ascii_whatever_a_name_holds(scratch):
    status, out, err = answered(["findings", "--json"], scratch, [line(finding("a", ["/\u202e\u0085\n店"])), end()])
    assert status == 0
    assert out.isascii() and len(out.splitlines()) == 1
    assert json.loads(out)["evidences"][0]["file"]["path"] == "/\u202e\u0085\n店"


def test_init_never_overwrites_unasked(hinomi, scratch):
    machine = scratch / "machine"
    (machine / "etc/nginx/sites-enabled").mkdir(parents=True)
    (machine / "etc/nginx/sites-enabled/shop").write_text("server { root /srv/shop; }")
    (machine / "srv/shop/wp-includes").mkdir(parents=True)
    config = scratch / "hinomi.yaml"

    printed = hinomi("init", "--root", machine, "--print")
    assert printed.returncode == 0 and not config.exists()
    assert hinomi("init", "--root", machine).returncode == 0
    assert config.read_text() == printed.stdout
    assert "path: /srv/shop\n    protect: mirror\n    profile: wordpress\n" in printed.stdout
    assert "/etc/nginx/sites-enabled/shop" in printed.stdout

    config.write_text("mine\n")
    again = hinomi("init", "--root", machine)
    assert again.returncode == 1 and "--force" in again.stderr
    assert config.read_text() == "mine\n"
    assert hinomi("init", "--root", machine, "--force").returncode == 0
    assert config.read_text() == printed.stdout

    config.unlink()
    config.symlink_to(scratch / "elsewhere")
    assert hinomi("init", "--root", machine).returncode == 1
    assert not (scratch / "elsewhere").exists()


def test_init_makes_the_directory(hinomi, scratch):
    target = scratch / "a/b/hinomi.yaml"
    result = hinomi("init", "--config", target)
    assert result.returncode == 0, result.stderr
    assert target.exists() and not list(target.parent.glob("*.new"))


def test_the_default_configuration_is_complete(hinomi, scratch):
    """Every option of the table, uncommented, is accepted as it stands."""
    text = hinomi("help", "config").stdout
    lines = [re.sub(r"^#(?=\w|  )", "", line) for line in text.splitlines()]
    lines = [line.replace("/srv/www/shop", str(scratch)) for line in lines if not line.lstrip().startswith("#")]
    (scratch / "hinomi.yaml").write_text("\n".join(lines) + "\n")
    checks = {c["check"]: c for c in map(json.loads, hinomi("doctor", "--json").stdout.splitlines())}
    assert checks["configuration"]["state"] == "ok", checks["configuration"]
    assert len([line for line in lines if line.startswith("  ") and ":" in line]) >= 14


def test_japanese(hinomi):
    result = hinomi("findigns", language="ja_JP.UTF-8")
    assert "'findings' のことですか" in result.stderr
    assert "使い方" in hinomi("help", language="ja_JP.UTF-8").stdout


def test_standard_output_that_is_full(hinomi):
    with open("/dev/full", "w") as full:
        result = subprocess.run([guard_module.HINOMI, "help"], stdout=full, stderr=subprocess.PIPE, text=True, env={"LC_ALL": "C"})
    assert result.returncode == 3
    assert "cannot write to standard output" in result.stderr
