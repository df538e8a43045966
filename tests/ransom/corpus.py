"""The files of a small office and its web server, as victims: many types, sizes, rights and names; made by a seed."""
import gzip
import io
import lzma
import os
import pathlib
import random
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib

WORDS = (
    "order invoice customer delivery the and of to in for is payment total amount tax due date account number "
    "street city please confirm receipt goods returned warranty contract meeting minutes agenda budget quarter "
    "report sales profit loss stock warehouse shipment carrier weight unit price discount approved by manager"
).split()

OLD = 1_600_000_000


def prose(rng, n_bytes):
    text = []
    size = 0
    while size < n_bytes:
        line = " ".join(rng.choice(WORDS) for _ in range(rng.randint(5, 14))).capitalize() + ".\n"
        text.append(line)
        size += len(line)
    return "".join(text)[:n_bytes].encode()


def table(rng, n_rows):
    rows = ["id,date,customer,item,amount"]
    for i in range(n_rows):
        rows.append(f"{i},2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02},{rng.choice(WORDS)},{rng.choice(WORDS)},{rng.randint(1, 99999)}")
    return ("\n".join(rows) + "\n").encode()


def png(rng, side):
    """A valid image: noise below a gradient, so that it does not compress to nothing."""
    rows = b"".join(b"\0" + bytes((x * 3 + y + rng.randint(0, 15)) & 255 for x in range(side * 3)) for y in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def document(rng, n_bytes, kind="word/document.xml"):
    """As an office program saves it: a zip archive of XML."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", '<?xml version="1.0"?><Types/>')
        archive.writestr(kind, b"<?xml version='1.0'?><document><p>" + prose(rng, n_bytes) + b"</p></document>")
    return out.getvalue()


def pdf(rng, n_bytes):
    stream = zlib.compress(prose(rng, n_bytes))
    head = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
    body = b"3 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(stream) + stream + b"\nendstream\nendobj\n"
    return head + body + b"trailer\n<< /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(head)


def tar_gz(rng):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for i in range(6):
            data = prose(rng, 9000)
            info = tarfile.TarInfo(f"backup/{i}.txt")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def database(rng, n_rows):
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as file:
        connection = sqlite3.connect(file.name)
        connection.execute("create table orders (id integer primary key, customer text, note text)")
        rows = [(i, rng.choice(WORDS), prose(rng, 120).decode()) for i in range(n_rows)]
        connection.executemany("insert into orders values (?, ?, ?)", rows)
        connection.commit()
        connection.close()
        return pathlib.Path(file.name).read_bytes()


def office(seed=1, n_each=3):
    """{name: content}: what an owner would miss."""
    rng = random.Random(seed)
    files = {}
    for i in range(n_each):
        files[f"documents/letter-{i}.txt"] = prose(rng, 3000 + 500 * i)
        files[f"documents/{2020 + i}/minutes-{i}.docx"] = document(rng, 20_000 + 1000 * i)
        files[f"documents/{2020 + i}/budget-{i}.xlsx"] = document(rng, 30_000, "xl/worksheets/sheet1.xml")
        files[f"documents/{2020 + i}/contract-{i}.pdf"] = pdf(rng, 40_000)
        files[f"accounts/sales-{i}.csv"] = table(rng, 800 + 100 * i)
        files[f"accounts/orders-{i}.json"] = b"[" + b",".join(b'{"id": %d, "note": "%s"}' % (k, prose(rng, 40).strip()) for k in range(200)) + b"]\n"
        files[f"accounts/books-{i}.sqlite"] = database(rng, 300)
        files[f"photos/{i}/scan-{i}.png"] = png(rng, 48 + 8 * i)
        files[f"www/page-{i}.php"] = b"<?php\n" + b"".join(b"function f%d($x) { return $x + %d; } // %s\n" % (k, k, prose(rng, 30).strip()) for k in range(60))
        files[f"www/style-{i}.css"] = b"".join(b".c%d { margin: %dpx; color: #%06x; }\n" % (k, k, rng.getrandbits(24)) for k in range(120))
        files[f"logs/access-{i}.log"] = b"".join(b"192.0.2.%d - - [01/Mar/2026] \"GET /%s HTTP/1.1\" 200 %d\n" % (k % 250, rng.choice(WORDS).encode(), k) for k in range(400))
        files[f"backup/week-{i}.tar.gz"] = tar_gz(rng)
        files[f"backup/dump-{i}.sql.gz"] = gzip.compress(table(rng, 600), mtime=0)
    files["backup/old.txt.xz"] = lzma.compress(prose(rng, 40_000))
    files["keys/server.pem"] = b"-----BEGIN CERTIFICATE-----\n" + b"MIIBszCCAVmgAwIBAgIUQ3J5cHRv\n" * 20 + b"-----END CERTIFICATE-----\n"
    files["sizes/empty"] = b""
    files["sizes/one"] = b"1"
    files["sizes/page"] = prose(rng, 4096)
    files["sizes/step"] = prose(rng, 64 << 10)
    files["sizes/block"] = prose(rng, 1 << 20)
    files["sizes/odd"] = prose(rng, (1 << 20) + 4711)
    files[".hidden/settings.ini"] = b"[owner]\nname=shop\n" * 20
    files["names/two words and\na line"] = prose(rng, 900)
    return files


def fill(tree, seed=1, n_each=3, n_more=0, large=()):
    """Writes office() below `tree`, with rights, owners, attributes, links and old times; `large`: (name, size, data)."""
    rng, tree = random.Random(seed), pathlib.Path(tree)
    for name, content in office(seed, n_each).items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    for i in range(n_more):
        path = tree / f"many/{i % 20}/note-{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(prose(rng, 2000))
    for name, size, data in large:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        with open(tree / name, "wb") as file:
            file.truncate(size)
            for at in range(0, size, max(size // 8, 1)):
                file.seek(at)
                file.write(data[: size - at])
    shutil.copy("/bin/true", tree / "www/tool")
    (tree / "documents/latest").symlink_to("letter-0.txt")
    (tree / "keys/server.pem").chmod(0o600)
    (tree / "www/page-0.php").chmod(0o640)
    os.setxattr(tree / "documents/letter-0.txt", "user.comment", b"\x00kept\xff")
    if os.geteuid() == 0:
        os.chown(tree / "www/page-0.php", 33, 33)
        if shutil.which("setfacl"):
            subprocess.run(["setfacl", "-m", "u:33:r", str(tree / "accounts/sales-0.csv")], check=True)
    for path in sorted(tree.rglob("*"), reverse=True):
        if not path.is_symlink():
            os.utime(path, ns=(OLD * 10**9, (OLD + rng.randint(0, 10**7)) * 10**9 + rng.randint(0, 10**9 - 1)))
