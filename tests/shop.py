"""A real shop: WordPress on nginx, php-fpm and MariaDB from Debian's packages, private and on loopback.

Everything lives in one directory and ends with stop(). The programs run as they do on a server: nginx and php-fpm
masters as root, their workers and the application's files as www-data, the database as mysql. An attacker's hands
are `attack.php`, an endpoint that does single harmless things as php-fpm itself would after a break-in: it stands
there before the baseline is taken.
"""
import glob
import http.client
import http.cookiejar
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from guard import poll, remove_tree, scratch_directory

ADMIN, PASSWORD = "okami", secrets.token_urlsafe(12)

ATTACK_PHP = r"""<?php
/* Stands for a break-in: does one thing, as the process that serves the shop. */
if (!hash_equals('@TOKEN@', $_SERVER['HTTP_X_TOKEN'] ?? '')) { http_response_code(404); exit; }
$order = json_decode(file_get_contents('php://input'), true);
$path = $order['path'] ?? '';
$data = base64_decode($order['data'] ?? '');
switch ($order['do']) {
case 'write': $done = file_put_contents($path, $data) === strlen($data); break;
case 'append': $done = file_put_contents($path, $data, FILE_APPEND | LOCK_EX) === strlen($data); break;
case 'replace': $part = sys_get_temp_dir() . '/part'; file_put_contents($part, $data); $done = rename($part, $path); break;
case 'mkdir': $done = mkdir($path, 0755, true); break;
case 'unlink': $done = unlink($path); break;
case 'symlink': $done = symlink($order['target'], $path); break;
case 'chmod': $done = chmod($path, $order['mode']); break;
case 'touch': $done = touch($path, $order['time']); break;
case 'exec': exec($order['command'], $output, $status); $done = true; break;
case 'include': ob_start(); include $path; $output = ob_get_clean(); $done = true; break;
case 'unlink_self': $done = file_put_contents($path, $data) && unlink($path); break;
default: $done = false;
}
header('Content-Type: application/json');
echo json_encode(['done' => $done, 'pid' => getmypid(), 'output' => $output ?? null]);
"""

WP_CONFIG = r"""<?php
define('DB_NAME', 'shop');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:@SOCKET@');
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
@KEYS@
define('WP_HOME', '@URL@');
define('WP_SITEURL', '@URL@');
define('DISABLE_WP_CRON', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('WP_ACCESSIBLE_HOSTS', '127.0.0.1');
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
"""

NGINX_CONF = """
user www-data;
worker_processes 1;
daemon off;
pid @F@/nginx.pid;
error_log @F@/nginx.log;
events { worker_connections 64; }
http {
  include /etc/nginx/mime.types;
  access_log off;
  client_max_body_size 16m;
  client_body_temp_path @F@/temp/body;
  proxy_temp_path @F@/temp/proxy;
  fastcgi_temp_path @F@/temp/fastcgi;
  uwsgi_temp_path @F@/temp/uwsgi;
  scgi_temp_path @F@/temp/scgi;
  server {
    listen 127.0.0.1:@PORT@;
    root @F@/www;
    index index.php;
    location / { try_files $uri $uri/ /index.php?$args; }
    location ~ \\.php$ {
      include /etc/nginx/fastcgi_params;
      fastcgi_param HTTP_HOST 127.0.0.1:$server_port;
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_pass unix:@F@/php.sock;
      fastcgi_read_timeout 120s;
    }
  }
}
"""

PHP_FPM_CONF = """
[global]
pid = @F@/php.pid
error_log = @F@/php.log
daemonize = no
[www]
user = www-data
group = www-data
listen = @F@/php.sock
listen.owner = www-data
listen.group = www-data
pm = static
pm.max_children = 4
catch_workers_output = yes
php_admin_value[error_log] = @F@/php-error.log
php_admin_value[opcache.revalidate_freq] = 0
php_admin_value[opcache.validate_timestamps] = 1
php_admin_value[session.save_path] = @F@/temp
php_admin_value[upload_tmp_dir] = @F@/temp
php_admin_value[sys_temp_dir] = @F@/temp
php_admin_value[sendmail_path] = /bin/true
php_admin_value[memory_limit] = 128M
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Shop:
    def __init__(self):
        self.folder = scratch_directory("shop")
        self.www, self.port, self.token = self.folder / "www", free_port(), secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes = {}
        self.cookies = http.cookiejar.CookieJar()
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    # Life

    def start(self):
        try:
            (self.folder / "temp").mkdir()
            shutil.chown(self.folder / "temp", "www-data", "www-data")
            self.start_database()
            self.place_files()
            self.start_php()
            self.start_nginx()
            self.install()
            return self
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.folder.exists():
            remove_tree(self.folder)

    def launch(self, name, *command):
        with open(self.folder / f"{name}.out", "ab") as out:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", start_new_session=True
            )

    def logs(self):
        parts = []
        for path in sorted([*self.folder.glob("*.out"), *self.folder.glob("*.log")]):
            parts.append(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}")
        return "\n".join(parts)

    def filled(self, template):
        return template.replace("@F@", str(self.folder)).replace("@PORT@", str(self.port))

    def start_database(self):
        data, sock = self.folder / "database", self.folder / "database.sock"
        options = ["--no-defaults", f"--datadir={data}", "--user=mysql"]
        data.mkdir()
        shutil.chown(data, "mysql", "mysql")
        with open(self.folder / "install-db.out", "wb") as out:
            command = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db", "--force"]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True)
        small = ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--performance-schema=0", "--skip-log-bin"]
        run = [f"--socket={sock}", "--skip-networking", f"--pid-file={data}/pid", "--innodb-flush-log-at-trx-commit=2"]
        (self.folder / "database.sock.d").mkdir()
        sock = self.folder / "database.sock.d/sock"
        shutil.chown(sock.parent, "mysql", "mysql")
        run[0] = f"--socket={sock}"
        self.launch("database", "mariadbd", *options, *run, *small)
        self.database_socket = sock
        poll(lambda: self.sql("CREATE DATABASE IF NOT EXISTS shop") is not None, "MariaDB", 90, self.logs)

    def sql(self, statement):
        """Rows of one statement as text, or None when the database does not answer."""
        command = ["mariadb", "--no-defaults", f"--socket={self.database_socket}", "-uroot", "-N", "-e", statement]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return result.stdout if result.returncode == 0 else None

    def place_files(self):
        subprocess.run(["cp", "-rL", "/usr/share/wordpress", str(self.www)], check=False, stderr=subprocess.DEVNULL)
        assert (self.www / "wp-load.php").exists(), "the package wordpress is not installed"
        (self.www / ".htaccess").unlink(missing_ok=True)
        keys = "\n".join(
            f"define('{name}', '{secrets.token_hex(32)}');"
            for kind in ("AUTH", "SECURE_AUTH", "LOGGED_IN", "NONCE")
            for name in (f"{kind}_KEY", f"{kind}_SALT")
        )
        config = WP_CONFIG.replace("@SOCKET@", str(self.database_socket)).replace("@KEYS@", keys).replace("@URL@", self.url)
        (self.www / "wp-config.php").write_text(config)
        (self.www / "attack.php").write_text(ATTACK_PHP.replace("@TOKEN@", self.token))
        (self.www / "wp-content/uploads").mkdir(exist_ok=True)
        subprocess.run(["chown", "-R", "www-data:www-data", str(self.www)], check=True)

    def start_php(self):
        config = self.folder / "php-fpm.conf"
        config.write_text(self.filled(PHP_FPM_CONF))
        program = sorted(glob.glob("/usr/sbin/php-fpm[0-9]*"))[-1]
        self.launch("php", program, "--fpm-config", str(config), "--nodaemonize", "--force-stderr")
        poll(lambda: (self.folder / "php.sock").exists(), "php-fpm", 30, self.logs)

    def start_nginx(self):
        config = self.folder / "nginx.conf"
        config.write_text(self.filled(NGINX_CONF))
        self.launch("nginx", "nginx", "-c", str(config), "-e", str(self.folder / "nginx.log"))

        def listening():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        poll(listening, "nginx", 30, self.logs)

    def install(self):
        form = {
            "weblog_title": "Hinoki Health Foods",
            "user_name": ADMIN,
            "admin_password": PASSWORD,
            "admin_password2": PASSWORD,
            "admin_email": "okami@shop.example",
            "blog_public": "0",
            "pw_weak": "1",
            "Submit": "Install WordPress",
        }
        page = self.post("/wp-admin/install.php?step=2", form)
        assert "wp-login.php" in page, f"WordPress was not installed:\n{page[:3000]}\n{self.logs()}"
        self.login()

    # A browser

    def open(self, request):
        try:
            with self.browser.open(request, timeout=60) as answer:
                return answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")
            raise AssertionError(f"{error.code} {error.url}\n{text[:2000]}\n{self.logs()}") from None
        except http.client.HTTPException as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def get(self, path):
        return self.open(self.url + path)

    def post(self, path, form):
        return self.open(urllib.request.Request(self.url + path, urllib.parse.urlencode(form).encode()))

    def post_multipart(self, path, form, field, name, content, media):
        boundary = secrets.token_hex(16)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in form.items()
        ]
        head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: {media}\r\n\r\n'
        parts.append(f"--{boundary}\r\n{head}".encode() + content + f"\r\n--{boundary}--\r\n".encode())
        request = urllib.request.Request(self.url + path, b"".join(parts))
        request.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
        return self.open(request)

    def login(self):
        self.get("/wp-login.php")
        form = {"log": ADMIN, "pwd": PASSWORD, "wp-submit": "Log In", "testcookie": "1"}
        form["redirect_to"] = self.url + "/wp-admin/"
        page = self.post("/wp-login.php", form)
        assert "wp-admin-bar" in page, f"no login:\n{page[:2000]}"

    def nonce(self, path, name="_wpnonce"):
        page = self.get(path)
        match = re.search(rf'name="{name}" value="([0-9a-f]+)"', page)
        assert match, f"no {name} in {path}:\n{page[:2000]}"
        return match.group(1)

    def upload(self, name, content, media):
        """The media library's upload; returns where the file was put."""
        before = set(self.www.glob("wp-content/uploads/**/*"))
        form = {"_wpnonce": self.nonce("/wp-admin/media-new.php?browser-uploader"), "post_id": "0", "html-upload": "Upload"}
        self.post_multipart("/wp-admin/media-new.php", form, "async-upload", name, content, media)
        new = [path for path in self.www.glob("wp-content/uploads/**/*") if path not in before and path.is_file()]
        assert new, f"nothing was uploaded\n{self.logs()}"
        return min(new, key=lambda path: len(path.name))

    def edit_template(self, name, content, theme="twentytwentyone"):
        """The theme editor's save, with its own check that the shop still runs."""
        page = f"/wp-admin/theme-editor.php?file={urllib.parse.quote(name)}&theme={theme}"
        form = {
            "nonce": self.nonce(page, "nonce"),
            "action": "edit-theme-plugin-file",
            "theme": theme,
            "file": name,
            "newcontent": content,
            "docs-list": "",
        }
        answer = json.loads(self.post("/wp-admin/admin-ajax.php", form))
        assert answer.get("success"), answer
        return self.www / "wp-content/themes" / theme / name

    # An attacker's hands

    def attack(self, do, path="", data=b"", **more):
        """One thing done by php-fpm itself; returns its answer."""
        import base64

        order = {"do": do, "path": str(path), "data": base64.b64encode(data).decode(), **more}
        request = urllib.request.Request(self.url + "/attack.php", json.dumps(order).encode())
        request.add_header("X-Token", self.token)
        request.add_header("Content-Type", "application/json")
        text = self.open(request)
        answer = json.loads(text)
        assert answer["done"], f"{do} {path}: {answer}\n{self.logs()}"
        return answer
