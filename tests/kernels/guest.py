"""Inside the machine that tests/kernels/run.py boots: what depends on the kernel, and then the unit under the real
systemd (unit.py). Each result is a line of JSON on the second serial port; the last line says that all was run.
The word hinomi_tests=FILE,FILE of the kernel's command line names other black-box tests than these."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import runner  # noqa: E402

SCENARIOS = {
    "test_see": """written_in_place renamed_over created deleted directory_renamed directory_moved_in mode_changed
        extended_attribute_set written_through_a_hard_link_made_while_watching
        written_through_a_bind_mount_from_outside stored_through_a_shared_mapping
        modified_and_reverted_within_milliseconds new_directory_and_its_file_at_once
        deploy_by_symlink_switch_of_the_tree_itself written_while_down copied_by_the_kernel exchanged_by_renameat2""",
    "test_who": "process_user_and_command_line ancestors_up_to_init process_that_lived_two_milliseconds",
    "test_respond": """altered_content_is_put_back deleted_directory_comes_back_whole
        mode_owner_and_attributes_are_put_right refused_write_never_happens refused_truncation_and_append what_cannot_be_refused_is_put_back
        refusing_lets_a_release_through""",
    "test_robust": "every_role_killed_at_once held_up_opens_go_on_when_the_sentry_of_a_refusing_tree_dies",
    "test_doctor": "all_is_well tree_that_is_gone role_that_stands_still",
}
CHOSEN = [f"tests/scenario/{file}.py::test_{name}" for file, names in SCENARIOS.items() for name in names.split()]
CHOSEN += ["tests/real/test_filesystems.py", "tests/kernels/unit.py"]


def results():
    other = re.search(r"\bhinomi_tests=(\S+)", pathlib.Path("/proc/cmdline").read_text())
    if other:
        yield from runner.run_pytest(*other.group(1).split(","))
        return
    for folder in ("sense", "respond"):
        yield from runner.run_programs(folder)
    yield from runner.run_pytest(*CHOSEN)


def main():
    os.chdir(ROOT)
    with open("/dev/ttyS1", "w", encoding="ascii") as port:
        subprocess.run(["stty", "raw"], stdin=port, check=True)
        start = time.monotonic()
        for result, name, output in results():
            line = {"result": result, "name": name, "output": output[-6000:], "seconds": time.monotonic() - start}
            print(json.dumps(line), file=port, flush=True)
        print(json.dumps({"end": True}), file=port, flush=True)


main()
