"""The ledger proves what was recorded: to anyone, without a daemon, on a copy, with tools of their own."""
import base64
import hashlib
import json
import re
import shutil
import struct
import subprocess

import pytest
from guard import HINOMI


@pytest.fixture
def recorded(guard, tree):
    """A copy of the state of a guard that has seen a few things and has ended."""
    for i in range(6):
        (tree / f"lib/new-{i}.php").write_text(f"<?php // {i}\n")
        guard.seen(tree / f"lib/new-{i}.php", "created")
        guard.settle()
    guard.stop()
    copy = guard.folder / "copy"
    shutil.copytree(guard.state, copy)
    return copy


def verify(state):
    command = [str(HINOMI), "ledger", "verify", "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def bundles(state):
    return sorted(
        (path for path in (state / "ledger/tile/entries").rglob("*") if path.is_file()),
        key=lambda path: (path.parent.name, path.name),
    )


def newest_bundle(state):
    """The bundle that the checkpoint speaks of: the widest partial one."""
    return max(bundles(state), key=lambda path: path.stat().st_size)


def unpack(data):
    entries = []
    while data:
        (size,) = struct.unpack_from(">H", data)
        entries.append(data[2 : 2 + size])
        data = data[2 + size :]
    return entries


def pack(entries):
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def rewrite(state, change):
    path = newest_bundle(state)
    entries = unpack(path.read_bytes())
    changed = change(list(entries))
    assert changed != entries
    path.chmod(0o600)
    path.write_bytes(pack(changed))
    return entries


def test_verify_says_yes_on_a_copy_without_a_daemon(recorded):
    result = verify(recorded)
    assert result.returncode == 0, result.stderr


def test_verify_needs_no_root(recorded):
    subprocess.run(["chmod", "-R", "a+rX", str(recorded / "ledger"), str(recorded)], check=True)
    shutil.rmtree(recorded / "keys")
    program = shutil.copy(HINOMI, recorded / "hinomi")  # the tree may lie below /root
    command = [program, "ledger", "verify", "--state", str(recorded)]
    result = subprocess.run(command, capture_output=True, text=True, user="nobody", cwd="/", check=False)
    assert result.returncode == 0, result.stderr


def alter(entries):
    entries[3] = entries[3].replace(b'"', b"'", 1)
    return entries


def reorder(entries):
    entries[2], entries[4] = entries[4], entries[2]
    return entries


def redate(entries):
    entries[3] = re.sub(rb'"time":"\d{4}', b'"time":"2021', entries[3], count=1)
    return entries


def remove(entries):
    return entries[:3] + entries[4:]


def insert(entries):
    return entries[:3] + [entries[2]] + entries[3:]


@pytest.mark.parametrize("change, first_bad", [(alter, 3), (reorder, 2), (redate, 3), (remove, 3), (insert, 3)])
def test_altered_record_is_found_and_the_first_bad_entry_named(recorded, change, first_bad):
    entries = unpack(newest_bundle(recorded).read_bytes())
    assert len(entries) > 5 and len(set(entries)) == len(entries)
    rewrite(recorded, change)
    result = verify(recorded)
    assert result.returncode == 1
    assert re.search(rf"\b{first_bad}\b", result.stdout + result.stderr), result.stdout + result.stderr


def test_every_altered_byte_is_found(recorded):
    path = newest_bundle(recorded)
    path.chmod(0o600)
    original = path.read_bytes()
    for offset in range(0, len(original), max(1, len(original) // 60)):
        data = bytearray(original)
        data[offset] ^= 1
        path.write_bytes(data)
        assert verify(recorded).returncode != 0, f"byte {offset} of {len(original)}"
    path.write_bytes(original)
    assert verify(recorded).returncode == 0


def test_cut_off_end_is_found(recorded):
    rewrite(recorded, lambda entries: entries[:-1])
    assert verify(recorded).returncode == 1


def test_cut_off_file_is_found(recorded):
    path = newest_bundle(recorded)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-3])
    assert verify(recorded).returncode == 1


def test_missing_bundle_is_found(recorded):
    newest_bundle(recorded).unlink()
    assert verify(recorded).returncode != 0


def test_altered_checkpoint_is_found(recorded):
    path = recorded / "ledger/checkpoint"
    path.chmod(0o600)
    original = path.read_text()
    for change in (
        lambda text: re.sub(r"^(\d+)$", lambda m: str(int(m.group(1)) - 1), text, count=1, flags=re.M),
        lambda text: text.replace("\n\n", "\nextension\n\n", 1),
        lambda text: text[:-8] + "AAAA" + text[-4:],
        lambda text: "",
    ):
        path.write_text(change(original))
        assert verify(recorded).returncode != 0, path.read_text()
    path.write_text(original)
    assert verify(recorded).returncode == 0


def test_record_signed_anew_with_another_key_is_found(guard, recorded, scratch):
    """Another log put in its place, key and all, does not carry this log's name for its key."""
    key = (recorded / "ledger/key.pub").read_text()
    other = key[:-6] + ("A" if key[-6] != "A" else "B") + key[-5:]
    (recorded / "ledger/key.pub").chmod(0o600)
    (recorded / "ledger/key.pub").write_text(other)
    assert verify(recorded).returncode != 0


def tree_hash(leaves):
    """RFC 6962, 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def test_a_third_party_can_check_it_with_other_tools(recorded, scratch):
    """The root from the entries by RFC 6962, the note's Ed25519 signature by openssl(1)."""
    note = (recorded / "ledger/checkpoint").read_text()
    text, _, signatures = note.partition("\n\n")
    text += "\n"
    origin, size, root = text.splitlines()[:3]
    entries, full = [], [path for path in bundles(recorded) if not path.parent.name.endswith(".p")]
    for path in full:
        entries += unpack(path.read_bytes())
    if len(entries) < int(size):
        entries += unpack(newest_bundle(recorded).read_bytes() if not full else max(
            (p for p in bundles(recorded) if p.parent.name.endswith(".p")), key=lambda p: int(p.name)).read_bytes())  # fmt: skip
    assert len(entries) == int(size)
    assert base64.b64encode(tree_hash(entries)).decode() == root
    name, key_id, key = (recorded / "ledger/key.pub").read_text().strip().split("+", 2)
    assert name == origin
    raw = base64.b64decode(key)
    assert raw[0] == 1, "Ed25519"
    (scratch / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + raw[1:])
    line = next(line for line in signatures.splitlines() if line.startswith(f"\u2014 {origin} "))
    signature = base64.b64decode(line.split(" ")[2])
    assert signature[:4].hex() == key_id
    (scratch / "signature").write_bytes(signature[4:])
    (scratch / "note").write_text(text)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin"]
    command += ["-sigfile", "signature", "-in", "note"]
    subprocess.run(command, check=True, cwd=scratch, stdout=subprocess.DEVNULL)


def test_times_never_go_back(recorded):
    times = [json.loads(entry)["time"] for entry in unpack(newest_bundle(recorded).read_bytes())]
    assert times == sorted(times)


def test_findings_carry_their_index(guard, tree):
    (tree / "lib/new.php").write_text("<?php\n")
    finding, _ = guard.seen(tree / "lib/new.php", "created")
    index = finding["metadata"]["sequence"]
    output = guard.done("ledger", "prove", index)
    assert output.strip()
    guard.stop()
    entry = unpack(newest_bundle(guard.state).read_bytes())[index]
    assert json.loads(entry)["finding"]["finding_info"]["uid"] == finding["finding_info"]["uid"]


def test_prove_of_what_is_not_there_is_an_honest_no(recorded):
    for index, statuses in (("999999", (1, 2)), ("-1", (2,)), ("x", (2,))):
        command = [str(HINOMI), "ledger", "prove", "--state", str(recorded), "--", index]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode in statuses, (index, result)


def test_export_gives_every_entry(recorded):
    command = [str(HINOMI), "ledger", "export", "--state", str(recorded)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == len(unpack(newest_bundle(recorded).read_bytes()))


def test_heartbeat_when_nothing_happens(make_guard, tree):
    """A checkpoint is signed anew although no entry is added."""
    from guard import poll

    guard = make_guard([{"path": tree}], options={"ledger": {"heartbeat": "1 s"}})
    path = guard.state / "ledger/checkpoint"
    first = path.read_bytes()
    poll(lambda: path.read_bytes() != first, "another checkpoint", 30, guard.output)
