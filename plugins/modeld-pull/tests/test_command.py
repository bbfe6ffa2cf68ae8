# SPDX-License-Identifier: GPL-3.0-only
"""``modeld pull`` as a command."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from fake_hub import GGUF, MODEL, REPO, hub_on_a_thread, silent_after, status

from modeld.cli.main import ExitCode, main
from tests.support.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def little_space_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELD_PULL_KEEP_FREE_MB", "0")


def test_it_pulls_into_the_folder_and_says_where(tmp_path: Path, capsys, monkeypatch) -> None:
    with hub_on_a_thread() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        args = ["pull", f"{REPO}:q4_k_m", "--models-dir", str(tmp_path)]
        assert main(args) == ExitCode.OK
        said = capsys.readouterr()
        assert said.out == f"{tmp_path}/{REPO}/{MODEL}\n"
        lines = said.err.splitlines()
        assert lines[0] == f"Pulling {REPO}:q4_k_m"
        assert lines[-1].startswith("100 %, 300.0 KiB of 300.0 KiB")
        assert main([*args, "--quiet"]) == ExitCode.OK
        assert capsys.readouterr().err == ""


def test_a_failure_is_one_line_and_what_it_waits_for_another(tmp_path, capsys, monkeypatch) -> None:
    with hub_on_a_thread() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELD_MODELS_DIR", str(tmp_path))
        monkeypatch.setattr("modeld_pull.http.tries.FIRST_WAIT_S", 0.0)
        hub.cdn_faults = [status(503), status(403)]
        assert main(["pull", REPO]) == ExitCode.FAILED
    _label, waiting, failed = capsys.readouterr().err.splitlines()
    assert waiting == "127.0.0.1 is not able to serve this now (503); trying again"
    assert failed.startswith("modeld: error: 127.0.0.1 gives this to nobody without")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing argument"),
        (["tiny"], "OWNER/NAME"),
        (["https://x.example/m.gguf"], "needs its SHA-256"),
        ([REPO, "--sha256", "x"], "64 hexadecimal"),
        ([REPO, "--revision", ".."], "a branch, a tag"),
    ],
)
def test_what_cannot_be_pulled_is_wrong_usage(args: list[str], said: str, capsys) -> None:
    assert main(["pull", *args]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_bar_on_a_terminal_and_ctrl_c_that_keeps_what_has_come(tmp_path, monkeypatch) -> None:
    never = asyncio.Event()
    with hub_on_a_thread() as hub:
        hub.cdn_faults = [silent_after(len(GGUF) // 2, never)]
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with Terminal("pull", REPO, "--models-dir", str(tmp_path)) as terminal:
            terminal.wait_for("#-")
            terminal.type("\x03")
            assert terminal.wait() == ExitCode.INTERRUPTED
        said = r"([\d.]+) KiB of 300.0 KiB are kept; the same command goes on from there"
        kept = re.search(said, terminal.shown)
        assert kept is not None, terminal.shown
        assert main(["pull", REPO, "--models-dir", str(tmp_path), "--quiet"]) == ExitCode.OK
        start = int(hub.asked_of("/cdn")[-1].headers["Range"].strip("bytes=-"))
        assert f"{start / 1024:.1f}" == kept[1]
    assert (tmp_path / REPO / MODEL).read_bytes() == GGUF
