# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from modeld.cli.main import ExitCode, main
from tests.support.gguf.tiny_gguf import write_gguf


@pytest.fixture(scope="module", autouse=True)
def tracker_ends() -> Iterator[None]:
    """End what multiprocessing starts beside the first process and keeps until its own exit."""
    yield
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


LOSER = """
from modeld import EvictionPolicy, hookimpl

class Loser(EvictionPolicy):
    name = "loser"

    def choose(self, candidates, needed_bytes):
        return candidates[:1]

@hookimpl
def modeld_register_eviction_policies():
    return [Loser()]
"""


FATAL = """
import os
import signal

from modeld import Backend, hookimpl

class Fatal(Backend):
    name = "fatal"

    def can_load(self, spec):
        return spec.family == "fatal"

    async def load(self, spec, options, host):
        os.kill(os.getpid(), signal.SIGKILL)

@hookimpl
def modeld_register_backends():
    return [Fatal()]
"""


SOURCES = """
import sys
import threading

from modeld import RegistrySource, hookimpl

class Exits(RegistrySource):
    name = "exits"

    async def list_models(self):
        sys.exit(0)

class Hangs(RegistrySource):
    name = "hangs"

    async def list_models(self):
        threading.Event().wait()

@hookimpl
def modeld_register_sources():
    return [Exits(), Hangs()]
"""


def installed(folder: Path, name: str, code: str) -> None:
    """Install a plugin of one module in a folder."""
    info = folder / f"modeld_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: modeld-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[modeld]\n{name} = modeld_{name}\n")
    (folder / f"modeld_{name}.py").write_text(code)


@pytest.fixture
def loser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed plugin whose policy chooses too little."""
    installed(tmp_path, "loser", LOSER)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_plugin_that_keeps_to_its_contract_is_shown_with_each_check(capsys):
    assert main(["check", "lru"]) == ExitCode.OK
    *rows, empty, counts = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["SUBJECT", "CHECK", "VERDICT", "WHY"]
    assert rows[1].split()[:2] == ["plugin", "lru"]
    (row,) = [row for row in rows if "victims are candidates" in row]
    assert row.startswith("eviction policy lru")
    assert row.split()[-2:] == ["passed", "-"]
    assert (empty, counts.endswith("passed, 0 failed, 0 disclaimed, 0 untested")) == ("", True)


@pytest.mark.usefixtures("loser")
def test_what_fails_is_named_with_the_reason_and_the_exit_code_says_so(capsys):
    assert main(["check", "loser", "--json"]) == ExitCode.FAILED
    rows = json.loads(capsys.readouterr().out)
    failed = {row["check"]: row for row in rows if row["verdict"] == "failed"}
    assert set(failed) == {
        "victims_are_enough_or_none",
        "the_order_of_the_candidates_does_not_matter",
    }
    why = failed["victims_are_enough_or_none"]["why"]
    assert "bytes are needed" in why
    assert failed["victims_are_enough_or_none"]["subject"] == "eviction policy loser"


def test_a_plugin_that_is_broken_has_failed(monkeypatch, tmp_path, capsys):
    info = tmp_path / "modeld_broken-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: modeld-broken\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[modeld]\nbroken = no_such_module_of_a_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["check", "broken", "--log-level", "off"]) == ExitCode.FAILED
    assert "No module named 'no_such_module_of_a_plugin'" in capsys.readouterr().out


def test_a_backend_that_ends_its_process_fails_that_check_and_the_others_go_on(
    monkeypatch, tmp_path, capsys
):
    installed(tmp_path, "fatal", FATAL)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = write_gguf(tmp_path / "fatal.gguf", "fatal")
    assert main(["check", "fatal", "--model", str(file), "--json"]) == ExitCode.FAILED
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["a_load_returns_an_engine"]["verdict"] == "failed"
    assert "the process died of SIGKILL" in rows["a_load_returns_an_engine"]["why"]
    assert rows["the_estimate_is_quick"]["verdict"] == "passed"
    assert list(rows)[-1] == "memory_comes_back"


def test_without_a_model_nothing_is_loaded(rig, capsys):
    assert main(["check", "rig", "--json"]) == ExitCode.OK
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["foreign_models_are_refused"]["verdict"] == "passed"
    assert rows["a_load_returns_an_engine"]["verdict"] == "untested"
    assert "--model" in rows["a_load_returns_an_engine"]["why"]


@pytest.mark.parametrize(
    "arguments",
    [["no-such-plugin"], ["lru", "--model", "/no/such/file"], ["lru", "--prompt"]],
)
def test_what_is_not_there_is_wrong_usage(arguments, capsys):
    assert main(["check", *arguments]) == ExitCode.USAGE
    assert arguments[-1] in capsys.readouterr().err


def test_a_file_that_no_source_finds_is_wrong_usage(rig, tmp_path, capsys):
    file = tmp_path / "notes.txt"
    file.write_text("no model")
    assert main(["check", "rig", "--model", str(file)]) == ExitCode.USAGE
    assert "no installed source takes" in capsys.readouterr().err


def test_a_backend_is_checked_with_a_model(rig, tmp_path, capsys):
    file = write_gguf(tmp_path / "rigged.gguf", "rig")
    main(["check", "rig", "--model", str(file), "--prompt", "one two three", "--json"])
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["a_load_returns_an_engine"]["verdict"] == "passed"
    assert rows["a_generation_ends_once"]["verdict"] == "passed"
    assert "said only 3 pieces of text to 'one two three'" in rows["usage_is_counted"]["why"]


def test_what_other_plugins_sources_do_is_told_and_ends_nothing(rig, tmp_path, monkeypatch, capsys):
    installed(tmp_path, "aa", SOURCES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MODELD_SOURCE_TIMEOUT_S", "1")
    file = write_gguf(tmp_path / "rigged.gguf", "rig")
    assert main(["check", "lru", "--model", str(file), "--json"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert "source 'exits' cannot be asked and is left out: PluginFault: SystemExit" in err
    assert "source 'hangs' took longer than 1 s" in err


def test_an_import_that_exits_is_shown_as_any_other_failure(monkeypatch, tmp_path, capsys):
    installed(tmp_path, "gone", "import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["check", "gone", "--log-level", "off"]) == ExitCode.FAILED
    assert "SystemExit" in capsys.readouterr().out
