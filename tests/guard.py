"""A guard of its own for a test: `hinomi watch` with configuration, state and socket in a private directory.

Nothing here looks inside: findings come through `hinomi findings --json`, the end is Ctrl-C. Waiting is polling
with a bounded deadline; no test asserts how long anything took.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HINOMI = pathlib.Path(os.environ.get("HINOMI", ROOT / "build/hinomi"))
SCRATCH = os.environ.get("HINOMI_SCRATCH", "/var/tmp")
DEADLINE_S = int(os.environ.get("HINOMI_DEADLINE", "30"))

LOW, MEDIUM, HIGH, CRITICAL = 2, 3, 4, 5


def scratch_directory(name):
    """A private directory that every user may pass through: the roles and the web server are other users."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"hinomi-{name}-", dir=SCRATCH))
    path.chmod(0o755)
    return path


def remove_tree(path):
    """Also with immutable files and with paths longer than PATH_MAX."""
    subprocess.run(["chattr", "-R", "-i", "-a", str(path)], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)


def poll(question, what, seconds=DEADLINE_S, otherwise=None):
    """The first answer that is not None or False. `otherwise`: more to say when there is none."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > end:
            detail = f"\n{otherwise()}" if otherwise else ""
            raise AssertionError(f"waited {seconds} s for {what}{detail}")
        time.sleep(0.05)


def escaped(path):
    """As text_to_utf8() writes raw bytes: what is not UTF-8 as \\xNN, the backslash doubled."""
    text = os.fsencode(path).replace(b"\\", b"\\\\").decode("utf-8", "surrogateescape")
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def descendants(pid):
    """Every living process below `pid`, as {pid: command line}."""
    parents, names = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
                with open(f"/proc/{entry}/cmdline", "rb") as command:
                    names[int(entry)] = command.read().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if fields[0] != b"Z":
                parents[int(entry)] = int(fields[1])
    found, grew = {pid}, True
    while grew:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grew = bool(more)
    return {child: names.get(child, "") for child in found - {pid} if child in parents}


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def lineage(evidence):
    """The process of an evidence and its ancestors, nearest first."""
    process, chain = evidence.get("actor", {}).get("process"), []
    while process:
        chain.append(process)
        process = process.get("parent_process")
    return chain


def programs(evidence):
    """Base names of the executables of lineage()."""
    return [os.path.basename(process.get("file", {}).get("path", "?")) for process in lineage(evidence)]


class Guard:
    """One `hinomi watch`. `trees`: rows of the configuration; a tree without protect is mirrored and observed."""

    def __init__(self, trees, options=None, state=None):
        self.folder = scratch_directory("guard")
        self.config, self.socket = self.folder / "hinomi.yaml", self.folder / "control.sock"
        self.state = state or self.folder / "state"
        # A tree for marks: what is written there later is judged later, so its finding says that all before is in.
        self.marks = self.folder / "marks"
        self.marks.mkdir()
        defaults = {"protect": "mirror", "profile": "none", "respond": "observe"}
        rows = [{**defaults, **tree, "path": str(tree["path"])} for tree in trees]
        rows.append({"path": str(self.marks), "protect": "watch", "profile": "none", "respond": "observe"})
        self.config.write_text(json.dumps({"trees": rows, **(options or {})}, indent=1) + "\n")
        self.process, self.n_starts, self.n_marks, self.pids = None, 0, 0, {}

    # Starting and stopping

    def arguments(self):
        return ["--config", str(self.config), "--state", str(self.state), "--socket", str(self.socket)]

    def output(self):
        parts = []
        for path in sorted(self.folder.glob("std*")):
            parts.append(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(parts)

    def launch(self):
        """Starts without waiting."""
        self.n_starts += 1
        self.stdout = self.folder / f"stdout.{self.n_starts}"
        with open(self.stdout, "wb") as out, open(self.folder / f"stderr.{self.n_starts}", "wb") as err:
            command = [str(HINOMI), "watch", *self.arguments()]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.folder, start_new_session=True
            )

    def start(self):
        self.launch()

        def armed():
            if self.process.poll() is not None:
                raise AssertionError(f"watch ended with {self.process.returncode}\n{self.output()}")
            return b"hinomi: watching\n" in self.stdout.read_bytes()

        poll(armed, "the line 'hinomi: watching'", 120, self.output)
        self.pids = descendants(self.process.pid)
        return self

    def stop(self, how=signal.SIGINT):
        """As Ctrl-C does. Nothing may be left behind."""
        if not self.process or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        children = {**self.pids, **descendants(self.process.pid)}
        self.process.send_signal(how)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"watch did not end\n{self.output()}") from None
        poll(
            lambda: not any(is_running(pid) for pid in children),
            "the roles to end with their parent",
            10,
            lambda: {pid: name for pid, name in children.items() if is_running(pid)},
        )
        return status

    def kill(self):
        """The whole guard at once, as a power cut would."""
        if self.process and self.process.poll() is None:
            for pid in [self.process.pid, *descendants(self.process.pid)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def role_pid(self, role):
        """The process of a role, from /proc: `hinomi -x ROLE …`."""
        for pid, command in descendants(self.process.pid).items():
            if f" -x {role} " in command + " ":
                return pid
        return None

    def close(self):
        """At the end of a test: a clean end, no orphans, and a ledger that verifies."""
        try:
            was_running = self.process is not None and self.process.poll() is None
            status = self.stop() if was_running else None
            if was_running:
                assert status == 0, f"watch ended with {status}\n{self.output()}"
                verify = self.run("ledger", "verify")
                assert verify.returncode == 0, f"ledger verify: {verify.stdout}{verify.stderr}\n{self.output()}"
        finally:
            self.kill()
            remove_tree(self.folder)

    # Asking

    def run(self, *arguments, user=None, seconds=60, environment=None, stdin=None):
        """`hinomi COMMAND …` beside the guard; stdout and stderr as text."""
        program = shutil.copy(HINOMI, self.folder / "hinomi") if user else HINOMI  # which may lie below /root
        command = [str(program), *map(str, arguments[:1]), *self.arguments(), *map(str, arguments[1:])]
        return subprocess.run(
            command,
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=seconds,
            user=user,
            env={**os.environ, **(environment or {})},
            cwd="/",
        )

    def done(self, *arguments, **keywords):
        """run() that has to succeed; its stdout."""
        result = self.run(*arguments, **keywords)
        assert result.returncode == 0, f"{arguments}: {result.returncode}\n{result.stdout}{result.stderr}\n{self.output()}"
        return result.stdout

    def lines(self, *arguments, status=(0, 1)):
        """The JSON lines that a command prints with --json."""
        result = self.run(arguments[0], "--json", *arguments[1:])
        assert result.returncode in status, f"{arguments}: {result.returncode}\n{result.stderr}\n{self.output()}"
        return [json.loads(line) for line in result.stdout.splitlines() if line]

    def findings(self):
        return self.lines("findings")

    def actions(self, path=None):
        """Actions recorded with the findings, optionally for one file."""
        found = [action for finding in self.findings() for action in finding["unmapped"].get("actions", [])]
        return [a for a in found if path is None or a.get("file", {}).get("path") == escaped(path)]

    # Waiting

    def evidence(self, path, accept=lambda finding, evidence: True):
        """(finding, evidence) of the newest change seen at `path` that is accepted, or None."""
        wanted, found = escaped(path), None
        for finding in self.findings():
            for evidence in finding["evidences"]:
                if evidence["file"]["path"] == wanted and accept(finding, evidence):
                    found = finding, evidence
        return found

    def seen(self, path, kind=None, severity=0, accept=lambda finding, evidence: True):
        """Waits until a change at `path` is a finding: (finding, evidence)."""
        kinds = {kind} if isinstance(kind, str) else kind

        def fits(finding, evidence):
            if kinds and evidence["data"]["kind"] not in kinds:
                return False
            return finding["severity_id"] >= severity and accept(finding, evidence)

        what = f"a finding ({kind or 'any kind'}, severity {severity} or more) about {path}"
        return poll(lambda: self.evidence(path, fits), what, DEADLINE_S, self.describe)

    def describe(self):
        """What the guard says now, for the message of a failure."""
        rows = []
        for finding in self.findings()[-30:]:
            info = finding["finding_info"]
            files = [(e["file"]["path"], e["data"]["kind"]) for e in finding["evidences"][:8]]
            rows.append(f"{finding['severity']}: {info['title']} {info['types']} {files}")
        return "findings:\n" + "\n".join(rows) + "\n" + self.output()

    def doctor(self):
        """What is not in force, for the message of a failure."""
        return self.run("doctor").stdout + self.output()

    def settle(self):
        """Waits until everything that happened before this call has been judged."""
        for _ in range(2):
            self.n_marks += 1
            mark = self.marks / f"mark-{self.n_marks}"
            mark.write_text("mark\n")
            self.seen(mark)

    def about(self, tree):
        """Findings about files below `tree`, once everything so far has been judged."""
        self.settle()
        inside = escaped(tree)
        return [
            finding
            for finding in self.findings()
            if any(e["file"]["path"] == inside or e["file"]["path"].startswith(inside + "/") for e in finding["evidences"])
        ]

    def assert_quiet(self, tree, above=LOW, since=0):
        """No change of `tree` seen since then (milliseconds) is in a finding above `above`."""
        loud = [
            finding
            for finding in self.about(tree)
            if finding["severity_id"] > above
            and any(
                evidence["data"].get("time", since) >= since and evidence["file"]["path"].startswith(escaped(tree))
                for evidence in finding["evidences"]
            )
        ]
        assert not loud, json.dumps(loud, indent=1)[:6000]


def stands(path, content):
    """Waits until a file has this content (bytes; None: nothing stands there)."""

    def question():
        try:
            return path.read_bytes() == content
        except FileNotFoundError:
            return content is None
        except (NotADirectoryError, IsADirectoryError):
            return False

    poll(question, f"{path} to hold {content if content is None else content[:60]!r}")


def copy_tree(source, target):
    shutil.copytree(source, target, symlinks=True)
    return target
