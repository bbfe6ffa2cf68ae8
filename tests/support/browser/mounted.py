# SPDX-License-Identifier: GPL-3.0-only
"""``python -m tests.support.browser.mounted``: somebody else's application, modeld under ``/llm``.

It prints its address. The one argument is the folder with the models.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

import modeld


def main(models_dir: str) -> None:
    """Serve until the process is killed."""
    settings = modeld.Settings(models_dir=models_dir, default_model="a.gguf")
    host = Starlette(routes=[Mount("/llm", modeld.create_app(settings))])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        print(f"http://127.0.0.1:{port}/llm", flush=True)
        uvicorn.Server(uvicorn.Config(host, log_level="info")).run([listener])


if __name__ == "__main__":
    main(sys.argv[1])
