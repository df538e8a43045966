"""Work that looks like an attack and is none: mass reads, mass renames, output that looks like noise, files that go.

Each workload is a function of (tree, place): a shielded tree with an office in it (corpus.fill), and an unguarded
directory of its own. It yields the commands that its owner would type; run() runs them in a session of its own.
"""
import os
import subprocess

WORKLOADS = {}
SHELL = 'set -e; cd "$1"; place=$2; export HOME="$2" LC_ALL=C.UTF-8 TMPDIR="$2"\n'


def workload(needs=()):
    """`needs`: programs without which it cannot be done here."""

    def register(function):
        WORKLOADS[function.__name__] = (function, needs)
        return function

    return register


def missing(name):
    programs = WORKLOADS[name][1]
    return [p for p in programs if subprocess.run(["sh", "-c", f"command -v {p}"], capture_output=True).returncode]


def run(name, tree, place, seconds=120):
    """(exit status, output); 124 when it did not end, as when it was held."""
    script = SHELL + WORKLOADS[name][0]()
    command = ["setsid", "timeout", "-s", "KILL", str(seconds), "sh", "-c", script, "sh", str(tree), str(place)]
    environment = {"PATH": os.environ["PATH"]}
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd="/", env=environment, stdin=subprocess.DEVNULL)
    return result.returncode, result.stdout + result.stderr


@workload(["tar", "gzip"])
def backup_with_tar():
    return "tar czf \"$place/office.tgz\" . && tar czf office.tgz documents accounts"


@workload(["gzip"])
def compressed_in_place_by_gzip():
    return "gzip -rf documents accounts logs www && gunzip -r documents"


@workload(["xz"])
def compressed_in_place_by_xz():
    return "find documents logs accounts -type f -exec xz -f {} +"


@workload(["zstd"])
def compressed_in_place_by_zstd():
    return "find documents logs accounts -type f -exec zstd -q --rm {} +"


@workload(["bzip2"])
def compressed_in_place_by_bzip2():
    return "find documents logs -type f -exec bzip2 {} +"


@workload(["zip", "unzip"])
def zipped_and_moved_into_archives():
    return "zip -qr office.zip documents photos; zip -qm logs.zip logs/*; unzip -qo office.zip -d again"


@workload(["7z"])
def archived_by_7z():
    return "7z a -bd office.7z documents accounts >/dev/null"


@workload(["rsync"])
def copied_and_synchronised_by_rsync():
    return 'rsync -a . "$place/copy/"; rsync -a documents/ mirror/; echo more >>documents/letter-0.txt; rsync -a --delete documents/ mirror/'


@workload()
def copied_by_cp():
    return "cp -r documents documents-2; cp -r photos photos-2; rm -rf documents-2"


@workload(["git"])
def git_of_everything():
    return """git init -q . && git config user.email a@example.org && git config user.name a
git add -A . && git commit -qm one && git clone -q . clone
for i in 1 2 3; do sed -i "s/order/order$i/" documents/*.txt; git commit -qam "c$i"; done
git checkout -q HEAD~2 && git checkout -q - && git gc -q --prune=now && rm -rf clone"""


@workload()
def words_replaced_by_sed():
    return "find . -type f '(' -name '*.txt' -o -name '*.php' -o -name '*.css' -o -name '*.csv' ')' -exec sed -i 's/invoice/bill/g' {} +"


@workload()
def renamed_all():
    return 'find documents photos www accounts -type f | while read -r f; do mv "$f" "$f.bak"; done; find . -name "*.bak" | while read -r f; do mv "$f" "${f%.bak}"; done'


@workload()
def old_folders_removed():
    return "rm -rf documents/2020 photos/0 logs"


@workload()
def rights_of_all_changed():
    return "chmod -R g+w . && chown -R 33:33 www && chmod -R g-w ."


@workload(["python3"])
def packages_installed_and_removed():
    """As npm does: thousands of small files that come, move and go."""
    return r"""python3 - <<'END'
import os, shutil
for k in range(60):
    for i in range(20):
        p = f"node_modules/.staging/pkg-{k}/lib/file-{i}.js"
        os.makedirs(os.path.dirname(p), exist_ok=True)
        open(p, "w").write(f"module.exports = function f{i}() {{ return {k}; }};\n" * 20)
    os.rename(f"node_modules/.staging/pkg-{k}", f"node_modules/pkg-{k}")
END
rm -rf node_modules"""


@workload(["sqlite3"])
def databases_vacuumed():
    return """for f in accounts/*.sqlite; do sqlite3 "$f" "delete from orders where id % 3 = 0; update orders set note = note || ' seen' where id % 5 = 0; vacuum;"; done
sqlite3 accounts/books-0.sqlite "pragma journal_mode=wal; update orders set customer = 'x'; pragma wal_checkpoint(truncate);" """


@workload(["gpg", "gpgconf"])
def one_file_encrypted_by_its_owner():
    return """mkdir -p -m 700 "$place/gnupg"; export GNUPGHOME="$place/gnupg"
gpg --batch -q --pinentry-mode loopback --passphrase secret -c documents/letter-1.txt && rm documents/letter-1.txt
gpgconf --kill all"""


@workload(["openssl"])
def one_file_encrypted_by_openssl():
    return "openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in keys/server.pem -out keys/server.pem.enc"


@workload(["mogrify"])
def images_converted_by_mogrify():
    return "mogrify -resize 90% photos/*/*.png"


@workload(["python3"])
def images_optimised():
    """As optipng does: the same pixels, deflated again and renamed over."""
    return r"""python3 - <<'END'
import glob, os, struct, zlib
for name in glob.glob("photos/*/*.png"):
    data, at, out, idat = open(name, "rb").read(), 8, b"", b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IDAT":
            idat += data[at + 8:at + 8 + n]
        elif kind == b"IEND":
            body = zlib.compress(zlib.decompress(idat), 9)
            out += struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body)) + data[at:]
        else:
            out += data[at:at + 12 + n]
        at += 12 + n
    open(name + ".tmp", "wb").write(data[:8] + out)
    os.rename(name + ".tmp", name)
END"""


@workload(["tar"])
def backup_restored():
    return 'tar cf "$place/all.tar" .; rm -rf documents accounts; tar xf "$place/all.tar"; tar xf "$place/all.tar" --overwrite'


@workload()
def logs_rotated():
    return """for n in 1 2 3; do for f in logs/access-?.log; do
test -f "$f.1" && mv "$f.1" "$f.2"; mv "$f" "$f.1"; : >"$f"; gzip -c "$f.1" >"$f.1.gz.$n"; echo "GET / $n" >>"$f"; done; done
for f in logs/access-?.log; do cp "$f" "$f.copy" && : >"$f"; done"""


@workload(["logrotate"])
def logs_rotated_by_logrotate():
    return """printf '%s/logs/*.log {\\n rotate 3\\n compress\\n missingok\\n create\\n su root root\\n}\\n' "$PWD" >"$place/rotate.conf"
chmod 644 "$place/rotate.conf"; logrotate -f -s "$place/status" "$place/rotate.conf" && logrotate -f -s "$place/status" "$place/rotate.conf" """


@workload(["dpkg-deb"])
def package_unpacked():
    return """mkdir -p "$place/pkg/DEBIAN" "$place/pkg/usr/share/x"; cp -r documents www "$place/pkg/usr/share/x"
printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@example.org>\\nDescription: x\\n' >"$place/pkg/DEBIAN/control"
dpkg-deb -b "$place/pkg" "$place/x.deb" >/dev/null; dpkg-deb -x "$place/x.deb" root
mkdir -p root/var/lib/dpkg/info root/var/lib/dpkg/updates; : >root/var/lib/dpkg/status
dpkg --root="$PWD/root" --force-all -i "$place/x.deb" >/dev/null 2>&1 && dpkg --root="$PWD/root" --force-all -r x >/dev/null 2>&1"""


@workload(["python3"])
def saved_by_editors():
    """Written beside and renamed over, with a backup; and rewritten in place, as two kinds of editors do."""
    return r"""python3 - <<'END'
import glob, os, shutil
for turn in range(5):
    for name in sorted(glob.glob("documents/*.txt") + glob.glob("www/*.php")):
        text = open(name).read().replace("total", "sum", turn + 1) + f"// {turn}\n"
        if turn % 2:
            shutil.copy2(name, name + "~")
            open(name, "w").write(text)
        else:
            open(name + ".swp", "w").write(text)
            os.rename(name + ".swp", name)
END"""


@workload(["python3"])
def documents_saved_by_an_office_program():
    return r"""python3 - <<'END'
import glob, os, zipfile
for name in glob.glob("documents/*/*.docx") + glob.glob("documents/*/*.xlsx"):
    with zipfile.ZipFile(name) as old, zipfile.ZipFile(name + ".tmp", "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, old.read(part).replace(b"order", b"offer"))
    lock = os.path.join(os.path.dirname(name), ".~lock." + os.path.basename(name) + "#")
    open(lock, "w").write("a,host,now;")
    os.rename(name + ".tmp", name)
    os.unlink(lock)
END"""


@workload(["python3"])
def photos_imported_and_sorted():
    return r"""python3 - <<'END'
import glob, os, shutil
for k in range(40):
    for name in glob.glob("photos/?/*.png"):
        shutil.copy(name, f"photos/import-{k}-{os.path.basename(name)}")
for name in glob.glob("photos/import-*"):
    folder = f"photos/2026-{int(name.split('-')[1]) % 12 + 1:02}"
    os.makedirs(folder, exist_ok=True)
    os.rename(name, os.path.join(folder, os.path.basename(name)))
END"""


@workload(["python3"])
def files_received_by_a_sync_client():
    """As Nextcloud and Syncthing do: a temporary name, complete, renamed over what was there."""
    return r"""python3 - <<'END'
import os, shutil
for folder, _, files in os.walk("documents"):
    for name in files:
        path = os.path.join(folder, name)
        if os.path.islink(path):
            continue
        data = open(path, "rb").read()
        temporary = os.path.join(folder, f".syncthing.{name}.tmp")
        open(temporary, "wb").write(data if name.endswith("x") else data + b"\nanother line of the report\n")
        os.rename(temporary, path)
END"""


@workload(["gcc", "make"])
def built_and_cleaned():
    return r"""mkdir -p src && cd src
for i in $(seq 60); do printf 'int f%d(int x) { return x * %d; }\n' "$i" "$i" >"f$i.c"; done
printf 'OBJECTS := $(patsubst %%.c,%%.o,$(wildcard *.c))\nlibx.a: $(OBJECTS)\n\tar rc $@ $^\nclean:\n\trm -f *.o libx.a\n' >Makefile
make -s -j2 && make -s clean && make -s && make -s clean"""


@workload(["python3"])
def site_generated():
    return r"""python3 - <<'END'
import os
for turn in range(3):
    for i in range(300):
        path = f"www/public/{i % 12}/page-{i}.html"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").write(f"<html><body><h1>{i}</h1>" + "<p>order and delivery</p>" * (turn + 20) + "</body></html>")
END"""


@workload(["python3"])
def cache_churned():
    """A web application's cache: hashed names, short lives, compressed content."""
    return r"""python3 - <<'END'
import hashlib, os, zlib
for i in range(800):
    name = hashlib.sha1(str(i % 200).encode()).hexdigest()
    os.makedirs(f"www/cache/{name[:2]}", exist_ok=True)
    path = f"www/cache/{name[:2]}/{name}"
    if i % 3 == 2 and os.path.exists(path):
        os.unlink(path)
    else:
        open(path, "wb").write(zlib.compress(os.urandom(200) + b"cached page " * 100))
END"""


@workload(["python3"])
def disk_image_of_a_machine_in_use():
    return r"""python3 - <<'END'
import os, random
rng = random.Random(1)
with open("vm.img", "wb") as f:
    f.truncate(64 << 20)
f = os.open("vm.img", os.O_RDWR)
for i in range(2000):
    page = b"PAGE" + i.to_bytes(8, "big") + os.urandom(64) + b"row of a table, " * 250
    os.pwrite(f, page[:4096], rng.randrange(16384) * 4096)
    if i % 200 == 0:
        os.fsync(f)
END"""


@workload(["borg"])
def backup_with_borg():
    return 'export BORG_BASE_DIR="$place/borg"; borg init -e none repository && borg create repository::one documents photos accounts && borg create repository::two documents && borg delete repository::one && borg compact repository'


@workload(["restic"])
def backup_with_restic():
    return 'export RESTIC_PASSWORD=x RESTIC_CACHE_DIR="$place/cache"; restic init -q -r repository && restic backup -q -r repository documents photos && restic backup -q -r repository documents && restic forget -q -r repository --keep-last 1 --prune'


@workload(["split", "cat"])
def large_file_split_and_joined():
    return 'cat backup/* documents/*/* >big.bin; split -b 100K big.bin part-; cat part-* >joined.bin; cmp big.bin joined.bin && rm part-* big.bin'


@workload(["patch", "diff"])
def patched():
    return r"""cp -r www www.new; sed -i 's/return/return 0 +/' www.new/*.php; diff -ru www www.new >"$place/p.diff" || true
patch -s -p1 -d www <"$place/p.diff"; rm -rf www.new"""


@workload(["iconv"])
def encoding_converted():
    return r"""for f in documents/*.txt accounts/*.csv; do iconv -f UTF-8 -t UTF-16 "$f" >"$f.new" && mv "$f.new" "$f"; done"""


@workload()
def line_ends_converted():
    return r"""find documents www accounts -type f '(' -name '*.txt' -o -name '*.php' -o -name '*.csv' ')' -exec sed -i 's/$/\r/' {} +"""


@workload(["python3"])
def data_exported_as_base64():
    """Mail: attachments are encoded, the originals stay."""
    return r"""python3 - <<'END'
import base64, glob
for name in glob.glob("documents/*/*.pdf") + glob.glob("photos/*/*.png"):
    open(name + ".eml", "wb").write(b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(open(name, "rb").read()))
END"""
