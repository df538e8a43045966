"""Starting the locker: as a stranger to whoever starts it, so that stopping it with its kin stops nobody else."""
import collections
import json
import os
import pathlib
import signal
import subprocess
import urllib.parse

from guard import ROOT, is_running, poll

LOCKER = pathlib.Path(os.environ.get("HINOMI_LOCKER", ROOT / "build/tests/ransom/locker"))
UNSUPPORTED = 77
OUTSIDE = ("P24-copy", "P24-move", "P24-folder")

Pattern = collections.namedtuple("Pattern", "name needs says")
Event = collections.namedtuple("Event", "event time_ns pid result path")


def patterns():
    """The rows of the locker's own table."""
    output = subprocess.run([LOCKER, "--list"], capture_output=True, text=True, check=True).stdout
    return [Pattern(*line.split("\t")) for line in output.splitlines()]


def make(path):
    """An empty tree that may be destroyed."""
    subprocess.run([LOCKER, "--make", path], check=True)
    return path


class Attack:
    """One locker in a session of its own, a child of process 1. `folder`: where its log and output go."""

    def __init__(self, folder, tree, pattern, *options, user=None):
        self.pattern = pattern
        self.folder = folder / f"attack-{pattern}-{len(list(folder.glob('attack-*')))}"
        self.folder.mkdir()
        self.log, self.words = self.folder / "log", self.folder / "stdin"
        self.log.touch()
        self.log.chmod(0o666)
        os.mkfifo(self.words)
        command = [str(LOCKER), "--tree", str(tree), "--pattern", pattern, "--log", str(self.log), *map(str, options)]
        if user is not None:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        script = 'cd "$0"; (setsid sh -c \'echo $$ >pid.new; mv pid.new pid; "$@"; echo $? >status.new; mv status.new status\' sh "$@" <>stdin >stdout 2>stderr &)'
        subprocess.run(["sh", "-c", script, str(self.folder), *command], check=True, cwd="/", timeout=60)
        self.pid = int(poll(lambda: self.read("pid") or None, "the attack to start"))

    def read(self, name):
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def ready(self):
        poll(lambda: "ready" in self.read("stdout"), "the descriptors to be open", otherwise=lambda: self.read("stderr"))

    def go(self):
        self.words.write_text("\n")

    def alive(self):
        """Processes of its session."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and is_running(int(entry)):
                try:
                    if self.folder == pathlib.Path(os.readlink(f"/proc/{entry}/cwd")):
                        found.append(int(entry))
                except OSError:
                    continue
        return found

    def ended(self, seconds=60):
        """Waits until none of its processes is left: the locker's exit status, or None when it did not come to one.

        What is still there after `seconds` (held, or waiting for an answer) is ended here: False."""
        try:
            poll(lambda: not self.alive(), "the attack to end", seconds)
        except AssertionError:
            self.end()
            return False
        status = self.read("status")
        return int(status) if status else None

    def end(self):
        for pid in self.alive():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        poll(lambda: not self.alive(), "the attack's processes to be gone", 10)

    def counters(self):
        text = self.read("stdout").replace("ready", "").strip()
        return json.loads(text) if text else None

    def events(self):
        rows = []
        for line in self.log.read_text().splitlines():
            event, time_ns, pid, result, path = line.split(" ")
            rows.append(Event(event, int(time_ns), int(pid), int(result), urllib.parse.unquote_to_bytes(path)))
        return rows

    def altered(self):
        """Files that were altered to the end, and those whose alteration had begun and did not come to one."""
        begun = {e.path for e in self.events() if e.event == "begin"}
        done = {e.path for e in self.events() if e.event == "end"}
        return {e.path for e in self.events() if e.event == "end" and e.result == 0}, begun - done
