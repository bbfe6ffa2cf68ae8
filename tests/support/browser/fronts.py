# SPDX-License-Identifier: GPL-3.0-only
"""What may stand around modeld: another application, nginx, and a page of somebody else."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.browser.deadlines import eventually
from tests.support.browser.programs import program
from tests.support.http.served import RIG, Served

ROOT = Path(__file__).parents[3]

# As nginx comes: nothing is said about buffering or about the protocol towards modeld.
_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; }}
        location /below/a/path/ {{ proxy_pass {upstream}/; }}
    }}
}}
"""


@contextmanager
def mounted(models_dir: Path, folder: Path) -> Iterator[Served]:
    """modeld under ``/llm`` of an application in a process of its own."""
    log = folder / "mounted.log"
    command = [sys.executable, "-m", "tests.support.browser.mounted", str(models_dir)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MODELD_")}
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ | {"PYTHONPATH": f"{ROOT}:{RIG}"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, log.read_text()
            yield Served(process, url, log)
        finally:
            process.terminate()


@contextmanager
def nginx(upstream: str, folder: Path) -> Iterator[Served]:
    """nginx with its defaults in front of ``upstream``."""
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX.format(user=user, folder=folder, port=port, upstream=upstream))
    log = folder / "error.log"
    command = [program("nginx"), "-p", str(folder), "-c", str(conf), "-e", str(log)]
    with subprocess.Popen(command, text=True) as process:
        try:
            front = Served(process, f"http://127.0.0.1:{port}", log)
            eventually(lambda: _responds(front))
            yield front
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _responds(front: Served) -> bool:
    assert front.process.poll() is None, f"nginx has ended: {front.log()}"
    try:
        return front.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def foreign_site() -> Iterator[int]:
    """Yield a site of somebody else on this machine, with one empty page; its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _EmptyPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = b"<!doctype html><title>elsewhere</title><link rel=icon href=data:,>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""
