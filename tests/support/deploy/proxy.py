# SPDX-License-Identifier: GPL-3.0-only
"""A real nginx with the files of `deploy/nginx` in front of a real server with the rig."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.deploy.programs import program, run
from tests.support.deploy.running import Server, started, wait_until
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import DEADLINE_S

NGINX = Path(__file__).parents[3] / "deploy" / "nginx"
NAME = "llm.example.org"
KEY = "a-key-of-the-test"

SITE = """\
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""

PREFIX = """
server {{
    listen 127.0.0.1:{port} ssl;
    server_name site.example.org;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    include {folder}/modeld-prefix.conf;
}}
"""


class Proxy:
    """A running nginx and the server behind it."""

    def __init__(self, server: Server, direct: str, port: int, folder: Path) -> None:
        self.server = server
        self.direct = direct
        self.port = port
        self.folder = folder

    def client(self, name: str = NAME) -> httpx.Client:
        """Return a client that reaches nginx by a name."""
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"Host": name, "Authorization": f"Bearer {KEY}"},
            verify=context,
            timeout=DEADLINE_S,
            trust_env=False,
        )


def extensions(name: str = NAME) -> Mapping[str, object]:
    return {"sni_hostname": name}


def prepare(folder: Path, upstream: str) -> int:
    """Write a site with the files of the repository; only places differ. Returns its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    (folder / "conf.d").mkdir()
    for name in ("modeld.conf", "modeld-prefix.conf", "modeld-proxy.conf"):
        text = (NGINX / name).read_text()
        text = text.replace("/etc/nginx/modeld-proxy.conf", f"{folder}/modeld-proxy.conf")
        text = text.replace("server 127.0.0.1:8080;", f"server {upstream};")
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        text = re.sub(r"\n *listen \[::\]:443[^\n]*", "", text)
        text = text.replace("/etc/ssl/certs/llm.example.org.pem", f"{folder}/cert.pem")
        text = text.replace("/etc/ssl/private/llm.example.org.key", f"{folder}/key.pem")
        (folder / ("conf.d" if name == "modeld.conf" else ".") / name).write_text(text)
    (folder / "conf.d" / "site.conf").write_text(PREFIX.format(port=port, folder=folder))
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(SITE.format(folder=folder, user=user))
    make_certificate(folder)
    return port


def make_certificate(folder: Path) -> None:
    openssl = program("openssl", "openssl")
    names = "subjectAltName=DNS:llm.example.org,DNS:site.example.org"
    made = run(
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "1", "-subj", "/CN=test", "-addext", names),
        *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
    )
    assert made[0] == 0, made[1]


@contextmanager
def proxied(folder: Path, addr: str = ":0") -> Iterator[Proxy]:
    """Run nginx in front of a server with the rig, which listens at ``addr``."""
    (folder / "models").mkdir()
    (folder / "journal").touch()
    write_gguf(folder / "models" / "a.gguf", "rig", name="Model A")
    (folder / "keys").write_text(KEY + "\n")
    options = json.dumps({"*": {"journal": str(folder / "journal")}})
    arguments = ("--addr", addr, "--models-dir", str(folder / "models"), "--models", options)
    keys = ("--api-key-file", str(folder / "keys"), "--default-model", "a.gguf")
    names = ("--trusted-hosts", "localhost,127.0.0.1")  # as in deploy/systemd/modeld.yaml
    with started(*arguments, *keys, *names) as server:
        direct = server.address()
        port = prepare(folder, direct.removeprefix("http://"))
        with nginx(folder, port):
            yield Proxy(server, direct, port, folder)


@contextmanager
def nginx(folder: Path, port: int) -> Iterator[None]:
    command = [program("nginx", "nginx-light"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    assert run(*command, "-t")[0] == 0, run(*command, "-t")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: can_connect(port), "nginx listens")
            yield
        finally:
            process.terminate()


def can_connect(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
