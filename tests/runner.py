"""Runs every group of tests, shows each result, and ends with one line: N passed, N failed[, N skipped].

A group is a function that yields results; what is counted comes from the test programs themselves: TAP from
cmocka, JUnit XML from pytest, the exit status of a check or a fuzzer. A program that dies without a word, or a
group that should have tests and ran none, is a failure. Arguments name the groups to run (none: all).
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

PASSED, FAILED, SKIPPED = "passed", "FAILED", "skipped"
JOBS = str(os.cpu_count() or 2)
UNIT_SECONDS, PROGRAM_SECONDS, PYTEST_SECONDS, SHIELD_SECONDS, BUILD_SECONDS = 300, 600, 1200, 3600, 1200
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all"
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "LSAN_OPTIONS": "suppressions=tests/leaks.suppress:print_suppressions=0",
}
NOT_UNDER_ASAN = {"roles/assayer": "its sandbox kills a process that makes the sanitizer's system calls"}


class Run:
    """What a finished program said."""

    def __init__(self, command, seconds, **environment):
        start = time.monotonic()
        self.output, self.status = "", -1
        with tempfile.TemporaryFile("w+b") as output:
            try:
                self.status = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                    env={**os.environ, **environment},
                ).returncode
                note = ""
            except subprocess.TimeoutExpired:
                note = f"\n[no end after {seconds} s]"
            except OSError as error:
                note = f"\n[{error}]"
            output.seek(0)
            self.output = output.read().decode("utf-8", "backslashreplace") + note
        self.seconds = time.monotonic() - start


def make(*arguments):
    return Run(["make", "--no-print-directory", "-j" + JOBS, *arguments], BUILD_SECONDS)


def built(name, *arguments):
    """A build as a test: yields only when it fails, since what it builds is counted itself."""
    run = make(*arguments)
    if run.status:
        yield FAILED, name, run.output
    return run.status == 0


def values_of(variable, *arguments):
    run = make("-s", "--eval", f"print-value: ; @echo $({variable})", "print-value", *arguments)
    return run.output.split() if run.status == 0 else []


def tap(name, run):
    """The results in a TAP stream, and one more failure when the program did not end as it said."""
    planned, results = None, []
    for line in run.output.splitlines():
        result = re.match(r"(not )?ok\b\s*\d*\s*-?\s*(.*?)(?:\s*#\s*(skip|todo)\b\s*(.*))?$", line, re.I)
        plan = re.match(r"1\.\.(\d+)", line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
        elif result and result.group(3):
            # cmocka gives the test's name as the reason.
            label, reason = (result.group(2), result.group(4)) if result.group(2) else (result.group(4), "by itself")
            results.append([SKIPPED, f"{name}: {label}", [reason]])
        elif result:
            results.append([FAILED if result.group(1) else PASSED, f"{name}: {result.group(2)}", []])
        elif results and results[-1][0] == FAILED:
            results[-1][2].append(line)
    for result, label, details in results:
        yield result, label, "\n".join(details)
    failed = any(result == FAILED for result, _, _ in results)
    if planned is None or len(results) < planned or (run.status and not failed):
        said = f"[exit status {run.status}, {len(results)} of {planned} tests reported]"
        yield FAILED, name, f"{run.output[-6000:]}\n{said}"


def check():
    run = make("all")
    yield (FAILED if run.status else PASSED), "build", run.output
    for name in values_of("CHECKS"):
        run = make("check-" + name)
        yield (FAILED if run.status else PASSED), name, run.output


def unit(*arguments, **environment):
    if not (yield from built("build of the unit tests", "-k", "unit-programs", *arguments)):
        return
    for program in values_of("TESTS:%.c=$(BUILD)/%", *arguments):
        name = re.sub(r"^build/(asan/)?src/|-test$", "", program)
        if environment and name in NOT_UNDER_ASAN:
            yield SKIPPED, name, NOT_UNDER_ASAN[name]
            continue
        yield from tap(name, Run([program], UNIT_SECONDS, CMOCKA_MESSAGE_OUTPUT="TAP", **environment))


def asan():
    arguments = ["BUILD=build/asan", f"SANITIZE={SANITIZE}", "OPTIMISE=-O1 -g"]
    yield from unit(*arguments, **SANITIZER_OPTIONS)
    if (yield from built("build of the locker", "locker", *arguments)):
        environment = {**SANITIZER_OPTIONS, "HINOMI_LOCKER": "build/asan/tests/ransom/locker"}
        yield from run_pytest("tests/ransom", "-k", "alters_what_it_says", **environment)


def programs(folder):
    targets = program_targets(folder)
    if targets and (yield from built(f"build of tests/{folder}", "-k", *targets)):
        yield from run_programs(folder)


def program_targets(folder):
    return [f"build/tests/{folder}/{source.stem}" for source in sorted(pathlib.Path("tests", folder).glob("*.c"))]


def run_programs(folder):
    for target in program_targets(folder):
        name = f"{folder}/{pathlib.Path(target).name}"
        if os.geteuid() != 0 and folder in ("sense", "respond"):
            yield SKIPPED, name, "needs root"
            continue
        yield from tap(name, Run([target], PROGRAM_SECONDS, CMOCKA_MESSAGE_OUTPUT="TAP"))


def fault():
    yield from programs("fault")


def sense():
    yield from programs("sense")
    yield from programs("respond")


def fuzz():
    """Each target on its corpus, as an ordinary test, and then on what libFuzzer makes of it."""
    sanitize = "-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
    arguments = ["BUILD=build/fuzz", "CC=clang", f"SANITIZE={sanitize}", "OPTIMISE=-O1 -g"]
    if not list(pathlib.Path("tests/fuzz").glob("*.c")):
        return
    if not (yield from built("build of the fuzz targets", "-k", "fuzzers", *arguments)):
        return
    seconds = os.environ.get("FUZZ_SECONDS", "4")
    for target in sorted(pathlib.Path("tests/fuzz").glob("*.c")):
        program = f"build/fuzz/tests/fuzz/{target.stem}"
        seeds = pathlib.Path("tests/fuzz/corpus", target.stem)
        dictionary = pathlib.Path("tests/fuzz", target.stem + ".dict")
        files = [str(path) for path in sorted(seeds.rglob("*")) if path.is_file()]
        if not files:
            yield FAILED, f"replay {target.stem}", f"no corpus in {seeds}"
            continue
        run = Run([program, "-timeout=20", *files], PROGRAM_SECONDS, **SANITIZER_OPTIONS)
        yield (FAILED if run.status else PASSED), f"replay {target.stem} ({len(files)} files)", run.output[-6000:]
        with tempfile.TemporaryDirectory() as scratch:
            command = [program, f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
            command += [f"-artifact_prefix=build/fuzz/{target.stem}-", "-close_fd_mask=1"]
            command += [f"-dict={dictionary}"] if dictionary.exists() else []
            run = Run([*command, scratch, str(seeds)], int(seconds) + PROGRAM_SECONDS, **SANITIZER_OPTIONS)
        executed = re.search(r"number_of_executed_units:\s*(\d+)", run.output)
        label = f"fuzz {target.stem} ({executed.group(1) if executed else 0} inputs)"
        yield (PASSED if run.status == 0 and executed else FAILED), label, run.output[-6000:]


def pytest():
    folders = [str(path) for path in sorted(pathlib.Path("tests").iterdir()) if list(path.glob("test_*.py"))]
    if folders and (yield from built("build of the locker", "locker")):
        yield from run_pytest(*folders)


def run_pytest(*chosen, seconds=PYTEST_SECONDS, **environment):
    """The black-box tests. Shown as they run; counted from pytest's own report."""
    if os.geteuid() != 0:
        yield SKIPPED, "scenario, real", "need root: fanotify, other users' processes, a shop of their own"
        return
    report = pathlib.Path("build/pytest.xml")
    report.unlink(missing_ok=True)
    command = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rsfE", "--tb=short"]
    command += [f"--junitxml={report}", *chosen, *os.environ.get("PYTEST_ARGUMENTS", "").split()]
    try:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, timeout=seconds, env={**os.environ, **environment}
        ).returncode
    except subprocess.TimeoutExpired:
        status = f"no end after {seconds} s"
    failed = 0
    if report.exists():
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname', '')}.{case.get('name')}".replace("tests.", "", 1)
            skipped = case.find("skipped")
            broken = case.find("failure") if case.find("failure") is not None else case.find("error")
            if broken is not None:
                failed += 1
                yield FAILED, name, ""
            elif skipped is not None:
                yield SKIPPED, name, skipped.get("message", "")
            else:
                yield PASSED, name, ""
    if status not in (0, 1) or (status == 1 and not failed):
        yield FAILED, "pytest", f"[exit status {status}]"


def shield():
    """Every attack and every benign workload of tests/scenario/test_shield.py: see HINOMI_SHIELD there."""
    if (yield from built("build of the locker", "locker")):
        yield from run_pytest("tests/scenario/test_shield.py", seconds=SHIELD_SECONDS, HINOMI_SHIELD="full")


GROUPS = [check, unit, asan, fault, fuzz, sense, pytest, shield]
ON_REQUEST = [shield]
MUST_HAVE_TESTS = {"check", "unit", "asan"}


def run_group(group, counts, failures):
    print(f"== {group.__name__}", flush=True)
    start, before = time.monotonic(), sum(counts.values())
    for result, name, output in group():
        counts[result] += 1
        print(f"{result:8}{name}" + (f" [{output}]" if result == SKIPPED else ""), flush=True)
        if result == FAILED:
            failures.append(f"{group.__name__}: {name}")
            print("\n".join("    | " + line for line in output.splitlines()[-120:]), flush=True)
    ran = sum(counts.values()) - before
    if not ran and group.__name__ in MUST_HAVE_TESTS:
        counts[FAILED] += 1
        failures.append(f"{group.__name__}: nothing ran")
    print(f"   {ran} in {time.monotonic() - start:.0f} s", flush=True)


def main(names, groups):
    os.chdir(pathlib.Path(__file__).resolve().parent.parent)
    unknown = set(names) - {group.__name__ for group in groups}
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are: {', '.join(g.__name__ for g in groups)}")
        return 2
    if not shutil.which("make"):
        print("make is missing")
        return 2
    counts, failures = {PASSED: 0, FAILED: 0, SKIPPED: 0}, []
    for group in groups:
        if group.__name__ in names or (not names and group not in ON_REQUEST):
            run_group(group, counts, failures)
    print("".join(f"FAILED  {name}\n" for name in failures), end="")
    skipped = f", {counts[SKIPPED]} skipped" if counts[SKIPPED] else ""
    print(f"{counts[PASSED]} passed, {counts[FAILED]} failed{skipped}", flush=True)
    return 1 if counts[FAILED] or not counts[PASSED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], GROUPS))
