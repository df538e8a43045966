/* Programs that keep or send what customers type, and scripts that do so in the browser. Own writing. */

rule php_card_to_file
{
    meta:
        description = "keeps customers' card data in a file"
        technique = "T1074.001"
        severity = "critical"
    strings:
        $n = /\$_(POST|REQUEST)\s*\[\s*['"](payment\[)?[\w-]{0,20}(card_?num(ber)?|card_?no|cc_?num(ber)?|cc_?no)[\w-]{0,20}/ nocase
        $c = /\$_(POST|REQUEST)\s*\[\s*['"](payment\[)?[\w-]{0,20}(cvv2?|cvc2?|cc_?cid|security_?code|card_?code)/ nocase
        $w = /\b(file_put_contents|fwrite|fputs|error_log)\s*\(/ nocase
    condition:
        $n and $c and $w
}

rule php_card_to_mail
{
    meta:
        description = "mails customers' card data to somebody"
        technique = "T1048.003"
        severity = "critical"
    strings:
        $n = /(card_?num(ber)?|card_?no|cc_?num(ber)?)\b/ nocase
        $c = /\b(cvv2?|cvc2?|cc_?cid|security_?code)\b/ nocase
        $m = /\b(mail|mb_send_mail|wp_mail)\s*\(\s*(['"][\w.+-]{1,64}@|base64_decode|\$\w+\s*,[^;]{0,200}\$_(POST|REQUEST)\b)/ nocase
    condition:
        filesize < 300KB and all of them
}

rule php_whole_form_to_image
{
    meta:
        description = "keeps everything customers type in a file that passes for an image"
        technique = "T1036.008"
        severity = "critical"
    strings:
        $w = /\b(file_put_contents|fopen|error_log)\s*\([^;]{0,160}\.(jpe?g|png|gif|ico|webp|bmp|css|woff2?)['"]/ nocase
        $p = /(json_encode|serialize|print_r|var_export|http_build_query|implode)\s*\([^;]{0,60}\$_(POST|REQUEST)\b/ nocase
    condition:
        filesize < 500KB and $w and $p
}

rule php_seals_form_with_public_key
{
    meta:
        description = "encrypts what customers type so that only the thief can read it"
        technique = "T1560.003"
        severity = "critical"
    strings:
        $e = /\bopenssl_(public_encrypt|seal)\s*\(/ nocase
        $k = "BEGIN PUBLIC KEY"
        $p = /\$_(POST|REQUEST)\b/
        $w = /\b(file_put_contents|fwrite|curl_exec|mail|fopen)\s*\(/ nocase
    condition:
        all of them
}

rule php_sends_form_to_stranger
{
    meta:
        description = "sends everything customers type to another server"
        technique = "T1041"
        severity = "critical"
    strings:
        $p = /base64_encode\s*\(\s*(json_encode|serialize|print_r|http_build_query|var_export)\s*\(\s*\$_(POST|REQUEST|SERVER)\b/ nocase
        $s = /\b(curl_exec|curl_setopt|file_get_contents|fsockopen|fopen|stream_context_create)\s*\(/ nocase
    condition:
        $p and $s
}

rule php_waits_for_checkout
{
    meta:
        description = "wakes up on the payment page only and passes on what is typed there"
        technique = "T1056.003"
        severity = "critical"
    strings:
        $u = /(strpos|stripos|preg_match|strstr|stristr)\s*\(\s*(['"][^'"]{0,40}(checkout|payment|shopping|onepage)[^'"]{0,40}['"]\s*,\s*)?\$_SERVER\s*\[\s*['"]REQUEST_URI['"]\s*\]/ nocase
        $p = /(json_encode|serialize|print_r|http_build_query|base64_encode)\s*\(\s*\$_(POST|REQUEST)\b/ nocase
        $o = /\b(file_put_contents|curl_exec|fwrite|mail|error_log)\s*\(/ nocase
    condition:
        $u and $p and $o
}

rule js_harvests_fields
{
    meta:
        description = "gathers every field of the page and sends it away in disguise"
        technique = "T1056.003"
        severity = "critical"
    strings:
        $q = /querySelectorAll\s*\(\s*['"](input|select|textarea)[^'"]{0,40}(input|select|textarea)/ nocase
        $e = /btoa\s*\(\s*(unescape\s*\(\s*)?(encodeURIComponent\s*\(\s*)?JSON\.stringify/
        $o = /(new\s+Image|sendBeacon|\bfetch\s*\(|XMLHttpRequest|new\s+WebSocket)/
    condition:
        all of them
}

rule js_waits_for_checkout
{
    meta:
        description = "loads a hidden script on the payment page only"
        technique = "T1059.007"
        severity = "critical"
    strings:
        $u = /location(\.(href|pathname|toString\(\)))?\s*\.\s*(includes|indexOf|match|search|test)\s*\(\s*['"\/][^'"\n]{0,20}(checkout|onepage|payment|shopping|kaart|cart)/ nocase
        $u2 = /\/[\w|\\\/]{0,40}(checkout|onepage|payment|shopping)[\w|\\\/]{0,40}\/i?\s*\.\s*test\s*\(\s*(window\.|document\.)?location/ nocase
        $h = /\batob\s*\(|fromCharCode\s*\(\s*\d+\s*,\s*\d+/
        $s = /createElement\s*\(\s*['"]script['"]|new\s+WebSocket|new\s+Image/
    condition:
        any of ($u*) and $h and $s
}

rule js_host_in_disguise
{
    meta:
        description = "names a server that imitates a well-known one"
        technique = "T1583.001"
        severity = "critical"
    strings:
        $a = /\b(g00gle|googie|gooqle|goog1e|googlc|google)-?(anaiytic|anaylitic|analytlc|analitic|anaiytics|analytlcs|analitics|tagmanaqer|tagmanger|tagmanagar)s?\.\w{2,12}/ nocase
        $b = /\b(jquery-?(cdn|code|min|lib)|cdn-?jquery|jquerycdn|jquery-?statistika?|mage(nto)?-?cdn|bootstrap-?js)\.(su|pw|top|ru|xyz|site|online|icu|club)\b/ nocase
        $c = /\b(googletagmanager|google-analytics|googleapis|gstatic)\.(su|pw|top|ru|xyz|site|online|icu|club|info|eu)\b/ nocase
        $d = /\b(g00gle|googie|gooqle|goog1e)(tagmanager|-analytics|apis|static)\b/ nocase
    condition:
        any of them
}

rule js_obfuscator
{
    meta:
        description = "was run through a tool that makes scripts unreadable"
        technique = "T1027"
        severity = "high"
    strings:
        $a = /\bvar _0x[0-9a-f]{4,6}\s*=\s*(\[|function|_0x[0-9a-f]{4,6})/
        $b = /_0x[0-9a-f]{4,6}\s*\[\s*'push'\s*\]\s*\(\s*_0x[0-9a-f]{4,6}\s*\[\s*'shift'\s*\]\s*\(\s*\)\s*\)/
        $c = /parseInt\s*\(\s*_0x[0-9a-f]{4,6}\s*\(\s*0x[0-9a-f]+\s*\)\s*\)\s*\/\s*0x/
    condition:
        $a and any of ($b, $c)
}

rule js_runs_what_a_socket_sends
{
    meta:
        description = "runs what another server sends over an open line"
        technique = "T1059.007"
        severity = "critical"
    strings:
        $w = /new\s+WebSocket\s*\(/
        $m = /\.?onmessage\b|addEventListener\s*\(\s*['"]message['"]/
        $e = /\b(eval|Function)\s*\(\s*(atob\s*\(\s*)?\w{1,20}\.data\b/
    condition:
        all of them
}

rule js_hides_from_developers
{
    meta:
        description = "is silent while somebody looks at it, and takes card data otherwise"
        technique = "T1497"
        severity = "critical"
    strings:
        $d1 = /outer(Width|Height)\s*-\s*(window\.)?inner(Width|Height)\s*>/
        $d2 = "Firebug" fullword
        $f = /(card_?num(ber)?|cc_?num(ber)?|card_?no)\b/ nocase
        $e = /\bbtoa\s*\(|toDataURL\s*\(/
    condition:
        any of ($d*) and $f and $e
}

rule js_hoards_cards
{
    meta:
        description = "keeps card data in the browser to send it later"
        technique = "T1074.001"
        severity = "critical"
    strings:
        $s = /localStorage\s*(\.\s*setItem\s*\(|\[)/
        $f = /(card_?num(ber)?|cc_?num(ber)?|card_?no)\b/ nocase
        $c = /\b(cvv2?|cvc2?|security_?code)\b/ nocase
        $e = /\bbtoa\s*\(/
    condition:
        all of them
}

rule svg_runs_hidden_script
{
    meta:
        description = "is a drawing that runs a hidden script"
        technique = "T1059.007"
        severity = "critical"
    strings:
        $svg = "<svg" nocase
        $on = /\son(load|error|click|begin)\s*=/ nocase
        $run = /\b(eval|atob|fromCharCode|Function)\s*\(/
    condition:
        filesize < 500KB and $svg in (0..1024) and $on and $run
}

rule database_plants_script
{
    meta:
        description = "makes the database put a script back whenever it is removed"
        technique = "T1505.001"
        severity = "critical"
    strings:
        $t = /CREATE\s+(DEFINER\s*=\s*\S+\s+)?(TRIGGER|EVENT)\b/ nocase
        $s = /<script[^>]{0,200}(src|>)/ nocase
        $o = /\b(UPDATE|INSERT\s+INTO|SET\s+NEW\.)\b/ nocase
    condition:
        filesize < 200KB and all of them
}
