# SPDX-License-Identifier: GPL-3.0-only
"""A reader who does what a tutorial says, block by block, and compares what the page shows.

A block with a title is a file to write; a ``diff`` with a title is a change to make to it. A block
of ``sh`` is run. If its last line starts a server, that goes on in the background until the next
one. A block of text or JSON right behind it is what the reader sees; a line ``…`` stands for any
lines, and ``…`` within a line for any text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support.docs.pages import ROOT, Block, every_block

PORT = "8080"
"""The port on the pages; the reader's is a free one."""

SERVERS = ("make run", "modeld serve")
OUTPUTS = {"text", "json", "jsonl"}
DEADLINE_S = 60.0

MAKE_RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {scripts!r})
from bootstrapping import environment, verbs, weights
environment.ensure = lambda *_: Path({python!r})
weights.bring = lambda *_: Path({model!r})
sys.argv = ["bootstrap.py", "run", "--port", {port!r}]
verbs.main()
"""
"""What ``make run`` does when all that it brings is there: the test brings that."""


class Step(NamedTuple):
    """One thing to do, and what the page shows of its outcome."""

    block: Block
    shown: Block | None


def steps(page: str) -> list[Step]:
    """Return everything that a page has its reader do, in order."""
    found: list[Step] = []
    before: Block | None = None
    for block in every_block(page):
        is_output = block.language in OUTPUTS and block.title is None
        if is_output and before is not None and before.language == "sh":
            found[-1] = Step(before, block)
        elif block.language == "sh" or block.title is not None:
            found.append(Step(block, None))
        before = block
    return found


class Reader:
    """Follows a page in a folder of their own, with a home of their own and a free port."""

    def __init__(self, folder: Path, environ: Mapping[str, str], model: Path | None = None) -> None:
        self.folder, home = folder / "work", folder / "home"
        self.folder.mkdir()
        home.mkdir()
        if model is not None:  # as in a clone after `make run`
            (self.folder / "models").mkdir()
            (self.folder / "models" / model.name).symlink_to(model)
        self.seconds: list[tuple[str, float]] = []
        self._model = model
        self._port = _free_port()
        self._server: subprocess.Popen[str] | None = None
        binaries = os.fspath(Path(sys.executable).parent)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MODELD_")}
        self._environ = kept | {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": os.fspath(home),
            "MODELD_ADDR": f":{self._port}",
            **environ,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.communicate()

    def follow(self, step: Step, *, unstable: Set[str] = frozenset()) -> None:
        """Do one step, and compare; members of JSON that are ``unstable`` may differ."""
        block, shown = step
        begun_s = time.monotonic()
        output = self._do(block, shown)
        self.seconds.append((block.where, time.monotonic() - begun_s))
        if shown is not None:
            assert_shown(shown, self._here(shown.text), output, unstable)

    def _do(self, block: Block, shown: Block | None) -> str:
        file = self.folder / (block.title or "")
        if block.language == "diff":
            file.write_text(changed(file.read_text(), block))
            return ""
        if block.title is not None:
            file.write_text(block.text)
            return ""
        *first, last = self._here(block.text).strip().split("\n")
        if not last.startswith(SERVERS):
            return self._run("\n".join((*first, last)))
        self.stop()
        self._run("\n".join(first))
        return self._serve(last, 1 if shown is None else len(shown.text.splitlines()))

    def _here(self, text: str) -> str:
        return text.replace(PORT, str(self._port))

    def _run(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, command: str, lines: int) -> str:
        words = ["bash", "-c", f"exec {command}"]
        if command == "make run":
            code = MAKE_RUN.format(
                scripts=str(ROOT / "scripts"),
                python=sys.executable,
                model=str(self._model),
                port=str(self._port),
            )
            words = [sys.executable, "-c", code]
        with (self.folder / "server.log").open("w") as log:
            self._server = subprocess.Popen(
                words,
                cwd=self.folder,
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._server.stdout is not None
        said = "".join(self._server.stdout.readline() for _ in range(lines))
        assert said, (self.folder / "server.log").read_text()
        return said

    def stop(self) -> None:
        """Press Ctrl-C; the server ends in order."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.communicate(timeout=DEADLINE_S)
            assert self._server.returncode == 0
            self._server = None


def changed(text: str, diff: Block) -> str:
    """Return a file with a change made to it; the lines to replace must be there, once."""
    lines = diff.text.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    assert text.count(before) == 1, f"{diff.where}: the lines to change are not there, or not once"
    return text.replace(before, after)


def assert_shown(shown: Block, said: str, output: str, unstable: Set[str]) -> None:
    """Check that the reader sees what the page shows."""
    if shown.language == "json":
        pairs = [(json.loads(said), json.loads(output))]
    elif shown.language == "jsonl":
        real = [json.loads(line) for line in output.splitlines()]
        told = [json.loads(line) for line in said.splitlines()]
        pairs = [*zip(told, real, strict="token" not in unstable)]
        assert [set(line) for line in told][-1] == set(real[-1]), shown.where
    else:
        assert re.fullmatch(pattern(said), squeezed(output)), f"{shown.where}:\n{output}"
        return
    for told_one, real_one in pairs:
        assert stable(told_one, unstable) == stable(real_one, unstable), f"{shown.where}: {output}"


def stable(value: Any, unstable: Set[str]) -> Any:
    """Return a JSON value with the kind in place of each value that may differ."""
    match value:
        case dict():
            return {
                name: type(member).__name__ if name in unstable else stable(member, unstable)
                for name, member in value.items()
            }
        case list():
            return [stable(member, unstable) for member in value]
        case _:
            return value


def squeezed(text: str) -> str:
    """Text whose columns are one space apart: their width depends on what else is in a table."""
    return re.sub(r"(?<=\S) +", " ", text)


def pattern(said: str) -> str:
    """Return a regular expression for what a page shows, in which ``…`` is anything."""
    lines = re.escape(squeezed(said))
    return lines.replace("…\\\n", "(?:.*\\n)*").replace("…", ".*")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def with_pip(tmp_path: Path) -> dict[str, str]:
    """Return the variables under which pip installs beside the test's own packages."""
    installed = str(tmp_path / "installed")
    pip = {"TARGET": installed, "NO_DEPS": "1", "NO_INDEX": "1", "UPGRADE": "1"}
    pip |= {"NO_BUILD_ISOLATION": "0", "DISABLE_PIP_VERSION_CHECK": "1"}
    environ = {f"PIP_{name}": value for name, value in pip.items()}
    environ["PYTHONPATH"] = os.pathsep.join((installed, os.environ.get("PYTHONPATH", "")))
    return environ


@contextmanager
def following(
    folder: Path, environ: Mapping[str, str], model: Path | None = None
) -> Iterator[Reader]:
    """Yield a reader; what they started ends with them."""
    for program in ("bash", "curl"):
        assert shutil.which(program), f"the tutorials need {program}; install it"
    with Reader(folder, environ, model) as reader:
        yield reader
        reader.stop()
