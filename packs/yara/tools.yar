/* What attackers bring along once they are in. Own writing. */

rule shell_reverse_connection
{
    meta:
        description = "gives another machine a command line on this one"
        technique = "T1059.004"
        severity = "critical"
    strings:
        $a = /(bash|sh)\s+-i\s*>&?\s*\/dev\/tcp\/[\w.:-]{1,64}\/\d{2,5}/
        $b = /\bmkfifo\s+\S{1,64}\s*;[^\n]{0,200}\|\s*(nc|ncat)\s/
        $c = /\bnc(\.traditional)?\s+(-\w+\s+){0,3}-e\s+\/bin\/(ba)?sh\b/
    condition:
        any of them
}

rule python_reverse_connection
{
    meta:
        description = "gives another machine a command line on this one"
        technique = "T1059.006"
        severity = "critical"
    strings:
        $a = "socket.socket("
        $b = /os\.dup2\s*\(\s*\w{1,20}\.fileno\s*\(\s*\)\s*,\s*[012]\s*\)/
        $c = /(subprocess\.(call|Popen|run)|pty\.spawn)\s*\(\s*\[?\s*["']\/bin\/(ba)?sh/
    condition:
        all of them
}

rule perl_command_page
{
    meta:
        description = "is a page in Perl that runs what a visitor sends"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /^#!\s*\/usr\/bin\/(env )?perl/
        $b = /(\bparam\s*\(\s*['"]\w{1,16}['"]\s*\)|\$ENV\{\s*['"]?QUERY_STRING)/
        $c = /(\bsystem\s*\(?\s*\$|\bqx\s*[{(\/]\s*\$|`\s*\$\w+)/
    condition:
        filesize < 200KB and all of them
}

rule fetch_and_run
{
    meta:
        description = "fetches a program from elsewhere and runs it"
        technique = "T1105"
        severity = "high"
    strings:
        $a = /(curl|wget)\s[^\n|;]{0,200}https?:\/\/\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}[^\n|;]{0,200}\|\s*(ba)?sh\b/
        $b = /(curl|wget)\s[^\n]{0,200}-[oO]\s*(\/tmp|\/var\/tmp|\/dev\/shm)\/[^\n]{0,200}(chmod\s\+x|chmod\s7)[^\n]{0,200}/
    condition:
        any of them
}

rule survives_by_cron
{
    meta:
        description = "puts itself back at set times"
        technique = "T1053.003"
        severity = "critical"
    strings:
        $a = /\(\s*crontab\s+-l[^\n]{0,60};?\s*echo\s[^\n]{0,300}\)\s*\|\s*crontab\s+-/
        $b = /\*\/\d{1,2}\s+\*\s+\*\s+\*\s+\*[^\n]{0,100}(curl|wget|base64\s+-d)[^\n]{0,200}\|\s*(ba)?sh\b/
    condition:
        any of them
}

rule coin_miner
{
    meta:
        description = "uses this machine to make money for somebody else"
        technique = "T1496"
        severity = "high"
    strings:
        $a = "stratum+tcp://"
        $b = "stratum+ssl://"
        $c = /"(algo|coin|donate-level)"\s*:/
        $d = "xmrig" nocase fullword
        $e = "CoinHive.Anonymous" nocase
    condition:
        $e or (any of ($a, $b) and any of ($c, $d))
}

rule settings_run_images
{
    meta:
        description = "makes the web server run images as programs"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /^\s*(AddType|AddHandler)\s+\S{0,80}(php|cgi-script)\S{0,80}\s[^\n]{0,120}\.(jpe?g|png|gif|ico|txt|css|svg)\b/ nocase
        $b = /\n\s*(AddType|AddHandler)\s+\S{0,80}(php|cgi-script)\S{0,80}\s[^\n]{0,120}\.(jpe?g|png|gif|ico|txt|css|svg)\b/ nocase
    condition:
        filesize < 100KB and any of them
}
