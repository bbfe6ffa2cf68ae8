# SPDX-License-Identifier: GPL-3.0-only
"""A real nginx with the files of `deploy/nginx` in front of a real server."""

from __future__ import annotations

import json
import re
import socket
import ssl
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from modeld.httpapi.server.server import KEEP_ALIVE_S
from modeld.settings import Settings
from tests.support.deploy.programs import program, run
from tests.support.deploy.proxy import KEY, NAME, NGINX, Proxy, extensions, prepare, proxied
from tests.support.deploy.running import wait_until
from tests.support.http.served import DEADLINE_S

FIRST_TOKEN_S = 0.1
CANCEL_S = 1.0
TIMES = 9


def number(directive: str, text: str) -> int:
    """Return the size or time of a directive, in bytes or seconds."""
    found = re.search(rf"^\s*{directive} (\d+)([msk]?);", text, re.MULTILINE)
    assert found is not None, directive
    return int(found[1]) * {"": 1, "s": 1, "k": 1 << 10, "m": 1 << 20}[found[2]]


@pytest.mark.parametrize("name", ["modeld.conf", "modeld-prefix.conf"])
def test_bodies_may_be_as_large_as_modeld_takes_them(name: str) -> None:
    text = (NGINX / name).read_text()
    for directive in ("client_max_body_size", "client_body_buffer_size"):
        assert number(directive, text) == Settings().max_body_bytes


def test_nginx_waits_longer_than_modeld_does() -> None:
    settings = Settings()
    text = (NGINX / "modeld-proxy.conf").read_text()
    waits_s = settings.max_wait_s + settings.load_timeout_s
    assert number("proxy_read_timeout", text) > waits_s
    assert number("proxy_send_timeout", text) >= settings.body_timeout_s


def test_nginx_closes_idle_connections_before_modeld_does() -> None:
    assert number("keepalive_timeout", (NGINX / "modeld.conf").read_text()) < KEEP_ALIVE_S


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    with proxied(folder) as running:
        yield running


@pytest.mark.debian
def test_nginx_has_no_complaint(tmp_path: Path) -> None:
    prepare(tmp_path, "127.0.0.1:8080")
    command = (program("nginx", "nginx-light"), "-t", "-q", "-p", tmp_path)
    assert run(*command, "-c", tmp_path / "nginx.conf") == (0, "")


@contextmanager
def streaming(client: httpx.Client, url: str, **script: object) -> Iterator[Iterator[str]]:
    """Yield the lines of a response of the rig, as they come."""
    body = {"prompt": json.dumps(script)}
    with client.stream("POST", url, json=body, extensions=extensions()) as response:
        assert response.status_code == 200, response.read()
        yield response.iter_lines()


def first_token_s(client: httpx.Client, url: str, gate: Path) -> float:
    """Return the time to the first token of a generation whose second token is still to come."""
    began_s = time.perf_counter()
    with streaming(client, url, tokens=3, gate=str(gate), gate_at=1) as response:
        assert json.loads(next(response)) == {"token": "t0 "}
        took_s = time.perf_counter() - began_s
        gate.touch()
        assert json.loads([*response][-1])["done"]
    gate.unlink()
    return took_s


@pytest.mark.debian
def test_tokens_come_through_nginx_as_soon_as_they_are_made(proxy: Proxy, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    direct: list[float] = []
    through: list[float] = []
    keys = {"Authorization": f"Bearer {KEY}"}
    with proxy.client() as client, httpx.Client(headers=keys, timeout=DEADLINE_S) as near:
        for _ in range(TIMES):
            direct.append(first_token_s(near, f"{proxy.direct}/infer", gate))
            through.append(first_token_s(client, "/infer", gate))
    later_s = statistics.median(through) - statistics.median(direct)
    assert later_s < FIRST_TOKEN_S, (direct, through)


@pytest.mark.debian
@pytest.mark.parametrize("tokens_before", [0, 1])
def test_a_client_that_leaves_is_cancelled_behind_nginx(
    proxy: Proxy, tmp_path: Path, tokens_before: int
) -> None:
    journal = proxy.folder / "journal"
    nonce = f"leaving {tokens_before}"
    script = {"tokens": 5, "gate": str(tmp_path / "never"), "gate_at": tokens_before}
    body = {"prompt": json.dumps({**script, "nonce": nonce})}
    with proxy.client() as client:
        request = client.build_request("POST", "/infer", json=body, extensions=extensions())
    raw = raw_request(request)
    with connection(proxy) as left:
        left.sendall(raw)
        wait_until(lambda: f"start {nonce}" in journal.read_text(), "the worker has begun")
        if tokens_before:
            while b"t0 " not in left.recv(4096):
                pass
    left_s = time.monotonic()
    wait_until(lambda: f"cancel {nonce}" in journal.read_text(), "the worker has been told")
    assert time.monotonic() - left_s < CANCEL_S


def raw_request(request: httpx.Request) -> bytes:
    head = b"".join(b"%s: %s\r\n" % header for header in request.headers.raw)
    return b"POST %s HTTP/1.1\r\n%s\r\n%s" % (request.url.raw_path, head, request.read())


def connection(proxy: Proxy) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(proxy.folder / "cert.pem"))
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE_S)
    return context.wrap_socket(plain, server_hostname=NAME)


@pytest.mark.debian
def test_a_name_that_nginx_does_not_serve_gets_no_response(proxy: Proxy) -> None:
    with proxy.client("evil.example") as client, pytest.raises(httpx.ConnectError, match="unrecog"):
        client.get("/healthz", extensions=extensions("evil.example"))


@pytest.mark.debian
def test_a_request_id_of_nginx_is_in_the_response(proxy: Proxy) -> None:
    headers = {"X-Request-ID": "from-the-client"}
    with proxy.client() as client:
        response = client.get("/models", headers=headers, extensions=extensions())
    assert response.status_code == 200
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


@pytest.mark.debian
def test_a_body_that_is_too_large_is_refused_by_nginx(proxy: Proxy) -> None:
    body = json.dumps({"prompt": "x" * Settings().max_body_bytes})
    headers = {"Content-Type": "application/json"}
    with proxy.client() as client:
        response = client.post("/infer", content=body, headers=headers, extensions=extensions())
    assert response.status_code == 413


@pytest.mark.debian
def test_the_server_is_there_below_a_prefix(proxy: Proxy) -> None:
    name = "site.example.org"
    with proxy.client(name) as client:
        models = client.get("/llm/models", extensions=extensions(name))
        body = {"prompt": json.dumps({"tokens": 2})}
        response = client.post("/llm/infer", json=body, extensions=extensions(name))
    assert models.json()["models"]
    assert json.loads(response.text.splitlines()[-1])["content"] == "t0 t1 "


@pytest.mark.debian
def test_the_server_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    with proxied(tmp_path, addr=f"unix:{tmp_path}/modeld.sock") as proxy, proxy.client() as client:
        assert client.get("/healthz", extensions=extensions()).text == "ok"
