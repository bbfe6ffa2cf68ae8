# SPDX-License-Identifier: GPL-3.0-only
"""Every command as a process: Ctrl-C at any moment, poor terminals, outputs that take nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from modeld.cli.main import COMMANDS, ExitCode
from tests.support.cli.terminal import DEADLINE_S, MODELD
from tests.support.gguf.gguf_corpus import write_model

INTERRUPTS = """
import os, signal, sys

class Interrupter:
    def find_spec(self, name, path, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
"""

SHORT = {
    "--help": ["--help"],
    "serve": ["serve", "--show-config"],
    "run": ["run", "模型.gguf", "from → to"],
    "models": ["models"],
    "plan": ["plan", "模型.gguf"],
    "plugins": ["plugins"],
    "check": ["check", "lru"],
    "simulate": ["simulate", "--requests", "10"],
    "doctor": ["doctor", "--no-measure"],
    "version": ["version"],
    "completion": ["completion", "bash"],
}
"""One command line of each command that writes to standard output and ends by itself."""

SHARED = ["modeld.cli.main", "click", "modeld.commands", "modeld.errors"]
"""What is imported before it is known which command it is."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rig: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder / "模型.gguf", architecture="rig")
    monkeypatch.setenv("MODELD_MODELS_DIR", str(folder))
    return folder


@pytest.fixture
def interrupts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


def test_the_table_has_every_command():
    assert set(SHORT) == {*COMMANDS, "--help"}


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(
    ("command", "module"),
    [
        *(("serve", module) for module in SHARED),
        *((command, "modeld.cli.commands.{command}") for command in COMMANDS),
    ],
)
def test_ctrl_c_before_a_command_has_begun_is_quiet(command, module, monkeypatch):
    monkeypatch.setenv("INTERRUPT_AT", module.format(command=command))
    args = [MODELD, *SHORT[command]]
    done = subprocess.run(args, capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == ExitCode.INTERRUPTED
    assert done.stdout == b""
    assert done.stderr.strip() == b""


@pytest.mark.usefixtures("folder", "interrupts")
@pytest.mark.parametrize(
    ("args", "module"),
    [
        (["serve", "--addr", ":0"], "modeld.plugins.host"),
        (["serve", "--addr", ":0"], "modeld.httpapi.app"),
        (["serve", "--addr", ":0"], "uvicorn"),
        (["serve", "--addr", ":0"], "modeld.builtin.lru"),
        (["run", "x", "y"], "modeld.builtin.gguf.folder"),
        (["models"], "modeld.serving.models.registry"),
        (["doctor"], "modeld.doctor.run"),
        (["--help"], "modeld_bench.plugin"),
        (["bench"], "modeld_bench.command"),
        (["bench"], "httpx"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else given,
)
def test_ctrl_c_while_a_command_imports_its_libraries_is_quiet(args, module, monkeypatch):
    monkeypatch.setenv("INTERRUPT_AT", module)
    done = subprocess.run(
        [MODELD, *args], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in done.stderr
    assert "report it" not in done.stderr


def test_a_job_in_the_background_goes_on_ignoring_ctrl_c():
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        " from modeld.cli import entry; sys.argv[1:] = ['version'];"
        " code = entry.main(); assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN;"
        " sys.exit(code)"
    )
    args = [sys.executable, "-c", code]
    ignored = subprocess.run(args, capture_output=True, timeout=DEADLINE_S, check=False)
    assert (ignored.returncode, ignored.stderr) == (ExitCode.OK, b"")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("command", SHORT)
def test_a_terminal_that_knows_few_characters_gets_escapes(command, encoding, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    args = [MODELD, *SHORT[command]]
    done = subprocess.run(args, capture_output=True, timeout=DEADLINE_S, check=False)
    assert b"report it" not in done.stderr
    assert done.returncode in {ExitCode.OK} | ({ExitCode.FAILED} if command == "doctor" else set())
    out = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)
    if command == "run":
        expected = "from → to \n" if encoding == "utf-8" else "from \\u2192 to \n"
        assert out == expected


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", SHORT)
def test_a_full_disk_is_one_line_and_no_fault_of_modeld(command):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [MODELD, *SHORT[command]],
            stdout=full,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == ExitCode.FAILED
    last = done.stderr.splitlines()[-1]
    assert last == "modeld: error: standard output cannot be written: no space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", SHORT)
def test_a_reader_that_has_left_is_told_nothing(command):
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as broken:
        done = subprocess.run(
            [MODELD, *SHORT[command]],
            stdout=broken,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == ExitCode.FAILED
    assert "modeld: " not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", SHORT)
def test_messages_that_cannot_be_written_change_no_exit_code(command):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [MODELD, *SHORT[command]],
            stdout=subprocess.PIPE,
            stderr=full,
            stdin=subprocess.DEVNULL,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode in {ExitCode.OK} | ({ExitCode.FAILED} if command == "doctor" else set())
    assert done.stdout


@pytest.mark.usefixtures("folder")
def test_wrong_usage_is_exit_code_2_even_if_nobody_can_be_told():
    with Path("/dev/full").open("wb") as full:
        args = [MODELD, "serve", "--addr", "nonsense"]
        done = subprocess.run(args, stdout=full, stderr=full, timeout=DEADLINE_S, check=False)
    assert done.returncode == ExitCode.USAGE


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", SHORT)
def test_outputs_that_are_closed_are_nobodys(command):
    close = (
        "import os, sys; [os.close(fd) for fd in (0, 1, 2)]; os.execv(sys.argv[1], sys.argv[1:])"
    )
    args = [sys.executable, "-c", close, MODELD, *SHORT[command]]
    done = subprocess.run(args, timeout=DEADLINE_S, check=False)
    assert done.returncode in {ExitCode.OK} | ({ExitCode.FAILED} if command == "doctor" else set())


@pytest.mark.usefixtures("folder")
def test_a_server_that_cannot_say_where_it_serves_goes_on_serving(tmp_path):
    log = tmp_path / "log"
    with Path("/dev/full").open("wb") as full, log.open("wb") as messages:
        args = [MODELD, "serve", "--addr", f"unix:{tmp_path}/socket", "--warm-workers", "0"]
        with subprocess.Popen(args, stdout=full, stderr=messages) as server:
            try:
                transport = httpx.HTTPTransport(uds=f"{tmp_path}/socket", retries=0)
                wait_for(log, "serves at")
                with httpx.Client(transport=transport, base_url="http://localhost") as client:
                    assert client.get("/healthz").status_code == 200
                server.send_signal(signal.SIGTERM)
                assert server.wait(DEADLINE_S) == ExitCode.OK
            finally:
                server.kill()


def wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
