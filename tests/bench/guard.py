"""The whole guard on a tree of 60,000 files: write to finding in the ledger, a marker last in a burst, memory.

tests/bench/guard.py [FILES]. Each figure comes from a guard of its own in a scratch directory; beside it stands
the disk's own floor (one fdatasync) or the goal. Nothing is asserted.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
N_FILES = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
N_WRITES = 400
N_BURST = 12_000
N_KILLS = 5


class Guard:
    def __init__(self, place, tree):
        self.socket_path = place / "socket"
        config = place / "hinomi.yaml"
        config.write_text(f"trees:\n  - path: {tree}\n    protect: mirror\n    profile: generic-php\n")
        self.process = subprocess.Popen(
            [ROOT / "build/hinomi", "watch", "--config", config, "--state", place / "state", "--socket", self.socket_path],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for line in self.process.stdout:
            if line.strip() == "hinomi: watching":
                break
        os.set_blocking(self.process.stdout.fileno(), False)

    def ask(self, request):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(60)
        client.connect(str(self.socket_path))
        client.send(json.dumps(request).encode())
        return client

    def follow(self):
        client = self.ask({"request": "watch"})
        time.sleep(0.2)
        return client

    def wait_for(self, client, path):
        """A committed ledger entry that names the path."""
        while True:
            try:
                self.process.stdout.read()  # what it prints must not stand in its way
            except (OSError, TypeError):
                pass
            message = json.loads(client.recv(1 << 20))
            for evidence in message.get("data", {}).get("evidences", []):
                if evidence.get("file", {}).get("path") == str(path):
                    return

    def memory(self):
        """Kilobytes over all roles: resident added up, and proportional (pages that roles share count once)."""
        pids = [self.process.pid, *map(int, subprocess.check_output(["pgrep", "-P", str(self.process.pid)]).split())]
        resident = proportional = 0
        for pid in pids:
            for line in open(f"/proc/{pid}/smaps_rollup", encoding="ascii"):
                resident += int(line.split()[1]) if line.startswith("Rss:") else 0
                proportional += int(line.split()[1]) if line.startswith("Pss:") else 0
        return resident, proportional

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def fdatasync_ms(place):
    times = []
    with open(place / "floor", "wb") as file:
        for _ in range(100):
            begin = time.perf_counter()
            file.write(b"x" * 1500)
            file.flush()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def make_tree(tree):
    for i in range(N_FILES):
        directory = tree / f"d{i // 100}"
        if i % 100 == 0:
            directory.mkdir(parents=True)
        (directory / f"f{i}.php").write_text(f"<?php\nfunction f{i}() {{ return {i}; }}\n")


def measure_latency(guard, tree, place):
    client, times = guard.follow(), []
    for i in range(N_WRITES):
        path = tree / f"d{i % 50}" / f"written{i}.php"
        begin = time.perf_counter()
        path.write_text(f"<?php return {i};\n")
        guard.wait_for(client, path)
        times.append((time.perf_counter() - begin) * 1e3)
        time.sleep(0.01)
    times.sort()
    floor = fdatasync_ms(place)
    median, p99 = statistics.median(times), times[int(len(times) * 0.99) - 1]
    print(f"write to finding in the ledger   median {median:.2f} ms, p99 {p99:.2f} ms   (goal 5 and 50)")
    print(f"one append and fdatasync         median {floor:.2f} ms   ratio {median / floor:.1f}")


def role_pids(guard):
    pids = {}
    for pid in map(int, subprocess.check_output(["pgrep", "-P", str(guard.process.pid)]).split()):
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"-x" in words:
            pids[words[words.index(b"-x") + 1].decode()] = pid
    return pids


def wait_for_status(guard, role, old):
    """Until status says that everything promised is in force, and names a new process for the role."""
    while True:
        try:
            with guard.ask({"request": "status"}) as client:
                status = json.loads(client.recv(1 << 20)).get("data", {})
                pids = {row["name"]: row["pid"] for row in status.get("roles", []) if row["state"] == "up"}
                if status.get("in_force") and pids.get(role, old) != old:
                    return
        except (OSError, ValueError):
            pass
        time.sleep(0.001)


def measure_return(guard, tree):
    """From SIGKILL to an answer of status, and to the finding about a file written at the moment of the kill."""
    for role in ("sentry", "assayer", "ledger", "engine"):
        answers, findings = [], []
        for i in range(N_KILLS):
            old = role_pids(guard)[role]
            begin = time.perf_counter()
            os.kill(old, signal.SIGKILL)
            wait_for_status(guard, role, old)
            answers.append((time.perf_counter() - begin) * 1e3)
            time.sleep(1)
            path, old = tree / "d1" / f"{role}{i}.php", role_pids(guard)[role]
            begin = time.perf_counter()
            os.kill(old, signal.SIGKILL)
            path.write_text(f"<?php return '{role}{i}';\n")
            guard.wait_for(guard.ask({"request": "findings", "limit": 20, "follow": True}), path)
            findings.append((time.perf_counter() - begin) * 1e3)
            time.sleep(1)
        print(
            f"{role} killed: status again after {statistics.median(answers):.0f} ms (worst {max(answers):.0f}), "
            f"finding after {statistics.median(findings):.0f} ms (worst {max(findings):.0f})   (goal 100 ms)"
        )


def measure_burst(guard, tree):
    client, directory = guard.follow(), tree / "burst"
    directory.mkdir()
    begin = time.perf_counter()
    for i in range(N_BURST):
        os.close(os.open(directory / f"b{i}", os.O_CREAT | os.O_WRONLY))
    marker = directory / "marker.php"
    marker.write_text("<?php return 'marker';\n")
    made = time.perf_counter()
    guard.wait_for(client, marker)
    print(
        f"{N_BURST} creates in {made - begin:.2f} s, marker last: found after {time.perf_counter() - made:.2f} s"
        "   (goal 1 s; Samhain 6.2 s)"
    )


def main():
    place = pathlib.Path(tempfile.mkdtemp(prefix="hinomi-bench-", dir="/var/tmp"))
    try:
        tree = place / "tree"
        make_tree(tree)
        guard = Guard(place, tree)
        time.sleep(2)
        resident, proportional = guard.memory()
        print(f"all roles, {N_FILES} files: {proportional / 1024:.1f} MB, shared pages counted once (goal 40 MB);")
        print(f"added up role by role, shared pages as often as they are shared: {resident / 1024:.1f} MB")
        measure_latency(guard, tree, place)
        measure_return(guard, tree)
        measure_burst(guard, tree)
        guard.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


main()
