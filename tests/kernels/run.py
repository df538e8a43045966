"""Boots each kernel that Debian has for this release in qemu, by software, and counts what guest.py says of it.

The disk is made of this machine's own packages (image), its root is this tree's hinomi, its init is systemd. Nothing
of the disk is kept. Arguments name kernels (none: all). KERNEL_TESTS="FILE …" runs these black-box tests instead of
guest.py's choice; the unit's console and results stay in build/kernels/VERSION/.
"""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import runner  # noqa: E402

PLACE = pathlib.Path("build/kernels")
# version: which of apt's sources, and which suite at the same place when that source does not have it
KERNELS = {
    "6.1": ("bookworm", "bookworm"),
    "6.12": ("bookworm", "bookworm-backports"),
    "5.10": ("bookworm-security", "bullseye-security"),
}
BOOT_SECONDS = int(os.environ.get("KERNEL_SECONDS", "1500"))
# qemu 7.2 damages the flags in an emulated cmpxchg16b; a machine without it makes Linux 6.12 take another way.
QEMU = "qemu-system-x86_64 -M q35 -cpu max,-cx16 -smp 2 -m 1G -nodefaults -no-user-config -no-reboot -display none"
COMMAND_LINE = "console=ttyS0 panic=-1 loglevel=5 systemd.show_status=0"


def boot(folder):
    """One run of the machine. Its results are in folder/results, whatever becomes of it."""
    tests = os.environ.get("KERNEL_TESTS", "").split()
    command = QEMU.split() + ["-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd")]
    command += ["-append", COMMAND_LINE + (f" hinomi_tests={','.join(tests)}" if tests else "")]
    command += ["-drive", f"file={PLACE}/root.img,format=raw,if=virtio,snapshot=on"]
    command += ["-serial", f"file:{folder}/console", "-serial", f"file:{folder}/results"]
    return runner.Run(command, BOOT_SECONDS)


def results(version):
    folder = PLACE / version
    fetched = runner.Run(["tests/kernels/fetch", str(folder), version, *KERNELS[version]], runner.BUILD_SECONDS)
    if fetched.status == 77:
        yield runner.SKIPPED, f"Linux {version}", fetched.output.splitlines()[-1]
        return
    image = fetched if fetched.status else runner.Run(["tests/kernels/image", str(PLACE), str(folder)], 300)
    if image.status:
        yield runner.FAILED, f"Linux {version}: its disk", image.output[-3000:]
        return
    for name in ("console", "results"):
        (folder / name).unlink(missing_ok=True)
    run, ended = boot(folder), False
    said = (folder / "console").read_text(errors="replace") if (folder / "console").exists() else ""
    for line in (folder / "results").read_text(errors="replace").splitlines() if (folder / "results").exists() else []:
        try:
            result = json.loads(line)
        except ValueError:
            break
        ended = ended or "end" in result
        if "result" in result:
            yield result["result"], f"Linux {version}: {result['name']}", result["output"]
    if not ended or run.status:
        yield runner.FAILED, f"Linux {version}: to its end", f"{said[-6000:]}\n{run.output}[qemu: {run.status}]"


def group(version):
    def run():
        yield from results(version)

    run.__name__ = version
    return run


if __name__ == "__main__":
    sys.exit(runner.main(sys.argv[1:], [group(version) for version in KERNELS]))
