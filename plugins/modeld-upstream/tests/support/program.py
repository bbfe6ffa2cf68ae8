# SPDX-License-Identifier: GPL-3.0-only
"""A server that does what its first argument says, to be started as a command.

Usage: ``program.py DOES PORT FOLDER``. In the folder it leaves its number as ``pid``, that of a
child as ``child``, and its environment as ``environment``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

does, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._whole(503 if does == "sick" else 200, {"data": []})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event({"choices": [{"delta": {"content": "Hello"}}]})
        if does == "dies":
            print("I am dying", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
            time.sleep(600)  # another thread may take the signal, a moment later
        self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, document: object) -> None:
        self._chunk(b"data: " + json.dumps(document).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _whole(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_said: object) -> None:  # type: ignore[override]
        pass


(folder / "environment").write_text(json.dumps(dict(os.environ)))
(folder / "pid").write_text(str(os.getpid()))
print("starting", file=sys.stderr, flush=True)
if does == "fails":
    sys.exit("no such model")
if does == "chatters":
    while True:
        print("still loading", file=sys.stderr, flush=True)
        time.sleep(0.02)
if does == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if does == "parent":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
if does != "silent":
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
time.sleep(600)
