# SPDX-License-Identifier: GPL-3.0-only
"""Tools that run nothing and write down what they were asked to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from testctl.cli import Tools, main
from testctl.server import ServerError


@dataclass
class Stage:
    """What was run, served and asked; and how each of it ends."""

    home: Path
    commands: list[str] = field(default_factory=list)
    environs: list[dict[str, str]] = field(default_factory=list)
    served: list[tuple[Path, str | None]] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    codes: dict[str, int | BaseException] = field(default_factory=dict)
    server_fails: str = ""
    heard: list[str | int] = field(default_factory=list)

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        line = " ".join(command)
        self.commands.append(line)
        self.environs.append(dict(env or {}))
        for part, code in self.codes.items():
            if part in line:
                if isinstance(code, BaseException):
                    raise code
                return code
        return 0

    @contextmanager
    def serving(self, models_dir: Path, default_model: str | None, log: Path) -> Iterator[str]:
        self.served.append((models_dir, default_model))
        self.logs.append(log)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("what the server said\n")
        yield "http://127.0.0.1:4711"
        if self.server_fails:
            raise ServerError(self.server_fails)

    def ask(self, url: str, timeout_s: float) -> str | int:
        return self.heard.pop(0)

    def __call__(self, *arguments: str, **environ: str) -> int:
        """Return the exit code of testctl with these arguments."""
        tools = Tools(
            run=self.run,
            serving=self.serving,
            ask=self.ask,
            environ=environ,
            artifacts=self.home / "tests" / "artifacts",
        )
        return main(arguments, tools)


@pytest.fixture
def testctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """testctl on a machine without models, whose commands all pass."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return Stage(home=tmp_path)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder with two models, the smaller of which is b.gguf."""
    folder = tmp_path / "some models"
    folder.mkdir()
    (folder / "a.gguf").write_bytes(b"GGUF" * 2)
    (folder / "b.gguf").write_bytes(b"GGUF")
    return folder
