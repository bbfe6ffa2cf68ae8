# SPDX-License-Identifier: GPL-3.0-only
"""What a worker's process is started with: arguments, environment, a channel and a log."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import IO, Final

from modeld.hosting.process.child import Child

KEPT_VARIABLES: Final = frozenset({
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "PYTHONHASHSEED",
    "PYTHONPATH", "PYTHONWARNINGS", "SSL_CERT_FILE", "TMPDIR", "TZ", "VIRTUAL_ENV",
})  # fmt: skip
KEPT_PREFIXES: Final = (
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "HIP_",
    "ROCR_",
    "GGML_",
    "OMP_",
    "GOMP_",
    "COVERAGE_",
)

_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from modeld.hosting.worker.main import main;"
    " main(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))"
)


@dataclass(frozen=True, slots=True)
class Launched:
    """A child that has begun, and this side's ends of its channel and its log. None of it blocks.

    Whoever has it closes both ends.
    """

    child: Child
    channel: socket.socket
    log: IO[bytes]


def launch(memory_mb: int, variables: Collection[str] = ()) -> Launched:
    """Start a worker's process, on this thread. ``memory_mb`` above 0 limits its address space.

    ``variables`` are names for :func:`worker_environment`.

    Raises:
        OSError: there is no process or no descriptor to be had; nothing is left open.
    """
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    ours.setblocking(False)  # noqa: FBT003  (the name says it)
    os.set_blocking(read_end, False)
    try:
        process = subprocess.Popen(  # noqa: S603  (fixed arguments)
            worker_command(theirs.fileno(), memory_mb),
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            pass_fds=(theirs.fileno(),),
            # Ctrl-C in the terminal must not reach a worker while the server drains; and the
            # group of its own is what Child.wait ends, with all that the engine has started.
            start_new_session=True,
            env=worker_environment(os.environ, variables),
        )
    except BaseException:
        ours.close()
        os.close(read_end)
        raise
    finally:
        # A copy that stayed open here would keep the channel and the log from ever ending.
        theirs.close()
        os.close(write_end)
    return Launched(Child(process), ours, os.fdopen(read_end, "rb"))


def worker_command(channel_fd: int, memory_mb: int) -> list[str]:
    """Return the command line of a worker that talks over the socket ``channel_fd``."""
    path = json.dumps([entry for entry in sys.path if entry])
    numbers = (str(number) for number in (channel_fd, os.getpid(), memory_mb))
    # -P: a file in the working folder must not take the place of a module.
    return [sys.executable, "-P", "-u", "-c", _BOOTSTRAP, path, *numbers, "modeld-worker"]


def worker_environment(
    environ: Mapping[str, str], variables: Collection[str] = ()
) -> dict[str, str]:
    """Return the environment of a worker: what runtimes need, and no keys or tokens.

    ``variables`` are the names that backends have asked for.

    ``GGML_NO_BACKTRACE`` keeps a crashing ggml from starting a debugger, whose output would put
    memory into the log.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in KEPT_VARIABLES or name in variables or name.startswith(KEPT_PREFIXES)
    }
    return kept | {"GGML_NO_BACKTRACE": "1"}
