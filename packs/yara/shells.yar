/* Web shells. Own writing; each rule needs two traits that ordinary code does not have together. */

rule php_eval_of_request
{
    meta:
        description = "PHP runs what a visitor sends"
        technique = "T1505.003"
        severity = "critical"
    strings:
        $a = /\b(eval|assert)\s*\(\s*(stripslashes\s*\(\s*|base64_decode\s*\(\s*|@\s*|trim\s*\(\s*|urldecode\s*\(\s*|str_rot13\s*\(\s*|gzinflate\s*\(\s*){0,3}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b/ nocase
    condition:
        $a
}
