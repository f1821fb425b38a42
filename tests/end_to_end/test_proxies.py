"""The examples of docs/page.md with real nginx and Caddy, which ask a small service about each login.

They are skipped where the programs are missing. Debian's packages start a server at once, so `make test` does not
install them: `apt-get download nginx caddy`, and `dpkg -x` into a folder that `PATH` names, are enough.
"""

from __future__ import annotations

import http.server
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from support.mosquitto import wait_until
from support.ports import free_port
from support.web_harness import Site, a_site

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "page.md").read_text()
SEARCH = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
NGINX, CADDY = shutil.which("nginx", path=SEARCH), shutil.which("caddy", path=SEARCH)
LOGGED_IN = {"Cookie": "session=alice"}
HOST = {"Host": "home.example"}

pytestmark = pytest.mark.slow


def block(start: str) -> str:
    """Return the block of docs/page.md that begins with a line, without its indent."""
    found = re.search(rf"^    {re.escape(start)}.*?(?=^\S|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, start
    return "\n".join(line[4:] for line in found[0].split("\n\n    soundwatch run")[0].splitlines())


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site("http://127.0.0.1:0,proxy=127.0.0.1,host=home.example") as site:
        yield site


@pytest.fixture(scope="module")
def login_port() -> Iterator[int]:
    """Serve what Authelia and oauth2-proxy answer: 2xx with a login, else 401."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            known = path in ("/api/authz/forward-auth", "/oauth2/auth") and "alice" in (self.headers["Cookie"] or "")
            self.send_response(202 if known else 302 if path == "/oauth2/start" else 401)
            self.send_header("Location", "https://login.example/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write no access log."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[str]:
    """Run a proxy and wait for its port; yield its URL."""
    environment = {"PATH": SEARCH, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as proxy,
    ):
        try:

            def answers() -> bool:
                assert proxy.poll() is None, (folder / "log").read_text()
                try:
                    httpx.get(f"http://127.0.0.1:{port}/", headers=HOST, trust_env=False, timeout=30)
                except httpx.TransportError:
                    return False
                return True

            wait_until(answers, "the proxy")
            yield f"http://127.0.0.1:{port}"
        finally:
            proxy.terminate()
            proxy.wait(60)


def nginx(folder: Path, site: Site, login_port: int, locations: str, port: int) -> list[str]:
    """Return the command that runs nginx with the locations of the documentation."""
    for former, new in ((":8433", f":{site.address[1]}"), (":4180", f":{login_port}")):
        locations = locations.replace(former, new)
    paths = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {paths}\n server {{ listen 127.0.0.1:{port};\n{locations}\n }} }}\n"
    )
    return [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "user root;" * (os.getuid() == 0)]


def caddy(folder: Path, site: Site, login_port: int, port: int) -> list[str]:
    """Return the command that runs Caddy with the example of the documentation, without its certificates."""
    text = block("home.example {").replace("home.example {", f"http://home.example:{port} {{", 1)
    for former, new in ((":8433", f":{site.address[1]}"), (":9091", f":{login_port}")):
        text = text.replace(former, new)
    (folder / "Caddyfile").write_text(f"{{\n  admin off\n  auto_https off\n}}\n{text}\n")
    return [str(CADDY), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(
    params=[
        pytest.param("nginx", marks=pytest.mark.skipif(NGINX is None, reason="nginx is not installed")),
        pytest.param("caddy", marks=pytest.mark.skipif(CADDY is None, reason="Caddy is not installed")),
    ]
)
def proxy(request: pytest.FixtureRequest, site: Site, login_port: int, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = (
        nginx(tmp_path, site, login_port, block("location /oauth2/"), port)
        if request.param == "nginx"
        else caddy(tmp_path, site, login_port, port)
    )
    with running(command, port, tmp_path) as url:
        yield url


def connected(proxy: str, headers: dict[str, str]) -> ClientConnection:
    """Open a WebSocket of the page at the proxy, whose name no resolver knows."""
    port = int(proxy.rpartition(":")[2])
    opened = socket.create_connection(("127.0.0.1", port))
    return connect("ws://home.example/soundwatch/api/ws", sock=opened, additional_headers=headers, proxy=None)


def test_only_logged_in_users_pass_the_proxy_of_the_documentation(proxy: str) -> None:
    with httpx.Client(base_url=proxy, trust_env=False, timeout=60, headers=HOST) as client:
        for path in ("/soundwatch/", "/soundwatch/api/sources", "/soundwatch/static/main.js"):
            assert client.get(path).status_code in (302, 401), path
            assert client.get(path, headers=LOGGED_IN).status_code == 200, path
        assert client.get("/soundwatch", headers=LOGGED_IN).headers["location"].endswith("/soundwatch/")
    own = {"Origin": "https://home.example"}
    with connected(proxy, LOGGED_IN | own) as client_socket:
        client_socket.ping().wait(60)
    with pytest.raises((InvalidStatus, InvalidURI), match=r"401|login\.example"):  # an answer, or a redirect
        connected(proxy, own)
    with pytest.raises(InvalidStatus, match="403"):
        connected(proxy, LOGGED_IN | {"Origin": "https://evil.example"})


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_the_page_is_under_a_path_of_nginx(site: Site, tmp_path: Path) -> None:
    port = free_port()
    with running(nginx(tmp_path, site, 0, block("location /soundwatch/ { proxy_pass"), port), port, tmp_path) as url:
        for path in ("", "static/main.js", "api/sources"):
            answer = httpx.get(f"{url}/soundwatch/{path}", headers=HOST, trust_env=False, timeout=60)
            assert answer.status_code == 200, path
