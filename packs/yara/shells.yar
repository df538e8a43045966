/*
 * Web shells and back doors in PHP. Own writing. Each rule needs traits that ordinary code does
 * not have together; `description` is shown to the shop's owner.
 */

rule php_eval_of_request
{
    meta:
        description = "runs what a visitor sends"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /\b(eval|assert)\s*\(\s*(stripslashes\s*\(\s*|base64_decode\s*\(\s*|@\s*|trim\s*\(\s*|urldecode\s*\(\s*|str_rot13\s*\(\s*|gzinflate\s*\(\s*){0,3}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b/ nocase
    condition:
        $a
}

rule php_call_of_request
{
    meta:
        description = "calls a function whose name a visitor sends"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /\$_(GET|POST|REQUEST|COOKIE)\s*[\[{][^\]}\n]{1,24}[\]}]\s*\(\s*@?\$_(GET|POST|REQUEST|COOKIE)/ nocase
    condition:
        $a
}

rule php_command_of_request
{
    meta:
        description = "runs a command that a visitor sends"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /\b(system|shell_exec|passthru|popen|proc_open|pcntl_exec)\s*\(\s*(@|stripslashes\s*\(\s*|base64_decode\s*\(\s*|urldecode\s*\(\s*|trim\s*\(\s*){0,3}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b/ nocase
    condition:
        $a
}

rule php_shell_by_name
{
    meta:
        description = "carries the name of a well-known web shell"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $n1 = "FilesMan" fullword
        $n2 = "c99shell" nocase
        $n3 = "r57shell" nocase
        $n4 = "b374k" nocase fullword
        $n5 = "IndoXploit" nocase
        $n6 = "p0wny@shell"
        $n7 = "WSOsetcookie"
        $n8 = "ALFA_DATA" fullword
        $n9 = "AnonymousFox" nocase
        $n10 = "MARIJuANA" fullword
        $n11 = "wso_version" nocase
    condition:
        any of ($n*)
}

rule php_tries_every_command_function
{
    meta:
        description = "tries one way after another to run a command"
        technique = "T1059.004"
        severity = "critical"
    strings:
        $probe = /(function_exists|is_callable)\s*\(\s*['"](shell_exec|passthru|system|exec|popen|proc_open|pcntl_exec)['"]/ nocase
        $r = /\$_(GET|POST|REQUEST|COOKIE)\b/
        $1 = /\bshell_exec\s*\(\s*\$/
        $2 = /\bpassthru\s*\(\s*\$/
        $3 = /\bsystem\s*\(\s*\$/
        $4 = /\bproc_open\s*\(\s*\$/
        $5 = /\bpopen\s*\(\s*\$/
        $6 = /\bexec\s*\(\s*\$/
    condition:
        #probe >= 3 and $r and 3 of ($1, $2, $3, $4, $5, $6)
}

rule php_password_before_command
{
    meta:
        description = "asks for a password before it runs what a visitor sends"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $gate = /\b(md5|sha1)\s*\(\s*\$_(GET|POST|REQUEST|COOKIE)\s*\[[^\]]{1,24}\]\s*\)\s*={2,3}\s*['"][0-9a-f]{32,40}['"]/ nocase
        $run = /\b(eval|assert|system|shell_exec|passthru|create_function)\s*\(/ nocase
    condition:
        filesize < 1MB and $gate and $run
}

rule php_machine_tour
{
    meta:
        description = "shows a visitor the machine and runs commands on it"
        technique = "T1082"
        severity = "critical"
    strings:
        $a = "php_uname(" nocase
        $b = "posix_getpwuid(" nocase
        $c = "disable_functions" nocase
        $d = "disk_free_space(" nocase
        $e = "safe_mode" nocase
        $run = /\b(shell_exec|passthru|proc_open|popen)\s*\(/ nocase
        $r = /\$_(POST|REQUEST|COOKIE)\b/
    condition:
        4 of ($a, $b, $c, $d, $e) and $run and $r
}

rule php_reverse_shell
{
    meta:
        description = "gives another machine a command line on this one"
        technique = "T1059.004"
        severity = "critical"
    strings:
        $s = /\b(fsockopen|stream_socket_client|socket_connect)\s*\(/ nocase
        $p = /\b(proc_open|shell_exec|exec|popen)\s*\(/ nocase
        $sh = /["'](\/bin\/)?(sh|bash) -i/
    condition:
        $s and $p and $sh
}

rule php_preload_bypass
{
    meta:
        description = "gets around PHP's forbidden functions by a library of its own"
        technique = "T1574.006"
        severity = "critical"
    strings:
        $a = /putenv\s*\(\s*['"]LD_PRELOAD=/ nocase
        $b = /\b(mail|error_log|mb_send_mail|imap_mail)\s*\(/ nocase
    condition:
        $a and $b
}

rule php_behind_image_header
{
    meta:
        description = "is a program that begins like an image"
        technique = "T1036.008"
        severity = "critical"
    strings:
        $tag = /<\?(php|=)/ nocase
        $do = /\b(eval|assert|system|shell_exec|passthru|base64_decode|move_uploaded_file|file_put_contents)\s*\(|\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
    condition:
        (uint32be(0) == 0x47494638 or uint16be(0) == 0xffd8 or uint32be(0) == 0x89504e47 or uint16be(0) == 0x424d) and
        $tag and $do
}

rule image_metadata_program
{
    meta:
        description = "hides a program in the notes inside an image"
        technique = "T1027.003"
        severity = "critical"
    strings:
        $e = "/.*/e"
        $do = /\b(eval|base64_decode|assert)\s*\(/ nocase
    condition:
        uint16be(0) == 0xffd8 and $e in (0..65536) and $do in (0..131072)
}

rule php_runs_image_metadata
{
    meta:
        description = "runs a program that is hidden in the notes inside an image"
        technique = "T1027.003"
        severity = "critical"
    strings:
        $exif = /\bexif_read_data\s*\(/ nocase
        $run = /\b(eval|assert|preg_replace|create_function|call_user_func)\s*\(\s*(\$\w+\[['"](Make|Model|Artist|Copyright|ImageDescription|UserComment|COMMENT)|base64_decode\s*\(\s*\$\w+\[)/ nocase
    condition:
        $exif and $run
}

rule php_tiny_back_door
{
    meta:
        description = "is a back door of a few words"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /\$\w{1,20}\s*=\s*\$_(GET|POST|REQUEST|COOKIE)\s*\[[^\]]{1,24}\]\s*;\s*@?\$\w{1,20}\s*\(/
        $b = /@?\$\w{1,20}\s*\(\s*\$_(GET|POST|REQUEST|COOKIE)\s*\[[^\]]{1,24}\]\s*\)/
        $c = /`\s*\$_(GET|POST|REQUEST|COOKIE)/
    condition:
        filesize < 600 and any of them
}

rule php_encoded_payload
{
    meta:
        description = "unpacks a long hidden program and runs it"
        technique = "T1027"
        severity = "critical"
    strings:
        $run = /\b(eval|assert|create_function)\s*\(/ nocase
        $payload = /\b(base64_decode|gzinflate|gzuncompress|str_rot13|strrev|hex2bin)\s*\(\s*['"][A-Za-z0-9+\/=]{400}/ nocase
    condition:
        $run and $payload
}

rule php_globals_in_escapes
{
    meta:
        description = "writes the names of its variables so that nobody can read them"
        technique = "T1027"
        severity = "critical"
    strings:
        $a = /\$\{\s*"[GLOBAS]{0,8}(\\x[0-9a-f]{2}|\\[0-7]{2,3})/ nocase
    condition:
        $a
}

rule php_include_in_escapes
{
    meta:
        description = "loads a file whose name is hidden"
        technique = "T1027"
        severity = "critical"
    strings:
        $a = /@?(include|require)(_once)?\s*\(?\s*"[^"\n]{0,200}(\\0?57|\\x2f)[^"\n]{0,200}(\\[0-7]{2,3}|\\x[0-9a-f]{2})[^"\n]{0,200}"/ nocase
    condition:
        $a
}

rule php_uploader
{
    meta:
        description = "takes any file from any visitor"
        technique = "T1105"
        severity = "high"
    strings:
        $form = /<form[^>]{0,200}multipart\/form-data/ nocase
        $move = /\b(move_uploaded_file|copy)\s*\(\s*\$_FILES\s*\[[^\]]{1,24}\]\s*\[\s*['"]tmp_name['"]\s*\]\s*,\s*\$_FILES\s*\[[^\]]{1,24}\]\s*\[\s*['"]name['"]\s*\]/ nocase
    condition:
        filesize < 20KB and $form and $move
}

rule php_cookie_back_door
{
    meta:
        description = "builds a program from a visitor's cookies"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /\$(\w{1,12})\s*=\s*\$_COOKIE\s*;/
        $b = /\$\w{1,12}\s*\[\s*\d{1,2}\s*\]\s*\(\s*\$\w{1,12}\s*\[\s*\d{1,2}\s*\]\s*(\(|\.|\))/
    condition:
        filesize < 30KB and $a and $b
}

rule wordpress_runs_stored_text
{
    meta:
        description = "runs a program that is kept in the shop's database"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /\b(eval|assert)\s*\(\s*(base64_decode\s*\(\s*|gzinflate\s*\(\s*|stripslashes\s*\(\s*|'\?>'\s*\.\s*){0,3}(get_option|get_transient|get_theme_mod|get_post_meta)\s*\(/ nocase
    condition:
        $a
}

rule wordpress_hidden_administrator
{
    meta:
        description = "makes an administrator and hides it from the others"
        technique = "T1136.001"
        severity = "critical"
    strings:
        $make = /\bwp_(create|insert)_user\s*\(/
        $role = "administrator"
        $hide = /add_(action|filter)\s*\(\s*['"](pre_user_query|views_users|pre_get_users)['"]/
    condition:
        all of them
}

rule wordpress_hidden_plugin
{
    meta:
        description = "is a plugin that hides itself from the list of plugins"
        technique = "T1564"
        severity = "high"
    strings:
        $header = "Plugin Name:"
        $filter = /add_filter\s*\(\s*['"]all_plugins['"]/
        $unset = /unset\s*\(\s*\$\w+\s*\[\s*(plugin_basename|['"][\w\/.-]+\.php['"])/
    condition:
        all of them
}

rule php_writes_php_into_uploads
{
    meta:
        description = "writes a program among the uploaded files"
        technique = "T1505.003"
        severity = "high"
    strings:
        $a = /\b(file_put_contents|fwrite|fputs)\s*\([^;]{0,200}(base64_decode|gzinflate|hex2bin)\s*\([^;]{0,200}/ nocase
        $b = /(uploads?|save_image|temp_image|cache)\/[\w.\/-]{0,60}\.(php|phtml)['"]/ nocase
    condition:
        filesize < 200KB and $a and $b
}
